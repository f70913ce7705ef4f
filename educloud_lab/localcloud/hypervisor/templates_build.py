"""Making a template: boot once until it waits for its personality, stop it, keep its memory and its devices' state."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path

from educloud_lab.localcloud import disks
from educloud_lab.localcloud.hypervisor import qcow
from educloud_lab.localcloud.hypervisor.base import HypervisorError
from educloud_lab.localcloud.hypervisor.qemu_launch import launch
from educloud_lab.localcloud.hypervisor.qemu_monitor import Monitor
from educloud_lab.localcloud.hypervisor.qemu_process import ProcessStat, find_by_pidfile, is_alive
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles
from educloud_lab.localcloud.hypervisor.templates import MAKING_PREFIX, Template, TemplateKey, TemplateStore
from educloud_lab.localcloud.hypervisor.templates_command import (
    IGNORE_SHARED,
    TemplateFiles,
    memory_mib,
    template_arguments,
)
from educloud_lab.localcloud.hypervisor.templates_personality import Channel, TemplateError

log = logging.getLogger(__name__)

BOOT_LIMIT_S = 900.0  # it runs with what the machines of people leave over
_SAVE_LIMIT_S = 60.0
_POLL_S = 0.05
NICENESS = 5
_RUN_PREFIX = "t-"


async def make(
    store: TemplateStore, key: TemplateKey, arguments: Sequence[str], *, qemu: str, run_dir: Path, log_dir: Path
) -> Template:
    """Boot a template, save it, and put it in its place; nothing is left behind otherwise, also when cancelled.

    Parameters
    ----------
    arguments : command line of a cold start of such a machine.
    run_dir, log_dir : where the process keeps its sockets (short paths) and its words.

    Raises
    ------
    TemplateError
        It did not boot, did not wait, wrote to its disk, or could not be saved.
    """
    base = Path(key.image[0][0])
    making = store.folder / f"{MAKING_PREFIX}{uuid.uuid4().hex[:8]}"
    run = run_dir / f"{_RUN_PREFIX}{making.name.removeprefix(MAKING_PREFIX)}"
    stat: ProcessStat | None = None
    try:
        memory, root = making / "memory", making / "root.qcow2"
        _prepare(store.folder, making, run, log_dir, memory, memory_mib(arguments) << 20)
        await disks.create_overlay(root, base)
        files = TemplateFiles(run)
        command = template_arguments(arguments, memory=memory, root=root, channel=files.channel, qemu=qemu, files=files)
        stat = await launch(command, MachineFiles(run, log_dir / "template.log"))
        _be_nice(stat.pid)
        await _wait_and_save(files, stat, making / "state")
        await _ended(stat)
        header = qcow.read_header(root)
        if header is None or not header.untouched:
            raise TemplateError("The template wrote to its disk: its memory fits no other disk.")
        root.unlink()
        return await asyncio.to_thread(store.publish, making, key, memory_mib(arguments))
    except TemplateError:
        raise
    except (HypervisorError, OSError) as error:
        raise TemplateError(f"No template was made: {error}") from error
    finally:
        if stat is None:
            stat = find_by_pidfile(run / "pid")
        if stat is not None and is_alive(stat.pid, stat.start_ticks):
            os.kill(stat.pid, signal.SIGKILL)
        for folder in (making, run):
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path, making: Path, run: Path, log_dir: Path, memory: Path, memory_bytes: int) -> None:
    """Make the folders and the file that the memory will lie in, for their owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    making.mkdir(mode=0o700)
    run.mkdir(mode=0o700, parents=True)
    log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with memory.open("xb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.truncate(memory_bytes)


def clear_leftovers(store: TemplateStore, run_dir: Path) -> None:
    """End and remove what an earlier process was making when it was killed."""
    for pid in _makers(store.folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for run in run_dir.glob(f"{_RUN_PREFIX}*"):
        shutil.rmtree(run, ignore_errors=True)
    for making in store.folder.glob(f"{MAKING_PREFIX}*"):
        shutil.rmtree(making, ignore_errors=True)


def _makers(folder: Path) -> list[int]:
    """Processes of this user whose memory is a template that is being made in ``folder``."""
    mark = os.fsencode(folder / MAKING_PREFIX)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if entry.stat().st_uid == os.getuid() and mark in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


async def _wait_and_save(files: TemplateFiles, stat: ProcessStat, state: Path) -> None:
    channel = Channel(files.channel, stat.pid, stat.start_ticks)
    monitor = Monitor(files.control, "the template")
    await channel.open()
    try:
        await channel.wait_for("waiting", BOOT_LIMIT_S)
        await monitor.execute("stop")
        await monitor.execute("migrate-set-capabilities", IGNORE_SHARED)
        descriptor = os.open(state, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.close(descriptor)
        await monitor.execute("migrate", {"uri": f"exec:cat > {shlex.quote(str(state))}"})
        await _saved(monitor)
        await monitor.execute("quit")
    finally:
        channel.close()
        await monitor.close()


async def _saved(monitor: Monitor) -> None:
    async with asyncio.timeout(_SAVE_LIMIT_S):
        while True:
            answer = await monitor.execute("query-migrate")
            status = answer.get("status", "")
            if status == "completed":
                return
            if status in {"failed", "cancelled"}:
                raise TemplateError(f"QEMU could not save it: {answer.get('error-desc', status)}")
            await asyncio.sleep(_POLL_S)


async def _ended(stat: ProcessStat) -> None:
    """Wait until the process has closed its files."""
    async with asyncio.timeout(_SAVE_LIMIT_S):
        while is_alive(stat.pid, stat.start_ticks):  # noqa: ASYNC110 - it is no child of ours
            await asyncio.sleep(_POLL_S)


def _be_nice(pid: int) -> None:
    """Let machines that somebody waits for go first."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), NICENESS)
    with contextlib.suppress(OSError):  # sessions of a desktop are weighed as groups (sched(7))
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS))
