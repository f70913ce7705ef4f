"""Rules about an instance's life as the cloud shows it: pending, ended, silent."""

from __future__ import annotations

import re
from typing import Final

from educloud_lab.broker.diagnosis.catalogue import CATALOGUE
from educloud_lab.broker.diagnosis.entries import finding
from educloud_lab.broker.diagnosis.facts import Facts, ago
from educloud_lab.domain.finding import Evidence, Finding
from educloud_lab.domain.job import JobKind
from educloud_lab.domain.lease import Status
from educloud_lab.ports.cloud import InstanceState, VolumeState

_OVER: Final = (InstanceState.TERMINATED, InstanceState.STOPPED, InstanceState.SHUTTING_DOWN, InstanceState.STOPPING)
_BY_ITSELF = "by itself"  # of a start that met the end of its machine
_LIMITS = ("time-limit", "idle", "idle-limit", "first-connection", "first-connection-limit", "hard")


def root_disk(facts: Facts) -> Finding | None:
    """The system disk of an EBS-backed machine."""
    disk = facts.root_disk
    if disk is None or not facts.is_start or facts.state is InstanceState.RUNNING:
        return None
    seen = Evidence("system disk", f"{disk.volume_id} {disk.state}")
    if disk.state in (VolumeState.FAILED, VolumeState.ERROR):
        return finding(CATALOGUE["root-volume-failed"], facts, "certain", seen)
    if disk.state is VolumeState.CREATING and facts.too_long("instance"):
        return finding(CATALOGUE["root-volume-creating"], facts, "likely", seen)
    return None


def ended(facts: Facts) -> Finding | None:
    """The machine ended while somebody wanted it, and the cloud's reason says how."""
    died = facts.problem_code == "machine-died"
    while_starting = facts.is_start and facts.problem_code == "cloud-state" and _BY_ITSELF in facts.problem_text
    wanted = facts.in_flight and facts.is_start
    if not (died or while_starting or wanted):
        return None
    over = facts.instance is not None and facts.state in _OVER
    reason = facts.instance.reason if facts.instance is not None and over else ""
    said = re.search(r"\b(?:FAILED|EXPIRED|USER_TERMINATED|USER_STOPPED)\b", facts.problem_text)
    text = reason if not reason.startswith(("NORMAL", "USER_STARTED")) else ""
    if not text and said is not None and (died or while_starting):
        text = facts.problem_text[said.start() :]
    seen = Evidence("reason", text or reason or "the cloud gives none")
    if re.search(r"architecture|ELF machine|Exec format", text, re.I):
        return finding(CATALOGUE["wrong-architecture"], facts, "certain", seen)
    if text.startswith("FAILED"):
        return finding(CATALOGUE["failed-on-node"], facts, "certain", seen)
    if text.startswith("EXPIRED"):
        return finding(CATALOGUE["not-reported"], facts, "certain", seen)
    if text.startswith("USER_") and (died or while_starting):
        return finding(CATALOGUE["ended-by-user"], facts, "certain", seen)
    if died and "no longer lists" in facts.problem_text:
        return finding(CATALOGUE["instance-vanished"], facts, "likely", Evidence("our record", facts.problem_text))
    if died or (while_starting and over):
        return finding(CATALOGUE["powered-off"], facts, "likely", seen)
    return None


def pending(facts: Facts) -> Finding | None:
    """Accepted and not running."""
    if not facts.is_start or not facts.too_long("instance") or facts.state is not InstanceState.PENDING:
        return None
    assert facts.instance is not None
    age = Evidence("age", f"pending for {ago(facts.launched_s or facts.waited_s('instance'))}")
    if facts.instance.address is None:
        shown = Evidence("address", "none (the cloud shows 0.0.0.0)", "the network was not reported for this machine")
        return finding(CATALOGUE["pending-no-address"], facts, "likely", age, shown)
    shown = Evidence("address", facts.instance.address, "the network is done; image or boot are not")
    return finding(CATALOGUE["pending-with-address"], facts, "likely", age, shown)


def unlisted(facts: Facts) -> Finding | None:
    """Asked for and not in the list."""
    asked = facts.lease.token_sent or facts.lease.instance_id is not None
    waits = facts.in_flight and facts.is_start and facts.hangs_at("instance") and facts.too_long("instance")
    if facts.seen and facts.instance is None and asked and waits:
        return finding(CATALOGUE["not-listed-yet"], facts, "likely")
    return None


def no_address(facts: Facts) -> Finding | None:
    """Running without an address."""
    if facts.state is not InstanceState.RUNNING or facts.instance is None or facts.instance.address is not None:
        return None
    if facts.is_start and facts.too_long("address"):
        age = Evidence("age", f"running without address for {ago(facts.waited_s('address'))}")
        return finding(CATALOGUE["running-no-address"], facts, "certain", age)
    return None


def silent_node(facts: Facts) -> Finding | None:
    """The node does not report."""
    if facts.health is None or facts.health.system != "impaired" or facts.state is not InstanceState.RUNNING:
        return None
    return finding(
        CATALOGUE["node-silent"],
        facts,
        "certain",
        Evidence("system status", "impaired", "the node has not reported for five minutes or more"),
    )


def limit(facts: Facts) -> Finding | None:
    """A rest that is nobody's fault."""
    if facts.lease.status in (Status.STOPPED, Status.NEW) and facts.lease.reason in _LIMITS:
        return finding(CATALOGUE["time-limit"], facts, "certain", Evidence("our record", facts.lease.reason))
    return None


def stopping(facts: Facts) -> Finding | None:
    """A stop that does not end."""
    if facts.job is None or facts.job.kind not in (JobKind.STOP, JobKind.DELETE) or not facts.too_long("instance"):
        return None
    if facts.state in (InstanceState.STOPPING, InstanceState.SHUTTING_DOWN, InstanceState.RUNNING):
        return finding(CATALOGUE["stop-sticks"], facts, "likely")
    return None
