"""The panel in a cell: the same card as the sidebar's, drawn by the browser from the server's state.

The kernel's half holds only which lab it is about. It is no part of how the card stays current: a busy kernel never
makes it stale, and a saved notebook shows it again without a kernel. What Python sees of the machine comes from the
same server, by a socket of the kernel's own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ipywidgets import DOMWidget
from traitlets import Unicode

from educloud_lab.notebook import fallback
from educloud_lab.notebook.followed import Followed, pick

if TYPE_CHECKING:  # the client (httpx, pydantic) is loaded when it is first asked
    from collections.abc import Callable

    from educloud_lab.client import Client
    from educloud_lab.client.machine import Machine
    from educloud_lab.wire import models as wire

MODULE = "educloud-lab"
PROTOCOL = "^1.0.0"
"""Of the two halves of the widget, not of the package: it changes with the meaning of the synced traits only."""

MIME_TYPE = "application/vnd.educloud.panel+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class CloudPanel(Followed, DOMWidget):  # type: ignore[misc]  # ipywidgets ships no types
    """A lab's machine in a cell.

    Parameters
    ----------
    lab : the lab's name; None takes it from the notebook's metadata (``educloud``), in the page as in Python.
    machine_profile : what the machine is made from; None as above.
    slot : which of your machines in this lab.

    Notes
    -----
    ``state``, ``address``, ``headline``, ``time_left_s`` and ``warning`` say where the machine stands. The first look
    at one of them, or the first observer or link, asks the server; from then on they follow it until :meth:`close`.
    Handlers run in a thread beside the kernel's, so also while a cell computes. ``state`` changes last: a handler of it
    finds the others current. What is not known is ``unknown``, never what was true before.
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

    def __init__(
        self, lab: str | None = None, machine_profile: str | None = None, slot: str = "main", **options: Any
    ) -> None:
        self._client: Client | None = None
        super().__init__(lab=lab, machine_profile=machine_profile, slot=slot, **options)

    # --- what can be asked of the machine ---------------------------------------------------------------------------

    @property
    def machine(self) -> Machine:
        """Your machine of this lab, for Python: ``panel.machine.run("uname -a")``. Recorded when there is none yet.

        Raises
        ------
        LabUnknownError
            No lab was given, and the notebook names none.
        EducloudError
            There is no server, or it refuses.
        """
        found = self._asker().machine(self.lab, self.machine_profile, self.slot)
        if self.lab is None:
            self._found = (found.lab, found.slot)
        return found

    def start(self) -> Machine:
        """Want it running; :meth:`wait` waits for it. The same as Start in the panel."""
        return self._did(self.machine.start())

    def stop(self) -> Machine:
        """Want it stopped; its data volume is saved first."""
        return self._did(self.machine.stop())

    def keep(self) -> Machine:
        """Give it its full time again, from now."""
        return self._did(self.machine.keep())

    def wait(
        self,
        phase: str = "ready",
        timeout_s: float = 300.0,
        *,
        progress: Callable[[wire.Lease], object] | None = None,
    ) -> Machine:
        """Return the machine once it is in a phase (``ready``, ``asleep``, ``off``).

        Parameters
        ----------
        timeout_s : how long to wait at most, in seconds.
        progress : called at each look with the lease.

        Raises
        ------
        WaitTimeoutError
            Not in time; it goes on by itself.
        EducloudError
            It came into trouble instead: what happened, what was kept, what to do.
        """
        try:
            return self.machine.wait(phase, timeout_s, progress=progress)
        finally:
            self._look()

    async def ready(self, timeout_s: float = 300.0) -> Machine:
        """Do the same for ``ready`` without holding the kernel: ``await panel.ready()``."""
        # In threads: to find the machine, a broker that is being started is waited for.
        machine = await asyncio.to_thread(lambda: self.machine)
        try:
            return await machine.ready(timeout_s)
        finally:
            await asyncio.to_thread(self._look)

    def lease(self) -> wire.Lease:
        """Ask the server and return the lease; while its broker is being started, wait for it.

        Raises
        ------
        LabUnknownError
            No lab was given, and the notebook names none.
        NotFoundError
            The machine was never asked for.
        EducloudError
            There is no server, or no broker in it: why, and what to do.
        """
        from educloud_lab.domain.errors import NotFoundError

        client = self._asker()
        snapshot = client.settled()
        lab, slot = self._which(client)
        self._take(snapshot, client)
        found = pick(snapshot, lab, slot)
        if found is None:
            raise NotFoundError(f"There is no machine for the lab '{lab}' yet.", next_step="Press Start in the panel.")
        return found

    def close(self) -> None:
        """Close the widget, and stop following: from now on ``state`` is ``unknown``."""
        self.unfollow()
        client, self._client = self._client, None
        if client is not None:
            client.close()
        super().close()

    def _did(self, machine: Machine) -> Machine:
        self._look()
        return machine

    def _asker(self) -> Client:
        """Return a client of the server as it is found now: after a restart it is somewhere else."""
        from educloud_lab.client import connect

        if self._over:
            raise RuntimeError("This panel is closed. Make a new one: CloudPanel().")
        fresh = connect()
        if self._client is not None and self._client.server == fresh.server:
            fresh.close()
            return self._client
        # An older one is not closed: a Machine that was handed out may still use it.
        self._client = fresh
        return fresh

    # --- what the page gets -----------------------------------------------------------------------------------------

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return a payload that the page draws without a kernel, and texts for pages that cannot.

        The widget's own view is left out: pages without our extension, nbconvert's and VS Code prefer it to words, and
        then show an error, or fetch the module of that name from a public server (docs/decisions/0027). As a part of
        other widgets the panel is a widget as ever.
        """
        from datetime import UTC, datetime

        bundle: dict[str, Any] = super()._repr_mimebundle_(**options) or {}
        bundle.pop(WIDGET_VIEW, None)
        state = self._state_to_tell() if fallback.front_end() != "jupyter" else None
        at = datetime.now(UTC).strftime("%H:%M UTC")
        return (
            bundle
            | fallback.texts(self.lab, state, at)
            | {
                MIME_TYPE: {
                    "version": 1,
                    "lab": self.lab,
                    "machine_profile": self.machine_profile,
                    "slot": self.slot,
                }
            }
        )

    def _state_to_tell(self) -> str:
        """Return the state for a front end that cannot draw it; showing a panel starts no broker of its own."""
        from educloud_lab.client.errors import ServerNotFoundError
        from educloud_lab.client.find import find_server

        if "state" not in self._trait_values:
            try:
                find_server()
            except ServerNotFoundError:
                return "unknown"
        return str(self.state)
