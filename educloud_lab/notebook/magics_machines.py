"""Which machine a magic speaks to. The client and the machines that were named are kept for the kernel's life."""

from __future__ import annotations

from typing import Any

from educloud_lab.domain.errors import EducloudError
from educloud_lab.notebook import magics_words as words
from educloud_lab.notebook.magics_errors import quiet
from educloud_lab.notebook.magics_screen import LiveText

START_TIMEOUT_S = 600.0
OWN = "your machine"
_OF_CONNECTION = frozenset({"server-unreachable", "server-not-found"})


class Machines:
    """Finds machines by lab and slot, and asks again for all of them after the server was away."""

    def __init__(self) -> None:
        self._client: Any = None
        self._known: dict[tuple[str | None, str], Any] = {}

    def find(self, labs: list[str], slots: list[str]) -> dict[str, Any]:
        """Return machines by label, in the order named; without names the notebook's own lab's.

        Raises
        ------
        EducloudError
            There is no server, or no such lab.
        """
        wanted: dict[str, tuple[str | None, str]] = {}
        for lab in labs or [None]:  # type: ignore[list-item]  # None is the notebook's own
            for slot in slots or ["main"]:
                label = lab or OWN if slot == "main" and not slots else f"{lab}/{slot}" if lab else slot
                wanted[label] = (lab, slot)
        return {label: self._one(*key) for label, key in wanted.items()}

    def _one(self, lab: str | None, slot: str) -> Any:
        if (lab, slot) not in self._known:
            if self._client is None:
                from educloud_lab.client import connect

                self._client = connect()
            named = (lab,) if lab else ()
            self._known[lab, slot] = self._client.machine(*named, slot=slot)
        return self._known[lab, slot]

    def forget(self) -> None:
        """Look for everything anew from now on."""
        client, self._client = self._client, None
        self._known.clear()
        if client is not None:
            client.close()

    def explain(self, error: EducloudError, machine: Any) -> EducloudError:
        """Return what was refused with what helps here, and forget what it makes doubtful."""
        if error.code in _OF_CONNECTION or error.code == "not-found":
            self.forget()
        elif error.code == "conflict":  # a refusal: it has not begun
            try:
                state, headline = str(machine.state), str(machine.headline)
            except EducloudError:
                return quiet(error)
            if state != "ready":
                error.what = f"Nothing was run: the machine is not ready ({headline or state})."
                error.next_step = words.NOT_READY
        return quiet(error)


def start_all(machines: dict[str, Any]) -> None:
    """Start machines that are not ready, and return when all are; says how far they are.

    Raises
    ------
    EducloudError
        One did not become ready.
    """
    waiting = {label: machine for label, machine in machines.items() if machine.state != "ready"}
    for machine in waiting.values():  # all at once; waiting comes after
        machine.start()
    for label, machine in waiting.items():
        shown = LiveText()

        def show(lease: Any, label: str = label, shown: LiveText = shown) -> None:
            shown.draw(words.starting(label, str(lease.headline)))

        try:
            machine.wait(phase="ready", timeout_s=START_TIMEOUT_S, progress=show)
            shown.draw(words.starting(label, "ready"))
        finally:
            shown.end()
