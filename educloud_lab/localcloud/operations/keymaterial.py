"""Making and reading keys of key pairs; apart from the operations because cryptography takes a while to load."""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)

from educloud_lab.localcloud.errors import ApiError

KEY_BITS = (1024, 2048, 4096)
"""Lengths of RSA keys that can be imported (KeyPairManager.decodeKeyMaterial; AWS takes the same)."""


def make(kind: str) -> tuple[str, str, str]:
    """Make a key (``rsa`` or ``ed25519``); return its private half as PEM, its OpenSSH line and its fingerprint."""
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if kind == "ed25519":
        key, form = ed25519.Ed25519PrivateKey.generate(), PrivateFormat.OpenSSH
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        fingerprint = _sha256(public)
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        form = PrivateFormat.TraditionalOpenSSL
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        fingerprint = _colons(hashlib.sha1(der, usedforsecurity=False).hexdigest())
    pem = key.private_bytes(Encoding.PEM, form, NoEncryption()).decode().rstrip("\n")
    return pem, public, fingerprint


def read_public(material: str, kinds: tuple[str, ...]) -> tuple[str, str]:
    """Return the OpenSSH line and the fingerprint of what ImportKeyPair was given.

    Raises
    ------
    ApiError
        It is no key, or of a kind or length that clouds of the profile do not take.
    """
    bad = ApiError("InvalidKey.Format", "Invalid or unsupported key format")
    try:
        key = load_ssh_public_key(base64.b64decode(material, validate=True).strip())
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise bad from error
    if isinstance(key, ed25519.Ed25519PublicKey) and "ssh-ed25519" in kinds:
        public = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        return public, _sha256(public)
    # ssh-keygen makes RSA keys of 3072 bits unless told otherwise: neither Eucalyptus nor AWS takes those.
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in KEY_BITS:
        raise bad
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return public, _colons(hashlib.md5(der, usedforsecurity=False).hexdigest())


def _sha256(public: str) -> str:
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return base64.b64encode(digest).decode()


def _colons(digest: str) -> str:
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
