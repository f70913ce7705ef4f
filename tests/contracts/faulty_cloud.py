"""A local cloud with simulated machines behind real HTTP, for tests of what goes wrong on the way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import boto3
from aiohttp import web
from botocore.config import Config

from educloud_lab.localcloud.api.runner import runner_of
from educloud_lab.localcloud.faults.client import FaultClient
from educloud_lab.localcloud.service import LocalCloud
from educloud_lab.localcloud.settings import Folders, Settings


def write_image(home: Path, name: str, root_device_type: str = "ebs") -> None:
    folder = home / "images" / name
    folder.mkdir(parents=True)
    files = {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"}
    for file_name in files.values():
        (folder / file_name).write_bytes(file_name.encode())
    manifest = {
        "schema": 1, "name": name, "version": "1", "title": name, "description": "x", "architecture": "x86_64",
        "virtualization_type": "hvm", "root_device_type": root_device_type, "files": files,
        "sha256": {n: hashlib.sha256(n.encode()).hexdigest() for n in files.values()},
        "root_size_bytes": 1 << 30, "min_memory_bytes": 128 << 20, "kernel_args": "x", "login_user": "student",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


class FaultyCloud:
    """Served from a thread of its own on a free port."""

    def __init__(self, home: Path, profile: str = "eucalyptus-6") -> None:
        write_image(home, "tiny")
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        folders = Folders(home)
        self.service = LocalCloud(Settings(folders, hypervisor="simulated", profile=profile, watch_period_s=0.02))
        self.runner = runner_of(self.service.api.application(), shutdown_timeout=0.1)
        self.do(self._open())
        self.endpoint = f"http://127.0.0.1:{self.runner.addresses[0][1]}/services/compute"

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    async def _open(self) -> None:
        await self.service.open()
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()

    async def _close(self) -> None:
        await self.runner.cleanup()
        await self.service.close()

    def close(self) -> None:
        self.do(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def keys(self, account: str) -> tuple[str, str]:
        found, secret = self.service.accounts.named(account)
        return found.access_key, secret

    def faults(self, account: str = "eucalyptus") -> FaultClient:
        return FaultClient(self.endpoint, *self.keys(account))

    def client(self, account: str = "educloud", attempts: int = 1) -> Any:
        access_key, secret_key = self.keys(account)
        client = boto3.client(
            "ec2",
            region_name="eucalyptus",
            endpoint_url=self.endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(retries={"mode": "standard", "total_max_attempts": attempts}),
        )
        client.meta.events.register("before-call.ec2.CreateVolume", _drop_token)
        return client


def _drop_token(params: Any, **_: Any) -> None:
    params["body"].pop("ClientToken", None)
