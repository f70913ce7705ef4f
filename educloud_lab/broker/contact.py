"""Connecting to the machine, and the change from the bootstrap host key to the machine's own (I8)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from educloud_lab.broker import grants
from educloud_lab.broker.machine import bootstrap_name, stopped_by_itself
from educloud_lab.broker.run import Run
from educloud_lab.broker.scripts import first_contact
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.broker.tags import find_instance
from educloud_lab.domain.errors import HostKeyError, LoginRefusedError, MachineUnreachableError, NeverAnsweredError
from educloud_lab.domain.job import HostKeyStage
from educloud_lab.ports.cloud import InstanceState
from educloud_lab.ports.shell import Connection
from educloud_lab.ports.store import Transaction

_DOWN = (InstanceState.STOPPED, InstanceState.TERMINATED, InstanceState.SHUTTING_DOWN, InstanceState.STOPPING)
_LOOK_S = 2.0  # how often a machine that does not answer is looked for in the cloud
_RELOAD_S = 5.0
_VERIFY_S = 20.0  # sshd takes a moment to come back with its new key


async def dial(run: Run, *, limit_s: float) -> Connection:
    """Connect as the broker, trying again while nobody answers.

    Raises
    ------
    NeverAnsweredError
        Nobody answered within the limit.
    HostKeyError, LoginRefusedError
        As the port says; a refused login is tried again for a while, since a guest's clock corrects itself.
    CloudStateError
        The machine went down meanwhile.
    """
    parts, config = run.parts, run.parts.config
    began_s = looked_s = parts.clock.monotonic_s()
    grant = await grants.broker_grant(parts, run.lease)
    made_s = began_s
    while True:
        run.check()
        try:
            return await parts.shell.connect(grant, timeout_s=config.connect_timeout_s)
        except MachineUnreachableError as error:
            if parts.clock.monotonic_s() - began_s > limit_s:
                raise NeverAnsweredError(
                    f"The machine did not answer within {limit_s:.0f} seconds.",
                    kept="Your data volume was not changed.",
                    next_step="Look at the console log. Press Start to try again, or Delete machine for a new one.",
                ) from error
        except LoginRefusedError:
            if parts.clock.monotonic_s() - began_s > config.login_refused_limit_s:
                raise
        await run.after(config.connect_retry_s)
        now_s = parts.clock.monotonic_s()
        if now_s - looked_s > _LOOK_S:
            looked_s = now_s
            seen = find_instance(await run.look(), parts.deployment, run.lease)
            if seen is not None and seen.state in _DOWN:
                raise stopped_by_itself()
        if now_s - made_s > config.grant_s / 2:
            grant, made_s = await grants.broker_grant(parts, run.lease), now_s


async def connect(run: Run) -> None:
    """Connect, and see that the machine shows its own key from now on."""
    await run.say("The machine is booting")
    connection = await dial(run, limit_s=run.parts.config.contact_limit_s)
    run.on_end(connection.close)
    run.notes["connection"] = connection
    if run.lease.host_key_stage is HostKeyStage.BOOTSTRAP:
        completed = await run.outside("own-host-key", lambda: connection.run(first_contact.OWN_HOST_KEY))
        answer = read_answer("own-host-key", completed, first_contact.OWN_HOST_KEY_FORMS, required=("key",))
        await run.put_lease("host key", host_key=answer["key"], host_key_stage=HostKeyStage.SWITCHING)
    if run.lease.host_key_stage is HostKeyStage.SWITCHING:
        completed = await run.outside("switch-host-key", lambda: connection.run(first_contact.SWITCH_HOST_KEY))
        read_answer("switch-host-key", completed, {})
        # The disk is prepared over the old connection while a new one proves the new key.
        task = asyncio.create_task(_verify(run), name="step connect")
        run.notes["verified"] = task
        run.on_end(lambda: _cancel(task))


async def _verify(run: Run) -> None:
    """Connect once more, accepting nothing but the machine's own key, and refuse the bootstrap key from then on."""
    parts, clock = run.parts, run.parts.clock
    grant = grants.pinned_only(await grants.broker_grant(parts, run.lease), run.lease.host_key)
    began_s = clock.monotonic_s()
    while True:
        try:
            connection = await parts.shell.connect(grant, timeout_s=parts.config.connect_timeout_s)
        except MachineUnreachableError:
            if clock.monotonic_s() - began_s > _VERIFY_S:
                raise
        except HostKeyError:
            # For a moment sshd may still show the old key: nothing is sent to it, and it has little time for that.
            if clock.monotonic_s() - began_s > _RELOAD_S:
                raise
        else:
            break
        await clock.sleep(parts.config.connect_retry_s)
    await connection.close()
    await pin(run)


async def pin(run: Run) -> None:
    """Record that the machine showed its own key: the bootstrap key is refused and forgotten."""

    def record(tx: Transaction) -> None:
        lease = tx.lease(run.lease.id)
        assert lease is not None
        tx.drop_secret(bootstrap_name(lease))
        tx.put_lease(replace(lease, host_key_stage=HostKeyStage.PINNED, bootstrap_key=""))

    await run.commit("pinned", record)


async def verified(run: Run) -> None:
    """Wait until the machine's own key was proved."""
    task: asyncio.Task[Any] | None = run.notes.get("verified")
    if task is not None:
        await task


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
