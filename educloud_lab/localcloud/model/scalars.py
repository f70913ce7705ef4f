"""Reading scalars from query parameters and writing them as XML text."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

# XML 1.0 has no way to write these; a tag value may hold them all the same.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """Return the text fit for XML content and double-quoted attributes."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return _UNWRITABLE.sub("\ufffd", text).replace("\r", "&#13;")


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("true", "1"):
        return True
    if lowered in ("false", "0"):
        return False
    raise ValueError(text)


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII):
        raise ValueError(text)
    return int(text)


def _timestamp(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


READERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "integer": _integer,
    "long": _integer,
    "boolean": _boolean,
    "double": float,
    "float": float,
    "timestamp": _timestamp,
    "blob": str,  # stays base64; whoever needs the bytes decodes them and says what is wrong
}


def write_scalar(value: Any, out: list[str]) -> None:
    """Append one value as XML text."""
    if isinstance(value, bool):
        out.append("true" if value else "false")
    elif isinstance(value, datetime):
        out.append(format_time(value))
    elif isinstance(value, bytes):
        out.append(base64.b64encode(value).decode())
    else:
        out.append(escape(str(value)))


def format_time(moment: datetime) -> str:
    """Return the time as Eucalyptus writes it, in milliseconds."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
