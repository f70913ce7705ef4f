"""A local cloud whose disks are real qcow2 files, and whose machines hold them open as QEMU does."""

from __future__ import annotations

import os
import subprocess

from educloud_lab.localcloud import service
from educloud_lab.localcloud.hypervisor.simulated import SimulatedHypervisor
from educloud_lab.localcloud.work.diskroom import QemuDisks

KIB = 1024


class Crash(BaseException):
    """The process ends here."""


def qemu_io(path, *commands):
    line = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(["qemu-io", "-f", "qcow2", *line, str(path)], check=True, capture_output=True, text=True)
    return done.stdout


def holds(path, pattern, slot):
    """Whether a disk holds 64 KiB of a pattern at a slot."""
    return "verification failed" not in qemu_io(path, f"read -P {pattern} {slot * 64}k 64k")


def write(path, pattern, slot):
    said = qemu_io(path, f"write -P {pattern} {slot * 64}k 64k", "flush")
    assert "wrote 65536/65536" in said, said


class FileHypervisor(SimulatedHypervisor):
    """Machines whose disks are open files: what their names become afterwards does not matter to them."""

    def __init__(self, **options):
        super().__init__(**options)
        self.files: dict[tuple[str, str], tuple[int, str]] = {}

    async def start(self, spec):
        await super().start(spec)
        for disk in (spec.root, *spec.disks):
            self._open((spec.instance_id, disk.disk_id), disk.path, "")

    async def attach(self, instance_id, disk):
        await super().attach(instance_id, disk)
        self._open((instance_id, disk.disk_id), disk.path, "")

    async def detach(self, instance_id, disk_id):
        await super().detach(instance_id, disk_id)
        self._close((instance_id, disk_id))

    async def switch_disk(self, instance_id, disk_id, overlay, tag):
        key = (instance_id, disk_id)
        if key not in self.files:
            return False
        if self.files[key][1] != tag:
            self._open(key, overlay, tag)
        return True

    def write(self, instance_id, disk_id, pattern, slot):
        """The guest writes and flushes."""
        write(f"/proc/{os.getpid()}/fd/{self.files[instance_id, disk_id][0]}", pattern, slot)

    def die(self, instance_id):
        """The machine's process is killed."""
        self.kill_from_outside(instance_id)

    def _end(self, instance_id, reason):
        for key in [key for key in self.files if key[0] == instance_id]:
            self._close(key)
        super()._end(instance_id, reason)

    def _open(self, key, path, tag):
        self._close(key)
        self.files[key] = (os.open(path, os.O_RDONLY), tag)

    def _close(self, key):
        if key in self.files:
            os.close(self.files.pop(key)[0])

    def close_all(self):
        for key in list(self.files):
            self._close(key)


def use_real_disks(monkeypatch):
    """Have clouds with simulated machines keep real disks."""
    monkeypatch.setattr(service, "SimulatedDisks", QemuDisks)


def root_content(folder):
    """Return a small real disk, as a built image has it."""
    path = folder / "made-root.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1G"], check=True)
    write(path, 9, 0)
    data = path.read_bytes()
    path.unlink()
    return data


def hold_open(path):
    """Start a program that has the disk open for writing; returns it."""
    program = subprocess.Popen(
        ["qemu-io", "-f", "qcow2", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    program.stdin.write("length\n")
    program.stdin.flush()
    while "GiB" not in program.stdout.readline():  # it is open once it tells the size
        pass
    return program


def let_go(program):
    """End such a program."""
    program.stdin.write("quit\n")
    program.stdin.close()
    program.wait()
    program.stdout.close()
