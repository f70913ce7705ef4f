"""One running local cloud: the parts put together, opened and closed in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import disklayers, imagestore
from educloud_lab.localcloud.accounts import Accounts, load_accounts
from educloud_lab.localcloud.api.http import Api
from educloud_lab.localcloud.clock import Clock, SystemClock
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.errors import LocalCloudError
from educloud_lab.localcloud.hypervisor.base import Hypervisor, HypervisorError
from educloud_lab.localcloud.hypervisor.qemu_queue import available_memory_bytes
from educloud_lab.localcloud.imageuse import used_files
from educloud_lab.localcloud.metadata.rows import read_view
from educloud_lab.localcloud.metadata.view import MetadataView
from educloud_lab.localcloud.model import instance_types, load_profile
from educloud_lab.localcloud.parts import make_hypervisor, make_network
from educloud_lab.localcloud.remembered import KEY as PROFILE_KEY
from educloud_lab.localcloud.remembered import choose_profile
from educloud_lab.localcloud.settings import Settings
from educloud_lab.localcloud.state.database import Database
from educloud_lab.localcloud.state.tables import Instance, Meta, Node
from educloud_lab.localcloud.work.diskroom import DiskMaker, QemuDisks, SimulatedDisks
from educloud_lab.localcloud.work.gateway_files import GatewayFiles
from educloud_lab.localcloud.work.host_door import HostDoor
from educloud_lab.localcloud.work.machines import Machines
from educloud_lab.localcloud.work.recovery import Recovery
from educloud_lab.localcloud.work.storage import Storage
from educloud_lab.localcloud.work.supervisor import Supervisor
from educloud_lab.localcloud.work.volumes import Volumes

if TYPE_CHECKING:
    from educloud_lab.localcloud.metadata.service import MetadataService

log = logging.getLogger("educloud.cloud")


class LocalCloud:
    """A local cloud in this process; :attr:`api` answers requests once it is open.

    Parameters
    ----------
    hypervisor : default as the settings say.
    clock : by which the cloud waits and simulated machines take their time; signatures are checked by the
        computer's own, since that is what callers sign by, unless ``now`` is given.
    machine_memory_bytes : memory that all machines together may take; default what the computer can give, no limit when
        machines are simulated.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        hypervisor: Hypervisor | None = None,
        machine_memory_bytes: Callable[[], int | None] | None = None,
        now: Callable[[], datetime] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        folders = settings.folders
        folders.make()
        simulated = settings.hypervisor == "simulated"
        clock = clock or SystemClock()
        network = None if simulated or hypervisor is not None else make_network(settings)
        self.hypervisor = hypervisor or make_hypervisor(settings, clock, network)
        self.accounts: Accounts = load_accounts(folders.credentials)
        model = load_profile(choose_profile(folders.state, settings.profile))
        _usual, types = instance_types()
        self.cloud = Cloud(
            settings=settings,
            database=Database(folders.state),
            model=model,
            types=types,
            default_type=model.behaviour.default_type,
            wake=lambda: None,
            reboot=lambda _instance_id: None,
            machine_memory_bytes=machine_memory_bytes or ((lambda: None) if simulated else self._machine_memory),
            now=now or clock.now,
            clock=clock,
        )
        self._disks: DiskMaker = SimulatedDisks() if simulated else QemuDisks()
        self._metadata = None if simulated else self._make_metadata()
        sockets = folders.cloud if simulated else folders.runtime() / "md"
        self._sockets = sockets
        self._door = None if simulated else HostDoor(folders.runtime() / "door.sock", self.hypervisor)
        gateway = GatewayFiles(self.cloud, self.hypervisor, network, self._door)
        self.storage = Storage(self.cloud, self.hypervisor, self._disks)
        snapshots = self.storage.snapshots
        machines = Machines(
            self.cloud, self.hypervisor, self._disks, self._metadata, sockets, gateway.publish, snapshots
        )
        volumes = Volumes(self.cloud, self.hypervisor, self._disks, snapshots)
        self._recovery = Recovery(self.cloud, self.hypervisor, machines, self._disks)
        self.supervisor = Supervisor(self.cloud, self.hypervisor, machines, volumes, gateway.publish)
        self.supervisor.also = self.storage.round
        self.cloud.wake, self.cloud.reboot = self.supervisor.wake, self.supervisor.reboot
        self.cloud.grow = self.storage.grow
        self.api = Api(self.cloud, self.accounts, now=now)
        self.api.metrics.work = self.supervisor.doing
        self._tasks: list[asyncio.Task[None]] = []
        self._seen: frozenset[tuple[str, int]] = frozenset()

    async def open(self, *, supervise: bool = True) -> None:
        """Bring the state up to date, find machines again, register images and begin to supervise.

        Raises
        ------
        SchemaTooNewError
            The state is a newer version's; nothing was changed.
        """
        folders, database = self.settings.folders, self.cloud.database
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        await database.open()
        for folder in (folders.volumes, folders.roots):
            await self._disks.tidy(folder)
        await database.run(self._begin)
        await self.register_images()
        try:
            await self.hypervisor.open()
        except HypervisorError as error:
            raise LocalCloudError(str(error)) from error
        if self._door is not None:
            await self._door.open()
        if self._metadata is not None:
            await self._metadata.open()
        await self.storage.recover()
        await self._recovery.run()
        if supervise:
            loop = asyncio.get_running_loop()
            self._tasks.append(loop.create_task(self.supervisor.run(), name="supervisor"))
            self._tasks.append(loop.create_task(self.api.metrics.watch_lag(), name="lag"))
            self._tasks.append(loop.create_task(self._watch_images(), name="images"))
            self.supervisor.wake()

    async def close(self) -> None:
        """Let go of everything; machines go on. Repeatable."""
        await self._end_tasks()
        await self.supervisor.close()
        if self._metadata is not None:
            await self._metadata.close()
        if self._door is not None:
            await self._door.close()
        await self.hypervisor.close()
        await self.cloud.database.close()

    async def register_images(self) -> None:
        """Register what lies in ``images/``, and drop kept files that nothing uses."""
        folders = self.settings.folders
        known = await self.cloud.database.run(imagestore.verified)

        # In this order: what is built meanwhile is found the next time.
        self._seen, found = await asyncio.to_thread(
            lambda: (imagestore.fingerprint(folders), imagestore.scan(folders, known))
        )
        await imagestore.register(self.cloud, self.accounts, found)
        bases = await asyncio.to_thread(disklayers.all_bases, folders.volumes, folders.snapshots, folders.roots)
        used = await self.cloud.database.run(used_files)
        used |= frozenset(imagestore.kept_folders(folders, bases))
        await asyncio.to_thread(imagestore.remove_unused, folders, used)
        if folders.templates.exists():
            from educloud_lab.localcloud.hypervisor.templates import TemplateStore  # real machines only have them

            await asyncio.to_thread(TemplateStore(folders.templates).prune)

    async def look_for_images(self) -> None:
        """Register images anew if any was built, replaced or removed."""
        if await asyncio.to_thread(imagestore.fingerprint, self.settings.folders) != self._seen:
            await self.register_images()

    async def _watch_images(self) -> None:
        """Register images that are built while the cloud runs."""
        while True:
            await self.cloud.clock.sleep(self.settings.images_period_s)
            try:
                await self.look_for_images()
            except Exception:  # whatever lies in the folder, the cloud goes on with the images that it has
                log.exception("The images could not be looked at")

    async def _end_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def halt(self) -> int:
        """Shut every machine down in order: EBS-backed ones stop, instance-store ones boot again with the cloud.

        Returns the number of machines that were shut down.
        """
        await self._end_tasks()
        await self.supervisor.settle()
        rows = await self.cloud.database.run(_mark_for_halt)

        async def down(instance_id: str) -> None:
            await self.hypervisor.shut_down(instance_id, grace_s=self.settings.stop_grace_s)
            await self.hypervisor.forget(instance_id)

        await asyncio.gather(*(down(instance_id) for instance_id, resumes in rows if resumes))
        await self.supervisor.settle()
        return len(rows)

    def _begin(self, session: Session) -> None:
        session.merge(Meta(key=PROFILE_KEY, value=self.cloud.model.profile))
        self._ensure_node(session)
        self.cloud.faults.load(session)

    def _ensure_node(self, session: Session) -> None:
        node = session.get(Node, self.settings.node)
        if node is None:
            node = Node(name=self.settings.node, zone=self.settings.zone, hypervisor=self.settings.hypervisor)
            session.add(node)
        node.zone, node.hypervisor, node.enabled = self.settings.zone, self.settings.hypervisor, True

    def _machine_memory(self) -> int:
        """Return what all machines together may take: what there is and what they hold of it already."""
        there_is = available_memory_bytes() + self.hypervisor.resident_bytes() - self.settings.memory_margin_bytes
        limit = self.settings.memory_limit_bytes
        return there_is if limit is None else min(limit, there_is)

    def _make_metadata(self) -> MetadataService:
        from educloud_lab.localcloud.metadata.service import MetadataService  # simulated machines have none

        return MetadataService(self._metadata_view)

    async def _metadata_view(self, instance_id: str) -> MetadataView | None:
        return await self.cloud.database.run(lambda session: read_view(session, instance_id))


def _mark_for_halt(session: Session) -> list[tuple[str, bool]]:
    found = []
    for row in session.scalars(select(Instance).where(Instance.state == "running")):
        if row.root_device_type == "ebs":
            row.state, row.reason = "stopping", "NORMAL:  -- [shut down with the cloud]"
        else:
            row.resume = True
        found.append((row.id, row.resume))
    return found
