"""The door to machines that the host reaches by forwarded ports (``slirp``): made when the gateway asks for them.

Speaks the protocol of :mod:`educloud_lab.gateway.door`. Only what the machine's groups let the gateway reach is ever
forwarded, since a forwarded port of the loopback is open to every user of this computer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from educloud_lab.gateway.addresses import parse_destination
from educloud_lab.localcloud.hypervisor.base import Hypervisor, HypervisorError

log = logging.getLogger("educloud.cloud.network")

_LINE_LIMIT_S = 5.0

Ways = Mapping[str, tuple[str, list[tuple[int, int]]]]
"""Address -> instance and the ranges of ports that may be asked for."""


class HostDoor:
    """Serves the door at :attr:`path`.

    Parameters
    ----------
    path : the unix socket, in a 0700 folder.
    """

    def __init__(self, path: Path, hypervisor: Hypervisor) -> None:
        self.path = path
        self.ways: Ways = {}
        self._hypervisor = hypervisor
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Serve. Repeatable. Raises OSError."""
        if self._server is None:
            self.path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._answer, self.path, limit=4096)
            self.path.chmod(0o600)

    async def close(self) -> None:
        """Serve no more. Repeatable."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self.path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_LINE_LIMIT_S):
                request = json.loads(await reader.readline())
            writer.write(json.dumps(await self._way(str(request["connect"]))).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, KeyError, TypeError, TimeoutError) as error:
            log.warning("a question at the gateway's door was not understood: %s", error)
        finally:
            writer.close()

    async def _way(self, wanted: str) -> dict[str, str]:
        destination = parse_destination(wanted)
        instance_id, ranges = self.ways.get(destination.address, ("", []))
        if not any(first <= destination.port <= last for first, last in ranges):
            return {"error": f"{destination} is not open to the gateway"}
        try:
            found = await self._hypervisor.endpoint(instance_id, destination.port)
        except HypervisorError as error:
            return {"error": str(error)}
        return {"address": f"{found[0]}:{found[1]}"} if found else {"error": f"{instance_id} does not run"}
