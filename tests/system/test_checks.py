"""Checks of a real machine, by its owner and again by an instructor on another server; a planted mistake is found."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.system.at_lab import Records, start
from tests.system.conftest import Bench, JupyterLab, wait_for

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]

LAB = "web-server"
GRADED = {"grade": True, "locked": True, "solution": False, "schema_version": 3, "cell_type": "code"}
HOLDS = """the machine is ready
/data is mounted from your volume
your volume is at least 1 GiB
the group allows only 22 and 80
port 80 answers
port 80 answers with "hello from ann"
port 8080 does not answer
file /data/site/index.html exists
file /data/site/index.html contains "hello from"
file /data/site/index.html belongs to student
file ~/private has mode 600
folder /data/site exists
command "id -un" prints "student"
command 'echo -n "$USER $LOGNAME $PWD"' prints "student student /home/student"
command "cat /etc/shadow" fails
process python3 runs
user student exists
user student is in group student
port 80 of localhost answers from your machine
port 22 of no-such-host.invalid does not answer from your machine
a volume tagged Name=extra is gone
the image "tiny" exists
the key pair "mine" does not exist
""".splitlines()
FAILS = """port 8080 answers
port 9000 answers
file /data/site/index.html contains "goodbye"
command "exit 3" succeeds
the group allows only 22
host 192.0.2.1 answers from your machine
""".splitlines()


def checked(server: JupyterLab, lease_id: str, lines: list[str]) -> list[dict[str, Any]]:
    status, reply = server.call("POST", f"leases/{lease_id}/checks", {"checks": lines})
    assert status == 200, reply
    results: list[dict[str, Any]] = reply["results"]
    return results


def come_out(server: JupyterLab, lease_id: str, lines: list[str], state: str) -> dict[str, dict[str, Any]]:
    """Return the results once all lines have come out so; a slow computer may need more than one look."""
    found: dict[str, dict[str, Any]] = {}

    def all_of_them() -> bool:
        left = [line for line in lines if line not in found or found[line]["state"] != state]
        for first in range(0, len(left), 8):
            found.update({item["text"]: item for item in checked(server, lease_id, left[first : first + 8])})
        return all(found[line]["state"] == state for line in lines)

    try:
        wait_for(f"all to be {state}", all_of_them)
    except pytest.fail.Exception as error:
        others = [item for item in found.values() if item["state"] != state]
        pytest.fail(f"{error}: {json.dumps(others, indent=1)}")
    return found


def a_notebook(path: Path) -> Path:
    cells = [
        nbformat.v4.new_code_cell(
            '%%check\nport 80 answers with "hello"\n/data is mounted from your volume',
            metadata={"nbgrader": {**GRADED, "grade_id": "web", "points": 4}},
        ),
        nbformat.v4.new_code_cell(
            "%%check --partial 2\nfile /data/site/index.html exists\nfile /data/planted does not exist",
            metadata={"nbgrader": {**GRADED, "grade_id": "files", "points": 2}},
        ),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"educloud": {"lab": LAB}}), path)
    return path


def test_a_real_machine_is_checked_by_its_owner_and_by_an_instructor(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    ann = bench.lab(tmp_path / "work", env={"JUPYTERHUB_USER": "ann"})
    ann.wait_broker()
    start(ann, LAB, profile="tiny-web")
    lease_id = ann.wait_phase(LAB, "ready")["id"]
    records = Records(bench)
    records.run(
        lease_id,
        "mkdir -p /data/site; echo 'hello from ann' > /data/site/index.html; chown -R student: /data/site\n"
        "install -o student -m 600 /dev/null /home/student/private\n"
        "cd /data/site; setsid python3 -m http.server 80 >/dev/null 2>&1 </dev/null &\n"
        "setsid python3 -m http.server 9000 --bind 127.0.0.1 >/dev/null 2>&1 </dev/null &\n",
        root=True,
    )

    by = come_out(ann, lease_id, HOLDS, "passed")
    netns = json.loads(bench.educloud("cloud", "env", "--json").stdout)["network"] == "netns"
    assert by["port 80 answers"]["judged_from"] == ("the gateway" if netns else "the machine")
    assert by["port 8080 does not answer"]["judged_from"] == "the machine"
    wrong = come_out(ann, lease_id, FAILS, "failed")
    assert all(item["next_step"] for item in wrong.values())
    assert "127.0.0.1 only" in wrong["port 9000 answers"]["seen"]
    come_out(ann, lease_id, ["package curl is installed"], "unknown")  # tiny keeps no record of its packages

    # The instructor has a server of their own; the notebook is theirs, and the student's kernel is never asked.
    ida = bench.lab(tmp_path / "work", env={"JUPYTERHUB_USER": "ida"})
    ida.wait_broker()
    assert checked(ida, lease_id, ["the machine is ready"])[0]["state"] == "passed"
    bench.env |= {"EDUCLOUD_URL": ida.url, "EDUCLOUD_TOKEN": ida.token}
    notebook, table = a_notebook(tmp_path / "lab.ipynb"), tmp_path / "points.csv"

    def points() -> dict[str, str]:
        bench.educloud("check", str(notebook), "--all", f"--csv={table}")
        with table.open(newline="") as file:
            return {row["cell"]: row["points"] for row in csv.DictReader(file) if row["person"] == "ann"}

    assert points() == {"web": "4.0", "files": "2.0"}
    # A planted mistake costs what it should, whatever a notebook of the student's says.
    records.run(lease_id, "echo bye > /data/site/index.html; touch /data/planted")
    assert points() == {"web": "0.0", "files": "1.0"}

    # Asleep is not judged, and nobody loses points for it.
    ann.call("POST", f"leases/{lease_id}/stop")
    ann.wait_phase(LAB, "asleep")
    asleep = checked(ida, lease_id, ["the machine is asleep", "port 80 answers", "port 80 does not answer"])
    assert [item["state"] for item in asleep] == ["passed", "unknown", "unknown"]
    _, page = ida.call("GET", f"leases/{lease_id}/audit")
    assert {entry["who"] for entry in page["entries"] if entry["what"] == "machine.checked"} == {"ida"}
