"""Connecting to the machine, and the change from the bootstrap host key to the machine's own (I8)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from educloud_lab.broker import grants
from educloud_lab.broker.dial import dial
from educloud_lab.broker.machine import bootstrap_name
from educloud_lab.broker.run import Run
from educloud_lab.broker.scripts import first_contact
from educloud_lab.broker.scripts.grammar import read_answer
from educloud_lab.domain.errors import HostKeyError, MachineUnreachableError
from educloud_lab.domain.job import HostKeyStage
from educloud_lab.ports.shell import Connection
from educloud_lab.ports.store import Transaction

_RELOAD_S = 5.0
_VERIFY_S = 20.0  # sshd takes a moment to come back with its new key


async def connect(run: Run) -> None:
    """Connect, and see that the machine shows its own key from now on."""
    await run.say("The machine is booting")
    connection = await dial(run, limit_s=run.parts.config.contact_limit_s)
    run.on_end(connection.close)
    run.notes["connection"] = connection
    if run.lease.host_key_stage in (HostKeyStage.BOOTSTRAP, HostKeyStage.SWITCHING):
        # The disk is prepared over this connection meanwhile; nobody is let in before the new key is proved.
        task = asyncio.create_task(_take_over(run, connection), name="step connect")
        run.notes["verified"] = task
        run.on_end(lambda: _cancel(task))


async def _take_over(run: Run, connection: Connection) -> None:
    """Have the machine make its own key, record it, and only then have the bootstrap key taken away."""
    if run.lease.host_key_stage is HostKeyStage.BOOTSTRAP:
        completed = await run.outside("own-host-key", lambda: connection.run(first_contact.OWN_HOST_KEY))
        answer = read_answer("own-host-key", completed, first_contact.OWN_HOST_KEY_FORMS, required=("key",))
        await run.put_lease("host key", host_key=answer["key"], host_key_stage=HostKeyStage.SWITCHING)
    completed = await run.outside("switch-host-key", lambda: connection.run(first_contact.SWITCH_HOST_KEY))
    read_answer("switch-host-key", completed, {})
    await _verify(run)


async def _verify(run: Run) -> None:
    """Have the machine prove its own key in a new key exchange, and refuse the bootstrap key from then on."""
    parts, clock = run.parts, run.parts.clock
    grant = grants.pinned_only(await grants.broker_grant(parts, run.lease), run.lease.host_key)
    began_s = clock.monotonic_s()
    while True:
        try:
            await parts.shell.check_host_key(grant, timeout_s=parts.config.connect_timeout_s)
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
