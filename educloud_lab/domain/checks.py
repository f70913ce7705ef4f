"""The language of checks: one assertion a line in plain English, from a small closed table of forms.

Pure grammar. What a line says is told here, whether it is true is judged in ``broker.checks``, which has one evaluator
for each form of :mod:`educloud_lab.domain.check_forms`. A line that is not understood is answered with the reason and
the form that is nearest to it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from educloud_lab.domain.check_forms import FORMS, KINDS, Form, slots_of

_TOKEN = re.compile(r"\[[^\]]+\]|\{[^}]+\}|\([^)]+\)|\S+")
_QUOTES: Final = str.maketrans({"\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2018": "'", "\u2019": "'"})
_BULLET = re.compile(r"^\s*(?:[-*\u2022]|\d+[.)])\s+")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_LEAST_LIKE = 0.45  # a suggestion that is less alike than this only misleads


@dataclass(frozen=True, slots=True)
class Assertion:
    """A line that was understood.

    Parameters
    ----------
    text : as it was written.
    form : name of its form.
    values : what stands at the form's slots, without quotation marks.
    denied : whether it says that the thing is *not* so.
    """

    text: str
    form: Form
    values: Mapping[str, str]
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Unclear:
    """A line that was not understood: why, and an example of the nearest form."""

    text: str
    why: str
    nearest: str


def parse(text: str) -> Assertion | Unclear:
    """Say what a line asserts.

    Parameters
    ----------
    text : one line; a bullet before it and a full stop after it do not matter, nor do capital letters.
    """
    line = _BULLET.sub("", text.translate(_QUOTES)).strip()
    if line.endswith(".") and not line.endswith(".."):
        line = line[:-1].rstrip()
    if any(not sign.isprintable() for sign in line):
        return Unclear(text, "It holds characters that cannot be printed.", "")
    for form in FORMS:
        choices = [(template, False) for template in form.says] + [(template, True) for template in form.denies]
        for template, denied in choices:
            found = _pattern(template).fullmatch(line + " ")
            if found is None:
                continue
            values = {name: _bare(value) for name, value in found.groupdict().items() if value is not None}
            for name, kind in slots_of(template).items():
                if why := KINDS[kind].refuse(values[name]):
                    return Unclear(text, why, form.example)
            return Assertion(text, form, values, denied)
    return _unclear(text, line)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """Return a template's regular expression; every word, the last one too, is followed by a space."""
    parts: list[str] = []
    for token in _TOKEN.findall(template):
        if token.startswith("{"):
            name, _, kind = token[1:-1].partition(":")
            parts.append(rf"(?P<{name}>{KINDS[kind or name].pattern})\s+")
        elif token.startswith("["):
            parts.append(rf"(?:(?:{_words(token[1:-1])})\s+)?")
        else:
            parts.append(rf"(?:{_words(token.strip('()'))})\s+")
    return re.compile("".join(parts), re.IGNORECASE)


def _words(text: str) -> str:
    return "|".join(r"\s+".join(re.escape(word) for word in choice.split()) for choice in text.split("|"))


def _bare(value: str) -> str:
    """Return a value without quotation marks; of ``Name="my web"`` both parts."""
    key, sign, rest = value.partition("=")
    if sign and not value.startswith(('"', "'")) and _QUOTED.fullmatch(rest):
        return f"{key}={rest[1:-1]}"
    return value[1:-1] if _QUOTED.fullmatch(value) else value


def _unclear(text: str, line: str) -> Unclear:
    if not line:
        return Unclear(text, "The line is empty.", FORMS[0].example)
    if line.count('"') % 2:
        return Unclear(text, "A quotation mark is not closed.", _nearest(line.replace('"', "")))
    nearest = _nearest(line)
    why = "This is no check that is known." if nearest else "This is no check that is known, and none is like it."
    return Unclear(text, why, nearest)


def _nearest(line: str) -> str:
    """Return the example of the form that a line is most like, '' when none is like it."""
    said = _shape(line)
    best, example = _LEAST_LIKE, ""
    for form in FORMS:
        for shown in (form.example, *form.more):
            shape = _shape(shown)
            alike = max(
                difflib.SequenceMatcher(None, said, shape).ratio(),
                difflib.SequenceMatcher(None, line.lower(), shown.replace('"', "").lower()).ratio(),
            )
            common = {word for word in said.split() if len(word) > 3} & set(shape.split())
            alike += 0.08 * len(common)
            if alike > best:
                best, example = alike, shown
    return example


def _shape(line: str) -> str:
    """Return a line without what differs from one use to the next."""
    line = _QUOTED.sub("TEXT", line.lower())
    line = re.sub(r"(?<!\S)[~/]\S*", "PATH", line)
    line = re.sub(r"\S+=\S+", "TAG", line)
    return " ".join(re.sub(r"\d+", "9", line).split())
