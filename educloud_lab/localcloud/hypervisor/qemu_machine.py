"""One machine as this process holds it: its files, its record, its monitor."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import shutil

from educloud_lab.localcloud.hypervisor import qemu_disks, qemu_journal, qemu_record
from educloud_lab.localcloud.hypervisor.base import (
    BootRefusedError,
    HypervisorError,
    MachineReport,
    MachineSpec,
    MachineState,
)
from educloud_lab.localcloud.hypervisor.qemu_command import command_line, leg_of
from educloud_lab.localcloud.hypervisor.qemu_launch import launch
from educloud_lab.localcloud.hypervisor.qemu_monitor import Monitor
from educloud_lab.localcloud.hypervisor.qemu_power import Power
from educloud_lab.localcloud.hypervisor.qemu_process import find_by_pidfile
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles, MachineRecord
from educloud_lab.localcloud.hypervisor.templates import Template
from educloud_lab.localcloud.hypervisor.templates_command import restored_arguments
from educloud_lab.localcloud.network.base import NetworkDriver, NetworkError

log = logging.getLogger(__name__)

# States of query-status (qapi/run-state.json) in which the guest's processors stand still and it is not by our own
# wish: "shutdown" is a clean reboot on its way, "prelaunch" and "inmigrate" a start.
_STANDING = {"paused", "io-error", "internal-error", "guest-panicked", "watchdog", "suspended"}
_REPORT_LIMIT_S = 3.0


class Machine:
    """A machine that was started, by this process or one before it."""

    def __init__(self, files: MachineFiles, record: MachineRecord) -> None:
        self.files = files
        self.record = record
        self.monitor = Monitor(files.control, record.spec.instance_id)
        self._seen_disks: tuple[str, ...] = tuple(disk.disk_id for disk in record.spec.disks)

    @classmethod
    def find(cls, files: MachineFiles) -> Machine | None:
        """Find a machine again by its record; None when there is none. Raises HypervisorError for a damaged one."""
        record = qemu_record.load(files)
        if record is None:
            return None
        if record.pid is None:
            # The process before this one ended between QEMU's start and the second writing of the record.
            stat = find_by_pidfile(files.pidfile)
            if stat is not None:
                record = dataclasses.replace(record, pid=stat.pid, start_ticks=stat.start_ticks)
                qemu_record.save(files, record)
        return cls(files, record)

    @classmethod
    async def launch(
        cls,
        files: MachineFiles,
        spec: MachineSpec,
        *,
        accel: str,
        binary: str,
        network: NetworkDriver,
        template: Template | None = None,
    ) -> Machine:
        """Start the process of a new life of the machine; with a template it waits to be filled with its state.

        Raises
        ------
        NotEnoughRoomError, BootRefusedError, HypervisorError
            Nothing was started, and nothing is left of the try; likewise when the caller is cancelled.
        """
        files.prepare()
        spec.console_path.parent.mkdir(parents=True, exist_ok=True)
        leg = leg_of(spec)
        try:
            await network.plug(leg)
            arguments = command_line(spec, files, binary=binary, accel=accel, network=network)
        except NetworkError as error:
            await network.unplug(leg)
            files.remove()
            raise BootRefusedError(f"{error} Nothing was started.") from error
        record = MachineRecord(spec=spec, accel=accel, network=network.used_by(leg))
        if template is not None:
            arguments = restored_arguments(arguments, memory=template.memory, channel=files.channel)
            record = dataclasses.replace(record, template=template.template_id, personal=False)
        bringing_up = asyncio.create_task(cls._bring_up(files, record, arguments), name=f"start of {spec.instance_id}")
        try:
            machine = await asyncio.shield(bringing_up)
        except HypervisorError:
            await network.unplug(leg)
            files.remove()
            raise
        except asyncio.CancelledError:
            await asyncio.wait({bringing_up})
            if bringing_up.exception() is None:
                await bringing_up.result().power().cut()
            await network.unplug(leg)
            files.remove()
            raise
        if machine.record.pid is not None:
            network.alive(leg, machine.record.pid)
        return machine

    @classmethod
    async def _bring_up(cls, files: MachineFiles, record: MachineRecord, arguments: list[str]) -> Machine:
        # The record comes first: a crash of this process from here on leaves a machine that open() finds.
        qemu_record.save(files, record)
        stat = await launch(arguments, files)
        machine = cls(files, dataclasses.replace(record, pid=stat.pid, start_ticks=stat.start_ticks))
        qemu_record.save(files, machine.record)
        try:
            await qemu_journal.prime(files.journal_socket)
        except HypervisorError as error:
            log.warning("%s runs, but why it ends will not be known: %s", record.spec.instance_id, error)
        return machine

    def update(self, **changes: bool) -> None:
        """Change the record (``rebooting``, ``personal``), on disk first."""
        record = dataclasses.replace(self.record, **changes)  # type: ignore[arg-type]  # only ever the two named
        qemu_record.save(self.files, record)
        self.record = record

    def power(self) -> Power:
        """Give the power switch of the machine's process."""
        # Pid 0 is no process of ours: a machine whose process was never found is off.
        return Power(self.monitor, self.files.journal, self.record.pid or 0, self.record.start_ticks)

    async def report(self, *, room_to_resume_bytes: int) -> MachineReport:
        """Look at the process and ask QEMU; a QEMU that does not answer is still running (unknown is not gone).

        A machine that paused because the host's disk was full goes on as soon as there is room again: its write
        is repeated, the guest notices nothing but the pause.
        """
        instance_id = self.record.spec.instance_id
        if self.power().alive():
            state = MachineState.RUNNING
            try:
                async with asyncio.timeout(_REPORT_LIMIT_S):
                    status = str((await self.monitor.execute("query-status"))["status"])
                    self._seen_disks = tuple(sorted(await qemu_disks.plugged(self.monitor)))
                    if status == "io-error" and self._has_room(room_to_resume_bytes):
                        await self.monitor.execute("cont")
                        status = "running"
                if status in _STANDING:
                    state = MachineState.PAUSED
            except (HypervisorError, TimeoutError):
                pass
            if self.power().alive():
                return MachineReport(instance_id, state, disk_ids=self._seen_disks)
        return MachineReport(instance_id, MachineState.ENDED, reason=qemu_journal.end_reason(self.files.journal))

    def _has_room(self, room_bytes: int) -> bool:
        folders = {disk.path.parent for disk in (self.record.spec.root, *self.record.spec.disks)}
        # Volumes plugged later lie in the same folder as those before them, or the pause comes again: no harm.
        try:
            return all(shutil.disk_usage(folder).free >= room_bytes for folder in folders)
        except OSError:
            return False
