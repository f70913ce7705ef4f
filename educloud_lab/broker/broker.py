"""The broker: the use cases of :class:`~educloud_lab.broker.api.BrokerApi` over the ports."""

from __future__ import annotations

import logging
import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from educloud_lab.broker import grants, profiles, snapshot
from educloud_lab.broker.accounts import Accounts
from educloud_lab.broker.auditing import Seldom, audit
from educloud_lab.broker.checks.use import Checks
from educloud_lab.broker.clock import wait_event
from educloud_lab.broker.config import BrokerConfig
from educloud_lab.broker.doctor import Doctor
from educloud_lab.broker.intents import want
from educloud_lab.broker.jobs import Jobs
from educloud_lab.broker.limits import Limits
from educloud_lab.broker.oversight import Oversight
from educloud_lab.broker.owning import own_lease
from educloud_lab.broker.pace import Pace, paced
from educloud_lab.broker.parts import Bell, Checkpoint, Parts, no_checkpoint
from educloud_lab.broker.reconciler import Reconciler
from educloud_lab.broker.sight import Sight, snapshot_sight
from educloud_lab.broker.timekeeper import Timekeeper
from educloud_lab.broker.volumes import Volumes
from educloud_lab.domain.errors import ConfirmationError, ConflictError, EducloudError
from educloud_lab.domain.job import TARGET_OF, JobKind
from educloud_lab.domain.lease import LeaseKey, Status, Target
from educloud_lab.domain.profile import MachineProfile
from educloud_lab.ports.clock import Clock
from educloud_lab.ports.cloud import Cloud
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.shell import Authority, Frontend, Grant, Shell
from educloud_lab.ports.store import Store, Transaction
from educloud_lab.wire import models as wire

_log = logging.getLogger(__name__)
_USER_CA = "user-ca"
_CONSOLE_S = 600.0  # an open console asks every few seconds: one line of the audit log for each time so long


class Broker:
    """Decides, records and calls the cloud; several brokers on one store share the work.

    Parameters
    ----------
    store, cloud, shell, authority, frontend, clock
        The ports. ``frontend`` is None where machines are reached directly.
    profiles
        Machine profiles that may be started.
    profile_problems
        What was wrong with profile files, shown to people.
    course
        Until courses exist there is one, ``local``.
    config
        Periods, limits and the cloud's name.
    random_source
        For jitter; tests give a seeded one.
    checkpoint
        Called between effects and records; tests crash there.
    """

    def __init__(
        self,
        *,
        store: Store,
        cloud: Cloud,
        shell: Shell,
        authority: Authority,
        frontend: Frontend | None,
        clock: Clock,
        profiles: Sequence[MachineProfile],
        profile_problems: Sequence[EducloudError] = (),
        course: str = "local",
        config: BrokerConfig | None = None,
        random_source: random.Random | None = None,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        config = config or BrokerConfig()
        self._profiles = tuple(profiles)
        self._profile_problems = tuple(profile_problems)
        self._watchers = 0
        self._consoles = Seldom(_CONSOLE_S)
        cloud = paced(cloud, Pace(store, clock, config))
        self._parts = Parts(
            store=store,
            cloud=cloud,
            shell=shell,
            authority=authority,
            frontend=frontend,
            clock=clock,
            config=config,
            course=course,
            holder=f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}",
            random=random_source or random.Random(),  # noqa: S311 - jitter, nothing secret
            checkpoint=checkpoint,
            sight=Sight(cloud, clock, period_s=config.busy_poll_s, on_health=self._on_health),
            snapshot_sight=snapshot_sight(cloud, clock, period_s=config.busy_poll_s),
        )
        self.limits = Limits(self._parts)
        self._timekeeper = Timekeeper(self._parts, self.limits)
        self.volumes = Volumes(self._parts)
        self.oversight = Oversight(self._parts)
        self.doctor = Doctor(self._parts)
        self.checks = Checks(self._parts)
        self.accounts = Accounts(self._parts)
        self._reconciler = Reconciler(self._parts, Jobs(self._parts).attempt, lambda: self._watchers)

    async def open(self) -> None:
        """Open the store (upgrading it), make the authority, start reconciling."""
        parts = self._parts
        await parts.store.open()
        fresh = parts.authority.new_key_pair()

        def found(tx: Transaction) -> None:
            parts.deployment = tx.meta("deployment") or secrets.token_hex(16)
            if tx.meta("deployment") is None:
                tx.set_meta("deployment", parts.deployment)
            parts.user_ca = tx.secret(_USER_CA)
            if parts.user_ca is None:
                tx.put_secret(_USER_CA, fresh)
                parts.user_ca = fresh

        await parts.store.transact(found)
        self._reconciler.start()
        self._timekeeper.start()
        self.oversight.start()

    async def close(self) -> None:
        """Stop reconciling; jobs in flight stay recorded and are taken up by the next broker."""
        await self.oversight.close()
        await self._timekeeper.close()
        await self._reconciler.close()
        self._parts.sight.close()
        self._parts.snapshot_sight.close()
        await self._parts.store.close()

    async def _on_health(self, error: EducloudError | None) -> None:
        """Let everybody's version grow when the cloud goes out of sight or comes back."""
        code = error.code if error is not None else "ok"
        await self._parts.transact(lambda tx: tx.set_meta("cloud-health", code))

    @property
    def user_ca_public(self) -> str:
        """Public key line of the authority that machines and the gateway's lines trust."""
        return self._parts.ca().public

    async def snapshot(self, person: str) -> wire.Snapshot:
        """Return everything that the person may see."""
        return await self._parts.store.transact(
            lambda tx: snapshot.build(tx, self._parts, person, self._profiles, self._profile_problems)
        )

    async def watch(self, person: str) -> AsyncIterator[wire.Snapshot]:
        """Yield the snapshot now and whenever the version grew, whoever changed something."""
        parts = self._parts
        self._watchers += 1
        parts.kick.ring()
        try:
            version = -1
            while True:
                event = parts.changed.event
                if await parts.store.version() > version:
                    current = await self.snapshot(person)
                    version = current.version
                    yield current
                    continue
                await wait_event(parts.clock, event, parts.config.version_poll_s)
        finally:
            self._watchers -= 1

    def _own(self, tx: Transaction, person: str, lease_id: str) -> LeaseRecord:
        return own_lease(tx, self._parts, person, lease_id)

    async def ensure_lease(self, person: str, request: wire.LeaseRequest) -> wire.Lease:
        """Return the lease of (course, lab, person, slot), made when it does not exist; starts it when asked to."""
        profile = profiles.find(self._profiles, self._profile_problems, request.machine_profile)
        key = LeaseKey(course=self._parts.course, lab=request.lab, person=person, slot=request.slot)

        def ensure(tx: Transaction) -> wire.Lease:
            lease = tx.lease_by_key(key)
            if lease is None:
                lease = profiles.new_lease(tx, key, profile)
            elif lease.profile != profile:
                lease = profiles.take_over(tx, lease, profile)
            if request.start:
                lease = want(tx, lease, Target.RUNNING, who=person)
            return snapshot.wire_lease(tx, self._parts, tx.lease(lease.id) or lease)

        return await self._changing(ensure)

    async def _changing(self, function: Callable[[Transaction], wire.Lease]) -> wire.Lease:
        lease = await self._parts.transact(function)
        self._parts.nudged.setdefault(lease.id, Bell()).ring()
        self._parts.kick.ring()
        return lease

    async def _want(self, person: str, lease_id: str, kind: JobKind) -> wire.Lease:
        def change(tx: Transaction) -> wire.Lease:
            lease = self._own(tx, person, lease_id)
            profile = next((each for each in self._profiles if each.name == lease.profile.name), lease.profile)
            if kind is JobKind.START and profile != lease.profile:
                lease = profiles.take_over(tx, lease, profile)
            return snapshot.wire_lease(tx, self._parts, want(tx, lease, TARGET_OF[kind], who=person))

        return await self._changing(change)

    async def start(self, person: str, lease_id: str) -> wire.Lease:
        """Want it running. A second Start is the same Start; while stopping it follows the stop."""
        return await self._want(person, lease_id, JobKind.START)

    async def stop(self, person: str, lease_id: str) -> wire.Lease:
        """Want it stopped: the volume is unmounted and detached first."""
        return await self._want(person, lease_id, JobKind.STOP)

    async def delete(self, person: str, lease_id: str, *, confirm: str) -> wire.Lease:
        """Want its machine gone; the data volume stays."""

        def check(tx: Transaction) -> None:
            lease = self._own(tx, person, lease_id)
            if confirm.strip() != lease.lab:
                raise ConfirmationError(
                    "The name that was typed is not the lab's name.",
                    kept="Nothing was deleted.",
                    next_step=f"Type '{lease.lab}' to delete this machine.",
                )

        await self._parts.store.transact(check)
        return await self._want(person, lease_id, JobKind.DELETE)

    async def extend(self, person: str, lease_id: str) -> wire.Lease:
        """Keep: give a running lease its profile's full time again from now."""
        return await self.limits.keep(person, lease_id)

    async def console(self, person: str, lease_id: str) -> wire.Console:
        """Return the console output of the present instance."""
        new = self._consoles.is_new((person, lease_id), self._parts.clock.monotonic_s())

        def read(tx: Transaction) -> tuple[LeaseRecord, datetime]:
            lease = self._own(tx, person, lease_id)
            if lease.instance_id is None:
                raise ConflictError("There is no machine, so it has no console.", next_step="Press Start.")
            if new:
                audit(tx, who=person, what="console.read", lease=lease, subject=lease.instance_id)
            return lease, tx.now()

        lease, now = await self._parts.store.transact(read)
        assert lease.instance_id is not None
        text = await self._parts.cloud.console_output(lease.instance_id)
        return wire.Console(lease_id=lease_id, text=text, read_at=now)

    async def grant(self, person: str, lease_id: str) -> Grant:
        """Give a ten-minute permission to connect to the person's own running machine."""

        def give(tx: Transaction) -> tuple[LeaseRecord, datetime]:
            lease = self._own(tx, person, lease_id)
            if lease.status is not Status.RUNNING or lease.target is not Target.RUNNING:
                raise ConflictError(
                    "The machine is not running.",
                    kept="Your files are safe.",
                    next_step="Press Start and wait until it is ready.",
                )
            audit(tx, who=person, what="grant.given", lease=lease, subject=lease.instance_id or "")
            return lease, tx.now()

        lease, now = await self._parts.store.transact(give)
        return grants.person_grant(self._parts, lease, now)
