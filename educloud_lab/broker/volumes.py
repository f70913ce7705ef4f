"""What a person does with their data volume besides using it.

Each wish is checked and written down in one transaction; the job does the rest. Rules that need no transaction to be
told to a person beforehand stand in :func:`reasons`, and the wishes ask the same function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from educloud_lab.broker import snapshot as view
from educloud_lab.broker.auditing import audit
from educloud_lab.broker.intents import new_id
from educloud_lab.broker.making import GIB
from educloud_lab.broker.owning import Role, own_lease, role_of
from educloud_lab.broker.parts import Bell, Parts
from educloud_lab.broker.upkeep import add_volume_job
from educloud_lab.broker.volumes_view import reasons
from educloud_lab.domain import naming
from educloud_lab.domain.errors import BadInputError, ConfirmationError, ConflictError, NotFoundError
from educloud_lab.domain.job import JobKind, ShelfKind, SnapshotState
from educloud_lab.ports.records import LeaseRecord, SnapshotRecord, VolumeRecord
from educloud_lab.ports.store import Transaction
from educloud_lab.wire import models as wire

_NOTHING: Final = "Nothing was changed."
_LIVE: Final = (SnapshotState.PLANNED, SnapshotState.PENDING, SnapshotState.COMPLETED)


class Volumes:
    """See :class:`educloud_lab.broker.api.VolumesApi`.

    Parameters
    ----------
    parts : the broker's ports.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def _changing(
        self, person: str, lease_id: str, change: Callable[[Transaction, LeaseRecord], None]
    ) -> wire.Lease:
        parts = self._parts

        def work(tx: Transaction) -> wire.Lease:
            change(tx, own_lease(tx, parts, person, lease_id))
            lease = tx.lease(lease_id)
            assert lease is not None
            return view.wire_lease(tx, parts, lease)

        shown = await parts.transact(work)
        parts.nudged.setdefault(lease_id, Bell()).ring()
        parts.kick.ring()
        return shown

    async def snapshot(self, person: str, lease_id: str, request: wire.SnapshotRequest) -> wire.Lease:
        """Want a snapshot of the data volume, running or not. The same name again is the same snapshot.

        Raises
        ------
        ConflictError
            There is nothing to keep yet, something is under way, or there is one of that name.
        """
        name = " ".join(request.name.split())
        if not name:
            raise BadInputError("A snapshot needs a name.", kept=_NOTHING)
        if name != naming.tag_value(name):
            # One character that XML does not have would make the cloud's every list unreadable, for everybody.
            raise BadInputError("A snapshot's name has characters that cannot be shown.", kept=_NOTHING)

        def change(tx: Transaction, lease: LeaseRecord) -> None:
            for known in tx.snapshots(lease_id=lease.id):
                if known.name == name and known.state in _LIVE:
                    if known.state is SnapshotState.COMPLETED:
                        raise ConflictError(
                            f"There is a snapshot '{name}' already.", kept=_NOTHING, next_step="Choose another name."
                        )
                    return
            volume = _allowed(tx, lease, wire.Action.SNAPSHOT)
            assert volume.cloud_id is not None
            taken = SnapshotRecord(
                id=new_id(),
                lease_id=lease.id,
                course=lease.course,
                lab=lease.lab,
                person=lease.person,
                name=name,
                volume_cloud_id=volume.cloud_id,
                size_bytes=volume.size_bytes,
                created_at=tx.now(),
                created_by=person,
                file_system_uuid=volume.file_system_uuid,
                formatted_at=volume.formatted_at,
            )
            tx.put_snapshot(taken)
            add_volume_job(tx, lease, JobKind.SNAPSHOT, {"snapshot": taken.id}, who=person)
            audit(tx, who=person, what="volume.snapshot", lease=lease, subject=volume.cloud_id, detail=name)

        return await self._changing(person, lease_id, change)

    async def delete_snapshot(self, person: str, lease_id: str, snapshot_id: str) -> wire.Lease:
        """Want a snapshot deleted, for ever.

        Raises
        ------
        ConflictError
            It is still being taken, it is published, or something is under way.
        """

        def change(tx: Transaction, lease: LeaseRecord) -> None:
            snapshot = _own_snapshot(tx, lease, snapshot_id)
            if snapshot.state in (SnapshotState.PLANNED, SnapshotState.PENDING):
                raise ConflictError(
                    f"The snapshot '{snapshot.name}' is still being taken.", kept=_NOTHING, next_step="Wait for it."
                )
            if snapshot.published:
                raise ConflictError(
                    f"New data volumes of this lab are made from the snapshot '{snapshot.name}'.",
                    kept=_NOTHING,
                    next_step="Take back its publication first.",
                )
            _free(tx, lease)
            add_volume_job(tx, lease, JobKind.EMPTY, {"snapshot": snapshot.id}, who=person)
            audit(
                tx,
                who=person,
                what="snapshot.delete",
                lease=lease,
                subject=snapshot.cloud_id or "",
                detail=snapshot.name,
            )

        return await self._changing(person, lease_id, change)

    async def publish_snapshot(self, person: str, lease_id: str, snapshot_id: str, *, published: bool) -> wire.Lease:
        """Make new data volumes of this lab from a snapshot of the own volume, or no longer. For instructors.

        Raises
        ------
        NotFoundError
            There is no such snapshot, or the person is no instructor of the course.
        """

        def change(tx: Transaction, lease: LeaseRecord) -> None:
            if role_of(tx, self._parts, person) is not Role.INSTRUCTOR:
                raise NotFoundError("There is no such snapshot, or you may not publish it.")
            snapshot = _own_snapshot(tx, lease, snapshot_id)
            if published and snapshot.state is not SnapshotState.COMPLETED:
                raise ConflictError("The snapshot is not complete.", kept=_NOTHING, next_step="Wait until it is.")
            job = tx.job_in_flight(lease.id)
            if published and job is not None and job.kind is JobKind.EMPTY and job.arguments.get("snapshot"):
                raise ConflictError(
                    "A snapshot is being deleted.", kept=_NOTHING, next_step="Wait until that is over, then publish."
                )
            for other in tx.snapshots():
                same = (other.course, other.lab) == (lease.course, lease.lab)
                if published and same and other.published and other.id != snapshot.id:
                    tx.put_snapshot(replace(other, published=False))  # one at a time: what is copied is never in doubt
            tx.put_snapshot(replace(snapshot, published=published))
            what = "snapshot.publish" if published else "snapshot.unpublish"
            audit(tx, who=person, what=what, lease=lease, subject=snapshot.cloud_id or "", detail=snapshot.name)

        return await self._changing(person, lease_id, change)

    async def restore(self, person: str, lease_id: str, snapshot_id: str) -> wire.Lease:
        """Want a new data volume from a snapshot; the present one goes to the bin. Only while nothing runs.

        Raises
        ------
        ConflictError
            The machine is not asleep, the snapshot is not complete, or its volume was never formatted.
        """

        def change(tx: Transaction, lease: LeaseRecord) -> None:
            snapshot = _own_snapshot(tx, lease, snapshot_id)
            _allowed(tx, lease, wire.Action.RESTORE, needs_any=False)
            if snapshot.state is not SnapshotState.COMPLETED:
                raise ConflictError(
                    f"The snapshot '{snapshot.name}' is not complete.", kept=_NOTHING, next_step="Wait until it is."
                )
            if snapshot.formatted_at is None:
                raise ConflictError(
                    f"The snapshot '{snapshot.name}' holds no file system.",
                    kept=_NOTHING,
                    next_step="Restore another one.",
                )
            arguments = {"snapshot": snapshot.id, "shelf": new_id()}
            add_volume_job(tx, lease, JobKind.RESTORE, arguments, who=person)
            audit(
                tx,
                who=person,
                what="volume.restore",
                lease=lease,
                subject=snapshot.cloud_id or "",
                detail=snapshot.name,
            )

        return await self._changing(person, lease_id, change)

    async def grow(self, person: str, lease_id: str, size_gib: int) -> wire.Lease:
        """Want a larger data volume. Only while nothing runs; the next Start extends the file system.

        Raises
        ------
        ConflictError
            The machine is not asleep.
        BadInputError
            It would not be larger.
        """

        def change(tx: Transaction, lease: LeaseRecord) -> None:
            volume = _allowed(tx, lease, wire.Action.GROW, needs_any=False)
            if size_gib * GIB == volume.size_bytes:
                return
            if size_gib * GIB < volume.size_bytes:
                raise BadInputError(
                    f"The data volume has {volume.size_bytes // GIB} GiB already; it never shrinks.", kept=_NOTHING
                )
            add_volume_job(tx, lease, JobKind.GROW, {"size_bytes": str(size_gib * GIB)}, who=person)
            audit(
                tx,
                who=person,
                what="volume.grow",
                lease=lease,
                subject=volume.cloud_id or "",
                detail=f"to {size_gib} GiB",
            )

        return await self._changing(person, lease_id, change)

    async def discard(self, person: str, lease_id: str, *, confirm: str) -> wire.Lease:
        """Want the data volume in the bin (typed confirmation: the lab's name). Only while nothing runs.

        Raises
        ------
        ConfirmationError
            ``confirm`` is not the lab's name.
        ConflictError
            The machine is not asleep, or there is no volume.
        """

        def change(tx: Transaction, lease: LeaseRecord) -> None:
            if confirm.strip() != lease.lab:
                raise ConfirmationError(
                    "The name that was typed is not the lab's name.",
                    kept=_NOTHING,
                    next_step=f"Type '{lease.lab}' to put its data volume into the bin.",
                )
            volume = _allowed(tx, lease, wire.Action.DISCARD)
            assert volume.cloud_id is not None
            add_volume_job(tx, lease, JobKind.DISCARD, {"volume": volume.cloud_id}, who=person)
            audit(tx, who=person, what="volume.discard", lease=lease, subject=volume.cloud_id)

        return await self._changing(person, lease_id, change)

    async def return_from_bin(self, person: str, lease_id: str, shelf_id: str) -> wire.Lease:
        """Want a volume back from the bin; the present one goes there in its place. Only while nothing runs.

        Raises
        ------
        NotFoundError
            It is not in the bin.
        ConflictError
            The machine is not asleep.
        """

        def change(tx: Transaction, lease: LeaseRecord) -> None:
            item = tx.shelved(shelf_id)
            if item is None or item.lease_id != lease.id or item.kind is not ShelfKind.BIN or item.ended_at is not None:
                raise NotFoundError("There is no such volume in your bin.", next_step="It may have been deleted.")
            _allowed(tx, lease, wire.Action.RETURN, needs_any=False)
            add_volume_job(tx, lease, JobKind.RETURN, {"shelf": item.id}, who=person)
            audit(tx, who=person, what="volume.return", lease=lease, subject=item.cloud_id)

        return await self._changing(person, lease_id, change)


def _free(tx: Transaction, lease: LeaseRecord) -> None:
    if tx.job_in_flight(lease.id) is not None:
        raise ConflictError(
            "Something else is being done for this machine.", kept=_NOTHING, next_step="Wait until it is over."
        )


def _allowed(tx: Transaction, lease: LeaseRecord, action: wire.Action, *, needs_any: bool = True) -> VolumeRecord:
    """Return the volume when the action is possible now, as the buttons say it.

    Raises
    ------
    ConflictError
        It is not, and why.
    """
    volume = tx.volume_of(lease.id)
    reason = reasons(tx, lease, volume).get(action, "")
    if reason:
        raise ConflictError(reason, kept=_NOTHING)
    if volume is None or (needs_any and volume.cloud_id is None):
        raise ConflictError("There is no data volume yet.", kept=_NOTHING, next_step="Press Start: it is made then.")
    return volume


def _own_snapshot(tx: Transaction, lease: LeaseRecord, snapshot_id: str) -> SnapshotRecord:
    snapshot = tx.snapshot(snapshot_id)
    if snapshot is None or snapshot.lease_id != lease.id or snapshot.state is SnapshotState.DELETED:
        raise NotFoundError("There is no such snapshot, or it is not yours.")
    return snapshot
