"""How every SSH connection of ours is set up: nothing from the environment, host keys pinned, fast ciphers first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncssh

from educloud_lab.domain.errors import HostKeyError

# AES-GCM first: asyncssh and OpenSSH otherwise agree on chacha20, which was 56 % of a bridge's CPU. curve25519
# before the post-quantum exchanges: 14 ms of client CPU against 119, and much more in an emulated guest.
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
KEY_EXCHANGES = (
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "mlkem768x25519-sha256",
    "ecdh-sha2-nistp256",
    "diffie-hellman-group14-sha256",
)
WINDOW_BYTES = 256 * 1024
KEEPALIVE_S = 15.0
KEEPALIVE_COUNT = 3


def pinned(host_keys: Sequence[str], who: str) -> Any:
    """Return the known_hosts argument that accepts exactly these public keys, and no certificates.

    Raises
    ------
    HostKeyError
        There is no key to expect, or it cannot be read: then nothing is connected to.
    """
    keys = []
    for line in host_keys:
        try:
            keys.append(asyncssh.import_public_key(line))
        except asyncssh.KeyImportError as exc:
            raise HostKeyError(
                f"The host key expected of {who} cannot be read.",
                kept="No connection was made.",
                next_step="Start the machine again to get new keys; if it stays so, report it.",
            ) from exc
    if not keys:
        raise HostKeyError(
            f"It is not known which host key {who} should show.",
            kept="No connection was made.",
            next_step="Wait until the machine has started; if it stays so, start it again.",
        )
    return (keys, [], [])


def connect_options(
    *, username: str, private_key: str, certificate: str, host_keys: Sequence[str], who: str, timeout_s: float
) -> dict[str, Any]:
    """Return the keyword arguments for ``asyncssh.connect``.

    Raises
    ------
    HostKeyError
        See `pinned`.
    asyncssh.KeyImportError
        Our own key or certificate cannot be read.
    """
    key = asyncssh.import_private_key(private_key)
    return {
        "username": username,
        "known_hosts": pinned(host_keys, who),
        "client_keys": [(key, asyncssh.import_certificate(certificate))],
        # Nothing from the person's environment: no ~/.ssh/config, no agent, no default keys.
        "config": None,
        "agent_path": None,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "host_based_auth": False,
        "public_key_auth": True,
        "kbdint_auth": False,
        "password_auth": False,
        "gss_host": None,
        "preferred_auth": "publickey",
        "disable_trivial_auth": True,
        "encryption_algs": CIPHERS,
        "kex_algs": KEY_EXCHANGES,
        "compression_algs": None,
        "keepalive_interval": KEEPALIVE_S,  # asyncssh's default is off
        "keepalive_count_max": KEEPALIVE_COUNT,
        "tcp_keepalive": True,
        "login_timeout": timeout_s,
        "connect_timeout": timeout_s,
    }
