"""Serves metadata over HTTP, one unix socket an instance: the socket says who asks, so nobody can ask for another.

The sockets lie in the 0700 run folder and are connected to only by the machine's own QEMU. After a restart of the
cloud's process they are made again by :meth:`MetadataService.serve`; in between guests are refused and ask again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from educloud_lab.localcloud.api.runner import SERVED
from educloud_lab.localcloud.metadata.tree import lookup
from educloud_lab.localcloud.metadata.view import MetadataView

log = logging.getLogger(__name__)

Provider = Callable[[str], Awaitable[MetadataView | None]]
"""Gives the view of one instance from the cloud's state, None for an unknown one."""

_SHUTDOWN_S = 1.0
_KEEPALIVE_S = 5
_AT_ONCE = 16
"""Connections of one machine. Its guest decides how many it asks for, and they all take files of this process."""


class _Server(web.Server):
    """An HTTP server of which no machine gets more than its share."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any) -> None:
        super().__init__(handler, **options)
        self._places: dict[web.RequestHandler, str] = {}
        self._taken: Counter[str] = Counter()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        place = str(transport.get_extra_info("sockname"))
        self._places[handler] = place
        self._taken[place] += 1
        if self._taken[place] > _AT_ONCE:
            transport.abort()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        place = self._places.pop(handler, "")
        self._taken[place] -= 1
        if self._taken[place] <= 0:
            del self._taken[place]


class MetadataService:
    """The metadata service of one cloud.

    Parameters
    ----------
    provider : asked at each request, so that user data and keys are kept in one place only.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._runner: web.ServerRunner | None = None
        self._sites: dict[str, web.UnixSite] = {}
        self._instances: dict[str, str] = {}

    async def open(self) -> None:
        """Make ready to serve. Repeatable."""
        if self._runner is None:
            # Guests are not trusted with our patience: a connection that asks nothing is closed soon.
            server = _Server(self._get, keepalive_timeout=_KEEPALIVE_S, **SERVED)
            runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_S)
            await runner.setup()
            self._runner = runner

    async def serve(self, instance_id: str, socket: Path) -> None:
        """Serve one instance at ``socket``; a socket left there by an earlier process is replaced. Repeatable.

        Raises
        ------
        OSError
            The socket cannot be made (folder missing, path longer than 107 bytes).
        """
        if instance_id in self._sites:
            if self._instances.get(str(socket)) == instance_id and socket.is_socket():  # noqa: ASYNC240 - one lstat
                return
            await self.withdraw(instance_id)
        await self.open()
        assert self._runner is not None
        self._instances[str(socket)] = instance_id
        site = web.UnixSite(self._runner, socket)
        try:
            await site.start()
        except OSError:
            del self._instances[str(socket)]
            raise
        os.chmod(socket, 0o600)  # noqa: PTH101 - one system call on a path just made; no Path method is async either
        self._sites[instance_id] = site

    async def withdraw(self, instance_id: str) -> None:
        """Stop serving one instance and remove its socket. Repeatable."""
        site = self._sites.pop(instance_id, None)
        if site is None:
            return
        await site.stop()
        for path in [path for path, owner in self._instances.items() if owner == instance_id]:
            del self._instances[path]
            Path(path).unlink(missing_ok=True)  # noqa: ASYNC240 - one unlink

    async def close(self) -> None:
        """Stop serving everybody; the sockets go."""
        for instance_id in list(self._sites):
            await self.withdraw(instance_id)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _get(self, request: web.BaseRequest) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="405 - Method Not Allowed\n", headers={"Allow": "GET,HEAD"})
        socket = request.transport.get_extra_info("sockname") if request.transport is not None else None
        instance_id = self._instances.get(str(socket))
        view = None if instance_id is None else await self._provider(instance_id)
        body = None if view is None else lookup(view, request.path)
        if body is None:
            return web.Response(status=404, text="404 - Not Found\n")
        return web.Response(body=body, content_type="text/plain")
