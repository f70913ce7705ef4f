"""The doctor on a real bench: everything is there, something is missing, with a Jupyter server and with none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import BIN, Bench

pytestmark = pytest.mark.qemu


def examined(bench: Bench, *, status: int) -> dict[str, dict[str, Any]]:
    """Run the doctor; return its findings by name."""
    done = bench.educloud("doctor", "--json", check=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return {finding["name"]: finding for finding in json.loads(done.stdout)}


def test_everything_is_there(bench: Bench, tmp_path: Path) -> None:
    bench.educloud("cloud", "start")
    found = examined(bench, status=0)
    assert {finding["verdict"] for finding in found.values()} <= {"ok", "note"}
    for name in ("Python", "Folders", "Room", "QEMU", "Images", "Network", "Local cloud", "Gateway", "Two halves"):
        assert found[name]["verdict"] == "ok", found[name]
    assert "tiny-store" in found["Images"]["what"]
    assert bench.cloud["endpoint_url"] in found["Local cloud"]["what"]
    assert str(bench.cloud["gateway"]["port"]) in found["Gateway"]["what"]
    # Without KVM that is a note, found by booting: an open /dev/kvm proves nothing.
    assert found["Acceleration"]["verdict"] == "ok" or "software emulation" in found["Acceleration"]["what"]
    assert found["Websocket"]["verdict"] == "ok"
    assert "started for this check" in found["Websocket"]["what"]

    # With a Jupyter server it is that one's websocket, below its own base URL.
    server = bench.lab(tmp_path, base_url="/user/ada@example.org/")
    found = examined(bench, status=0)
    assert found["Websocket"]["verdict"] == "ok"
    assert server.url in found["Websocket"]["what"]
    assert server.token not in json.dumps(found)


def test_qemu_and_images_are_missing(bench: Bench) -> None:
    (bench.home / "images").unlink()
    bench.env["PATH"] = str(BIN)
    found = examined(bench, status=1)
    assert found["QEMU"]["verdict"] == "fail"
    assert "apt-get install qemu-system-x86" in found["QEMU"]["todo"]
    assert found["Images"]["verdict"] == "fail"
    assert "educloud cloud image build" in found["Images"]["todo"]
    assert found["Acceleration"]["verdict"] == "note"
    assert found["Local cloud"]["verdict"] == "note"  # not started is no fault: it starts when it is needed
    assert "educloud cloud start" in found["Local cloud"]["todo"]
    assert found["Python"]["verdict"] == "ok"
    plain = bench.educloud("doctor", check=False)
    assert plain.returncode == 1
    assert "FAIL  QEMU: " in plain.stdout
    assert "ok    Python: " in plain.stdout
    assert "\n      -> Install it: " in plain.stdout
    assert not (bench.home / "cloud").exists()  # the doctor looks, and starts nothing that stays


def test_the_gateway_and_the_cloud_are_dead(bench: Bench) -> None:
    """Announced but gone: a failure, with the one command that mends it."""
    import psutil

    bench.educloud("cloud", "start")
    for name in ("api", "gateway"):
        process = psutil.Process(bench.cloud["pids"][name]["pid"])
        process.kill()
        process.wait(60)
    # A server would bring the cloud back by itself; the doctor only looks.
    found = examined(bench, status=1)
    for name in ("Local cloud", "Gateway"):
        assert found[name]["verdict"] == "fail", found[name]
        assert found[name]["todo"] == "Start it: educloud cloud start"
    bench.educloud("cloud", "start")
    assert examined(bench, status=0)["Gateway"]["verdict"] == "ok"
