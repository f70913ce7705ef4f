"""Disk files, by the real qemu-img."""

import contextlib
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest

from educloud_lab.localcloud import disks
from educloud_lab.localcloud.hypervisor.base import NotEnoughRoomError

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def small_margin(monkeypatch):
    monkeypatch.setattr(disks, "MARGIN_BYTES", 0)


def fake_qemu_img(folder, monkeypatch, script: str) -> None:
    program = folder / "qemu-img"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(disks, "BINARY", str(program))


async def test_a_blank_disk(tmp_path):
    path = tmp_path / "vol 1,2.qcow2"
    await disks.create_blank(path, 64 * MIB)
    info = await disks.info(path)
    assert (info.format, info.virtual_bytes, info.base) == ("qcow2", 64 * MIB, None)
    assert info.used_bytes < MIB
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def qemu_io(command, path) -> str:
    result = subprocess.run(["qemu-io", "-c", command, path], check=True, capture_output=True, text=True)
    return result.stdout


async def test_an_overlay_begins_as_its_base_and_may_be_larger(tmp_path):
    base, overlay, larger = tmp_path / "base.qcow2", tmp_path / "o.qcow2", tmp_path / "l.qcow2"
    await disks.create_blank(base, 16 * MIB)
    qemu_io("write -P 7 0 64k", base)
    await disks.create_overlay(overlay, base)
    await disks.create_overlay(larger, base, 32 * MIB)
    assert (await disks.info(overlay)).base == base
    assert (await disks.info(overlay)).virtual_bytes == 16 * MIB
    assert (await disks.info(larger)).virtual_bytes == 32 * MIB
    assert "verification failed" not in qemu_io("read -P 7 0 64k", larger)


async def test_an_overlay_is_never_smaller_than_its_base(tmp_path):
    await disks.create_blank(tmp_path / "base.qcow2", 16 * MIB)
    with pytest.raises(disks.DiskError, match="cannot hold"):
        await disks.create_overlay(tmp_path / "o.qcow2", tmp_path / "base.qcow2", 8 * MIB)
    assert not (tmp_path / "o.qcow2").exists()


async def test_an_existing_disk_is_never_overwritten(tmp_path):
    path = tmp_path / "v.qcow2"
    path.write_bytes(b"somebody's data")
    with pytest.raises(disks.DiskError, match="left as it is"):
        await disks.create_blank(path, MIB)
    assert path.read_bytes() == b"somebody's data"


@pytest.mark.parametrize("size", [0, -1, 513])
async def test_sizes_that_no_disk_has(tmp_path, size):
    with pytest.raises(disks.DiskError, match="positive multiple of 512"):
        await disks.create_blank(tmp_path / "v.qcow2", size)


async def test_growing_and_never_shrinking(tmp_path):
    path = tmp_path / "v.qcow2"
    await disks.create_blank(path, 16 * MIB)
    await disks.grow(path, 32 * MIB)
    await disks.grow(path, 32 * MIB)
    with pytest.raises(disks.DiskError, match="never shrunk"):
        await disks.grow(path, 16 * MIB)
    assert (await disks.info(path)).virtual_bytes == 32 * MIB


async def test_deleting_is_repeatable(tmp_path):
    path = tmp_path / "v.qcow2"
    await disks.create_blank(path, MIB)
    await disks.delete(path)
    await disks.delete(path)
    assert not path.exists()


async def test_a_missing_or_damaged_disk_is_an_error(tmp_path):
    with pytest.raises(disks.DiskError):
        await disks.info(tmp_path / "none.qcow2")
    (tmp_path / "bad.qcow2").write_bytes(b"QFI\xfb" + b"\xff" * 600)
    with pytest.raises(disks.DiskError):
        await disks.info(tmp_path / "bad.qcow2")


async def test_room_is_checked_with_its_margin(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    await disks.check_room(tmp_path, MIB, margin_bytes=0)
    with pytest.raises(NotEnoughRoomError, match="Nothing was made"):
        await disks.check_room(tmp_path, 2 * free, margin_bytes=0)
    with pytest.raises(NotEnoughRoomError):
        await disks.check_room(tmp_path, 0, margin_bytes=2 * free)


async def test_a_disk_that_fills_up_meanwhile_leaves_nothing(tmp_path, monkeypatch):
    # qemu-img's own words, and a file that it has begun.
    fake_qemu_img(
        tmp_path,
        monkeypatch,
        'for word; do case "$word" in *.making-*) echo half > "$word";; esac; done\n'
        'echo "qemu-img: v.qcow2: Could not write qcow2 header: No space left on device" >&2; exit 1',
    )
    with pytest.raises(NotEnoughRoomError, match="is full"):
        await disks.create_blank(tmp_path / "v.qcow2", MIB)
    assert [entry.name for entry in tmp_path.iterdir()] == ["qemu-img"]


async def test_a_qemu_img_that_hangs_is_given_up(tmp_path, monkeypatch):
    fake_qemu_img(tmp_path, monkeypatch, "exec sleep 600")
    monkeypatch.setattr(disks, "_LIMIT_S", 0.1)
    with pytest.raises(disks.DiskError, match="did not end"):
        await disks.info(tmp_path / "v.qcow2")


async def test_a_missing_qemu_img_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(disks, "BINARY", "qemu-img-of-nobody")
    with pytest.raises(disks.DiskError, match="apt-get install qemu-utils"):
        await disks.create_blank(tmp_path / "v.qcow2", MIB)


@pytest.mark.parametrize("answer", ["", "[]", json.dumps({"format": "qcow2"})])
async def test_an_answer_that_is_not_understood(tmp_path, monkeypatch, answer):
    fake_qemu_img(tmp_path, monkeypatch, f"echo '{answer}'")
    with pytest.raises(disks.DiskError, match="not understood"):
        await disks.info(tmp_path / "v.qcow2")


async def test_leftovers_of_a_crash_go_and_nothing_else(tmp_path):
    await disks.create_blank(tmp_path / "v.qcow2", MIB)
    (tmp_path / ".making-w.qcow2-12345678").touch()
    removed = await disks.remove_leftovers(tmp_path)
    assert [path.name for path in removed] == [".making-w.qcow2-12345678"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.qcow2"]


def test_what_works_on_a_disk_for_long_ends_with_the_process_that_began_it(tmp_path):
    """Else it would keep the disk locked, and the machine could not start after the cloud's process was killed."""
    program = tmp_path / "qemu-img"
    program.write_text("#!/bin/sh\necho $$ > begun.new; mv begun.new begun; exec sleep 600\n")
    program.chmod(0o700)
    script = (
        "import asyncio, pathlib; from educloud_lab.localcloud import disklayers, disks;"
        f"disks.BINARY = {str(program)!r};"
        "asyncio.run(disklayers.rebase(pathlib.Path('vol.qcow2'), None))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    begun, end = tmp_path / "begun", time.monotonic() + 60
    while not begun.exists() and process.poll() is None and time.monotonic() < end:
        os.sched_yield()
    tool = os.pidfd_open(int(begun.read_text()))
    process.kill()
    process.wait()
    try:
        assert select.select([tool], [], [], 20)[0], "it works on"
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(tool, signal.SIGKILL)
        os.close(tool)
