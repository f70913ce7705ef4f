"""Real machines whose guests write and sync all the time, while what runs them is killed in every way."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from educloud_lab.localcloud.backup import backup
from educloud_lab.localcloud.restore import restore
from tests.system.kill_rig import BrokenPromiseError, Lives, tell

BLOCK_BYTES = 4096

# Writes numbered blocks to the second disk, each synced before its number is told.
WRITER = """#!/bin/sh
cat > /run/write <<'END'
#!/bin/sh
n=0
while true; do
    if [ -e /sys/block/vdb ]; then
        n=$((n + 1))
        printf '%-4095s\\n' "block $n" > /run/block
        dd if=/run/block of=/dev/vdb bs=4096 seek=$n count=1 conv=notrunc,fsync 2> /dev/null &&
            echo "SYNCED $n." > /dev/console
    fi
    sleep 0.05
done
END
chmod +x /run/write
setsid /run/write < /dev/null > /dev/null 2>&1 &
"""


class Machine:
    """An instance, its volume and what its guest says."""

    def __init__(self, home: Path, instance_id: str, volume_id: str):
        self.home = home
        self.id = instance_id
        self.volume_id = volume_id

    @property
    def synced(self) -> int:
        """The last block that the guest has synced."""
        try:
            text = (self.home / f"cloud/consoles/{self.id}.log").read_text("utf-8", "replace")
        except FileNotFoundError:
            return 0
        return max((int(number) for number in re.findall(r"SYNCED (\d+)\.", text)), default=0)

    def processes(self) -> list[psutil.Process]:
        """Every process that runs this instance."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if f"guest={self.id},process=educloud-vm" in line and str(self.home) in " ".join(line):
                found.append(process)
        return found

    def process(self) -> psutil.Process:
        """The one process that runs it."""
        found = self.processes()
        if len(found) != 1:
            raise BrokenPromiseError(f"{self.id} has {len(found)} processes")
        return found[0]


class Real:
    """A local cloud with real machines."""

    def __init__(self, home: Path):
        self.home = home
        self.lives = Lives(home, hypervisor="qemu")
        self.machines: list[Machine] = []

    def start(self, count: int = 2) -> None:
        """Start machines and wait until each has synced something."""
        self.lives.begin()
        ec2 = self.lives.client()
        (image,) = [i["ImageId"] for i in ec2.describe_images()["Images"] if i["Name"] == "tiny"]
        for _ in range(count):
            answer = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, UserData=WRITER, InstanceType="t2.micro")
            volume = ec2.create_volume(AvailabilityZone="one", Size=1)["VolumeId"]
            self.machines.append(Machine(self.home, answer["Instances"][0]["InstanceId"], volume))
        for machine in self.machines:
            self.wait("running", lambda m=machine: self.state(m) == "running")
            ec2.attach_volume(VolumeId=machine.volume_id, InstanceId=machine.id, Device="/dev/sdf")
        self.wait_for_writing()

    def wait(self, what: str, condition: Callable[[], Any], limit_s: float = 300) -> None:
        """Wait for something."""
        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                log = (self.home / "cloud/log/api.log").read_text()[-3000:]
                raise BrokenPromiseError(f"waited {limit_s:.0f} s in vain: {what}\n{log}")
            time.sleep(0.1)

    def wait_for_writing(self) -> None:
        """Wait until every machine that has its process has synced some blocks more."""
        for machine in self.machines:
            if machine.processes():
                until = machine.synced + 5
                self.wait(f"{machine.id} writes", lambda m=machine, u=until: m.synced >= u)

    def state(self, machine: Machine) -> str:
        """What the cloud says of it."""
        answer = self.lives.client().describe_instances(InstanceIds=[machine.id])
        return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])

    def kill_api(self) -> None:
        """The cloud's process is killed: machines write on without it, and are found again by the next one."""
        before = [machine.process().pid for machine in self.machines]
        self.lives.kill()
        self.wait_for_writing()
        self.lives.begin()
        self.wait_for_writing()
        assert [machine.process().pid for machine in self.machines] == before
        assert [self.state(machine) for machine in self.machines] == ["running"] * len(before)

    def kill_machine(self, machine: Machine) -> None:
        """A machine's process is killed: it is stopped."""
        machine.process().kill()
        self.wait("stopped", lambda: self.state(machine) == "stopped")
        assert machine.processes() == []

    def kill_with_run_folder(self, machine: Machine) -> None:
        """The process is killed and the folder of sockets removed: the machine is never doubled, and starts again."""
        old = machine.process()
        self.lives.kill()
        shutil.rmtree(self.home / "cloud/run")
        self.lives.begin()
        self.wait("it runs again", lambda: self.state(machine) == "running" and machine.processes())
        assert machine.process().pid != old.pid
        assert not old.is_running() or old.status() == psutil.STATUS_ZOMBIE

    def backup_while_writing(self, folder: Path) -> None:
        """A backup is made while the guests write: whatever they had synced before is in it, in another home too."""
        self.lives.kill()
        synced = {machine.id: machine.synced for machine in self.machines}
        file = backup(self.home, folder / "cloud.tar")
        self.lives.begin()
        self.wait_for_writing()  # none was left standing
        other = folder / "other"
        restore(other, file)
        for machine in self.machines:
            check_blocks(other / f"cloud/volumes/{machine.volume_id}.qcow2", synced[machine.id])
        shutil.rmtree(other)

    def kill_host(self) -> None:
        """Everything is killed, and the host has booted since."""
        self.lives.kill()
        for machine in self.machines:
            for process in machine.processes():
                process.kill()
                process.wait(60)
        (self.home / "cloud/run/boot").write_text("another boot\n")
        self.lives.begin()
        for machine in self.machines:
            self.wait("stopped", lambda m=machine: self.state(m) == "stopped")
            assert machine.processes() == []

    def check_written(self) -> dict[str, int]:
        """Every block that a guest has told to be synced is on its volume; returns how many of each machine."""
        counts = {}
        for machine in self.machines:
            check_blocks(self.home / f"cloud/volumes/{machine.volume_id}.qcow2", machine.synced)
            counts[machine.id] = machine.synced
        told = tell(self.lives.client())
        assert not any(found["moving"] for things in told.values() for found in things.values())
        return counts

    def close(self) -> None:
        """End everything, by pid."""
        self.lives.close()
        for machine in self.machines:
            for process in machine.processes():
                os.kill(process.pid, signal.SIGKILL)
                process.wait(60)


def check_blocks(disk: Path, count: int) -> None:
    """The numbered blocks are on a disk that nobody uses, and the disk is sound."""
    raw = disk.with_suffix(".raw")
    subprocess.run(["qemu-img", "check", "-q", str(disk)], check=True)
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(disk), str(raw)], check=True)
    with raw.open("rb") as stream:
        for number in range(1, count + 1):
            stream.seek(number * BLOCK_BYTES)
            found = stream.read(BLOCK_BYTES)
            if found != f"{f'block {number}':<4095}\n".encode():
                raise BrokenPromiseError(f"block {number} of {count} is not on {disk}: {found[:40]!r}")
    raw.unlink()
