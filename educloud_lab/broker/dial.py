"""Connecting to a machine that is still booting, without losing time to a connection that went nowhere.

The shell adapter waits for the machine's greeting by itself. An attempt that takes very long all the same is joined by
another one, and the first that succeeds wins; not sooner, since logins share the guest's one emulated processor.
"""

from __future__ import annotations

import asyncio
from typing import Final

from educloud_lab.broker import grants
from educloud_lab.broker.machine import stopped_by_itself
from educloud_lab.broker.run import Run
from educloud_lab.broker.tags import find_instance
from educloud_lab.domain.errors import LoginRefusedError, MachineUnreachableError, NeverAnsweredError
from educloud_lab.ports.cloud import InstanceState
from educloud_lab.ports.shell import Connection, Grant

_DOWN: Final = (
    InstanceState.STOPPED,
    InstanceState.TERMINATED,
    InstanceState.SHUTTING_DOWN,
    InstanceState.STOPPING,
)
_LOOK_S = 2.0  # how often a machine that does not answer is looked for in the cloud


class _Dialler:
    """Attempts at one machine."""

    def __init__(self, run: Run, grant: Grant) -> None:
        self._run = run
        self._clock_s = run.parts.clock.monotonic_s
        self.grant = grant
        self.began_s = self.grant_s = self._looked_s = self._clock_s()
        self._last_s = float("-inf")
        self._attempts: list[asyncio.Task[Connection]] = []

    async def round(self) -> Connection | None:
        """Begin an attempt when it is time, wait a little, and return a connection when there is one."""
        parts, config = self._run.parts, self._run.parts.config
        since_s = self._clock_s() - self._last_s
        # The more that wait already, the likelier is it that the machine is only slow: an attempt is never cut short.
        hedge_s = config.connect_hedge_s * max(1, len(self._attempts) - 2)
        wanted = since_s >= (hedge_s if self._attempts else config.connect_retry_s)
        if wanted and len(self._attempts) < config.connect_attempts:
            self._last_s = self._clock_s()
            work = parts.shell.connect(self.grant, timeout_s=config.connect_timeout_s)
            self._attempts.append(asyncio.ensure_future(work))
        pause = asyncio.ensure_future(parts.clock.sleep(config.connect_retry_s))
        try:
            await asyncio.wait({pause, *self._attempts}, return_when=asyncio.FIRST_COMPLETED)
            if not any(attempt.done() for attempt in self._attempts):
                return None
            found = self._harvest()
            if found is None and not self._attempts:
                await pause
            return found
        finally:
            pause.cancel()

    def _harvest(self) -> Connection | None:
        for attempt in [attempt for attempt in self._attempts if attempt.done()]:
            self._attempts.remove(attempt)
            try:
                return attempt.result()
            except MachineUnreachableError:
                continue
            except LoginRefusedError:
                # A guest corrects its clock by itself, and a gateway reads its lines a moment later.
                if self._clock_s() - self.began_s > self._run.parts.config.login_refused_limit_s:
                    raise
        return None

    async def watch(self) -> None:
        """Notice a machine that went down; keep the grant fresh."""
        run, now_s = self._run, self._clock_s()
        if now_s - self._looked_s > _LOOK_S:
            self._looked_s = now_s
            seen = find_instance(await run.look(), run.parts.deployment, run.lease)
            if seen is not None and seen.state in _DOWN:
                raise stopped_by_itself()
        if now_s - self.grant_s > run.parts.config.grant_s / 2:
            self.grant, self.grant_s = await grants.broker_grant(run.parts, run.lease), now_s

    async def close(self) -> None:
        """Give up the attempts that are left; close one that succeeded too late."""
        for attempt in self._attempts:
            attempt.cancel()
        for result in await asyncio.gather(*self._attempts, return_exceptions=True):
            if not isinstance(result, BaseException):
                await result.close()


async def dial(run: Run, *, limit_s: float) -> Connection:
    """Connect as the broker, trying again while nobody answers.

    Raises
    ------
    NeverAnsweredError
        Nobody answered within the limit.
    HostKeyError, LoginRefusedError
        As the port says; a refused login is tried again for a while.
    CloudStateError
        The machine went down meanwhile.
    """
    dialler = _Dialler(run, await grants.broker_grant(run.parts, run.lease))
    try:
        while True:
            run.check()
            connection = await dialler.round()
            if connection is not None:
                return connection
            if run.parts.clock.monotonic_s() - dialler.began_s > limit_s:
                raise NeverAnsweredError(
                    f"The machine did not answer within {limit_s:.0f} seconds.",
                    kept="Your data volume was not changed.",
                    next_step="Look at the console log. Press Start to try again, or Delete machine for a new one.",
                )
            await dialler.watch()
    finally:
        await dialler.close()
