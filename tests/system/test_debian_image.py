"""The debian image on a real machine of the local cloud: systemd, apt, user data, volumes, stop and start."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.by_hand import Desk
from tests.system.conftest import Bench

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(400)]

BLOCK = re.compile(r"-----BEGIN SSH HOST KEY FINGERPRINTS-----\r?\n(.*?)-----END SSH HOST KEY FINGERPRINTS-----", re.S)
USER_DATA = """#!/bin/sh
[ -e /run/sshd.pid ] && when=late || when=early
echo "ran $when as $(id -un)" >> /root/user-data-ran
"""
# Builds a package in the machine, so that apt, dpkg and a maintainer script work without a network.
PACKAGE = """set -e
mkdir -p p/DEBIAN p/usr/bin
printf 'Package: hello-lab\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@example.org>\\n' > p/DEBIAN/control
printf 'Depends: libc6, python3, git\\nDescription: greeting\\n' >> p/DEBIAN/control
printf '#!/bin/sh\\necho configured >> /var/tmp/configured\\n' > p/DEBIAN/postinst
printf '#!/bin/sh\\necho hello from a package\\n' > p/usr/bin/hello-lab
chmod 755 p/DEBIAN/postinst p/usr/bin/hello-lab
dpkg-deb --root-owner-group -b p hello.deb >/dev/null
apt-get -s install ./hello.deb | grep '^Inst hello-lab'
sudo DEBIAN_FRONTEND=noninteractive apt-get install -qq ./hello.deb >/dev/null
hello-lab; cat /var/tmp/configured; dpkg -s hello-lab | grep ^Status
"""
ROOT_GIB = 6


@dataclass
class Afternoon:
    """One person with one debian machine."""

    desk: Desk
    instance_id: str
    address: str

    def ssh(self, command: str) -> str:
        return self.desk.ssh(self.address, command).strip()


@pytest.fixture(scope="module")
def afternoon(debian_image: Path, module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Afternoon:
    module_bench.educloud("cloud", "start")
    desk = Desk.open(module_bench, tmp_path_factory.mktemp("desk"), "my key")
    root = desk.image("debian")["RootDeviceName"]
    began = time.monotonic()
    instance_id = desk.run(
        "debian",
        InstanceType="t2.small",
        UserData=USER_DATA,
        BlockDeviceMappings=[{"DeviceName": root, "Ebs": {"VolumeSize": ROOT_GIB}}],
    )
    address = desk.wait_login(instance_id)
    print(f"first authenticated command after {time.monotonic() - began:.1f} s")
    return Afternoon(desk, instance_id, address)


def test_the_first_start_is_ours(afternoon: Afternoon) -> None:
    assert afternoon.ssh("sudo cat /root/user-data-ran") == "ran early as root"
    text = afternoon.desk.console(afternoon.instance_id)
    block = BLOCK.search(text)
    assert block is not None, text
    assert afternoon.desk.known_fingerprint(afternoon.address) in block[1]
    assert afternoon.ssh("id -un; sudo -n id -u; cat /proc/$(cat /run/sshd.pid)/comm") == "student\n0\nsshd"
    stored = base64.b64decode(
        afternoon.desk.ec2.describe_instance_attribute(InstanceId=afternoon.instance_id, Attribute="userData")[
            "UserData"
        ]["Value"]
    )
    assert stored.decode() == USER_DATA


def test_the_system_has_started_whole(afternoon: Afternoon) -> None:
    state = afternoon.ssh("systemctl is-system-running --wait || true")
    assert state == "running", afternoon.ssh("systemctl --failed --no-pager; systemctl list-jobs --no-pager")
    assert (
        afternoon.ssh("systemctl is-active ssh dbus.socket systemd-journald systemd-udevd educloud-clock")
        == ("active\n" * 5).strip()
    )
    assert "Reached target multi-user.target" in afternoon.ssh("sudo journalctl -b --no-pager")
    assert re.fullmatch("[0-9a-f]{32}", afternoon.ssh("cat /etc/machine-id"))


def test_the_root_file_system_has_its_volumes_size(afternoon: Afternoon) -> None:
    mib = int(afternoon.ssh("df -m --output=size / | tail -1"))
    assert (ROOT_GIB - 0.5) * 1024 < mib <= ROOT_GIB * 1024


def test_apt_and_its_records_are_those_of_an_installation(afternoon: Afternoon) -> None:
    assert afternoon.ssh("sudo dpkg --audit; sudo apt-get check -qq; echo $?") == "0"
    assert afternoon.ssh("sudo apt-get -s -qq autoremove") == ""
    assert afternoon.ssh("dpkg -S /usr/bin/git") == "git: /usr/bin/git"
    assert "Status: install ok installed" in afternoon.ssh("dpkg -s python3 apt openssh-server | grep ^Status")
    # Nothing differs from what was packaged, but what the image changes on purpose and the pages nobody reads.
    changed = afternoon.ssh("dpkg --verify apt openssh-client systemd-sysv | grep -v /usr/share/ || true")
    assert changed == ""
    # Without package lists and without a network there is no such package, and apt says so.
    assert "Unable to locate package" in afternoon.ssh("apt-get -s install hello 2>&1 || true")
    done = afternoon.ssh(PACKAGE).splitlines()
    assert done[0].startswith("Inst hello-lab")
    assert done[1:] == ["hello from a package", "configured", "Status: install ok installed"]


def test_the_programs_of_a_course_are_there(afternoon: Afternoon) -> None:
    tools = "git curl nano less ip tmux sudo systemctl journalctl mkfs.ext4 blkid wipefs resize2fs fuser flock cmp"
    assert afternoon.ssh(f'for t in {tools}; do sudo sh -c "command -v $t" >/dev/null || echo no $t; done') == ""
    assert (
        afternoon.ssh("git init -q r && cd r && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x")
        == ""
    )
    script = "import ssl, sqlite3, ctypes, readline; print(len(ssl.create_default_context().get_ca_certs()) > 100)"
    assert afternoon.ssh(f"python3 -c '{script}'") == "True"


def test_the_image_names_no_mirror_but_debians(afternoon: Afternoon) -> None:
    hosts = afternoon.ssh("grep -rhoE 'https?://[^/ ]+' /etc/apt | sort -u")
    assert hosts == "http://deb.debian.org"
    assert afternoon.ssh("ls /etc/ssh/ssh_host_* | wc -l") == "2"


def test_a_volume_is_seen_and_everything_outlives_a_stop(afternoon: Afternoon) -> None:
    desk = afternoon.desk
    volume_id = desk.new_volume()
    desk.attach(volume_id, afternoon.instance_id)
    disk = desk.disk_by_serial(afternoon.address, f"euca-{volume_id}-dev-/dev/sdf"[:20])
    afternoon.ssh(f"sudo mkfs.ext4 -q {disk} && sudo mount {disk} /data && echo on the volume | sudo tee /data/note")
    assert "Your files are kept in /data" in afternoon.ssh("bash -lic true 2>/dev/null")
    afternoon.ssh("echo on the system disk > note; sudo umount /data; sync")
    fingerprint = desk.known_fingerprint(afternoon.address)
    desk.ec2.stop_instances(InstanceIds=[afternoon.instance_id])
    desk.wait_state(afternoon.instance_id, "stopped", timeout_s=120)
    desk.ec2.start_instances(InstanceIds=[afternoon.instance_id])
    afternoon.address = desk.wait_login(afternoon.instance_id)
    # systemd's last word before the new start: it was asked by the power button, not killed.
    text = desk.console(afternoon.instance_id)
    assert "[stop] power button" in text, text
    assert "reboot: Power down" in text, text
    assert desk.known_fingerprint(afternoon.address) == fingerprint
    disk = desk.disk_by_serial(afternoon.address, f"euca-{volume_id}-dev-/dev/sdf"[:20])
    kept = f"cat note; sudo mount {disk} /data; cat /data/note; sudo umount /data; sudo cat /root/user-data-ran"
    assert afternoon.ssh(kept) == "on the system disk\non the volume\nran early as root"
