"""The same diagnosis as text to paste to an administrator: ids, states, ages, times in UTC, versions; no secrets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from educloud_lab.broker.diagnosis.catalogue import CATALOGUE, COMPONENT_NAMES
from educloud_lab.broker.diagnosis.console import plain
from educloud_lab.broker.diagnosis.facts import Facts, ago, standing
from educloud_lab.broker.diagnosis.redact import redact
from educloud_lab.domain.finding import Finding

TAIL_LINES: Final = 12
_WIDTH: Final = 200


def tail(console: str | None) -> str:
    """Return the last lines of a console without control characters and secrets."""
    if not console:
        return ""
    return "\n".join(line[:_WIDTH] for line in plain(redact(console))[-TAIL_LINES:])


def text_of(facts: Facts, findings: Sequence[Finding], *, version: str) -> str:
    """Return the report. It names nobody: the lease's owner is in its tags, which an administrator can see."""
    lease, volume = facts.lease, facts.volume
    lines = [
        f"educloud-lab {version}: why does this machine hang? {_when(facts.now)}",
        f"cloud       {facts.cloud_name}",
        f"lease       {lease.id}, generation {lease.generation}, wanted {lease.target}, is {lease.status}",
        (
            f"profile     {lease.profile.name} revision {lease.profile.revision}: image {lease.profile.image},"
            f" type {lease.profile.instance_type}"
        ),
        f"zone        {lease.zone or 'not chosen yet'}",
    ]
    if lease.instance_id is not None or lease.client_token:
        lines.append(f"instance    {lease.instance_id or 'no id known'}, client token {lease.client_token[:16]}...")
    if lease.launched_at is not None:
        lines.append(
            f"launched    {_when(lease.launched_at)} ({ago((facts.now - lease.launched_at).total_seconds())} ago)"
        )
    if lease.image_id:
        lines.append(f"image       {lease.image_id}")
    if volume is not None:
        lines.append(f"volume      {volume.cloud_id or 'not made yet'}, {volume.stage}, zone {volume.zone or '-'}")
    lines += ["", "What is seen"]
    lines += [f"  {item.what}: {item.seen}" + (f" ({item.means})" if item.means else "") for item in standing(facts)]
    if facts.problem is not None:
        lines.append(f"  last error: {facts.problem.code} at {_when(facts.problem.at)}: {facts.problem.what}")
    if facts.cloud_problem is not None:
        lines.append(f"  cloud now: {facts.cloud_problem.code}: {facts.cloud_problem.what}")
    if facts.clock_offset_s is not None:
        lines.append(f"  clocks: the cloud's answers are dated {facts.clock_offset_s:+.0f} s from ours")
    lines += [f"  not seen: {each}" for each in facts.unseen]
    lines += ["", "What it most likely is"]
    if not findings:
        lines.append("  Nothing is found: everything takes its usual course.")
    for number, one in enumerate(findings, 1):
        lines += _finding(number, one)
    shown = tail(facts.console)
    if shown:
        lines += ["", "Last lines of the console", *(f"  {line}" for line in shown.split("\n"))]
    return redact_lines("\n".join(lines))


def redact_lines(text: str) -> str:
    """Take secrets out of a report, whose own ids are no secrets."""
    return "\n".join(line if line.startswith(_OWN) else redact(line) for line in text.split("\n"))


_OWN: Final = ("educloud-lab ", "lease  ", "instance  ", "volume  ", "launched  ", "image  ")


def _finding(number: int, one: Finding) -> list[str]:
    entry = CATALOGUE.get(one.code)
    lines = [
        f"  {number}. {one.code} ({one.component}: {COMPONENT_NAMES[one.component]}; {one.sure})",
        f"     {one.what}",
    ]
    lines += [
        f"     - {item.what}: {item.seen}" + (f" ({item.means})" if item.means else "")
        for item in one.evidence
        if item.means or item.what in ("console", "SSH", "clocks")
    ]
    if one.hidden:
        lines.append(f"     not visible to us: {one.hidden}")
    if entry is not None:
        lines.append(f"     for the administrator: {entry.administrator}")
    return lines


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
