"""``educloud volume``: what is asked of the server, what is printed, and what is refused before anything is asked."""

from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from educloud_lab.app import volume_app
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GIB = 1024**3


def lease():
    return SimpleNamespace(
        id="ab12",
        lab="01-first",
        slot="main",
        volumes=[
            wire.Volume(
                id="vol-1", size_bytes=2 * GIB, mount_point="/data", stage="available", from_snapshot="course",
                proof="Same disk, last written at 14:02 UTC yesterday",
            )
        ],
        snapshots=[
            wire.VolumeSnapshot(
                id="s1", name="first", cloud_id="snap-1", state="pending", progress_percent=40, size_bytes=GIB,
                created_at=T0, created_by="ann", consistency="held still", published=True,
            )
        ],
        bin=[
            wire.BinItem(id="b1", cloud_id="vol-2", quarantined=False, size_bytes=GIB, reason="You put it there",
                         shelved_at=T0, delete_after=T0),
            wire.BinItem(id="b2", cloud_id="vol-3", quarantined=True, size_bytes=GIB, reason="twice", shelved_at=T0),
        ],
    )  # fmt: skip


class Asked:
    """A client that writes down what it was asked."""

    def __init__(self):
        self.calls = []

    def snapshot(self):
        return SimpleNamespace(leases=[lease()])

    settled = snapshot

    def __getattr__(self, name):
        return lambda *arguments, **named: self.calls.append((name, *arguments, *named.items()))


@pytest.fixture
def asked(monkeypatch):
    client = Asked()

    @contextmanager
    def connect(_server):
        yield client

    monkeypatch.setattr("educloud_lab.client.connect", connect)
    monkeypatch.setattr("educloud_lab.client.find.find_any_server", lambda: None)
    return client


def run(word, *words):
    kind, _ = volume_app.VolumeApp.subcommands[word]
    app = kind()
    app.initialize(list(words))
    app.start()


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (("snapshot", "01-first", "exam"), ("take_snapshot", "ab12", "exam")),
        (("snapshot", "ab12", "first", "--delete"), ("delete_snapshot", "ab12", "s1")),
        (("restore", "01-first", "first"), ("restore", "ab12", "s1")),
        (("grow", "01-first", "5"), ("grow", "ab12", 5)),
        (("discard", "01-first", "--confirm=01-first"), ("discard", "ab12", ("confirm", "01-first"))),
        (("return", "01-first", "vol-2"), ("return_from_bin", "ab12", "b1")),
        (("publish", "01-first", "first"), ("publish", "ab12", "s1", ("published", True))),
        (("publish", "01-first", "first", "--withdraw"), ("publish", "ab12", "s1", ("published", False))),
    ],
)
def test_a_command_asks_for_one_thing(asked, capsys, words, call):
    run(*words)
    assert asked.calls == [call]
    assert capsys.readouterr().out.startswith("01-first: ")


@pytest.mark.parametrize(
    ("words", "told", "status"),
    [
        (("snapshot", "01-first"), "a name for the snapshot", 2),
        (("restore", "01-first", "nothing"), "There is: first.", 1),
        (("grow", "01-first", "much"), "no size in GiB", 1),
        (("return", "01-first", "vol-9"), "in the bin", 1),
        (("discard", "02-other", "--confirm=x"), "There is no machine", 1),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_asked(asked, capsys, words, told, status):
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == status
    assert told in capsys.readouterr().err
    assert asked.calls == []


def test_the_list_tells_volume_snapshots_and_bin(asked, capsys):
    run("list")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "01-first (ab12)"
    assert "vol-1, 2 GiB, available, made from the snapshot 'course'" in lines[1]
    assert "Same disk" in lines[2]
    assert "40 % copied, new volumes of this lab are made from it" in lines[3]
    assert any(line.startswith("  bin        b1: vol-2, 1 GiB, You put it there, until ") for line in lines)
    assert any(line.startswith("  quarantine b2: vol-3") for line in lines)
    assert len(volume_app.lines_of(lease())) == len(lines)
