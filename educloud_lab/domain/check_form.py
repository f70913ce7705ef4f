"""What a form of check is made of: where it is judged, what may stand at its slots, and how it can be written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Place(StrEnum):
    """Where a form is judged. What only the machine tells can be faked by whoever is root there."""

    CLOUD = "the cloud"
    GATEWAY = "the gateway"  # else the machine itself, where the gateway has no way to that port
    MACHINE = "the machine"


@dataclass(frozen=True, slots=True)
class Kind:
    """What may stand at a slot.

    Parameters
    ----------
    pattern : regular expression without groups; quotation marks belong to it.
    about : for people.
    lowest, highest : bounds of a number, None where it is none.
    longest : most characters.
    """

    pattern: str
    about: str
    lowest: int | None = None
    highest: int | None = None
    longest: int = 255

    def refuse(self, value: str) -> str:
        """Return why a value that has the form cannot be meant; '' when it can."""
        if len(value) > self.longest:
            return f"'{value[:20]}...' is too long: at most {self.longest} characters."
        if self.lowest is None or self.highest is None:
            return ""
        for number in re.findall(r"\d+", value):
            if not self.lowest <= int(number) <= self.highest:
                return f"{number} is not possible here: {self.about}."
        return ""


_TEXT = r"\"[^\"]+\"|'[^']+'"
KINDS: Final = {
    "port": Kind(r"\d{1,9}", "a port from 1 to 65535", 1, 65535),
    "ports": Kind(
        r"\d{1,9}(?:\s*(?:,\s*and|,|and|&)\s*\d{1,9}){0,30}", "ports from 1 to 65535, as `22, 80 and 443`", 1, 65535
    ),
    "text": Kind(_TEXT, "anything in quotation marks"),
    "path": Kind(
        r"\"(?:/|~/)[^\"]*\"|'(?:/|~/)[^']*'|(?:/|~/)[^\s\"']*",
        "an absolute path, or one that begins with `~/` (the login user's folder); quoted when it has spaces",
    ),
    "mount": Kind(r"/[A-Za-z0-9_./-]*", "an absolute path without spaces"),
    "mode": Kind(r"[0-7]{3,4}", "permissions as `chmod` takes them, `600`"),
    "name": Kind(rf"{_TEXT}|[^\s\"'=]+", "a name, quoted when it has spaces"),
    "word": Kind(r"[A-Za-z0-9_][A-Za-z0-9_.+@:-]*", "a name without spaces", longest=64),
    "user": Kind(r"[A-Za-z_][A-Za-z0-9_.-]*", "a name of a user or group on the machine", longest=32),
    "host": Kind(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", "a host's name or its IPv4 address"),
    "size": Kind(r"\d{1,6}\s*(?:MiB|GiB|TiB)", "a size in `MiB`, `GiB` or `TiB`", 1, 999999),
    "tag": Kind(rf"[A-Za-z0-9_.:-]+=(?:{_TEXT}|[^\s\"']+)", 'a tag, as `Name=web` or `Name="my web"`'),
}
"""By name: what may stand at ``{name}``, or at ``{slot:name}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One kind of assertion.

    Parameters
    ----------
    name : its evaluator's name.
    says, denies : templates: words, ``[that may be left out]``, ``one|other``, ``(one of|or other)``, ``{slots}``.
    place : where it is judged.
    example : what is shown and suggested; it must be one of this form.
    more : further examples, one of ``denies`` where there are such.
    about : what exactly is looked at.
    """

    name: str
    says: tuple[str, ...]
    denies: tuple[str, ...] = ()
    place: Place
    example: str
    more: tuple[str, ...] = ()
    about: str


def slots_of(template: str) -> dict[str, str]:
    """Return the kind of each slot of a template, by the slot's name."""
    found = re.findall(r"\{(\w+)(?::(\w+))?\}", template)
    return {name: kind or name for name, kind in found}
