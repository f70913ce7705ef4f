"""Keys and certificates as OpenSSH text, made by asyncssh; imported in a worker thread at first use."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import datetime

import asyncssh

from educloud_lab.adapters.ssh.errors import translating
from educloud_lab.domain.errors import ShellError
from educloud_lab.ports.shell import KeyPairText

# What our principals look like; a comma would be two principals, and none at all would be "any" to some servers.
_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}", re.ASCII)
_WHO = "the authority"


class Keys:
    """Makes and signs keys."""

    @staticmethod
    def new_key_pair() -> KeyPairText:
        """Make an ed25519 key pair."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        return KeyPairText(private=key.export_private_key("openssh").decode(), public=public_line(key))

    @staticmethod
    def sign_user(
        *,
        ca_private: str,
        public: str,
        principals: Sequence[str],
        key_id: str,
        valid_from: datetime,
        valid_until: datetime,
        permit_pty: bool,
        permit_forwarding: bool,
    ) -> str:
        """Return a user certificate for exactly these principals and times.

        Raises
        ------
        ShellError
            A key cannot be read, or the request would make a certificate that is valid for too much.
        """
        if not principals or not all(_PRINCIPAL.fullmatch(name) for name in principals):
            raise ShellError("A certificate was asked for without a valid principal.", kept="None was made.")
        if valid_from.tzinfo is None or valid_until.tzinfo is None or valid_until <= valid_from:
            raise ShellError("A certificate was asked for without a valid time.", kept="None was made.")
        with translating(_WHO):
            certificate = asyncssh.import_private_key(ca_private).generate_user_certificate(
                asyncssh.import_public_key(public),
                key_id,
                serial=secrets.randbits(63),
                principals=list(principals),
                valid_after=int(valid_from.timestamp()),
                valid_before=int(valid_until.timestamp()),
                permit_x11_forwarding=False,
                permit_agent_forwarding=False,
                permit_user_rc=False,
                permit_port_forwarding=permit_forwarding,
                permit_pty=permit_pty,
            )
            return certificate.export_certificate("openssh").decode().strip()

    @staticmethod
    def fingerprint(public: str) -> str:
        """Return the SHA256 fingerprint that OpenSSH shows.

        Raises
        ------
        ShellError
            The key cannot be read.
        """
        with translating(_WHO):
            return asyncssh.import_public_key(public).get_fingerprint()


def public_line(key: asyncssh.SSHKey) -> str:
    """Return a public key as one line without comment."""
    kind, data = key.export_public_key("openssh").decode().split()[:2]
    return f"{kind} {data}"
