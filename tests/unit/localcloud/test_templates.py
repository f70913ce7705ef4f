"""Which template fits which machine, what is kept, and how the command lines are made."""

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from educloud_lab.localcloud.hypervisor import qcow
from educloud_lab.localcloud.hypervisor.base import DiskSpec, MachineSpec
from educloud_lab.localcloud.hypervisor.qemu_command import command_line
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles
from educloud_lab.localcloud.hypervisor.templates import (
    MOST_TEMPLATES,
    TemplateStore,
    can_go_on,
    host_processor,
    key_of,
)
from educloud_lab.localcloud.hypervisor.templates_build import clear_leftovers
from educloud_lab.localcloud.hypervisor.templates_command import (
    TEMPLATE_WORD,
    WARM_WORD,
    TemplateFiles,
    pairs,
    restored_arguments,
    shape,
    template_arguments,
)
from educloud_lab.localcloud.hypervisor.templates_personality import personality
from educloud_lab.localcloud.network.slirp import SlirpNetwork

MIB = 1 << 20
QEMU = "QEMU emulator version 7.2.22"


def overlay(path: Path, base: Path | None, *, written: bool = False, snapshots: int = 0) -> Path:
    """A qcow2 header with an L1 table, as docs/interop/qcow2.txt has it."""
    name = os.fsencode(base) if base else b""
    table = struct.pack(">Q", (1 << 63) | 0x50000 if written else 0)
    head = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 512 if base else 0, len(name), 16, 1 << 30, 0, 1, 1024, 0, 0, snapshots, 0
    )
    path.write_bytes(head.ljust(512, b"\0") + name.ljust(512, b"\0") + table)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    folder = tmp_path / "images/tiny/1"
    folder.mkdir(parents=True)
    for name in ("root.qcow2", "vmlinux", "ramdisk.img"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def spec(tmp_path: Path, image: Path) -> MachineSpec:
    return MachineSpec(
        instance_id="i-0123456789abcdef0", architecture="x86_64", cpus=1, memory_bytes=256 * MIB,
        root=DiskSpec("root", overlay(tmp_path / "root.qcow2", image / "root.qcow2"), "euca-vol-1-dev-sda"),
        kernel=image / "vmlinux", ramdisk=image / "ramdisk.img", kernel_args=f"console=ttyS0 {WARM_WORD}",
        mac="d0:0d:01:02:03:04", address="172.16.77.5", metadata_socket=tmp_path / "md.sock",
        console_path=tmp_path / "console.log",
    )  # fmt: skip


def arguments(spec: MachineSpec, accel: str = "tcg") -> list[str]:
    files = MachineFiles(Path("/run/m") / spec.instance_id, Path("/log"))
    return command_line(spec, files, binary="/usr/bin/qemu", accel=accel, network=SlirpNetwork(python="/py"))


def template_id(spec: MachineSpec, accel: str = "tcg", qemu: str = QEMU) -> str:
    key = key_of(spec, arguments(spec, accel), qemu)
    assert key is not None
    return key.template_id


def values(command: list[str], option: str) -> list[str]:
    return [value for name, value in pairs(command) if name == option]


# -- what a disk tells ------------------------------------------------------------------------------------------


def test_an_overlay_tells_its_base_and_whether_it_was_written(tmp_path, image):
    fresh = qcow.read_header(overlay(tmp_path / "a", image / "root.qcow2"))
    assert (fresh.backing, fresh.virtual_bytes, fresh.untouched) == (image / "root.qcow2", 1 << 30, True)
    assert not qcow.read_header(overlay(tmp_path / "b", image / "root.qcow2", written=True)).untouched
    assert not qcow.read_header(overlay(tmp_path / "c", image / "root.qcow2", snapshots=1)).untouched
    assert qcow.read_header(overlay(tmp_path / "d", None)).backing is None


@pytest.mark.parametrize("content", [b"", b"QFI\xfb", b"not a disk" * 100])
def test_what_is_no_disk_tells_nothing(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert qcow.read_header(tmp_path / "x") is None
    assert qcow.read_header(tmp_path / "missing") is None


# -- which machines ---------------------------------------------------------------------------------------------


def test_a_new_machine_of_an_image_that_knows_how_may_go_on(spec):
    assert can_go_on(spec)


def test_others_boot(spec, tmp_path, image):
    volume = DiskSpec("vol-1", tmp_path / "v", "v")
    written = overlay(tmp_path / "written", image / "root.qcow2", written=True)
    own = overlay(tmp_path / "own", tmp_path / "snap-1.qcow2")
    assert not can_go_on(replace(spec, kernel_args="console=ttyS0"))
    assert not can_go_on(replace(spec, disks=(volume,)))
    assert not can_go_on(replace(spec, kernel=None))
    assert not can_go_on(replace(spec, root=replace(spec.root, path=written)))
    assert not can_go_on(replace(spec, root=replace(spec.root, path=own)))
    assert not can_go_on(replace(spec, root=replace(spec.root, path=tmp_path / "missing")))


def test_one_template_fits_all_machines_of_a_kind(spec, tmp_path, image):
    other = replace(
        spec,
        instance_id="i-0fedcba9876543210",
        mac="d0:0d:ff:ff:ff:ff",
        address="172.16.99.9",
        root=DiskSpec("root", overlay(tmp_path / "other.qcow2", image / "root.qcow2"), "euca-vol-2-dev-sda"),
        metadata_socket=tmp_path / "other.sock",
        console_path=tmp_path / "other.log",
    )
    assert template_id(other) == template_id(spec)


def test_whatever_the_guest_can_see_makes_another_template(spec, image):
    usual = template_id(spec)
    others = [
        template_id(replace(spec, memory_bytes=512 * MIB)),
        template_id(replace(spec, cpus=2)),
        template_id(replace(spec, kernel_args=f"quiet {WARM_WORD}")),
        template_id(spec, accel="kvm"),
        template_id(spec, qemu="QEMU emulator version 8.2.0"),
    ]
    (image / "root.qcow2").write_bytes(b"built anew")
    others.append(template_id(spec))
    assert usual not in others
    assert len(set(others)) == len(others)


def test_under_kvm_the_processor_counts_and_its_speed_does_not(tmp_path):
    def processor(mhz: int, flags: str) -> str:
        text = f"vendor_id : X\nmodel name : Y\ncpu MHz : {mhz}\nflags : {flags}\n\nvendor_id : X\ncpu MHz : 9\n"
        (tmp_path / "cpuinfo").write_text(text)
        return host_processor(tmp_path / "cpuinfo")

    assert processor(1000, "fpu aes") == processor(2000, "fpu aes")
    assert processor(1000, "fpu aes") != processor(1000, "fpu")
    assert host_processor(tmp_path / "missing")


def test_an_image_whose_files_are_gone_has_none(spec, image):
    (image / "ramdisk.img").unlink()
    assert key_of(spec, arguments(spec), QEMU) is None


# -- command lines ----------------------------------------------------------------------------------------------


def test_a_template_has_the_same_hardware_and_no_network_disk_or_name_of_a_machine(spec, tmp_path):
    cold = arguments(spec)
    files = TemplateFiles(tmp_path / "t")
    made = template_arguments(
        cold, memory=tmp_path / "memory", root=tmp_path / "own.qcow2", channel=files.channel, qemu="/q", files=files
    )
    assert made[0] == "/q"
    assert values(made, "-device") == values(cold, "-device")
    assert values(made, "-netdev") == ["hubport,id=net0,hubid=0"]
    assert [json.loads(value)["file"]["filename"] for value in values(made, "-blockdev")] == [
        str(tmp_path / "own.qcow2")
    ]
    assert values(made, "-append") == [f"{spec.kernel_args} {TEMPLATE_WORD}"]
    assert values(made, "-serial") == ["chardev:console", "chardev:who"]
    assert [json.loads(value)["share"] for value in values(made, "-object")] == [True]
    joined = " ".join(made)
    for word in (spec.instance_id, str(spec.root.path), str(spec.metadata_socket), str(spec.console_path)):
        assert word not in joined
    assert "-daemonize" in made


def test_a_machine_that_goes_on_never_writes_to_the_templates_memory(spec):
    cold = arguments(spec)
    made = restored_arguments(cold, memory=Path("/t/memory"), channel=Path("/run/m/i/who.sock"))
    (backend,) = (json.loads(value) for value in values(made, "-object"))
    assert backend == {
        "qom-type": "memory-backend-file",
        "id": "memory",
        "size": 256 * MIB,
        "mem-path": "/t/memory",
        "share": False,
    }
    assert values(made, "-machine")[0].endswith(",memory-backend=memory")
    assert values(made, "-incoming") == ["defer"]
    assert values(made, "-serial") == ["chardev:console", "chardev:who"]
    for option in ("-device", "-netdev", "-blockdev", "-append", "-pidfile", "-name"):
        assert values(made, option) == values(cold, option)


def test_a_program_in_front_of_qemu_stays_in_front(spec):
    cold = ["nsenter", "-t", "7", "--", *arguments(spec)]
    assert shape(cold) == shape(arguments(spec))
    made = restored_arguments(cold, memory=Path("/t/memory"), channel=Path("/c"))
    assert made[:5] == ["nsenter", "-t", "7", "--", "/usr/bin/qemu"]


def test_every_personality_has_a_seed_of_its_own():
    lines = {personality("i-1", "d0:0d:01:02:03:04") for _ in range(100)}
    assert len(lines) == 100
    words = lines.pop().decode().split()
    assert words[:4] == ["educloud", "1", "instance=i-1", "mac=d0:0d:01:02:03:04"]
    assert len(bytes.fromhex(words[4].removeprefix("seed="))) == 64
    assert words[5:] == ["end"]


# -- what is kept -----------------------------------------------------------------------------------------------


def publish(store: TemplateStore, spec: MachineSpec) -> str:
    making = store.folder / ".making-x"
    making.mkdir(parents=True)
    with (making / "memory").open("wb") as stream:
        stream.seek(64 * MIB)
        stream.write(b"page")
        stream.truncate(256 * MIB)
    (making / "state").write_bytes(b"devices")
    key = key_of(spec, arguments(spec), QEMU)
    return store.publish(making, key, 256).template_id


def test_a_published_template_is_found_by_this_process_and_by_the_next(tmp_path, spec):
    store = TemplateStore(tmp_path / "templates")
    key = key_of(spec, arguments(spec), QEMU)
    assert store.find(key) is None
    assert publish(store, spec) == key.template_id
    for each in (store, TemplateStore(store.folder)):
        found = each.find(key)
        assert (found.template_id, found.memory_mib, found.image) == (key.template_id, 256, spec.kernel.parent)
        assert found.kept_bytes < 256 * MIB


@pytest.mark.parametrize("damage", ["page", "hole", "state", "short", "facts"])
def test_a_damaged_template_is_not_used_and_goes(tmp_path, spec, damage):
    store = TemplateStore(tmp_path / "templates")
    folder = store.folder / publish(store, spec)
    for name in ("memory", "state"):
        (folder / name).chmod(0o600)
    if damage in {"page", "hole"}:
        with (folder / "memory").open("r+b") as stream:
            stream.seek((64 if damage == "page" else 128) * MIB)
            stream.write(b"Page")
    elif damage == "state":
        (folder / "state").write_bytes(b"Devices")
    elif damage == "short":
        os.truncate(folder / "memory", 128 * MIB)
    else:
        (folder / "template.json").write_text("{")
    key = key_of(spec, arguments(spec), QEMU)
    assert TemplateStore(store.folder).find(key) is None
    assert store.find(key) is None
    assert damage == "facts" or not folder.exists()


def test_only_so_many_are_kept_and_the_one_used_last_stays(tmp_path, spec):
    store = TemplateStore(tmp_path / "templates")
    made = []
    for number in range(MOST_TEMPLATES + 1):
        each = replace(spec, memory_bytes=(128 + number) * MIB)
        made.append(publish(store, each))
        os.utime(store.folder / made[-1] / "template.json", ns=(0, number))
    kept = {template.template_id for template in store.all()}
    assert kept == set(made[1:])
    os.utime(store.folder / made[1] / "template.json")
    publish(store, replace(spec, cpus=2))
    assert made[1] in {template.template_id for template in store.all()}
    assert made[2] not in {template.template_id for template in store.all()}


def test_templates_go_with_their_image(tmp_path, spec, image):
    store = TemplateStore(tmp_path / "templates")
    publish(store, spec)
    store.prune()
    assert len(store.all()) == 1
    (image / "vmlinux").unlink()
    store.prune()
    assert store.all() == []


def test_what_a_killed_process_was_making_is_cleared(tmp_path, spec):
    store = TemplateStore(tmp_path / "templates")
    publish(store, spec)
    (store.folder / ".making-12345678").mkdir()
    (tmp_path / "run/t-12345678").mkdir(parents=True)
    (tmp_path / "run/i-1").mkdir()
    clear_leftovers(store, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["i-1"]
    assert [path.name[:4] for path in store.folder.iterdir()] == ["tpl-"]
