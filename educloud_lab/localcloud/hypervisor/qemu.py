"""The ``qemu`` hypervisor: real machines, each a daemonised QEMU process that outlives the cloud's own process.

Truth lies outside this object: in the record beside each machine's sockets, in /proc and in QEMU's answers. A new
process therefore finds every machine again (:meth:`QemuHypervisor.open`) and may finish what another began.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from educloud_lab.localcloud.hypervisor import qemu_journal
from educloud_lab.localcloud.hypervisor.base import (
    HypervisorError,
    MachineReport,
    MachineSpec,
    NotEnoughRoomError,
)
from educloud_lab.localcloud.hypervisor.qemu_acceleration import AccelerationChoice
from educloud_lab.localcloud.hypervisor.qemu_command import leg_of
from educloud_lab.localcloud.hypervisor.qemu_console import ANSWERS, said_from_now, trim_log
from educloud_lab.localcloud.hypervisor.qemu_launch import check_spec, find_binary
from educloud_lab.localcloud.hypervisor.qemu_machine import Machine
from educloud_lab.localcloud.hypervisor.qemu_machine_disks import QemuMachineDisks
from educloud_lab.localcloud.hypervisor.qemu_process import anonymous_bytes
from educloud_lab.localcloud.hypervisor.qemu_queue import StartQueue, check_memory_for
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles
from educloud_lab.localcloud.hypervisor.qemu_strays import Strays
from educloud_lab.localcloud.hypervisor.qemu_warm import Start, WarmStarts, undo
from educloud_lab.localcloud.network.base import Living, NetworkDriver, NetworkError
from educloud_lab.localcloud.network.slirp import SlirpNetwork

log = logging.getLogger(__name__)


class QemuHypervisor(QemuMachineDisks):
    """Machines in QEMU on this host; keeps the contract of ``hypervisor.base.Hypervisor``.

    Parameters
    ----------
    run_dir : folder of sockets and records, 0700, with a short path and gone at the host's next boot.
    log_dir : folder of what QEMU itself says (``<instance>.log``).
    accel : ``auto`` (KVM if a real boot has proved it, see ``localcloud.acceleration``), ``tcg`` or ``kvm``.
    qemu_binary : name or path of QEMU; default ``qemu-system-x86_64`` from PATH.
    width : machines that boot at one time; default the number of cores.
    network : how machines are connected; default slirp without outside.
    verdict_file : where the verdict on KVM is kept; default ``acceleration.json`` beside ``run_dir``. With ``auto``
        the first start that finds none has KVM tried in the background.
    templates_dir : where memories of booted machines are saved, from which first starts go on (``qemu_warm``);
        default none: every start is cold.
    room_to_resume_bytes : free disk at which a machine that paused on a full disk goes on by itself.
    disk_folder : folder of all disks; machines on them that have lost their run folder are ended by :meth:`open`.
    """

    reachable = True

    def __init__(
        self,
        *,
        run_dir: Path,
        log_dir: Path,
        accel: str = "auto",
        qemu_binary: str | None = None,
        width: int | None = None,
        network: NetworkDriver | None = None,
        verdict_file: Path | None = None,
        templates_dir: Path | None = None,
        room_to_resume_bytes: int = 64 * 1024 * 1024,
        disk_folder: Path | None = None,
    ) -> None:
        super().__init__()
        self._run_dir = run_dir.absolute()
        self._log_dir = log_dir.absolute()
        self._binary = qemu_binary
        self._network: NetworkDriver = network or SlirpNetwork()
        self._room_to_resume_bytes = room_to_resume_bytes
        self._queue = StartQueue(width)
        self._acceleration = AccelerationChoice(
            accel, verdict_file or self._run_dir.parent / "acceleration.json", self._queue
        )
        self._warm = WarmStarts(templates_dir, self._queue, run_dir=self._run_dir, log_dir=self._log_dir)
        self._kills: dict[str, int] = {}
        self._restarts: set[asyncio.Task[None]] = set()
        self._strays = Strays(disk_folder)

    async def open(self) -> None:
        """Find again the machines that an earlier process left running. Repeatable."""
        self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(self._warm.open)
        for folder in sorted(self._run_dir.iterdir()):
            if folder.name in self._machines or not (folder / "machine.json").exists():
                continue
            try:
                await self._adopt(folder.name)
            except HypervisorError as error:
                # One damaged record must not hide the others.
                log.warning("Machine %s was not taken over: %s", folder.name, error)
        await self._strays.end_all(frozenset(machine.record.pid or 0 for machine in self._machines.values()))
        await self._open_network()

    async def close(self) -> None:
        """Let go of every machine without stopping it."""
        for task in self._restarts:
            task.cancel()
        await asyncio.gather(*self._restarts, return_exceptions=True)
        await self._acceleration.close()
        await self._warm.close()
        await self._queue.close()
        await self._network.close()
        for machine in self._machines.values():
            await machine.monitor.close()
        self._machines.clear()

    async def start(self, spec: MachineSpec) -> None:
        """Start the machine; running already is success. Waits for a place when enough others are booting.

        Raises
        ------
        NotEnoughRoomError, BootRefusedError, NoSlotError, HypervisorError
            Nothing was started.
        """
        check_spec(spec)
        binary = find_binary(self._binary)
        kills = self._kills.get(spec.instance_id, 0)

        def check_wanted() -> None:
            if self._kills.get(spec.instance_id, 0) != kills:
                raise HypervisorError(f"{spec.instance_id} was cut off while it waited to be started.")

        await self._queue.enter()
        entered = True
        try:
            async with self._lock(spec.instance_id):
                check_wanted()
                if self._is_running(spec.instance_id):
                    return
                answers = said_from_now(spec.console_path, ANSWERS)
                record = (await self._launch(spec, binary, check_wanted)).record
                if record.pid is not None and record.start_ticks is not None:
                    self._queue.leave_when_settled(record.pid, record.start_ticks, answers)
                    entered = False
        finally:
            if entered:
                self._queue.leave()

    async def shut_down(self, instance_id: str, *, grace_s: float) -> None:
        """Press the power button, wait up to ``grace_s``, then cut the power. Absent or ended is success."""
        async with self._lock(instance_id):
            machine = self._machines.get(instance_id)
            if machine is not None and not await machine.power().press_until_off(grace_s):
                await machine.power().cut()

    async def kill(self, instance_id: str) -> None:
        """Cut the power now and wait until the process is gone. Absent is success.

        Does not wait for a shut-down or a plug under way (they end by it); a start that is still queued fails.
        """
        self._kills[instance_id] = self._kills.get(instance_id, 0) + 1
        machine = self._machines.get(instance_id)
        if machine is None or not machine.power().alive():
            async with self._lock(instance_id):  # a launch under way ends first: its process must not be missed
                machine = self._machines.get(instance_id)
        if machine is not None:
            await machine.power().cut()

    async def reboot(self, instance_id: str, *, between: Callable[[], Awaitable[None]] | None = None) -> None:
        """Restart the guest cleanly, hard after 12 s; process, disks and address stay. Raises HypervisorError."""
        async with self._running(instance_id) as machine:
            machine.update(rebooting=True)
            # On its own: a caller that gives up must not leave a guest that is off and a process that is on.
            await asyncio.shield(self._restart(machine, between))

    def resident_bytes(self) -> int:
        """Memory of the host that all machines' processes hold now, not counting what could be read again."""
        return sum(anonymous_bytes(machine.record.pid or 0) for machine in self._machines.values())

    async def report(self, instance_id: str) -> MachineReport:
        """Say what is seen of one machine now; ABSENT when nothing is known of it."""
        machine = self._machines.get(instance_id)
        if machine is None:
            return self._strays.report(instance_id)
        trim_log(machine.record.spec.console_path)
        trim_log(machine.files.journal)
        report = await machine.report(room_to_resume_bytes=self._room_to_resume_bytes)
        return dataclasses.replace(report, template=machine.record.template)

    async def report_all(self) -> Mapping[str, MachineReport]:
        """Say what is seen of every known machine."""
        names = [*self._machines, *(self._strays.ended - self._machines.keys())]
        reports = await asyncio.gather(*(self.report(name) for name in names))
        return dict(zip(names, reports, strict=True))

    def changed(self) -> frozenset[str] | None:
        """None: machines may be ended by anybody, so that all have to be looked at."""
        return None

    async def forget(self, instance_id: str) -> None:
        """Remove run files of an ended machine. Repeatable. Raises HypervisorError when it still runs."""
        async with self._lock(instance_id):
            machine = self._machines.get(instance_id)
            if machine is not None:
                if machine.power().alive():
                    raise HypervisorError(f"{instance_id} still runs; its files were kept.")
                await machine.monitor.close()
                machine.files.remove()
                del self._machines[instance_id]
                await self._network.unplug(leg_of(machine.record.spec))
        self._strays.ended.discard(instance_id)
        self._locks.pop(instance_id, None)
        self._kills.pop(instance_id, None)

    async def endpoint(self, instance_id: str, port: int) -> tuple[str, int] | None:
        """Host address and port by which the gateway reaches ``port`` of the machine, None when it does not run."""
        if not self._is_running(instance_id):
            return None
        async with self._lock(instance_id):
            machine = self._machines[instance_id]
            try:
                return await self._network.endpoint(leg_of(machine.record.spec), port, machine.monitor.human)
            except NetworkError as error:
                raise HypervisorError(str(error)) from error

    def _files(self, instance_id: str) -> MachineFiles:
        return MachineFiles(folder=self._run_dir / instance_id, log=self._log_dir / f"{instance_id}.log")

    async def _launch(self, spec: MachineSpec, binary: str, check_wanted: Callable[[], None]) -> Machine:
        accel = await self._acceleration.choose(spec.kernel, binary)
        others = [machine.record for machine in self._machines.values() if machine.power().alive()]
        try:
            check_memory_for(spec, accel, others)
        except NotEnoughRoomError:
            await self._warm.give_way()
            check_memory_for(spec, accel, others)
        if (earlier := self._machines.pop(spec.instance_id, None)) is not None:
            await earlier.monitor.close()

        def hold(machine: Machine) -> None:
            self._machines[spec.instance_id] = machine

        try:
            start = Start(spec, self._files(spec.instance_id), accel, binary, self._network)
            return await self._warm.launch(start, hold, check_wanted)
        except BaseException:
            self._machines.pop(spec.instance_id, None)
            raise

    async def _open_network(self) -> None:
        living = [
            Living(leg_of(machine.record.spec), machine.record.pid, machine.record.network)
            for machine in self._machines.values()
            if machine.record.pid is not None and machine.power().alive()
        ]
        try:
            await self._network.open(living)
        except NetworkError as error:
            raise HypervisorError(str(error)) from error

    async def _adopt(self, instance_id: str) -> None:
        files = self._files(instance_id)
        machine = Machine.find(files)
        if machine is None:
            return
        if not machine.record.personal:
            await undo(machine)
            return
        self._machines[instance_id] = machine
        if not machine.power().alive():
            return
        if not qemu_journal.is_primed(files.journal):
            await qemu_journal.prime(files.journal_socket)
        if machine.record.rebooting:
            self._restart(machine)
            return
        with contextlib.suppress(HypervisorError):  # one that does not answer now is asked again by every report
            # A backup lets machines stand still; one that was killed meanwhile has left them so.
            if (await machine.monitor.execute("query-status", limit_s=3.0))["status"] == "paused":
                await machine.monitor.execute("cont", limit_s=3.0)

    def _restart(self, machine: Machine, between: Callable[[], Awaitable[None]] | None = None) -> asyncio.Task[None]:
        """Restart in the background; a process after this one takes it up when this one ends before it is done."""

        async def restart() -> None:
            await machine.power().restart(between)
            machine.update(rebooting=False)

        def done(task: asyncio.Task[None]) -> None:
            self._restarts.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.warning("The restart of %s was not finished: %s", machine.record.spec.instance_id, error)

        task = asyncio.create_task(restart(), name=f"restart of {machine.record.spec.instance_id}")
        self._restarts.add(task)
        task.add_done_callback(done)
        return task
