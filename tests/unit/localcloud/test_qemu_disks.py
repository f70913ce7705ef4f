"""Plugging and unplugging, against a small model of QEMU's own bookkeeping; the real one is in tests/system."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from educloud_lab.localcloud.hypervisor import qemu_disks
from educloud_lab.localcloud.hypervisor.base import DiskSpec, HypervisorError, NoSlotError
from educloud_lab.localcloud.hypervisor.qemu_command import PORT_COUNT
from educloud_lab.localcloud.hypervisor.qemu_monitor import CommandRefusedError


def disk(number: int = 1) -> DiskSpec:
    return DiskSpec(f"vol-{number}", Path(f"/volumes/vol-{number}.qcow2"), f"euca-vol-{number}-dev-/dev/vdf")


class Model:
    """Devices and nodes; refuses as QEMU 7.2 does."""

    def __init__(self, *, guest_lets_go: bool = True) -> None:
        self.devices: dict[str, str] = {"disk-root": "pcie.0", "rp0": "pcie.0"}
        self.nodes: set[str] = {"root", "root.file"}
        self.unplugging: set[str] = set()
        self.jobs: set[str] = set()
        self.guest_lets_go = guest_lets_go
        self.refuse_add: str | None = None
        self.events: asyncio.Queue[dict] = asyncio.Queue()

    async def execute(self, command, arguments=None):
        return getattr(self, command.replace("-", "_"))(arguments or {})

    @contextlib.asynccontextmanager
    async def listening(self, *names):
        async def events():
            while True:
                yield await self.events.get()

        yield events()

    def qom_list(self, _):
        return [{"name": name, "type": "child<x>"} for name in self.devices] + [{"name": "type", "type": "string"}]

    def qom_get(self, asked):
        bus = self.devices[asked["path"].rsplit("/", 1)[-1]]
        return f"/machine/peripheral/{bus}/{bus}"

    def query_named_block_nodes(self, _):
        raise CommandRefusedError("query-named-block-nodes", "Block device vol-9 is ejected")  # a damaged file's node

    def query_jobs(self, _):
        return [{"id": job, "status": "pending"} for job in self.jobs]

    def job_cancel(self, job):
        self.jobs.discard(job["id"])

    def x_debug_query_block_graph(self, _):
        return {"nodes": [{"id": i, "name": name} for i, name in enumerate(sorted(self.nodes), 1)], "edges": []}

    def blockdev_add(self, node):
        if node["node-name"] in self.nodes:
            raise CommandRefusedError("blockdev-add", f"Duplicate nodes with node-name='{node['file']['node-name']}'")
        self.nodes |= {node["node-name"], node["file"]["node-name"]}

    def blockdev_del(self, node):
        if node["node-name"] not in self.nodes:
            raise CommandRefusedError("blockdev-del", f"Failed to find node with node-name='{node['node-name']}'")
        if f"take-up-{node['node-name']}" in self.jobs:
            raise CommandRefusedError("blockdev-del", f"Node {node['node-name']} is in use")
        self.nodes -= {node["node-name"], f"{node['node-name']}.file"}

    def device_add(self, device):
        if self.refuse_add:
            raise CommandRefusedError("device_add", self.refuse_add)
        assert device["drive"] in self.nodes
        assert device["bus"] not in self.devices.values()
        self.devices[device["id"]] = device["bus"]

    def device_del(self, device):
        name = device["id"]
        if name not in self.devices:
            raise CommandRefusedError("device_del", f"Device '{name}' not found")
        if name in self.unplugging:
            raise CommandRefusedError("device_del", f"Device {name} is already in the process of unplug")
        self.unplugging.add(name)
        if self.guest_lets_go:
            self.let_go(name)

    def let_go(self, name):
        del self.devices[name]
        self.unplugging.discard(name)
        self.events.put_nowait(
            {"event": "DEVICE_DELETED", "data": {"path": f"/machine/peripheral/{name}/virtio-backend"}}
        )
        self.events.put_nowait({"event": "DEVICE_DELETED", "data": {"device": name}})


async def test_plug_then_unplug_leaves_nothing():
    model = Model()
    before = set(model.nodes)
    await qemu_disks.plug(model, disk())
    assert await qemu_disks.plugged(model) == {"vol-1": "rp0"}
    await qemu_disks.unplug(model, "vol-1", limit_s=5)
    assert await qemu_disks.plugged(model) == {}
    assert model.nodes == before


async def test_both_are_repeatable():
    model = Model()
    await qemu_disks.plug(model, disk())
    await qemu_disks.plug(model, disk())
    await qemu_disks.unplug(model, "vol-1", limit_s=5)
    await qemu_disks.unplug(model, "vol-1", limit_s=5)


async def test_a_plug_that_another_process_left_half_done_is_finished():
    model = Model()
    model.nodes |= {"vol-1", "vol-1.file"}
    await qemu_disks.plug(model, disk())
    assert "vol-1" in await qemu_disks.plugged(model)


async def test_a_half_done_plug_opens_the_file_anew_for_it_may_be_a_snapshots_by_now():
    model = Model()
    model.nodes |= {"vol-1", "vol-1.file"}
    closed = []
    remove = model.blockdev_del
    model.blockdev_del = lambda node: (closed.append(node["node-name"]), remove(node))
    await qemu_disks.plug(model, disk())
    assert closed == ["vol-1"]
    assert "vol-1" in model.nodes


async def test_an_unplug_that_another_process_left_half_done_is_finished():
    model = Model()
    await qemu_disks.plug(model, disk())
    model.let_go("disk-vol-1")  # the device went, the node stayed
    await qemu_disks.unplug(model, "vol-1", limit_s=5)
    assert "vol-1" not in model.nodes


async def test_an_unplug_ends_a_job_that_another_process_left():
    model = Model()
    await qemu_disks.plug(model, disk())
    model.jobs.add("take-up-vol-1")
    await qemu_disks.unplug(model, "vol-1", limit_s=5)
    assert "vol-1" not in model.nodes


async def test_an_unplug_that_is_under_way_is_waited_for():
    model = Model()
    await qemu_disks.plug(model, disk())
    model.unplugging.add("disk-vol-1")
    waiting = asyncio.create_task(qemu_disks.unplug(model, "vol-1", limit_s=5))
    await asyncio.wait({waiting}, timeout=0)
    model.let_go("disk-vol-1")
    await waiting
    assert "vol-1" not in model.nodes


async def test_a_guest_that_does_not_let_go_keeps_its_volume():
    model = Model(guest_lets_go=False)
    await qemu_disks.plug(model, disk())
    with pytest.raises(HypervisorError, match="still attached and nothing was lost"):
        await qemu_disks.unplug(model, "vol-1", limit_s=0.05)
    assert {"vol-1", "vol-1.file"} <= model.nodes


async def test_a_refused_plug_leaves_nothing():
    model = Model()
    model.refuse_add = "Duplicate device ID"
    before = set(model.nodes)
    with pytest.raises(CommandRefusedError, match="Duplicate"):
        await qemu_disks.plug(model, disk())
    assert model.nodes == before


async def test_slots_are_used_again_and_come_to_an_end():
    model = Model()
    for number in range(PORT_COUNT):
        await qemu_disks.plug(model, disk(number))
    with pytest.raises(NoSlotError, match="detach one"):
        await qemu_disks.plug(model, disk(99))
    assert "vol-99" not in model.nodes
    await qemu_disks.unplug(model, "vol-3", limit_s=5)
    await qemu_disks.plug(model, disk(99))
    assert (await qemu_disks.plugged(model))["vol-99"] == "rp3"


async def test_the_root_disk_is_no_volume():
    assert await qemu_disks.plugged(Model()) == {}
