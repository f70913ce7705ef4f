"""Machines straight on the QEMU hypervisor, as the local cloud starts them, for benches of many: no cloud, no broker.

Helps ``eight.py`` and ``hundred.py``.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from educloud_lab.localcloud import disks
from educloud_lab.localcloud.hypervisor.base import DiskSpec, MachineSpec
from educloud_lab.localcloud.hypervisor.qemu import QemuHypervisor
from educloud_lab.localcloud.hypervisor.qemu_process import read_stat
from educloud_lab.localcloud.hypervisor.templates import TemplateStore
from educloud_lab.localcloud.images.manifest import load_manifest
from educloud_lab.localcloud.metadata.service import MetadataService
from educloud_lab.localcloud.metadata.view import MetadataView

MEMORY_BYTES = 256 << 20
LIMIT_S = 300.0
_KEY = re.compile(r"256 (SHA256:\S+) .*\(ED25519\)")


@dataclass(frozen=True, slots=True)
class Ready:
    """One machine that answered: seconds since it was asked for, and the template it went on from ('' it booted)."""

    spec: MachineSpec
    answered_s: float
    template: str
    said: str


class Fleet:
    """Any number of machines in one folder.

    Parameters
    ----------
    width : machines that start at one time; default the number of cores.
    warm : whether templates are made and used.
    """

    def __init__(self, folder: Path, image: Path, *, width: int | None = None, warm: bool = True) -> None:
        self.folder, self.manifest = folder, load_manifest(image / "manifest.json")
        self.store = TemplateStore(folder / "templates")
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.metadata = MetadataService(self._view)
        self.specs: dict[str, MachineSpec] = {}
        self.hypervisor = QemuHypervisor(
            run_dir=folder / "m", log_dir=folder / "log", width=width, templates_dir=self.store.folder if warm else None
        )

    async def _view(self, instance_id: str) -> MetadataView:
        spec = self.specs[instance_id]
        return MetadataView(
            instance_id=instance_id, image_id="emi-11111111", instance_type="bench", address=spec.address,
            hostname=spec.address, availability_zone="one", mac=spec.mac, reservation_id="r-11111111",
            public_keys=[("bench", self.key.export_public_key().decode())],
        )  # fmt: skip

    async def start(self, number: int, command: str = "true") -> Ready:
        """Start a machine and return when its first command, over a checked host key, has ended."""
        name = f"i-{number:08x}"
        spec = MachineSpec(
            instance_id=name, architecture="x86_64", cpus=1, memory_bytes=MEMORY_BYTES,
            root=DiskSpec("root", self.folder / f"{name}.qcow2", "root"), kernel=self.manifest.kernel,
            ramdisk=self.manifest.ramdisk, kernel_args=self.manifest.kernel_args,
            mac=f"d0:0d:00:00:{number >> 8:02x}:{number & 255:02x}",
            address=f"172.16.{64 + number // 250}.{5 + number % 250}",
            metadata_socket=self.folder / f"{number}.md", console_path=self.folder / f"{name}.log",
        )  # fmt: skip
        self.specs[name] = spec
        await disks.create_overlay(spec.root.path, self.manifest.root)
        await self.metadata.serve(name, spec.metadata_socket)
        begun_s = time.monotonic()
        await self.hypervisor.start(spec)
        async with asyncio.timeout(LIMIT_S):
            while (key := self._host_key(spec)) is None:  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.05)
            endpoint = await self.hypervisor.endpoint(name, 22)
            assert endpoint is not None
            async with asyncssh.connect(
                *endpoint, username=self.manifest.login_user, client_keys=[self.key], known_hosts=None, agent_path=None,
                config=[], connect_timeout=60, login_timeout=60,
            ) as connection:  # fmt: skip
                shown = connection.get_server_host_key()
                assert shown is not None
                if shown.get_fingerprint() != key:
                    raise RuntimeError(f"{name} shows another host key than its console")
                said = str((await connection.run(command, check=True)).stdout)
        template = (await self.hypervisor.report(name)).template
        return Ready(spec, time.monotonic() - begun_s, template, said)

    def _host_key(self, spec: MachineSpec) -> str | None:
        text = spec.console_path.read_text("utf-8", "replace") if spec.console_path.exists() else ""
        found = _KEY.search(text)
        return found[1] if found and "END SSH HOST KEY FINGERPRINTS" in text else None

    async def end(self, *ready: Ready) -> None:
        """Cut machines off and remove them."""
        for each in ready:
            await self.hypervisor.kill(each.spec.instance_id)
            await self.hypervisor.forget(each.spec.instance_id)
            await self.metadata.withdraw(each.spec.instance_id)
            each.spec.root.path.unlink()
            each.spec.console_path.unlink()

    async def template(self) -> None:
        """Have a template: start a machine, and wait until its kind has been saved."""
        first = await self.start(9999)
        async with asyncio.timeout(LIMIT_S):
            while not self.store.all():  # noqa: ASYNC110 - a folder has no event
                await asyncio.sleep(0.2)
        await self.end(first)

    async def cpu_s(self) -> float:
        """Processor time of all machines so far."""
        pids = [machine.record.pid for machine in self.hypervisor._machines.values()]
        return sum(stat.cpu_s for stat in (read_stat(pid or 0) for pid in pids) if stat is not None)


@asynccontextmanager
async def fleet(image: Path, *, width: int | None = None, warm: bool = True) -> AsyncIterator[Fleet]:
    """Give a fleet; its machines and files are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="ef-") as name:
        made = Fleet(Path(name), image, width=width, warm=warm)
        await made.hypervisor.open()
        try:
            yield made
        finally:
            for instance_id in await made.hypervisor.report_all():
                await made.hypervisor.kill(instance_id)
            await made.hypervisor.close()
            await made.metadata.close()
