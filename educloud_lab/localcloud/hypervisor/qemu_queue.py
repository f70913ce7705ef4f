"""Starting machines without choking the host: a queue as wide as the cores, and a sum of memory.

Eight machines started at once all answer after 30 s; two at a time, the first answers after 7 s and the last after
29 s (software emulation, two cores). So a start keeps its place until its machine has settled down.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from educloud_lab.localcloud.hypervisor.base import MachineSpec, NotEnoughRoomError
from educloud_lab.localcloud.hypervisor.qemu_command import TCG_CACHE_MIB
from educloud_lab.localcloud.hypervisor.qemu_process import is_alive, read_stat
from educloud_lab.localcloud.hypervisor.qemu_record import MachineRecord

_MIB = 1024 * 1024
_OVERHEAD_BYTES = 50 * _MIB  # QEMU itself, measured

_POLL_S = 0.25
_WINDOW_POLLS = 4
_SETTLED_SHARE = 0.3  # of one core over the window
_BOOT_LIMIT_S = 40.0


class StartQueue:
    """At most ``width`` machines boot at a time; a start that finds a free place waits for nothing."""

    def __init__(self, width: int | None = None) -> None:
        self.width = width or os.cpu_count() or 1
        self._places = asyncio.Semaphore(self.width)
        self._holders: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._some_start = asyncio.Event()
        self._none_starts = asyncio.Event()
        self._none_starts.set()

    async def enter(self) -> None:
        """Wait for a place."""
        self._starting += 1
        self._some_start.set()
        self._none_starts.clear()
        try:
            await self._places.acquire()
        except BaseException:  # it does not wait any more
            self._one_less()
            raise

    def leave(self) -> None:
        """Give the place back at once (nothing was started)."""
        self._places.release()
        self._one_less()

    async def quiet(self, quiet_s: float) -> None:
        """Wait until for ``quiet_s`` nobody has had or wanted a place."""
        while True:
            await self._none_starts.wait()
            try:
                async with asyncio.timeout(quiet_s):
                    await self._some_start.wait()
            except TimeoutError:
                return

    def leave_when_settled(self, pid: int, start_ticks: int, answers: Callable[[], bool] = lambda: False) -> None:
        """Give the place back when the machine has booted: it uses little of its core, or it ended, or 40 s passed.

        Parameters
        ----------
        answers : tells that it can be used already, which comes a second before it is seen to rest.
        """
        holder = asyncio.create_task(self._hold(pid, start_ticks, answers), name=f"boot of process {pid}")
        self._holders.add(holder)
        holder.add_done_callback(self._holders.discard)

    async def close(self) -> None:
        """Stop watching boots."""
        holders = list(self._holders)
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)

    def _one_less(self) -> None:
        self._starting -= 1
        if not self._starting:
            self._some_start.clear()
            self._none_starts.set()

    async def _hold(self, pid: int, start_ticks: int, answers: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _BOOT_LIMIT_S
        samples: list[tuple[float, float]] = []
        try:
            while loop.time() < end and is_alive(pid, start_ticks) and not answers():
                stat = read_stat(pid)
                if stat is None:
                    return
                samples.append((loop.time(), stat.cpu_s))
                if len(samples) > _WINDOW_POLLS:
                    (then, before) = samples[-1 - _WINDOW_POLLS]
                    if (stat.cpu_s - before) / (loop.time() - then) < _SETTLED_SHARE:
                        return
                await asyncio.sleep(_POLL_S)
        finally:
            self.leave()


def promised_bytes(memory_bytes: int, accel: str) -> int:
    """Memory of the host that one machine may come to use."""
    cache = TCG_CACHE_MIB * _MIB if accel == "tcg" else 0
    return memory_bytes + cache + _OVERHEAD_BYTES


def check_memory_for(spec: MachineSpec, accel: str, others: Iterable[MachineRecord]) -> None:
    """Refuse a machine that the host's memory cannot carry beside the others. Raises NotEnoughRoomError."""
    running = [
        (each.pid, promised_bytes(each.spec.memory_bytes, each.accel)) for each in others if each.pid is not None
    ]
    check_memory(promised_bytes(spec.memory_bytes, accel), running)


def check_memory(needed_bytes: int, running: Iterable[tuple[int, int]]) -> None:
    """Refuse a start that the host's memory cannot carry.

    Parameters
    ----------
    needed_bytes : what the new machine may come to use.
    running : (pid, promised bytes) of the others; what they have not touched yet is counted as used.

    Raises
    ------
    NotEnoughRoomError
        Nothing was started.
    """
    untouched = 0
    for pid, promised in running:
        stat = read_stat(pid)
        if stat is not None:
            untouched += max(0, promised - stat.rss_bytes)
    available = available_memory_bytes() - untouched
    if needed_bytes > available:
        raise NotEnoughRoomError(
            f"The machine needs {needed_bytes // _MIB} MiB of memory and {max(0, available) // _MIB} MiB are free. "
            "Nothing was started; stop another machine or close programs, then start again."
        )


def available_memory_bytes(root: Path = Path("/")) -> int:
    """Memory that can still be taken: the kernel's estimate, or what the control group leaves if that is less."""
    available = _meminfo(root / "proc/meminfo")
    for group in _control_groups(root):
        for limit_name, usage_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, usage = _number(group / limit_name), _number(group / usage_name)
            # Version 1 shows 2^63 for "no limit": larger than anything, so min() needs no special case.
            if limit is not None and usage is not None:
                available = min(available, max(0, limit - usage + _given_back(group / "memory.stat")))
    return available


def _given_back(path: Path) -> int:
    """Return what the kernel takes back before it refuses: files that were read once count as used until then."""
    try:
        found = dict(line.split(" ", 1) for line in path.read_text("ascii").splitlines())
        return int(found.get("total_inactive_file", found.get("inactive_file", "0")))
    except (OSError, ValueError):
        return 0


def _control_groups(root: Path) -> Iterator[Path]:
    """Give the folders of this process's group and of all that it lies in: each may have a limit of its own.

    In a container's own view the group is the root of what is mounted; without a view of its own the path leads
    nowhere, and only the mounted root is there to be asked.
    """
    mounted = root / "sys/fs/cgroup"
    yield from (mounted, mounted / "memory")
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        parts = PurePosixPath(path).parts[1:]
        if (controllers and "memory" not in controllers.split(",")) or ".." in parts:
            continue
        for depth in range(1, len(parts) + 1):
            yield mounted.joinpath(*(["memory"] if controllers else []), *parts[:depth])


def _meminfo(path: Path) -> int:
    for line in path.read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 1 << 62  # older than Linux 3.14: no estimate, so no refusal


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii").strip())
    except (OSError, ValueError):
        return None  # absent, or "max"
