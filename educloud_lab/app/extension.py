"""The Jupyter Server extension: registers the routes, loads nothing else until somebody asks.

What costs (pydantic, boto3, asyncssh, SQLAlchemy) is imported by the wiring at the first request (PERFORMANCE.md,
note 9); a test holds this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_server.extension.application import ExtensionApp

from educloud_lab.adapters.ssh import AsyncsshShell
from educloud_lab.app.config import Educloud
from educloud_lab.app.desk import BrokerDesk, DeskGrants
from educloud_lab.app.person import current_person
from educloud_lab.server.activity import ActivityReporter
from educloud_lab.server.connections import MachineConnections
from educloud_lab.server.desk import SETTING as DESK
from educloud_lab.server.feed import Feed
from educloud_lab.server.routes import below, rules
from educloud_lab.server.run_service import SETTING as RUNS
from educloud_lab.server.run_service import RunService
from educloud_lab.server.socket import SETTING as SOCKETS
from educloud_lab.server.socket import Sockets
from educloud_lab.server.terminals import TerminalService, terminal_routes

if TYPE_CHECKING:
    from educloud_lab.broker.api import BrokerApi


class EducloudExtension(ExtensionApp):
    """The lab bench beside the notebook."""

    terminals: TerminalService
    runs: RunService

    name = "educloud_lab"
    extension_url = "/lab"
    load_other_extensions = True
    classes = [Educloud]  # noqa: RUF012 - traitlets' own name and kind of attribute

    def initialize_settings(self) -> None:
        """Put the desk where the handlers find it."""
        person = current_person()
        desk = BrokerDesk(self.build_broker, person=person, cloud_kind=self._cloud_kind)
        grants = DeskGrants(desk)
        connections, reporter = MachineConnections(grants, AsyncsshShell()), ActivityReporter(grants.activity)
        self.terminals = TerminalService(connections, person=person, reporter=reporter)
        self.runs = RunService(connections, person=person, reporter=reporter)
        self.settings |= {DESK: desk, SOCKETS: Sockets(Feed(desk)), RUNS: self.runs}

    def initialize_handlers(self) -> None:
        """Register the routes with the base URL taken literally (the stock way reads it as a pattern)."""
        assert self.serverapp is not None
        base_url = self.serverapp.base_url
        self.serverapp.web_app.add_handlers(  # type: ignore[no-untyped-call]  # Jupyter Server's own
            ".*$", [*rules(base_url), *below(base_url, terminal_routes(self.terminals))]
        )

    def _cloud_kind(self) -> tuple[str, str]:
        remote = str(self.config.get("Educloud", {}).get("cloud_endpoint", ""))
        return ("remote", remote) if remote else ("local", "local cloud")

    async def build_broker(self) -> BrokerApi:
        """Wire the broker together as configured and open it. Tests put another in its place.

        Raises
        ------
        EducloudError
            It cannot be had now; says what to do.
        """
        from educloud_lab.app.wiring import build_broker
        from educloud_lab.server.metrics import show

        broker = await build_broker(self.config)
        show(lambda: broker.oversight.latest)
        return broker

    async def stop_extension(self) -> None:
        """Close the sockets with a message, then the broker; jobs in flight stay recorded."""
        sockets: Sockets = self.settings[SOCKETS]
        await sockets.close()
        await self.runs.stop()
        await self.terminals.stop()
        desk: BrokerDesk = self.settings[DESK]
        await desk.close()
