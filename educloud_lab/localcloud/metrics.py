"""Figures of the running cloud in Prometheus's text form: what callers ask, what there is, how the process fares."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.capacity import HOLDING, promised_bytes
from educloud_lab.localcloud.cloud import Cloud
from educloud_lab.localcloud.state.database import StateSession
from educloud_lab.localcloud.state.tables import Fault, Image, Instance, Snapshot, Volume

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
PATH = "/metrics"
LAG_PERIOD_S = 1.0
INSTANCE_STATES = ("pending", "running", "stopping", "stopped", "shutting-down", "terminated")
VOLUME_STATES = ("creating", "available", "in-use", "deleting", "deleted", "failed")

_REQUEST_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_START_BUCKETS_S = (0.1, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 600.0, 3600.0)
_LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """Counts what happens, and reads the rows when asked. One a process.

    Parameters
    ----------
    cloud : the cloud that is measured.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "educloud_cloud_requests",
            "Requests by action and outcome: ok, or the error's code.",
            ["action", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "educloud_cloud_request_seconds",
            "From a request's head to its answer.",
            ["action"],
            buckets=_REQUEST_BUCKETS_S,
            registry=registry,
        )
        self._starts = Histogram(
            "educloud_cloud_instance_start_seconds",
            "From pending to running.",
            buckets=_START_BUCKETS_S,
            registry=registry,
        )
        self._lag = Histogram(
            "educloud_cloud_loop_lag_seconds",
            "How late the event loop woke, looked at each second.",
            buckets=_LAG_BUCKETS_S,
            registry=registry,
        )

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"educloud_cloud_{name}", text, labels, registry=registry)

        self._instances = gauge("instances", "Instances by state.", "state")
        self._volumes = gauge("volumes", "Volumes by state, system disks among them.", "state")
        self._snapshots = gauge("snapshots", "Snapshots by state.", "state")
        self._images = gauge("images", "Registered images by state.", "state")
        self._work = gauge("work", "What the cloud works on now, by kind.", "kind")
        self._transactions = gauge("transactions_waiting", "Transactions that wait for their turn.")
        self._promised = gauge("memory_promised_bytes", "Memory that machines were promised.")
        self._free = gauge("memory_free_bytes", "Memory that new machines may be promised; +Inf without a limit.")
        self._disk = gauge("disk_free_bytes", "Free disk where volumes lie.")
        self._disk_size = gauge("disk_size_bytes", "Size of the disk where volumes lie.")
        self._faults = gauge("fault_strikes", "How often the faults that are set now struck, by kind.", "kind")
        self._pending_since: dict[str, float] = {}
        cloud.database.observers.append(self._observe)
        self.work: Mapping[str, str] = {}
        """What is under way: key to kind. The supervisor's own table."""

    def request(self, action: str, outcome: str, took_s: float) -> None:
        """Count a request. ``action`` is one that exists, or ``unknown``."""
        self._requests.labels(action, outcome).inc()
        self._seconds.labels(action).observe(took_s)

    async def watch_lag(self) -> None:
        """Measure for ever how late the loop wakes."""
        while True:
            due = time.monotonic() + LAG_PERIOD_S
            await asyncio.sleep(LAG_PERIOD_S)
            self._lag.observe(max(0.0, time.monotonic() - due))

    async def text(self) -> bytes:
        """Return everything in Prometheus's text form."""
        waiting = self._cloud.database.waiting
        counts, faults, promised = await self._cloud.database.run(self._count)
        for gauge, known, table in (
            (self._instances, INSTANCE_STATES, Instance),
            (self._volumes, VOLUME_STATES, Volume),
            (self._snapshots, ("pending", "completed"), Snapshot),
            (self._images, ("available", "failed"), Image),
        ):
            found = counts[table.__tablename__]
            for state in {*known, *found}:
                gauge.labels(state).set(found.get(state, 0))
        self._faults.clear()
        for kind, struck in faults.items():
            self._faults.labels(kind).set(struck)
        self._work.clear()
        for kind in self.work.values():
            self._work.labels(kind).inc()
        self._transactions.set(waiting)
        budget = self._cloud.machine_memory_bytes()
        self._promised.set(promised)
        self._free.set(float("inf") if budget is None else max(0, budget - promised))
        disk = await asyncio.to_thread(shutil.disk_usage, self._cloud.settings.folders.volumes)
        self._disk.set(disk.free)
        self._disk_size.set(disk.total)
        return generate_latest(self.registry)

    def _count(self, session: Session) -> tuple[dict[str, dict[str, int]], dict[str, int], int]:
        counts: dict[str, dict[str, int]] = {}
        for table in (Instance, Volume, Snapshot, Image):
            query = select(table.state, func.count()).group_by(table.state)
            counts[table.__tablename__] = {row[0]: row[1] for row in session.execute(query)}
        strikes = select(Fault.kind, func.sum(Fault.struck)).group_by(Fault.kind)
        holding = select(Instance.instance_type, func.count()).where(Instance.state.in_(HOLDING))
        promised = 0
        for name, count in session.execute(holding.group_by(Instance.instance_type)):
            kind = self._cloud.types.get(name)
            promised += count * promised_bytes(self._cloud, kind.memory_bytes) if kind is not None else 0
        return counts, {row[0]: int(row[1]) for row in session.execute(strikes)}, promised

    def _observe(self, session: StateSession) -> None:
        """Take the time of starts. In the worker thread, within the transaction."""
        for row in (*session.new, *session.dirty):
            if not isinstance(row, Instance) or not inspect(row).attrs.state.history.has_changes():
                continue
            now_s = self._cloud.clock.monotonic_s()
            if row.state == "pending":
                self._pending_since[row.id] = now_s
            elif (since_s := self._pending_since.pop(row.id, None)) is not None and row.state == "running":
                self._starts.observe(now_s - since_s)
