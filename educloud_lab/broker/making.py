"""Making a volume in the cloud once, although CreateVolume takes no token (SAFETY.md, E2).

Where the cloud takes tags with the call, a volume is found again by its nonce tag. Where it takes none (Eucalyptus 4.4)
volumes are made one at a time for all brokers on the store: what there is before is written down, the call is made, and
what is new and fits is ours. Candidates that cannot be told apart are set aside in the quarantine and never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from educloud_lab.broker.intents import new_id
from educloud_lab.broker.run import Run
from educloud_lab.broker.tags import GONE, find_by_nonce
from educloud_lab.domain.errors import CloudTakesNoTagsError, StaleClaimError
from educloud_lab.domain.job import ShelfKind
from educloud_lab.ports.cloud import CloudView, VolumeSeen
from educloud_lab.ports.records import ShelfRecord
from educloud_lab.ports.store import Transaction

GIB: Final = 1024**3
_LOCK: Final = "volume-being-made"
_DECIDING: Final = f"{_LOCK}-deciding"
_WAITS: Final = "Another data volume is being made: this cloud can tell them apart only one at a time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What is to be made, and how its records are written.

    Parameters
    ----------
    nonce : the tag's text, and what the volume is known by until it has an id.
    sent : whether a call for this nonce may have reached the cloud before.
    set_aside : ids of the cloud that are not to be taken, whatever tags they carry.
    intend : writes down that the call is about to be made.
    made : writes down the id, and twins that carry the same tag.
    """

    nonce: str
    size_bytes: int
    zone: str
    tags: Mapping[str, str]
    snapshot_id: str
    sent: bool
    set_aside: tuple[str, ...]
    intend: Callable[[Transaction], None]
    made: Callable[[Transaction, str, list[VolumeSeen]], None]


async def find_or_create(run: Run, view: CloudView, making: Making) -> None:
    """Make one step: take what is there, or wait for what may come, or make it."""
    parts, config = run.parts, run.parts.config
    found, apart = find_by_nonce(view, parts.deployment, making.nonce, making.set_aside), False
    if not found and making.sent:
        candidates = await _untagged(run, view, making)
        if candidates is None:
            await run.say(_WAITS)
            return
        found, apart = candidates, True
    if found:
        await _record(run, "volume adopted", making, found[0].volume_id, found[1:], apart=apart)
        return
    if making.sent and not parts.sight.confirmed_absent(
        making.nonce, looks=config.absences, over_s=config.create_absence_s
    ):
        await run.say("The cloud did not answer when the volume was created; looking whether it did it")
        return
    parts.sight.seen(making.nonce)
    await run.commit("volume intent", making.intend)
    run.check()
    try:
        seen = await run.outside("create-volume", lambda: _create(run, making, untagged=False))
    except CloudTakesNoTagsError:
        await _create_apart(run, making)
        return
    await _record(run, "volume created", making, seen.volume_id, [])


async def _create(run: Run, making: Making, *, untagged: bool) -> VolumeSeen:
    return await run.parts.cloud.create_volume(
        size_gib=-(-making.size_bytes // GIB),
        zone=making.zone,
        tags=making.tags,
        snapshot_id=making.snapshot_id,
        untagged=untagged,
    )


async def _record(
    run: Run, label: str, making: Making, volume_id: str, twins: list[VolumeSeen], *, apart: bool = False
) -> None:
    def record(tx: Transaction) -> None:
        if apart:
            tx.set_meta(_DECIDING, run.job.id)
        if apart and tx.meta(_LOCK) != run.job.id:
            # This process stood still for longer than its claim: another job may have taken this volume for its own.
            raise StaleClaimError("Somebody else makes a volume now.")
        making.made(tx, volume_id, twins)
        for twin in twins:
            quarantine(tx, run, twin, "duplicate")
        let_others(tx, run.job.id)

    await run.commit(label, record)


def quarantine(tx: Transaction, run: Run, seen: VolumeSeen, reason: str) -> None:
    """Write a volume of the cloud into the quarantine, once."""
    if any(item.cloud_id == seen.volume_id for item in tx.shelf()):
        return
    lease = run.lease
    tx.put_shelved(
        ShelfRecord(
            id=new_id(),
            kind=ShelfKind.QUARANTINE,
            cloud_id=seen.volume_id,
            course=lease.course,
            lab=lease.lab,
            lease_id=lease.id,
            person=lease.person,
            size_bytes=seen.size_bytes,
            zone=seen.zone,
            created_at=seen.created_at,
            shelved_at=tx.now(),
            reason=reason,
        )
    )


# A cloud that takes no tags with the call


def _before_key(making: Making) -> str:
    return f"before:{making.nonce}"


def _is_another_ones(tx: Transaction, job_id: str) -> bool:
    holder = tx.meta(_LOCK)
    other = tx.job(holder) if holder and holder != job_id else None
    return other is not None and other.ended_at is None and (other.claimed_until or tx.now()) > tx.now()


def _lock(tx: Transaction, job_id: str) -> bool:
    if _is_another_ones(tx, job_id):
        return False
    tx.set_meta(_DECIDING, job_id)  # holds the row: on PostgreSQL two brokers decide one after the other
    if _is_another_ones(tx, job_id):
        return False
    # One that nobody works on holds up nobody: whoever takes it up looks under the lock for what it made.
    tx.set_meta(_LOCK, job_id)
    return True


def let_others(tx: Transaction, job_id: str) -> None:
    """Let others make a volume: a job has recorded its own, or an attempt at it is over.

    What that attempt may have made without an answer is looked for under the lock again (:func:`_untagged`).
    """
    if tx.meta(_LOCK) == job_id:
        tx.set_meta(_LOCK, "")


async def _create_apart(run: Run, making: Making) -> None:
    """Make it while nobody else makes one, having written down what there was before; its tag follows."""
    while not await run.commit("volume lock", lambda tx: _lock(tx, run.job.id)):
        await run.say(_WAITS)
        await run.after(run.parts.config.busy_poll_s)
    before = " ".join(sorted((await run.look()).volumes))
    await run.commit("volumes before", lambda tx: tx.set_meta(_before_key(making), before or "-"))
    seen = await run.outside("create-volume", lambda: _create(run, making, untagged=True))
    await _record(run, "volume created", making, seen.volume_id, [], apart=True)


async def _untagged(run: Run, view: CloudView, making: Making) -> list[VolumeSeen] | None:
    """Return the one volume that a lost call for this nonce made; set several that it may be aside.

    None while somebody else makes one: what is new and has no record may be what the cloud is just telling them of.
    """
    if not await run.parts.store.transact(lambda tx: tx.meta(_before_key(making))):
        return []
    if not await run.commit("volume lock", lambda tx: _lock(tx, run.job.id)):
        return None

    def read(tx: Transaction) -> tuple[set[str], set[str]]:
        before = tx.meta(_before_key(making)) or ""
        known = {item.cloud_id for item in tx.shelf()}
        for volume in tx.volumes():
            known |= {volume.cloud_id or "", *volume.quarantined}
        return set(before.split()), known

    before, known = await run.parts.store.transact(read)
    found = [
        seen
        for seen in view.volumes.values()
        if seen.volume_id not in before | known
        and not seen.tags
        and not seen.attachments
        and seen.state not in GONE
        and (seen.size_bytes, seen.zone, seen.snapshot_id) == (making.size_bytes, making.zone, making.snapshot_id)
    ]
    if len(found) <= 1:
        return found

    def set_aside(tx: Transaction) -> None:
        for seen in found:
            quarantine(tx, run, seen, "untagged")

    await run.commit("untagged set aside", set_aside)
    return []
