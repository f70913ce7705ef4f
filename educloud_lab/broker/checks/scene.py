"""What a list of checks looks at: our records, the cloud and the machine, each once and only when needed."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from educloud_lab.broker import grants
from educloud_lab.broker.parts import Parts
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.broker.sessions import is_running
from educloud_lab.broker.tags import find_instance
from educloud_lab.domain import naming
from educloud_lab.domain.errors import CloudBusyError, CloudUnreachableError, CommandFailedError, ConflictError
from educloud_lab.domain.lease import PHASES, Phase
from educloud_lab.ports.cloud import CloudView, GroupSeen, ImageSeen, InstanceSeen, SnapshotSeen, VolumeSeen
from educloud_lab.ports.records import LeaseRecord, SnapshotRecord, VolumeRecord
from educloud_lab.ports.shell import Connection, Knocked
from educloud_lab.ports.store import Transaction

T = TypeVar("T")
CONNECT_S: Final = 10.0
_LOOKS: Final = 2  # a look that is throttled or cut off says little: it is asked again
_PAUSE_S: Final = 1.0
_AT_ONCE: Final = 4  # scripts on one machine; sshd's MaxSessions is 10 by default, and terminals need some
_COURSE_OF_ONE: Final = "local"  # on a laptop the cloud's account is the person's own
_NOT_RUNNING: Final = {
    Phase.OFF: "There is no machine now.",
    Phase.ASLEEP: "The machine is asleep.",
    Phase.STARTING: "The machine is still starting.",
    Phase.STOPPING: "The machine is going to sleep.",
    Phase.DELETING: "The machine is being deleted.",
    Phase.TROUBLE: "The machine is in trouble.",
}


@dataclass(frozen=True, slots=True)
class Records:
    """Our records, read in one transaction."""

    lease: LeaseRecord
    volume: VolumeRecord | None
    snapshots: tuple[SnapshotRecord, ...]
    others: tuple[LeaseRecord, ...]  # all leases of the same person
    now: datetime


def read_records(tx: Transaction, lease: LeaseRecord) -> Records:
    """Read what checks need of our records."""
    return Records(
        lease=lease,
        volume=tx.volume_of(lease.id),
        snapshots=tuple(tx.snapshots(lease_id=lease.id)),
        others=tuple(tx.leases(course=lease.course, person=lease.person)),
        now=tx.now(),
    )


class Scene:
    """Everything that evaluators may look at. Each look is made once, when it is first asked for.

    Parameters
    ----------
    parts : the broker's ports.
    records : our records.
    """

    def __init__(self, parts: Parts, records: Records) -> None:
        self._parts = parts
        self.records = records
        self.lease = records.lease
        self._looks: dict[str, asyncio.Task[Any]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    @property
    def phase(self) -> Phase:
        """The lease's phase."""
        return PHASES[self.lease.target, self.lease.status]

    async def _once(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        task = self._looks.get(name)
        if task is None:
            task = self._looks[name] = asyncio.ensure_future(work())
        # Shielded: one evaluator that is given up must not take the look away from the others.
        result: T = await asyncio.shield(task)
        return result

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        for number in range(_LOOKS):
            try:
                return await work()
            except (CloudUnreachableError, CloudBusyError):
                if number == _LOOKS - 1:
                    raise
                await self._parts.clock.sleep(_PAUSE_S)
        raise AssertionError  # the last look returns or raises

    # The cloud.

    async def view(self) -> CloudView:
        """Return instances and volumes as the cloud shows them now."""
        return await self._once("view", lambda: self._patiently(self._parts.sight.look))

    async def second_view(self) -> CloudView:
        """Return a later look, for what is said not to be there: one that lags must not decide."""
        await self.view()
        return await self._once("second view", lambda: self._patiently(self._parts.sight.look))

    async def snapshots(self) -> Mapping[str, SnapshotSeen]:
        """Return the account's snapshots as the cloud shows them now."""
        view = await self._once("snapshots", lambda: self._patiently(self._parts.snapshot_sight.look))
        return view.snapshots

    async def groups(self) -> Sequence[GroupSeen]:
        """Return the account's security groups with their rules."""
        return await self._once("groups", lambda: self._patiently(self._parts.cloud.security_groups))

    async def images(self) -> Sequence[ImageSeen]:
        """Return the images that the account may run."""
        return await self._once("images", lambda: self._patiently(self._parts.cloud.images))

    async def key_pairs(self) -> Sequence[str]:
        """Return the names of the account's key pairs."""
        self.own_account()
        return await self._once("key pairs", lambda: self._patiently(self._parts.cloud.key_pairs))

    async def instance(self, lease: LeaseRecord | None = None) -> InstanceSeen | None:
        """Return the lease's instance (or another lease's of the person); None when the cloud does not show it."""
        return find_instance(await self.view(), self._parts.deployment, lease or self.lease)

    def own_account(self) -> None:
        """Return when the cloud's account is the person's own, so that what is made there by hand is theirs.

        Raises
        ------
        ConflictError
            It belongs to the institution: other people's things are in it, and checks must not tell of them (I6).
        """
        if self._parts.course != _COURSE_OF_ONE:
            raise ConflictError(
                "The cloud's account belongs to the institution, so what was made there by hand is not looked at.",
                next_step="Use checks of your own machine and its volume.",
            )

    def instances_tagged(self, view: CloudView, tag: str) -> list[InstanceSeen]:
        """Return the person's instances that carry a tag, as ``Name=web``."""
        return [seen for seen in view.instances.values() if self._is_theirs(seen.tags) and _carries(seen.tags, tag)]

    def volumes_tagged(self, view: CloudView, tag: str) -> list[VolumeSeen]:
        """Return the person's volumes that carry a tag."""
        return [seen for seen in view.volumes.values() if self._is_theirs(seen.tags) and _carries(seen.tags, tag)]

    def snapshots_tagged(self, seen: Mapping[str, SnapshotSeen], tag: str) -> list[SnapshotSeen]:
        """Return the person's snapshots that carry a tag."""
        return [item for item in seen.values() if self._is_theirs(item.tags) and _carries(item.tags, tag)]

    def images_tagged(self, seen: Sequence[ImageSeen], tag: str) -> list[ImageSeen]:
        """Return the images that carry a tag."""
        return [item for item in seen if _carries(item.tags, tag)]

    def _is_theirs(self, tags: Mapping[str, str]) -> bool:
        """Whether a thing may be told of: of the person's leases, or nobody's in an account of their own (I6)."""
        lease_id = tags.get(naming.TAG_LEASE)
        if lease_id is None:
            return self._parts.course == _COURSE_OF_ONE
        return any(lease.id == lease_id for lease in self.records.others)

    # The machine.

    def running(self) -> None:
        """Return when the machine runs.

        Raises
        ------
        ConflictError
            It does not, so that nothing on it can be looked at; says how it stands.
        """
        if not is_running(self.lease) or self.lease.address is None:
            raise ConflictError(
                f"{_NOT_RUNNING.get(self.phase, 'The machine is not ready.')} So this cannot be looked at.",
                next_step="Start the machine, wait until it is ready, and check again.",
            )

    async def _connection(self) -> Connection:
        grant = await grants.broker_grant(self._parts, self.lease)
        return await self._parts.shell.connect(grant, timeout_s=CONNECT_S)

    async def ask(
        self,
        name: str,
        script: str,
        forms: Mapping[str, str],
        *arguments: str,
        timeout_s: float = 8.0,
    ) -> dict[str, str]:
        """Ask the machine by one of the fixed scripts, as root; every key of its forms comes back.

        Raises
        ------
        ConflictError
            The machine does not run.
        ShellError
            It could not be asked, or its answer has another form.
        """
        self.running()
        connection = await self._once("connection", self._connection)
        async with self._room:
            completed = await connection.run(script, arguments=arguments, timeout_s=timeout_s)
        try:
            return read_answer(name, completed, forms, required=tuple(forms))
        except CommandFailedError as error:
            raise CommandFailedError(
                "The machine gave no answer to this that can be understood.",
                exit_status=error.exit_status,
                output=error.output,
                next_step="Check again; if it stays so, start the machine again.",
            ) from error

    async def knock(self, port: int, *, ask: bytes = b"", timeout_s: float = 15.0) -> Knocked | None:
        """Knock at a port through the gateway; None where the gateway's lines do not lead there."""
        self.running()
        if self._parts.frontend is None or port not in self.lease.profile.ports:
            return None
        grant = await grants.broker_grant(self._parts, self.lease)
        return await self._parts.shell.knock(grant, port, ask=ask, timeout_s=timeout_s)

    async def close(self) -> None:
        """Give up what is under way, and the connection."""
        for task in self._looks.values():
            task.cancel()
        for result in await asyncio.gather(*self._looks.values(), return_exceptions=True):
            if not isinstance(result, BaseException) and hasattr(result, "wait_closed"):
                await result.close()


def decoded(text: str) -> str:
    """Return the text that a script sent in base64."""
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""


def _carries(tags: Mapping[str, str], tag: str) -> bool:
    key, _, value = tag.partition("=")
    return tags.get(key) == value
