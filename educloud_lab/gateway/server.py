"""The gateway itself: it listens, keeps count, re-reads what is in force, and ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

import asyncssh

from educloud_lab.gateway import lines
from educloud_lab.gateway.config import GatewayConfig
from educloud_lab.gateway.connection import Connection
from educloud_lab.gateway.errors import GatewayConfigError, LinesError
from educloud_lab.gateway.hostkey import StateFile, load_host_key, public_line
from educloud_lab.gateway.state import GatewayState

# A change by hand is in force within a second; a control command does not wait for this.
POLL_S = 0.4
# Places kept for the broker when people take all the others: a revocation must always get in.
_CONTROL_CONNECTIONS = 16

# The client's order decides. chacha20 is left out because asyncssh and OpenSSH would otherwise agree on it, and
# in Python it costs several times what AES-GCM does.
_ENCRYPTION = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr"]
_KEX = "^curve25519-sha256,curve25519-sha256@libssh.org"

_log = logging.getLogger("educloud.gateway")


class Gateway:
    """The SSH front end; ``async with Gateway(config) as gateway`` listens until the block is left.

    Parameters
    ----------
    config : GatewayConfig
        With absolute paths (see `GatewayConfig.load` and `GatewayConfig.beside`).

    Raises
    ------
    GatewayConfigError
        On entering: a file or folder is not usable, or the address cannot be listened on.
    GatewayRunningError
        On entering: another gateway serves this configuration.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config
        self.state = GatewayState(config)
        self.host_key_line = ""
        self.port = 0
        self._state_file = StateFile(config.state_file)
        self._handshakes: dict[Connection, None] = {}
        self._live: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._poller: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._state_file.acquire()
        try:
            await self._listen()
        except BaseException:
            self._state_file.release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._poller:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller
        # A control command that was begun is finished, so that the broker's picture is right.
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        if self._acceptor:
            self._acceptor.close()
        for connection in [*self._handshakes, *self._live]:
            connection.end("The gateway is being stopped")
        if self._acceptor:
            # From Python 3.12 on this waits for connections too; they were ended, but nothing may hang here.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._acceptor.wait_closed(), timeout=5)
        for _ in range(3):  # closing takes asyncio a few turns of its loop
            await asyncio.sleep(0)
        self._state_file.release()
        _log.info("gateway stopped")

    @property
    def connections(self) -> int:
        """How many connections are logged in."""
        return len(self._live)

    @property
    def handshakes(self) -> int:
        """How many connections have not logged in yet."""
        return len(self._handshakes)

    async def refresh(self) -> None:
        """Read again what changed and cut what is no longer allowed; it is in force on return."""
        async with self._changing:
            await self._reload()

    async def put_lines(self, name: str, text: str) -> int:
        """Put lines in force under `name`, replacing former ones; returns how many. Repeatable.

        Raises
        ------
        LinesError
            When they are refused; the former lines stay.
        OSError
            When they cannot be stored; the former lines stay.
        """
        lines.check_name(name)
        async with self._changing:
            if name not in self.state.files and len(self.state.files) >= self.config.limits.names:
                raise LinesError(f"there are {self.config.limits.names} names already; drop some. Nothing was changed.")
            written = await asyncio.to_thread(lines.write_lines, self.config.lines, name, text)
            await self._reload()
            problem = self.state.files[name].problem if name in self.state.files else "they were removed at once"
            if problem:
                raise LinesError(f"the lines were stored but are not in force: {problem}")
        return len(written)

    async def drop_lines(self, name: str) -> bool:
        """Take the lines called `name` out of force; returns whether there were any. Repeatable.

        Raises
        ------
        LinesError
            For a bad name.
        OSError
            When they cannot be removed; they stay in force.
        """
        lines.check_name(name)
        async with self._changing:
            dropped = await asyncio.to_thread(lines.drop_lines, self.config.lines, name)
            await self._reload()
        return dropped

    def begin_handshake(self, connection: Connection) -> None:
        """Count a connection that has not logged in; beyond the limit the oldest such connection is closed.

        The oldest, not the newest: a real client logs in within a second, a flood's connections stay.
        """
        while len(self._handshakes) >= self.config.limits.handshakes:
            oldest = next(iter(self._handshakes))
            del self._handshakes[oldest]
            oldest.end("Too many connections are logging in")
        self._handshakes[connection] = None

    def admit(self, connection: Connection) -> bool:
        """Count a connection as logged in; False when there are too many."""
        limits, identity = self.config.limits, connection.identity
        control = identity is not None and identity.kind == "control"
        same = sum(1 for other in self._live if other.identity == identity)
        allowed = limits.connections + (_CONTROL_CONNECTIONS if control else 0)
        if len(self._live) >= allowed or same >= limits.connections_per_identity:
            return False
        self._handshakes.pop(connection, None)
        self._live.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        """Stop counting a connection that is over."""
        self._handshakes.pop(connection, None)
        self._live.discard(connection)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task that the gateway waits for when it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self) -> None:
        config = self.config
        try:
            config.lines.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise GatewayConfigError(f"{config.lines} cannot be made ({exc.strerror}); nothing was started.") from exc
        host_key = load_host_key(config.host_key)
        await self.refresh()
        try:
            self._acceptor = await asyncssh.listen(
                config.listen_host,
                config.listen_port,
                server_factory=lambda: Connection(self),
                server_host_keys=[host_key],
                config=None,
                authorized_client_keys=None,
                password_auth=False,
                kbdint_auth=False,
                host_based_auth=False,
                gss_host=None,
                x509_trusted_certs=None,
                agent_forwarding=False,
                x11_forwarding=False,
                allow_pty=False,
                line_editor=False,
                rdns_lookup=False,
                server_version="educloud-gateway",
                encryption_algs=_ENCRYPTION,
                kex_algs=_KEX,
                compression_algs=None,
                login_timeout=config.limits.handshake_s,
                keepalive_interval=config.limits.keepalive_s,
                keepalive_count_max=config.limits.keepalive_count,
            )
        except OSError as exc:
            place = f"{config.listen_host} port {config.listen_port}"
            raise GatewayConfigError(f"{place} cannot be listened on ({exc.strerror}); nothing was started.") from exc
        self.port = self._acceptor.get_port()
        self.host_key_line = public_line(host_key)
        self._state_file.write(config.listen_host, self.port, self.host_key_line)
        self._poller = asyncio.get_running_loop().create_task(self._poll())
        _log.info("gateway listens on %s port %d", config.listen_host, self.port)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 - revocation must go on whatever one round met; the next round tries again
                _log.exception("re-reading the lines failed; trying again")

    async def _reload(self) -> None:
        await asyncio.to_thread(self.state.reload)
        for connection in list(self._live):
            connection.enforce()


def run(config: GatewayConfig) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises
    ------
    GatewayError
        When the gateway cannot start.
    """
    asyncio.run(_serve(config))


async def _serve(config: GatewayConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Gateway(config):
        await stop.wait()
