"""Warm starts: a machine's first start goes on from a template's memory, or has a template made for the next one.

Whatever fails on the way, the machine is started cold on a new disk; nobody notices more than the time that it took.
A template is made in the background after the first cold start of its kind, when no machine is starting any more and
there is plenty of memory and disk; its process gets what others leave over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from educloud_lab.localcloud import acceleration, disks
from educloud_lab.localcloud.hypervisor import templates_build
from educloud_lab.localcloud.hypervisor.base import HypervisorError, MachineSpec
from educloud_lab.localcloud.hypervisor.qemu_command import command_line
from educloud_lab.localcloud.hypervisor.qemu_machine import Machine
from educloud_lab.localcloud.hypervisor.qemu_queue import StartQueue, available_memory_bytes, promised_bytes
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles
from educloud_lab.localcloud.hypervisor.templates import (
    Template,
    TemplateKey,
    TemplateStore,
    can_go_on,
    host_processor,
    key_of,
)
from educloud_lab.localcloud.hypervisor.templates_personality import TemplateError
from educloud_lab.localcloud.hypervisor.templates_start import go_on, renew_disk
from educloud_lab.localcloud.network.base import NetworkDriver, NetworkError

log = logging.getLogger(__name__)

QUIET_S = 2.0
"""A template is made when for so long no machine has been starting."""

_MOST_FAILURES = 2
_SPARE_BYTES = 512 << 20  # left free beside a template that is made: memory, and disk likewise


@dataclass(frozen=True, slots=True)
class WarmPlan:
    """How one machine may start. ``template`` is None when there is none yet (or never will be: ``key`` is None)."""

    key: TemplateKey | None = None
    arguments: tuple[str, ...] = ()
    template: Template | None = None


COLD = WarmPlan()


@dataclass(frozen=True, slots=True)
class Start:
    """One start that is due."""

    spec: MachineSpec
    files: MachineFiles
    accel: str
    binary: str
    network: NetworkDriver


class WarmStarts:
    """The templates of one hypervisor.

    Parameters
    ----------
    folder : where templates are kept; None: every start is cold.
    queue : a template is made when it has been empty for a moment.
    run_dir, log_dir : as the hypervisor's.
    """

    def __init__(self, folder: Path | None, queue: StartQueue, *, run_dir: Path, log_dir: Path) -> None:
        self._store = None if folder is None else TemplateStore(folder)
        self._queue = queue
        self._run_dir = run_dir
        self._log_dir = log_dir
        self._failures: Counter[str] = Counter()
        self._wanted: dict[str, tuple[WarmPlan, int, str]] = {}
        self._making: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Clear away what an earlier process left half made, and templates of images that are gone."""
        if self._store is not None:
            templates_build.clear_leftovers(self._store, self._run_dir)
            self._store.prune()

    async def close(self) -> None:
        """Stop making a template; nothing is left of it."""
        self._wanted.clear()
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
            self._making = None

    async def launch(self, start: Start, hold: Callable[[Machine], None], check_wanted: Callable[[], None]) -> Machine:
        """Start a machine: from a template where one fits and works, else cold.

        Parameters
        ----------
        hold : called with the machine as soon as there is a process, so that it can be cut off.
        check_wanted : raises HypervisorError when it was cut off meanwhile.

        Raises
        ------
        NotEnoughRoomError, BootRefusedError, HypervisorError
            Nothing was started.
        """
        plan = await self._plan(start)
        if plan.template is not None:
            machine = await self._go_on(start, plan.template, hold)
            if machine is not None:
                return machine
            check_wanted()
        machine = await Machine.launch(
            start.files, start.spec, accel=start.accel, binary=start.binary, network=start.network
        )
        hold(machine)
        self._make_later(plan, start)
        return machine

    async def _go_on(self, start: Start, template: Template, hold: Callable[[Machine], None]) -> Machine | None:
        """Start a machine from its template; None when it has to be started cold: nothing is left of the try then."""
        try:
            machine = await Machine.launch(
                start.files, start.spec, accel=start.accel, binary=start.binary, network=start.network,
                template=template,
            )  # fmt: skip
        except HypervisorError as error:
            self._blame(template, error)
            return None
        hold(machine)
        record = machine.record
        try:
            await go_on(
                record.spec, template, machine.monitor, machine.files.channel, record.pid or 0, record.start_ticks
            )
            machine.update(personal=True)
        except TemplateError as error:
            await undo(machine)
            self._blame(template, error)
            return None
        except BaseException:  # the caller gave up, or a bug: no half machine may stay in either case
            await undo(machine)
            raise
        return machine

    async def _plan(self, start: Start) -> WarmPlan:
        if self._store is None or not can_go_on(start.spec):
            return COLD
        try:
            arguments = command_line(
                start.spec, start.files, binary=start.binary, accel=start.accel, network=start.network
            )
        except NetworkError:
            return COLD  # the cold start says so
        version = await acceleration.qemu_version(start.binary)
        host = host_processor() if start.accel == "kvm" else ""
        key = key_of(start.spec, arguments, f"{version} {host}".strip())
        if key is None or not version or self._failures[key.template_id] >= _MOST_FAILURES:
            return COLD
        template = await asyncio.to_thread(self._store.find, key)
        return WarmPlan(key, tuple(arguments), template)

    def _make_later(self, plan: WarmPlan, start: Start) -> None:
        """Have a template made for the next machine like this one, which was just started cold."""
        if self._store is None or plan.key is None or self._failures[plan.key.template_id] >= _MOST_FAILURES:
            return
        memory_bytes = promised_bytes(start.spec.memory_bytes, start.accel)
        self._wanted[plan.key.template_id] = (plan, memory_bytes, start.binary)
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make_wanted(), name="making templates")

    async def give_way(self) -> None:
        """Stop making a template: a machine needs its memory."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
            self._making = None

    async def _make_wanted(self) -> None:
        while self._wanted:
            await self._queue.quiet(QUIET_S)
            template_id, (plan, memory_bytes, binary) = self._wanted.popitem()
            assert self._store is not None
            assert plan.key is not None
            if await asyncio.to_thread(self._store.find, plan.key) is not None:
                continue  # made meanwhile: several machines of the kind were started cold
            try:
                await self._make(plan, memory_bytes, binary)
            except HypervisorError as error:
                self._failures[template_id] += 1
                log.warning("%s", error)

    async def _make(self, plan: WarmPlan, memory_bytes: int, binary: str) -> None:
        assert self._store is not None
        assert plan.key is not None
        if available_memory_bytes() < memory_bytes + _SPARE_BYTES:
            log.info("No template is made: too little memory is free.")
            return
        self._store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            await disks.check_room(self._store.folder, memory_bytes, margin_bytes=_SPARE_BYTES)
        except HypervisorError as error:
            log.info("No template is made: %s", error)
            return
        template = await templates_build.make(
            self._store, plan.key, plan.arguments, qemu=binary, run_dir=self._run_dir, log_dir=self._log_dir
        )
        log.info(
            "A template was made for %s with %d MiB (%s, %d MiB on disk).",
            template.image, template.memory_mib, template.template_id, template.kept_bytes >> 20,
        )  # fmt: skip

    def _blame(self, template: Template, error: HypervisorError) -> None:
        log.warning("%s The machine is started cold.", error)
        self._failures[template.template_id] += 1
        if self._failures[template.template_id] >= _MOST_FAILURES and self._store is not None:
            self._store.remove(template)


async def undo(machine: Machine) -> None:
    """End a machine that has not become itself and make its disk new, so that a cold start finds nothing of it."""
    await machine.power().cut()
    await machine.monitor.close()
    machine.files.remove()
    with contextlib.suppress(FileNotFoundError):
        machine.record.spec.console_path.unlink()
    await renew_disk(machine.record.spec.root.path)
