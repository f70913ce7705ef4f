"""A data volume on a real machine: kept, restored, enlarged, taken back out of the bin, and given to somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from educloud_lab.broker.volumes_view import CONSISTENCY
from educloud_lab.domain.job import Consistency
from tests.system.at_lab import Records
from tests.system.conftest import Bench, JupyterLab, wait_for

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]

LAB = "volumes"
GIB = 1024**3


class Volumes:
    """The lab's leases by slot, over the REST interface."""

    def __init__(self, bench: Bench, server: JupyterLab) -> None:
        self.bench, self.server = bench, server

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        status, reply = self.server.call("POST", path, body)
        assert status == 200, (path, reply)
        return reply

    def start(self, slot: str = "main") -> dict[str, Any]:
        request = {"lab": LAB, "machine_profile": "tiny", "slot": slot, "start": True}
        return self.settled(self.call("leases", request)["id"], "ready")

    def stop(self, lease_id: str) -> dict[str, Any]:
        self.call(f"leases/{lease_id}/stop")
        return self.settled(lease_id, "asleep")

    def lease(self, lease_id: str) -> dict[str, Any]:
        _, snapshot = self.server.call("GET", "snapshot")
        return next(lease for lease in snapshot["leases"] if lease["id"] == lease_id)

    def settled(self, lease_id: str, phase: str) -> dict[str, Any]:
        """Wait until it is in a phase and nothing is under way; what went wrong is not waited for."""

        def there() -> dict[str, Any]:
            lease = self.lease(lease_id)
            if lease["phase"] == "trouble" or (lease["problem"] is not None and not lease["job"]["in_flight"]):
                pytest.fail(f"it is in trouble: {lease['problem']}")
            return lease if lease["phase"] == phase and not lease["job"]["in_flight"] else {}

        found: dict[str, Any] = wait_for(f"{lease_id} to be {phase}", there, timeout_s=300)
        return found

    def done(self, path: str, lease_id: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Wish for something while it sleeps and wait until it is done."""
        self.call(f"leases/{lease_id}/{path}", body)
        return self.settled(lease_id, "asleep")


def check_account(bench: Bench, server: JupyterLab, ann: str, bob: dict[str, Any]) -> None:
    """See that each action's account tells what it called, and nothing that is secret or another machine's."""
    told = bench.educloud("calls", ann, "--limit=20", "--json").stdout
    accounts = json.loads(told)["accounts"]
    made = {account["kind"]: [call["operation"] for call in account["calls"]] for account in accounts}
    assert "RunInstances" in made["start"] or "StartInstances" in made["start"]
    assert {"AttachVolume"} <= set(made["start"])
    assert {"DetachVolume", "StopInstances"} <= set(made["stop"])
    assert ("CreateSnapshot" in made["snapshot"], "CreateVolume" in made["restore"]) == (True, True)
    assert "ModifyVolume" in made["grow"]
    first = next(call for call in accounts[-1]["calls"] if call["operation"] == "RunInstances")
    assert first["parameters"]["UserData"].startswith("[user data, ")
    assert (first["outcome"], first["parts"], bool(first["request_id"])) == ("ok", ["CLC", "CC", "NC", "SC"], True)
    assert all(call["aws"] for account in accounts for call in account["calls"])
    for secret in ("PRIVATE KEY", "ssh-ed25519", server.token, "Signature", bob["volumes"][0]["id"], "127.0.0.1"):
        assert secret not in told
    shown = bench.educloud("calls", ann, "--limit=20").stdout
    assert "aws ec2 run-instances --image-id" in shown
    assert "euca-run-instances" in shown


def test_kept_restored_enlarged_returned_and_given_to_another(bench: Bench, tmp_path: Path) -> None:
    bench.educloud("cloud", "start")
    server = bench.lab(tmp_path)
    server.wait_broker()
    lab, records = Volumes(bench, server), Records(bench)
    ann = lab.start()["id"]
    # A program goes on writing while the snapshot is taken: it is held still, and goes on afterwards.
    writer = "while [ ! -e /data/enough ]; do date +%s%N >>/data/log; sleep 0.2; done"
    records.run(ann, f"echo one >/data/notes; sync; setsid sh -c '{writer}' </dev/null >/dev/null 2>&1 &")

    # snapshot, while it runs
    assert "being taken" in bench.educloud("volume", "snapshot", LAB, "the first").stdout
    lease = lab.settled(ann, "ready")
    (taken,) = lease["snapshots"]
    assert (taken["state"], taken["restorable"]) == ("completed", True)
    # Which of the two it is depends on how fast this computer is; that it is told truly is tested elsewhere.
    assert taken["consistency"] in (CONSISTENCY[Consistency.FROZEN], CONSISTENCY[Consistency.CRASH])
    lines = int(records.run(ann, "wc -l </data/log"))
    wait_for("the program to go on", lambda: int(records.run(ann, "wc -l </data/log")) > lines, timeout_s=300)
    records.run(ann, ": >/data/enough; echo two >/data/notes; sync")

    # restored and enlarged, while it sleeps
    old = lab.stop(ann)["volumes"][0]["id"]
    lease = lab.done(f"snapshots/{taken['id']}/restore", ann)
    (kept,) = lease["bin"]
    assert kept["cloud_id"] == old
    lab.done("volume/grow", ann, {"size_gib": 2})
    shown = bench.educloud("volume", "list").stdout
    assert "the first" in shown
    assert old in shown

    # given to somebody else: their new volume is a copy
    lab.call(f"leases/{ann}/snapshots/{taken['id']}/publish", {"published": True})
    bob = lab.start("second")
    assert bob["volumes"][0]["from_snapshot"] == "the first"
    assert records.run(bob["id"], "cat /data/notes").split() == ["one"]
    records.run(bob["id"], "echo bob >/data/notes; sync")
    lab.stop(bob["id"])

    lease = lab.start()
    assert lease["volumes"][0]["from_snapshot"] == "the first"
    assert records.run(ann, "cat /data/notes").split() == ["one"]
    assert int(records.run(ann, "stat -f -c '%b %S' /data | { read n s; echo $((n * s)); }")) > 1.8 * GIB
    restored = lab.stop(ann)["volumes"][0]["id"]

    # and back out of the bin, with the proof that it is the same disk
    lease = lab.done(f"bin/{kept['id']}/return", ann)
    assert [item["cloud_id"] for item in lease["bin"]] == [restored]
    lease = lab.start()
    check_account(bench, server, ann, bob)
    assert lease["volumes"][0]["id"] == old
    assert lease["volumes"][0]["proof"].startswith("Same disk, last written at ")
    assert records.run(ann, "cat /data/notes").split() == ["two"]
    permits = records.ask(lambda tx: [p for volume in (old, restored) for p in tx.permits(volume)])
    assert [(p.volume_id, p.spent_at is not None) for p in permits] == [
        (old, True)
    ]  # formatted once, and only the first
