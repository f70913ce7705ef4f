"""Figures about what is left over, beside Jupyter Server's own at ``<base URL>/metrics`` (Prometheus's text format).

They are those of the last sweep for orphans: a scrape reads numbers that are there and asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from prometheus_client import Gauge


class Figures(Protocol):
    """What is shown (:class:`educloud_lab.broker.oversight.Figures`)."""

    @property
    def orphans(self) -> int:
        """Things in the cloud without owner that were not acted on."""

    @property
    def ended(self) -> int:
        """Instances that this broker ended because nobody owned them."""

    @property
    def quarantined(self) -> int:
        """Volumes that this broker put into quarantine."""

    @property
    def halted(self) -> bool:
        """Whether a person has to look before anything is ended."""

    @property
    def oldest_intent_s(self) -> float:
        """Age of the oldest job that has not ended, in seconds."""


_GAUGES: Final = {
    "orphans": Gauge("educloud_orphans", "Things in the cloud that nobody owns and that were not acted on"),
    "ended": Gauge("educloud_orphans_ended", "Instances ended by this server because nobody owned them"),
    "quarantined": Gauge("educloud_orphans_quarantined", "Volumes put into quarantine by this server"),
    "halted": Gauge("educloud_orphans_halted", "1: a person has to look before anything is ended"),
    "oldest_intent_s": Gauge("educloud_oldest_intent_seconds", "Age of the oldest job that has not ended"),
}


def show(figures: Callable[[], Figures | None]) -> None:
    """Show these figures from now on; nothing (NaN) as long as there are none."""
    for name, gauge in _GAUGES.items():
        gauge.set_function(_reader(figures, name))


def _reader(figures: Callable[[], Figures | None], name: str) -> Callable[[], float]:
    def read() -> float:
        found = figures()
        return float("nan") if found is None else float(getattr(found, name))

    return read
