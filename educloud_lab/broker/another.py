"""The one safe retry of a start: a machine that stays pending is ended, seen dead, and only then followed by another.

Never two at a time (I1): the next generation begins in :mod:`machine` after the cloud has shown this one's end. Once
for each press on Start, and recorded before the call. Only a machine that never ran is ended: on the system disk of
any other there may be files.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from educloud_lab.broker.auditing import BROKER, audit
from educloud_lab.broker.run import Run
from educloud_lab.domain.job import HostKeyStage
from educloud_lab.ports.cloud import InstanceSeen, InstanceState
from educloud_lab.ports.store import Transaction

ENDED: Final = "ended-pending"
"""Argument of a start's job: the instance that was ended because it stayed pending."""


def was_ended(run: Run, instance_id: str) -> bool:
    """Whether this start ended the instance itself."""
    return run.job.arguments.get(ENDED) == instance_id


def may_end(run: Run, seen: InstanceSeen) -> bool:
    """Whether a pending machine may be ended for another: it never ran, and this start has not done so before."""
    fresh = run.lease.host_key_stage is HostKeyStage.BOOTSTRAP and seen.state is InstanceState.PENDING
    volume = run.volume if run.has_volume else None
    holds = volume is not None and volume.may_be_mounted
    return fresh and not holds and run.job.arguments.get(ENDED, seen.instance_id) == seen.instance_id


async def end(run: Run, seen: InstanceSeen) -> None:
    """Ask for the end of a pending machine; its intent is recorded first. Repeatable."""
    if not was_ended(run, seen.instance_id):

        def intend(tx: Transaction) -> None:
            job, lease = tx.job(run.job.id), tx.lease(run.lease.id)
            assert job is not None
            assert lease is not None
            tx.put_job(replace(job, arguments={**job.arguments, ENDED: seen.instance_id}))
            audit(
                tx,
                who=BROKER,
                what="machine.replaced",
                lease=lease,
                subject=seen.instance_id,
                detail="it stayed pending and never ran",
            )

        await run.commit("end of the pending machine", intend)
        run.job = replace(run.job, arguments={**run.job.arguments, ENDED: seen.instance_id})
    run.check()
    await run.say("The machine stays pending: it is ended, and another one is made once the cloud shows its end")
    await run.outside("terminate-pending", partial(run.parts.cloud.terminate_instance, seen.instance_id))
