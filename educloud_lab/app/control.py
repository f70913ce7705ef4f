"""The broker's credentials for the front end: an authority of its own, kept in the store, trusted by the gateway.

Every broker on one store uses the same authority. Where the local cloud's gateway lives on this computer, the
authority's public half is added to its ``trusted_ca.keys`` before each new control connection, so that a cloud that
was reset trusts it again.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

from educloud_lab.adapters.ssh import ControlCredentials
from educloud_lab.app.local_cloud import gateway_address
from educloud_lab.localcloud.accounts import write_private
from educloud_lab.localcloud.settings import Folders
from educloud_lab.ports.shell import Authority, GatewayAddress, KeyPairText
from educloud_lab.ports.store import Store, Transaction

SECRET = "gateway-control-ca"  # noqa: S105 - the name of a row, not a secret
PRINCIPAL = "educloud-broker"
_LIFETIME = timedelta(minutes=10)
_SKEW = timedelta(minutes=1)


class GatewayAddresses:
    """Says where the local gateway listens now."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(self) -> GatewayAddress:
        """Read what the local cloud announces."""
        return gateway_address(self._home)


class ControlAuthority:
    """Gives fresh control credentials.

    Parameters
    ----------
    store : keeps the authority's key pair, encrypted.
    authority : signs.
    home : where the local cloud's gateway reads what it trusts; None for a front end that others configure.
    """

    def __init__(self, store: Store, authority: Authority, home: Path | None) -> None:
        self._store = store
        self._authority = authority
        self._home = home

    async def key_pair(self) -> tuple[KeyPairText, datetime]:
        """Return the authority's key pair, made when there is none, and the store's time."""
        fresh = self._authority.new_key_pair()

        def found(tx: Transaction) -> tuple[KeyPairText, datetime]:
            pair = tx.secret(SECRET)
            if pair is None:
                tx.put_secret(SECRET, fresh)
                pair = fresh
            return pair, tx.now()

        return await self._store.transact(found)

    async def prepare(self) -> None:
        """Make the local gateway trust this authority before the first command (it looks only now and then)."""
        await self._trusted()

    async def _trusted(self) -> tuple[KeyPairText, datetime]:
        ca, now = await self.key_pair()
        if self._home is not None:
            await asyncio.to_thread(trust, self._home, ca.public)
        return ca, now

    async def credentials(self) -> ControlCredentials:
        """Return a key and a certificate that is good for ten minutes."""
        ca, now = await self._trusted()
        own = self._authority.new_key_pair()
        certificate = self._authority.sign_user(
            ca_private=ca.private,
            public=own.public,
            principals=[PRINCIPAL],
            key_id=PRINCIPAL,
            valid_from=now - _SKEW,
            valid_until=now + _LIFETIME,
            permit_pty=False,
            permit_forwarding=False,
        )
        return ControlCredentials(private_key=own.private, certificate=certificate)


def trust(home: Path, public: str) -> None:
    """Add a public key line to what the local gateway trusts for control commands. Repeatable."""
    path = Folders(home).gateway / "trusted_ca.keys"
    lines = path.read_text().splitlines() if path.exists() else []
    if public not in lines:
        write_private(path, "\n".join([*lines, public]) + "\n")
