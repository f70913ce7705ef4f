"""Machines that go on from a saved memory: each is its own, can do what a booted one can, and boots where that fails.

What a machine is, it says itself on its console: its user data prints it there before sshd is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from educloud_lab.localcloud import disks
from educloud_lab.localcloud.hypervisor import templates_build
from educloud_lab.localcloud.hypervisor.base import DiskSpec, MachineSpec, MachineState
from educloud_lab.localcloud.hypervisor.qemu import QemuHypervisor
from educloud_lab.localcloud.hypervisor.templates import Template, TemplateStore, _digest
from educloud_lab.localcloud.metadata.service import MetadataService
from educloud_lab.localcloud.metadata.view import MetadataView

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]

MIB = 1024 * 1024
LIMIT_S = 300  # many times the usual: a template is made with what a busy host leaves over
BOOTED = "END SSH HOST KEY FINGERPRINTS"
GOES_ON = "goes on from a template's memory"

WHO = rb"""#!/bin/sh
say() { echo "WHO $*" > /dev/console; }
say "random $(head -c 32 /dev/urandom | xxd -p -c 64)"
say "uuid $(cat /proc/sys/kernel/random/uuid)"
say "boot $(cat /proc/sys/kernel/random/boot_id)"
say "machine $(cat /etc/machine-id)"
say "mac $(cat /sys/class/net/eth0/address)"
say "permanent $(ip -o link show eth0 | grep -c permaddr)"
say "address $(ip -o -4 addr show eth0 | awk '{ print $4 }')"
say "clock $(date +%s)"
say "sectors $(cat /sys/block/vda/size)"
say "serial $(cat /sys/block/vda/serial)"
say "python $(python3 -c 'import random, uuid; print(random.getrandbits(128), uuid.uuid4())')"
say "history $(find /root /home /tmp /var/log -type f -size +0 | grep -cv -e profile -e bashrc)"
say end
setsid sh -c 'old=; while sleep 0.2; do
    new=$(cat /sys/block/vd*/serial 2>/dev/null | tr "\0" " "); for d in /sys/block/vd*; do echo; done > /dev/null
    new=$(for d in /sys/block/vd*; do cat $d/serial; echo; done | tr "\n" " ")
    [ "$new" = "$old" ] || echo "DISKS $new." > /dev/console; old=$new; done' < /dev/null > /dev/null 2>&1 &
"""


class Rig:
    """A hypervisor with templates, and metadata for any number of machines."""

    def __init__(self, folder: Path, run: Path, image: Path) -> None:
        self.folder, self.run = folder, run
        self.manifest = json.loads((image / "manifest.json").read_text())
        # As the cloud keeps images: under the person's own folder, so that a test can take them away.
        self.image = image
        self.store = TemplateStore(folder / "templates")
        self.hypervisor = self.another()
        self.metadata = MetadataService(self.view)
        self.specs: dict[str, MachineSpec] = {}

    def another(self) -> QemuHypervisor:
        return QemuHypervisor(
            run_dir=self.run, log_dir=self.folder / "log", accel="tcg", templates_dir=self.folder / "templates"
        )

    async def view(self, instance_id: str) -> MetadataView:
        spec = self.specs[instance_id]
        return MetadataView(
            instance_id=instance_id, image_id="emi-11111111", instance_type="m1.small", address=spec.address,
            hostname=f"ip-{spec.address.replace('.', '-')}", availability_zone="one", mac=spec.mac,
            reservation_id="r-11111111", user_data=WHO,
        )  # fmt: skip

    async def new(self, number: int, *, size_bytes: int | None = None) -> MachineSpec:
        instance_id = f"i-0000000{number}"
        files = self.manifest["files"]
        spec = MachineSpec(
            instance_id=instance_id, architecture="x86_64", cpus=1, memory_bytes=192 * MIB,
            root=DiskSpec("root", self.folder / f"{instance_id}.qcow2", f"euca-root-{number}"),
            kernel=self.image / files["kernel"], ramdisk=self.image / files["ramdisk"],
            kernel_args=self.manifest["kernel_args"], mac=f"d0:0d:00:00:00:0{number}", address=f"172.16.77.1{number}",
            metadata_socket=self.run / f"{number}.md", console_path=self.folder / f"{instance_id}.log",
        )  # fmt: skip
        self.specs[instance_id] = spec
        await disks.create_overlay(spec.root.path, self.image / files["root"], size_bytes)
        await self.metadata.serve(instance_id, spec.metadata_socket)
        return spec

    def console(self, spec: MachineSpec) -> str:
        return spec.console_path.read_text("utf-8", "replace") if spec.console_path.exists() else ""

    async def says(self, spec: MachineSpec, text: str, *, after: int = 0) -> None:
        await eventually(lambda: text in self.console(spec)[after:], f"{text!r}", lambda: self.console(spec))

    async def started(self, spec: MachineSpec) -> str:
        """Start, wait for sshd, and name the template it went on from."""
        begin = len(self.console(spec))
        await self.hypervisor.start(spec)
        await self.says(spec, BOOTED, after=begin)
        return (await self.hypervisor.report(spec.instance_id)).template

    def who(self, spec: MachineSpec) -> dict[str, str]:
        found = re.findall(r"^WHO (\w+) (.*?)\r?$", self.console(spec), re.MULTILINE)
        key = re.search(r"256 (SHA256:\S+)", self.console(spec))
        assert key is not None
        return dict(found) | {"key": key[1]}

    async def template(self) -> Template:
        await eventually(lambda: bool(self.store.all()), "a template", lambda: str(list(self.folder.rglob("*"))))
        return self.store.all()[0]

    async def end(self, spec: MachineSpec) -> None:
        await self.hypervisor.kill(spec.instance_id)
        await self.hypervisor.forget(spec.instance_id)


async def eventually(true: Callable[[], bool | Awaitable[bool]], what: str, shown: Callable[[], str]) -> None:
    end = asyncio.get_running_loop().time() + LIMIT_S
    while asyncio.get_running_loop().time() < end:
        value = true()
        if value if isinstance(value, bool) else await value:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"waited {LIMIT_S} s in vain for {what}; seen:\n{shown()[-3000:]}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory, images: Path) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("warm, with spaces")
    # A test waits for its template, people do not: it need not stand back behind whatever else the host does.
    templates_build.NICENESS = 0
    with tempfile.TemporaryDirectory(prefix="w ,") as run:  # socket paths are short
        made = Rig(folder, Path(run) / "run", images / "tiny")
        await made.hypervisor.open()
        try:
            yield made
        finally:
            for name in await made.hypervisor.report_all():
                await made.hypervisor.kill(name)
            await made.hypervisor.close()
            await made.metadata.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def template(rig: Rig) -> Template:
    """The first machine boots, and leaves a template for the next."""
    first = await rig.new(0)
    assert await rig.started(first) == ""
    assert GOES_ON not in rig.console(first)
    made = await rig.template()
    await rig.end(first)
    return made


async def test_a_template_holds_memory_for_its_owner_only_and_no_disk(rig: Rig, template: Template):
    assert {path.name for path in template.folder.iterdir()} == {"memory", "state", "template.json"}
    assert {oct(path.stat().st_mode & 0o777) for path in (template.memory, template.state)} == {"0o400"}
    assert rig.store.folder.stat().st_mode & 0o077 == 0
    assert template.memory.stat().st_size == 192 * MIB
    assert template.kept_bytes < template.memory.stat().st_size


async def test_machines_of_one_template_share_nothing(rig: Rig, template: Template):
    specs = [await rig.new(1), await rig.new(2), await rig.new(3, size_bytes=2 << 30)]
    # The clock of a memory that was saved before now stands before it.
    begun = int(time.time())
    assert await asyncio.gather(*(rig.started(spec) for spec in specs)) == [template.template_id] * 3
    found = [rig.who(spec) for spec in specs]
    for spec, who in zip(specs, found, strict=True):
        console = rig.console(spec)
        assert console.splitlines()[0].endswith(f"{GOES_ON}")  # nothing of what the template said
        assert who["mac"] == spec.mac
        assert who["permanent"] == "0"  # it is the card's own address, not one put over the template's
        assert who["address"].startswith(f"{spec.address}/")
        assert who["serial"].startswith(spec.root.serial)
        assert begun - 1 <= int(who["clock"]) <= time.time() + 1
        assert re.fullmatch(r"[0-9a-f]{32}", who["machine"])
        assert who["history"] == "0"
    for what in ("random", "uuid", "boot", "machine", "mac", "address", "key", "python"):
        assert len({who[what] for who in found}) == len(found), what
    assert [int(who["sectors"]) * 512 >> 30 for who in found] == [1, 1, 2]  # a larger disk is seen
    for spec in specs[1:]:
        await rig.end(spec)


async def test_a_machine_that_went_on_can_do_what_a_booted_one_can(rig: Rig, template: Template):
    """Goes on with the first of the machines above: volume, another process of the cloud, restart, stop, start."""
    spec = rig.specs["i-00000001"]
    key = rig.who(spec)["key"]
    disk = DiskSpec("vol-11aa22bb", rig.folder / "vol.qcow2", "euca-vol-11aa22bb-dev-/dev/vdf")
    await disks.create_blank(disk.path, 16 * MIB)
    begin = len(rig.console(spec))
    await rig.hypervisor.attach(spec.instance_id, disk)
    await rig.says(spec, "euca-vol-11aa22bb-de", after=begin)
    await rig.hypervisor.detach(spec.instance_id, disk.disk_id)
    assert (await rig.hypervisor.report(spec.instance_id)).disk_ids == ()

    await rig.hypervisor.close()
    rig.hypervisor = rig.another()
    await rig.hypervisor.open()
    report = await rig.hypervisor.report(spec.instance_id)
    assert (report.state, report.template) == (MachineState.RUNNING, template.template_id)

    await rig.says(spec, "[boot] ready")
    begin = len(rig.console(spec))
    await rig.hypervisor.reboot(spec.instance_id)
    await rig.says(spec, BOOTED, after=begin)
    again = rig.console(spec)[begin:]
    assert "kernel is up" in again
    assert "started again (user data is skipped)" in again
    assert key in again
    await rig.says(spec, "[boot] ready", after=begin)

    await rig.hypervisor.shut_down(spec.instance_id, grace_s=60)
    report = await rig.hypervisor.report(spec.instance_id)
    assert (report.state, report.reason) == (MachineState.ENDED, "guest-shutdown")
    begin = len(rig.console(spec))
    assert await rig.started(spec) == ""  # its disk has a life of its own now
    assert "started again (user data is skipped)" in rig.console(spec)[begin:]
    assert key in rig.console(spec)[begin:]
    await rig.end(spec)


async def test_a_state_that_qemu_refuses_makes_the_machine_boot_on_a_new_disk(rig: Rig, template: Template):
    template.state.chmod(0o600)
    template.state.write_bytes(template.state.read_bytes()[:200_000])
    facts = json.loads((template.folder / "template.json").read_text())
    facts["digests"]["state"] = _digest(template.state)  # damaged in a way that checksums do not tell
    (template.folder / "template.json").write_text(json.dumps(facts))
    spec = await rig.new(5)
    assert await rig.started(spec) == ""
    assert GOES_ON not in rig.console(spec)
    assert rig.who(spec)["mac"] == spec.mac
    await rig.end(spec)


async def test_a_damaged_memory_is_removed_and_the_machine_boots(rig: Rig, template: Template):
    template.memory.chmod(0o600)
    with template.memory.open("r+b") as stream:
        stream.seek(32 * MIB)
        stream.write(b"damaged" * 1000)
    # Beside it one that it would not fit if it were whole.
    specs = [await rig.new(6), replace(await rig.new(4), memory_bytes=200 * MIB)]
    assert await asyncio.gather(*(rig.started(spec) for spec in specs)) == ["", ""]
    # Gone; or another one has been made already, in the background and under the same name.
    with contextlib.suppress(FileNotFoundError), template.memory.open("rb") as stream:
        stream.seek(32 * MIB)
        assert b"damaged" not in stream.read(7000)
