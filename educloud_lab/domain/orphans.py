"""Whose is what the cloud shows: owned, somebody else's, or without owner; and when nothing may be done about it (I2).

Pure rules. They know no cloud and no store: the broker gives them what it sees (first) and what it has recorded
(second). What is recorded is read after the cloud was looked at, so that everything that a job makes has its record
by then: the intent is committed before each call.

Nothing is concluded from what is *not* seen (I5): an empty, partial or foreign answer shows nothing of ours, and
nothing is what is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from educloud_lab.domain import naming
from educloud_lab.domain.lease import LeaseKey

_GENERATIONS_TRIED: Final = 200  # of each lease, when an instance shows nothing but its token
_GENERATIONS_AHEAD: Final = 20


class Kind(StrEnum):
    """What it is."""

    INSTANCE = "instance"
    VOLUME = "volume"
    SNAPSHOT = "snapshot"


class Standing(StrEnum):
    """What the records say about something in the cloud."""

    FOREIGN = "foreign"  # not of this deployment: neither touched nor listed
    OWNED = "owned"  # a record explains it
    BUSY = "busy"  # a job on its lease is in flight and may be making it: nothing is concluded
    ORPHAN = "orphan"  # certainly ours, and no record explains it
    UNPROVEN = "unproven"  # it looks like ours and nothing proves it: reported, never acted on
    AHEAD = "ahead"  # of a generation that the records do not know yet: they are older than the cloud


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Something that the cloud shows and that is not over."""

    kind: Kind
    cloud_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    client_token: str = ""
    groups: tuple[str, ...] = ()
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseKnown:
    """What matters of a lease here."""

    id: str
    key: LeaseKey
    generation: int
    client_token: str = ""
    instance_id: str | None = None
    busy: bool = False  # a job of it is in flight


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store records, as far as it explains what is in the cloud."""

    deployment: str
    leases: Mapping[str, LeaseKnown] = field(default_factory=dict)
    volumes: frozenset[str] = frozenset()  # ids in the cloud of the machines' data volumes
    aside: frozenset[str] = frozenset()  # likewise in the bin and in quarantine; some may be gone from the cloud
    volume_nonces: Mapping[str, str | None] = field(default_factory=dict)  # nonce -> id in the cloud, None: being made
    snapshots: frozenset[str] = frozenset()
    snapshots_being_made: frozenset[str] = frozenset()  # ids of records whose snapshot has no id in the cloud yet

    @property
    def recorded(self) -> frozenset[str]:
        """Ids of the instances and volumes that should be in the cloud."""
        instances = {lease.instance_id for lease in self.leases.values() if lease.instance_id is not None}
        return frozenset(instances) | self.volumes


@dataclass(frozen=True, slots=True)
class Judgement:
    """What something is, why, and whose lease it names."""

    standing: Standing
    reason: str = ""
    lease_id: str | None = None


COPY: Final = "It carries our tags, but was not started by us."
UNNAMED: Final = "It was started by an educloud, of which it does not say which one."
REPORTED_ONLY: Final = frozenset({COPY, UNNAMED})
"""Why something is told of and never acted on: nothing proves that it is ours."""

_FOREIGN: Final = Judgement(Standing.FOREIGN)
_NO_LEASE: Final = "The records know no such machine."


def judge(thing: Thing, known: Known) -> Judgement:
    """Say what the records make of something in the cloud."""
    deployment = thing.tags.get(naming.TAG_DEPLOYMENT)
    if deployment is not None and deployment != known.deployment:
        return _FOREIGN
    if thing.kind is Kind.INSTANCE:
        return _instance(thing, known, tagged=deployment is not None)
    if deployment is None:
        return _FOREIGN
    lease = known.leases.get(thing.tags.get(naming.TAG_LEASE, ""))
    return (_volume if thing.kind is Kind.VOLUME else _snapshot)(thing, known, lease)


def _instance(thing: Thing, known: Known, *, tagged: bool) -> Judgement:
    token = thing.client_token
    if not tagged and not token.startswith(naming.TOKEN_PREFIX):
        return _FOREIGN
    for lease in known.leases.values():
        if thing.cloud_id == lease.instance_id or (token and token == lease.client_token):
            return Judgement(Standing.OWNED, lease_id=lease.id)
    return _tagged_instance(thing, known) if tagged else _bare_instance(thing, known)


def _tagged_instance(thing: Thing, known: Known) -> Judgement:
    nonce = thing.tags.get(naming.TAG_NONCE, "")
    lease = known.leases.get(thing.tags.get(naming.TAG_LEASE, ""))
    lease_id = lease.id if lease is not None else None
    if lease is not None and nonce and nonce == lease.client_token and lease.instance_id is None:
        return Judgement(Standing.OWNED, lease_id=lease_id)  # a job may adopt it by its tags
    if not nonce or nonce != thing.client_token:
        return Judgement(Standing.UNPROVEN, COPY, lease_id)
    if lease is None:
        return Judgement(Standing.ORPHAN, _NO_LEASE)
    return _earlier(lease, _number(thing.tags.get(naming.TAG_GENERATION, "")))


def _bare_instance(thing: Thing, known: Known) -> Judgement:
    """Judge an instance without tags: clouds like Eucalyptus 4.4 take them only after the creation."""
    for lease in known.leases.values():
        last = lease.generation + _GENERATIONS_AHEAD
        for generation in range(last, max(0, last - _GENERATIONS_TRIED), -1):
            if naming.client_token(known.deployment, lease.key, generation) == thing.client_token:
                return _earlier(lease, generation)
    if any(naming.is_group_of(known.deployment, group) for group in thing.groups):
        return Judgement(Standing.ORPHAN, _NO_LEASE)
    return Judgement(Standing.UNPROVEN, UNNAMED)


def _earlier(lease: LeaseKnown, generation: int) -> Judgement:
    if generation > lease.generation:
        return Judgement(
            Standing.AHEAD,
            f"It is machine {generation} of a lease of which the records know {lease.generation}.",
            lease.id,
        )
    return Judgement(
        Standing.ORPHAN, f"It is machine {generation} of a lease that has machine {lease.generation} now.", lease.id
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _volume(thing: Thing, known: Known, lease: LeaseKnown | None) -> Judgement:
    if thing.cloud_id in known.volumes or thing.cloud_id in known.aside:
        return Judgement(Standing.OWNED)
    nonce = thing.tags.get(naming.TAG_NONCE, "")
    if nonce in known.volume_nonces and known.volume_nonces[nonce] is None:
        return Judgement(Standing.OWNED)  # the job that makes it will find it
    if lease is None:
        return Judgement(Standing.ORPHAN, _NO_LEASE)
    if lease.busy:
        return Judgement(Standing.BUSY, lease_id=lease.id)
    twin = nonce in known.volume_nonces
    reason = "It is a second copy of a machine's data volume." if twin else "Its machine has another data volume."
    return Judgement(Standing.ORPHAN, reason, lease.id)


def _snapshot(thing: Thing, known: Known, lease: LeaseKnown | None) -> Judgement:
    if thing.cloud_id in known.snapshots:
        return Judgement(Standing.OWNED)
    if any(text.startswith(record) for text in thing.tags.values() for record in known.snapshots_being_made):
        return Judgement(Standing.OWNED)
    if lease is not None and lease.busy:
        return Judgement(Standing.BUSY, lease_id=lease.id)
    return Judgement(Standing.ORPHAN, "No record explains it.", lease.id if lease is not None else None)


def halt_reason(
    *, would_go: int, recorded: frozenset[str], listed: frozenset[str], ahead: Sequence[str], most: int, share: float
) -> str:
    """Return why nothing may be done to anything now, '' when it may.

    Parameters
    ----------
    would_go
        How many would go, with those that went in the last day.
    recorded
        Ids that the records say are in the cloud.
    listed
        All ids that the cloud lists.
    ahead
        Ids of things that the records do not know *yet*.
    most, share
        So many may go, or this share of what is recorded where that is more.
    """
    if ahead:
        return (
            f"The cloud has machines that are newer than the records ({', '.join(sorted(ahead)[:3])}):"
            " the store is an old copy. Nothing is ended; bring back the newest backup."
        )
    there = len(recorded & listed)
    if 2 * there < len(recorded):
        return (
            f"The cloud shows only {there} of {len(recorded)} things that are on record:"
            " another account, or a part of the answer. Nothing is ended until it shows them."
        )
    if would_go > max(most, int(share * len(recorded))):
        return (
            f"{would_go} things would go within a day, more than can be right. Nothing is ended by itself;"
            " look at the list, then run educloud orphans --reap."
        )
    return ""
