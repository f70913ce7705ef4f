"""The world of the model: brokers as processes that are killed and paused, one store, one cloud, time that stands.

Everything runs in one thread on a clock that only the model moves, identifiers come from the seed, and the world is
looked at only when nobody has anything to do before time moves. So the same steps always give the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import uuid
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.adapters.memory.shell import MemoryAuthority, MemoryFrontend
from educloud_lab.broker.broker import Broker
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain.profile import MachineProfile, VolumeSpec
from tests.contracts.model.cloud import ModelCloud, ModelShell, ModelStore, SpeakingAuthority

PEOPLE = ("ann", "bob", "cem")
LAB = "01-first"
_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class Died(BaseException):
    """The process is gone: nothing of it may run any more, not even its cleaning up."""


class Violation(AssertionError):  # noqa: N818 - the word for it
    """Something happened that must never happen."""


class ModelClock(FakeClock):
    """Lets everybody run until nobody has anything to do, and only then moves time."""

    async def turns(self, count: int = 0) -> None:
        """Run everybody to rest."""
        # A private name of asyncio, but the only exact answer to "does anybody still want to run?".
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        for _ in range(20_000):
            await asyncio.sleep(0)
            if not ready:
                return
        where = {str(task.get_stack(limit=1)[:1]) for task in asyncio.all_tasks() if not task.done()}
        raise Violation(f"a task runs for ever without waiting for anything; tasks are at {sorted(where)}")


@dataclass(eq=False)
class Process:
    """One broker's process: may die at a checkpoint, or stand still for a while."""

    number: int
    clock: ModelClock
    broker: Broker | None = None
    dead: bool = False
    dies_in: int | None = None
    pauses_in: int | None = None
    going: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    died_at: str = ""

    def __post_init__(self) -> None:
        self.going.set()

    async def checkpoint(self, name: str) -> None:
        """Count what is between an effect and its record; die or stand still there when it is time."""
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                self.dead, self.dies_in, self.died_at = True, None, name
        if self.pauses_in is not None:
            self.pauses_in -= 1
            if self.pauses_in < 0:
                self.pauses_in = None
                self.going.clear()
        await self.alive()

    async def alive(self) -> None:
        """Go on, unless dead; wait while paused."""
        if self.dead:
            raise Died
        while not self.going.is_set():
            await self.going.wait()
            if self.dead:
                raise Died


class _Port:
    """A port as one process has it: gone when it is dead, late when it stands still."""

    def __init__(self, inner: Any, process: Process) -> None:
        self._inner = inner
        self._process = process

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found
        if not asyncio.iscoroutinefunction(found):

            def now(*arguments: Any, **named: Any) -> Any:
                if self._process.dead:
                    raise Died
                return found(*arguments, **named)

            return now

        async def call(*arguments: Any, **named: Any) -> Any:
            await self._process.alive()
            result = await found(*arguments, **named)
            await self._process.alive()
            return _Port(result, self._process) if name == "connect" else result

        return call


class World:
    """The whole of it.

    Parameters
    ----------
    seed : decides identifiers, jitter and keys.
    root_device_type : ``ebs`` or ``instance-store``.
    """

    def __init__(self, seed: int, root_device_type: str = "ebs") -> None:
        self.random = random.Random(seed)
        self.clock = ModelClock()
        self.cloud = ModelCloud(self.clock, root_device_type=root_device_type)
        self.frontend = MemoryFrontend()
        self.shell = ModelShell(self.cloud, self.frontend)
        self.store = ModelStore(self.clock)
        self.cloud.store = self.store
        self.authority: MemoryAuthority = SpeakingAuthority()
        self.processes: list[Process] = []
        self.profile = MachineProfile(
            name="first-steps",
            revision=1,
            title="First steps",
            description="",
            image="tiny",
            instance_type="t2.micro",
            login_user="student",
            volume=VolumeSpec(size_gib=1, mount_point="/data"),
            time_limit_s=4 * 3600,
            idle_limit_s=2 * 3600,
            first_connection_limit_s=3600,
        )
        self._log = _Listener()

    @contextlib.contextmanager
    def same_every_time(self) -> Iterator[None]:
        """Take identifiers from the seed, and listen to the log."""
        numbers = self.random

        def token_hex(count: int | None = None) -> str:
            return numbers.randbytes(count or 32).hex()

        def uuid4() -> uuid.UUID:
            return uuid.UUID(bytes=numbers.randbytes(16), version=4)

        logger = logging.getLogger("educloud_lab")
        level, propagate = logger.level, logger.propagate
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(self._log)
        try:
            with mock.patch("secrets.token_hex", token_hex), mock.patch("uuid.uuid4", uuid4):
                yield
        finally:
            logger.removeHandler(self._log)
            logger.setLevel(level)
            logger.propagate = propagate

    @property
    def broken(self) -> list[str]:
        """What the log had to say that must never be said."""
        return self._log.broken

    def factory(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **named: Any
    ) -> asyncio.Task[Any]:
        """Make a task and remember whose process it belongs to."""
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **named)
        process = _PROCESS.get()
        if process is not None:
            process.tasks.add(task)
            task.add_done_callback(process.tasks.discard)
        return task

    async def start_process(self) -> Process:
        """Start a broker."""
        process = Process(len(self.processes), self.clock)
        self.processes.append(process)
        ports = {name: _Port(getattr(self, name), process) for name in ("store", "cloud", "shell", "frontend", "clock")}
        process.broker = Broker(
            **ports,
            authority=self.authority,
            profiles=[self.profile],
            config=BrokerConfig(workers=4, tick_s=2.0, busy_poll_s=0.5, connect_retry_s=0.5, version_poll_s=5.0),
            random_source=random.Random(self.random.random()),
            checkpoint=process.checkpoint,
        )
        await self.inside(process, process.broker.open())
        return process

    async def inside(self, process: Process, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something as part of a process, as a request to it."""
        token = _PROCESS.set(process)
        try:
            task = asyncio.ensure_future(work)
        finally:
            _PROCESS.reset(token)
        await self.clock.turns()
        if not task.done():
            # Who asks a process that stands still waits, and gives up.
            if process.going.is_set() and not process.dead:
                await self.clock.drive(lambda: task.done() or process.dead or not process.going.is_set(), limit_s=120)
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                raise Died
        return task.result()

    async def kill(self, process: Process) -> None:
        """End a process at once: nothing of it runs any more."""
        process.dead = True
        process.going.set()
        for _ in range(20):
            tasks = sorted(process.tasks, key=_number)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            await self.clock.turns()
        else:
            raise AssertionError("a dead process still runs")

    async def bury(self) -> bool:
        """Take away what died by itself at a checkpoint; say whether there was something."""
        dead = [process for process in self.processes if process.dead]
        for process in dead:
            await self.kill(process)
        self.processes = [process for process in self.processes if not process.dead]
        return bool(dead)

    def usable(self) -> list[Process]:
        """Return the processes that answer now."""
        return [process for process in self.processes if not process.dead and process.going.is_set()]

    async def close(self) -> None:
        """End everything."""
        for process in self.processes:
            await self.kill(process)
        self.processes.clear()


class _Listener(logging.Handler):
    """Reads the log as an attacker and as an author would: no secret, no unexpected error."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one record."""
        text = self.format(record)
        if "private of" in text:
            self.broken.append(f"a private key in the log (I7): {text[:200]}")
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            if not isinstance(error, Died) and type(error).__module__.split(".")[0] != "educloud_lab":
                self.broken.append(f"an error that nobody expected: {text[-1500:]}")


def _number(task: asyncio.Task[Any]) -> tuple[int, str]:
    return len(task.get_name()), task.get_name()
