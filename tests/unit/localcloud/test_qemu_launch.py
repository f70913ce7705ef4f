"""What is refused before and at the start, in words that say what to do."""

import os
import stat
from dataclasses import replace

import pytest

from educloud_lab.localcloud.hypervisor.base import (
    BootRefusedError,
    DiskSpec,
    HypervisorError,
    MachineSpec,
    NoSlotError,
    NotEnoughRoomError,
)
from educloud_lab.localcloud.hypervisor.qemu_launch import check_spec, find_binary, launch
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles

ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00"


@pytest.fixture
def spec(tmp_path) -> MachineSpec:
    (tmp_path / "vmlinux").write_bytes(ELF + (62).to_bytes(2, "little") + bytes(600))
    (tmp_path / "root.qcow2").touch()
    return MachineSpec(
        instance_id="i-1",
        architecture="x86_64",
        cpus=1,
        memory_bytes=1 << 28,
        root=DiskSpec("root", tmp_path / "root.qcow2", "root"),
        kernel=tmp_path / "vmlinux",
        ramdisk=None,
        kernel_args="",
        mac="d0:0d:01:02:03:04",
        address="172.16.77.5",
        metadata_socket=tmp_path / "m",
        console_path=tmp_path / "c",
    )


def test_a_good_one_passes(spec):
    check_spec(spec)


def test_a_bzimage_passes(spec):
    spec.kernel.write_bytes(bytes(0x202) + b"HdrS" + bytes(100))
    check_spec(spec)


def test_another_architecture(spec):
    with pytest.raises(BootRefusedError, match="arm64"):
        check_spec(replace(spec, architecture="arm64"))


def test_a_kernel_of_another_architecture(spec):
    spec.kernel.write_bytes(ELF + (183).to_bytes(2, "little") + bytes(600))
    with pytest.raises(BootRefusedError, match="another architecture"):
        check_spec(spec)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"not a kernel" * 100])
def test_something_that_is_no_kernel(spec, content):
    spec.kernel.write_bytes(content)
    with pytest.raises(BootRefusedError, match="damaged or not a Linux kernel"):
        check_spec(spec)


@pytest.mark.parametrize("what", ["kernel", "root disk", "volume vol-1"])
def test_a_missing_file_is_named(spec, tmp_path, what):
    gone = tmp_path / "gone"
    changed = {
        "kernel": replace(spec, kernel=gone),
        "root disk": replace(spec, root=DiskSpec("root", gone, "root")),
        "volume vol-1": replace(spec, disks=(DiskSpec("vol-1", gone, "s"),)),
    }[what]
    with pytest.raises(BootRefusedError, match=f"{what} of i-1 is missing: {gone}"):
        check_spec(changed)


def test_more_volumes_than_slots(spec):
    with pytest.raises(NoSlotError):
        check_spec(replace(spec, disks=tuple(DiskSpec(f"vol-{n}", spec.root.path, "s") for n in range(40))))


def test_a_missing_qemu_says_what_to_install():
    with pytest.raises(BootRefusedError, match="apt-get install qemu-system-x86"):
        find_binary("qemu-system-of-nobody")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("qemu: cannot set up guest memory 'pc.ram': Cannot allocate memory", NotEnoughRoomError),
        ("qemu: could not write: No space left on device", NotEnoughRoomError),
        ('qemu: -blockdev: Failed to get "write" lock', HypervisorError),
        ("qemu: cannot create PID file: Cannot lock pid file: Resource temporarily unavailable", HypervisorError),
        ("qemu: Image is not in qcow2 format", BootRefusedError),
        ("", BootRefusedError),
    ],
)
async def test_what_qemu_says_is_kept_and_quoted(tmp_path, words, error):
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\ncat >&2 <<'E'\n{words}\nE\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    files = MachineFiles(folder=tmp_path / "i-1", log=tmp_path / "log" / "i-1.log")
    files.prepare()
    files.log.write_text("words of an earlier life\n")
    with pytest.raises(HypervisorError) as caught:
        await launch([str(program)], files)
    assert type(caught.value) is error
    assert (words or "nothing") in str(caught.value)
    assert "earlier life" not in str(caught.value)
    assert words in files.log.read_text()


async def test_a_qemu_that_claims_success_and_is_gone(tmp_path):
    files = MachineFiles(folder=tmp_path / "i-1", log=tmp_path / "i-1.log")
    files.prepare()
    # The pid file of an earlier life, whose pid is now another program's: this test's own.
    files.pidfile.write_text(f"{os.getpid()}\n")
    with pytest.raises(HypervisorError, match="ended right after its start"):
        await launch(["/bin/true"], files)
