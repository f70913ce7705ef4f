"""Key pairs. Eucalyptus knows RSA keys only; private keys are made here, sent once, never kept."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid
from educloud_lab.localcloud.operations import filters
from educloud_lab.localcloud.operations.common import (
    drop_tags,
    put_tags,
    require,
    specified_tags,
    split_verbose,
    tag_list,
    tags_of,
)
from educloud_lab.localcloud.state.tables import KeyPair

_FILTERS: dict[str, filters.Values[KeyPair]] = {
    "key-name": lambda pair: [pair.name],
    "fingerprint": lambda pair: [pair.fingerprint],
    "key-pair-id": lambda pair: [pair_id(pair.owner, pair.name, pair.fingerprint)],
}
KINDS = {"ssh-rsa": "rsa", "ssh-ed25519": "ed25519"}
"""Kinds of keys, as OpenSSH and as EC2 call them."""


async def create_key_pair(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Make a key pair and hand out its private half, this once."""
    name = _name(params)
    kind = params.get("KeyType") or "rsa"
    if kind not in [KINDS[one] for one in cloud.model.behaviour.key_types]:
        raise invalid(f"Value ({kind[:40]}) for parameter keyType is invalid.")
    tags = _tags(params)
    await cloud.database.run(lambda session: _refuse_duplicate(session, caller, name))
    from educloud_lab.localcloud.operations import keymaterial  # takes a while to load, and few clouds need it

    pem, public, fingerprint = await asyncio.to_thread(keymaterial.make, kind)
    number = await cloud.database.run(lambda session: _add(session, caller, name, fingerprint, public, tags))
    return {
        "KeyName": name, "KeyFingerprint": fingerprint, "KeyMaterial": pem, "KeyPairId": number,
        "Tags": tag_list(tags),
    }  # fmt: skip


async def import_key_pair(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Register the public half of a key that the caller made."""
    name = _name(params)
    tags = _tags(params)
    from educloud_lab.localcloud.operations import keymaterial  # as above

    public, fingerprint = keymaterial.read_public(require(params, "PublicKeyMaterial"), cloud.model.behaviour.key_types)
    number = await cloud.database.run(lambda session: _add(session, caller, name, fingerprint, public, tags))
    return {"KeyName": name, "KeyFingerprint": fingerprint, "KeyPairId": number, "Tags": tag_list(tags)}


async def describe_key_pairs(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """List the caller's key pairs."""
    names, everybody = split_verbose(params.get("KeyNames", ()), caller)
    owner = caller.account.account_id

    def work(session: Session) -> tuple[list[KeyPair], dict[str, dict[str, str]]]:
        query = select(KeyPair).order_by(KeyPair.name, KeyPair.owner)
        rows = session.scalars(query if everybody else query.where(KeyPair.owner == owner))
        return list(rows), tags_of(session, owner, "key-pair")

    pairs, tags = await cloud.database.run(work)
    numbers = {(pair.owner, pair.name): pair_id(pair.owner, pair.name, pair.fingerprint) for pair in pairs}
    wanted = params.get("KeyPairIds", ())
    for number in wanted:
        if number not in numbers.values():
            raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{number[:60]}' does not exist")
    for name in names:
        if name not in {pair.name for pair in pairs}:
            raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{name[:255]}' does not exist")

    def number_of(pair: KeyPair) -> str:
        return numbers[pair.owner, pair.name]

    kept = [pair for pair in pairs if not (names or wanted) or pair.name in names or number_of(pair) in wanted]
    kept = filters.apply(kept, params.get("Filters"), _FILTERS, lambda pair: tags.get(number_of(pair), {}))
    shown = [
        {
            "KeyName": pair.name, "KeyFingerprint": pair.fingerprint, "KeyPairId": number_of(pair),
            "KeyType": KINDS.get(pair.public_key.partition(" ")[0], "rsa"),
            "Tags": tag_list(tags.get(number_of(pair), {})),
        }
        for pair in kept
    ]  # fmt: skip
    if params.get("IncludePublicKey"):
        for entry, pair in zip(shown, kept, strict=True):
            entry["PublicKey"] = pair.public_key
    return {"KeyPairs": shown}


async def delete_key_pair(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Forget a key pair; machines that were started with it keep it."""
    name = _name(params)

    def work(session: Session) -> None:
        if (pair := session.get(KeyPair, (caller.account.account_id, name))) is not None:
            drop_tags(session, pair_id(pair.owner, pair.name, pair.fingerprint))
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


def pair_id(owner: str, name: str, fingerprint: str) -> str:
    """Return AWS's id of a key pair; Eucalyptus has only names, so it follows from what the pair is."""
    return "key-" + hashlib.sha256(f"{owner} {name} {fingerprint}".encode()).hexdigest()[:17]


def _tags(params: dict[str, Any]) -> dict[str, str]:
    return specified_tags(params, ("key-pair",)).get("key-pair", {})


def _add(session: Session, caller: Caller, name: str, fingerprint: str, public: str, tags: dict[str, str]) -> str:
    _refuse_duplicate(session, caller, name)
    owner = caller.account.account_id
    session.add(KeyPair(owner=owner, name=name, fingerprint=fingerprint, public_key=public))
    number = pair_id(owner, name, fingerprint)
    put_tags(session, owner, "key-pair", number, tags)
    return number
