"""The gateway's own key and the state file that tells others where it listens."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh

from educloud_lab.gateway import files
from educloud_lab.gateway.errors import GatewayConfigError, GatewayRunningError

SCHEMA = 1


def load_host_key(path: Path) -> asyncssh.SSHKey:
    """Return the host key, made (ed25519, mode 0600) when the file is absent; an existing file is never written.

    Raises
    ------
    GatewayConfigError
        When it cannot be read or made, is not a private key, or can be read by others.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _read_host_key(path)
    except OSError as exc:
        raise GatewayConfigError(f"{path} cannot be made ({exc.strerror}); the gateway was not started.") from exc
    key = asyncssh.generate_private_key("ssh-ed25519")
    with os.fdopen(handle, "wb") as file:
        file.write(key.export_private_key("openssh"))
        file.flush()
        os.fsync(file.fileno())
    files.sync_folder(path.parent)
    return key


def _read_host_key(path: Path) -> asyncssh.SSHKey:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise GatewayConfigError(f"{path} can be read by others; chmod 600 it. The gateway was not started.")
        return asyncssh.read_private_key(path)
    except (OSError, ValueError) as exc:  # asyncssh's import errors are ValueErrors
        raise GatewayConfigError(
            f"{path} is not a private key that can be used without a passphrase ({type(exc).__name__}). It was not "
            "changed; put the right key there, or remove it to have one made (clients must then learn the new one)."
        ) from exc


def public_line(key: asyncssh.SSHKey) -> str:
    """Return the public half as ``ssh-ed25519 AAAA...``, without a comment."""
    return " ".join(key.export_public_key("openssh").decode("ascii").split()[:2])


class StateFile:
    """The state file, with a lock beside it so that one configuration is served by one gateway.

    The lock belongs to the open file, so a gateway that was killed leaves nothing to clean up; its stale state
    file shows by ``pid`` and ``start_ticks``.

    Parameters
    ----------
    path : Path
        Where to write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        GatewayRunningError
            When another gateway holds it.
        GatewayConfigError
            When the lock file cannot be made.
        """
        lock_path = self._path.with_name(self._path.name + ".lock")
        try:
            handle = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise GatewayConfigError(f"{lock_path} cannot be made ({exc.strerror}); nothing was started.") from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(handle)
            raise GatewayRunningError(
                f"Another gateway already serves {self._path.parent}; it was left alone. {self._path} has its address."
            ) from exc
        self._lock = handle

    def write(self, host: str, port: int, host_key_line: str) -> None:
        """Tell where the gateway listens."""
        state: dict[str, Any] = {
            "schema": SCHEMA,
            "host": host,
            "port": port,
            "host_key": host_key_line,
            "pid": os.getpid(),
            "start_ticks": start_ticks(os.getpid()),
            "started_at": datetime.now(UTC).isoformat(),
        }
        files.write_atomically(self._path, json.dumps(state, indent=1) + "\n")

    def release(self) -> None:
        """Remove the state file and give the lock back; harmless when neither was taken."""
        if self._lock is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._lock)
            self._lock = None


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot (proc(5), stat field 22), or None where unknown.

    With the number of the process it names one process for ever, since numbers are used again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, IndexError, ValueError):
        return None
