"""A machine whose disks are image files: the broker's own scripts run on them, with the real tools.

``/sys``, ``/dev``, ``/proc`` and ``/run`` are folders; ``mount`` and ``umount`` write a mounts file, since mounting
needs root; ``sleep`` takes no time and counts, so that a disk can come late; ``mkfs.ext4`` is the real one, and is
written down.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from educloud_lab.broker.scripts import disk as scripts
from educloud_lab.ports.shell import Completed
from tests.contracts.disks.corpus import SIZE, TOOLS, put

NAMES = {
    scripts.PROBE: "probe", scripts.FORMAT: "format", scripts.MOUNT: "mount", scripts.RELEASE: "release",
}  # fmt: skip
NEEDED = ("blkid", "wipefs", "mkfs.ext4", "e2fsck", "flock", "cmp", "mkswap", "debugfs")

MOUNT = """#!/bin/sh
for last; do before=$here; here=$last; done
printf '%s %s ext4 rw,nosuid,nodev 0 0\\n' "$before" "$here" >>"$EDUCLOUD_PROC/mounts"
"""
UMOUNT = """#!/bin/sh
grep -v " $1 " "$EDUCLOUD_PROC/mounts" >"$EDUCLOUD_PROC/mounts.new"
mv "$EDUCLOUD_PROC/mounts.new" "$EDUCLOUD_PROC/mounts"
"""
SLEEP = """#!/bin/sh
read -r waits <ROOT/waits
waits=$((waits + 1))
echo "$waits" >ROOT/waits
read -r late <ROOT/late
if [ "$waits" = "$late" ]; then mv ROOT/aside ROOT/sys/block/vdb; fi
"""
MKFS = """#!/bin/sh
for last; do :; done
printf '%s\\n' "$*" >>ROOT/formats
REAL "$@" || exit
[ -e ROOT/kill-mkfs ] || exit 0
rm ROOT/kill-mkfs
# It writes the superblock last.
dd if=/dev/zero of="$last" bs=1k seek=1 count=1 conv=notrunc
exit 137
"""


class Guest:
    """One machine with its system disk, the disk of the data volume, and a blank one of somebody else."""

    def __init__(self, root: Path) -> None:
        for name in NEEDED:
            # A tool that is missing must fail here, and not look like a blank disk.
            assert shutil.which(name, path=TOOLS), f"{name} is missing: scripts/setup test installs it"
        self.root = root
        self.serial = ""
        self.scripts: list[str] = []
        self.before: dict[str, Callable[[], None]] = {}
        for folder in ("sys/block", "dev/pts", "proc", "run", "bin"):
            (root / folder).mkdir(parents=True)
        (root / "waits").write_text("0\n")
        (root / "late").write_text("never\n")
        self.boot()
        mkfs = MKFS.replace("REAL", str(shutil.which("mkfs.ext4", path=TOOLS)))
        stand_ins = {"mount": MOUNT, "umount": UMOUNT, "sleep": SLEEP, "mkfs.ext4": mkfs, "chown": "#!/bin/sh\n"}
        for name, text in stand_ins.items():
            (root / "bin" / name).write_text(text.replace("ROOT", f"'{root}'"))
            (root / "bin" / name).chmod(0o755)
        self.add("vda", "system")
        self.add("vdc", "euca-vol-other0000-d")
        self.disk = self.add("vdb", "not plugged yet")
        put(root / "dev/vda", (0, b"the system"))

    def boot(self) -> None:
        """Nothing is mounted after it."""
        (self.root / "proc").mkdir(exist_ok=True)
        (self.root / "proc/mounts").write_text("")

    def add(self, name: str, serial: str) -> Path:
        folder = self.root / "sys/block" / name
        folder.mkdir()
        for entry, text in (("serial", serial), ("size", f"{SIZE // 512}\n"), ("ro", "0\n")):
            (folder / entry).write_text(text)
        return blank(self.root / "dev" / name)

    def plug(self, serial: str) -> None:
        """Show the data volume's disk under its serial, where it is shown at all."""
        self.serial = serial
        for folder in (self.root / "sys/block/vdb", self.root / "aside"):
            if folder.is_dir():
                (folder / "serial").write_text(serial)

    def run(self, script: str, arguments: list[str]) -> Completed:
        """Run one of the broker's scripts."""
        name = NAMES[script]
        self.scripts.append(name)
        if act := self.before.pop(name, None):
            act()
        environment = {f"EDUCLOUD_{part.upper()}": str(self.root / part) for part in ("sys", "dev", "proc", "run")}
        environment["PATH"] = f"{self.root / 'bin'}:{TOOLS}"
        told = [str(self.root / "data") if each == "/data" else each for each in arguments]
        command = ["sh", "-c", script, "sh", *told]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=600, check=False)
        return Completed(done.returncode, done.stdout, done.stderr)

    def formats(self) -> list[str]:
        """Return the arguments of each mkfs that ran."""
        path = self.root / "formats"
        return path.read_text().splitlines() if path.exists() else []

    def is_sound(self) -> bool:
        """Whether e2fsck finds nothing to mend."""
        command = ["e2fsck", "-fn", str(self.disk)]
        return subprocess.run(command, env={"PATH": TOOLS}, capture_output=True, check=False).returncode == 0

    def digests(self) -> dict[str, str]:
        """Return what is on each disk, as one can compare it."""
        return {path.name: digest(path) for path in sorted((self.root / "dev").glob("vd*")) if path.is_file()}


def blank(path: Path) -> Path:
    """Make an image file that takes no room."""
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


def digest(path: Path) -> str:
    """Return a digest of all bytes; holes and written zeros are the same."""
    found, zeros = hashlib.sha256(str(path.stat().st_size).encode()), bytes(65536)
    with path.open("rb") as file:
        end = 0
        while True:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # no more data behind here
                return found.hexdigest()
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start := start // 65536 * 65536)
            while start < end:
                block = file.read(65536)
                if not block:
                    break
                if block.ljust(65536, b"\0") != zeros:
                    found.update(start.to_bytes(8, "little") + block)
                start += 65536
            end = max(start, end)
