"""``educloud broker``: the broker for scripts, a Jupyter server with nothing in it but our routes, on a unix socket.

Scripts start it by themselves (``educloud_lab.client.headless``). It takes the ``Educloud`` settings from the same
files as any Jupyter server, and nothing else from them: a port, a password or a certificate there are for browsers.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from jupyter_core.application import JupyterApp
from jupyter_server.serverapp import ServerApp
from traitlets import Float, default
from traitlets.config import Config

from educloud_lab import __version__
from educloud_lab.app.command import StrictCommand, complain
from educloud_lab.client.headless import Place, place
from educloud_lab.domain.errors import EducloudError
from educloud_lab.server.base import LAST_ASKED
from educloud_lab.server.desk import SETTING as DESK
from educloud_lab.server.run import OPEN_SOCKETS
from educloud_lab.server.socket import SETTING as STATE_SOCKETS

if TYPE_CHECKING:
    from educloud_lab.app.desk import BrokerDesk

IDLE_S = 300.0
"""Without a request, a connection to a machine or a job for so long, it ends."""
IDLE_VARIABLE = "EDUCLOUD_BROKER_IDLE_S"
FAREWELL_S = 2.0
"""Who has read its file shortly before it was taken away may still ask."""


class BrokerServer(ServerApp):
    """A Jupyter server that only scripts find.

    Parameters
    ----------
    where : its folder.
    idle_s : see :data:`IDLE_S`.
    """

    name = "jupyter-server"
    default_services: Any = ("security",)

    def __init__(self, where: Place, idle_s: float, **options: Any) -> None:
        super().__init__(**options)
        self.where = where
        self.idle_s = idle_s
        self._watch: asyncio.Task[None] | None = None

    def load_config_file(self, suppress_errors: bool = True) -> None:  # type: ignore[override]  # as Jupyter's own
        """Read nothing: what is wanted of the files was given."""

    def find_server_extensions(self) -> None:
        """Look for no other extensions."""

    def write_server_info_file(self) -> None:
        """Write the run file where scripts look for it, and nowhere else; from then on look whether anybody asks."""
        self.announce()
        self._watch = asyncio.ensure_future(self.until_idle(), loop=self.io_loop.asyncio_loop)  # type: ignore[attr-defined]

    def announce(self) -> None:
        """Write the run file."""
        told = {"pid": os.getpid(), "token": self.identity_provider.token, "version": __version__}
        path = self.where.run_file.with_suffix(f".{os.getpid()}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(told, file)
        path.replace(self.where.run_file)

    def remove_server_info_file(self) -> None:
        """Remove the run file, unless it is another broker's by now. Repeatable."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(self.where.run_file.read_text())["pid"] == os.getpid():
                self.where.run_file.unlink()

    def write_browser_open_files(self) -> None:
        """Write none: no browser comes here."""

    async def until_idle(self) -> None:
        """End when nobody has asked for long. Who asks during the farewell keeps it, and others find it again."""
        while True:
            await self._idle_for(self.idle_s)
            self.log.info("Nobody has asked for %g s; ending.", self.idle_s)
            self.remove_server_info_file()
            await asyncio.sleep(FAREWELL_S)
            if await self._is_idle(FAREWELL_S):
                break
            self.log.info("Somebody has asked after all; going on.")
            self.announce()
        self.stop()

    async def _idle_for(self, for_s: float) -> None:
        while True:
            if await self._is_idle(for_s):
                return
            await asyncio.sleep(min(5.0, for_s / 4))

    async def _is_idle(self, for_s: float) -> bool:
        settings = self.web_app.settings
        last: datetime = settings.get(LAST_ASKED) or settings["started"]
        extensions: Any = self.extension_manager  # Jupyter Server's own has no types there
        if (datetime.now(UTC) - last).total_seconds() < for_s or extensions.any_activity():
            return False
        if settings.get(OPEN_SOCKETS):  # a command runs; one that has ended closes its socket after a while
            return False
        if settings.get(STATE_SOCKETS):  # a script follows what becomes of its machines
            return False
        desk: BrokerDesk = settings[DESK]
        return not desk.ready() or not await self._at_work(desk)

    async def _at_work(self, desk: BrokerDesk) -> bool:
        """Whether a job is in flight that a broker has to carry on."""
        try:
            broker = await desk.broker()
            snapshot = await broker.snapshot(desk.person)
        except EducloudError as error:  # a broker that cannot read its store is of no use to anybody
            self.log.warning("The broker cannot say what it is doing: %s", error)
            return False
        except Exception:  # whatever its fault is: a broker that is never ended again would be worse
            self.log.exception("The broker cannot say what it is doing")
            return False
        return any(lease.job is not None and lease.job.in_flight for lease in snapshot.leases)


class BrokerApp(StrictCommand):
    """Run the broker for scripts."""

    name = "educloud-broker"
    description = """Run the broker for scripts, which start it by themselves when they find no Jupyter server.

    It ends when nobody has asked for some minutes and no job is in flight; machines go on. There is one for each
    user and EDUCLOUD_HOME. Its log is broker.log there."""
    idle_s = Float(IDLE_S, min=0.5, max=86400, help="Seconds without a request after which it ends.").tag(config=True)
    aliases = {"idle": "BrokerApp.idle_s"}  # noqa: RUF012 - traitlets' own name and kind of attribute

    @default("idle_s")
    def _default_idle_s(self) -> float:
        """Let whoever starts it from a script choose too (tests, short-lived containers)."""
        try:
            return float(os.environ[IDLE_VARIABLE])
        except (KeyError, ValueError):
            return IDLE_S

    def start(self) -> None:
        """Serve until nobody asks; exits with 0 when another one serves already, with 1 when it cannot."""
        try:
            where = place()
        except EducloudError as error:
            complain(f"{self.name.replace('-', ' ')}: {error}")
            self.exit(1)
        with _opened(where.life) as life:
            if not _take(life):
                complain("educloud broker: one is running already.")
                return
            self.clear_instance()  # there is one application in a process, and that is the server now
            where.run_file.unlink(missing_ok=True)  # a dead one's
            where.socket.unlink(missing_ok=True)
            serve(where, self.idle_s)


def serve(where: Place, idle_s: float) -> None:
    """Serve until nobody asks."""
    config = Config({"Educloud": settings_of_files(), **forced(where)})
    server = BrokerServer.instance(where=where, idle_s=idle_s, config=config)
    server.initialize(argv=[])
    server.start()
    where.socket.unlink(missing_ok=True)


def settings_of_files() -> Config:
    """Return the ``Educloud`` settings of the files that Jupyter servers read."""
    reader = JupyterApp(config_file_name="jupyter_server_config")
    reader.load_config_file()
    found: Config = reader.config.get("Educloud", Config())
    return found


def forced(where: Place) -> dict[str, Any]:
    """Return how the server is set up, whatever is configured for others."""
    return {
        "ServerApp": {
            "sock": str(where.socket),
            "sock_mode": "0600",
            "open_browser": False,
            "allow_root": True,
            "allow_unauthenticated_access": False,
            "jpserver_extensions": {"educloud_lab": True},
            "root_dir": str(where.folder),  # there is nothing to be served
            "cookie_secret": secrets.token_bytes(32),
        },
        "IdentityProvider": {"token": secrets.token_hex(32)},
    }


def _take(life: IO[bytes]) -> bool:
    """Take the lock for as long as this process lives; the system lets it go whatever ends it."""
    try:
        fcntl.flock(life, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")
