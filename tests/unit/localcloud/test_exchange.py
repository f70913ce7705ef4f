"""One cloud's folder takes another's place, and whatever a kill leaves in the middle of it is finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from educloud_lab.localcloud import exchange
from educloud_lab.localcloud.settings import Folders


class Killed(BaseException):
    """The process is gone: nothing that comes after happens."""


@pytest.fixture
def folders(tmp_path):
    """An old cloud, and a new one that was unpacked."""
    found = Folders(tmp_path)
    for folder, text in ((found.cloud, "old"), (exchange.staging_folder(found, "t"), "new")):
        folder.mkdir()
        (folder / "cloud.sqlite").write_text(text)
    return found


def left(folders):
    return sorted(path.name for path in folders.home.iterdir()), sorted(path.name for path in folders.cloud.iterdir())


def settled(folders):
    said = []
    exchange.settle(folders, said.append)
    exchange.remove_leftovers(folders)
    return (folders.cloud / "cloud.sqlite").read_text(), " ".join(said)


def kill_at(monkeypatch, module, name, call):
    real, calls = getattr(module, name), []

    def until(*arguments, **options):
        calls.append(arguments)
        if len(calls) == call:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, until)


def test_the_new_one_takes_the_place_of_the_old(folders):
    exchange.take_place(folders, "t")
    assert (folders.cloud / "cloud.sqlite").read_text() == "new"
    assert left(folders) == (["cloud"], ["cloud.sqlite"])


@pytest.mark.parametrize(
    ("name", "call", "content"), [("rename", 1, "old"), ("rename", 2, "new"), ("unlink", 1, "new")]
)
def test_a_kill_leaves_the_old_one_or_the_new_one(folders, monkeypatch, name, call, content):
    kill_at(monkeypatch, Path, name, call)
    with pytest.raises(Killed):
        exchange.take_place(folders, "t")
    monkeypatch.undo()
    assert settled(folders)[0] == content
    assert left(folders)[0] == ["cloud"]


def test_a_kill_while_the_old_one_is_deleted(folders, monkeypatch):
    kill_at(monkeypatch, exchange.shutil, "rmtree", 1)
    with pytest.raises(Killed):
        exchange.take_place(folders, "t")
    monkeypatch.undo()
    assert settled(folders)[0] == "new"
    assert left(folders) == (["cloud"], ["cloud.sqlite"])


def test_without_a_whole_new_one_the_old_one_comes_back(folders):
    folders.cloud.rename(folders.home / ".replaced-t")
    assert settled(folders) == (
        "old",
        "A restore had been interrupted; the cloud that it was to replace was put back.",
    )
    assert left(folders)[0] == ["cloud"]


def test_a_cloud_that_was_made_since_is_not_taken_for_the_new_one(folders):
    """Nothing says that what was set aside is not needed, so it is not deleted."""
    aside = folders.home / ".replaced-u"
    aside.mkdir()
    (aside / "cloud.sqlite").write_text("somebody's volumes")
    content, said = settled(folders)
    assert content == "old"
    assert (aside / "cloud.sqlite").exists()
    assert str(aside) in said
