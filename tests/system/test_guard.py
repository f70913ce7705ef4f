"""The machine's own timer on a real machine, with no broker there: it ends the machine by itself, the data saved."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from traitlets.config import Config

from educloud_lab.adapters.ssh import AsyncsshShell
from educloud_lab.broker.scripts import guard as scripts
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.domain.errors import ShellError
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.wire import models as wire
from tests.patience import until
from tests.system.at_lab import Records, run_with
from tests.system.conftest import Bench, make_bench, wait_for

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]

PERSON, LAB = "ada", "guarded"
TEXT = "typed before the power went"
GRACE_S = 10  # after a boot; a quarter of an hour in earnest


@pytest.fixture
def bench(tmp_path: Path, images: Path) -> Iterator[Bench]:
    made = make_bench(tmp_path, images)
    yield made
    made.close()


async def started(home: Path) -> str:
    """Start a machine as the product does, and let the broker end."""
    from educloud_lab.app.wiring import build_broker

    broker = await build_broker(Config({"Educloud": {"home": str(home)}}))
    try:
        request = wire.LeaseRequest(lab=LAB, machine_profile="tiny", start=True)
        lease = await broker.ensure_lease(PERSON, request)
        async for snapshot in broker.watch(PERSON):
            now = next(each for each in snapshot.leases if each.id == lease.id)
            assert now.phase != "trouble", now.problem
            if now.phase == "ready":
                break
        assert now.limits is not None
        assert now.limits.guarded
        return lease.id
    finally:
        await broker.close()


class Cloud:
    """The cloud without a broker."""

    def __init__(self, bench: Bench) -> None:
        import json

        accounts = json.loads((bench.home / "cloud/credentials.json").read_text())["accounts"]
        keys = accounts["educloud"]
        self.ec2: Any = boto3.session.Session().client(
            "ec2",
            region_name="eucalyptus",
            endpoint_url=bench.cloud["endpoint_url"],
            aws_access_key_id=keys["access_key"],
            aws_secret_access_key=keys["secret_key"],
        )

    def state(self, instance_id: str) -> str:
        found = self.ec2.describe_instances(InstanceIds=[instance_id])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

    def wait(self, instance_id: str, state: str) -> None:
        wait_for(f"{instance_id} is {state}", lambda: self.state(instance_id) == state, timeout_s=240)


def arm(records: Records, lease: LeaseRecord, *, length_s: int) -> None:
    """Arm it as the broker does, only shorter; both its end and its duration."""
    grant = records.grant(lease.id, root=True)

    async def work() -> None:
        connection = await AsyncsshShell().connect(grant, timeout_s=60)
        try:
            until = round(time.time()) + length_s
            given = [str(10**9), str(until), str(length_s), str(GRACE_S), "/data"]
            completed = await connection.run(scripts.ARM, arguments=given, timeout_s=60)
        finally:
            await connection.close()
        answer = read_answer("guard", completed, scripts.ARM_FORMS, required=("until", "survives"))
        assert answer == {"until": str(until), "sequence": given[0], "survives": "yes"}

    asyncio.run(work())


def assert_clean(bench: Bench, volume_id: str, folder: Path) -> None:
    """The data volume needs no repair, and holds what was written."""
    for tool in ("e2fsck", "dumpe2fs", "debugfs", "qemu-img"):
        assert shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"), f"{tool} is missing"
    found = [path for path in (bench.home / "cloud/volumes").rglob("*") if path.is_file() and volume_id in str(path)]
    assert found, sorted((bench.home / "cloud/volumes").rglob("*"))
    raw = folder / "data.raw"
    newest = max(found, key=lambda path: path.stat().st_mtime)
    subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", newest, raw], check=True)
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    told = subprocess.run(["dumpe2fs", "-h", raw], capture_output=True, text=True, check=True, env=environment).stdout
    assert "needs_recovery" not in told
    checked = subprocess.run(["e2fsck", "-fn", raw], capture_output=True, text=True, check=False, env=environment)
    assert checked.returncode == 0, checked.stdout
    read = ["debugfs", "-R", "cat /kept.txt", raw]
    text = subprocess.run(read, capture_output=True, text=True, check=True, env=environment).stdout
    assert text.strip() == TEXT


def test_without_a_broker_it_ends_the_machine_with_the_data_saved_and_again_after_a_boot(
    bench: Bench, tmp_path: Path
) -> None:
    bench.educloud("cloud", "start")
    records = Records(bench)
    lease_id = asyncio.run(started(bench.home))
    lease = records.lease(lease_id)
    assert lease.instance_id is not None
    assert lease.guard_until is not None
    assert lease.expires_at is not None
    # The broker armed it behind the hard end; an older wish changes nothing.
    assert abs((lease.guard_until - lease.expires_at).total_seconds() - 900) < 120
    look = f"cat {scripts.STATE}; tr '\\0' ' ' </proc/$(cat /run/educloud-guard.pid)/cmdline"
    # init starts it when it has read its table again, and then it writes its number down.
    armed = until(lambda: [told for told in [records.run(lease_id, look, root=True)] if scripts.PROGRAM in told])[0]
    assert str(round(lease.guard_until.timestamp())) in armed
    records.run(lease_id, f"echo '{TEXT}' >/data/kept.txt")
    volume_id = records.volume(lease_id).cloud_id
    assert volume_id is not None

    cloud = Cloud(bench)
    arm(records, lease, length_s=12)
    cloud.wait(lease.instance_id, "stopped")
    assert_clean(bench, volume_id, tmp_path)

    # Its time is over and nobody moved it: a boot gives it a little time, in which a broker would arm it anew.
    begun = cloud.ec2.start_instances(InstanceIds=[lease.instance_id])["StartingInstances"][0]
    assert begun["CurrentState"]["Name"] == "pending"  # it may run only shortly: nobody waits to see that
    cloud.wait(lease.instance_id, "stopped")
    with pytest.raises(ShellError):
        run_with(records.grant(lease_id, root=True), "true", timeout_s=5)
