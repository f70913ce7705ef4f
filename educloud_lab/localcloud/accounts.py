"""The local cloud's accounts and their access keys."""

from __future__ import annotations

import json
import os
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ADMINISTRATOR = "eucalyptus"
_IDS = {"educloud": "000100000001", ADMINISTRATOR: "000100000000"}
_ALPHABET = string.ascii_uppercase + string.digits


@dataclass(frozen=True, slots=True)
class Account:
    """One account with its only user. The secret key never appears in ``repr``."""

    name: str
    account_id: str
    user_id: str
    access_key: str

    @property
    def is_administrator(self) -> bool:
        """Whether its users may see everybody's resources."""
        return self.name == ADMINISTRATOR


class Accounts:
    """Accounts by access key."""

    def __init__(self, accounts: Mapping[str, tuple[Account, str]]) -> None:
        self._by_key = dict(accounts)

    def find(self, access_key: str) -> tuple[Account, str] | None:
        """Return the account and its secret key."""
        return self._by_key.get(access_key)

    def named(self, name: str) -> tuple[Account, str]:
        """Return an account and its secret key by the account's name; raises ``KeyError``."""
        for account, secret in self._by_key.values():
            if account.name == name:
                return account, secret
        raise KeyError(name)

    def all(self) -> list[Account]:
        """Return every account."""
        return [account for account, _ in self._by_key.values()]


def _new_entry(name: str) -> dict[str, str]:
    return {
        "account_id": _IDS[name],
        "user_id": "AIDA" + "".join(secrets.choice(_ALPHABET) for _ in range(17)),
        "access_key": "AKIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)),
        "secret_key": secrets.token_urlsafe(30),
    }


def load_accounts(path: Path) -> Accounts:
    """Read the credentials file, making it (mode 0600) where it is missing."""
    data: dict[str, dict[str, dict[str, str]]] = {"accounts": {}}
    if path.exists():
        data = json.loads(path.read_text())
    entries = data.setdefault("accounts", {})
    missing = [name for name in _IDS if name not in entries]
    for name in missing:
        entries[name] = _new_entry(name)
    if missing:
        write_private(path, json.dumps(data, indent=2) + "\n")
    return Accounts(
        {
            entry["access_key"]: (
                Account(name, entry["account_id"], entry["user_id"], entry["access_key"]),
                entry["secret_key"],
            )
            for name, entry in entries.items()
        }
    )


def write_private(path: Path, text: str) -> None:
    """Replace a file at once; only its owner may read it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
