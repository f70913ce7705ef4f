"""Brokers that are killed by SIGKILL at named points, one process for each, and others that go on.

This process is the world: cloud, machines and gateway in memory. For each point it forks a child that runs a broker on
a real database and on virtual time, and kills itself at that point; then a second broker takes over here, and the cloud
is asked what became of everything. Run as ``python -m tests.contracts.kill_rig`` with one JSON object on its command
line; prints a JSON line for each point.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import shutil
import signal
import socket
import sys
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import create_engine, text

from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.adapters.memory.world import PROFILE, MemoryWorld
from educloud_lab.adapters.sqlstore import SqlStore, transaction
from educloud_lab.broker.broker import Broker
from educloud_lab.broker.config import BrokerConfig
from tests.contracts.kill_ports import Keys, Line, Port, World
from tests.contracts.kill_stories import KEY, STORIES, Story, check, play

CONVERGED_S = 60.0
_PLAIN = frozenset({"address", "allows", "clock_offset_s"})


class InlineStore(SqlStore):
    """The real store without threads, so that virtual time does not pass a transaction by."""

    def __init__(self, url: str, keys: list[bytes]) -> None:
        super().__init__(url, secret_keys=keys)
        self.writes = 0
        self.last_words: Callable[[], None] | None = None  # called inside the next transaction, before its COMMIT

    async def open(self) -> None:
        self._open()

    async def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    async def transact(self, function: Any) -> Any:
        self.writes += 1
        return self._transact(function if self.last_words is None else self._dying(function))

    def _dying(self, function: Any) -> Any:
        def run(tx: Any) -> Any:
            function(tx)
            assert self.last_words is not None
            self.last_words()

        return run

    async def version(self) -> int:
        return self._version()


@dataclass(frozen=True)
class Place:
    """Where stores are made: files copied from an empty one, or databases of a server."""

    folder: Path
    server: str  # '' for SQLite
    keys: list[bytes]

    def prepare(self) -> None:
        """Make the empty one, with its schema."""
        if self.server:
            self._order("CREATE DATABASE {}", self._template)
        store = InlineStore(self._url(self._template), self.keys)
        asyncio.run(store.open())
        asyncio.run(store.close())

    @property
    def _template(self) -> str:
        return f"kill_{self.folder.name}_empty".replace("-", "_")

    def _url(self, name: str) -> str:
        return f"{self.server.rpartition('/')[0]}/{name}" if self.server else f"sqlite:///{self.folder / name}.sqlite"

    def _order(self, order: str, *names: str) -> None:
        engine = create_engine(self.server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(order.format(*names)))
        engine.dispose()

    def fresh(self) -> Iterator[str]:
        """Make one, and remove it afterwards."""
        name = f"kill_{uuid.uuid4().hex}"
        if self.server:
            self._order("CREATE DATABASE {} TEMPLATE {}", name, self._template)
        else:
            shutil.copy(self.folder / f"{self._template}.sqlite", self.folder / f"{name}.sqlite")
        yield self._url(name)
        if self.server:
            self._order("DROP DATABASE {} WITH (FORCE)", name)
        for path in self.folder.glob(f"{name}*"):
            path.unlink()

    def remove(self) -> None:
        """Remove the empty one."""
        if self.server:
            self._order("DROP DATABASE {} WITH (FORCE)", self._template)


def make_broker(
    world: Any, store: InlineStore, clock: FakeClock, story: Story, seed: int, checkpoint: Any = None
) -> Broker:
    """Make a broker on real records and a world that may be far away."""
    more = {} if checkpoint is None else {"checkpoint": checkpoint}
    return Broker(
        store=store,
        cloud=world.cloud,
        shell=world.shell,
        authority=Keys(),
        frontend=world.frontend,
        clock=clock,
        profiles=[PROFILE],
        config=BrokerConfig(workers=4, **story.config),
        random_source=random.Random(seed),
        **more,
    )


async def drive(clock: FakeClock, store: InlineStore, until: Any, limit_s: float) -> float:
    """Move time until a condition on the records holds; return how long it took."""
    seen = -1
    holds = False

    def condition() -> bool:
        nonlocal seen, holds
        if store.writes != seen:
            seen = store.writes
            holds = store._transact(until)
        return holds

    return await clock.drive(condition, limit_s=limit_s)


def lease_id(store: InlineStore) -> str:
    return store._transact(lambda tx: lease.id if (lease := tx.lease_by_key(KEY)) is not None else "")


# The one that is killed.


class Ports:
    """The far world's ports."""

    def __init__(self, line: Line) -> None:
        self.cloud = Port(line, "cloud", _PLAIN)
        self.shell = Port(line, "shell", _PLAIN)
        self.frontend = Port(line, "frontend", _PLAIN)


def doomed(
    sock: socket.socket, url: str, keys: list[bytes], name: str, seed: int, kill: tuple[str, int] | None
) -> None:
    """Be a broker until the ``kill[1]``-th time that it passes the point ``kill[0]``."""
    story = STORIES[name]
    clock = FakeClock()
    transaction.database_now = lambda _connection: clock.now()
    line = Line(sock, clock)
    store = InlineStore(url, keys)
    passed: Counter[str] = Counter()
    trace: list[str] = []

    def die() -> None:
        line.tell("killed", point)
        os.kill(os.getpid(), signal.SIGKILL)

    point = ""

    async def checkpoint(label: str) -> None:
        nonlocal point
        passed[label] += 1
        trace.append(label)
        if kill is None or (label, passed[label]) != kill:
            return
        point = label
        if label.startswith("commit ") and label.endswith(": before"):
            store.last_words = die  # with everything written and nothing committed
        else:
            die()

    async def live() -> None:
        broker = make_broker(Ports(line), store, clock, story, seed, checkpoint)
        await broker.open()
        for number, act in enumerate(story.acts):
            line.tell("act", number)
            await play(story, broker, number, lambda: lease_id(store))
            await drive(clock, store, act.until, act.limit_s)
        line.tell("acts", len(story.acts))
        await broker.close()

    try:
        asyncio.run(live())
        line.tell("trace", trace)
    except BaseException:  # noqa: BLE001 - told to the other side, whatever it is
        line.tell("broken", traceback.format_exc())
    os._exit(0)


# The world, and the one that goes on.


class StoryWorld(World):
    """Also does what the world does in each act."""

    def __init__(self, world: MemoryWorld, sock: socket.socket, story: Story) -> None:
        super().__init__(world, sock)
        self._story = story

    def _answer(self, target: str, method: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[str, Any]:
        if (target, method) == ("story", "act"):
            happens(self.world, self._story, arguments[0])
        return super()._answer(target, method, arguments, named)


def happens(world: MemoryWorld, story: Story, number: int) -> None:
    act = story.acts[number]
    if act.world is not None:
        act.world(world)


async def go_on(world: MemoryWorld, store: InlineStore, story: Story, number: int, seed: int) -> float:
    """Open the second broker: it ends the act and plays the others; return how long the first of them took."""
    broker = make_broker(world, store, world.clock, story, seed + 1000)
    await broker.open()
    try:
        converged_s = await drive(world.clock, store, story.acts[number].until, 900.0)
        for later in range(number + 1, len(story.acts)):
            happens(world, story, later)
            await play(story, broker, later, lambda: lease_id(store))
            await drive(world.clock, store, story.acts[later].until, story.acts[later].limit_s)
    finally:
        await broker.close()
    return converged_s


def one(place: Place, name: str, seed: int, kill: tuple[str, int] | None) -> dict[str, Any]:
    """Play one story, killed at one point or not at all; return what became of it."""
    began_s = time.monotonic()
    story = STORIES[name]
    result: dict[str, Any] = {"story": name, "point": kill, "seed": seed, "wrong": []}
    for url in place.fresh():
        world = MemoryWorld(story.root_device_type)
        story.prepare(world)
        ours, theirs = socket.socketpair()
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            ours.close()
            doomed(theirs, url, place.keys, name, seed, kill)
        theirs.close()
        far = StoryWorld(world, ours, story)
        status = far.serve(pid)
        ours.close()
        result["trace"] = far.told.get("trace")
        if "broken" in far.told:
            result["wrong"].append(far.told["broken"])
        elif kill is not None and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            result["wrong"].append("it was not killed")
        else:
            transaction.database_now = lambda _connection, clock=world.clock: clock.now()
            store = InlineStore(url, place.keys)
            asyncio.run(_finish(world, store, story, far.told, seed, kill, result))
        result["took_s"] = round(time.monotonic() - began_s, 3)
    return result


async def _finish(
    world: MemoryWorld,
    store: InlineStore,
    story: Story,
    told: dict[str, Any],
    seed: int,
    kill: Any,
    result: dict[str, Any],
) -> None:
    await store.open()
    try:
        if kill is not None and "acts" not in told:
            result["converged_s"] = await go_on(world, store, story, told["act"], seed)
            await store.open()
            if result["converged_s"] > CONVERGED_S:
                result["wrong"].append(f"it took {result['converged_s']:.1f} s")
        result["wrong"] += store._transact(lambda tx: check(world, story, tx))
    except Exception:  # noqa: BLE001 - one point's failure is told with its name, the others go on
        result["wrong"].append(traceback.format_exc())
    finally:
        await store.close()


def main() -> None:
    """Do what the order says: trace stories, or kill at points."""
    order = json.loads(sys.argv[1])
    place = Place(Path(order["folder"]), order.get("server", ""), [Fernet.generate_key()])
    place.folder.mkdir(parents=True, exist_ok=True)
    place.prepare()
    try:
        for name, seed, kill in order["points"]:
            result = one(place, name, seed, tuple(kill) if kill else None)
            print(json.dumps(result), flush=True)
    finally:
        place.remove()


if __name__ == "__main__":
    main()
