"""How fast the cloud is asked: a token bucket for each operation and one for all, shared by all brokers on one store.

Nothing throttles a client on Eucalyptus (SAFETY.md, E5), so the client must. Tokens are taken in the store at the
moment of the call, so that the rate holds for an account however many brokers work on it; within one process those who
wait for an operation stand in line, first come first served, and only the first of them asks the store. When the cloud
itself asks to slow down, that operation's rate is halved, and comes back slowly.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final, cast

from educloud_lab.broker.config import BrokerConfig
from educloud_lab.domain.errors import CloudBusyError, EducloudError
from educloud_lab.ports.clock import Clock
from educloud_lab.ports.cloud import Cloud
from educloud_lab.ports.store import Rate, Store

OPERATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "observe": ("DescribeInstances", "DescribeVolumes"),
    "images": ("DescribeImages",),
    "zones": ("DescribeAvailabilityZones",),
    "zone_states": ("DescribeAvailabilityZones",),
    "instance_health": ("DescribeInstanceStatus",),
    "lets_in": ("DescribeInstances", "DescribeSecurityGroups"),
    "security_groups": ("DescribeSecurityGroups",),
    "key_pairs": ("DescribeKeyPairs",),
    "ensure_group": ("DescribeSecurityGroups",),  # and the calls that make it, once in a deployment's life
    "run_instance": ("RunInstances",),
    "start_instance": ("StartInstances",),
    "stop_instance": ("StopInstances",),
    "terminate_instance": ("TerminateInstances",),
    "console_output": ("GetConsoleOutput",),
    "create_volume": ("CreateVolume",),
    "delete_volume": ("DeleteVolume",),
    "grow_volume": ("ModifyVolume",),
    "observe_snapshots": ("DescribeSnapshots",),
    "create_snapshot": ("CreateSnapshot",),
    "delete_snapshot": ("DeleteSnapshot",),
    "attach_volume": ("AttachVolume",),
    "detach_volume": ("DetachVolume",),
    "tag": ("CreateTags",),
}
"""What the cloud is asked by each method of the port; a method that is not here counts under its own name."""

ASKS_NOTHING: Final = frozenset({"clock_offset_s", "close"})
"""What is answered without the cloud."""

SHARED: Final = frozenset({"images", "zones", "security_groups", "key_pairs"})
"""Questions without arguments: all who wait for their turn with the same one share its answer."""

TELL: ContextVar[Callable[[str], Awaitable[None]] | None] = ContextVar("tell", default=None)
"""Says to a person what the present step waits for, where somebody looks."""

_SLOWEST = 8.0
_SLOWER_EVERY_S = 2.0  # refusals of calls that were under way together count once
_RECOVER_S = 10.0  # after so long without a refusal the rate grows by a quarter
_RECOVER = 1.25
_TELL_AGAIN_S = 20.0
_LEAST_WAIT_S = 0.005  # a database's clock has steps


class Pace:
    """Gives calls their turn.

    Parameters
    ----------
    store : where the buckets are.
    clock : what waiting is measured by; the buckets go by the store's own.
    config : the rates.
    """

    def __init__(self, store: Store, clock: Clock, config: BrokerConfig) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._lines: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._slow: dict[str, tuple[float, float]] = {}  # by operation: how many times slower, since when

    def rate(self, operation: str) -> Rate:
        """Return how fast an operation may be called now."""
        rate = self._config.rate_of(operation)
        times = self._slowness(operation)
        return Rate(rate.per_s / times, max(1.0, rate.burst / times)) if times > 1.0 else rate

    def _slowness(self, operation: str) -> float:
        times, since_s = self._slow.get(operation, (1.0, 0.0))
        if times > 1.0:
            # A power of minus so much ends at nought; of plus so much it would be too large for a number one day.
            times *= _RECOVER ** -int((self._clock.monotonic_s() - since_s) / _RECOVER_S)
        return max(1.0, times)

    def slow_down(self, operation: str) -> None:
        """Ask half as fast from now on: the cloud said that it is too much."""
        now_s = self._clock.monotonic_s()
        if operation in self._slow and now_s - self._slow[operation][1] < _SLOWER_EVERY_S:
            return
        self._slow[operation] = min(_SLOWEST, 2.0 * self._slowness(operation)), now_s

    async def turn(self, operations: tuple[str, ...]) -> None:
        """Wait until these operations may be called, once each."""
        self._waiting.update(operations)
        try:
            if any(self._line(name).locked() for name in operations) or await self._take(operations) > 0.0:
                async with self._telling(operations):
                    await self._stand_in_line(operations)
        finally:
            self._waiting.subtract(operations)

    def _line(self, operation: str) -> asyncio.Lock:
        return self._lines.setdefault(operation, asyncio.Lock())

    async def _stand_in_line(self, operations: tuple[str, ...]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for name in sorted(operations):  # in one order, so that two never wait for each other
                await stack.enter_async_context(self._line(name))
            while (wait_s := await self._take(operations)) > 0.0:
                await self._clock.sleep(max(wait_s, _LEAST_WAIT_S))

    async def _take(self, operations: tuple[str, ...]) -> float:
        rates = {name: self.rate(name) for name in operations}
        rates["all"] = replace(self._config.rate_of("all"), take=float(len(operations)))
        return await self._store.transact(lambda tx: tx.take_tokens(rates))

    @contextlib.asynccontextmanager
    async def _telling(self, operations: tuple[str, ...]) -> AsyncIterator[None]:
        """Say what is waited for when it takes long."""
        tell = TELL.get()
        task = asyncio.ensure_future(self._tell(tell, operations)) if tell is not None else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _tell(self, tell: Callable[[str], Awaitable[None]], operations: tuple[str, ...]) -> None:
        await self._clock.sleep(self._config.say_pace_s)
        with contextlib.suppress(EducloudError):  # the step itself finds out what is wrong
            while True:
                await tell(self.text(operations[0]))
                await self._clock.sleep(_TELL_AGAIN_S)

    def text(self, operation: str) -> str:
        """Return what a call of an operation waits for, for people."""
        rate, waiting = self.rate(operation), self._waiting[operation]
        pace = f"{rate.per_s:.3g} times a second" if rate.per_s >= 1.0 else f"once in {1.0 / rate.per_s:.3g} seconds"
        calls = "1 call waits" if waiting == 1 else f"{waiting} calls wait"
        return f"The cloud is asked no faster than {pace}; {calls}"


class _PacedCloud:
    """Passes every method of the port on when its turn has come, those that the port does not have yet as well."""

    def __init__(self, cloud: Cloud, pace: Pace) -> None:
        self._cloud = cloud
        self._pace = pace
        self._joinable: dict[str, asyncio.Future[Any]] = {}  # waiting for their turn, not asked yet

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cloud, name)
        if name in ASKS_NOTHING or not callable(method):
            return method
        operations = OPERATIONS.get(name, (name,))

        async def call(*arguments: Any, **named: Any) -> Any:
            await self._pace.turn(operations)
            self._joinable.pop(name, None)  # who asks from here on wants a newer answer than this one
            try:
                return await method(*arguments, **named)
            except CloudBusyError:
                for operation in operations:
                    self._pace.slow_down(operation)
                raise

        if name not in SHARED:
            return call

        async def join() -> Any:
            task = self._joinable.get(name)
            if task is None or task.done():
                task = self._joinable[name] = asyncio.ensure_future(call())
            return await asyncio.shield(task)

        return join


def paced(cloud: Cloud, pace: Pace) -> Cloud:
    """Return the same cloud, asked no faster than the pace allows."""
    return cast("Cloud", _PacedCloud(cloud, pace))
