"""The start queue's places, and the sum of memory."""

import asyncio
import os

import pytest

from educloud_lab.localcloud.hypervisor.base import NotEnoughRoomError
from educloud_lab.localcloud.hypervisor.qemu_process import find_by_pidfile, is_alive, read_stat
from educloud_lab.localcloud.hypervisor.qemu_queue import (
    StartQueue,
    available_memory_bytes,
    check_memory,
    promised_bytes,
)
from tests.patience import LIMIT_S

MIB = 1024 * 1024


async def test_a_free_place_is_taken_at_once_and_the_next_waits():
    queue = StartQueue(2)
    await queue.enter()
    await queue.enter()
    third = asyncio.create_task(queue.enter())
    await asyncio.wait({third}, timeout=0)
    assert not third.done()
    queue.leave()
    await third


async def test_a_machine_that_ended_gives_its_place_back():
    queue = StartQueue(1)
    await queue.enter()
    # Start ticks of another life: the process that held the place is gone.
    queue.leave_when_settled(os.getpid(), 1)
    await asyncio.wait_for(queue.enter(), LIMIT_S)


async def test_closing_ends_the_watching():
    queue = StartQueue(1)
    await queue.enter()
    queue.leave_when_settled(os.getpid(), read_stat(os.getpid()).start_ticks)
    await queue.close()
    assert len(asyncio.all_tasks()) == 1


def test_the_width_is_the_cores():
    assert StartQueue().width == os.cpu_count()


def test_emulation_promises_its_cache_too():
    assert promised_bytes(256 * MIB, "tcg") - promised_bytes(256 * MIB, "kvm") == 64 * MIB


def test_memory_that_is_not_there_is_refused():
    with pytest.raises(NotEnoughRoomError, match="Nothing was started"):
        check_memory(1 << 50, [])
    check_memory(1, [])


def test_what_others_were_promised_and_have_not_touched_counts():
    with pytest.raises(NotEnoughRoomError):
        check_memory(1, [(os.getpid(), 1 << 50)])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 1000 * 1024),
        ({"memory.max": "max", "memory.current": "5"}, 1000 * 1024),
        ({"memory.max": "2000", "memory.current": "500"}, 1500),
        ({"memory.max": "2000", "memory.current": "5000"}, 0),
        ({"memory/memory.limit_in_bytes": str(2**63 - 4096), "memory/memory.usage_in_bytes": "5"}, 1000 * 1024),
        ({"memory/memory.limit_in_bytes": "9000", "memory/memory.usage_in_bytes": "5"}, 8995),
        # Every group on the way down may have a limit; this process is in /lab/jupyter.
        ({"lab/memory.max": "3000", "lab/memory.current": "1", "lab/jupyter/memory.max": "max"}, 2999),
        ({"lab/jupyter/memory.max": "70", "lab/jupyter/memory.current": "50"}, 20),
        ({"memory/lab/memory.limit_in_bytes": "80", "memory/lab/memory.usage_in_bytes": "50"}, 30),
        ({"other/memory.max": "70", "other/memory.current": "50"}, 1000 * 1024),
        # Files that were read once are given back before anything is refused.
        ({"memory.max": "2000", "memory.current": "1500", "memory.stat": "anon 9\ninactive_file 1000"}, 1500),
    ],
)
def test_a_control_group_may_leave_less(tmp_path, files, expected):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 5000 kB\nMemAvailable:    1000 kB\n")
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/cgroup").write_text("5:cpu,memory:/lab/jupyter\n4:pids:/other\n0::/lab/jupyter\n")
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert available_memory_bytes(tmp_path) == expected


def test_a_pid_used_again_is_not_our_process():
    me = read_stat(os.getpid())
    assert is_alive(me.pid, me.start_ticks)
    assert not is_alive(me.pid, me.start_ticks + 1)
    assert not is_alive(2**22 + 1, None)


@pytest.mark.parametrize("text", ["", "nonsense", "0", str(2**22 + 1)])
def test_a_pid_file_that_leads_nowhere(tmp_path, text):
    (tmp_path / "pid").write_text(text)
    assert find_by_pidfile(tmp_path / "pid") is None
    assert find_by_pidfile(tmp_path / "none") is None


async def test_quiet_is_when_nobody_has_or_wants_a_place():
    queue = StartQueue(1)
    await queue.quiet(0)
    await queue.enter()
    waiting = asyncio.create_task(queue.enter())
    quiet = asyncio.create_task(queue.quiet(0))
    await asyncio.wait({quiet}, timeout=0)
    queue.leave()
    await waiting
    await asyncio.wait({quiet}, timeout=0)
    assert not quiet.done()
    queue.leave()
    await quiet


async def test_who_gives_up_waiting_is_not_counted_any_more():
    queue = StartQueue(1)
    await queue.enter()
    waiting = asyncio.create_task(queue.enter())
    await asyncio.wait({waiting}, timeout=0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    queue.leave()
    await asyncio.wait_for(queue.quiet(0), LIMIT_S)


async def test_a_machine_that_answers_gives_its_place_to_the_next():
    queue = StartQueue(1)
    await queue.enter()
    queue.leave_when_settled(os.getpid(), read_stat(os.getpid()).start_ticks, lambda: True)
    await asyncio.wait_for(queue.enter(), LIMIT_S)
    await queue.close()
