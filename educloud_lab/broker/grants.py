"""Short-lived permissions to connect, and the lines by which the front end knows them.

A grant's key is made for it and kept in memory only. A certificate's single principal is that of one lease and
generation (I6).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from educloud_lab.broker.parts import Parts
from educloud_lab.domain import naming
from educloud_lab.domain.errors import ConflictError
from educloud_lab.domain.job import HostKeyStage
from educloud_lab.ports.records import LeaseRecord
from educloud_lab.ports.shell import Grant


def host_keys(lease: LeaseRecord) -> tuple[str, ...]:
    """Return the only public keys that the machine may show now (I8)."""
    if lease.host_key_stage is HostKeyStage.BOOTSTRAP:
        return (lease.bootstrap_key,)
    if lease.host_key_stage is HostKeyStage.SWITCHING:
        return (lease.host_key, lease.bootstrap_key)
    if lease.host_key_stage is HostKeyStage.PINNED:
        return (lease.host_key,)
    return ()


def _grant(parts: Parts, lease: LeaseRecord, now: datetime, *, user: str, principal: str, person: str) -> Grant:
    if lease.address is None:
        raise ConflictError("The machine has no address yet.", next_step="Wait until it is ready.")
    pair = parts.authority.new_key_pair()
    until = now + timedelta(seconds=parts.config.grant_s)
    certificate = parts.authority.sign_user(
        ca_private=parts.ca().private,
        public=pair.public,
        principals=[principal],
        key_id=f"{principal} {person}",
        valid_from=now - timedelta(seconds=parts.config.grant_skew_s),
        valid_until=until,
    )
    return Grant(
        lease_id=lease.id,
        generation=lease.generation,
        user=user,
        principal=principal,
        address=lease.address,
        port=parts.config.ssh_port,
        host_keys=host_keys(lease),
        gateway=parts.frontend.address() if parts.frontend is not None else None,
        private_key=pair.private,
        certificate=certificate,
        expires_at=until,
    )


def person_grant(parts: Parts, lease: LeaseRecord, now: datetime) -> Grant:
    """Make a person's grant for their own machine."""
    principal = naming.lease_principal(lease.id, lease.generation)
    return _grant(parts, lease, now, user=lease.profile.login_user, principal=principal, person=lease.person)


async def broker_grant(parts: Parts, lease: LeaseRecord) -> Grant:
    """Make the broker's own grant (root, under a principal of its own)."""
    now = await parts.store.transact(lambda tx: tx.now())
    principal = naming.broker_principal(lease.id, lease.generation)
    return _grant(parts, lease, now, user="root", principal=principal, person="broker")


def pinned_only(grant: Grant, host_key: str) -> Grant:
    """Return the same grant for a machine that may show this key and no other."""
    return replace(grant, host_keys=(host_key,))


def lines_name(lease: LeaseRecord) -> str:
    """Return the name under which the front end keeps a lease's lines."""
    return f"lease-{lease.id}"


def lines(parts: Parts, lease: LeaseRecord, *, person: bool) -> list[str]:
    """Return the front end's lines, for the broker and (when asked) the person.

    They lead to exactly this machine: to its SSH server, and to the ports that its machine profile opens.
    """
    principals = [naming.broker_principal(lease.id, lease.generation)]
    if person:
        principals.insert(0, naming.lease_principal(lease.id, lease.generation))
    ports = [parts.config.ssh_port, *(port for port in lease.profile.ports if port != parts.config.ssh_port)]
    where = ",".join(f'permitopen="{lease.address}:{port}"' for port in ports)
    return [
        f'restrict,port-forwarding,{where},cert-authority,principals="{principal}" {parts.ca().public}'
        for principal in principals
    ]
