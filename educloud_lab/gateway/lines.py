"""Authorisation lines: OpenSSH authorized_keys lines, held to the strict subset that this gateway and sshd read alike.

An option that the gateway does not enforce refuses its line rather than being ignored, because an ignored
restriction is a permission. A text that somebody puts in force is accepted or refused as a whole; in a file that
lies there already a bad line is left out, since every line only adds a permission.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncssh

from educloud_lab.gateway import files
from educloud_lab.gateway.addresses import Permitted, parse_address, parse_destination
from educloud_lab.gateway.errors import LinesError
from educloud_lab.gateway.identity import Identity

MAX_TEXT_BYTES = 65536
MAX_LINES = 64
MAX_LINE_BYTES = 16384
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_FILE_LINES = 4096
MAX_DESTINATIONS = 256
MAX_PRINCIPALS = 16
MIN_RSA_BITS = 2048
SUFFIX = ".keys"

_NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}", re.ASCII)
_OPTION = re.compile(r'(?P<name>[A-Za-z0-9-]+)(?:="(?P<value>(?:[^"\\]|\\")*)")?(?P<end>,|[ \t]+)', re.ASCII)
_EXPIRY = re.compile(r"(\d{8})(\d{4}(?:\d{2})?)?(Z?)", re.ASCII)
_KEY_TYPE = re.compile(r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9-]+@openssh\.com)[ \t]")

# Refusing these is what the gateway does in any case, so a line may name them.
_ALREADY_SO = frozenset({"no-pty", "no-agent-forwarding", "no-x11-forwarding", "no-user-rc", "command"})
_ONCE = frozenset({"command", "cert-authority", "expiry-time", "principals"})
_WITH_VALUE = frozenset({"command", "permitopen", "principals", "expiry-time"})


@dataclass(frozen=True)
class Line:
    """One line's permission.

    Attributes
    ----------
    key_data : bytes
        The public key (of a certificate authority when `authority`), in SSH wire form.
    fingerprint : str
        Its SHA-256 fingerprint, for the log.
    authority : bool
        Whether the key signs certificates (``cert-authority``).
    principals : frozenset of str
        With `authority`: the certificate must hold one of them.
    permitted : Permitted
        What ``permitopen`` lists.
    expires_at : datetime or None
        From ``expiry-time``, aware, UTC.
    """

    key_data: bytes
    fingerprint: str
    authority: bool
    principals: frozenset[str]
    permitted: Permitted
    expires_at: datetime | None


class LinesTable:
    """Every line in force, indexed so that one certificate among hundreds of leases is found at once.

    Parameters
    ----------
    groups : mapping of str to iterable of Line
        The lines of each name.
    """

    def __init__(self, groups: Mapping[str, Iterable[Line]] | None = None) -> None:
        self._by_principal: dict[tuple[bytes, str], list[Line]] = {}
        self._by_key: dict[bytes, list[Line]] = {}
        for lines in (groups or {}).values():
            for line in lines:
                if line.authority:
                    for principal in line.principals:
                        self._by_principal.setdefault((line.key_data, principal), []).append(line)
                else:
                    self._by_key.setdefault(line.key_data, []).append(line)

    def permitted(self, identity: Identity, now: datetime) -> Permitted:
        """Return every destination that the lines allow `identity` at the time `now` (aware)."""
        if identity.kind == "certificate":
            found = [
                line
                for principal in identity.principals
                for line in self._by_principal.get((identity.key_data, principal), ())
            ]
        elif identity.kind == "key":
            found = self._by_key.get(identity.key_data, [])
        else:
            found = []
        valid = [line.permitted for line in found if line.expires_at is None or now < line.expires_at]
        return Permitted(
            frozenset().union(*(permitted.destinations for permitted in valid)),
            frozenset().union(*(permitted.addresses for permitted in valid)),
        )


def check_name(name: str) -> str:
    """Return `name` if it may name a group of lines (``[a-z0-9-]{1,64}``).

    Raises
    ------
    LinesError
        Otherwise.
    """
    if not _NAME.fullmatch(name):
        raise LinesError(
            f"{name[:80]!r} is not a name for lines: use 1 to 64 of a-z, 0-9 and '-'. Nothing was changed."
        )
    return name


def parse_lines(text: str) -> tuple[Line, ...]:
    """Parse and check a whole lines text; blank lines and comments are allowed.

    Raises
    ------
    LinesError
        With the number of the first bad line and the reason. A text without any line is refused too: to
        withdraw a permission, drop its name.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise LinesError(f"the lines are larger than {MAX_TEXT_BYTES} bytes; nothing was changed")
    lines, problems = read_lines(text)
    if problems:
        raise LinesError(f"{problems[0]}; none of these lines is in force")
    if not lines:
        raise LinesError("there is no line in the text; to withdraw a permission, drop its name")
    if len(lines) > MAX_LINES:
        raise LinesError(f"there are {len(lines)} lines under one name, at most {MAX_LINES} are allowed")
    return lines


def read_lines(text: str) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """Parse the good lines of a file; return them, and what is wrong with each other line."""
    lines: list[Line] = []
    problems: list[str] = []
    # Only \n ends a line, as for sshd: splitlines() would also split at characters inside a comment.
    for number, raw in enumerate(text.split("\n"), start=1):
        stripped = raw.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        if len(lines) >= MAX_FILE_LINES:
            problems.append(f"line {number} and those after it: more than {MAX_FILE_LINES} lines")
            break
        try:
            lines.append(parse_line(stripped))
        except ValueError as exc:
            problems.append(f"line {number}: {exc}")
    return tuple(lines), tuple(problems)


def parse_line(line: str) -> Line:
    """Parse one line, e.g. ``restrict,port-forwarding,permitopen="172.16.77.5:22" ssh-ed25519 AAAA...``.

    Raises
    ------
    ValueError
        When anything in it is not understood or grants more than the gateway gives.
    """
    if len(line) > MAX_LINE_BYTES or not line.replace("\t", " ").isprintable():
        raise ValueError("it is too long or holds control characters")
    options, rest = _split_options(line)
    if "restrict" not in options or "port-forwarding" not in options:
        raise ValueError("it must start with restrict,port-forwarding")
    if list(options).index("restrict") > list(options).index("port-forwarding"):
        raise ValueError("restrict must stand before port-forwarding, for sshd reads options in order")
    places = options.get("permitopen", [])
    if not 1 <= len(places) <= MAX_DESTINATIONS:
        raise ValueError(f'it needs 1 to {MAX_DESTINATIONS} permitopen="ADDRESS:PORT"')
    authority = "cert-authority" in options
    if authority != ("principals" in options):
        raise ValueError('cert-authority and principals="..." come together')
    key = _import_key(rest)
    expiry = options.get("expiry-time")
    return Line(
        key_data=key.public_data,
        fingerprint=key.get_fingerprint(),
        authority=authority,
        principals=_parse_principals(options["principals"][0]) if authority else frozenset(),
        permitted=_parse_places(places, authority=authority),
        expires_at=_parse_expiry(expiry[0]) if expiry else None,
    )


def _split_options(line: str) -> tuple[dict[str, list[str]], str]:
    """Split the options from the key; ``asyncssh``'s own parser lets unknown options and `restrict` pass unread."""
    options: dict[str, list[str]] = {}
    position = 0
    if _KEY_TYPE.match(line):
        return options, line
    while True:
        match = _OPTION.match(line, position)
        if match is None:
            raise ValueError(f"its options are not understood from {line[position : position + 20]!r} on")
        name, value = match["name"].lower(), match["value"]
        if name not in _ALREADY_SO | _WITH_VALUE | {"restrict", "port-forwarding", "cert-authority"}:
            raise ValueError(f"the option {name!r} is not one that this gateway enforces")
        if (value is not None) != (name in _WITH_VALUE):
            raise ValueError(f"the option {name!r} {'needs a' if value is None else 'takes no'} value")
        if name in options and name in _ONCE:
            raise ValueError(f"the option {name!r} stands twice")
        options.setdefault(name, []).append((value or "").replace('\\"', '"'))
        position = match.end()
        if match["end"] != ",":
            return options, line[position:]


def _import_key(text: str) -> asyncssh.SSHKey:
    if not _KEY_TYPE.match(text):
        raise ValueError("no public key of a known type follows the options (DSA keys and certificates do not count)")
    try:
        key = asyncssh.import_public_key(text)
    except (asyncssh.KeyImportError, ValueError) as exc:
        raise ValueError("its public key is damaged") from exc
    bits = getattr(key.pyca_key, "key_size", None)
    if key.get_algorithm() == "ssh-rsa" and (not isinstance(bits, int) or bits < MIN_RSA_BITS):
        raise ValueError(f"its RSA key is shorter than {MIN_RSA_BITS} bits")
    return key


def _parse_places(places: list[str], *, authority: bool) -> Permitted:
    single, whole = set(), set()
    for place in places:
        address, _, port = place.rpartition(":")
        if port != "*":
            single.add(parse_destination(place))
        elif authority:
            raise ValueError("a line for certificates names its ports: '*' is for key pairs, where routes decide")
        else:
            whole.add(parse_address(address))
    return Permitted(frozenset(single), frozenset(whole))


def _parse_principals(value: str) -> frozenset[str]:
    principals = value.split(",")
    # asyncssh reads patterns here and sshd does not; names without wildcards mean the same to both.
    if len(principals) > MAX_PRINCIPALS or not all(_PRINCIPAL.fullmatch(name) for name in principals):
        raise ValueError(f"principals must be 1 to {MAX_PRINCIPALS} plain names without wildcards")
    return frozenset(principals)


def _parse_expiry(value: str) -> datetime:
    match = _EXPIRY.fullmatch(value)
    if match is None:
        raise ValueError("expiry-time must be YYYYMMDD[HHMM[SS]][Z]")
    day, hour, zulu = match[1], (match[2] or "").ljust(6, "0"), match[3]
    try:
        # Without Z, sshd takes the host's own time zone; so do we.
        naive = datetime.strptime(day + hour, "%Y%m%d%H%M%S")  # noqa: DTZ007 (the zone is put on in the next line)
    except ValueError as exc:
        raise ValueError("expiry-time is not a date") from exc
    return naive.replace(tzinfo=UTC) if zulu else naive.astimezone(UTC)


def lines_path(folder: Path, name: str) -> Path:
    """Return the file of the lines called `name`; raises `LinesError` for a bad name."""
    return folder / (check_name(name) + SUFFIX)


def write_lines(folder: Path, name: str, text: str) -> tuple[Line, ...]:
    """Check `text`, then put it in place as the lines called `name` (mode 0600, atomically).

    Repeating it is harmless. Returns the parsed lines.

    Raises
    ------
    LinesError
        When the name or the text is refused; the former lines stay in force.
    OSError
        When the folder cannot be written.
    """
    path = lines_path(folder, name)
    lines = parse_lines(text)
    files.write_atomically(path, text if text.endswith("\n") else text + "\n")
    return lines


def drop_lines(folder: Path, name: str) -> bool:
    """Remove the lines called `name`; return whether there were any. Repeating it is harmless.

    Raises
    ------
    LinesError
        For a bad name.
    OSError
        When the folder cannot be written.
    """
    return files.remove(lines_path(folder, name))
