"""The local cloud's state as each released schema wrote it opens under this version with everything that was in it.

``cloud-0001.sql`` and ``machine-0001.json`` were written by the code of the first schema: machines that run, are
stopped, ended and on their way, volumes of every state, tags, keys, groups, tokens; and the record of a real machine.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sqlite3
import time
from pathlib import Path

import pytest
from alembic import command

from educloud_lab.localcloud.hypervisor.base import DiskSpec, MachineSpec, MachineState
from educloud_lab.localcloud.hypervisor.qemu_record import MachineFiles, load
from educloud_lab.localcloud.state import upgrade
from educloud_lab.localcloud.state.database import Database

HERE = Path(__file__).parent
DUMPS = sorted(HERE.glob("cloud-*.sql"))
_spec = importlib.util.spec_from_file_location(
    "localcloud_bench", HERE.parent / "unit/localcloud/conftest.py"
)  # the bench of the unit tests
conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(conftest)


def schema(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    finally:
        connection.close()


def restore(dump, path):
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(dump.read_text())
    rows = {
        table: connection.execute(f"SELECT * FROM {table}").fetchall()
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    }
    connection.close()
    return rows


def machine_spec(home, row):
    return MachineSpec(
        instance_id=row["id"], architecture="x86_64", cpus=1, memory_bytes=256 << 20,
        root=DiskSpec("root", home / "images/tiny/root.qcow2", ""), kernel=None, ramdisk=None, kernel_args="",
        mac=row["mac"], address=row["address"], metadata_socket=home / "md", console_path=home / "console",
    )  # fmt: skip


@pytest.fixture(params=DUMPS, ids=[dump.stem for dump in DUMPS])
async def upgraded(request, tmp_path):
    """An old cloud's home, its machines running, opened by this version."""
    dump = request.param
    conftest.write_image(tmp_path, "tiny")
    conftest.write_image(tmp_path, "tiny-store", root_device_type="instance-store")
    before = restore(dump, tmp_path / "cloud/cloud.sqlite")
    bench = conftest.Bench(tmp_path)
    folders = bench.service.settings.folders
    connection = sqlite3.connect(folders.state)
    connection.row_factory = sqlite3.Row
    instances = connection.execute("SELECT * FROM instance").fetchall()
    for volume in connection.execute("SELECT id FROM volume WHERE state IN ('available', 'in-use')"):
        (folders.volumes / f"{volume['id']}.qcow2").touch()
    plugged = connection.execute("SELECT * FROM attachment WHERE is_root = 0").fetchall()
    connection.close()
    await bench.hypervisor.open()
    for row in instances:
        if row["state"] == "running":
            await bench.hypervisor.start(machine_spec(tmp_path, row))
            for attachment in plugged:
                if attachment["instance_id"] == row["id"]:
                    disk = DiskSpec(attachment["volume_id"], folders.volumes / f"{attachment['volume_id']}.qcow2", "x")
                    await bench.hypervisor.attach(row["id"], disk)
    await bench.open()
    yield bench, before, {row["id"]: row["state"] for row in instances}
    await bench.service.close()


def test_there_is_a_dump_of_every_schema_before_this_one():
    versions = sorted(path.name[:4] for path in (upgrade.MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert [dump.stem.removeprefix("cloud-") for dump in DUMPS] == versions[:-1]


async def test_every_id_still_answers_and_machines_are_taken_over(upgraded):
    bench, before, states = upgraded
    for instance_id, state in states.items():
        assert (await bench.instance(instance_id))["State"]["Name"] == state
    reports = await bench.hypervisor.report_all()
    assert {key for key, report in reports.items() if report.state is MachineState.RUNNING} == {
        key for key, state in states.items() if state == "running"
    }
    await bench.settle()
    after = {key: (await bench.instance(key))["State"]["Name"] for key in states}
    assert after == {key: "running" if state == "pending" else state for key, state in states.items()}
    volumes = {v["VolumeId"]: v["State"] for v in (await bench.call("DescribeVolumes"))["Volumes"]}
    assert "creating" not in volumes.values()
    assert volumes.keys() == {row[0] for row in before["volume"]}


async def test_what_belongs_to_them_is_there(upgraded):
    bench, before, _ = upgraded
    instances = [i for r in (await bench.call("DescribeInstances"))["Reservations"] for i in r["Instances"]]
    (tagged,) = [i for i in instances if i.get("Tags")]
    assert tagged["Tags"] == [{"Key": "Name", "Value": "Ann's machine"}]
    assert tagged["KeyName"] == "ann's key"
    attached = {m["DeviceName"]: m["Ebs"]["Status"] for m in tagged["BlockDeviceMappings"]}
    assert attached == {"/dev/sda": "attached", "/dev/sdf": "attached"}
    answer = await bench.call("DescribeInstanceAttribute", InstanceId=tagged["InstanceId"], Attribute="userData")
    assert answer["UserData"]["Value"].startswith("IyEvYmluL3No")
    (pair,) = (await bench.call("DescribeKeyPairs"))["KeyPairs"]
    assert pair["KeyName"] == "ann's key"
    assert before.get("event", []) == []


async def test_tokens_stay_spent(upgraded):
    bench, _, states = upgraded
    image = await bench.image()
    for token in ("token-1", "token-2", "token-3", "token-4"):
        again = await bench.call("RunInstances", ImageId=image, MinCount=1, MaxCount=1, ClientToken=token)
        assert {i["InstanceId"] for i in again["Instances"]} <= states.keys()


async def test_logging_in_stays_possible_where_it_was(upgraded):
    bench, _, _ = upgraded
    groups = (await bench.call("DescribeSecurityGroups"))["SecurityGroups"]
    (default,) = [group for group in groups if group["GroupName"] == "default"]
    ports = {(rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort")) for rule in default["IpPermissions"]}
    assert ("tcp", 22, 22) in ports


@pytest.mark.parametrize("dump", DUMPS, ids=[dump.stem for dump in DUMPS])
async def test_a_copy_as_it_was_is_kept_and_goes_when_it_is_old(dump, tmp_path):
    before = restore(dump, tmp_path / "cloud.sqlite")
    version = dump.stem.removeprefix("cloud-")
    database = Database(tmp_path / "cloud.sqlite")
    await database.open()
    await database.close()
    copy = upgrade.copy_of(tmp_path / "cloud.sqlite", version)
    assert copy.name == f"cloud.schema-{version}.sqlite"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert schema(copy) == version
    connection = sqlite3.connect(copy)
    assert {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in before} == before
    connection.close()
    for age_s, kept in ((upgrade.COPY_KEPT_S - 60, True), (upgrade.COPY_KEPT_S + 60, False)):
        os.utime(copy, times=(time.time() - age_s,) * 2)
        database = Database(tmp_path / "cloud.sqlite")
        await database.open()
        await database.close()
        assert copy.exists() is kept


@pytest.mark.parametrize("dump", DUMPS, ids=[dump.stem for dump in DUMPS])
async def test_an_upgrade_that_ends_in_the_middle_changes_nothing(dump, tmp_path, monkeypatch):
    before = restore(dump, tmp_path / "cloud.sqlite")
    real = command.upgrade

    def end_in_the_middle(config, revision):
        real(config, revision)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "upgrade", end_in_the_middle)
    database = Database(tmp_path / "cloud.sqlite")
    with pytest.raises(KeyboardInterrupt):
        await database.open()
    await database.close()
    connection = sqlite3.connect(tmp_path / "cloud.sqlite")
    assert {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in before} == before
    connection.close()
    monkeypatch.undo()
    await (database := Database(tmp_path / "cloud.sqlite")).open()
    await database.close()
    assert schema(tmp_path / "cloud.sqlite") > dump.stem.removeprefix("cloud-")


@pytest.mark.parametrize("path", sorted(HERE.glob("machine-*.json")), ids=lambda path: path.stem)
def test_the_record_of_a_machine_that_an_earlier_version_started_is_read(path, tmp_path):
    files = MachineFiles(folder=tmp_path, log=tmp_path / "log")
    files.record.write_text(path.read_text())
    record = load(files)
    document = json.loads(path.read_text())
    assert record.spec.instance_id == document["spec"]["instance_id"]
    assert (record.pid, record.start_ticks) == (document["pid"], document["start_ticks"])
    assert [disk.disk_id for disk in record.spec.disks] == [disk["disk_id"] for disk in document["spec"]["disks"]]
    assert re.fullmatch(r"d0:0d(:[0-9a-f]{2}){4}", record.spec.mac)
