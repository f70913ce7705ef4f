"""``educloud cloud backup`` and ``restore``: real files and processes, machines simulated."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile

import pytest

from educloud_lab.localcloud import exchange, process
from educloud_lab.localcloud import restore as restoring
from educloud_lab.localcloud.backup import backup
from educloud_lab.localcloud.backup_file import BackupError
from educloud_lab.localcloud.errors import LocalCloudError, SchemaTooNewError
from educloud_lab.localcloud.restore import restore


def disk(path, size, *options):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size], check=True)


def write(path, text, at):
    """Write into a qcow2 file without a machine."""
    data = f"write -P 0x{ord(text):x} {at} 65536"
    subprocess.run(["qemu-io", "-c", data, str(path)], check=True, stdout=subprocess.DEVNULL)


def holds(path, text, at):
    answer = subprocess.run(
        ["qemu-io", "-r", "-c", f"read -P 0x{ord(text):x} {at} 65536", str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    return "Pattern verification failed" not in answer.stdout


@pytest.fixture
def home(tmp_path):
    """A cloud that was started once, with a volume on a snapshot and one of its own, and rows of machines."""
    home = tmp_path / "a home"
    process.start(home, hypervisor="simulated")
    process.stop(home)
    cloud = home / "cloud"
    disk(cloud / "snapshots/snap-1.qcow2", "64M")
    write(cloud / "snapshots/snap-1.qcow2", "a", 0)
    disk(cloud / "volumes/vol-1.qcow2", "64M", "-b", str(cloud / "snapshots/snap-1.qcow2"), "-F", "qcow2")
    write(cloud / "volumes/vol-1.qcow2", "b", 1 << 20)
    with (cloud / "volumes/vol-2.qcow2").open("wb") as stream:  # a file with holes
        stream.truncate(40 << 20)
        stream.seek(10 << 20)
        stream.write(b"in the middle")
    (cloud / "gateway/lines.d/x.keys").write_text("a line\n")
    (cloud / "consoles/i-1.log").write_text("said\n")
    yield home
    process.reset(home)


def contents(cloud):
    return {
        str(path.relative_to(cloud)): path.read_bytes()
        for path in cloud.rglob("*")
        if path.is_file()
        and path.relative_to(cloud).parts[0] in ("volumes", "snapshots", "gateway", "credentials.json")
    }


def test_everything_comes_back_in_another_home(home, tmp_path):
    said = []
    file = backup(home, tmp_path / "b.tar", say=said.append)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size < 20 << 20  # holes take no room
    before = contents(home / "cloud")
    other = tmp_path / "other"
    restore(other, file, say=said.append)
    after = contents(other / "cloud")
    assert after.keys() == {name for name in before if "gateway.state" not in name and name != "gateway/routes.json"}
    assert after["credentials.json"] == before["credentials.json"]
    assert after["gateway/ssh_host_ed25519_key"] == before["gateway/ssh_host_ed25519_key"]
    assert after["volumes/vol-2.qcow2"] == before["volumes/vol-2.qcow2"]
    holey = other / "cloud/volumes/vol-2.qcow2"
    assert holey.stat().st_blocks * 512 < 5 << 20
    shutil.rmtree(home / "cloud/snapshots")  # what is restored needs nothing of the old place
    volume = other / "cloud/volumes/vol-1.qcow2"
    assert holds(volume, "a", 0)
    assert holds(volume, "b", 1 << 20)
    subprocess.run(["qemu-img", "check", "-q", str(volume)], check=True)
    assert all(path.stat().st_mode & 0o077 == 0 for path in other.rglob("*"))
    assert not (other / "cloud/consoles/i-1.log").exists()
    assert process.start(other, hypervisor="simulated")["endpoint_url"]
    process.reset(other)


def test_any_tar_can_read_it(home, tmp_path):
    file = backup(home, tmp_path / "b.tar")
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-C", str(tmp_path / "out"), "-xf", str(file)], check=True)
    assert (tmp_path / "out/volumes/vol-2.qcow2").read_bytes() == (home / "cloud/volumes/vol-2.qcow2").read_bytes()
    assert json.loads((tmp_path / "out/manifest.json").read_text())["format"] == 1


def test_a_cloud_that_runs_is_copied_and_runs_on(home, tmp_path):
    process.start(home, hypervisor="simulated")
    file = backup(home, tmp_path)
    assert file.name.startswith("educloud-cloud-2")
    assert process.status(home).api_running
    with tarfile.open(file) as archive:
        assert archive.getnames()[-1] == "manifest.json"
        assert not any(name.startswith((".", "log/", "run/")) for name in archive.getnames())


def states(cloud):
    connection = sqlite3.connect(cloud / "cloud.sqlite")
    try:
        return dict(connection.execute("SELECT id, state || ' ' || resume FROM instance").fetchall())
    finally:
        connection.close()


def add_instances(cloud):
    connection = sqlite3.connect(cloud / "cloud.sqlite")
    columns = [row[1] for row in connection.execute("PRAGMA table_info(instance)")]
    for name, state, root in (
        ("i-1", "running", "ebs"),
        ("i-2", "running", "instance-store"),
        ("i-3", "stopped", "ebs"),
    ):
        values = dict.fromkeys(columns, "") | {
            "id": name, "state": state, "root_device_type": root, "launch_index": 0, "force_stop": 0, "resume": 0,
            "address_shown": 1, "disable_termination": 0, "ever_ran": 1, "launched_at": "2026-11-22 12:00:00.000000",
            "started_at": None, "ended_at": None, "groups": "[]", "address": "172.16.64.20",
        }  # fmt: skip
        marks = ",".join("?" * len(columns))
        connection.execute(f"INSERT INTO instance ({','.join(columns)}) VALUES ({marks})", [values[c] for c in columns])
    connection.commit()
    connection.close()


def test_no_machine_is_taken_to_run_in_what_is_restored(home, tmp_path):
    add_instances(home / "cloud")
    file = backup(home, tmp_path / "b.tar")
    restore(home, file, replace=True)
    assert states(home / "cloud") == {"i-1": "stopped 0", "i-2": "running 1", "i-3": "stopped 0"}


def test_a_cloud_is_replaced_only_when_that_was_said_and_as_a_whole(home, tmp_path, monkeypatch):
    file = backup(home, tmp_path / "b.tar")
    (home / "cloud/volumes/vol-9.qcow2").write_text("made after it")
    with pytest.raises(BackupError, match="--replace"):
        restore(home, file)
    real = restoring.Path.rename

    def fail(self, target):
        if ".restoring-" in self.name:
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(restoring.Path, "rename", fail)
    with pytest.raises(BackupError, match="still"):
        restore(home, file, replace=True)
    monkeypatch.undo()
    assert (home / "cloud/volumes/vol-9.qcow2").exists()
    restore(home, file, replace=True)
    assert not (home / "cloud/volumes/vol-9.qcow2").exists()
    assert [path.name for path in home.iterdir() if path.name.startswith((".restoring", ".replaced"))] == []


@pytest.mark.parametrize("finishes", ["a start", "a restore"])
def test_a_restore_that_was_killed_between_its_renames_is_finished(home, tmp_path, monkeypatch, finishes):
    file = backup(home, tmp_path / "b.tar")
    (home / "cloud/volumes/vol-9.qcow2").write_text("made after it")

    def renamed_and_killed(folders, token):
        (exchange.staging_folder(folders, token) / ".restored").write_text(token)
        shutil.copytree(exchange.staging_folder(folders, token), tmp_path / "staging")
        folders.cloud.rename(folders.home / f".replaced-{token}")
        (tmp_path / "staging").rename(tmp_path / f".restoring-{token}")

    monkeypatch.setattr(exchange, "take_place", renamed_and_killed)
    restore(home, file, replace=True)
    monkeypatch.undo()
    (staging,) = tmp_path.glob(".restoring-*")
    shutil.move(staging, home / staging.name)  # what clears up in order is not there after a kill
    if finishes == "a start":
        said = []
        process.start(home, hypervisor="simulated", say=said.append)
        assert "it was finished" in " ".join(said)
        process.stop(home)
    else:
        with pytest.raises(BackupError, match="--replace"):
            restore(home, file)
    assert (home / "cloud/volumes/vol-1.qcow2").exists()
    assert not (home / "cloud/volumes/vol-9.qcow2").exists()
    assert [path.name for path in home.iterdir() if path.name.startswith((".restoring", ".replaced"))] == []


def spoil(file, how):
    data = file.read_bytes()
    if how == "cut off":
        file.write_bytes(data[: len(data) // 2])
    elif how == "without its end":
        with tarfile.open(file) as archive:
            file.write_bytes(data[: archive.getmembers()[-1].offset] + bytes(1024))
    elif how == "changed":
        at = data.index(b"in the middle")
        file.write_bytes(data[:at] + b"IN" + data[at + 2 :])
    elif how == "no tar":
        file.write_bytes(b"something else")
    elif how == "climbing":
        with tarfile.open(file, "w") as archive:
            archive.add(__file__, "../evil")


@pytest.mark.parametrize("how", ["cut off", "without its end", "changed", "no tar", "climbing"])
def test_what_is_not_a_whole_backup_changes_nothing(home, tmp_path, how):
    file = backup(home, tmp_path / "b.tar")
    spoil(file, how)
    before = contents(home / "cloud")
    for place, replace in ((home, True), (tmp_path / "empty", False)):
        with pytest.raises(BackupError, match="Nothing was changed"):
            restore(place, file, replace=replace)
    assert contents(home / "cloud") == before
    assert not (tmp_path / "empty/cloud").exists()
    assert not (tmp_path / "evil").exists()
    assert list((tmp_path / "empty").glob(".restoring*")) == []


def test_a_newer_schema_is_refused(home, tmp_path):
    connection = sqlite3.connect(home / "cloud/cloud.sqlite")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    file = backup(home, tmp_path / "b.tar")
    with pytest.raises(SchemaTooNewError, match="9999"):
        restore(tmp_path / "empty", file)
    assert not (tmp_path / "empty/cloud").exists()


def test_where_it_cannot_be_written_nothing_is_left(home, tmp_path, monkeypatch):
    (tmp_path / "b.tar").write_text("mine")
    with pytest.raises(BackupError, match="exists already"):
        backup(home, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text() == "mine"
    with pytest.raises(BackupError, match="does not exist"):
        backup(home, tmp_path / "nowhere/b.tar")
    with pytest.raises(BackupError, match="no local cloud"):
        backup(tmp_path / "nothing", tmp_path / "c.tar")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    with pytest.raises(BackupError, match="too little room"):
        backup(home, tmp_path / "c.tar")
    assert [path.name for path in tmp_path.glob("*.tar*")] == ["b.tar"]
    assert not list((home / "cloud").glob(".backup-*"))


def educloud(home, *arguments, typed=""):
    return subprocess.run(
        [sys.executable, "-m", "educloud_lab", "cloud", *arguments, f"--home={home}"],
        capture_output=True, text=True, input=typed, timeout=180,
    )  # fmt: skip


def test_the_command_line(home, tmp_path):
    assert educloud(home, "backup").returncode == 2
    made = educloud(home, "backup", str(tmp_path / "b.tar"))
    assert made.returncode == 0, made.stderr
    refused = educloud(home, "restore", str(tmp_path / "b.tar"))
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    asked = educloud(home, "restore", str(tmp_path / "b.tar"), "--replace", typed="yes\n")
    assert (asked.returncode, "Nothing was changed" in asked.stdout) == (1, True)
    assert educloud(home, "restore", str(tmp_path / "b.tar"), "--replace", typed="replace\n").returncode == 0
    assert issubclass(BackupError, LocalCloudError)
    assert os.access(home / "cloud/cloud.sqlite", os.W_OK)
