"""``educloud doctor``: is everything here that a lab needs, and if not, what to do."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from traitlets import Bool, Unicode

from educloud_lab.app.command import StrictCommand
from educloud_lab.app.doctor import cloud, halves, host, network
from educloud_lab.app.doctor.findings import Check, Finding, Surroundings, Verdict, fail

CHECKS: tuple[Check, ...] = (
    host.check_python,
    host.check_home,
    host.check_room,
    host.check_qemu,
    host.check_images,
    host.check_acceleration,
    network.check_network,
    cloud.check_cloud,
    cloud.check_faults,
    cloud.check_gateway,
    halves.check_versions,
    halves.check_websocket,
)
_MARKS = {Verdict.OK: ("ok  ", "32"), Verdict.NOTE: ("note", "33"), Verdict.FAIL: ("FAIL", "31")}


async def examine(where: Surroundings, check: Check) -> Finding:
    """Run one check; its own failure is a finding too, so that one trouble does not hide the others."""
    try:
        return await check(where)
    except Exception as exc:  # noqa: BLE001 - a doctor reports what surprises it and goes on
        name = check.__name__.removeprefix("check_").replace("_", " ").capitalize()
        return fail(name, f"the check itself failed: {type(exc).__name__}: {exc}", "Please report this line.")


class DoctorApp(StrictCommand):
    """Check everything that a lab needs and say what to do."""

    name = "educloud-doctor"
    description = __doc__ or ""
    home = Unicode(help="Where machines, volumes and images are (EDUCLOUD_HOME).").tag(config=True)
    as_json = Bool(False, help="Print the findings as JSON.").tag(config=True)
    aliases = {"home": "DoctorApp.home"}  # noqa: RUF012 - traitlets declares it as an instance attribute
    flags = {  # noqa: RUF012 - likewise
        "json": ({"DoctorApp": {"as_json": True}}, "Print the findings as JSON.")
    }

    def start(self) -> None:
        """Run all checks; the exit status is 1 when one failed."""
        from educloud_lab.localcloud.settings import default_home

        where = Surroundings(Path(self.home).expanduser() if self.home else default_home())
        findings = asyncio.run(self._run(where))
        if self.as_json:
            print(json.dumps([asdict(finding) for finding in findings], indent=1))  # noqa: T201 - the command's output
        self.exit(1 if any(finding.verdict is Verdict.FAIL for finding in findings) else 0)

    async def _run(self, where: Surroundings) -> list[Finding]:
        findings = []
        for check in CHECKS:
            findings.append(await examine(where, check))
            if not self.as_json:
                _print(findings[-1])
        return findings


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.verdict]
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        mark = f"\033[{colour}m{mark}\033[0m"
    print(f"{mark}  {finding.name}: {finding.what}", flush=True)  # noqa: T201 - the command's output
    if finding.todo:
        print(f"      -> {finding.todo}", flush=True)  # noqa: T201 - the command's output
