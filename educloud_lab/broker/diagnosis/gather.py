"""Looking at everything about one lease, with few calls; what cannot be seen is left open and named (I5)."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from educloud_lab.broker import grants
from educloud_lab.broker.diagnosis.facts import Facts, Knock
from educloud_lab.broker.parts import Parts
from educloud_lab.broker.tags import find_instance
from educloud_lab.domain import naming
from educloud_lab.domain.errors import (
    CloudAuthError,
    CloudBusyError,
    CloudError,
    CloudUnreachableError,
    ConflictError,
    EducloudError,
    HostKeyError,
    LoginRefusedError,
    MachineUnreachableError,
    ShellError,
)
from educloud_lab.domain.lease import Problem
from educloud_lab.ports.cloud import CloudView, InstanceSeen, InstanceState
from educloud_lab.ports.records import JobRecord, LeaseRecord, StepRecord, VolumeRecord
from educloud_lab.ports.store import Transaction

T = TypeVar("T")
LOOKS: Final = 4  # a look that is throttled or cut off says little: it is asked again
_PAUSE_S: Final = 1.0
_KNOCK_S: Final = 6.0
_UP: Final = (InstanceState.PENDING, InstanceState.RUNNING)


@dataclass(frozen=True, slots=True)
class Rows:
    """Our records of one lease, read in one transaction."""

    lease: LeaseRecord
    volume: VolumeRecord | None
    job: JobRecord | None
    steps: tuple[StepRecord, ...]
    usual_s: Mapping[str, float]
    now: datetime


def read_rows(tx: Transaction, lease: LeaseRecord) -> Rows:
    """Read what is recorded about a lease."""
    job = tx.last_job(lease.id)
    measured = tx.durations(job.scope) if job is not None else {}
    usual_s = {name: statistics.median(values) for name, values in measured.items() if name and values}
    steps = tuple(tx.steps(job.id)) if job is not None else ()
    return Rows(lease, tx.volume_of(lease.id), job, steps, usual_s, tx.now())


async def look(parts: Parts, *, looks: int = LOOKS) -> tuple[CloudView | None, Problem | None]:
    """Look at the cloud, again when a look fails; the problem is the last look's."""
    problem: CloudError | None = None
    for number in range(looks):
        if number:
            await parts.clock.sleep(_PAUSE_S)
        try:
            return await parts.sight.look(), None
        except CloudAuthError as error:
            problem = error
            break
        except CloudError as error:
            problem = error
    assert problem is not None
    return None, as_problem(parts, problem)


def as_problem(parts: Parts, error: EducloudError) -> Problem:
    """Return an error as what went wrong just now."""
    return Problem(error.code, error.what, error.kept, error.next_step, parts.clock.now())


def newest(view: CloudView, parts: Parts, lease: LeaseRecord) -> InstanceSeen | None:
    """Return the lease's instance, or the last one that it had when there is none now."""
    seen = find_instance(view, parts.deployment, lease)
    if seen is not None or lease.instance_id is not None:
        return seen
    ours = [
        item
        for item in view.instances.values()
        if item.tags.get(naming.TAG_DEPLOYMENT) == parts.deployment and item.tags.get(naming.TAG_LEASE) == lease.id
    ]
    return max(ours, key=lambda item: (item.launched_at is not None, item.launched_at), default=None)


class Gatherer:
    """Gathers the facts of one lease.

    Parameters
    ----------
    parts : the broker's ports.
    rows : our records.
    view, problem : the last look at the cloud, or why there is none.
    """

    def __init__(self, parts: Parts, rows: Rows, view: CloudView | None, problem: Problem | None) -> None:
        self._parts, self._rows, self._view, self._problem = parts, rows, view, problem
        self._unseen: list[str] = []

    async def _try(self, what: str, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Return what a look gave; None, and a word about it, when it failed as often as is tried."""
        for number in range(LOOKS):
            try:
                return await ask()
            except (CloudUnreachableError, CloudBusyError) as error:
                if number == LOOKS - 1:
                    self._unseen.append(f"{what}: {error.what}")
                else:
                    await self._parts.clock.sleep(_PAUSE_S)
            except EducloudError as error:
                self._unseen.append(f"{what}: {error.what}")
                return None
        return None

    def passive(self) -> Facts:
        """Return what is known without a further call."""
        rows, view, parts = self._rows, self._view, self._parts
        instance = newest(view, parts, rows.lease) if view is not None else None
        cloud_id = rows.volume.cloud_id if rows.volume is not None else None
        return Facts(
            now=rows.now,
            lease=rows.lease,
            volume=rows.volume,
            job=rows.job,
            steps=rows.steps,
            usual_s=rows.usual_s,
            cloud_name=parts.config.cloud_name,
            local=parts.config.cloud_kind == "local",
            cloud_problem=self._problem,
            seen=view is not None,
            instance=instance,
            disk=view.volumes.get(cloud_id) if view is not None and cloud_id is not None else None,
            root_disk=view.volumes.get(instance.root_volume_id) if view is not None and instance is not None else None,
            clock_offset_s=parts.cloud.clock_offset_s(),
        )

    async def active(self) -> Facts:
        """Return everything that can be looked at: zones, status, console, security group, the machine's door."""
        facts, parts, cloud = self.passive(), self._parts, self._parts.cloud
        if self._view is None:
            return replace(facts, unseen=("everything in the cloud",))
        zones = self._try("zones", cloud.zone_states)
        instance = facts.instance
        if instance is None or instance.state not in _UP:
            return replace(facts, zones=await zones, unseen=tuple(self._unseen))
        running, key = instance.state is InstanceState.RUNNING, instance.instance_id
        seen_zones, health, console, port_open, knocked = await asyncio.gather(
            zones,
            self._try("system status", partial(cloud.instance_health, key)),
            self._try("console", partial(cloud.console_output, key)) if running else _nothing(),
            self._try("security group", partial(cloud.lets_in, key, parts.config.ssh_port)),
            self._knock() if running and instance.address is not None else _nothing(),
        )
        knock, text = knocked if knocked is not None else (None, "")
        return replace(
            facts,
            zones=seen_zones,
            health=health,
            console=console,
            port_open=port_open,
            knock=knock,
            knock_text=text,
            unseen=tuple(self._unseen),
        )

    async def _knock(self) -> tuple[Knock, str] | None:
        """Ask the machine for the proof of its host key; nobody logs in."""
        parts, lease = self._parts, self._rows.lease
        if not grants.host_keys(lease) or lease.address is None:
            return None
        try:
            grant = await grants.broker_grant(parts, lease)
            await parts.shell.check_host_key(grant, timeout_s=_KNOCK_S)
        except HostKeyError as error:
            return Knock.OTHER_KEY, error.what
        except LoginRefusedError as error:
            return Knock.GATEWAY_REFUSES, error.what  # nobody logs in at the machine here
        except MachineUnreachableError as error:
            if error.side == "gateway":
                return Knock.GATEWAY_SILENT, error.what
            return (Knock.REFUSED if error.cause == "refused" else Knock.SILENT), error.what
        except (ShellError, ConflictError) as error:
            self._unseen.append(f"SSH: {error.what}")
            return None
        return Knock.OPEN, "the machine proved its host key"


async def _nothing() -> None:
    return None
