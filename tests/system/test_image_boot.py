"""The tiny image in a real machine: first start, login by certificate, refusals, clean stop, second start, own key."""

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest

from educloud_lab.localcloud.images import ImageManifest, load_manifest

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

# Copies between QEMU's guestfwd (standard input and output) and the metadata server's unix socket.
SHIM = """
import os, socket, sys, threading
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
def up():
    while data := os.read(0, 65536): s.sendall(data)
threading.Thread(target=up, daemon=True).start()
while data := s.recv(65536): os.write(1, data)
os._exit(0)
"""


@pytest.fixture(scope="module")
def image(images: Path) -> ImageManifest:
    return load_manifest(images / "tiny", verify=True)


@dataclass
class Metadata:
    """A metadata service that knows one instance, and what it was asked."""

    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failures: int = 0  # connections to close without an answer first

    async def answer(self, reader, writer):
        path = (await reader.readline()).split()[1].decode()
        while (await reader.readline()).strip():
            pass
        if self.failures > 0:
            self.failures -= 1
            writer.close()
            return
        self.asked.append(path.removeprefix("/latest/"))
        page = self.pages.get(self.asked[-1])
        status = "404 Not Found" if page is None else "200 OK"
        writer.write(f"HTTP/1.0 {status}\r\nContent-Length: {len(page or b'')}\r\n\r\n".encode() + (page or b""))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


@dataclass
class Keys:
    """A certificate authority, a person's key, and the bootstrap host key that the machine gets by user data."""

    ca: asyncssh.SSHKey
    person: asyncssh.SSHKey
    host: asyncssh.SSHKey

    def login(self, principal="lease-ab-g1", **validity):
        certificate = self.ca.generate_user_certificate(self.person, "test", principals=[principal], **validity)
        return (self.person, certificate)

    def user_data(self):
        return f"""#!/bin/sh
set -e
echo ran >> /root/user-data-ran
mkdir -p /etc/ssh/educloud/principals
(umask 077; cat > /etc/ssh/educloud/bootstrap_host_ed25519_key <<'END'
{self.host.export_private_key().decode()}END
)
echo '{self.ca.export_public_key().decode().strip()}' > /etc/ssh/educloud/user_ca.pub
echo lease-ab-g1 > /etc/ssh/educloud/principals/student
echo broker-ab-g1 > /etc/ssh/educloud/principals/root
cat > /etc/ssh/sshd_config.d/50-educloud.conf <<'END'
HostKey /etc/ssh/educloud/bootstrap_host_ed25519_key
TrustedUserCAKeys /etc/ssh/educloud/user_ca.pub
AuthorizedPrincipalsFile /etc/ssh/educloud/principals/%u
END
""".encode()


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys(*(asyncssh.generate_private_key("ssh-ed25519") for _ in range(3)))


class Machine:
    """One QEMU process on an overlay of the image."""

    def __init__(self, image, folder, metadata):
        self.image, self.folder, self.metadata = image, folder, metadata
        self.console = folder / "console.log"
        self.disk = folder / "root.qcow2"
        folder.mkdir()
        (folder / "shim.py").write_text(SHIM)
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image.root), str(self.disk)],
            check=True,
        )

    @contextlib.asynccontextmanager
    async def running(self, rtc="base=utc"):
        qemu = shutil.which("qemu-system-x86_64")
        assert qemu, "QEMU is missing: sudo apt-get install qemu-system-x86"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        sock = self.folder / "metadata.sock"
        self.console.write_bytes(b"")
        forward = f"guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} -IS {self.folder}/shim.py {sock}"
        async with await asyncio.start_unix_server(self.metadata.answer, sock):
            self.process = await asyncio.create_subprocess_exec(
                qemu, *("-accel", "tcg"), *("-cpu", "max"), *("-M", "q35"), *("-m", "256"), *("-display", "none"),
                "-nodefaults", "-no-user-config", "-no-reboot", "-rtc", rtc,
                "-kernel", self.image.kernel, "-initrd", self.image.ramdisk, "-append", self.image.kernel_args,
                "-drive", f"file={self.disk},if=none,id=root,format=qcow2", "-device", "virtio-blk-pci,drive=root",
                "-netdev", "user,id=n,net=160.0.0.0/4,host=172.16.0.1,dns=172.16.0.2,dhcpstart=172.16.77.5,restrict=on,"
                f"hostfwd=tcp:127.0.0.1:{self.port}-172.16.77.5:22,{forward}",
                "-device", "virtio-net-pci,netdev=n,romfile=",
                "-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console",
                "-qmp", f"unix:{self.folder}/qmp.sock,server=on,wait=off",
            )  # fmt: skip
            try:
                await self.says("END SSH HOST KEY FINGERPRINTS")
                yield self
            finally:
                with contextlib.suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()

    async def says(self, words, timeout_s=300):
        end = time.monotonic() + timeout_s
        while words not in (text := self.console.read_text(errors="replace")):
            if self.process.returncode is not None or time.monotonic() > end:
                pytest.fail(
                    f"the console never said {words!r} (QEMU's status: {self.process.returncode}):\n{text[-3000:]}"
                )
            await asyncio.sleep(0.1)
        return text

    def connect(self, client_key, user="student", *, host_key):
        """Log in; refused unless the machine shows exactly this host key."""
        known = f"[127.0.0.1]:{self.port} {host_key.export_public_key().decode().strip()}".encode()
        return asyncssh.connect(
            "127.0.0.1", self.port, username=user, client_keys=[client_key], known_hosts=known, agent_path=None,
            config=[], connect_timeout=120, login_timeout=120,
        )  # fmt: skip

    async def refuses(self, client_key, host_key):
        try:
            async with self.connect(client_key, host_key=host_key):
                return False
        except asyncssh.PermissionDenied:
            return True

    async def qmp(self, command, **arguments):
        reader, writer = await asyncio.open_unix_connection(self.folder / "qmp.sock")
        await reader.readline()
        for message in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
            writer.write(json.dumps(message).encode())
            while "return" not in (answer := json.loads(await reader.readline())):
                assert "error" not in answer, answer
        writer.close()
        return answer["return"]

    async def power_off_cleanly(self):
        await self.says("[boot] ready")
        await self.qmp("system_powerdown")
        assert await asyncio.wait_for(self.process.wait(), 180) == 0
        text = self.console.read_text(errors="replace")
        assert "[stop] file systems are unmounted" in text


async def out(connection, command):
    return str((await connection.run(command, check=True)).stdout).strip()


async def test_a_machine_from_first_start_to_second_start(image, keys, tmp_path):
    hand = asyncssh.generate_private_key("ssh-ed25519")
    metadata = Metadata(
        {
            "meta-data/instance-id": b"i-00000001",
            "meta-data/public-keys/0/openssh-key": hand.export_public_key(),
            "user-data": keys.user_data(),
        }
    )
    machine = Machine(image, tmp_path / "m", metadata)
    async with machine.running():
        # Few requests: each costs the host a process.
        assert sorted(metadata.asked) == sorted(metadata.pages)
        fingerprint = re.search(
            r"BEGIN SSH HOST KEY FINGERPRINTS-----\s+(.*?)\s+-----END", machine.console.read_text(), re.S
        )
        assert fingerprint is not None
        assert keys.host.get_fingerprint() in fingerprint[1]

        async with machine.connect(keys.login(), host_key=keys.host) as student:
            assert await out(student, "whoami; id -u") == "student\n1000"
            assert await out(student, "sudo -n id -u") == "0"
            assert await out(student, "stat -c '%U %a' /data /home/student") == "root 755\nstudent 755"
            assert (
                await out(student, "python3 -c 'import json, asyncio, sqlite3, ssl, readline, ctypes; print(1)'") == "1"
            )
            greeting = await out(student, "bash -lic true 2>/dev/null")
            assert "No volume is mounted on /data" in greeting
            await out(student, "echo kept > ~/note; sync")
            async with student.start_sftp_client() as files:
                assert await files.exists("note")
            tools = "blkid wipefs mkfs.ext4 e2fsck resize2fs findmnt fuser sync flock od cmp dd lsblk nano curl tmux ip"
            assert await out(student, f"for t in {tools}; do command -v $t >/dev/null || echo no $t; done") == ""
            await out(student, "httpd -p 127.0.0.1:8080 -h /var/www")
            assert "It works" in await out(student, "curl -s http://127.0.0.1:8080/")
            await the_greeting_tells_the_truth_about_data(student)

        async with machine.connect(keys.login("broker-ab-g1"), user="root", host_key=keys.host) as root:
            assert await out(root, "cat /root/user-data-ran") == "ran"
            # The bootstrap key travelled in user data: no copy may be left but the one that sshd uses.
            assert await out(root, "grep -rl 'OPENSSH PRIVATE KEY' /run /tmp /var /root 2>/dev/null || true") == ""

        async with machine.connect(hand, host_key=keys.host) as by_hand:
            assert await out(by_hand, "whoami") == "student"

        with pytest.raises(asyncssh.HostKeyNotVerifiable):
            await machine.connect(keys.login(), host_key=hand)
        refused = {
            "another lease's principal": keys.login("lease-zz-g1"),
            "the login name as principal": keys.login("student"),
            "expired": keys.login(valid_after=1, valid_before=int(time.time()) - 5),
            "another authority": Keys(hand, keys.person, keys.host).login(),
        }
        for why, login in refused.items():
            assert await machine.refuses(login, keys.host), why
        with pytest.raises(asyncssh.PermissionDenied):
            await machine.connect(keys.login(), user="root", host_key=keys.host)

        # A host that slept: the machine's clock is behind its hardware clock, and must follow within 10 s or so.
        async with machine.connect(keys.login("broker-ab-g1"), user="root", host_key=keys.host) as root:
            await out(root, "date -s '2024-01-01 00:00:00'")
            await machine.says("[clock] stepped")
            before_s = time.time()
            assert before_s - 5 < int(await out(root, "date +%s")) < time.time() + 5
            own = await takes_an_own_host_key(machine, root)
        async with machine.connect(keys.login(), host_key=own):
            pass
        with pytest.raises(asyncssh.HostKeyNotVerifiable):
            await machine.connect(keys.login(), host_key=keys.host)
        await machine.power_off_cleanly()

    metadata.asked.clear()
    async with machine.running():
        assert metadata.asked == ["meta-data/instance-id"]
        async with machine.connect(keys.login("broker-ab-g1"), user="root", host_key=own) as root:
            assert await out(root, "cat /root/user-data-ran /home/student/note") == "ran\nkept"


async def takes_an_own_host_key(machine, root):
    """What the broker does at first contact; ``reload`` must not end the session that asks for it."""
    await out(root, "ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key")
    conf = "/etc/ssh/sshd_config.d/50-educloud.conf"
    await out(root, f"sed -i 's#^HostKey .*#HostKey /etc/ssh/ssh_host_ed25519_key#' {conf}")
    await out(root, "rm /etc/ssh/educloud/bootstrap_host_ed25519_key; kill -HUP $(cat /run/sshd.pid); sleep 2; sync")
    assert await out(root, "tr '\\0' ' ' < /proc/$(cat /run/sshd.pid)/cmdline | grep -c sshd") == "1"
    return asyncssh.import_public_key(await out(root, "cat /etc/ssh/ssh_host_ed25519_key.pub"))


async def the_greeting_tells_the_truth_about_data(student):
    # A loop device stands for the volume: plugging real ones is the local cloud's business and tested there.
    await out(student, "truncate -s 16M ~/volume && mkfs.ext4 -q ~/volume")
    await out(student, "sudo insmod /lib/modules/$(uname -r)/loop.ko && sudo mount -o loop ~/volume /data")
    assert "Your files are kept in /data" in await out(student, "bash -lic true 2>/dev/null")
    await out(student, "sudo umount /data && rm ~/volume")
    assert "No volume is mounted on /data" in await out(student, "bash -lic true 2>/dev/null")


async def test_without_user_data_the_machine_makes_its_own_key_and_a_copy_makes_another(image, tmp_path):
    hand = asyncssh.generate_private_key("ssh-ed25519")
    metadata = Metadata(
        {"meta-data/instance-id": b"i-00000002", "meta-data/public-keys/0/openssh-key": hand.export_public_key()},
        failures=4,
    )
    machine = Machine(image, tmp_path / "m", metadata)
    shown = []
    for instance in (b"i-00000002", b"i-00000003"):
        metadata.pages["meta-data/instance-id"] = instance
        async with machine.running(rtc="base=2030-01-01T00:00:00"):
            text = machine.console.read_text()
            assert "making this machine's host key" in text
            shown.append(re.search(r"256 (SHA256:\S+) .*ED25519", text)[1])
            async with asyncssh.connect(
                "127.0.0.1",
                machine.port,
                username="student",
                client_keys=[hand],
                known_hosts=None,
                agent_path=None,
                config=[],
            ) as student:
                assert student.get_server_host_key().get_fingerprint() == shown[-1]
                # The hardware clock is believed from the start.
                assert await out(student, "date +%Y") == "2030"
                # A full disk must not lock the lab service out.
                await out(student, "fallocate -l 800M ~/big; cat /dev/zero >> ~/big 2>/dev/null; sync")
                assert await out(student, "df --output=avail / | tail -1 | tr -d ' '") == "0"
                assert await out(student, "sudo sh -c 'echo room > /root/x && cat /root/x'") == "room"
                await student.run("rm ~/big; sudo poweroff")
            assert await asyncio.wait_for(machine.process.wait(), 180) == 0
    assert shown[0] != shown[1]
