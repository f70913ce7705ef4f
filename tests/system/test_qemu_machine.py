"""One real machine through its whole life: boot, volumes, faults, take-over by another process, restart, end.

Everything is shown by what the guest itself says on its console: its user data leaves a small program there that
reports the disks it sees and does what the test's disks tell it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from educloud_lab.localcloud import acceleration, disks
from educloud_lab.localcloud.hypervisor import qemu_record
from educloud_lab.localcloud.hypervisor.base import (
    BootRefusedError,
    DiskSpec,
    HypervisorError,
    MachineSpec,
    MachineState,
    NotEnoughRoomError,
)
from educloud_lab.localcloud.hypervisor.qemu import QemuHypervisor
from educloud_lab.localcloud.hypervisor.qemu_command import PORT_COUNT, block_node, disk_device
from educloud_lab.localcloud.hypervisor.qemu_process import is_alive
from educloud_lab.localcloud.metadata.service import MetadataService
from educloud_lab.localcloud.metadata.view import MetadataView

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.asyncio(loop_scope="module"),
]

MIB = 1024 * 1024
BOOT_S = 90  # several times the usual, for a busy host
BOOTED = "END SSH HOST KEY FINGERPRINTS"

# Runs in the guest: tells which disks are there, and writes to any whose serial asks for it.
WATCHER = b"""#!/bin/sh
cat > /run/watch <<'END'
#!/bin/sh
old=
while sleep 0.2; do
    new=
    for block in /sys/block/vd*; do
        serial=$(cat "$block/serial" 2>/dev/null)
        [ -n "$serial" ] && new="$new $serial"
        case "$serial" in
        euca-vol-write*)
            if [ ! -e "/run/wrote-$serial" ]; then
                touch "/run/wrote-$serial"
                head -c 65536 /dev/zero | dd of="/dev/${block##*/}" bs=64k conv=fsync 2>/dev/null
                echo "WROTE $serial $?" > /dev/console
            fi;;
        esac
    done
    [ "$new" = "$old" ] || echo "DISKS$new." > /dev/console
    old=$new
done
END
chmod +x /run/watch
setsid /run/watch < /dev/null > /dev/null 2>&1 &
"""


class Lab:
    """One hypervisor, one metadata service, one machine."""

    def __init__(self, folder: Path, run: Path, image: Path) -> None:
        self.folder = folder
        self.run = run
        self.image = image
        self.manifest = json.loads((image / "manifest.json").read_text())
        self.hypervisor = self.another()
        self.metadata = MetadataService(self.view)
        self.spec = self.make_spec("i-0a1b2c3d4e5f60718")

    def another(self, **options: int) -> QemuHypervisor:
        return QemuHypervisor(run_dir=self.run, log_dir=self.folder / "log", accel="tcg", **options)

    def make_spec(self, instance_id: str) -> MachineSpec:
        files = self.manifest["files"]
        return MachineSpec(
            instance_id=instance_id,
            architecture="x86_64",
            cpus=1,
            memory_bytes=192 * MIB,
            root=DiskSpec("root", self.folder / f"{instance_id}.qcow2", "root"),
            kernel=self.image / files["kernel"],
            ramdisk=self.image / files["ramdisk"],
            kernel_args=self.manifest["kernel_args"],
            mac="d0:0d:0a:1b:2c:3d",
            address="172.16.77.5",
            metadata_socket=self.run / "metadata, of one.sock",
            console_path=self.folder / "con soles" / f"{instance_id}.log",
        )

    async def view(self, instance_id: str) -> MetadataView:
        return MetadataView(
            instance_id=instance_id,
            image_id="emi-11111111",
            instance_type="m1.small",
            address=self.spec.address,
            hostname="ip-172-16-77-5",
            availability_zone="one",
            mac=self.spec.mac,
            reservation_id="r-11111111",
            user_data=WATCHER,
        )

    @property
    def name(self) -> str:
        return self.spec.instance_id

    def console(self) -> str:
        path = self.spec.console_path
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def pid(self) -> int:
        record = qemu_record.load(qemu_record.MachineFiles(self.run / self.name, self.folder))
        assert record is not None
        assert record.pid is not None
        return record.pid

    async def says(self, text: str, *, after: int = 0, limit_s: float = BOOT_S) -> None:
        """Wait until the console has ``text`` behind position ``after``."""
        await eventually(lambda: text in self.console()[after:], f"{text!r} on the console", self.console, limit_s)

    def disks_seen(self) -> set[str]:
        """Serials in the guest's latest list."""
        return set(self.console().rpartition("DISKS ")[2].partition(".")[0].split())

    async def volume(self, name: str) -> DiskSpec:
        disk = DiskSpec(name, self.folder / f"{name}.qcow2", f"euca-{name}-dev-/dev/vdf")
        if not disk.path.exists():
            await disks.create_blank(disk.path, 16 * MIB)
        return disk

    async def running(self) -> None:
        """Have the machine run, started anew if a test before ended it."""
        if (await self.hypervisor.report(self.name)).state is not MachineState.RUNNING:
            begin = len(self.console())
            await self.hypervisor.start(self.spec)
            await self.says(BOOTED, after=begin)


async def eventually(
    true: Callable[[], bool | Awaitable[bool]], what: str, shown: Callable[[], str], limit_s: float = BOOT_S
) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + limit_s
    while loop.time() < end:
        value = true()
        if value if isinstance(value, bool) else await value:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"waited {limit_s} s in vain for {what}; console:\n{shown()[-3000:]}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(tmp_path_factory: pytest.TempPathFactory, images: Path) -> AsyncIterator[Lab]:
    folder = tmp_path_factory.mktemp("a lab, with spaces")
    with tempfile.TemporaryDirectory(prefix="q ,") as run:  # socket paths are short
        made = Lab(folder, Path(run) / "run", images / "tiny")
        await made.hypervisor.open()
        await made.metadata.serve(made.name, made.spec.metadata_socket)
        await disks.create_overlay(made.spec.root.path, made.image / made.manifest["files"]["root"])
        await made.hypervisor.start(made.spec)
        try:
            await made.says(BOOTED)
            yield made
        finally:
            for name in await made.hypervisor.report_all():
                await made.hypervisor.kill(name)
            await made.hypervisor.close()
            await made.metadata.close()


async def test_it_boots_and_ran_its_user_data(lab: Lab):
    report = await lab.hypervisor.report(lab.name)
    assert (report.state, report.reason, report.disk_ids) == (MachineState.RUNNING, "", ())
    await lab.says("DISKS root.")


async def test_starting_again_is_the_same_start(lab: Lab):
    pid = lab.pid()
    await lab.hypervisor.start(lab.spec)
    assert lab.pid() == pid


async def test_ssh_answers_where_the_gateway_is_sent(lab: Lab):
    endpoint = await lab.hypervisor.endpoint(lab.name, 22)
    assert endpoint is not None
    assert endpoint[0] == "127.0.0.1"
    reader, writer = await asyncio.open_connection(*endpoint)
    assert (await asyncio.wait_for(reader.readline(), BOOT_S)).startswith(b"SSH-2.0-")
    writer.close()
    await writer.wait_closed()
    other = await lab.hypervisor.endpoint(lab.name, 8000)
    assert other is not None
    assert other != endpoint
    assert await lab.hypervisor.endpoint(lab.name, 8000) == other


async def test_a_volume_comes_and_goes_with_its_serial(lab: Lab):
    disk = await lab.volume("vol-11aa22bb")
    begin = len(lab.console())
    await lab.hypervisor.attach(lab.name, disk)
    await lab.hypervisor.attach(lab.name, disk)
    await lab.says("DISKS root euca-vol-11aa22bb-de.", after=begin)
    assert (await lab.hypervisor.report(lab.name)).disk_ids == ("vol-11aa22bb",)
    begin = len(lab.console())
    await lab.hypervisor.detach(lab.name, disk.disk_id)
    await lab.hypervisor.detach(lab.name, disk.disk_id)
    await lab.says("DISKS root.", after=begin)
    assert (await lab.hypervisor.report(lab.name)).disk_ids == ()
    await disks.grow(disk.path, 32 * MIB)  # nobody holds its lock


async def test_the_same_file_is_never_given_twice(lab: Lab):
    disk = await lab.volume("vol-11aa22bb")
    await lab.hypervisor.attach(lab.name, disk)
    twin = replace(disk, disk_id="vol-99999999")
    with pytest.raises(HypervisorError, match="lock"):
        await lab.hypervisor.attach(lab.name, twin)
    assert (await lab.hypervisor.report(lab.name)).disk_ids == ("vol-11aa22bb",)
    await lab.hypervisor.detach(lab.name, disk.disk_id)


async def test_eight_volumes_fit(lab: Lab):
    assert PORT_COUNT >= 8
    volumes = [await lab.volume(f"vol-0000000{number}") for number in range(8)]
    await asyncio.gather(*(lab.hypervisor.attach(lab.name, disk) for disk in volumes))
    wanted = {"root", *(f"euca-vol-0000000{number}-de" for number in range(8))}
    await eventually(lambda: lab.disks_seen() == wanted, "all eight in the guest", lab.console)
    await asyncio.gather(*(lab.hypervisor.detach(lab.name, disk.disk_id) for disk in volumes))
    assert (await lab.hypervisor.report(lab.name)).disk_ids == ()


async def test_a_full_disk_pauses_and_the_write_is_done_when_there_is_room(lab: Lab):
    """The disk is "full" for one write: QEMU's own fault injection below the volume, its own device above."""
    disk = await lab.volume("vol-write001")
    node = block_node(disk)
    node["file"] = {
        "driver": "blkdebug",
        "image": node["file"],
        "inject-error": [{"event": "write_aio", "errno": 28, "once": True, "immediately": False}],
    }
    strict = lab.another(room_to_resume_bytes=1 << 60)
    await lab.hypervisor.close()  # a monitor has one client
    await strict.open()
    monitor = strict._machines[lab.name].monitor
    await monitor.execute("blockdev-add", node)
    await monitor.execute("device_add", disk_device(disk, "rp0"))

    async def paused() -> bool:
        return (await strict.report(lab.name)).state is MachineState.PAUSED

    await eventually(paused, "the machine to pause", lab.console)
    assert "WROTE" not in lab.console()
    await strict.close()
    await lab.hypervisor.open()  # with the usual wish for room, which there is
    assert (await lab.hypervisor.report(lab.name)).state is MachineState.RUNNING
    await lab.says("WROTE euca-vol-write001-de 0")
    await lab.hypervisor.detach(lab.name, disk.disk_id)


async def test_another_process_finds_it_with_its_volumes_and_goes_on(lab: Lab):
    disk = await lab.volume("vol-11aa22bb")
    await lab.hypervisor.attach(lab.name, disk)
    before = await lab.hypervisor.endpoint(lab.name, 22)
    await lab.hypervisor.close()
    second = lab.another()
    await second.open()
    assert {name: report.state for name, report in (await second.report_all()).items()} == {
        lab.name: MachineState.RUNNING
    }
    assert (await second.report(lab.name)).disk_ids == ("vol-11aa22bb",)
    assert await second.endpoint(lab.name, 22) == before
    await second.detach(lab.name, disk.disk_id)
    await second.close()
    await lab.hypervisor.open()


async def test_a_restart_is_clean_and_keeps_process_disks_and_address(lab: Lab):
    pid, begin = lab.pid(), len(lab.console())
    disk = await lab.volume("vol-11aa22bb")
    await lab.hypervisor.attach(lab.name, disk)
    await lab.hypervisor.reboot(lab.name)
    await lab.says(BOOTED, after=begin)
    assert lab.pid() == pid
    report = await lab.hypervisor.report(lab.name)
    assert (report.state, report.disk_ids) == (MachineState.RUNNING, ("vol-11aa22bb",))
    assert '"guest-shutdown"' in (lab.run / lab.name / "journal").read_text()  # the guest went down by itself
    await lab.hypervisor.detach(lab.name, disk.disk_id)


async def test_a_restart_that_one_process_began_is_finished_by_the_next(lab: Lab):
    begin = len(lab.console())
    files = qemu_record.MachineFiles(lab.run / lab.name, lab.folder)

    def begun() -> bool:
        record = qemu_record.load(files)
        return record is not None and record.rebooting

    rebooting = asyncio.create_task(lab.hypervisor.reboot(lab.name))
    await eventually(begun, "the restart to be recorded", lab.console)  # the guest takes a second more to be off
    await lab.hypervisor.close()
    with pytest.raises(asyncio.CancelledError):
        await rebooting
    await lab.hypervisor.open()
    await lab.says(BOOTED, after=begin)
    assert (await lab.hypervisor.report(lab.name)).state is MachineState.RUNNING


async def test_the_power_button_ends_it_and_says_so(lab: Lab):
    await lab.running()
    pid = lab.pid()
    await lab.hypervisor.shut_down(lab.name, grace_s=60)
    report = await lab.hypervisor.report(lab.name)
    assert (report.state, report.reason) == (MachineState.ENDED, "guest-shutdown")
    assert not is_alive(pid, None)
    await lab.hypervisor.shut_down(lab.name, grace_s=1)
    await lab.hypervisor.detach(lab.name, "vol-11aa22bb")
    assert await lab.hypervisor.endpoint(lab.name, 22) is None
    with pytest.raises(HypervisorError, match="does not run"):
        await lab.hypervisor.attach(lab.name, await lab.volume("vol-11aa22bb"))


async def test_a_volume_given_at_the_start_can_be_unplugged(lab: Lab):
    """Also: SIGKILL from outside is noticed, told apart, and the next start works on the same disks."""
    disk = await lab.volume("vol-11aa22bb")
    begin = len(lab.console())
    await lab.hypervisor.start(replace(lab.spec, disks=(disk,)))
    await lab.says(BOOTED, after=begin)
    assert (await lab.hypervisor.report(lab.name)).disk_ids == ("vol-11aa22bb",)
    await lab.hypervisor.detach(lab.name, disk.disk_id)
    assert (await lab.hypervisor.report(lab.name)).disk_ids == ()
    os.kill(lab.pid(), signal.SIGKILL)

    async def ended() -> bool:
        return (await lab.hypervisor.report(lab.name)).state is MachineState.ENDED

    await eventually(ended, "the end to be seen", lab.console)
    assert (await lab.hypervisor.report(lab.name)).reason == "killed"
    second = lab.another()
    await second.open()
    assert (await second.report(lab.name)).reason == "killed"  # a process that was not there knows it too
    await second.close()
    await lab.hypervisor.start(lab.spec)
    assert (await lab.hypervisor.report(lab.name)).state is MachineState.RUNNING
    with pytest.raises(HypervisorError, match="still runs"):
        await lab.hypervisor.forget(lab.name)
    await lab.hypervisor.kill(lab.name)
    await lab.hypervisor.kill(lab.name)
    assert (await lab.hypervisor.report(lab.name)).reason == "host-stop"
    await lab.hypervisor.forget(lab.name)
    await lab.hypervisor.forget(lab.name)
    assert (await lab.hypervisor.report(lab.name)).state is MachineState.ABSENT


async def test_a_damaged_disk_is_refused_in_qemus_words(lab: Lab):
    spec = replace(lab.make_spec("i-0bad0bad0bad0bad0"), address="172.16.77.6")
    spec.root.path.write_bytes(b"this is no disk" * 1000)
    with pytest.raises(BootRefusedError, match="Image is not in qcow2 format"):
        await lab.hypervisor.start(spec)
    assert (await lab.hypervisor.report(spec.instance_id)).state is MachineState.ABSENT
    assert "qcow2" in (lab.folder / "log" / f"{spec.instance_id}.log").read_text()


async def test_more_memory_than_there_is_is_refused(lab: Lab):
    spec = replace(lab.make_spec("i-0b19b19b19b19b19b"), memory_bytes=1 << 45)
    await disks.create_overlay(spec.root.path, lab.image / lab.manifest["files"]["root"])
    with pytest.raises(NotEnoughRoomError, match="Nothing was started"):
        await lab.hypervisor.start(spec)
    assert (await lab.hypervisor.report(spec.instance_id)).state is MachineState.ABSENT


async def test_a_start_that_was_cut_off_while_queued_starts_nothing(lab: Lab):
    narrow = lab.another(width=1)
    await narrow.open()
    spec = lab.make_spec("i-0c0c0c0c0c0c0c0c0")
    await disks.create_overlay(spec.root.path, lab.image / lab.manifest["files"]["root"])
    await narrow._queue.enter()  # another machine is booting
    waiting = asyncio.create_task(narrow.start(spec))
    await eventually(lambda: narrow._queue._starting == 2, "the start to wait for its place", lab.console)
    await narrow.kill(spec.instance_id)
    narrow._queue.leave()
    with pytest.raises(HypervisorError, match="cut off"):
        await waiting
    assert (await narrow.report(spec.instance_id)).state is MachineState.ABSENT
    await narrow.close()


async def test_a_start_that_is_cancelled_leaves_nothing(lab: Lab):
    spec = replace(lab.make_spec("i-0d0d0d0d0d0d0d0d0"), address="172.16.77.7")
    await disks.create_overlay(spec.root.path, lab.image / lab.manifest["files"]["root"])
    starting = asyncio.create_task(lab.hypervisor.start(spec))
    folder = lab.run / spec.instance_id
    async with asyncio.timeout(BOOT_S):
        # looked at often, since a start is over a tenth of a second later; there is no event to wait for
        while not (folder / "machine.json").exists():  # noqa: ASYNC110 - a file has none
            await asyncio.sleep(0.002)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not folder.exists()
    assert (await lab.hypervisor.report(spec.instance_id)).state is MachineState.ABSENT
    await disks.grow(spec.root.path, 2 << 30)  # and no process holds its disk


async def test_the_probe_boots_this_kernel(lab: Lab, tmp_path: Path):
    """In emulation, where it must succeed; and a program that is no kernel must fail it."""
    binary = "/usr/bin/qemu-system-x86_64"
    kernel = lab.image / lab.manifest["files"]["kernel"]
    good = await acceleration.probe(kernel, cache=tmp_path / "c", binary=binary, accel="tcg", limit_s=BOOT_S)
    assert good.works, good.reason
    bad = await acceleration.probe(Path("/bin/true"), cache=tmp_path / "c", binary=binary, accel="tcg", limit_s=BOOT_S)
    assert not bad.works
    assert "PVH" in bad.reason
