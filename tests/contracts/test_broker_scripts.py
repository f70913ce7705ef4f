"""The guest scripts on image files with the real blkid, wipefs, mkfs and e2fsck: formatted only when blank (I3).

``/sys`` and ``/dev`` are folders made for the test; ``mount`` and ``umount`` are stand-ins that write a mounts file,
since mounting needs root. The disk is found by its serial among others, as on a machine.
"""

import os
import shutil
import subprocess
import uuid

import pytest

from educloud_lab.broker.scripts import disk as scripts
from educloud_lab.broker.scripts.first_contact import OWN_HOST_KEY_FORMS, user_data
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.domain.errors import CommandFailedError
from educloud_lab.ports.shell import Completed, KeyPairText

SIZE = 64 * 2**20
SERIAL = "euca-vol-12345678-de"
UUID = "0a1b2c3d-0000-4000-8000-123456789abc"

MOUNT = """#!/bin/sh
for last; do before=$here; here=$last; done
printf '%s %s ext4 rw,nosuid,nodev 0 0\\n' "$before" "$here" >>"$EDUCLOUD_PROC/mounts"
"""
UMOUNT = """#!/bin/sh
[ ! -e "$EDUCLOUD_PROC/busy" ] || exit 32
grep -v " $1 " "$EDUCLOUD_PROC/mounts" >"$EDUCLOUD_PROC/mounts.new"
mv "$EDUCLOUD_PROC/mounts.new" "$EDUCLOUD_PROC/mounts"
"""


class Guest:
    """A machine's folders with one data disk and one other."""

    def __init__(self, path):
        self.path = path
        for name in ("sys/block", "dev/pts", "proc", "run", "bin"):
            (path / name).mkdir(parents=True)
        (path / "proc/mounts").write_text("")
        for name, text in (("mount", MOUNT), ("umount", UMOUNT), ("chown", "#!/bin/sh\n")):
            (path / "bin" / name).write_text(text)
            (path / "bin" / name).chmod(0o755)
        self.add("vda", "system", 2**20)
        self.disk = self.add("vdb", SERIAL, SIZE)

    def add(self, name, serial, size):
        folder = self.path / "sys/block" / name
        folder.mkdir()
        (folder / "serial").write_text(serial)
        (folder / "size").write_text(f"{size // 512}\n")
        (folder / "ro").write_text("0\n")
        disk = self.path / "dev" / name
        with disk.open("wb") as file:
            file.truncate(size)
        return disk

    def run(self, script, *arguments):
        environment = {
            "PATH": f"{self.path / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "EDUCLOUD_SYS": str(self.path / "sys"),
            "EDUCLOUD_DEV": str(self.path / "dev"),
            "EDUCLOUD_PROC": str(self.path / "proc"),
            "EDUCLOUD_RUN": str(self.path / "run"),
        }
        done = subprocess.run(
            ["sh", "-c", script, "sh", *arguments], env=environment, capture_output=True, timeout=120, check=False
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    def probe(self):
        return read_answer("probe", self.run(scripts.PROBE, SERIAL, "0"), scripts.PROBE_FORMS, required=("disk",))

    def format(self, size=SIZE):
        return self.run(scripts.FORMAT, SERIAL, UUID, str(size))

    def mount(self, age="known"):
        completed = self.run(scripts.MOUNT, SERIAL, UUID, str(self.path / "data"), "student", age)
        return read_answer("mount", completed, scripts.MOUNT_FORMS, required=("state",))["state"]

    def release(self):
        completed = self.run(scripts.RELEASE, SERIAL, str(self.path / "data"), "going down")
        return read_answer("release", completed, scripts.RELEASE_FORMS, required=("state", "holders"))


@pytest.fixture
def guest(tmp_path):
    # Found by the scripts by name; a tool that is missing must fail here and not look like a blank disk.
    for tool in ("blkid", "wipefs", "mkfs.ext4", "e2fsck", "flock", "cmp"):
        assert shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"), f"{tool} is missing"
    return Guest(tmp_path)


def write(guest, offset, data):
    with guest.disk.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def is_blank(answer):
    return (answer["blkid"], answer["wipefs"], answer["zeros"], answer["partitions"]) == ("none", "none", "yes", "no")


def test_a_blank_disk_is_found_by_its_serial_and_called_blank(guest):
    answer = guest.probe()
    assert answer["disk"] == "vdb"
    assert answer["size_bytes"] == str(SIZE)
    assert is_blank(answer)


def test_a_disk_that_is_not_there_is_said(guest):
    (guest.path / "sys/block/vdb/serial").write_text("euca-vol-99999999-de")
    assert guest.probe() == {"disk": "none"}


def test_format_mount_release_and_mount_again(guest):
    done = guest.format()
    assert read_answer("format", done, scripts.FORMAT_FORMS)["uuid"] == UUID
    answer = guest.probe()
    assert (answer["blkid"], answer["type"], answer["uuid"]) == ("found", "ext4", UUID)
    assert guest.mount() == "mounted"
    assert guest.probe()["mounted"] == str(guest.path / "data")
    assert guest.mount() == "mounted"
    assert guest.release() == {"state": "free", "holders": "-"}
    assert guest.probe()["mounted"] == "-"
    assert guest.release()["state"] == "free"
    assert guest.mount() == "mounted"


def test_what_was_made_a_moment_ago_is_mounted_without_a_check(guest):
    guest.format()
    checks = guest.path / "checks"
    (guest.path / "bin/e2fsck").write_text(f"#!/bin/sh\necho checked >>'{checks}'\n")
    (guest.path / "bin/e2fsck").chmod(0o755)
    assert guest.mount("new") == "mounted"
    assert not checks.exists()
    guest.release()
    assert guest.mount() == "mounted"
    assert checks.read_text() == "checked\n"


def test_a_second_format_is_refused_and_changes_nothing(guest):
    guest.format()
    before = guest.disk.read_bytes()
    assert guest.format().exit_status == 72
    assert guest.disk.read_bytes() == before


def make(guest, *command):
    subprocess.run(
        [*command, str(guest.disk)],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )


# One Linux partition from sector 2048 on, as fdisk writes it.
PARTITION = b"\0\x20\x21\0\x83\x08\x28\x08" + (2048).to_bytes(4, "little") + (100_000).to_bytes(4, "little")
CONTENTS = {
    "another ext4": lambda guest: make(guest, "mkfs.ext4", "-q", "-U", str(uuid.uuid4())),
    "ext2": lambda guest: make(guest, "mkfs.ext2", "-q"),
    "swap": lambda guest: make(guest, "mkswap"),
    "partition table": lambda guest: write(guest, 446, PARTITION + b"\0" * 48 + b"\x55\xaa"),
    "gpt, its header lost": lambda guest: write(
        guest, 446, PARTITION.replace(b"\x83", b"\xee") + b"\0" * 48 + b"\x55\xaa"
    ),
    "xfs": lambda guest: write(guest, 0, b"XFSB" + b"\0" * 100),
    "btrfs": lambda guest: write(guest, 65536 + 64, b"_BHRfS_M"),
    "lvm": lambda guest: write(guest, 512, b"LABELONE\1\0\0\0\0\0\0\0\0\0\0\0 \0\0\0LVM2 001"),
    "luks": lambda guest: write(guest, 0, b"LUKS\xba\xbe\0\1"),
    "zip": lambda guest: write(guest, 0, b"PK\3\4 somebody's files"),
    "a byte at the start": lambda guest: write(guest, 0, b"x"),
    "a byte in the fourth MiB": lambda guest: write(guest, 4 * 2**20 - 1, b"x"),
    "a byte at the end": lambda guest: write(guest, SIZE - 1, b"x"),
    "a byte a MiB before the end": lambda guest: write(guest, SIZE - 2**20, b"x"),
    "ext4 with a damaged superblock": lambda guest: (
        make(guest, "mkfs.ext4", "-q"),
        write(guest, 1024, b"\0" * 1024),
    ),
    "a lost partition table with its file system": lambda guest: (
        make(guest, "mkfs.ext4", "-q", "-E", "offset=1048576"),
        write(guest, 0, b"\0" * 4096),
    ),
}


@pytest.mark.parametrize("name", list(CONTENTS))
def test_what_holds_something_is_not_called_blank_and_stays_as_it_is(guest, name):
    CONTENTS[name](guest)
    before = guest.disk.read_bytes()
    assert not is_blank(guest.probe())
    assert guest.disk.read_bytes() == before


@pytest.mark.parametrize("name", ["another ext4", "swap", "partition table", "luks"])
def test_what_has_a_signature_is_refused_by_the_format_itself_too(guest, name):
    CONTENTS[name](guest)
    before = guest.disk.read_bytes()
    assert guest.format().exit_status == 72
    assert guest.disk.read_bytes() == before


def test_a_disk_that_ends_too_early_is_unreadable_and_not_blank(guest):
    with guest.disk.open("r+b") as file:
        file.truncate(SIZE - 4096)
    assert guest.probe()["zeros"] == "unreadable"


def test_a_disk_that_cannot_be_read_is_not_blank(guest):
    guest.disk.unlink()
    guest.disk.mkdir()  # reading a folder fails for root too
    answer = guest.probe()
    assert not is_blank(answer)
    assert answer["zeros"] == "unreadable"


def test_another_size_is_refused(guest):
    assert guest.format(SIZE * 2).exit_status == 71
    assert is_blank(guest.probe())


def test_another_uuid_is_not_mounted(guest):
    make(guest, "mkfs.ext4", "-q", "-U", str(uuid.uuid4()))
    assert guest.mount() == "mismatch"
    assert (guest.path / "proc/mounts").read_text() == ""


def test_damage_beyond_preening_is_not_mounted(guest):
    guest.format()
    make(guest, "debugfs", "-w", "-R", "clri <2>")  # the root folder itself
    make(guest, "debugfs", "-w", "-R", "ssv state 2")
    assert guest.mount() == "dirty"
    assert (guest.path / "proc/mounts").read_text() == ""


def test_partitions_and_write_protection_are_seen(guest):
    (guest.path / "sys/block/vdb/vdb1").mkdir()
    (guest.path / "sys/block/vdb/ro").write_text("1\n")
    answer = guest.probe()
    assert (answer["partitions"], answer["readonly"]) == ("yes", "1")


def test_a_busy_disk_names_who_keeps_it(guest):
    guest.format()
    guest.mount()
    (guest.path / "proc/busy").write_text("")
    (guest.path / "proc/999999").mkdir()
    (guest.path / "proc/999999/comm").write_text("py$(x) thon3\n")
    (guest.path / "proc/999999/cwd").symlink_to(guest.path / "data/work")
    (guest.path / "data/work").mkdir(parents=True)
    answer = guest.release()
    assert answer == {"state": "busy", "holders": "pyxthon3(999999)"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "educloud probe\ndisk vdb\n",
        "educloud other\ndisk vdb\nend\n",
        "educloud probe\ndisk vdb\ndisk vdc\nend\n",
        "educloud probe\ndisk ../../etc\nend\n",
        "educloud probe\nsurprise 1\nend\n",
        "educloud probe\nreadonly 0\nend\n",
    ],
)
def test_answers_of_another_form_are_refused(text):
    with pytest.raises(CommandFailedError):
        read_answer("probe", Completed(0, text.encode(), b""), scripts.PROBE_FORMS, required=("disk",))


def test_what_a_login_prints_before_the_answer_is_passed_over():
    text = b"Welcome!\nend\neducloud probe\ndisk none\nend\n"
    assert read_answer("probe", Completed(0, text, b""), scripts.PROBE_FORMS) == {"disk": "none"}


def test_user_data_is_a_valid_script_with_the_principals_and_without_the_authoritys_private_key(tmp_path):
    text = user_data(
        bootstrap=KeyPairText("-----BEGIN X-----\nabc\n-----END X-----\n", "ssh-ed25519 AAAA"),
        user_ca="ssh-ed25519 BBBB",
        login_user="student",
        login="lease-ab-g1",
        broker="broker-ab-g1",
    )
    assert len(text) < 16 * 1024
    local = text.replace("/etc/ssh", str(tmp_path / "ssh"))
    subprocess.run(["sh", "-c", local], check=True)
    folder = tmp_path / "ssh/educloud"
    assert (folder / "principals/student").read_text() == "lease-ab-g1\n"
    assert (folder / "principals/root").read_text() == "broker-ab-g1\n"
    assert (folder / "bootstrap_host_ed25519_key").stat().st_mode & 0o777 == 0o600
    assert (folder / "bootstrap_host_ed25519_key").read_text().endswith("-----END X-----\n")
    conf = (tmp_path / "ssh/sshd_config.d/50-educloud.conf").read_text()
    assert "TrustedUserCAKeys" in conf
    assert conf.count("HostKey ") == 1


def test_the_own_host_key_form_is_what_ssh_keygen_makes(tmp_path):
    import re

    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(tmp_path / "key")],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    line = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    assert re.fullmatch(OWN_HOST_KEY_FORMS["key"], line)
