"""How many machines still fit: a sum of our own, since a host that overcommits refuses nothing until it is dead.

Every machine that runs or is on its way counts with all that it may come to use (memory, QEMU's translation cache,
QEMU itself), whether its guest has touched that or not. What all machines together may use is what the host could
give: what is available now and what our machines hold of it already. Counting happens in the transaction that makes
the rows, so that requests at the same time cannot promise the same memory twice.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.state.tables import Instance

UNLIMITED = 999
"""What is told (Eucalyptus's four digits) where memory sets no limit."""

HOLDING = ("pending", "running", "stopping", "shutting-down")
"""States in which an instance counts."""


def capacity(session: Session, cloud: Cloud, memory_bytes: int, wanted: int) -> int:
    """Return how many of the wanted machines of this size may start now."""
    budget = cloud.machine_memory_bytes()
    if budget is None:
        return wanted
    counted = select(Instance.instance_type, func.count()).where(Instance.state.in_(HOLDING))
    taken = 0
    for name, count in session.execute(counted.group_by(Instance.instance_type)):
        kind = cloud.types.get(name)  # unknown where it was started under another profile
        taken += count * promised_bytes(cloud, kind.memory_bytes if kind is not None else memory_bytes)
    return max(0, min(wanted, (budget - taken) // promised_bytes(cloud, memory_bytes)))


def most(cloud: Cloud, memory_bytes: int) -> int:
    """Return how many machines of this size there could be at most, if there were no others."""
    budget = cloud.machine_memory_bytes()
    return UNLIMITED if budget is None else max(0, budget // promised_bytes(cloud, memory_bytes))


def promised_bytes(cloud: Cloud, memory_bytes: int) -> int:
    """Return what a machine of this size may come to take of the host's memory."""
    return memory_bytes + cloud.settings.machine_overhead_bytes


def not_enough(count: int, zone: str, least: int) -> ApiError:
    """Error for too little room, as Eucalyptus's front end words and codes it."""
    return ApiError("ServiceUnavailable", f"Not enough resources ({count} in {zone} < {least}): vm instances.", 503)
