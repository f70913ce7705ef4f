"""What the gateway is told: routes to running machines, and which key pair may reach which of them."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.gateway.routes import CLOSED
from educloud_lab.localcloud.accounts import write_private
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.hypervisor.base import Hypervisor, HypervisorError
from educloud_lab.localcloud.network.base import NetworkDriver, NetworkError
from educloud_lab.localcloud.network.policy import Policy
from educloud_lab.localcloud.state.tables import Instance
from educloud_lab.localcloud.work.host_door import HostDoor
from educloud_lab.localcloud.work.network_view import gateway_ports, read_policy

log = logging.getLogger("educloud.cloud.network")

SSH_PORT = 22


class _Started(NamedTuple):
    """What the gateway has to know of a machine; whole rows of thousands would keep the cloud busy."""

    id: str
    address: str
    started_at: datetime | None
    key_material: str


class GatewayFiles:
    """Keeps ``routes.json`` and ``lines.d/keypairs.keys``, each replaced at once and only when it changes.

    The network's own rules (between machines) are put in force in the same turn, from the same view of the rows.

    Parameters
    ----------
    network : how machines are connected; None where there is no network (simulated machines).
    door : asked by the gateway for machines that the host reaches by forwarded ports.
    """

    def __init__(
        self,
        cloud: Cloud,
        hypervisor: Hypervisor,
        network: NetworkDriver | None = None,
        door: HostDoor | None = None,
    ) -> None:
        self._database = cloud.database
        self._hypervisor = hypervisor
        self._network = network
        self._door = door
        self._inside = cloud.settings.network
        self._routes = cloud.settings.folders.gateway / "routes.json"
        self._lines = cloud.settings.folders.gateway / "lines.d" / "keypairs.keys"
        self._written: dict[Path, str] = {}
        # A machine's port stays for its life; asking it each second would only keep it busy.
        self._endpoints: dict[tuple[str, str], str] = {}
        self._turn = asyncio.Lock()  # an older view must not be written over a newer one
        self._asked = self._done = 0
        self._unchanged_at: int | None = None
        self._policy = Policy()
        self._refused = ""

    async def publish(self) -> None:
        """Write what changed. All who ask before a view of the rows is taken share that one."""
        self._asked += 1
        asked = self._asked
        async with self._turn:
            if self._done < asked:
                covered = self._asked
                await self._publish()
                self._done = covered

    async def _publish(self) -> None:
        changes = self._database.changes
        if changes == self._unchanged_at and self._routes.exists() and self._lines.exists():
            await self._enforce()  # the network's own process may have ended: it is looked after here
            return
        rows = await self._database.run(_started)
        if self._hypervisor.reachable:
            self._policy = await self._database.run(lambda session: read_policy(session, self._inside))
        await self._enforce()
        ports = gateway_ports(self._policy.openings)
        routes: dict[str, str] = {}
        allowed: dict[str, list[str]] = {}
        ways: dict[str, tuple[str, list[tuple[int, int]]]] = {}
        for row in rows:
            if row.key_material:
                # Every port: which of them lead anywhere is for the routes to say, that is for the groups.
                allowed.setdefault(row.key_material, []).append(f'permitopen="{row.address}:*"')
            if not self._hypervisor.reachable:
                continue
            open_ports = ports.get(row.address, [])
            routes[f"{row.address}:*"] = CLOSED
            door = self._network.door(row.address) if self._network is not None else None
            if door is None and self._door is not None:
                door, ways[row.address] = self._door.path, (row.id, open_ports)
            if door is not None:
                for first, last in open_ports:
                    routes[f"{row.address}:{first}" + (f"-{last}" if last > first else "")] = f"unix:{door}"
            if any(first <= SSH_PORT <= last for first, last in open_ports) and (
                self._network is None or self._network.door(row.address) is None
            ):
                # Leads there even while the cloud's process is away.
                if endpoint := await self._endpoint(row):
                    routes[f"{row.address}:{SSH_PORT}"] = endpoint
                else:
                    changes = -1  # the next round asks again
        live = {_life(row) for row in rows}
        self._endpoints = {life: endpoint for life, endpoint in self._endpoints.items() if life in live}
        if self._door is not None:
            self._door.ways = ways
        lines = [f"restrict,port-forwarding,{','.join(opens)} {key}\n" for key, opens in sorted(allowed.items())]
        self._write(self._routes, json.dumps(routes, indent=1, sort_keys=True) + "\n")
        self._write(self._lines, "".join(lines))
        self._unchanged_at = changes

    async def _enforce(self) -> None:
        """Have the network enforce the policy; what fails is tried again at the next round."""
        if self._network is None:
            return
        try:
            await self._network.apply(self._policy)
            self._refused = ""
        except NetworkError as error:
            if self._refused != str(error):
                log.error("What security groups say is not in force between machines: %s", error)
            self._refused = str(error)

    async def _endpoint(self, row: _Started) -> str | None:
        life = _life(row)
        if life not in self._endpoints:
            try:
                found = await self._hypervisor.endpoint(row.id, SSH_PORT)
            except HypervisorError:
                return None  # it is ending, or not ready: the next round knows more
            if found is None:
                return None
            self._endpoints[life] = f"{found[0]}:{found[1]}"
        return self._endpoints[life]

    def _write(self, path: Path, text: str) -> None:
        if self._written.get(path) != text or not path.exists():
            write_private(path, text)
            self._written[path] = text


def _started(session: Session) -> list[_Started]:
    live = Instance.state.in_(("pending", "running"))
    query = select(Instance.id, Instance.address, Instance.started_at, Instance.key_material)
    return [_Started(*row) for row in session.execute(query.where(live, Instance.started_at.is_not(None)))]


def _life(row: _Started) -> tuple[str, str]:
    """Return what names one life of a machine, from one start to its end."""
    return row.id, f"{row.address} {row.started_at}"
