"""A Jupyter server extension for the bench: our terminals and runs with fixed grants, without a broker or a cloud."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from educloud_lab.adapters.ssh import AsyncsshAuthority, AsyncsshShell
from educloud_lab.domain.errors import NotFoundError
from educloud_lab.ports.shell import Grant
from educloud_lab.server.connections import MachineConnections
from educloud_lab.server.routes import rules
from educloud_lab.server.run_service import SETTING, RunService
from educloud_lab.server.terminals import TerminalService, terminal_routes

LEASE = "bench"
PRINCIPAL = "lease-bench-g1"


class FixedBroker:
    """Gives grants for one sshd, described by the file that EDUCLOUD_BENCH_MACHINE names."""

    def __init__(self):
        self._machine = json.loads(Path(os.environ["EDUCLOUD_BENCH_MACHINE"]).read_text())
        self._authority = AsyncsshAuthority()

    async def grant(self, person, lease_id):
        if not lease_id.startswith(LEASE):  # several leases are several connections
            raise NotFoundError("There is no such machine.")
        key = self._authority.new_key_pair()
        now = datetime.now(UTC)
        return Grant(
            lease_id=lease_id,
            generation=1,
            user=self._machine["user"],
            principal=PRINCIPAL,
            address="127.0.0.1",
            port=self._machine["port"],
            host_keys=(self._machine["host_key"],),
            gateway=None,
            private_key=key.private,
            certificate=self._authority.sign_user(
                ca_private=self._machine["ca_private"],
                public=key.public,
                principals=[PRINCIPAL],
                key_id="bench",
                valid_from=now - timedelta(minutes=1),
                valid_until=now + timedelta(minutes=10),
            ),
            expires_at=now + timedelta(minutes=10),
        )

    async def snapshot(self, person):
        raise NotFoundError("There is no broker here.")


def _jupyter_server_extension_points():
    return [{"module": "terminal_server"}]


def _load_jupyter_server_extension(app):
    connections = MachineConnections(FixedBroker(), AsyncsshShell())
    service = TerminalService(connections, person="bench")
    app.web_app.settings[SETTING] = RunService(connections, person="bench")
    base = re.escape(app.base_url)
    app.web_app.add_handlers(
        ".*$", [(base + pattern, handler, kwargs) for pattern, handler, kwargs in terminal_routes(service)]
    )
    app.web_app.add_handlers(".*$", rules(app.base_url))
