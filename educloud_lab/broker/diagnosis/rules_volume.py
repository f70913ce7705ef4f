"""Rules about the data volume."""

from __future__ import annotations

import re
from typing import Final

from educloud_lab.broker.diagnosis.catalogue import CATALOGUE
from educloud_lab.broker.diagnosis.entries import Sure, finding
from educloud_lab.broker.diagnosis.facts import Facts, ago
from educloud_lab.domain.finding import Evidence, Finding
from educloud_lab.domain.job import JobKind
from educloud_lab.domain.lease import Status
from educloud_lab.ports.cloud import AttachmentSeen, VolumeState

PHRASES: Final[tuple[tuple[str, str, str], ...]] = (
    ("volume", "could not make or keep the data volume", "volume-failed"),
    ("volume", "no longer lists your data volume", "volume-lost"),
    ("volume", "was deleted in the cloud", "volume-lost"),
    ("volume", "needs a repair that is not safe", "file-system-dirty"),
    ("volume", "refused to mount the data volume", "mount-refused"),
    ("volume-mismatch", "mounted at another place", "mount-refused"),
    ("shell", "does not see the disk", "disk-not-seen"),
    ("cloud-state", "drops it without a word", "attach-dropped"),
    ("cloud-state", "does not let go of the data volume", "detach-sticks"),
)
"""(code of our error, words of its sentence, finding). A test looks for the words in the broker's own source."""
_BY_CODE: Final[dict[str, str]] = {
    "volume-not-blank": "volume-not-blank",
    "volume-unreadable": "volume-unreadable",
    "volume-mismatch": "volume-exchanged",
    "volume-busy": "volume-busy",
}
_ENDS: Final = (JobKind.STOP, JobKind.DELETE)


def told(facts: Facts) -> Finding | None:
    """What the job itself found out."""
    problem = facts.problem
    if problem is None or (facts.lease.status is Status.RUNNING and problem.code != "volume-busy"):
        return None
    said = Evidence("our record", problem.what, problem.kept)
    for code, words, name in PHRASES:
        if problem.code == code and re.search(re.escape(words), problem.what):
            return finding(CATALOGUE[name], facts, "certain" if code.startswith("volume") else "likely", said)
    if problem.code in _BY_CODE:
        return finding(CATALOGUE[_BY_CODE[problem.code]], facts, "certain", said)
    return None


def _mine(facts: Facts) -> AttachmentSeen | None:
    if facts.disk is None:
        return None
    return next((a for a in facts.disk.attachments if a.instance_id == facts.lease.instance_id), None)


def in_the_cloud(facts: Facts) -> Finding | None:
    """States of the volume that explain a start that waits."""
    disk = facts.disk
    if disk is None or not facts.is_start or facts.lease.status is Status.RUNNING:
        return None
    seen = Evidence("data volume", f"{disk.volume_id} {disk.state}")
    if disk.state in (VolumeState.FAILED, VolumeState.ERROR):
        return finding(CATALOGUE["volume-failed"], facts, "certain", seen)
    if disk.state in (VolumeState.DELETED, VolumeState.DELETING):
        return finding(CATALOGUE["volume-lost"], facts, "certain", seen)
    others = [a for a in disk.attachments if a.instance_id != facts.lease.instance_id]
    if others and (facts.hangs_at("volume") or facts.hangs_at("attach")):
        where = Evidence("data volume", f"{disk.volume_id} {others[0].state} at {others[0].instance_id}")
        return finding(CATALOGUE["volume-elsewhere"], facts, "certain", where)
    if facts.instance is not None and disk.zone and facts.instance.zone and disk.zone != facts.instance.zone:
        zones = Evidence("zones", f"machine in {facts.instance.zone}, volume in {disk.zone}")
        return finding(CATALOGUE["other-zone"], facts, "certain", zones)
    if disk.state is VolumeState.CREATING and facts.too_long("volume"):
        return finding(CATALOGUE["volume-creating"], facts, "likely", seen)
    if disk.state is VolumeState.UNAVAILABLE and facts.too_long("volume"):
        return finding(CATALOGUE["volume-unavailable"], facts, "certain", seen)
    return None


def attaching(facts: Facts) -> Finding | None:
    """A wish to attach that does not come about."""
    if not facts.is_start or not facts.too_long("attach") or facts.disk is None:
        return None
    mine = _mine(facts)
    age = Evidence("age", f"asked for {ago(facts.waited_s('attach'))} ago")
    if mine is None and facts.disk.state is VolumeState.AVAILABLE:
        gone = Evidence("data volume", f"{facts.disk.volume_id} available, not attached", "the wish was dropped")
        return finding(CATALOGUE["attach-dropped"], facts, "likely", age, gone)
    if mine is not None and mine.state in ("attaching", "busy"):
        return finding(CATALOGUE["attach-sticks"], facts, "likely", age)
    if mine is not None and mine.state == "detaching":
        return finding(CATALOGUE["detach-sticks"], facts, "likely", age)
    return None


def detaching(facts: Facts) -> Finding | None:
    """A wish to detach that does not come about."""
    if facts.job is None or facts.job.kind not in _ENDS or not facts.too_long("detach"):
        return None
    mine = _mine(facts)
    sure: Sure = "certain" if mine is not None and mine.state == "detaching" else "likely"
    if mine is None:
        return None
    return finding(
        CATALOGUE["detach-sticks"], facts, sure, Evidence("attachment", f"{mine.state} at {mine.instance_id}")
    )
