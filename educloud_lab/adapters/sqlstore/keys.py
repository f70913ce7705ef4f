"""Encryption of private keys inside the store by a list of keys: the first encrypts, all decrypt (keys can change)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from educloud_lab.domain.errors import StoreError


class Sealer:
    """Encrypts and decrypts texts.

    Parameters
    ----------
    keys : Fernet keys; the first one encrypts, every one may decrypt.

    Raises
    ------
    StoreError
        There is no key, or one of another form.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise StoreError(
                "The store was given no key to encrypt private keys with.",
                next_step="Configure at least one secret key.",
            )
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise StoreError(
                "A secret key of the store has the wrong form.",
                next_step="Each key is 32 bytes in url-safe base64, one a line.",
            ) from error

    def seal(self, text: str) -> str:
        """Encrypt."""
        return self._fernet.encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """Decrypt.

        Raises
        ------
        StoreError
            None of the keys fits.
        """
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise StoreError(
                "A private key in the store was encrypted with another secret key.",
                kept="Nothing was changed.",
                next_step="Put the former secret.key back (several keys may be listed, the newest first).",
            ) from error


def load_or_make_keys(path: Path) -> tuple[bytes, ...]:
    """Return the keys of a file, one a line, newest first; make the file (0600) with a fresh key when there is none.

    Raises
    ------
    StoreError
        The file cannot be used, or others may read it.
    """
    try:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(Fernet.generate_key() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        if path.stat().st_mode & 0o077:
            raise StoreError(f"Others may read {path}.", next_step=f"Run: chmod 600 {path}")
        keys = tuple(line.strip() for line in path.read_bytes().splitlines() if line.strip())
    except OSError as error:
        raise StoreError(f"The key file {path} cannot be used ({error.strerror}).") from error
    if not keys:
        raise StoreError(f"The key file {path} is empty.", next_step="Restore it from a copy: it encrypts the store.")
    return keys
