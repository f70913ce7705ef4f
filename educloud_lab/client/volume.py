"""The data volume of a machine, as a script sees it. Its wishes are seen through: they return when they are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from educloud_lab.client import rules, wishes
from educloud_lab.wire import models as wire

if TYPE_CHECKING:
    from educloud_lab.client.amachine import AsyncMachine
    from educloud_lab.client.machine import Machine

TIMEOUT_S = 300.0
"""How long a wish is waited for, unless said otherwise."""


class Volume:
    """``machine.volume``. With ``timeout_s=0`` its wishes return at once, and go on by themselves.

    Parameters
    ----------
    machine : whose volume.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __repr__(self) -> str:
        return f"<data volume of the lab '{self._machine.lab}'>"

    @property
    def now(self) -> wire.Volume:
        """All that is known of it now."""
        return self._machine.client._do(wishes.volume(self._machine.id))

    @property
    def id(self) -> str | None:
        """The cloud's name of it; None until it is made, at the first Start."""
        return self.now.id

    @property
    def size_bytes(self) -> int:
        """How large it is."""
        return self.now.size_bytes

    @property
    def mount_point(self) -> str:
        """Where the machine shows it."""
        return self.now.mount_point

    @property
    def snapshots(self) -> list[wire.VolumeSnapshot]:
        """Its snapshots."""
        return self._machine.lease.snapshots

    def snapshot(
        self, name: str, *, timeout_s: float = TIMEOUT_S, progress: rules.Progress | None = None
    ) -> wire.VolumeSnapshot:
        """Take a snapshot, and return it once it is complete; the machine may run.

        Raises
        ------
        ConflictError
            There is one of that name, nothing to keep yet, or something else under way.
        """
        return self._machine.client._do(wishes.take_snapshot(self._machine.id, name, timeout_s, progress))

    def restore(self, name: str, *, timeout_s: float = TIMEOUT_S, progress: rules.Progress | None = None) -> None:
        """Make a new volume from a snapshot (its name or id), while nothing runs; the present one goes to the bin."""
        self._machine.client._do(wishes.restore(self._machine.id, name, timeout_s, progress))

    def delete_snapshot(
        self, name: str, *, timeout_s: float = TIMEOUT_S, progress: rules.Progress | None = None
    ) -> None:
        """Delete a snapshot (its name or id), for ever."""
        self._machine.client._do(wishes.delete_snapshot(self._machine.id, name, timeout_s, progress))

    def grow(self, size_gib: int, *, timeout_s: float = TIMEOUT_S, progress: rules.Progress | None = None) -> None:
        """Enlarge it to so many GiB, while nothing runs. It never shrinks."""
        self._machine.client._do(wishes.grow(self._machine.id, size_gib, timeout_s, progress))


class AsyncVolume:
    """The same for an :class:`AsyncMachine`: ``await volume.size_bytes``, ``await volume.snapshot("name")``.

    Parameters
    ----------
    machine : whose volume.
    """

    def __init__(self, machine: AsyncMachine) -> None:
        self._machine = machine

    def __repr__(self) -> str:
        return f"<data volume of the lab '{self._machine.lab}'>"

    @property
    async def now(self) -> wire.Volume:
        """See :attr:`Volume.now`."""
        return await self._machine.client._do(wishes.volume(self._machine.id))

    @property
    async def id(self) -> str | None:
        """See :attr:`Volume.id`."""
        return (await self.now).id

    @property
    async def size_bytes(self) -> int:
        """See :attr:`Volume.size_bytes`."""
        return (await self.now).size_bytes

    @property
    async def mount_point(self) -> str:
        """See :attr:`Volume.mount_point`."""
        return (await self.now).mount_point

    @property
    async def snapshots(self) -> list[wire.VolumeSnapshot]:
        """See :attr:`Volume.snapshots`."""
        return (await self._machine.lease).snapshots

    async def snapshot(
        self, name: str, *, timeout_s: float = TIMEOUT_S, progress: rules.Progress | None = None
    ) -> wire.VolumeSnapshot:
        """See :meth:`Volume.snapshot`."""
        return await self._machine.client._do(wishes.take_snapshot(self._machine.id, name, timeout_s, progress))

    async def restore(self, name: str, *, timeout_s: float = TIMEOUT_S, progress: rules.Progress | None = None) -> None:
        """See :meth:`Volume.restore`."""
        await self._machine.client._do(wishes.restore(self._machine.id, name, timeout_s, progress))

    async def delete_snapshot(
        self, name: str, *, timeout_s: float = TIMEOUT_S, progress: rules.Progress | None = None
    ) -> None:
        """See :meth:`Volume.delete_snapshot`."""
        await self._machine.client._do(wishes.delete_snapshot(self._machine.id, name, timeout_s, progress))

    async def grow(
        self, size_gib: int, *, timeout_s: float = TIMEOUT_S, progress: rules.Progress | None = None
    ) -> None:
        """See :meth:`Volume.grow`."""
        await self._machine.client._do(wishes.grow(self._machine.id, size_gib, timeout_s, progress))
