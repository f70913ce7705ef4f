"""What all of the broker's modules share: the ports, the patience, and a bell that rings when something changed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from educloud_lab.broker.config import BrokerConfig
from educloud_lab.broker.sight import Sight
from educloud_lab.ports.clock import Clock
from educloud_lab.ports.cloud import Cloud
from educloud_lab.ports.shell import Authority, Frontend, KeyPairText, Shell
from educloud_lab.ports.store import Store, Transaction

T = TypeVar("T")

Checkpoint = Callable[[str], Awaitable[None]]
"""Called with a name between each outside effect and its record; tests crash there."""


async def no_checkpoint(_name: str) -> None:
    """Do nothing: production passes every checkpoint."""


class Bell:
    """Wakes everybody who waits; each ring makes a new event."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait now."""
        self.event.set()
        self.event = asyncio.Event()


@dataclass(slots=True)
class Parts:
    """The broker's ports and shared state."""

    store: Store
    cloud: Cloud
    shell: Shell
    authority: Authority
    frontend: Frontend | None
    clock: Clock
    config: BrokerConfig
    course: str
    holder: str
    random: random.Random
    checkpoint: Checkpoint
    sight: Sight
    snapshot_sight: Sight  # looks at snapshots only, and only while somebody waits for one
    changed: Bell = field(default_factory=Bell)  # something of ours changed: watchers look
    kick: Bell = field(default_factory=Bell)  # the reconciler has something to do
    nudged: dict[str, Bell] = field(default_factory=dict)  # by lease: its run should look at the target now
    deployment: str = ""
    user_ca: KeyPairText | None = None

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        """Run a transaction and wake the watchers."""
        result = await self.store.transact(function)
        self.changed.ring()
        return result

    def ca(self) -> KeyPairText:
        """Return the user authority's key pair; there is one once the broker is open."""
        if self.user_ca is None:
            msg = "the broker is not open"
            raise RuntimeError(msg)
        return self.user_ca
