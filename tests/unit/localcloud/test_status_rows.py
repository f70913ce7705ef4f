"""What ``educloud cloud status`` reads from the state: the address that the cloud's own answers show, and no other."""

import sqlite3

import pytest

from educloud_lab.localcloud.overview import read_rows


@pytest.mark.parametrize(("shown", "address"), [(1, "172.16.64.20"), (0, "")])
def test_an_address_that_is_not_given_out_yet_is_not_shown(tmp_path, shown, address):
    state = tmp_path / "cloud.sqlite"
    with sqlite3.connect(state) as connection:
        connection.execute("CREATE TABLE instance (id, resume, state, address, address_shown, instance_type)")
        connection.execute("CREATE TABLE image (key, id, name, kind, state, message)")
        connection.execute("INSERT INTO instance VALUES ('i-1', 0, 'pending', '172.16.64.20', ?, 't2.micro')", (shown,))
    connection.close()
    machines, images = read_rows(state)
    assert [(machine.instance_id, machine.address) for machine in machines] == [("i-1", address)]
    assert images == ()
