"""What Python sees of a lab's machine through a panel: traits that follow the server by the kernel's one socket."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from traitlets import HasTraits, Int, Unicode, default

from educloud_lab.notebook.follower import feed

if TYPE_CHECKING:  # the client (httpx, pydantic) is loaded when it is first asked
    from datetime import datetime

    from educloud_lab.client import Client
    from educloud_lab.wire import models as wire

FOLLOWED = frozenset({"state", "address", "headline", "time_left_s", "warning"})
LOOK_S = 5.0
"""How long the first look of a trait may take."""

UNKNOWN = ("unknown", None, "It is not known where your machine stands.", None, "")
NO_LAB = ("unknown", None, "Neither the panel nor the notebook says which lab this is.", None, "")
NO_MACHINE = ("off", None, "No machine yet", None, "")
log = logging.getLogger(__name__)


class Followed(HasTraits):
    """The traits of a lab's machine.

    Notes
    -----
    The first look at one of them, or the first observer or link, asks the server; from then on they follow it until
    :meth:`unfollow`. What is not known is ``unknown``, never what was true before.
    """

    lab: str | None
    slot: str

    # Not synced: what is synced is saved with the notebook, and an address is nobody else's business.
    state = Unicode(
        "unknown", read_only=True, help="Where the machine stands; 'unknown' while the server cannot be asked"
    )
    address = Unicode(None, allow_none=True, read_only=True, help="The machine's address while it has one")
    headline = Unicode(read_only=True, help="One line that says where it stands")
    time_left_s = Int(
        None, allow_none=True, read_only=True, help="Seconds until it is put to sleep; None while nothing ends it"
    )
    warning = Unicode(read_only=True, help="What is said before it is put to sleep; empty otherwise")

    def __init__(self, **options: Any) -> None:
        self._guard = threading.RLock()
        self._over = False
        self._last: wire.Snapshot | None = None
        self._found: tuple[str, str] | None = None
        self._ends_at: datetime | None = None
        super().__init__(**options)

    def observe(self, handler: Any, names: Any = None, type: str = "change") -> None:  # type: ignore[override]  # noqa: A002 - traitlets' own name
        """Observe traits; the server is followed from now on when one of its traits is named."""
        options = {} if names is None else {"names": names}
        named = {names} if isinstance(names, str) else set(names or ())
        super().observe(handler, type=type, **options)
        if named & FOLLOWED and not self._over:
            feed.add(self)

    def unfollow(self) -> None:
        """Follow no longer, for ever: from now on ``state`` is ``unknown``. Repeatable."""
        if not self._over:
            self._over = True
            feed.discard(self)
            self._show(UNKNOWN)

    @default("state")
    def _first_state(self) -> str:
        return str(self._first_look("state"))

    @default("headline")
    def _first_headline(self) -> str:
        return str(self._first_look("headline"))

    @default("warning")
    def _first_warning(self) -> str:
        return str(self._first_look("warning"))

    @default("address")
    def _first_address(self) -> Any:
        return self._first_look("address")

    @default("time_left_s")
    def _first_time(self) -> Any:
        return self._first_look("time_left_s")

    def _first_look(self, name: str) -> Any:
        """Ask, since nobody has yet, and follow from now on; every trait has a value afterwards."""
        self._look()
        if not self._over:
            feed.add(self)
        return self._trait_values[name]

    def _look(self) -> None:
        """Ask once, now. Whatever prevents it makes the state unknown."""
        from educloud_lab.client import connect

        try:
            if self._over:
                raise RuntimeError("the panel is closed")
            with connect(timeout_s=LOOK_S) as client:
                self._take(client.snapshot(), client)
        except Exception as error:  # noqa: BLE001 - reading a trait must not fail, whatever is wrong with the server
            log.debug("the panel cannot ask its server: %s", error)
            self._take(None, None)

    def _which(self, client: Client) -> tuple[str, str]:
        """Return lab and slot, from the notebook's metadata where they were not given."""
        if lab := self.lab or os.environ.get("EDUCLOUD_LAB"):
            return lab, self.slot
        needs = client.needs()
        return needs.lab, needs.slot if self.slot == "main" else self.slot

    def _take(self, snapshot: wire.Snapshot | None, client: Client | None) -> None:
        """Show what the server said; None, or what a broker says that is not there yet, is nothing known."""
        from educloud_lab.domain.errors import EducloudError

        if self._over:
            return
        if snapshot is None or client is None or not snapshot.version:
            with self._guard:
                self._last = self._found = self._ends_at = None  # found anew with the server
                self._show(UNKNOWN)
            return
        try:
            which = (self._found if self.lab is None else None) or self._which(client)
        except EducloudError as error:
            log.debug("the panel's lab is not known: %s", error)
            self._show(NO_LAB)
            return
        with self._guard:  # also while handlers run: nobody else may put older values between
            last = self._last
            if last and snapshot.version < last.version and snapshot.server_time <= last.server_time:
                return  # was on its way for longer
            self._last, self._found = snapshot, which
            lease = pick(snapshot, *which)
            if lease is None:
                self._ends_at = None
                self._show(NO_MACHINE)
                return
            limits = lease.limits
            self._ends_at = limits.limits[0].ends_at if limits and limits.limits else None
            self._show(
                (
                    str(lease.phase),
                    lease.instance.address if lease.instance else None,
                    lease.headline,
                    _left_s(self._ends_at, snapshot.server_time),
                    limits.warning.text if limits and limits.warning else "",
                )
            )

    def _tick(self, now: datetime) -> None:
        with self._guard:
            if self._ends_at is not None and not self._over:
                self.set_trait("time_left_s", _left_s(self._ends_at, now))

    def _show(self, values: tuple[str, str | None, str, int | None, str]) -> None:
        state, address, headline, time_left_s, warning = values
        new = {"address": address, "headline": headline, "time_left_s": time_left_s, "warning": warning, "state": state}
        with self._guard:
            for name, value in new.items():
                try:
                    self.set_trait(name, value)
                except Exception:  # an observer's mistake must not leave the other traits with what was true before
                    log.exception("an observer of a CloudPanel failed")


def pick(snapshot: wire.Snapshot, lab: str, slot: str) -> wire.Lease | None:
    """Return the person's lease of a lab; a snapshot holds nobody else's."""
    return next((lease for lease in snapshot.leases if (lease.lab, lease.slot) == (lab, slot)), None)


def _left_s(ends_at: datetime | None, now: datetime) -> int | None:
    return None if ends_at is None else max(0, round((ends_at - now).total_seconds()))
