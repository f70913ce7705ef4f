"""One thread and one socket through which all the panels of a kernel hear what their server says.

A panel that is made anew each time its cell runs costs nothing this way, and what changes is known when the page knows
it, not some seconds later. The server is looked for anew at each attempt: after a restart it has another port and
another token. Where a proxy lets no websocket through, the server is asked every two seconds instead.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

    from educloud_lab.client import Client
    from educloud_lab.client.find import Server
    from educloud_lab.wire import models as wire

PERIOD_S = 2.0
"""Between questions where there is no socket, and between attempts where nothing answers."""

TICK_S = 1.0
"""How often the time that is left is counted down."""

FIRST_PAUSE_S = 0.2
"""Before the first attempt after a socket that ended."""

SOCKET_AGAIN_S = 60.0
"""After a socket that did not open, the server is asked instead; for so long."""

LARGEST_BYTES = 32 << 20
log = logging.getLogger(__name__)


class Socket(Protocol):
    """What is used of a websocket."""

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Return the next message; TimeoutError when there is none in time."""


class Panel(Protocol):
    """What is told."""

    def _take(self, snapshot: wire.Snapshot | None, client: Client | None) -> None: ...
    def _tick(self, now: datetime) -> None: ...


class Feed:
    """Tells panels what the server says, for as long as there are any. Holds them weakly."""

    def __init__(self) -> None:
        # No lock around them: a panel may be let go by the garbage collector, in whatever code of whichever thread.
        self._panels: dict[int, weakref.ref[Panel]] = {}
        self._newcomer = False
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._latest: wire.Snapshot | None = None
        self._offset_s = 0.0
        self.thread: threading.Thread | None = None

    def __contains__(self, panel: Panel) -> bool:
        ref = self._panels.get(id(panel))
        return ref is not None and ref() is panel  # an older one may have lain at the same address

    def add(self, panel: Panel) -> None:
        """Tell this panel from now on, within a second. Repeatable."""
        if panel in self:
            return
        self._panels[id(panel)] = weakref.ref(panel)
        self._newcomer = True
        with self._starting:
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="educloud-panels", daemon=True)
                self.thread.start()

    def discard(self, panel: Panel) -> None:
        """Tell it nothing more; the thread ends, within a second, with the last one. Repeatable; does not wait."""
        self._panels.pop(id(panel), None)

    def _run(self) -> None:
        socket_after = 0.0
        while self._anybody():
            pause_s = PERIOD_S
            client: Client | None = None
            try:
                from educloud_lab.client import connect

                client = connect()
                self._tell(client.snapshot(), client)
                if time.monotonic() >= socket_after:
                    socket_after = time.monotonic() + SOCKET_AGAIN_S
                    if self._listen(client):
                        socket_after, pause_s = 0.0, FIRST_PAUSE_S  # whatever ended it, asking at once says more
            except Exception as error:  # noqa: BLE001 - no server, no answer, or what an unknown proxy makes of it: the same
                log.debug("the panels cannot ask their server: %s", error)
                self._tell(None, None)
            finally:
                if client is not None:
                    client.close()
            self._wake.wait(pause_s)
            self._wake.clear()

    def _anybody(self) -> bool:
        with self._starting:
            if not self._all():
                self.thread = None
                return False
            return True

    def _listen(self, client: Client) -> bool:
        """Tell what comes through the socket, until it ends; False when it did not open."""
        from educloud_lab.wire import models as wire

        opened = False
        try:
            with open_socket(client.server) as socket:
                opened = True
                while self._all():
                    try:
                        message = socket.recv(timeout=TICK_S)
                    except TimeoutError:
                        if self._newcomer:
                            self._tell(self._latest, client)
                        self._count_down()
                    else:
                        self._tell(wire.SnapshotMessage.model_validate_json(message).snapshot, client)
        except Exception as error:  # noqa: BLE001 - each way of ending has its own; what is true now is asked next
            log.debug("the socket of states ended: %s", error)
        return opened

    def _tell(self, snapshot: wire.Snapshot | None, client: Client | None) -> None:
        self._latest = snapshot
        if snapshot is not None:
            self._offset_s = snapshot.server_time.timestamp() - time.time()
        self._newcomer = False
        for panel in self._all():
            panel._take(snapshot, client)

    def _count_down(self) -> None:
        from datetime import UTC, datetime

        now = datetime.fromtimestamp(time.time() + self._offset_s, UTC)
        for panel in self._all():
            panel._tick(now)

    def _all(self) -> list[Panel]:
        while True:
            try:
                refs = list(self._panels.items())
            except RuntimeError:  # one was let go at this moment
                continue
            break
        found = []
        for key, ref in refs:
            if (panel := ref()) is not None:
                found.append(panel)
            elif self._panels.get(key) is ref:
                self._panels.pop(key, None)
        return found


def open_socket(server: Server) -> AbstractContextManager[Socket]:
    """Open the server's socket of states.

    Raises
    ------
    Exception
        What websockets says when it does not open.
    """
    from websockets.sync.client import connect, unix_connect

    from educloud_lab.client.link import PREFIX

    options: dict[str, Any] = {"max_size": LARGEST_BYTES, "open_timeout": 10, "close_timeout": 1}
    if server.token:
        options["additional_headers"] = {"Authorization": f"token {server.token}"}
    url = f"ws{server.url.removeprefix('http')}{PREFIX}socket"
    if server.socket:
        opened: AbstractContextManager[Socket] = unix_connect(server.socket, url, **options)
    else:
        opened = connect(url, proxy=None, **options)  # a proxy of the environment must not see tokens
    return opened


feed = Feed()
"""The one of this kernel."""
