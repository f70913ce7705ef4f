"""What is in force now: lines, routes and trusted authorities, re-read when their files change.

A line or a lines file that cannot be understood permits nothing (fail closed); a routes file that cannot be understood
leaves the former routes, because a route permits nothing by itself.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh

from educloud_lab.gateway import files
from educloud_lab.gateway.addresses import Permitted
from educloud_lab.gateway.config import GatewayConfig
from educloud_lab.gateway.errors import LinesError, RoutesError
from educloud_lab.gateway.identity import Identity
from educloud_lab.gateway.lines import MAX_FILE_BYTES, SUFFIX, Line, LinesTable, check_name, read_lines
from educloud_lab.gateway.routes import MAX_ROUTES_BYTES, Routes, parse_routes

CONTROL_PRINCIPAL = "educloud-broker"

# A file changed twice within one tick of the file system's clock keeps its times; while it is younger than
# this it is read again each time.
_UNSETTLED_S = 2.0
# How long lines that were read stay in force while their folder answers with input/output errors.
_FOLDER_GRACE_S = 5.0
_PROBLEMS_TOLD = 5

_log = logging.getLogger("educloud.gateway")

_Signature = tuple[int, int, int, int]


@dataclass(frozen=True)
class LinesFile:
    """One file of lines as last read: its good lines, and what is wrong with it."""

    signature: _Signature
    lines: tuple[Line, ...]
    sha256: str
    problem: str | None


@dataclass
class GatewayState:
    """Everything that decides who may go where.

    `reload` does file work and may run in a worker thread; it replaces whole attributes, so a reader on the
    event loop sees the old state or the new.

    Parameters
    ----------
    config : GatewayConfig
        Where the files are.
    now : callable
        The time, aware; injected by tests of expiry.
    """

    config: GatewayConfig
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    files: dict[str, LinesFile] = field(default_factory=dict)
    table: LinesTable = field(default_factory=LinesTable)
    routes: Routes = field(default_factory=Routes)
    authorities: frozenset[bytes] = frozenset()
    _seen: dict[Path, _Signature] = field(default_factory=dict)
    _folder_failed_at: float | None = None

    def permitted(self, identity: Identity) -> Permitted:
        """Every destination that the lines in force allow `identity` now."""
        return self.table.permitted(identity, self.now())

    def alive(self, identity: Identity) -> bool:
        """Whether `identity` may still be connected."""
        if identity.kind == "control":
            return identity.key_data in self.authorities
        return bool(self.permitted(identity))

    def reload(self) -> None:
        """Read again whatever changed. Never raises for a bad file: it logs, and fails closed."""
        self._reload_lines()
        self._reload_routes()
        self._reload_authorities()

    def listing(self) -> dict[str, dict[str, Any]]:
        """List what is in force by name, for the control command: hashes and counts, never keys."""
        return {
            name: {"sha256": entry.sha256, "lines": len(entry.lines), "problem": entry.problem}
            for name, entry in sorted(self.files.items())
        }

    def _reload_lines(self) -> None:
        folder = self.config.lines
        fresh: dict[str, LinesFile] = {}
        try:
            problem = files.only_ours(folder)
            if problem:
                raise PermissionError(problem)
            paths = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX))
            self._folder_failed_at = None
        except (FileNotFoundError, NotADirectoryError, PermissionError) as exc:
            if self.files:
                _log.error("lines folder is not usable, nothing is permitted: %s", exc)
            paths = []
        except OSError as exc:
            # An error is not an absence, but a revocation must not wait for a broken disk either.
            failed_at = self._folder_failed_at = self._folder_failed_at or time.monotonic()
            if time.monotonic() - failed_at < _FOLDER_GRACE_S:
                return
            _log.error("lines folder cannot be read, nothing is permitted: %s", exc)
            paths = []
        for path in paths:
            name = path.name.removesuffix(SUFFIX)
            try:
                fresh[check_name(name)] = self._read_lines(path, self.files.get(name))
            except LinesError:
                self._log_once(path, "%s has no valid name and is not read", path.name)
            except FileNotFoundError:
                continue  # dropped between the listing and now
        if fresh != self.files:
            self.table = LinesTable({name: entry.lines for name, entry in fresh.items()})
            self.files = fresh

    def _read_lines(self, path: Path, former: LinesFile | None) -> LinesFile:
        signature = _signature(path)
        if former and former.signature == signature and not _unsettled(signature):
            return former
        text = ""
        lines: tuple[Line, ...] = ()
        problem: str | None = None
        try:
            problem = files.only_ours(path)
            text = files.read_limited(path, MAX_FILE_BYTES)
            if problem is None:
                lines, wrong = read_lines(text)
                problem = "; ".join(wrong[:_PROBLEMS_TOLD]) or None
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as exc:
            problem = str(exc)
        entry = LinesFile(signature, lines, hashlib.sha256(text.encode()).hexdigest(), problem)
        if former is None or (former.sha256, former.problem) != (entry.sha256, problem):
            if problem:
                _log.warning("%s: %d lines in force, others are not: %s", path.name, len(lines), problem)
            else:
                _log.info("%s: %d lines in force", path.name, len(lines))
        return entry

    def _reload_routes(self) -> None:
        text = self._changed_text(self.config.routes, MAX_ROUTES_BYTES)
        if text is None:
            return
        try:
            self.routes = parse_routes(text) if text.strip() else Routes()
            _log.info("routes in force: %d", len(self.routes))
        except RoutesError as exc:
            _log.error("%s: %s", self.config.routes.name, exc)

    def _reload_authorities(self) -> None:
        text = self._changed_text(self.config.trusted_ca, MAX_FILE_BYTES)
        if text is None:
            return
        keys = set()
        try:
            for line in text.split("\n"):
                if line.strip() and not line.lstrip().startswith("#"):
                    keys.add(asyncssh.import_public_key(line.strip()).public_data)
        except (asyncssh.KeyImportError, ValueError):
            _log.error("%s holds a line that is no public key; no control command is accepted", self.config.trusted_ca)
            keys = set()
        self.authorities = frozenset(keys)
        _log.info("authorities trusted for control commands: %d", len(keys))

    def _changed_text(self, path: Path, limit_bytes: int) -> str | None:
        """Return the file's text when it changed since it was last read ('' when absent or not usable), else None."""
        try:
            signature = _signature(path)
            if self._seen.get(path) == signature and not _unsettled(signature):
                return None
            problem = files.only_ours(path)
            if problem:
                raise ValueError(problem)
            text = files.read_limited(path, limit_bytes)
        except FileNotFoundError:
            return "" if self._seen.pop(path, None) is not None else None
        except (OSError, ValueError) as exc:
            self._log_once(path, "%s is not usable: %s", path, exc)
            return ""
        self._seen[path] = signature
        return text

    def _log_once(self, path: Path, message: str, *values: object) -> None:
        signature = _signature_or_none(path)
        if self._seen.get(path) != signature and signature is not None:
            self._seen[path] = signature
            _log.warning(message, *values)


def _signature(path: Path) -> _Signature:
    status = path.stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _signature_or_none(path: Path) -> _Signature | None:
    try:
        return _signature(path)
    except OSError:
        return None


def _unsettled(signature: _Signature) -> bool:
    return abs(time.time() - signature[3] / 1e9) < _UNSETTLED_S
