"""Letting a machine go on from a template's memory, and giving it its own personality before anybody can reach it."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

from educloud_lab.localcloud import disks
from educloud_lab.localcloud.hypervisor import qcow
from educloud_lab.localcloud.hypervisor.base import HypervisorError, MachineSpec
from educloud_lab.localcloud.hypervisor.qemu_monitor import Monitor
from educloud_lab.localcloud.hypervisor.templates import Template
from educloud_lab.localcloud.hypervisor.templates_command import IGNORE_SHARED
from educloud_lab.localcloud.hypervisor.templates_personality import Channel, TemplateError, personality

RESTORE_LIMIT_S = 15.0
PERSONALITY_LIMIT_S = 20.0
_POLL_S = 0.01


async def go_on(
    spec: MachineSpec, template: Template, monitor: Monitor, channel_socket: Path, pid: int, start_ticks: int | None
) -> None:
    """Fill a waiting QEMU with the template's state, let it run, and return when the guest has become ``spec``.

    Raises
    ------
    TemplateError
        It must be ended: it may be half of what it should be.
    """
    channel = Channel(channel_socket, pid, start_ticks)
    try:
        await monitor.execute("migrate-set-capabilities", IGNORE_SHARED)
        await monitor.execute("migrate-incoming", {"uri": f"exec:cat {shlex.quote(str(template.state))}"})
        await _filled(monitor)
        # The guest remembers the template's disk; this one may be larger.
        header = qcow.read_header(spec.root.path)
        if header is None:
            raise TemplateError("The disk of the machine cannot be read.")
        await monitor.execute("block_resize", {"node-name": spec.root.disk_id, "size": header.virtual_bytes})
        await channel.open()
        await channel.give(personality(spec.instance_id, spec.mac))
        await monitor.execute("cont")
        await channel.wait_for(f"ready {spec.instance_id}", PERSONALITY_LIMIT_S)
    except TemplateError:
        raise
    except HypervisorError as error:
        raise TemplateError(f"The template could not be used: {error}") from error
    finally:
        channel.close()


async def renew_disk(path: Path) -> None:
    """Make a machine's overlay anew, as it was before its first start. Raises HypervisorError."""
    known = await disks.info(path)
    if known.base is None:
        raise HypervisorError(f"{path.name} is no overlay and was left as it is.")
    await disks.delete(path)
    await disks.create_overlay(path, known.base, known.virtual_bytes)


async def _filled(monitor: Monitor) -> None:
    try:
        async with asyncio.timeout(RESTORE_LIMIT_S):
            while True:
                status = str((await monitor.execute("query-status"))["status"])
                if status not in {"inmigrate", "prelaunch"}:
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise TemplateError(f"QEMU did not take the template's state within {RESTORE_LIMIT_S:.0f} s.") from error
