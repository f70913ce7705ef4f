"""What is asserted of every lesson, whichever file runs it; and mistakes, as students make them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from educloud_lab.domain import naming
from tests.system.by_hand import client, exported
from tests.system.conftest import Bench, JupyterLab
from tests.system.lesson_runner import Run, metadata, run_lesson

PANEL = "application/vnd.educloud.panel+json"
_HELD = re.compile(r"^(\d+) of (\d+) hold\.$", re.M)


def left_by_hand(bench: Bench) -> dict[str, list[str]]:
    """Return what is in the account and is neither a lab's nor was there at first, by kind; {} is well.

    A lab's machine that sleeps keeps its instance and system disk, and its data volume stays: these are meant to.
    """
    ec2: Any = client(exported(bench.educloud("cloud", "env").stdout))

    def is_lab(row: dict[str, Any]) -> bool:
        return any(tag["Key"] == naming.TAG_LEASE for tag in row.get("Tags", []))

    instances = [one for each in ec2.describe_instances()["Reservations"] for one in each["Instances"]]
    labs = {one["InstanceId"] for one in instances if is_lab(one)}
    volumes = [row for row in ec2.describe_volumes()["Volumes"] if row["State"] not in ("deleted", "deleting")]
    groups = ec2.describe_security_groups()["SecurityGroups"]
    found = {
        "instances": [
            one["InstanceId"] for one in instances if not is_lab(one) and one["State"]["Name"] != "terminated"
        ],
        "volumes": [
            row["VolumeId"]
            for row in volumes
            if not is_lab(row) and not {one["InstanceId"] for one in row["Attachments"]} & labs
        ],
        "attached to labs": [
            row["VolumeId"]
            for row in volumes
            if any(tag["Key"] == "lesson" for tag in row.get("Tags", []))
        ],
        "snapshots": [
            row["SnapshotId"] for row in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] if not is_lab(row)
        ],
        "key pairs": [row["KeyName"] for row in ec2.describe_key_pairs()["KeyPairs"]],
        "groups": [
            row["GroupName"]
            for row in groups
            if row["GroupName"] != "default" and not row["Description"].startswith("Machines of educloud-lab")
        ],
        "rules of the default group": [
            str(rule) for row in groups if row["GroupName"] == "default" for rule in row["IpPermissions"]
        ],
        "images": [row["ImageId"] for row in ec2.describe_images(Owners=["self"])["Images"]],
        "faults": [
            line for line in bench.educloud("cloud", "status").stdout.splitlines() if line.startswith("Faults")
        ],
    }  # fmt: skip
    return {kind: names for kind, names in found.items() if names}


def checks_passed(run: Run) -> None:
    """Assert that every check of a lesson was made, and that each held."""
    cells = [cell for cell in run.notebook.cells if cell.cell_type == "code" and cell.source.startswith("%%check")]
    assert cells, "a lesson without checks"
    for cell in cells:
        asked = [line for line in cell.source.splitlines()[1:] if line.strip() and not line.startswith("#")]
        assert _HELD.findall(run.said(cell.id)) == [(str(len(asked)), str(len(asked)))], run.said(cell.id)


def secrets_of(bench: Bench, server: JupyterLab) -> set[str]:
    """Return what no saved notebook may hold: keys, tokens, where server, cloud and gateway answer, whose folders."""
    accounts = json.loads((bench.home / "cloud/credentials.json").read_text())["accounts"]
    keys = [account[key] for account in accounts.values() for key in ("access_key", "secret_key")]
    gateway = bench.cloud["gateway"]
    secrets = {
        server.token,
        *keys,
        server.url,
        bench.cloud["endpoint_url"],
        f":{gateway['port']}",
        gateway["host_key"].split()[1],
        (bench.home / "secret.key").read_text().split()[0],
        str(bench.home),
        str(server.folder),
    }
    assert len(secrets) == 12
    assert all(len(secret) > 4 for secret in secrets)
    return secrets


def held_secrets(path: Path, bench: Bench, server: JupyterLab) -> list[str]:
    """Return which of them a notebook holds, and what looks like one."""
    text = path.read_text()
    alike = re.findall(r"PRIVATE KEY|cert-v01|Authorization:|[?&]token=|127\.0\.0\.1", text)
    return [secret for secret in secrets_of(bench, server) if secret in text] + alike


@dataclass(frozen=True)
class Mistake:
    """Something that a student does otherwise than the lesson says.

    Parameters
    ----------
    lesson : file name.
    instead : what stands in the notebook, and what the student writes instead; each must be there.
    fails_at : id of the cell that must notice it.
    says : what it says then.
    """

    lesson: str
    instead: tuple[tuple[str, str], ...]
    fails_at: str
    says: str

    def plant(self, notebook: nbformat.NotebookNode) -> None:
        """Change the notebook."""
        for written, done in self.instead:
            cells = [cell for cell in notebook.cells if cell.cell_type == "code" and written in cell.source]
            assert cells, written
            cells[0].source = cells[0].source.replace(written, done)


def assert_noticed(mistake: Mistake, server: JupyterLab) -> None:
    """Run the lesson with the mistake: it fails at the right cell and says why."""
    run = run_lesson(mistake.lesson, server, change=mistake.plant)
    assert run.failed == mistake.fails_at, run.error or "nothing was noticed"
    assert mistake.says in run.said(run.failed), run.said(run.failed)


def network_of(bench: Bench) -> str:
    """Return the network driver of a bench's cloud."""
    told: dict[str, Any] = json.loads(bench.educloud("cloud", "env", "--json").stdout)
    return str(told["network"])


def assert_runs(name: str, server: JupyterLab, bench: Bench) -> None:
    """Run a lesson: no error, every check held, its machines asleep or gone, no secret in the file."""
    run = run_lesson(name, server)
    if name.startswith("06") and network_of(bench) != "netns":
        assert "the network driver is 'slirp'" in run.error  # it says so, and what to do
        return
    assert not run.failed, f"{run.source(run.failed)}\n{run.error}"
    checks_passed(run)
    lab = metadata(name)["lab"]
    phases = {row["phase"] for row in server.call("GET", "snapshot")[1]["leases"] if row["lab"] == lab}
    assert phases
    assert phases <= {"asleep", "off"}
    assert held_secrets(server.folder / name, bench, server) == []
    payloads = [
        output.data[PANEL]
        for cell in run.notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if PANEL in output.get("data", {})
    ]
    assert payloads
    for payload in payloads:  # what is shown is asked for when it is looked at, not kept
        assert {**payload, "slot": ""} == {"version": 1, "lab": None, "machine_profile": None, "slot": ""}
