"""The guest scripts on image files with the real blkid, wipefs, mkfs and e2fsck: formatted only when blank (I3).

``/sys`` and ``/dev`` are folders made for the test; ``mount`` and ``umount`` are stand-ins that write a mounts file,
since mounting needs root. The disk is found by its serial among others, as on a machine.
"""

import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from educloud_lab.broker.scripts import disk as scripts
from educloud_lab.broker.scripts import freeze as freezing
from educloud_lab.broker.scripts.first_contact import OWN_HOST_KEY_FORMS, user_data
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.broker.stop import holders
from educloud_lab.domain.errors import CommandFailedError
from educloud_lab.ports.shell import Completed, KeyPairText
from tests.patience import until

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
            ["sh", "-c", script, "sh", *arguments], env=environment, capture_output=True, timeout=300, check=False
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    def probe(self):
        return read_answer("probe", self.run(scripts.PROBE, SERIAL, "0"), scripts.PROBE_FORMS, required=("disk",))

    def format(self, size=SIZE):
        return self.run(scripts.FORMAT, SERIAL, UUID, str(size))

    def mount(self, age="known"):
        return self.mounted(age)["state"]

    def mounted(self, age="known"):
        completed = self.run(scripts.MOUNT, SERIAL, UUID, str(self.path / "data"), "student", age)
        return read_answer("mount", completed, scripts.MOUNT_FORMS, required=("state",))

    def release(self):
        completed = self.run(scripts.RELEASE, SERIAL, str(self.path / "data"), "going down")
        return read_answer("release", completed, scripts.RELEASE_FORMS, required=("state",))

    def freeze(self, seconds="5"):
        arguments = (SERIAL, str(self.path / "data"), seconds, "1200")
        return read_answer("freeze", self.run(freezing.FREEZE, *arguments), freezing.FREEZE_FORMS)["state"]

    def thaw(self):
        answer = self.run(freezing.THAW, SERIAL, str(self.path / "data"))
        return read_answer("thaw", answer, freezing.THAW_FORMS)["state"]

    def put_program(self, name, text):
        (self.path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.path / "bin" / name).chmod(0o755)


@pytest.fixture
def guest(tmp_path):
    # Found by the scripts by name; a tool that is missing must fail here and not look like a blank disk.
    for tool in ("blkid", "wipefs", "mkfs.ext4", "e2fsck", "flock", "cmp", "dumpe2fs", "setsid"):
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
    assert guest.release()["state"] == "free"
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
    (guest.path / "proc/999999/comm").write_text("vim\n")
    (guest.path / "proc/999999/cmdline").write_bytes(b"vim\0notes$(x)`y`\xc3\xa9.txt\0")
    (guest.path / "proc/999999/stat").write_text("999999 (v) i m) S 1 999999 999999 34817 999999 0\n")
    (guest.path / "proc/999999/cwd").symlink_to(guest.path / "data/work")
    (guest.path / "data/work").mkdir(parents=True)
    owner = (guest.path / "proc/999999").owner()
    answer = guest.release()
    told = f"999999 {owner} pts/1 vim notes??x??y???.txt"
    assert answer == {"state": "busy", "written": "-", "mounts": "-", "holder1": told}
    assert holders(answer) == f"`vim notes??x??y???.txt` of {owner} on pts/1"


def test_a_holder_without_terminal_or_command_line_is_named_all_the_same(guest):
    guest.format()
    guest.mount()
    (guest.path / "proc/busy").write_text("")
    for pid in (999998, 999999):
        (guest.path / f"proc/{pid}").mkdir()
        (guest.path / f"proc/{pid}/comm").write_text("kworker\n")
        (guest.path / f"proc/{pid}/stat").write_text(f"{pid} (kworker) S 2 0 0 0 -1 0\n")
        (guest.path / f"proc/{pid}/root").symlink_to(guest.path / "data")
    owner = (guest.path / "proc/999999").owner()
    assert holders(guest.release()) == f"`kworker` of {owner} and `kworker` of {owner}"


# The proof: what the file system itself says of its last write


def test_release_and_the_next_mount_tell_the_same_last_write_and_a_later_write_is_seen(guest):
    guest.format()
    guest.mount("new")
    released = guest.release()
    assert released["written"].isdigit()
    assert released["mounts"] == "0"  # the stand-in for mount does not count
    mounted = guest.mounted()
    assert (mounted["written"], mounted["mounts"]) == (released["written"], released["mounts"])
    assert guest.mounted()["written"] == "-"  # mounted already: nothing to compare
    guest.release()
    # The file system counts whole seconds, by a clock that may be a little behind this one.
    until(lambda: int(time.time()) > int(released["written"]) + 1)
    make(guest, "debugfs", "-w", "-R", "ssv mnt_count 7")
    mounted = guest.mounted()
    assert mounted["mounts"] == "7"
    assert mounted["written"] != released["written"]


# A disk that grew


def test_the_file_system_of_a_larger_disk_is_extended_once_it_is_mounted(guest):
    guest.format()
    calls = guest.path / "calls"
    guest.put_program("resize2fs", f'grep -c data "$EDUCLOUD_PROC/mounts" >>"{calls}"; echo "$1" >>"{calls}"')
    assert guest.mounted()["extended"] == "no"
    guest.release()
    with guest.disk.open("r+b") as file:
        file.truncate(2 * SIZE)
    (guest.path / "sys/block/vdb/size").write_text(f"{2 * SIZE // 512}\n")
    assert guest.mounted()["extended"] == "yes"
    assert calls.read_text().split("\n")[:2] == ["1", str(guest.disk)]  # mounted by then
    guest.release()
    guest.put_program("resize2fs", "exit 1")
    answer = guest.mounted()
    assert (answer["state"], answer["extended"]) == ("mounted", "failed")


# Held still for a snapshot

FSFREEZE = """case $1 in
-f) [ ! -e "$EDUCLOUD_PROC/frozen" ] || exit 1; : >"$EDUCLOUD_PROC/frozen" ;;
-u) rm "$EDUCLOUD_PROC/frozen" 2>/dev/null ;;
esac"""


@pytest.fixture
def freezable(guest):
    guest.put_program("fsfreeze", FSFREEZE)
    guest.format()
    guest.mount("new")
    guest.frozen = guest.path / "proc/frozen"
    return guest


def test_freeze_holds_until_the_thaw(freezable):
    assert freezable.freeze("600") == "frozen"
    assert freezable.frozen.exists()
    pid = int((freezable.path / "run/educloud-freeze-vdb.pid").read_text())
    assert freezable.thaw() == "thawed"
    assert not freezable.frozen.exists()
    wait_for_the_end(pid)
    assert freezable.thaw() == "late"


def test_it_thaws_by_itself_when_nobody_comes(freezable):
    assert freezable.freeze("0.2") in ("frozen", "late")
    wait_for_the_end(int((freezable.path / "run/educloud-freeze-vdb.pid").read_text()))
    assert not freezable.frozen.exists()
    assert freezable.thaw() == "late"


def test_a_freeze_that_takes_longer_than_is_waited_for_thaws_all_the_same(freezable):
    gate = freezable.path / "gate"
    freezable.put_program(
        "fsfreeze", f'case $1 in -f) while [ ! -e "{gate}" ]; do sleep 0.05; done ;; esac\n{FSFREEZE}'
    )
    arguments = (SERIAL, str(freezable.path / "data"), "0.2", "1")
    answer = read_answer("freeze", freezable.run(freezing.FREEZE, *arguments), freezing.FREEZE_FORMS)
    assert answer["state"] == "slow"
    assert freezable.thaw() == "late"  # it is not frozen yet: its own thaw is to come
    gate.write_text("")
    wait_for_the_end(int((freezable.path / "run/educloud-freeze-vdb.pid").read_text()))
    assert not freezable.frozen.exists()


def test_what_stayed_frozen_because_its_watchdog_was_killed_is_let_go_before_it_is_unmounted(freezable):
    assert freezable.freeze("600") == "frozen"
    pid = int((freezable.path / "run/educloud-freeze-vdb.pid").read_text())
    os.killpg(pid, signal.SIGKILL)
    wait_for_the_end(pid)
    freezable.put_program("umount", f'[ ! -e "$EDUCLOUD_PROC/frozen" ] || exit 32\n{UMOUNT}')  # programs hang in writes
    assert freezable.release()["state"] == "free"
    assert not freezable.frozen.exists()


def test_what_is_not_mounted_is_not_frozen(freezable):
    freezable.release()
    assert freezable.freeze() == "unmounted"
    assert not freezable.frozen.exists()


def test_a_machine_that_cannot_freeze_says_so(freezable):
    freezable.put_program("fsfreeze", "exit 1")
    assert freezable.freeze() == "refused"
    assert freezable.thaw() == "late"


def wait_for_the_end(pid):
    """Wait until a process is gone; it is nobody's child here."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} did not end")


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
