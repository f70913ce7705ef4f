"""The panel in a cell: the same card as the sidebar's, drawn by the browser from the server's state.

The kernel's half holds only which lab it is about. It is no part of how the card stays current: a busy kernel never
makes it stale, and a saved notebook shows it again without a kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipywidgets import DOMWidget
from traitlets import Int, Unicode

from educloud_lab.notebook.follower import Follower

if TYPE_CHECKING:  # the client (httpx, pydantic) is loaded when it is first asked
    from datetime import datetime

    from educloud_lab.wire import models as wire

MODULE = "educloud-lab"
PROTOCOL = "^1.0.0"
"""Of the two halves of the widget, not of the package: it changes with the meaning of the synced traits only."""

MIME_TYPE = "application/vnd.educloud.panel+json"
FOLLOWED = frozenset({"state", "address", "headline", "time_left_s", "warning"})

FALLBACK = (
    "The panel of your machine is not shown, because this page lacks the educloud-lab extension. Install it where"
    " JupyterLab runs (pip install educloud-lab), restart the server, not the kernel, and reload the page."
)


class CloudPanel(DOMWidget):  # type: ignore[misc]  # ipywidgets ships no types
    """A lab's machine in a cell.

    Parameters
    ----------
    lab : the lab's name; None takes it from the notebook's metadata (``educloud``).
    machine_profile : what the machine is made from; None as above.
    slot : which of your machines in this lab.

    Notes
    -----
    ``state``, ``address``, ``headline``, ``time_left_s`` and ``warning`` follow the server for as long as something
    observes one of them (``panel.observe(handler, "state")``; handlers run in a thread of the panel's);
    :meth:`lease` asks once.
    """

    _model_module = Unicode(MODULE).tag(sync=True)
    _model_module_version = Unicode(PROTOCOL).tag(sync=True)
    _model_name = Unicode("CloudPanelModel").tag(sync=True)
    _view_module = Unicode(MODULE).tag(sync=True)
    _view_module_version = Unicode(PROTOCOL).tag(sync=True)
    _view_name = Unicode("CloudPanelView").tag(sync=True)

    lab = Unicode(None, allow_none=True, help="The lab's name").tag(sync=True)
    machine_profile = Unicode(None, allow_none=True, help="What the machine is made from").tag(sync=True)
    slot = Unicode("main", help="Which of your machines in this lab").tag(sync=True)

    state = Unicode("unknown", read_only=True, help="Where the machine stands; 'unknown' while nobody observes")
    address = Unicode(None, allow_none=True, read_only=True, help="The machine's address while it has one")
    headline = Unicode("", read_only=True, help="One line that says where it stands")
    time_left_s = Int(
        None, allow_none=True, read_only=True, help="Seconds until it is put to sleep; None while nothing ends it"
    )
    warning = Unicode("", read_only=True, help="What is said before it is put to sleep; empty otherwise")

    def __init__(
        self, lab: str | None = None, machine_profile: str | None = None, slot: str = "main", **options: Any
    ) -> None:
        self._follower: Follower | None = None
        super().__init__(lab=lab, machine_profile=machine_profile, slot=slot, **options)

    def lease(self) -> wire.Lease:
        """Ask the server once and return the lease; ``state`` and the other traits take what it says.

        Raises
        ------
        ValueError
            The kernel does not know the lab: it was left to the notebook's metadata, which only the page reads.
        NotFoundError
            The machine was never asked for.
        """
        from educloud_lab.client import connect
        from educloud_lab.domain.errors import NotFoundError

        self._require_lab()
        with connect() as client:
            snapshot = client.snapshot()
        found = self._pick(snapshot)
        self._take(found, snapshot.server_time)
        if found is None:
            raise NotFoundError(
                f"There is no machine for the lab '{self.lab}' yet.", next_step="Press Start in the panel."
            )
        return found

    def observe(self, handler: Any, names: Any = None, type: str = "change") -> None:  # noqa: A002 - traitlets' own name
        """Observe traits; what the server says is followed from now on when one of its traits is named."""
        options = {} if names is None else {"names": names}
        named = {names} if isinstance(names, str) else set(names or ())
        if named & FOLLOWED:
            self._require_lab()
        super().observe(handler, type=type, **options)
        if named & FOLLOWED and self._follower is None:
            self._follower = Follower(self)

    def unobserve_all(self, *args: Any, **options: Any) -> None:
        """Remove handlers, and stop following the server."""
        super().unobserve_all(*args, **options)
        self._end()

    def close(self) -> None:
        """Close the widget, and stop following the server."""
        self._end()
        super().close()

    def _end(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()

    def _require_lab(self) -> None:
        if self.lab is None:
            raise ValueError(
                "This panel takes its lab from the notebook's metadata, which only the page reads. Name it to use it"
                ' from Python: CloudPanel(lab="…", machine_profile="…").'
            )

    def _pick(self, snapshot: wire.Snapshot) -> wire.Lease | None:
        return next((lease for lease in snapshot.leases if (lease.lab, lease.slot) == (self.lab, self.slot)), None)

    def _take(self, lease: wire.Lease | None, now: datetime | None = None) -> None:
        limits = lease.limits if lease else None
        ends_at = limits.limits[0].ends_at if limits and limits.limits else None
        left_s = max(0, round((ends_at - now).total_seconds())) if ends_at and now else None
        self.set_trait("headline", lease.headline if lease else "")
        self.set_trait("address", lease.instance.address if lease and lease.instance else None)
        self.set_trait("time_left_s", left_s)
        self.set_trait("warning", limits.warning.text if limits and limits.warning else "")
        self.set_trait("state", str(lease.phase) if lease else "unknown")

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widget's view, a payload that the page can draw without a kernel, and texts for other pages."""
        bundle: dict[str, Any] = super()._repr_mimebundle_(**options) or {}
        what = f"CloudPanel of the lab {self.lab!r}" if self.lab else "CloudPanel"
        return bundle | {
            "text/plain": f"{what}. {FALLBACK}",
            "text/html": f"<p>{FALLBACK}</p>",
            MIME_TYPE: {
                "version": 1,
                "lab": self.lab,
                "machine_profile": self.machine_profile,
                "slot": self.slot,
            },
        }
