"""The record of a machine: it comes back as it was, and a bad one is never taken for a good one."""

from dataclasses import replace
from pathlib import Path

import pytest

from educloud_lab.localcloud.hypervisor.base import DiskSpec, HypervisorError, MachineSpec
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles, MachineRecord, load, save

SPEC = MachineSpec(
    instance_id="i-1",
    architecture="x86_64",
    cpus=1,
    memory_bytes=1 << 28,
    root=DiskSpec("root", Path("/r ü.qcow2"), "root"),
    kernel=Path("/k"),
    ramdisk=None,
    kernel_args='a="b c"',
    mac="d0:0d:01:02:03:04",
    address="172.16.77.5",
    metadata_socket=Path("/m"),
    console_path=Path("/c"),
    disks=(DiskSpec("vol-1", Path("/v"), "euca-vol-1"),),
)


@pytest.fixture
def files(tmp_path) -> MachineFiles:
    made = MachineFiles(folder=tmp_path / "i-1", log=tmp_path / "log/i-1.log")
    made.prepare()
    return made


@pytest.mark.parametrize("record", [MachineRecord(SPEC, "tcg"), MachineRecord(SPEC, "kvm", 12, 3456, rebooting=True)])
def test_it_comes_back_as_it_was(files, record):
    save(files, record)
    assert load(files) == record


def test_without_a_kernel_too(files):
    record = MachineRecord(replace(SPEC, kernel=None), "tcg")
    save(files, record)
    assert load(files) == record


def test_no_record_is_no_machine(files):
    assert load(files) is None


@pytest.mark.parametrize("text", ["", '{"schema": 1, ', '{"schema": 99}'])
def test_a_bad_record_is_an_error_and_stays(files, text):
    files.record.write_text(text)
    with pytest.raises(HypervisorError, match="left alone"):
        load(files)
    assert files.record.read_text() == text


def test_the_folder_is_private_and_an_earlier_life_is_gone(files):
    files.journal.write_text("old")
    files.control.write_text("old")
    files.prepare()
    assert files.folder.stat().st_mode & 0o777 == 0o700
    assert not files.journal.exists()
    assert not files.control.exists()


def test_a_path_too_long_for_a_socket_says_so(tmp_path):
    with pytest.raises(HypervisorError, match="too long"):
        MachineFiles(folder=tmp_path / ("x" * 100), log=tmp_path / "l").prepare()


def test_removing_is_repeatable(files):
    files.remove()
    files.remove()
    assert not files.folder.exists()
