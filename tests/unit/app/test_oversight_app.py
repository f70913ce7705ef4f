"""``educloud audit``, ``orphans`` and ``shelf``: what is printed; nothing goes without a typed confirmation."""

from datetime import UTC, datetime, timedelta

import pytest

from educloud_lab.app import oversight_app
from educloud_lab.app.oversight_app import AuditApp, OrphansApp, ShelfApp, audit_lines, orphan_lines, shelf_lines
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def an_orphan(**changes):
    fields = {"cloud_id": "i-1", "kind": "instance", "state": "seen", "reason": "Nobody's.", "owner": "ghost"}
    return wire.Orphan(**{**fields, "first_seen_at": T0, "last_seen_at": T0, "acts_at": T0, **changes})


class Client:
    def __init__(self, *acted):
        self.asked = []
        self.acted = list(acted)

    def audit(self, lease_id=None, *, before=None, limit=100):
        self.asked.append(("audit", lease_id, before, limit))
        return wire.AuditPage(entries=[], older=None)

    def orphans(self):
        self.asked.append(("orphans",))
        return wire.OrphanReport(dry_run=True, halted="Too many.", orphans=[an_orphan()], acted=[])

    def reap(self, *, dry_run=True, only=None):
        self.asked.append(("reap", dry_run, only))
        return wire.OrphanReport(dry_run=dry_run, orphans=[an_orphan()], acted=self.acted if dry_run else only)

    def shelf(self):
        self.asked.append(("shelf",))
        return wire.Shelf(items=[])


def command(cls, *argv):
    made = cls()
    made.initialize(list(argv))
    return made


def test_lines_of_the_audit_log():
    entry = wire.AuditEntry(
        id=12, at=T0, who="ann", what="lease.start", course="local", whose="ann", subject="i-1", result="capacity"
    )
    lines = audit_lines(wire.AuditPage(entries=[entry], older=12))
    assert lines[0].split() == ["no.", "when", "who", "what", "whose", "in", "the", "cloud", "result"]
    assert {"12", "ann", "lease.start", "i-1", "capacity"} <= set(lines[1].split())
    assert lines[2] == "Older ones: --before=12"
    assert audit_lines(wire.AuditPage(entries=[])) == ["Nothing is recorded."]


def test_lines_of_orphans_and_shelf():
    report = wire.OrphanReport(dry_run=True, halted="Too many.", orphans=[an_orphan(size_bytes=2**31)], acted=["i-1"])
    lines = orphan_lines(report, "would go now")
    assert "2 GiB" in lines[1]
    assert lines[2:] == ["! Too many.", "would go now: i-1"]
    assert "owner" in orphan_lines(wire.OrphanReport(dry_run=True, orphans=[]))[0]
    item = wire.BinItem(
        id="q", cloud_id="vol-1", quarantined=True, size_bytes=2**30, reason="A twin.", owner="ann", shelved_at=T0
    )
    lines = shelf_lines(wire.Shelf(items=[item]), T0 + timedelta(days=3))
    assert {"quarantine", "vol-1", "ann", "never", "3", "d"} <= set(lines[1].split())
    assert shelf_lines(wire.Shelf(items=[]), T0) == ["Bin and quarantine are empty."]


def test_what_is_asked_of_the_server(capsys):
    client = Client()
    command(AuditApp).ask(client)
    command(AuditApp, "ab12", "--limit=3", "--before=9").ask(client)
    command(OrphansApp).ask(client)
    command(ShelfApp, "--json").ask(client)
    assert client.asked == [("audit", None, None, 50), ("audit", "ab12", 9, 3), ("orphans",), ("shelf",)]
    assert '"items": []' in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--dry-run", "--reap"])
def test_nothing_goes_where_nothing_is_due_or_only_looked_at(flag, capsys):
    client = Client(*(["i-1"] if flag == "--dry-run" else []))
    command(OrphansApp, flag).ask(client)
    assert client.asked == [("reap", True, None)]
    assert "would go now" in capsys.readouterr().out


@pytest.mark.parametrize("typed", ["", "yes", "reap", "reap 3"])
def test_another_word_than_the_one_asked_for_ends_nothing(typed, monkeypatch, capsys):
    client = Client("i-1", "vol-1")
    monkeypatch.setattr("builtins.input", lambda _: typed)
    with pytest.raises(SystemExit):
        command(OrphansApp, "--reap").ask(client)
    assert client.asked == [("reap", True, None)]
    assert "Nothing was done" in capsys.readouterr().err


def test_the_word_ends_what_was_shown_and_nothing_else(monkeypatch):
    client = Client("i-1", "vol-1")
    monkeypatch.setattr("builtins.input", lambda _: " reap 2 ")
    command(OrphansApp, "--reap").ask(client)
    assert client.asked == [("reap", True, None), ("reap", False, ["i-1", "vol-1"])]


def test_more_than_one_machine_is_not_understood():
    with pytest.raises(SystemExit) as caught:
        command(AuditApp, "a", "b").ask(Client())
    assert caught.value.code == oversight_app.NOT_UNDERSTOOD


def test_what_a_tag_says_forges_no_line_and_no_terminal_escape():
    report = wire.OrphanReport(dry_run=True, orphans=[an_orphan(owner="x\n\x1b[2Jinstance  i-9\r\x9b31m")], acted=[])
    lines = orphan_lines(report)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
