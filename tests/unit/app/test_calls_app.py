"""``educloud calls``: what is printed."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from educloud_lab.app.calls_app import CallsApp
from educloud_lab.domain.errors import NotFoundError
from educloud_lab.wire import models as wire

T0 = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def accounts():
    call = wire.CloudCall(
        at=T0, last_at=T0, operation="StopInstances", parameters={}, duration_ms=3, outcome="ok",
        aws="aws ec2 stop-instances \x1b[31m", euca="euca-stop-instances i-1",
    )  # fmt: skip
    return wire.Accounts(
        lease_id="l1",
        lab="lab",
        accounts=[
            wire.Account(job_id=name, lease_id="l1", kind="stop", started_at=T0, ended_at=None, calls=[call])
            for name in ("j2", "j1")
        ],
    )


class Client:
    def __init__(self):
        self.asked = []

    def settled(self):
        return SimpleNamespace(leases=[SimpleNamespace(id="l1", lab="01-first", slot="main")])

    def calls(self, lease_id, *, limit):
        self.asked.append((lease_id, limit))
        return accounts()


def run(*arguments, client=None):
    app = CallsApp()
    app.initialize(["01-first", *arguments])
    app.ask(client or Client())


def test_it_prints_calls_and_command_lines_without_what_commands_a_terminal(capsys):
    client = Client()
    run(client=client)
    printed = capsys.readouterr().out
    assert client.asked == [("l1", 3)]
    assert "Stop, going on" in printed
    assert "euca-stop-instances i-1" in printed
    assert "\x1b" not in printed


def test_one_action_by_its_id(capsys):
    client = Client()
    run("--job=j1", "--json", client=client)
    assert client.asked == [("l1", 20)]
    assert [account["job_id"] for account in json.loads(capsys.readouterr().out)["accounts"]] == ["j1"]
    with pytest.raises(NotFoundError, match="no account of an action 'j9'"):
        run("--job=j9")


def test_it_takes_one_machine(capsys):
    app = CallsApp()
    app.initialize(["one", "two"])
    with pytest.raises(SystemExit) as left:
        app.start()
    assert left.value.code == 2
    assert "takes one machine" in capsys.readouterr().err
