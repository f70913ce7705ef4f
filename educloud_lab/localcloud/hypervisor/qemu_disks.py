"""Plugging and unplugging volumes of a running machine.

Nothing is remembered here: what is plugged is asked of QEMU each time, so a plug or unplug that an earlier process
left half done is simply finished. QEMU unplugs a disk whose file system is mounted without complaint: that it is
unmounted first is for the caller to ensure.
"""

from __future__ import annotations

import asyncio

from educloud_lab.localcloud.hypervisor.base import DiskSpec, HypervisorError, NoSlotError
from educloud_lab.localcloud.hypervisor.qemu_command import PORT_COUNT, block_node, device_id, disk_device, port_id
from educloud_lab.localcloud.hypervisor.qemu_layers import ROOT, close_nodes
from educloud_lab.localcloud.hypervisor.qemu_monitor import CommandRefusedError, Monitor, event_data

_PERIPHERAL = "/machine/peripheral"
_DEVICE_PREFIX = device_id("")

# A request that comes before the guest's kernel listens is lost, and QEMU refuses another for 5 s.
_ASK_AGAIN_S = 5.5


async def plugged(monitor: Monitor) -> dict[str, str]:
    """Give the plugged volumes (without root) and the root port of each. Raises MonitorLostError."""
    listed = await monitor.execute("qom-list", {"path": _PERIPHERAL})
    found: dict[str, str] = {}
    for item in listed:
        name = str(item["name"])
        if name.startswith(_DEVICE_PREFIX) and name != device_id(ROOT):
            try:
                bus = await monitor.execute("qom-get", {"path": f"{_PERIPHERAL}/{name}", "property": "parent_bus"})
            except CommandRefusedError:
                continue  # it went away between the two questions
            # The bus is shown as a path: /machine/peripheral/rp3/rp3.
            found[name.removeprefix(_DEVICE_PREFIX)] = str(bus).rsplit("/", 1)[-1]
    return found


async def plug(monitor: Monitor, disk: DiskSpec) -> None:
    """Plug ``disk``; plugged already is success.

    Raises
    ------
    NoSlotError, HypervisorError
        The machine is as it was before.
    """
    taken = await plugged(monitor)
    if disk.disk_id in taken:
        return
    free = [port_id(index) for index in range(PORT_COUNT) if port_id(index) not in taken.values()]
    if not free:
        raise NoSlotError(f"All {PORT_COUNT} slots for volumes are taken. Nothing changed; detach one first.")
    try:
        await monitor.execute("blockdev-add", block_node(disk))
    except CommandRefusedError as error:
        if "Duplicate nodes" not in error.reason:
            raise
        # A plug that was left half done. Its file may have become a snapshot's since: opened anew, by today's name.
        await close_nodes(monitor, disk.disk_id)
        await monitor.execute("blockdev-add", block_node(disk))
    try:
        await monitor.execute("device_add", disk_device(disk, free[0]))
    except CommandRefusedError:
        await close_nodes(monitor, disk.disk_id)
        raise


async def unplug(monitor: Monitor, disk_id: str, *, limit_s: float) -> None:
    """Unplug a volume and wait until the guest let go and the file is closed; not plugged is success.

    Raises
    ------
    HypervisorError
        The guest did not let go within ``limit_s``; the volume is still plugged, asking again is safe.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    device = device_id(disk_id)
    async with monitor.listening("DEVICE_DELETED") as events:
        while disk_id in await plugged(monitor):
            if loop.time() >= end:
                raise HypervisorError(
                    f"The machine did not let go of {disk_id} within {limit_s:.0f} s (is it still booting?). "
                    "The volume is still attached and nothing was lost; try again."
                )
            try:
                await monitor.execute("device_del", {"id": device})
            except CommandRefusedError as error:
                # Asked already (perhaps by a process before this one), or gone since the question above.
                if "in the process of unplug" not in error.reason and "not found" not in error.reason:
                    raise
            try:
                async with asyncio.timeout(min(_ASK_AGAIN_S, max(0.1, end - loop.time()))):
                    async for event in events:
                        if event_data(event).get("device") == device:
                            break
            except TimeoutError:
                continue
    await close_nodes(monitor, disk_id)
