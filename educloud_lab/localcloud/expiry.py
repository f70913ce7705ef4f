"""How long instances live by the account's policy (Eucalyptus's ``ec2:KeepAlive``): fixed when they are made.

No API shows the end and none moves it; it stays across stop and start. It lies beside the instances' rows among the
cloud's small facts, so that nothing of it can come into an answer.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import events
from educloud_lab.localcloud.state.tables import Instance, Meta

_KEY = "expires:"


def fix(session: Session, instance_id: str, now: datetime, keep_alive_min: float | None) -> None:
    """Fix the end of an instance that is being made; None: it has none."""
    if keep_alive_min is not None:
        end = now + timedelta(minutes=keep_alive_min)
        session.add(Meta(key=f"{_KEY}{instance_id}", value=end.isoformat()))


def forget(session: Session, instance_id: str) -> None:
    """Forget the end of an instance that is not listed any more."""
    session.execute(delete(Meta).where(Meta.key == f"{_KEY}{instance_id}"))


def enforce(session: Session, now: datetime) -> None:
    """End running instances whose end has come: EBS-backed ones stop, instance-store ones terminate.

    A stopped one that is started again after its end is ended again as soon as it runs.
    """
    rows = session.execute(select(Meta.key, Meta.value).where(Meta.key.startswith(_KEY))).all()
    over = [row.key.removeprefix(_KEY) for row in rows if datetime.fromisoformat(row.value) <= now]
    if not over:
        return
    for row in session.scalars(select(Instance).where(Instance.id.in_(over), Instance.state == "running")):
        row.state = "stopping" if row.root_device_type == "ebs" else "shutting-down"
        row.force_stop, row.request_id = False, ""
        row.reason = "EXPIRED: Instance expired. -- []"
        events.record(session, now, "instance", row.id, "has come to the end that the policy gave it", owner=row.owner)
