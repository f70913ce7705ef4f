"""Files to and from a machine: the real client, a real Jupyter server, a real sshd."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from educloud_lab.client import copying
from educloud_lab.client.copying import adownload, aupload, download, upload
from educloud_lab.client.errors import ServerUnreachableError
from educloud_lab.client.sockets import pool
from educloud_lab.domain import errors
from educloud_lab.wire.copying import UploadRequest
from tests.patience import LIMIT_S, eventually
from tests.server.at_work import *  # noqa: F403 - fixtures
from tests.server.at_work import LEASE
from tests.sshd import start_sshd


def parts(folder):
    return [path for path in folder.iterdir() if ".educloud-" in path.name]


@pytest.mark.parametrize("size_bytes", [0, 1, 131072, 5_000_001])
async def test_there_and_back(server, home, tmp_path, size_bytes):
    content = os.urandom(size_bytes)
    (tmp_path / "here it's.bin").write_bytes(content)
    (tmp_path / "here it's.bin").chmod(0o640)
    told = []
    copied = await aupload(
        server, LEASE, tmp_path / "here it's.bin", "there.bin", progress=lambda done, total: told.append((done, total))
    )
    assert (copied.path, copied.size_bytes) == (str(home / "there.bin"), size_bytes)
    assert (home / "there.bin").read_bytes() == content
    assert (home / "there.bin").stat().st_mode & 0o777 == 0o640
    assert told[-1] == (size_bytes, size_bytes)
    assert told == sorted(told)
    told.clear()
    back = await adownload(
        server, LEASE, "~/there.bin", tmp_path / "back", progress=lambda done, total: told.append((done, total))
    )
    assert (back.path, back.size_bytes, back.sha256) == (str(tmp_path / "back"), size_bytes, copied.sha256)
    assert (tmp_path / "back").read_bytes() == content
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o640
    assert told[-1] == (size_bytes, size_bytes)
    assert not parts(tmp_path)
    assert not parts(home)


async def test_folders_are_targets_too(server, home, tmp_path):
    (tmp_path / "a b.txt").write_text("x")
    (home / "into").mkdir()
    assert (await aupload(server, LEASE, tmp_path / "a b.txt", "into")).path == f"{home}/into/a b.txt"
    assert (await aupload(server, LEASE, tmp_path / "a b.txt", "~/into/")).path == f"{home}/into/a b.txt"
    assert (await aupload(server, LEASE, tmp_path / "a b.txt", "~")).path == f"{home}/a b.txt"
    assert (await aupload(server, LEASE, tmp_path / "a b.txt", "-n")).path == f"{home}/-n"
    (tmp_path / "back").mkdir()
    assert (await adownload(server, LEASE, "into/a b.txt", tmp_path / "back")).path == f"{tmp_path}/back/a b.txt"
    assert (await adownload(server, LEASE, "-n", f"{tmp_path}/back/")).path == f"{tmp_path}/back/-n"


async def test_a_link_stays_one_and_its_file_is_replaced(server, home, tmp_path):
    (home / "real.txt").write_text("old")
    (home / "link.txt").symlink_to("real.txt")
    (tmp_path / "new.txt").write_text("new")
    await aupload(server, LEASE, tmp_path / "new.txt", "link.txt")
    assert (home / "link.txt").is_symlink()
    assert (home / "real.txt").read_text() == "new"
    (tmp_path / "link.txt").symlink_to(tmp_path / "new.txt")
    (home / "real.txt").write_text("newer")
    await adownload(server, LEASE, "link.txt", tmp_path / "link.txt")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "new.txt").read_text() == "newer"


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "file.txt"
    made.write_text("content")
    return made


async def refused(kind, work):
    with pytest.raises(kind) as error:
        await work
    assert error.value.next_step
    return error.value.what


async def test_what_cannot_be_copied_says_so(server, home, tmp_path, file):
    (home / "folder").mkdir(exist_ok=True)
    (home / "folder/file.txt").mkdir(exist_ok=True)
    os.mkfifo(home / "pipe")
    os.mkfifo(tmp_path / "pipe")
    bad = errors.BadInputError
    absent = errors.NotFoundError
    assert "no folder" in await refused(bad, aupload(server, LEASE, file, "nowhere/x"))
    assert "no folder" in await refused(bad, aupload(server, LEASE, file, "nowhere/"))
    assert "is a folder" in await refused(bad, aupload(server, LEASE, file, "folder"))
    assert "no ordinary file" in await refused(bad, aupload(server, LEASE, file, "pipe"))
    assert "no ordinary file" in await refused(bad, aupload(server, LEASE, tmp_path / "pipe", "x"))
    assert "is a folder" in await refused(bad, aupload(server, LEASE, tmp_path, "x"))
    assert "There is no" in await refused(absent, aupload(server, LEASE, tmp_path / "none", "x"))
    assert "no file" in await refused(absent, adownload(server, LEASE, "none", tmp_path))
    assert "is a folder" in await refused(bad, adownload(server, LEASE, "folder", tmp_path))
    assert "no ordinary file" in await refused(bad, adownload(server, LEASE, "pipe", tmp_path))
    assert "no folder" in await refused(bad, adownload(server, LEASE, "/etc/passwd", f"{tmp_path}/nowhere/"))
    assert "There is no" in await refused(absent, adownload(server, LEASE, "/etc/passwd", tmp_path / "nowhere/x"))
    with pytest.raises(errors.BadInputError, match="no name of a file"):
        await aupload(server, LEASE, file, "a\nb")
    assert not parts(home) + parts(home / "folder") + parts(tmp_path)
    assert (await aupload(server, LEASE, file, "fine.txt")).size_bytes == 7


async def test_a_full_disk_says_so_and_leaves_the_old_file(server, home, tmp_path):
    """A program of that name stands for the disk that takes no more."""
    (tmp_path / "big").write_bytes(bytes(3_000_000))
    (home / "big").write_text("old")
    (home / "bin").mkdir()
    (home / "bin/cat").write_text(
        "#!/bin/sh\nhead -c 500000\necho 'cat: write error: No space left on device' >&2\nexit 1\n"
    )
    (home / "bin/cat").chmod(0o755)
    (home / ".bashrc").write_text(f"PATH={home}/bin:$PATH\n")
    try:
        what = await refused(errors.ConflictError, aupload(server, LEASE, tmp_path / "big", "big"))
    finally:
        (home / ".bashrc").unlink()
    assert "is full" in what
    assert (home / "big").read_text() == "old"
    assert not parts(home)


async def test_a_file_that_changes_meanwhile_is_not_taken_for_whole(server, home, tmp_path, monkeypatch):
    (tmp_path / "log").write_bytes(b"a" * 1000)
    (home / "log").write_text("old")
    honest = copying.measure
    monkeypatch.setattr(copying, "measure", lambda file: (honest(file)[0], "0" * 64))
    assert "changed while" in await refused(errors.ConflictError, aupload(server, LEASE, tmp_path / "log", "log"))
    monkeypatch.setattr(copying, "measure", lambda file: (honest(file)[0] + 5, honest(file)[1]))
    assert "shorter" in await refused(errors.ConflictError, aupload(server, LEASE, tmp_path / "log", "log"))
    assert (home / "log").read_text() == "old"
    await eventually(lambda: not parts(home))


async def test_a_copy_that_is_given_up_leaves_nothing(server, home, tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(30_000_000))
    (home / "big").write_bytes(os.urandom(30_000_000))

    for make in (
        lambda told: aupload(server, LEASE, tmp_path / "big", "new", progress=told),
        lambda told: adownload(server, LEASE, "big", tmp_path / "new", progress=told),
    ):
        begun = asyncio.Event()
        task = asyncio.create_task(make(lambda done, total, begun=begun: done and begun.set()))
        async with asyncio.timeout(LIMIT_S):
            await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: not parts(home) + parts(tmp_path))
    assert not (home / "new").exists()
    assert not (tmp_path / "new").exists()
    assert (await aupload(server, LEASE, tmp_path / "big", "new")).size_bytes == 30_000_000


async def test_a_lost_machine_ends_a_copy(server, broker, home, tmp_path, tmp_path_factory):
    (tmp_path / "big").write_bytes(os.urandom(30_000_000))
    broker.machine = start_sshd(tmp_path_factory.mktemp("other"), home=home)
    begun = asyncio.Event()
    task = asyncio.create_task(
        aupload(server, LEASE, tmp_path / "big", "lost", progress=lambda done, total: done and begun.set())
    )
    async with asyncio.timeout(LIMIT_S):
        await begun.wait()
    broker.machine.stop()
    with pytest.raises(errors.MachineUnreachableError) as lost:
        await task
    assert "dropped" in lost.value.kept
    await eventually(lambda: not parts(home))
    assert not (home / "lost").exists()


async def test_whose_machine_it_is_is_asked(server, broker, file, tmp_path):
    with pytest.raises(errors.NotFoundError):
        await aupload(server, "other", file, "x")
    broker.failure = errors.ConflictError("The machine is not running.")
    with pytest.raises(errors.ConflictError, match="not running"):
        await adownload(server, LEASE, "x", tmp_path)
    broker.failure = None
    await aupload(server, LEASE, file, "x")
    await eventually(lambda: (LEASE, "cell") in broker.told)


async def test_more_or_other_content_than_announced_is_refused(server):
    request = UploadRequest(path="odd", name="odd", size_bytes=3, sha256="0" * 64)
    for frame, told in ((b"\1toolong", "More came"), (b"\2abc", "No such content")):
        socket, _ = await copying._begin(server, LEASE, request)
        await socket.send(frame)
        with pytest.raises(errors.EducloudError, match=told):
            copying._read(await socket.receive())
        await socket.close()
    socket = await pool().get(server, LEASE, "copy")
    await socket.send(b"\1what")
    with pytest.raises(ServerUnreachableError, match="No such content"):
        await socket.receive()


async def test_without_an_event_loop(server, home, tmp_path, file):
    threads = set()

    def note(done, total):
        threads.add(threading.current_thread())

    def work():
        upload(server, LEASE, str(file), "sync.txt", progress=note)
        download(server, LEASE, "sync.txt", tmp_path / "back.txt", progress=note)
        with pytest.raises(errors.NotFoundError):
            download(server, LEASE, "none", tmp_path)
        return threading.current_thread()

    assert {await asyncio.to_thread(work)} == threads
    assert (tmp_path / "back.txt").read_text() == "content"
