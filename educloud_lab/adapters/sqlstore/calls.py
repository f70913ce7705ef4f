"""The part of a transaction that keeps what jobs called."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from educloud_lab.adapters.sqlstore import tables as t
from educloud_lab.adapters.sqlstore.rows import from_row, to_row
from educloud_lab.ports.records import CallRecord, JobRecord

_KEYS = ("job_id", "number")
_ALL = 10**9


class SqlCalls:
    """Calls and how they are found again; see :class:`educloud_lab.ports.store.Transaction`."""

    _connection: Connection

    def put_calls(self, calls: Sequence[CallRecord]) -> None:
        """Insert or replace, all by one statement; the version stays."""
        if not calls:
            return
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(t.calls)
        rest = {column.name: statement.excluded[column.name] for column in t.calls.c if column.name not in _KEYS}
        statement = statement.on_conflict_do_update(index_elements=_KEYS, set_=rest)
        self._connection.execute(statement, [to_row(call) for call in calls])

    def calls(self, job_id: str) -> Sequence[CallRecord]:
        """List the calls of a job."""
        query = select(t.calls).where(t.calls.c.job_id == job_id).order_by(t.calls.c.number)
        return [from_row(CallRecord, row) for row in self._connection.execute(query)]

    def jobs_with_calls(self, lease_id: str, *, limit: int) -> Sequence[JobRecord]:
        """List the newest jobs of which calls are kept."""
        c = t.jobs.c
        mine = select(t.calls.c.job_id).where(t.calls.c.lease_id == lease_id)
        query = select(t.jobs).where(c.id.in_(mine)).order_by(c.created_at.desc(), c.id.desc()).limit(limit)
        return [from_row(JobRecord, row) for row in self._connection.execute(query)]

    def drop_old_calls(self, *, keep: int) -> int:
        """Forget the calls of old jobs."""
        c = t.calls.c
        many = select(c.lease_id).group_by(c.lease_id).having(func.count(c.job_id.distinct()) > keep)
        dropped = 0
        for lease_id in list(self._connection.execute(many).scalars()):
            jobs = self.jobs_with_calls(lease_id, limit=_ALL)
            old = [job.id for job in jobs[keep:]]
            self._connection.execute(delete(t.calls).where(c.job_id.in_(old)))
            dropped += len(old)
        return dropped
