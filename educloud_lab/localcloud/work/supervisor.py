"""Compares rows with machines, about once a second and after every change, and starts what is missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.hypervisor.base import DiskSpec, Hypervisor, HypervisorError, MachineReport, MachineState
from educloud_lab.localcloud.operations.common import drop_tags
from educloud_lab.localcloud.state.tables import Attachment, Instance, Volume
from educloud_lab.localcloud.work.diskroom import serial, volume_path
from educloud_lab.localcloud.work.machines import Machines
from educloud_lab.localcloud.work.volumes import Volumes

log = logging.getLogger("educloud.cloud.supervisor")

_LIVE = (MachineState.RUNNING, MachineState.PAUSED)
_RETRY_S = 10.0


@dataclass(frozen=True, slots=True)
class _Work:
    """What the rows ask for, read in one transaction."""

    instances: tuple[tuple[str, str, bool], ...]  # id, state, force
    volumes: tuple[tuple[str, str], ...]
    attachments: tuple[tuple[str, str, str], ...]  # volume, instance, state


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
        self._spawned = 0

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
        work = await self._cloud.database.run(self._read)
        for volume_id, state in work.volumes:
            action = {"creating": self._volumes.create, "deleting": self._volumes.delete}[state]
            self._spawn(volume_id, state, lambda action=action, key=volume_id: action(key))  # type: ignore[misc]  # bound now
        for instance_id, state, force in work.instances:
            self._advance(instance_id, state, force)
        for volume_id, instance_id, state in work.attachments:
            if instance_id not in self._tasks:
                plug = self._volumes.attach if state == "attaching" else self._volumes.detach
                self._spawn(instance_id, state, lambda plug=plug, key=volume_id: plug(key))  # type: ignore[misc]  # bound now
        await self._watch({key for key, state, _ in work.instances if state == "running"})
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

    async def recover(self) -> None:
        """Match machines that an earlier process left with the rows; call once, after the hypervisor's ``open``."""
        reports = await self._hypervisor.report_all()
        rows = {row.id: row for row in await self._cloud.database.run(lambda s: list(s.scalars(select(Instance))))}
        for instance_id, report in reports.items():
            row = rows.get(instance_id)
            if row is None or row.state in ("stopped", "terminated"):
                log.warning("%s runs without being wanted: it is ended", instance_id)
                await self._hypervisor.kill(instance_id)
                await self._hypervisor.forget(instance_id)
            elif row.state == "running" and report.state in _LIVE:
                await self._machines.serve_metadata(instance_id)
                await self._match_disks(instance_id, report)
        for row in rows.values():
            if row.resume and row.state == "running" and _report(reports, row.id).state not in _LIVE:
                await self._hypervisor.forget(row.id)
                await self._cloud.database.run(lambda session, key=row.id: _resume(session, key))  # type: ignore[misc]  # bound now

    async def close(self) -> None:
        """End the tasks under way; what they did not finish is finished at the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _read(self, session: Session) -> _Work:
        self._purge(session)
        busy = ("pending", "stopping", "shutting-down", "running")
        instances = session.scalars(select(Instance).where(Instance.state.in_(busy)))
        roots = set(session.scalars(select(Attachment.volume_id).where(Attachment.is_root)))
        volumes = session.scalars(select(Volume).where(Volume.state.in_(("creating", "deleting"))))
        attachments = session.scalars(select(Attachment).where(Attachment.state.in_(("attaching", "detaching"))))
        return _Work(
            # A machine that was shut down with the cloud is away by intent until the cloud is back.
            tuple(
                (row.id, row.state, row.force_stop) for row in instances if not (row.resume and row.state == "running")
            ),
            tuple((row.id, row.state) for row in volumes if row.id not in roots),
            tuple(
                (row.volume_id, row.instance_id, row.state)
                for row in attachments
                if not row.is_root or row.state == "detaching"
            ),
        )

    def _purge(self, session: Session) -> None:
        now, settings = self._cloud.now(), self._cloud.settings
        since = now - timedelta(seconds=settings.terminated_listed_s)
        for row in session.scalars(select(Instance).where(Instance.state == "terminated", Instance.ended_at < since)):
            drop_tags(session, row.id)
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

    async def _watch(self, running: set[str]) -> None:
        if not running:
            return
        reports = await self._hypervisor.report_all()
        for instance_id in running - self._tasks.keys():
            report = _report(reports, instance_id)
            if report.state not in _LIVE:
                self._spawn(
                    instance_id,
                    "ended",
                    lambda key=instance_id, report=report: self._machines.ended(key, report),  # type: ignore[misc]  # bound now
                )

    async def _match_disks(self, instance_id: str, report: MachineReport) -> None:
        """Plug what the rows say is attached, unplug what they do not know."""

        def read(session: Session) -> dict[str, Attachment]:
            query = select(Attachment).where(Attachment.instance_id == instance_id, Attachment.is_root.is_(False))
            return {row.volume_id: row for row in session.scalars(query)}

        wanted = await self._cloud.database.run(read)
        folders = self._cloud.settings.folders
        try:
            for volume_id, row in wanted.items():
                if row.state == "attached" and volume_id not in report.disk_ids:
                    disk = DiskSpec(volume_id, volume_path(folders, volume_id), serial(volume_id, row.device))
                    await self._hypervisor.attach(instance_id, disk)
            for volume_id in report.disk_ids:
                if volume_id not in wanted:
                    await self._hypervisor.detach(instance_id, volume_id)
        except HypervisorError as error:
            log.warning("Volumes of %s are not as recorded: %s", instance_id, error)

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


def _report(reports: Mapping[str, MachineReport], instance_id: str) -> MachineReport:
    return reports.get(instance_id, MachineReport(instance_id, MachineState.ABSENT))


def _resume(session: Session, instance_id: str) -> None:
    row = session.get(Instance, instance_id)
    if row is not None and row.state == "running":
        row.state, row.started_at, row.address_shown = "pending", None, False
