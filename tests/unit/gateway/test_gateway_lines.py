"""Authorisation lines: what is understood, and that whatever is not understood permits nothing."""

from datetime import UTC, datetime, timedelta

import asyncssh
import pytest

from educloud_lab.gateway import LinesError
from educloud_lab.gateway.addresses import Destination, Permitted, parse_address, parse_destination
from educloud_lab.gateway.identity import Identity
from educloud_lab.gateway.lines import LinesTable, check_name, drop_lines, parse_line, parse_lines, write_lines

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEucCpdZjlI6FQaEGRtZ4C8OjF7ucSzlL5ZcKMOEaMb6"
PERSON = f'restrict,port-forwarding,permitopen="172.16.77.5:22" {KEY}'
LEASE = f'restrict,port-forwarding,permitopen="172.16.77.5:22",cert-authority,principals="lease-ab12-g1" {KEY}'
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_leases_line():
    line = parse_line(LEASE)
    assert line.authority
    assert line.principals == {"lease-ab12-g1"}
    assert line.permitted == Permitted(frozenset({Destination("172.16.77.5", 22)}))
    assert line.expires_at is None
    assert line.key_data == asyncssh.import_public_key(KEY).public_data


def test_the_line_for_a_stock_openssh_front_end_is_understood_alike():
    stock = (
        'restrict,port-forwarding,command="/usr/sbin/nologin",permitopen="172.16.77.5:22",cert-authority,'
        f'principals="lease-ab12-g1" {KEY}'
    )
    assert parse_line(stock) == parse_line(LEASE)


def test_several_destinations_and_principals_and_a_comment():
    line = parse_line(
        'restrict,port-forwarding,permitopen="172.16.77.5:22",permitopen="172.16.77.5:8080",cert-authority,'
        f'principals="a,b" {KEY} somebody, at "home"'
    )
    assert {place.port for place in line.permitted.destinations} == {22, 8080}
    assert line.principals == {"a", "b"}


@pytest.mark.parametrize(
    "line",
    [
        KEY,
        f"restrict {KEY}",
        f"restrict,port-forwarding {KEY}",
        f'port-forwarding,permitopen="172.16.77.5:22" {KEY}',
        f'port-forwarding,restrict,permitopen="172.16.77.5:22" {KEY}',
        f'restrict,permitopen="172.16.77.5:22" {KEY}',
        PERSON.replace("restrict,", "restrict,pty,"),
        PERSON.replace("restrict,", "restrict,agent-forwarding,"),
        PERSON.replace("restrict,", "restrict,x11-forwarding,"),
        PERSON.replace("restrict,", 'restrict,from="10.0.0.0/8",'),
        PERSON.replace("restrict,", 'restrict,permitlisten="22",'),
        PERSON.replace("restrict,", 'restrict,environment="A=b",'),
        PERSON.replace("restrict,", "restrict,no-port-forwarding,"),
        PERSON.replace("restrict,", "restrict,cert-authority,"),
        PERSON.replace("restrict,", 'restrict,principals="a",'),
        PERSON.replace("restrict,", "restrict=1,"),
        PERSON.replace("restrict,", "restrict,,"),
        PERSON.replace(",permit", ", permit"),
        PERSON.replace('"172.16.77.5:22"', "172.16.77.5:22"),
        PERSON.replace('5:22"', "5:22"),
        LEASE.replace("172.16.77.5:22", "172.16.77.5:*"),
        PERSON.replace("172.16.77.5:22", "172.16.77.05:*"),
        PERSON.replace("172.16.77.5:22", "*:22"),
        PERSON.replace("172.16.77.5:22", "172.16.77.05:22"),
        PERSON.replace("172.16.77.5:22", "machine:22"),
        PERSON.replace("172.16.77.5:22", "[::1]:22"),
        PERSON.replace("172.16.77.5:22", "172.16.77.5"),
        PERSON.replace("172.16.77.5:22", "172.16.77.5:0"),
        PERSON.replace("172.16.77.5:22", "172.16.77.5:65536"),
        PERSON.replace("172.16.77.5:22", "172.16.77.5:022"),
        LEASE.replace("lease-ab12-g1", "*"),
        LEASE.replace("lease-ab12-g1", "lease-?"),
        LEASE.replace("lease-ab12-g1", "!a,b"),
        LEASE.replace("lease-ab12-g1", ""),
        LEASE.replace("lease-ab12-g1", "a,,b"),
        LEASE.replace('principals="lease-ab12-g1"', 'principals="a",principals="b"'),
        LEASE.replace("cert-authority,", 'cert-authority,expiry-time="tomorrow",'),
        LEASE.replace("cert-authority,", 'cert-authority,expiry-time="20261399",'),
        PERSON.replace("AAAAC3", "AAAAC4"),
        PERSON.replace("ssh-ed25519", "ssh-dss"),
        PERSON.replace("ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com "),
        PERSON + "\x00",
        PERSON + "\x1b[2J",
        "x" * 20000,
    ],
)
def test_a_line_that_says_anything_else_is_refused(line):
    with pytest.raises(ValueError):
        parse_line(line)
    with pytest.raises(LinesError, match="line 2"):
        parse_lines(f"{PERSON}\n{line}\n")


def test_a_short_rsa_key_is_refused():
    short, long = (asyncssh.generate_private_key("ssh-rsa", key_size=bits) for bits in (1024, 2048))
    texts = [PERSON.replace(KEY, key.export_public_key("openssh").decode().strip()) for key in (short, long)]
    with pytest.raises(LinesError, match="RSA"):
        parse_lines(texts[0])
    assert len(parse_lines(texts[1])) == 1


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "\n".join([PERSON] * 65), "#" * 70000])
def test_empty_and_oversized_texts_are_refused(text):
    with pytest.raises(LinesError):
        parse_lines(text)


@pytest.mark.parametrize("name", ["", "A", "a_b", "a.b", "../a", "a/b", "a\n", "ä", "a" * 65])
def test_bad_names_are_refused(name, tmp_path):
    with pytest.raises(LinesError):
        check_name(name)
    with pytest.raises(LinesError):
        write_lines(tmp_path, name, LEASE)
    with pytest.raises(LinesError):
        drop_lines(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_writing_is_whole_private_and_repeatable(tmp_path):
    for _ in range(2):
        write_lines(tmp_path, "lease-ab12", LEASE)
    (path,) = tmp_path.iterdir()
    assert path.name == "lease-ab12.keys"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == LEASE + "\n"
    with pytest.raises(LinesError):
        write_lines(tmp_path, "lease-ab12", LEASE + "\nnonsense")
    assert path.read_text() == LEASE + "\n", "a refused text changes nothing"
    assert drop_lines(tmp_path, "lease-ab12")
    assert not drop_lines(tmp_path, "lease-ab12")
    assert list(tmp_path.iterdir()) == []


def identity(kind, *principals):
    return Identity(kind, parse_line(LEASE).key_data, "SHA256:x", frozenset(principals))


def test_the_table_needs_the_principal_the_key_and_the_kind():
    place = Permitted(frozenset({Destination("172.16.77.5", 22)}))
    table = LinesTable({"lease": parse_lines(LEASE)})
    assert table.permitted(identity("certificate", "lease-ab12-g1"), NOW) == place
    assert table.permitted(identity("certificate", "other", "lease-ab12-g1"), NOW) == place
    for nobody in (
        identity("certificate"),
        identity("certificate", "lease-ab12-g2"),
        identity("key"),
        identity("control", "lease-ab12-g1"),
        Identity("certificate", b"another authority", "SHA256:y", frozenset({"lease-ab12-g1"})),
    ):
        assert table.permitted(nobody, NOW) == Permitted()
    by_hand = LinesTable({"by-hand": parse_lines(PERSON)})
    assert by_hand.permitted(identity("key"), NOW) == place
    assert by_hand.permitted(identity("certificate", "lease-ab12-g1"), NOW) == Permitted()


def test_permissions_add_up_and_end_with_their_time():
    later = LEASE.replace("77.5:22", "77.5:8080").replace("cert-", 'expiry-time="20261122123000Z",cert-')
    table = LinesTable({"a": parse_lines(LEASE), "b": parse_lines(later)})
    who = identity("certificate", "lease-ab12-g1")
    assert {place.port for place in table.permitted(who, NOW).destinations} == {22, 8080}
    end = NOW + timedelta(minutes=30)
    assert {place.port for place in table.permitted(who, end - timedelta(seconds=1)).destinations} == {22, 8080}
    assert {place.port for place in table.permitted(who, end).destinations} == {22}


def test_a_key_pair_may_be_permitted_every_port_of_one_address():
    line = parse_line(PERSON.replace("172.16.77.5:22", "172.16.77.5:*"))
    assert Destination("172.16.77.5", 8080) in line.permitted
    assert Destination("172.16.77.6", 8080) not in line.permitted
    table = LinesTable({"by-hand": [line]})
    assert Destination("172.16.77.5", 1) in table.permitted(identity("key"), NOW)
    assert not table.permitted(identity("certificate", "lease-ab12-g1"), NOW)


def test_expiry_without_a_zone_is_the_hosts_own_as_for_sshd():
    line = parse_line(LEASE.replace("cert-", 'expiry-time="202611221230",cert-'))
    assert line.expires_at == datetime(2026, 11, 22, 12, 30).astimezone(UTC)


@pytest.mark.parametrize(
    "text",
    ["", "172.16.77.05", "172.16.077.5", "172.16.77.5.", " 172.16.77.5", "172.16.77", "2886749445", "0xac104d05",
     "localhost", "::1", "::ffff:172.16.77.5", "172.16.77.5%eth0", "１72.16.77.5", "172.16.77.256"],
)  # fmt: skip
def test_only_one_spelling_of_an_address_counts(text):
    with pytest.raises(ValueError):
        parse_address(text)
    with pytest.raises(ValueError):
        parse_destination(f"{text}:22")
    assert parse_address("172.16.77.5") == "172.16.77.5"
