"""One machine for asynchronous programs: the same names as :class:`~educloud_lab.client.machine.Machine`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from educloud_lab.client import requests, rules, work
from educloud_lab.client.volume import AsyncVolume
from educloud_lab.wire import models as wire

if TYPE_CHECKING:
    from educloud_lab.client.aio import AsyncClient
    from educloud_lab.client.arunning import AsyncRunning
    from educloud_lab.client.copying import Copied
    from educloud_lab.wire.run import RunRequest


class AsyncMachine:
    """Your machine for a lab; :meth:`AsyncClient.machine` makes it. What it shows is awaited: ``await machine.state``.

    Parameters
    ----------
    client : what asks the server.
    lease : your claim on the machine.
    """

    def __init__(self, client: AsyncClient, lease: wire.Lease) -> None:
        self.client = client
        self.id = lease.id
        self.lab = lease.lab
        self.slot = lease.slot
        self.volume = AsyncVolume(self)

    def __repr__(self) -> str:
        slot = "" if self.slot == "main" else f" ({self.slot})"
        return f"<AsyncMachine of the lab '{self.lab}'{slot}>"

    @property
    async def lease(self) -> wire.Lease:
        """See :attr:`Machine.lease`."""
        return await self.client.lease(self.id)

    @property
    async def state(self) -> str:
        """See :attr:`Machine.state`."""
        return str((await self.lease).phase)

    @property
    async def headline(self) -> str:
        """See :attr:`Machine.headline`."""
        return (await self.lease).headline

    @property
    async def address(self) -> str | None:
        """See :attr:`Machine.address`."""
        instance = (await self.lease).instance
        return instance.address if instance is not None else None

    @property
    async def instance_id(self) -> str | None:
        """See :attr:`Machine.instance_id`."""
        instance = (await self.lease).instance
        return instance.id if instance is not None else None

    @property
    async def time_left_s(self) -> int | None:
        """See :attr:`Machine.time_left_s`."""
        return await self.client._do(rules.time_left_s(self.id))

    async def start(self) -> Self:
        """See :meth:`Machine.start`."""
        await self.client.start(self.id)
        return self

    async def stop(self) -> Self:
        """See :meth:`Machine.stop`."""
        await self.client.stop(self.id)
        return self

    async def keep(self) -> Self:
        """See :meth:`Machine.keep`."""
        await self.client.extend(self.id)
        return self

    async def delete(self, *, confirm: str) -> Self:
        """See :meth:`Machine.delete`."""
        await self.client.delete(self.id, confirm=confirm)
        return self

    async def wait(
        self, phase: str = "ready", timeout_s: float = 300.0, *, progress: rules.Progress | None = None
    ) -> Self:
        """See :meth:`Machine.wait`."""
        await self.client.wait(self.id, phase=phase, timeout_s=timeout_s, progress=progress)
        return self

    async def ready(self, timeout_s: float = 300.0, *, progress: rules.Progress | None = None) -> Self:
        """See :meth:`Machine.ready`."""
        return await self.wait("ready", timeout_s, progress=progress)

    async def run(
        self,
        command: str,
        *,
        check: bool = True,
        timeout_s: float | None = None,
        folder: str | None = None,
        environment: Mapping[str, str] | None = None,
        keep: str | None = None,
        on_output: work.OnOutput | None = None,
    ) -> work.Done:
        """See :meth:`Machine.run`."""
        request = work.request(command, timeout_s, folder, environment, keep)
        gathered = work.Gathered(on_output)
        async with await self._begin(request) as running:
            async for stream, text in running:
                gathered.take(stream, text)
            return gathered.done(request, await running.wait(), running.hint, check=check)

    async def begin(
        self,
        command: str,
        *,
        timeout_s: float | None = None,
        folder: str | None = None,
        environment: Mapping[str, str] | None = None,
        keep: str | None = None,
    ) -> AsyncRunning:
        """See :meth:`Machine.begin`."""
        return await self._begin(work.request(command, timeout_s, folder, environment, keep))

    async def _begin(self, request: RunRequest) -> AsyncRunning:
        from educloud_lab.client.arunning import abegin

        return await abegin(await self.client._alive(), self.id, request)

    async def upload(self, source: str | Path, target: str, *, progress: work.CopyProgress | None = None) -> Copied:
        """See :meth:`Machine.upload`."""
        from educloud_lab.client.copying import aupload

        return await aupload(await self.client._alive(), self.id, source, target, progress=progress)

    async def download(
        self, source: str, target: str | Path = ".", *, progress: work.CopyProgress | None = None
    ) -> Copied:
        """See :meth:`Machine.download`."""
        from educloud_lab.client.copying import adownload

        return await adownload(await self.client._alive(), self.id, source, target, progress=progress)

    async def check(self, *checks: str) -> wire.CheckReport:
        """See :meth:`Machine.check`."""
        return await self.client.check(self.id, checks)

    async def calls(self, limit: int = 5) -> wire.Accounts:
        """See :meth:`Machine.calls`."""
        return await self.client.calls(self.id, limit=limit)

    async def console(self) -> str:
        """See :meth:`Machine.console`."""
        return await self.client.console(self.id)

    async def why(self) -> wire.Why:
        """See :meth:`Machine.why`."""
        return await self.client._ask(requests.why(self.id))
