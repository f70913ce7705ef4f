"""The command line of a machine: what the guest, the gateway and the next process rely on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from educloud_lab.localcloud.hypervisor.base import DiskSpec, MachineSpec
from educloud_lab.localcloud.hypervisor.qemu_command import PORT_COUNT, acceleration_arguments, command_line
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles
from educloud_lab.localcloud.network.base import NetworkError
from educloud_lab.localcloud.network.slirp import SlirpNetwork

FILES = MachineFiles(folder=Path("/run/a, b/i-1"), log=Path("/log/i-1.log"))


def spec(**changes) -> MachineSpec:
    made = MachineSpec(
        instance_id="i-0123456789abcdef0",
        architecture="x86_64",
        cpus=2,
        memory_bytes=256 * 1024 * 1024,
        root=DiskSpec("root", Path("/roots/i 1.qcow2"), "root"),
        kernel=Path("/images/tiny/vmlinux"),
        ramdisk=Path("/images/tiny/ramdisk.img"),
        kernel_args="console=ttyS0 root=/dev/vda panic=1",
        mac="d0:0d:01:02:03:04",
        address="172.16.77.5",
        metadata_socket=Path("/run/md.sock"),
        console_path=Path("/consoles/i,1.log"),
    )
    return replace(made, **changes)


def build(machine: MachineSpec, accel: str = "tcg") -> list[str]:
    return command_line(machine, FILES, binary="/usr/bin/qemu", accel=accel, network=SlirpNetwork(python="/py"))


def values(arguments: list[str], option: str) -> list[str]:
    return [arguments[index + 1] for index, word in enumerate(arguments) if word == option]


def devices(arguments: list[str]) -> list[dict]:
    return [json.loads(value) for value in values(arguments, "-device") if value.startswith("{")]


def test_the_machine_has_its_size_and_boots_its_own_kernel():
    arguments = build(spec())
    assert values(arguments, "-m") == ["256M"]
    assert values(arguments, "-smp") == ["2"]
    assert values(arguments, "-kernel") == ["/images/tiny/vmlinux"]
    assert values(arguments, "-initrd") == ["/images/tiny/ramdisk.img"]
    assert values(arguments, "-append") == ["console=ttyS0 root=/dev/vda panic=1"]


def test_without_a_kernel_it_boots_from_its_disk():
    arguments = build(spec(kernel=None, ramdisk=None))
    assert not {"-kernel", "-initrd", "-append"} & set(arguments)


def test_every_disk_pauses_the_machine_when_the_host_is_full_and_is_locked():
    volume = DiskSpec("vol-11aa22bb", Path("/volumes/vol-11aa22bb.qcow2"), "euca-vol-11aa22bb-dev-/dev/vdf")
    arguments = build(spec(disks=(volume,)))
    assert [device["werror"] for device in devices(arguments)] == ["enospc", "enospc"]
    nodes = [json.loads(value) for value in values(arguments, "-blockdev")]
    assert [node["file"]["locking"] for node in nodes] == ["on", "on"]
    assert [node["node-name"] for node in nodes] == ["root", "vol-11aa22bb"]


def test_a_disk_given_at_the_start_can_be_unplugged_later():
    volume = DiskSpec("vol-11aa22bb", Path("/volumes/v.qcow2"), "euca-vol-11aa22bb-dev-/dev/vdf")
    root, plugged = devices(build(spec(disks=(volume,))))
    assert root["bus"] == "pcie.0"
    assert plugged["bus"] == "rp0"
    assert plugged["serial"] == "euca-vol-11aa22bb-dev-/dev/vdf"


def test_there_is_a_root_port_for_every_slot():
    ports = [value for value in values(build(spec()), "-device") if value.startswith("pcie-root-port")]
    assert len(ports) == PORT_COUNT >= 8
    assert len({port.split("id=")[1].split(",")[0] for port in ports}) == PORT_COUNT


def test_it_outlives_its_parent_and_can_be_found_again():
    arguments = build(spec())
    assert "-daemonize" in arguments
    assert values(arguments, "-pidfile") == ["/run/a, b/i-1/pid"]
    assert "guest=i-0123456789abcdef0,process=educloud-vm" in values(arguments, "-name")


def test_a_guest_restart_keeps_the_process():
    assert not {"-no-reboot", "-no-shutdown"} & set(build(spec()))


def test_commas_in_paths_do_not_become_options():
    chardevs = values(build(spec()), "-chardev")
    assert "file,id=console,path=/consoles/i,,1.log,append=on" in chardevs
    assert any("path=/run/a,, b/i-1/qmp.sock" in chardev for chardev in chardevs)


def test_acceleration():
    assert acceleration_arguments("kvm") == ["-accel", "kvm", "-cpu", "host"]
    emulated = acceleration_arguments("tcg")
    assert emulated[-1] == "max"
    assert emulated[1].startswith("tcg,tb-size=")


def test_the_address_must_be_one_that_the_network_serves():
    with pytest.raises(NetworkError, match=r"172\.16\.0\.0/12"):
        build(spec(address="10.0.0.5"))
