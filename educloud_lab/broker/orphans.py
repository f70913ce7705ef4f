"""What the cloud shows held against the records, and the plan that follows from it. Nothing is done here.

The rules are those of :mod:`educloud_lab.domain.orphans`; this module brings them what was seen and what is recorded,
and turns their judgements into rows and steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from educloud_lab.broker.config import BrokerConfig
from educloud_lab.broker.parts import Parts
from educloud_lab.domain import naming
from educloud_lab.domain.job import OrphanState, SnapshotState
from educloud_lab.domain.orphans import Judgement, Kind, Known, LeaseKnown, Standing, Thing, halt_reason, judge
from educloud_lab.ports.cloud import CloudView, InstanceSeen, InstanceState, VolumeState
from educloud_lab.ports.records import LeaseRecord, OrphanRecord, VolumeRecord
from educloud_lab.ports.store import Transaction

_DAY: Final = timedelta(days=1)
_OPEN: Final = (OrphanState.SEEN, OrphanState.REAPING)
_LISTED: Final = (Standing.ORPHAN, Standing.UNPROVEN, Standing.AHEAD)
_EXPLAINED: Final = (Standing.OWNED, Standing.FOREIGN)
_SEEN_AGAIN: Final = timedelta(minutes=10)
_VOLUME_GONE: Final = (VolumeState.DELETED, VolumeState.DELETING)
_SNAPSHOT_GONE: Final = ("deleted", "deleting")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One look at the cloud held against the records."""

    seen_at: datetime
    found: Mapping[str, tuple[Thing, Judgement]]  # without owner, by id
    undecided: frozenset[str]  # a job may be making them
    explained: frozenset[str]  # alive and owned, or not ours
    listed: frozenset[str]  # every id that the cloud shows, dead ones too
    snapshots_seen: bool = False  # they are looked at less often, and one cannot miss what was not looked at
    known: Known
    aside: tuple[tuple[str, str], ...] = ()  # (id in the cloud, lease) of volumes set aside and not yet listed as such


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a look leads to."""

    halted: str = ""  # why nothing new is done, for people
    blind: bool = False  # what was seen cannot be trusted: not even what was decided before goes on
    new: tuple[OrphanRecord, ...] = ()  # to be reported
    reap: tuple[OrphanRecord, ...] = ()  # instances whose end is to be recorded and then asked for
    quarantine: tuple[OrphanRecord, ...] = ()  # volumes
    ended: tuple[OrphanRecord, ...] = ()  # REAPING, and the cloud says that it is over
    gone: tuple[OrphanRecord, ...] = ()  # they vanished, or they have an owner
    seen: tuple[OrphanRecord, ...] = ()  # still there after a while
    aside: tuple[tuple[str, str], ...] = ()  # (id in the cloud, lease) of volumes that a job set aside: to be listed

    def __bool__(self) -> bool:
        rows = (self.new, self.reap, self.quarantine, self.ended, self.gone, self.seen, self.aside)
        return any(rows)


def things(view: CloudView) -> list[Thing]:
    """Return what the cloud shows that is not over."""
    found = [
        Thing(
            kind=Kind.INSTANCE,
            cloud_id=seen.instance_id,
            tags=seen.tags,
            client_token=seen.client_token,
            groups=seen.groups,
        )
        for seen in view.instances.values()
        if seen.state is not InstanceState.TERMINATED
    ]
    found += [
        Thing(kind=Kind.VOLUME, cloud_id=seen.volume_id, tags=seen.tags, size_bytes=seen.size_bytes)
        for seen in view.volumes.values()
        if seen.state not in _VOLUME_GONE
    ]
    found += [
        Thing(kind=Kind.SNAPSHOT, cloud_id=seen.snapshot_id, tags=seen.tags, size_bytes=seen.size_bytes)
        for seen in view.snapshots.values()
        if seen.state not in _SNAPSHOT_GONE
    ]
    return found


def survey(tx: Transaction, parts: Parts, view: CloudView) -> Survey:
    """Hold a view against the records, which are read after it was taken."""
    seen = things(view)
    shelf, volumes = frozenset(item.cloud_id for item in tx.shelf()), tx.volumes()
    known = _known(tx, parts, shelf, volumes, {thing.tags.get(naming.TAG_LEASE, "") for thing in seen})
    judged = {thing.cloud_id: (thing, judge(thing, known)) for thing in seen}
    return Survey(
        seen_at=view.seen_at,
        found={key: both for key, both in judged.items() if both[1].standing in _LISTED},
        undecided=frozenset(key for key, both in judged.items() if both[1].standing is Standing.BUSY),
        explained=frozenset(key for key, both in judged.items() if both[1].standing in _EXPLAINED),
        listed=frozenset((*view.instances, *view.volumes, *view.snapshots)),
        snapshots_seen=bool(view.snapshots),
        known=known,
        aside=tuple(
            (cloud_id, row.lease_id)
            for row in volumes
            for cloud_id in row.quarantined
            if cloud_id in view.volumes and cloud_id not in shelf and tx.shelved(shelf_id(cloud_id)) is None
        ),
    )


def shelf_id(cloud_id: str) -> str:
    """Return the id under which a volume is in quarantine: the same however often and by whom it is put there."""
    return f"q-{cloud_id}"[:32]


def _known(
    tx: Transaction, parts: Parts, shelf: frozenset[str], volumes: Sequence[VolumeRecord], named: Iterable[str]
) -> Known:
    leases = {lease.id: lease for lease in tx.leases(course=parts.course)}
    for lease_id in named:
        # Of another course of the same store.
        other = tx.lease(lease_id) if lease_id and lease_id not in leases else None
        if other is not None:
            leases[other.id] = other
    in_cloud = {row.cloud_id for row in volumes if row.cloud_id is not None}
    aside = {cloud_id for row in volumes for cloud_id in row.quarantined}
    snapshots = [row for row in tx.snapshots() if row.state is not SnapshotState.DELETED]
    return Known(
        deployment=parts.deployment,
        leases={lease.id: _lease_known(tx, lease) for lease in leases.values()},
        volumes=frozenset(in_cloud),
        aside=shelf | aside,
        volume_nonces={f"{row.id}-{row.nonce}": row.cloud_id for row in volumes},
        snapshots=frozenset(row.cloud_id for row in snapshots if row.cloud_id is not None),
        snapshots_being_made=frozenset(row.id for row in snapshots if row.cloud_id is None),
    )


def _lease_known(tx: Transaction, lease: LeaseRecord) -> LeaseKnown:
    return LeaseKnown(
        id=lease.id,
        key=lease.key,
        generation=lease.generation,
        client_token=lease.client_token,
        instance_id=lease.instance_id,
        busy=tx.job_in_flight(lease.id) is not None,
    )


def plan(
    rows: Sequence[OrphanRecord],
    found: Survey,
    now: datetime,
    config: BrokerConfig,
    *,
    sure: Callable[[str], bool],
    absent: Callable[[str], bool],
    only: frozenset[str] | None = None,
) -> Plan:
    """Say what follows from a look.

    Parameters
    ----------
    rows
        What is recorded of orphans.
    now
        The store's time.
    sure
        Whether something was without owner in enough looks.
    absent
        Whether something was not seen in enough looks, none of which was an error.
    only
        A person saw these and said that they go: the cap on how many does not hold them back. None: nobody did.
    """
    grace = timedelta(seconds=config.orphan_grace_s)
    new, waiting, seen = _sightings(rows, found, now, sure)
    ended, gone = _endings(rows, found, absent)
    due = [row for row in waiting if row.state is OrphanState.SEEN and row.first_seen_at + grace <= now]
    due = [row for row in due if row not in new and (only is None or row.cloud_id in only)]
    went = sum(row.acted_at is not None and row.acted_at > now - _DAY for row in rows)
    ahead = [key for key, (_, each) in found.found.items() if each.standing is Standing.AHEAD]
    reasons = [
        halt_reason(
            would_go=would_go,
            recorded=found.known.recorded,
            listed=found.listed,
            ahead=ahead,
            most=config.orphans_halt,
            share=config.orphans_halt_share,
        )
        for would_go in (0, len(waiting) + went)
    ]
    halted = reasons[0] if only is not None else reasons[1]
    instances = [row for row in due if row.kind == Kind.INSTANCE]
    if only is None:
        at_work = sum(row.state is OrphanState.REAPING for row in rows) - len(ended)
        instances = instances[: max(0, config.orphans_at_once - at_work)]
    return Plan(
        halted=halted,
        blind=bool(reasons[0]),
        new=tuple(new),
        reap=() if halted else tuple(instances),
        quarantine=() if halted else tuple(row for row in due if row.kind == Kind.VOLUME),
        ended=tuple(ended),
        gone=tuple(gone),
        seen=tuple(seen),
        aside=found.aside,
    )


def _sightings(
    rows: Sequence[OrphanRecord], found: Survey, now: datetime, sure: Callable[[str], bool]
) -> tuple[list[OrphanRecord], list[OrphanRecord], list[OrphanRecord]]:
    """Return what is reported for the first time, all that would go one day, and what is still there."""
    by_id = {row.cloud_id: row for row in rows}
    new: list[OrphanRecord] = []
    waiting: list[OrphanRecord] = []
    again: list[OrphanRecord] = []
    for cloud_id, (thing, judgement) in found.found.items():
        row = by_id.get(cloud_id)
        if row is None or row.state in (OrphanState.GONE, OrphanState.REAPED):
            if not sure(cloud_id):
                continue
            row = _row(thing, judgement, found, now)
            new.append(row)
        elif row.state in _OPEN and now - row.last_seen_at >= _SEEN_AGAIN:
            again.append(replace(row, last_seen_at=now, reason=judgement.reason))
        if row.state is OrphanState.SEEN and is_reapable(thing, judgement):
            waiting.append(row)
    return new, waiting, again


def _endings(
    rows: Sequence[OrphanRecord], found: Survey, absent: Callable[[str], bool]
) -> tuple[list[OrphanRecord], list[OrphanRecord]]:
    """Return what we ended and is over, and what went by itself or has an owner."""
    ended: list[OrphanRecord] = []
    gone: list[OrphanRecord] = []
    for row in rows:
        if row.state not in _OPEN or row.cloud_id in found.found or row.cloud_id in found.undecided:
            continue
        if row.kind == Kind.SNAPSHOT and not found.snapshots_seen:
            continue
        if row.cloud_id in found.explained:
            gone.append(row)
        elif row.cloud_id in found.listed or absent(row.cloud_id):  # not seen is not gone (I5)
            (ended if row.state is OrphanState.REAPING else gone).append(row)
    return ended, gone


def is_reapable(thing: Thing, judgement: Judgement) -> bool:
    """Say whether it may be ended (an instance) or put into quarantine (a volume). Snapshots are only told of."""
    return judgement.standing is Standing.ORPHAN and thing.kind in (Kind.INSTANCE, Kind.VOLUME)


def _row(thing: Thing, judgement: Judgement, found: Survey, now: datetime) -> OrphanRecord:
    lease = found.known.leases.get(judgement.lease_id or "")
    return OrphanRecord(
        cloud_id=thing.cloud_id,
        kind=thing.kind.value,
        first_seen_at=now,
        last_seen_at=now,
        reason=judgement.reason,
        person=lease.key.person if lease is not None else thing.tags.get(naming.TAG_OWNER, ""),
        lab=lease.key.lab if lease is not None else "",
        size_bytes=thing.size_bytes,
    )


def next_call(row: OrphanRecord, seen: InstanceSeen, now: datetime, config: BrokerConfig) -> str:
    """Return how the end of an instance goes on: ``stop``, ``terminate`` or '' while it is on its way.

    One that can stop is told to shut down first, so that what is written on its volumes reaches them (I4); after the
    time that a stop may take it is ended all the same.
    """
    patience = timedelta(seconds=config.stop_limit_s)
    patient = row.acted_at is not None and now - row.acted_at < patience
    if seen.state in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED):
        return ""
    if seen.root_device_type == "ebs" and patient:
        if seen.state is InstanceState.RUNNING:
            return "stop"
        if seen.state is InstanceState.STOPPING:
            return ""
    return "terminate"
