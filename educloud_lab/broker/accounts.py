"""What just happened: the accounts of a lease's latest actions, as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from educloud_lab.broker.command_lines import aws_line
from educloud_lab.broker.command_lines_euca import euca_line
from educloud_lab.broker.owning import oversees, own_lease
from educloud_lab.broker.parts import Parts
from educloud_lab.broker.ways import PARTS, way_of
from educloud_lab.domain.job import TITLES
from educloud_lab.ports.records import CallRecord, JobRecord, LeaseRecord
from educloud_lab.ports.store import Transaction
from educloud_lab.wire import calls as wire

MOST_ACCOUNTS: Final = 20


class Accounts:
    """See :class:`educloud_lab.broker.api.AccountsApi`.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def latest(self, person: str, lease_id: str, *, limit: int = 5) -> wire.Accounts:
        """See the protocol."""
        limit = max(1, min(limit, MOST_ACCOUNTS))

        def read(tx: Transaction) -> tuple[LeaseRecord, list[tuple[JobRecord, Sequence[CallRecord]]]]:
            lease = self._lease(tx, person, lease_id)
            return lease, [(job, tx.calls(job.id)) for job in tx.jobs_with_calls(lease.id, limit=limit)]

        lease, rows = await self._parts.store.transact(read)
        local = self._parts.config.cloud_kind == "local"
        return wire.Accounts(
            lease_id=lease.id,
            lab=lease.lab,
            recording=self._parts.config.record_calls,
            components=[
                wire.CloudPart(part=part.code.value, name=part.name, does=part.does, here=part.here if local else "")
                for part in PARTS
            ],
            accounts=[_account(lease, job, calls) for job, calls in rows],
        )

    def _lease(self, tx: Transaction, person: str, lease_id: str) -> LeaseRecord:
        lease = tx.lease(lease_id)
        if lease is not None and lease.course == self._parts.course and oversees(tx, self._parts, person):
            return lease
        return own_lease(tx, self._parts, person, lease_id)


def _account(lease: LeaseRecord, job: JobRecord, calls: Sequence[CallRecord]) -> wire.Account:
    return wire.Account(
        job_id=job.id,
        lease_id=lease.id,
        kind=job.kind.value,
        started_at=job.created_at,
        ended_at=job.ended_at,
        outcome=job.outcome.value if job.outcome is not None else "",
        calls=[_call(lease, job, call) for call in calls],
        left_out=sum(call.left_out for call in calls),
    )


def _call(lease: LeaseRecord, job: JobRecord, call: CallRecord) -> wire.CloudCall:
    root = call.answer.get("Instances.1.RootDeviceType") or lease.root_device_type
    way = way_of(call.operation, call.parameters, root_device_type=root)
    return wire.CloudCall(
        at=call.at,
        last_at=call.last_at,
        times=call.times,
        step=TITLES[job.kind].get(call.step, ""),
        operation=call.operation,
        parameters=dict(call.parameters),
        duration_ms=call.duration_ms,
        outcome=call.outcome.value,
        answer=dict(call.answer),
        error_code=call.error_code,
        error=call.error,
        request_id=call.request_id,
        aws=aws_line(call.operation, call.parameters),
        euca=euca_line(call.operation, call.parameters, call.answer),
        parts=[part.value for part in way.parts] if way is not None else [],
        way=way.said if way is not None else "",
    )
