"""What a job calls, kept for "What just happened": folded where it repeats, and written with the job's own commits.

No call and no transaction is added for it: what was heard since the last commit of the job goes into the next one. A
process that dies loses what its last step called, never anything that the broker works with.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from educloud_lab.broker.telling import answer_of, error_of, is_look, parameters_of
from educloud_lab.domain.job import VOLUME_KINDS
from educloud_lab.ports.calls import CallOutcome, CallSeen, Recorder
from educloud_lab.ports.records import CallRecord, JobRecord, LeaseRecord, VolumeRecord
from educloud_lab.ports.store import Transaction

_log = logging.getLogger(__name__)

MOST_CALLS: Final = 60
"""Entries of one job; a look or a refusal that repeats is one entry."""

_MOST_ALIKE: Final = 4  # entries of one look whose answer changes: what comes then replaces the last
_SAME_LOOK: Final = 16  # steps that wait for one look hear of it each: it is told once
_ID_PARAMETERS: Final = ("InstanceId", "VolumeId", "SnapshotId", "ResourceId", "ImageId", "GroupName", "SecurityGroup")


Written = dict[int, int]
"""What a transaction has written: by number, how often the row had changed by then."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an attempt begins with: the calls of former attempts, and ids of the lease's snapshots and shelf."""

    calls: Sequence[CallRecord] = ()
    things: frozenset[str] = frozenset()


class Recording:
    """Hears the calls of one attempt at a job, in any thread.

    Parameters
    ----------
    job : the job.
    known : ids and names of what is the lease's own, asked at each call.
    told : what is known from before this attempt.
    """

    def __init__(self, job: JobRecord, known: Callable[[], Iterable[str]], told: Told) -> None:
        self._job = job
        self._known = known
        self._met: set[str] = set(told.things)  # and, as they come, ids in the job's own calls
        self._rows: list[CallRecord] = list(told.calls)
        self._changes: dict[int, int] = {}  # by number: how often a row changed that is not written yet
        self._told: deque[CallSeen] = deque(maxlen=_SAME_LOOK)
        self._lock = threading.Lock()

    def of(self, step: str) -> Recorder:
        """Return what hears the calls of a step; '' is before the first."""
        return partial(self._hear, step)

    def _hear(self, step: str, call: CallSeen) -> None:
        with self._lock:
            if any(call is other for other in self._told):
                return
            self._told.append(call)
            try:
                self._add(self._record(step, call))
            except Exception:  # noqa: BLE001 - whatever a cloud answered: its account must not break the call itself
                _log.exception("a call of %s could not be told of", call.operation)

    def _record(self, step: str, call: CallSeen) -> CallRecord:
        parameters = parameters_of(call)
        self._meet(parameters)
        answer = answer_of(call, {*self._known(), *self._met} - {""}) if call.outcome is CallOutcome.OK else {}
        if not is_look(call.operation):
            self._meet(answer)
        return CallRecord(
            job_id=self._job.id,
            number=len(self._rows),
            lease_id=self._job.lease_id,
            at=call.at,
            last_at=call.at,
            step=step,
            operation=call.operation,
            parameters=parameters,
            duration_ms=call.duration_ms,
            outcome=call.outcome,
            answer=answer,
            error_code=call.error_code[:160],
            error=error_of(call),
            request_id=call.request_id,
        )

    def _meet(self, told: dict[str, str]) -> None:
        for path, value in told.items():
            names = path.split(".")
            asked_for = names[0] == "Filter" and "Value" in names
            if asked_for or names[0] in _ID_PARAMETERS or names[-1] in _ID_PARAMETERS:
                self._met.add(value)

    def _add(self, new: CallRecord) -> None:
        alike = [row for row in self._rows if _is_alike(row, new)] if _may_fold(new) else []
        if alike and (alike[-1].answer == new.answer or len(alike) >= _MOST_ALIKE):
            old = alike[-1]
            self._set(replace(new, number=old.number, at=old.at, times=old.times + 1, left_out=old.left_out))
        elif len(self._rows) < MOST_CALLS:
            self._rows.append(new)
            self._set(new)
        else:
            self._set(replace(self._rows[-1], left_out=self._rows[-1].left_out + 1))

    def _set(self, row: CallRecord) -> None:
        self._rows[row.number] = row
        self._changes[row.number] = self._changes.get(row.number, 0) + 1

    def write(self, tx: Transaction) -> Written:
        """Put what is not written yet into a transaction of the job's; give the result to :meth:`written` after it."""
        with self._lock:
            changes = dict(self._changes)
            rows = [self._rows[number] for number in sorted(changes)]
        tx.put_calls(rows)
        return changes

    def written(self, changes: Written) -> None:
        """Take down that these are committed; what changed meanwhile is written again."""
        with self._lock:
            for number, count in changes.items():
                if self._changes.get(number) == count:
                    del self._changes[number]


def _may_fold(row: CallRecord) -> bool:
    return is_look(row.operation) or row.outcome is CallOutcome.REFUSED


def _is_alike(row: CallRecord, other: CallRecord) -> bool:
    return (row.step, row.operation, row.parameters, row.outcome, row.error_code) == (
        other.step,
        other.operation,
        other.parameters,
        other.outcome,
        other.error_code,
    )


def things_of(lease: LeaseRecord, volume: VolumeRecord | None) -> set[str]:
    """Return ids and names of what a lease's records hold."""
    things = {lease.instance_id or "", lease.image_id, lease.profile.image}
    if volume is not None:
        things |= {volume.cloud_id or "", *volume.quarantined}
    return things - {""}


def read_told(tx: Transaction, job: JobRecord) -> Told:
    """Read what an attempt at a job begins with; nothing is read for the first one of a start or stop."""
    calls = tx.calls(job.id) if job.attempts > 1 else ()
    if job.kind not in VOLUME_KINDS:
        return Told(calls)
    kept = {item.cloud_id for item in tx.shelf(lease_id=job.lease_id)}
    snapshots = {item.cloud_id for item in tx.snapshots(lease_id=job.lease_id) if item.cloud_id}
    return Told(calls, frozenset(kept | snapshots))
