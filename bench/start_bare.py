"""Baseline for Start: the same files in bare QEMU, then the first authenticated ``ssh`` command.

No cloud, broker or gateway: one QEMU process with the command line that the product itself builds (so that the two
cannot drift apart), user data and a public key from a metadata service, and OpenSSH straight to the forwarded port.
The clock runs from QEMU's start to the end of a successful ``ssh ... true``; making the overlay comes before.

    python bench/start_bare.py IMAGES [--runs 5] [--image tiny] [--accel tcg]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from educloud_lab.localcloud import disks
from educloud_lab.localcloud.hypervisor.base import DiskSpec, MachineSpec
from educloud_lab.localcloud.hypervisor.qemu_command import command_line
from educloud_lab.localcloud.hypervisor.qemu_launch import find_binary
from educloud_lab.localcloud.hypervisor.qemu_process import is_alive, read_stat
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles
from educloud_lab.localcloud.images.manifest import ImageManifest, load_manifest
from educloud_lab.localcloud.metadata.service import MetadataService
from educloud_lab.localcloud.metadata.view import MetadataView
from educloud_lab.localcloud.model import instance_types
from educloud_lab.localcloud.network.slirp import SlirpNetwork

ADDRESS = "172.16.77.5"
MAC = "d0:0d:0a:1b:2c:3d"
LIMIT_S = 120.0
_NETWORK_IS_UP = b"has address"


@dataclass(frozen=True, slots=True)
class BareStart:
    """One start; seconds since QEMU's start. ``cpu_s`` is QEMU's own processor time until the login."""

    daemon_s: float
    network_s: float
    banner_s: float
    login_s: float
    cpu_s: float


async def bare_start(images: Path, *, runs: int, image: str = "tiny", accel: str = "tcg") -> list[float]:
    """Return the seconds from process start to the first authenticated command, once a run."""
    return [(await bare_start_steps(images, image=image, accel=accel)).login_s for _ in range(runs)]


async def bare_start_steps(images: Path, *, image: str = "tiny", accel: str = "tcg") -> BareStart:
    """Boot once and tell the steps; nothing is left behind."""
    manifest = load_manifest(images / image / "manifest.json")
    # A short path: it holds unix sockets.
    with tempfile.TemporaryDirectory(prefix="bare-") as name:
        bare = _Bare(Path(name), manifest, accel)
        try:
            return await bare.start()
        finally:
            await bare.end()


class _Bare:
    """One machine outside of any cloud."""

    def __init__(self, folder: Path, manifest: ImageManifest, accel: str) -> None:
        self.folder, self.manifest, self.accel = folder, manifest, accel
        self.files = MachineFiles(folder / "run", folder / "qemu.log")
        self.console = folder / "console.log"
        self.key = folder / "key"
        self.metadata = MetadataService(self._view)
        default, types = instance_types()
        self.spec = MachineSpec(
            instance_id=f"i-{os.urandom(8).hex()}",
            architecture=manifest.architecture,
            cpus=types[default].cpus,
            memory_bytes=types[default].memory_bytes,
            root=DiskSpec("root", folder / "root.qcow2", "root"),
            kernel=manifest.kernel,
            ramdisk=manifest.ramdisk,
            kernel_args=manifest.kernel_args,
            mac=MAC,
            address=ADDRESS,
            metadata_socket=folder / "metadata.sock",
            console_path=self.console,
        )

    async def _view(self, instance_id: str) -> MetadataView:
        return MetadataView(
            instance_id=instance_id,
            image_id="emi-11111111",
            instance_type="bare",
            address=ADDRESS,
            hostname=ADDRESS,
            availability_zone="one",
            mac=MAC,
            reservation_id="r-11111111",
            public_keys=[("bench", self.key.with_suffix(".pub").read_text())],
        )

    async def start(self) -> BareStart:
        make_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(self.key)]
        await asyncio.to_thread(subprocess.run, make_key, check=True)
        self.files.prepare()
        await disks.create_overlay(self.spec.root.path, self.manifest.root)
        await self.metadata.serve(self.spec.instance_id, self.spec.metadata_socket)
        arguments = command_line(
            self.spec, self.files, binary=find_binary(None), accel=self.accel, network=SlirpNetwork()
        )
        port = _free_port()
        # The product reads the ephemeral port from QEMU's monitor; without one it has to be chosen.
        arguments = [text.replace("hostfwd=tcp:127.0.0.1:0-", f"hostfwd=tcp:127.0.0.1:{port}-") for text in arguments]

        begun = time.monotonic()
        process = await asyncio.create_subprocess_exec(*arguments, stdin=asyncio.subprocess.DEVNULL)
        if await process.wait():
            raise RuntimeError("QEMU did not start; its words are above")
        daemon_s = time.monotonic() - begun
        async with asyncio.timeout(LIMIT_S):
            # What is sent to slirp before the guest's network is up hangs, so nothing is asked before.
            await _until(self._network_is_up, 0.02)
            network_s = time.monotonic() - begun
            await _until(lambda: _greets(port), 0.05)
            banner_s = time.monotonic() - begun
            await _until(lambda: self._login(port), 0.05)
        return BareStart(daemon_s, network_s, banner_s, time.monotonic() - begun, self._cpu_s())

    async def _network_is_up(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return _NETWORK_IS_UP in self.console.read_bytes()
        return False

    async def _login(self, port: int) -> bool:
        options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes")
        command = ["ssh", "-F", "none", "-i", str(self.key), "-p", str(port), *(f"-o{o}" for o in options)]
        target = f"{self.manifest.login_user}@127.0.0.1"
        ssh = await asyncio.create_subprocess_exec(
            *command, target, "true", stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        return await ssh.wait() == 0

    def _pid(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            return int(self.files.pidfile.read_text())
        return None

    def _cpu_s(self) -> float:
        pid = self._pid()
        stat = read_stat(pid) if pid is not None else None
        assert stat is not None  # it has just answered
        return stat.cpu_s

    async def end(self) -> None:
        pid = self._pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            await _until(partial(_is_gone, pid), 0.02)
        await self.metadata.close()


async def _until(condition: Callable[[], Awaitable[bool]], period_s: float) -> None:
    while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes
        await asyncio.sleep(period_s)


async def _is_gone(pid: int) -> bool:
    return not is_alive(pid, None)


async def _greets(port: int) -> bool:
    """Whether an SSH server greets; slirp accepts for a closed port too, then ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(5):
            return re.match(rb"SSH-2\.0-", await reader.read(64)) is not None
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Bare QEMU start to the first authenticated ssh command.")
    parser.add_argument("images", type=Path, help="folder of built images")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--image", default="tiny")
    parser.add_argument("--accel", choices=["tcg", "kvm"], default="tcg")
    options = parser.parse_args()
    print("run  daemon  network  greeting  login  QEMU's CPU   (seconds since QEMU's start)")
    logins = []
    for number in range(1, options.runs + 1):
        steps = await bare_start_steps(options.images, image=options.image, accel=options.accel)
        logins.append(steps.login_s)
        print(
            f"{number:3}  {steps.daemon_s:6.2f}  {steps.network_s:7.2f}  {steps.banner_s:8.2f}"
            f"  {steps.login_s:5.2f}  {steps.cpu_s:10.2f}",
            flush=True,
        )
    print(f"median {statistics.median(logins):.2f} s, best {min(logins):.2f} s of {len(logins)}")


if __name__ == "__main__":
    asyncio.run(_main())
