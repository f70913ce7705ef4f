"""One client's connection: who it is, what it asks for, and the end of it when no line allows it any longer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol

import asyncssh

from educloud_lab.gateway.addresses import Destination, parse_address
from educloud_lab.gateway.config import GatewayConfig
from educloud_lab.gateway.control import ControlSession
from educloud_lab.gateway.forward import WINDOW_BYTES, Forward
from educloud_lab.gateway.identity import Identity
from educloud_lab.gateway.routes import Place
from educloud_lab.gateway.state import CONTROL_PRINCIPAL, GatewayState

CONTROL_USER = "educloud-control"
_NOT_PERMITTED = "This gateway does not permit that destination to you"

_log = logging.getLogger("educloud.gateway")


class Hub(Protocol):
    """What a connection asks of the gateway that accepted it."""

    config: GatewayConfig
    state: GatewayState

    def begin_handshake(self, connection: Connection) -> None:
        """Count a connection that has not logged in; may end an older one."""

    def admit(self, connection: Connection) -> bool:
        """Count a connection as logged in; False when there are too many."""

    def forget(self, connection: Connection) -> None:
        """Stop counting a connection that is over."""

    async def put_lines(self, name: str, text: str) -> int:
        """Put lines in force; returns how many. Raises LinesError or OSError."""

    async def drop_lines(self, name: str) -> bool:
        """Take lines out of force; returns whether there were any. Raises LinesError or OSError."""

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of the gateway."""


class _Authoriser(asyncssh.SSHAuthorizedKeys):
    """Answers asyncssh's question "is this key authorised?" from the lines in force.

    asyncssh then checks the certificate's type, validity, critical options and source address, and the
    signature, and calls `auth_completed` in the same step: the last identity proven here is the one logged in.
    """

    def __init__(self, connection: Connection, state: GatewayState, username: str) -> None:
        super().__init__()
        self._connection = connection
        self._state = state
        self._control = username == CONTROL_USER

    def validate(
        self,
        key: asyncssh.SSHKey,
        client_host: str,
        client_addr: str,
        cert_principals: Any = None,
        ca: bool = False,
    ) -> dict[str, object] | None:
        """Return options when the key (or, with `ca`, the certificate's authority) is authorised."""
        self._connection.identity = None
        principals = frozenset(cert_principals or ()) if ca else frozenset()
        if self._control:
            if not ca or CONTROL_PRINCIPAL not in principals:
                return None
            identity = Identity("control", key.public_data, key.get_fingerprint(), principals)
        else:
            identity = Identity("certificate" if ca else "key", key.public_data, key.get_fingerprint(), principals)
        if not self._state.alive(identity):
            return None
        self._connection.identity = identity
        # 'principals' tells asyncssh that they are checked, or it would ask for the login name among them.
        return {"principals": True}

    def validate_x509(self, cert: Any, client_host: str, client_addr: str) -> tuple[None, None]:
        """X.509 certificates are never authorised."""
        return None, None


class Connection(asyncssh.SSHServer):
    """One SSH connection.

    Parameters
    ----------
    hub : Hub
        The gateway.
    """

    def __init__(self, hub: Hub) -> None:
        self.identity: Identity | None = None
        self._hub = hub
        self._conn: asyncssh.SSHServerConnection | None = None
        self._forwards: set[Forward] = set()
        self._sessions: set[ControlSession] = set()
        self._authenticated = False
        self._choked = False
        self._refusals = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Take a new client."""
        self._conn = conn
        # asyncssh ignores a full transport and relies on SSH windows alone, which a client may make as large
        # as it likes; without these two, it could have the gateway buffer without bound.
        conn.pause_writing = self._choke  # type: ignore[method-assign]  # see above; there is no other hook
        conn.resume_writing = self._unchoke  # type: ignore[method-assign]  # see above
        self._hub.begin_handshake(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the forwards of a client that is gone."""
        self._conn = None
        for forward in list(self._forwards):
            forward.cut()
        self._forwards.clear()
        self._hub.forget(self)
        if self._authenticated and self.identity:
            _log.info("logout %s", self.identity.label)

    def begin_auth(self, username: str) -> bool:
        """Every login needs a key or certificate."""
        if self._conn:
            self._conn.set_authorized_keys(_Authoriser(self, self._hub.state, username))
        return True

    def auth_completed(self) -> None:
        """Let in a client whose signature was good."""
        conn, identity = self._conn, self.identity
        if conn is None:
            return
        if identity is None or not self._hub.state.alive(identity):
            conn.abort()
            return
        if not self._hub.admit(self):
            _log.warning("too many connections: %s turned away", identity.label)
            conn.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "Too many connections; try again later")
            return
        self._authenticated = True
        _log.info("login %s from %s", identity.label, conn.get_extra_info("peername", ("?",))[0])

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> tuple[asyncssh.SSHTCPChannel[bytes], Awaitable[asyncssh.SSHTCPSession[bytes]]]:
        """Answer the wish for a forward."""
        conn, identity = self._conn, self.identity
        if conn is None or identity is None or conn.get_certificate_option("force-command"):
            raise self._refuse(dest_host, dest_port, _NOT_PERMITTED)
        try:
            destination = Destination(parse_address(dest_host), dest_port)
        except ValueError as exc:
            raise self._refuse(dest_host, dest_port, _NOT_PERMITTED) from exc
        if destination not in self._hub.state.permitted(identity):
            raise self._refuse(dest_host, dest_port, _NOT_PERMITTED)
        routes = self._hub.state.routes
        place = routes.find(destination)
        closed = destination.address in routes.closed
        if place is None and not closed and self._hub.config.may_dial(destination.address):
            place = destination
        if place is None and closed:
            reason = f"The security groups of {destination.address} do not let the gateway in to port {dest_port}"
            raise self._refuse(dest_host, dest_port, reason)
        if place is None:
            reason = f"This gateway has no route to {destination}: the machine may not be running"
            raise self._refuse(dest_host, dest_port, reason, asyncssh.OPEN_CONNECT_FAILED)
        if self._full():
            reason = "Too many channels on this connection"
            raise self._refuse(dest_host, dest_port, reason, asyncssh.OPEN_RESOURCE_SHORTAGE)
        forward = Forward(identity.label, destination, self._backlog, self._forwards.discard)
        self._forwards.add(forward)
        return conn.create_tcp_channel(window=WINDOW_BYTES), self._open(forward, place)

    def session_requested(self) -> Any:
        """Answer the wish for a session: only the broker gets one, and only for a control command."""
        conn, identity = self._conn, self.identity
        if conn is None or identity is None or identity.kind != "control" or self._full():
            self._count_refusal()
            return False
        if conn.get_certificate_option("force-command"):
            return False
        session = ControlSession(identity.label, self._hub, self._sessions.discard)
        self._sessions.add(session)
        return conn.create_server_channel(None, "strict", WINDOW_BYTES, 32768), session

    def enforce(self) -> None:
        """End whatever the lines in force no longer allow."""
        conn, identity = self._conn, self.identity
        if conn is None or identity is None or not self._authenticated:
            return
        if not self._hub.state.alive(identity):
            _log.info("cut %s: no line in force allows it", identity.label)
            for forward in list(self._forwards):
                forward.cut()
            conn.disconnect(asyncssh.DISC_BY_APPLICATION, "Your permission to use this gateway has ended")
            return
        permitted = self._hub.state.permitted(identity)
        for forward in list(self._forwards):
            if forward.destination not in permitted:
                _log.info("cut %s -> %s: no line in force allows it", identity.label, forward.destination)
                forward.cut()

    def end(self, reason: str) -> None:
        """Close the connection, telling the client why when it still listens."""
        if self._conn:
            self._conn.disconnect(asyncssh.DISC_BY_APPLICATION, reason)

    async def _open(self, forward: Forward, place: Place) -> asyncssh.SSHTCPSession[bytes]:
        opened = False
        destination = forward.destination
        try:
            await forward.dial(place, self._hub.config.limits.connect_s)
            # The lines may have changed, and the client may have gone, while the machine was being reached.
            identity = self.identity
            if self._conn is None or identity is None or destination not in self._hub.state.permitted(identity):
                raise self._refuse(*destination, _NOT_PERMITTED)
            if self._choked:
                forward.hold("transport")
            opened = True
        except TimeoutError as exc:
            reason = f"{destination} did not answer within {self._hub.config.limits.connect_s:g} s"
            raise self._refuse(*destination, reason, asyncssh.OPEN_CONNECT_FAILED) from exc
        except ConnectionRefusedError as exc:
            reason = f"{destination} refused the connection: nothing listens there (yet)"
            raise self._refuse(*destination, reason, asyncssh.OPEN_CONNECT_FAILED) from exc
        except OSError as exc:
            reason = f"{destination} cannot be reached: {exc.strerror or type(exc).__name__}"
            raise self._refuse(*destination, reason, asyncssh.OPEN_CONNECT_FAILED) from exc
        finally:
            if not opened:
                forward.cut()
                self._forwards.discard(forward)
        return forward

    def _refuse(
        self, host: str, port: int, reason: str, code: int = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
    ) -> asyncssh.ChannelOpenError:
        _log.warning("refused %s -> %s:%d: %s", self.identity and self.identity.label, ascii(host[:80]), port, reason)
        self._count_refusal()
        return asyncssh.ChannelOpenError(code, reason)

    def _count_refusal(self) -> None:
        self._refusals += 1
        if self._refusals >= self._hub.config.limits.refusals and self._conn:
            _log.warning("cut %s: too many refused requests", self.identity and self.identity.label)
            asyncio.get_running_loop().call_soon(self.end, "Too many refused requests")

    def _backlog(self) -> int:
        # asyncssh tells this nowhere else; where a later version has no such list, nothing is held back for it.
        return len(getattr(self._conn, "_deferred_packets", ()))

    def _full(self) -> bool:
        return len(self._forwards) + len(self._sessions) >= self._hub.config.limits.channels

    def _choke(self) -> None:
        self._choked = True
        for forward in self._forwards:
            forward.hold("transport")

    def _unchoke(self) -> None:
        self._choked = False
        for forward in self._forwards:
            forward.release("transport")
