"""The authority port: ed25519 key pairs and short-lived user certificates. Holds no state of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from educloud_lab.adapters.ssh.loading import load_keys
from educloud_lab.ports.shell import KeyPairText


class AsyncsshAuthority:
    """Makes keys and signs certificates.

    Every method is synchronous and short; the first call of a process also imports asyncssh (0.2 s), so a server
    makes it in a worker thread.
    """

    def new_key_pair(self) -> KeyPairText:
        """Make an ed25519 key pair."""
        return load_keys().new_key_pair()

    def sign_user(
        self,
        *,
        ca_private: str,
        public: str,
        principals: Sequence[str],
        key_id: str,
        valid_from: datetime,
        valid_until: datetime,
        permit_pty: bool = True,
        permit_forwarding: bool = True,
    ) -> str:
        """Return a user certificate (OpenSSH text) for exactly these principals and times (cut to whole seconds).

        Raises
        ------
        ShellError
            A key cannot be read; no principal or a malformed one; times that are naive or out of order.
        """
        return load_keys().sign_user(
            ca_private=ca_private,
            public=public,
            principals=principals,
            key_id=key_id,
            valid_from=valid_from,
            valid_until=valid_until,
            permit_pty=permit_pty,
            permit_forwarding=permit_forwarding,
        )

    def fingerprint(self, public: str) -> str:
        """Return the SHA256 fingerprint that OpenSSH shows.

        Raises
        ------
        ShellError
            The key cannot be read.
        """
        return load_keys().fingerprint(public)
