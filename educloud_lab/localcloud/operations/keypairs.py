"""Key pairs. Eucalyptus imports RSA keys only; private keys are made here, sent once, never kept."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import require
from educloud_lab.localcloud.state.tables import KeyPair

_FILTERS: dict[str, filters.Values[KeyPair]] = {
    "key-name": lambda pair: [pair.name],
    "fingerprint": lambda pair: [pair.fingerprint],
}


async def create_key_pair(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Make a key pair and hand out its private half, this once."""
    name = _name(params)
    await cloud.database.run(lambda session: _refuse_duplicate(session, caller, name))
    key = await asyncio.to_thread(rsa.generate_private_key, public_exponent=65537, key_size=2048)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    fingerprint = _colons(hashlib.sha1(der, usedforsecurity=False).hexdigest())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    await cloud.database.run(lambda session: _add(session, caller, name, fingerprint, public))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    return {"KeyName": name, "KeyFingerprint": fingerprint, "KeyMaterial": pem.rstrip("\n")}


async def import_key_pair(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Register the public half of a key that the caller made."""
    name = _name(params)
    public, fingerprint = _read_public(require(params, "PublicKeyMaterial"))
    await cloud.database.run(lambda session: _add(session, caller, name, fingerprint, public))
    return {"KeyName": name, "KeyFingerprint": fingerprint}


async def describe_key_pairs(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List the caller's key pairs."""
    names = [name for name in params.get("KeyNames", ()) if name != "verbose"]
    owner = caller.account.account_id

    def work(session: Session) -> list[KeyPair]:
        return list(session.scalars(select(KeyPair).where(KeyPair.owner == owner).order_by(KeyPair.name)))

    pairs = await cloud.database.run(work)
    for name in names:
        if name not in {pair.name for pair in pairs}:
            raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{name[:255]}' does not exist")
    kept = [pair for pair in pairs if not names or pair.name in names]
    kept = filters.apply(kept, params.get("Filters"), _FILTERS, lambda _pair: {})
    return {"KeyPairs": [{"KeyName": pair.name, "KeyFingerprint": pair.fingerprint} for pair in kept]}


async def delete_key_pair(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Forget a key pair; machines that were started with it keep it."""
    name = _name(params)

    def work(session: Session) -> None:
        if (pair := session.get(KeyPair, (caller.account.account_id, name))) is not None:
            session.delete(pair)

    await cloud.database.run(work)
    return {"Return": True}


def _name(params: dict[str, Any]) -> str:
    name = str(require(params, "KeyName"))
    if len(name) > 255 or not name.isprintable():
        raise invalid("Value for parameter keyName is invalid. Up to 255 printable characters.")
    return name


def _refuse_duplicate(session: Session, caller: Caller, name: str) -> None:
    if session.get(KeyPair, (caller.account.account_id, name)) is not None:
        raise ApiError("InvalidKeyPair.Duplicate", f"The keypair '{name}' already exists.")


def _add(session: Session, caller: Caller, name: str, fingerprint: str, public: str) -> None:
    _refuse_duplicate(session, caller, name)
    session.add(KeyPair(owner=caller.account.account_id, name=name, fingerprint=fingerprint, public_key=public))


def _read_public(material: str) -> tuple[str, str]:
    bad = ApiError("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
    try:
        key = load_ssh_public_key(base64.b64decode(material, validate=True).strip())
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise bad from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise ApiError("InvalidKey.Format", "Key is not in valid OpenSSH public key format (RSA keys only)")
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return public, _colons(hashlib.md5(der, usedforsecurity=False).hexdigest())


def _colons(digest: str) -> str:
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
