"""Commands and copies on a real machine, from outside a kernel: streamed, interrupted, ended with the machine."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from educloud_lab.client.copying import download, upload
from educloud_lab.client.find import Server
from educloud_lab.client.running import Running, begin, begin_background
from educloud_lab.domain.errors import ConflictError, MachineUnreachableError
from educloud_lab.wire.run import RunEnded, RunRequest
from tests.system.at_lab import act, start
from tests.system.conftest import Bench, JupyterLab, wait_for

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]

LAB = "cells"


class OnMachine:
    """Runs scripts on one machine."""

    def __init__(self, server: JupyterLab, lease_id: str) -> None:
        self.server = Server(server.url, server.token)
        self.lease_id = lease_id

    def begin(self, script: str, **options: Any) -> Running:
        return begin(self.server, self.lease_id, RunRequest(script=script, **options))

    def run(self, script: str, **options: Any) -> tuple[RunEnded, str]:
        running = self.begin(script, **options)
        text = "".join(piece for _, piece in running)
        return running.wait(), text


def test_cells_and_files_on_a_real_machine(bench: Bench, tmp_path: Path) -> None:
    server = bench.lab(tmp_path)
    server.wait_broker()
    lease = start(server, LAB)
    with pytest.raises(ConflictError):
        OnMachine(server, lease["id"]).run("echo too early")
    server.wait_phase(LAB, "ready")
    machine = OnMachine(server, lease["id"])

    for shell in ("bash", "sh"):
        ended, text = machine.run("id -un; pwd; nosuch\nexit 3", shell=shell)
        assert ended.exit_status == 3
        assert text.startswith("student\n/home/student\n")
        assert "not found" in text
        machine.run("mkdir -p ~/work; cd ~/work; export A='é 1'; exit 1", keep="lesson", shell=shell)
        assert machine.run('pwd; echo "$A"', keep="lesson", shell=shell)[1] == "/home/student/work\né 1\n"
    assert "nobody can type" in machine.run("read answer")[1]

    interrupted(machine, "echo begun; sleep 600; echo no")
    interrupted(machine, "echo begun; timeout 600 sleep 600; echo no")
    interrupted(machine, "echo begun; sudo sleep 601; echo no")
    wait_for("root's command to end", lambda: "sleep" not in machine.run("ps -ef | grep '[s]leep 601'")[1])

    content = os.urandom(3_000_000)
    (tmp_path / "here.bin").write_bytes(content)
    assert (
        upload(machine.server, machine.lease_id, tmp_path / "here.bin", "work/").path == "/home/student/work/here.bin"
    )
    download(machine.server, machine.lease_id, "~/work/here.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == content
    with pytest.raises(ConflictError, match="may not"):
        upload(machine.server, machine.lease_id, tmp_path / "here.bin", "/etc/")

    name = begin_background(machine.server, machine.lease_id, RunRequest(script="echo by itself; sleep 600"))
    wait_for("its output", lambda: server.call("GET", f"leases/{lease['id']}/runs/{name}")[1]["text"] == "by itself\n")
    status, stopped = server.call("POST", f"leases/{lease['id']}/runs/{name}/stop")
    assert (status, stopped["state"]) == (200, "ended")

    # Put to sleep in the middle: whoever waits for it is told.
    running = machine.begin("echo begun; sleep 600")
    pieces = iter(running)
    assert next(pieces) == ("stdout", "begun\n")
    act(server, lease, "stop")
    with pytest.raises(MachineUnreachableError, match="put to sleep") as lost:
        list(pieces)
    assert lost.value.kept
    server.wait_phase(LAB, "asleep")
    with pytest.raises(ConflictError, match="not running"):
        machine.run("echo too late")


def interrupted(machine: OnMachine, script: str) -> None:
    """Begin, interrupt once it has begun, and see it end by that."""
    running = machine.begin(script)
    seen = []
    for _, text in running:
        if not seen:
            running.interrupt()
            guard = threading.Timer(120, running.close)  # a hang is a failure, not a hang of the tests
            guard.daemon = True
            guard.start()
        seen.append(text)
    guard.cancel()
    assert "".join(seen).startswith("begun\n")
    assert "no\n" not in "".join(seen)
    assert (running.wait().exit_status, running.wait().why) == (130, "interrupted")
