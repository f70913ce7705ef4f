"""One attempt at one job by one broker: claim, fenced writes, steps, and where it may be cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from educloud_lab.broker.clock import wait_event
from educloud_lab.broker.intents import DIED
from educloud_lab.broker.pace import TELL
from educloud_lab.broker.parts import Bell, Parts
from educloud_lab.broker.recording import Recording, Told, Written, things_of
from educloud_lab.domain.errors import CloudError, NotFoundError, StaleClaimError
from educloud_lab.domain.job import JobKind, StepState
from educloud_lab.domain.lease import Target
from educloud_lab.ports.calls import CALLS
from educloud_lab.ports.cloud import CloudView
from educloud_lab.ports.records import Claim, JobRecord, LeaseRecord, StepRecord, VolumeRecord
from educloud_lab.ports.store import Transaction

T = TypeVar("T")
StepFunction = Callable[["Run"], Awaitable[None]]


class Superseded(Exception):  # noqa: N818 - not an error: the person changed their mind
    """The person wants something else now; the job ends between two steps."""


class Run:
    """What the steps of a job work with.

    Parameters
    ----------
    parts : the broker's ports.
    job : the job as claimed.
    lease, volume : as read with the claim; refreshed by each write.
    told : calls of former attempts, and ids of the lease's own that neither ``lease`` nor ``volume`` names; None when
        no calls are kept.
    """

    def __init__(
        self,
        parts: Parts,
        job: JobRecord,
        lease: LeaseRecord,
        volume: VolumeRecord | None,
        told: Told | None = None,
    ) -> None:
        self.parts = parts
        self.job = job
        self.claim = Claim(job_id=job.id, holder=parts.holder, epoch=job.epoch)
        self.lease = lease
        self._volume = volume
        self.notes: dict[str, Any] = {}  # what one step learnt and a later one needs
        self.superseded = self._is_superseded(lease)
        self._steps: dict[str, StepRecord] = {}
        self._cleanups: list[Callable[[], Awaitable[None]]] = []
        self._bell = parts.nudged.setdefault(lease.id, Bell())
        self._recording = Recording(job, self._things, told) if told is not None else None

    @property
    def volume(self) -> VolumeRecord:
        """The data volume's record; steps that use it exist only when there is one."""
        if self._volume is None:
            raise NotFoundError("This machine has no data volume.")
        return self._volume

    def _is_superseded(self, lease: LeaseRecord) -> bool:
        # Only a start is given up half-way; a stop that began is finished, whatever is wanted by then.
        return self.job.kind is JobKind.START and lease.target is not Target.RUNNING

    def _things(self) -> set[str]:
        return things_of(self.lease, self._volume)

    def listen(self, step: str) -> None:
        """Keep account of what this task, and those that it makes, call from here on."""
        CALLS.set(self._recording.of(step) if self._recording is not None else None)

    @property
    def has_volume(self) -> bool:
        """Whether the lease has a data volume."""
        return self._volume is not None

    def on_end(self, cleanup: Callable[[], Awaitable[None]]) -> None:
        """Remember what to close when the attempt is over."""
        self._cleanups.append(cleanup)

    async def end(self) -> None:
        """Close what the steps opened."""
        for cleanup in reversed(self._cleanups):
            await cleanup()
        self._cleanups.clear()

    async def commit(self, label: str, function: Callable[[Transaction], T]) -> T:
        """Run a fenced transaction: it is dropped when another broker holds the job.

        Raises
        ------
        StaleClaimError
            Another broker works on this job now.
        """
        await self.parts.checkpoint(f"commit {label}: before")

        recording = self._recording

        def fenced(tx: Transaction) -> tuple[T, LeaseRecord | None, VolumeRecord | None, Written]:
            tx.check_claim(self.claim)
            result = function(tx)
            written = recording.write(tx) if recording is not None else {}
            return result, tx.lease(self.lease.id), tx.volume_of(self.lease.id), written

        result, lease, volume, written = await self.parts.transact(fenced)
        if recording is not None:
            recording.written(written)
        if lease is not None:
            self.lease = lease
            self.superseded = self._is_superseded(lease)
        self._volume = volume
        await self.parts.checkpoint(f"commit {label}: after")
        return result

    async def put_lease(self, label: str, **changes: Any) -> None:
        """Change fields of the lease in a fenced transaction."""

        def change(tx: Transaction) -> None:
            lease = tx.lease(self.lease.id)
            assert lease is not None
            tx.put_lease(replace(lease, **changes))

        await self.commit(label, change)

    async def put_volume(self, label: str, **changes: Any) -> None:
        """Change fields of the volume's record in a fenced transaction."""

        def change(tx: Transaction) -> None:
            volume = tx.volume_of(self.lease.id)
            assert volume is not None
            tx.put_volume(replace(volume, **changes))

        await self.commit(label, change)

    async def outside(self, label: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that changes the world, with a checkpoint before and after it.

        Raises
        ------
        StaleClaimError
            Another broker works on this job now. A process that stood still for longer than its claim wakes up just
            here, and nothing fences the cloud: what it was about to do may undo what the other one has done since.
        """
        await self.parts.checkpoint(f"call {label}: before")
        await self._renew()
        result = await call()
        await self.parts.checkpoint(f"call {label}: after")
        return result

    def check(self) -> None:
        """Raise :class:`Superseded` when the person wants something else now."""
        if self.superseded:
            raise Superseded

    async def look(self) -> CloudView:
        """Look at the cloud, after checking that this is still wanted."""
        self.check()
        view = await self.parts.sight.look()
        self.check()
        return view

    async def poll(
        self, what: str, function: Callable[[CloudView], T | None], *, limit_s: float, late: Callable[[], CloudError]
    ) -> T:
        """Look until a function of the view gives something else than None; then raise ``late()``."""
        began_s = self.parts.clock.monotonic_s()
        while True:
            found = function(await self.look())
            if found is not None:
                return found
            if self.parts.clock.monotonic_s() - began_s > limit_s:
                raise late()
            await self.say(what)

    async def say(self, text: str, *, step: str | None = None) -> None:
        """Show what the present step waits for, when that is new."""
        name = step or self._present()
        record = self._steps.get(name) if name else None
        if record is None or record.waiting_for == text or record.state is not StepState.DOING:
            return
        await self._put_step(replace(record, waiting_for=text))

    def _present(self) -> str | None:
        task = asyncio.current_task()
        return task.get_name().removeprefix("step ") if task is not None else None

    async def _put_step(self, record: StepRecord) -> None:
        self._steps[record.name] = record
        await self.commit(f"step {record.name} {record.state}", lambda tx: tx.put_step(record))

    async def _step(self, name: str, function: StepFunction, needs: list[asyncio.Event], done: asyncio.Event) -> None:
        for need in needs:
            await need.wait()
        self.check()
        record = self._steps[name]
        clock_s = self.parts.clock.monotonic_s
        began_s = clock_s()
        first = record.state is not StepState.DONE
        if first:
            now = await self.parts.store.transact(lambda tx: tx.now())
            started = record.started_at or now
            await self._put_step(replace(record, state=StepState.DOING, started_at=started, waiting_for=""))
        TELL.set(partial(self.say, step=name))  # for this step's task and those that it makes
        self.listen(name)
        await function(self)
        if first:
            record = self._steps[name]

            def finish(tx: Transaction) -> StepRecord:
                ended = replace(record, state=StepState.DONE, waiting_for="", ended_at=tx.now())
                tx.put_step(ended)
                if self.job.attempts <= 1:
                    tx.add_duration(self.job.scope, name, clock_s() - began_s)
                else:
                    self._forget_problem(tx)
                return ended

            self._steps[name] = await self.commit(f"step {name} done", finish)
        done.set()

    def _forget_problem(self, tx: Transaction) -> None:
        """Take what went wrong in an earlier attempt off the card: this one has come further."""
        lease = tx.lease(self.lease.id)
        if lease is not None and lease.problem is not None and lease.reason != DIED:
            tx.put_lease(replace(lease, problem=None))

    async def steps(self, functions: Mapping[str, StepFunction], needs: Mapping[str, tuple[str, ...]]) -> None:
        """Run steps side by side as far as their needs allow; the first error stops the others.

        Every attempt runs every step: a step that finds its work done does nothing, and its record keeps its first
        times.
        """
        rows = await self.parts.store.transact(lambda tx: tx.steps(self.job.id))
        self._steps = {row.name: row for row in rows}
        events = {name: asyncio.Event() for name in functions}
        tasks = [
            asyncio.create_task(
                self._step(name, function, [events[n] for n in needs.get(name, ()) if n in events], events[name]),
                name=f"step {name}",
            )
            for name, function in functions.items()
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        raised = [r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)]
        if raised:
            # A claim that is lost matters more than whatever else went wrong at the same time.
            raise min(raised, key=lambda error: not isinstance(error, StaleClaimError))

    async def _renew(self) -> LeaseRecord | None:
        """Renew the claim, and return the lease as it is now."""
        clock, for_s = self.parts.clock, self.parts.config.claim_s
        began_s = clock.monotonic_s()

        def renew(tx: Transaction) -> LeaseRecord | None:
            tx.renew_claim(self.claim, for_s=for_s)
            return tx.lease(self.lease.id)

        lease = await self.parts.store.transact(renew)
        if clock.monotonic_s() - began_s >= for_s:
            raise StaleClaimError("The claim ran out while the store answered.")
        return lease

    async def heartbeat(self) -> None:
        """Keep the claim and watch the target, until the attempt is over. Raises when the claim is lost."""
        config = self.parts.config
        while True:
            event = self._bell.event
            await wait_event(self.parts.clock, event, config.heartbeat_s)
            lease = await self._renew()
            if lease is not None:
                self.superseded = self._is_superseded(lease)

    async def release(self) -> None:
        """Let another broker take the job at once."""
        await self.parts.store.transact(lambda tx: tx.renew_claim(self.claim, for_s=0))

    async def after(self, delay_s: float) -> None:
        """Wait, waking early when the person changes their mind."""
        await wait_event(self.parts.clock, self._bell.event, delay_s)
        self.check()
