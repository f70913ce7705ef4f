"""Taking out what must not be passed on: keys, passwords, tokens, and whatever might be one (I7)."""

from __future__ import annotations

import re
from typing import Final

LEFT_OUT: Final = "[left out]"
_KEY_CUT_OFF = re.compile(r"\A(?:(?!-----BEGIN)[\s\S])*?-----END [A-Z0-9 ]*PRIVATE KEY-----")
_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)")
_PAIR = re.compile(
    r"(?i)\b([\w-]*(?:passw(?:or)?d|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|credential|private[_-]?key)"
    r"[\w-]*)(\"?'?\s*(?:[:=]|\bis\b)\s*)(\"[^\"]*\"|'[^']*'|\S+)"
)
_HEADER = re.compile(r"(?i)\b(authorization|cookie|x-[\w-]*token)(\s*:\s*).*")
_ACCESS_KEY = re.compile(r"\b(?:AKI|ASI)[A-Z0-9]{13,}\b")
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_LONG = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{32,}={0,2}(?![A-Za-z0-9+/=])")


def redact(text: str) -> str:
    """Return a text without what might be a secret. Call it on the whole text, before lines are chosen from it."""
    text = _KEY_CUT_OFF.sub(LEFT_OUT, text)
    text = _KEY.sub(LEFT_OUT, text)
    text = _HEADER.sub(rf"\1\2{LEFT_OUT}", text)
    text = _PAIR.sub(rf"\1\2{LEFT_OUT}", text)
    text = _IN_ADDRESS.sub(LEFT_OUT, text)
    text = _ACCESS_KEY.sub(LEFT_OUT, text)
    return _LONG.sub(LEFT_OUT, text)
