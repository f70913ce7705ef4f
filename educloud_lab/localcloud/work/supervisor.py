"""Compares rows with machines, about once a second and after every change, and starts what is missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import expiry
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.hypervisor.base import Hypervisor, HypervisorError
from educloud_lab.localcloud.operations.common import drop_tags
from educloud_lab.localcloud.state.tables import Attachment, Instance, Volume
from educloud_lab.localcloud.tracing import on_behalf_of
from educloud_lab.localcloud.work.lookout import Lookout
from educloud_lab.localcloud.work.machines import Machines
from educloud_lab.localcloud.work.volumes import Volumes

log = logging.getLogger("educloud.cloud.supervisor")

Spawn = Callable[[str, str, Callable[[], Awaitable[object]]], None]

_RETRY_S = 10.0
_PURGE_PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class _Work:
    """What the rows ask for, read in one transaction."""

    instances: tuple[tuple[str, str, bool], ...]  # id, state, force
    volumes: tuple[tuple[str, str], ...]
    attachments: tuple[tuple[str, str, str], ...]  # volume, instance, state
    watched: dict[str, str]  # instances whose machines have to be looked at, with their states
    waiting: frozenset[str]  # instances and volumes that a fault keeps as they are
    requests: dict[str, str]  # by instance or volume: the request that asked for it


class Supervisor:
    """The loop that makes rows come true. One task an instance or volume at a time."""

    def __init__(
        self,
        cloud: Cloud,
        hypervisor: Hypervisor,
        machines: Machines,
        volumes: Volumes,
        published: Callable[[], Awaitable[None]],
    ) -> None:
        self._cloud = cloud
        self._hypervisor = hypervisor
        self._machines = machines
        self._volumes = volumes
        self._published = published
        self._woken = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._doing: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._lookout = Lookout(hypervisor)
        self._purged_at = datetime.min.replace(tzinfo=UTC)
        self._spawned = 0
        self.also: Callable[[Spawn], Awaitable[None]] | None = None
        """What else is to be looked at in each round (snapshots, images)."""

    @property
    def doing(self) -> Mapping[str, str]:
        """What is under way now: what it is done to, and what is done."""
        return self._doing

    def wake(self) -> None:
        """Look at the rows now."""
        self._woken.set()

    def reboot(self, instance_id: str) -> None:
        """Restart a guest in the background."""
        self._spawn(f"reboot {instance_id}", "reboot", lambda: self._hypervisor.reboot(instance_id))

    async def run(self) -> None:
        """Go round for ever."""
        while True:
            await self._cloud.clock.wait(self._woken, self._cloud.settings.watch_period_s)
            self._woken.clear()
            try:
                await self.round()
            except Exception:  # one bad round (full disk under the state, say) must not end the cloud's only loop
                log.exception("A round of the supervisor failed; it goes on")

    async def round(self) -> None:
        """Look once at everything and start what is to be done."""
        self._lookout.listen()
        work = await self._cloud.database.run(self._read)
        for volume_id, state in work.volumes:
            action = {"creating": self._volumes.create, "deleting": self._volumes.delete}[state]
            with on_behalf_of(work.requests[volume_id]):  # a task keeps what it was made under
                self._spawn(volume_id, state, lambda action=action, key=volume_id: action(key))  # type: ignore[misc]  # bound now
        for instance_id, state, force in work.instances:
            with on_behalf_of(work.requests[instance_id]):
                self._advance(instance_id, state, force)
        # Before its volumes: what is to be plugged at a machine that is gone waits until its row says so.
        await self._cloud.faults.enforce(self._hypervisor)
        for report in await self._lookout.ended(work.watched, self._tasks.keys() | work.waiting):
            self._spawn(
                report.instance_id,
                "ended",
                lambda report=report: self._machines.ended(report.instance_id, report),  # type: ignore[misc]  # bound now
            )
        if self.also is not None:
            await self.also(self._spawn)
        for volume_id, instance_id, state in work.attachments:
            if instance_id not in self._tasks:
                plug = self._volumes.attach if state == "attaching" else self._volumes.detach
                with on_behalf_of(work.requests[volume_id]):
                    self._spawn(instance_id, state, lambda plug=plug, key=volume_id: plug(key))  # type: ignore[misc]  # bound now
        await self._published()

    async def settle(self) -> None:
        """Go round until nothing is left to do (for tests and for the end)."""
        while True:
            idle, spawned = not self._tasks, self._spawned
            await self.round()
            if idle and spawned == self._spawned:
                return
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await asyncio.sleep(0)

    async def close(self) -> None:
        """End the tasks under way; what they did not finish is finished at the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _read(self, session: Session) -> _Work:
        self._purge(session)
        expiry.enforce(session, self._cloud.now())
        waiting = self._cloud.faults.hold(session)
        # Columns, not whole rows, and only of what is on its way: thousands of machines may be at rest.
        instances = session.execute(
            select(Instance.id, Instance.state, Instance.force_stop, Instance.request_id).where(
                Instance.state.in_(("pending", "stopping", "shutting-down"))
            )
        ).all()
        roots = select(Attachment.volume_id).where(Attachment.is_root, Attachment.volume_id == Volume.id)
        volumes = session.execute(
            select(Volume.id, Volume.state, Volume.request_id).where(
                Volume.state.in_(("creating", "deleting")), ~roots.exists()
            )
        ).all()
        attachments = session.execute(
            select(Attachment.volume_id, Attachment.instance_id, Attachment.state, Volume.request_id)
            .join(Volume, Volume.id == Attachment.volume_id, isouter=True)
            .where(
                Attachment.state.in_(("attaching", "detaching")),
                or_(Attachment.is_root.is_(False), Attachment.state == "detaching"),
            )
        ).all()
        requests = {row.id: row.request_id for row in (*instances, *volumes)}
        requests |= {row.volume_id: row.request_id or "" for row in attachments}
        return _Work(
            tuple((row.id, row.state, row.force_stop) for row in instances if row.id not in waiting),
            tuple((row.id, row.state) for row in volumes),
            tuple((row.volume_id, row.instance_id, row.state) for row in attachments if row.volume_id not in waiting),
            self._lookout.rows(session),
            waiting,
            requests,
        )

    def _purge(self, session: Session) -> None:
        now, settings = self._cloud.now(), self._cloud.settings
        if abs(now - self._purged_at).total_seconds() < _PURGE_PERIOD_S:
            return
        self._purged_at = now
        since = now - timedelta(seconds=settings.terminated_listed_s)
        for row in session.scalars(select(Instance).where(Instance.state == "terminated", Instance.ended_at < since)):
            drop_tags(session, row.id)
            expiry.forget(session, row.id)
            self._cloud.console_path(row.id).unlink(missing_ok=True)
            session.delete(row)
        since = now - timedelta(seconds=settings.deleted_listed_s)
        for volume in session.scalars(select(Volume).where(Volume.state == "deleted", Volume.deleted_at < since)):
            session.delete(volume)

    def _advance(self, instance_id: str, state: str, force: bool) -> None:
        busy = self._doing.get(instance_id)
        if state == "pending":
            if self._cloud.clock.monotonic_s() >= self._not_before.get(instance_id, 0.0):
                self._spawn(instance_id, state, lambda: self._start(instance_id))
        elif state == "stopping":
            if busy in ("pending", "stopping") and force:
                self._spawn(f"kill {instance_id}", "kill", lambda: self._hypervisor.kill(instance_id))
            self._spawn(instance_id, state, lambda: self._machines.stop(instance_id))
        elif state == "shutting-down":
            if busy in ("pending", "stopping", "attaching", "detaching"):
                self._spawn(f"kill {instance_id}", "kill", lambda: self._hypervisor.kill(instance_id))
            self._spawn(instance_id, state, lambda: self._machines.terminate(instance_id))

    async def _start(self, instance_id: str) -> None:
        if not await self._machines.start(instance_id):
            self._not_before[instance_id] = self._cloud.clock.monotonic_s() + _RETRY_S

    def _spawn(self, key: str, what: str, action: Callable[[], Awaitable[object]]) -> None:
        """Start work for one key, unless some is under way: then a later round sees to it."""
        if key in self._tasks:
            return

        async def guarded() -> None:
            try:
                await action()
            except (HypervisorError, OSError) as error:
                log.warning("%s of %s failed, it is tried again: %s", what, key, error)
                await self._cloud.clock.sleep(self._cloud.settings.watch_period_s)
            except Exception:  # a bug in one machine's work must not take the others' with it
                log.exception("%s of %s failed", what, key)
                await self._cloud.clock.sleep(self._cloud.settings.watch_period_s)

        def done(_task: asyncio.Task[None]) -> None:
            self._tasks.pop(key, None)
            self._doing.pop(key, None)
            self.wake()

        task = asyncio.get_running_loop().create_task(guarded(), name=f"{what} {key}")
        self._tasks[key], self._doing[key] = task, what
        self._spawned += 1
        task.add_done_callback(done)
