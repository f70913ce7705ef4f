"""Faults on demand for the memory cloud: each is taken up by the next calls of one operation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from educloud_lab.domain.errors import CloudError, CloudUnreachableError


@dataclass(slots=True)
class Faults:
    """What goes wrong.

    ``errors`` are raised before any effect, one a call; ``lost_replies`` counts calls that have their effect and
    then do not answer. Operations are named as the port's methods.
    """

    errors: dict[str, list[CloudError]] = field(default_factory=dict)
    lost_replies: Counter[str] = field(default_factory=Counter)
    out_of_sight: bool = False  # observe() gets no answer
    lag_s: float = 0.0  # new things are not listed for so long
    pending_for_ever: bool = False
    no_address: bool = False  # Eucalyptus's 0.0.0.0
    silent_attaches: int = 0  # so many attachments are dropped without a word
    silent_detaches: int = 0  # the same for detachments from a machine that runs
    failed_volumes: int = 0  # so many creations end as failed
    zone_state: str = "available"
    system_status: str = "ok"  # of every running instance
    closed_port: bool = False  # the security group lets nobody in
    clock_offset_s: float | None = 0.0  # the cloud's clock
    no_tags_at_creation: bool = False  # as Eucalyptus 4.4
    cannot_grow: bool = False  # as Eucalyptus 4.4 and 5
    failed_snapshots: int = 0  # so many snapshots end as failed
    snapshots_pending: bool = False  # the storage begins with them and does not come to an end
    dead_on_arrival: int = 0  # so many instances end by themselves while pending

    def before(self, operation: str) -> None:
        """Raise what is to be raised before an operation."""
        waiting = self.errors.get(operation)
        if waiting:
            raise waiting.pop(0)

    def after(self, operation: str) -> None:
        """Lose the reply of an operation that had its effect."""
        if self.lost_replies[operation] > 0:
            self.lost_replies[operation] -= 1
            raise CloudUnreachableError("The cloud did not answer.")
