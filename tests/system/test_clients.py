"""Clients that other people wrote drive the local cloud, unmodified, each in a process of its own.

Each runs key pair, group, run, wait, tag, console, volume, attach, snapshot, volume from snapshot, detach, stop, start
and terminate, and says so step by step. botocore, and with it ``aws``, and the JavaScript SDK send ``ClientToken`` with
CreateVolume; Eucalyptus has no such parameter and refuses the call unless its administrator set
``unknown_parameter_handling=ignore`` (EUCALYPTUS.md, section 0): both are tested.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.system.conftest import wait_for

CLIENTS = Path(__file__).parent / "clients"
INSTALLED = Path(__file__).parents[2] / ".lab" / "clients"
STEPS = [
    "key pair", "group", "run", "wait", "tag", "console", "volume", "attach", "snapshot", "volume from snapshot",
    "detach", "stop", "start", "terminate", "clean up",
]  # fmt: skip
TYPES = {"eucalyptus-4.4": "m1.small", "eucalyptus-6": "t2.micro", "aws": "t2.micro"}


def write_image(home: Path) -> None:
    """Put an image there, as the builder leaves it; simulated machines look at nothing inside."""
    folder = home / "images" / "tiny"
    folder.mkdir(parents=True)
    files = {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"}
    for name in files.values():
        (folder / name).write_bytes(name.encode())
    manifest = {
        "schema": 1, "name": "tiny", "version": "2026.11.22-00000000", "title": "The tiny image",
        "description": "for tests",
        "architecture": "x86_64", "virtualization_type": "hvm", "root_device_type": "ebs", "files": files,
        "sha256": {name: hashlib.sha256(name.encode()).hexdigest() for name in files.values()},
        "root_size_bytes": 1 << 30, "min_memory_bytes": 128 << 20, "kernel_args": "console=ttyS0",
        "login_user": "student",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


@contextmanager
def cloud(home: Path, profile: str, **options: Any) -> Iterator[dict[str, str]]:
    """Run a local cloud of this profile; give what a client has to be told."""
    write_image(home)
    flags = [f"--{name}={value}" for name, value in options.items()]
    # Simulated machines, twenty times as quick as real ones: what is tested is what the cloud says.
    serve = ["cloud", "serve", f"--home={home}", "--hypervisor=simulated", "--pace=0.05", "--port=0"]
    run = [sys.executable, "-m", "educloud_lab", *serve, f"--profile={profile}", *flags]
    log = home / "cloud.log"
    with log.open("w") as stream:
        running = subprocess.Popen(run, stdout=stream, stderr=stream)
    try:
        announced = wait_for("the cloud to answer", lambda: _announced(home, running))
        keys = json.loads((home / "cloud/credentials.json").read_text())["accounts"]["educloud"]
        told = {
            "ENDPOINT": f"http://{announced['host']}:{announced['port']}/services/compute",
            "REGION": announced["region"],
            "ZONE": "one",
            "TYPE": TYPES[profile],
            "AWS_ACCESS_KEY_ID": keys["access_key"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_key"],
            "CLIENT_MODULES": str(INSTALLED),
        }
        told["IMAGE"] = client(told).describe_images()["Images"][0]["ImageId"]
        yield told
    finally:
        running.terminate()
        running.wait(120)


def _announced(home: Path, running: subprocess.Popen[bytes]) -> dict[str, Any] | None:
    assert running.poll() is None, (home / "cloud.log").read_text()
    state = home / "cloud/api.state.json"
    return json.loads(state.read_text()) if state.exists() else None


def client(told: dict[str, str]) -> Any:
    """Return boto3 as it comes."""
    return boto3.client(
        "ec2", endpoint_url=told["ENDPOINT"], region_name=told["REGION"], aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


def command(name: str) -> list[str]:
    """Return what runs a client; fails when the clients were not installed."""
    python = INSTALLED / "venv" / "bin" / "python"
    if not python.exists() or not (INSTALLED / "node_modules" / "@aws-sdk").exists():
        pytest.fail(f"The clients are not installed in {INSTALLED}: run scripts/setup test")
    if name == "sdk":
        return [shutil.which("node") or str(INSTALLED.parent / "node" / "node"), str(CLIENTS / "with_sdk.mjs")]
    return [str(python), str(CLIENTS / f"with_{name}.py")]


@pytest.mark.parametrize(
    ("name", "profile", "options"),
    [
        ("libcloud", "eucalyptus-4.4", {"unknown-parameters": "ignore"}),
        ("libcloud", "eucalyptus-6", {}),
        ("boto3", "eucalyptus-6", {"unknown-parameters": "ignore"}),
        ("boto3", "aws", {}),
        ("awscli", "eucalyptus-6", {"unknown-parameters": "ignore"}),
        ("sdk", "eucalyptus-6", {"unknown-parameters": "ignore"}),
        ("sdk", "aws", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "relaxed" if value else "strict",
)
def test_a_client_does_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, profile: str, options: dict[str, str]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    run = command(name)
    with cloud(tmp_path / "home", profile, **options) as told:
        clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
        done = subprocess.run(run, env=clean | told, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line.removeprefix("ok ") for line in done.stdout.splitlines()] == STEPS
        left = client(told)
        states = {volume["State"] for volume in left.describe_volumes()["Volumes"]}
        assert states <= {"deleting", "deleted"}  # they stay listed for a while
        assert left.describe_key_pairs()["KeyPairs"] == []


def test_as_it_comes_boto3_makes_no_volume_on_a_strict_eucalyptus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with cloud(tmp_path / "home", "eucalyptus-6") as told:
        with pytest.raises(ClientError, match="Failed to bind the following fields:\nClientToken = "):
            client(told).create_volume(AvailabilityZone="one", Size=1)
        assert client(told).describe_volumes()["Volumes"] == []
