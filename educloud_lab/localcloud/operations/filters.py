"""``Filter.N`` parameters: any of a filter's values, all of the filters; ``*`` and ``?`` are wild."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from educloud_lab.localcloud.errors import invalid

T = TypeVar("T")
Values = Callable[[T], Iterable[object]]


@lru_cache(maxsize=512)
def pattern(value: str) -> re.Pattern[str]:
    """Return the regular expression for a filter's value; a backslash takes the next character's magic."""
    out: list[str] = []
    characters = iter(value)
    for character in characters:
        if character == "\\":
            out.append(re.escape(next(characters, "\\")))
        elif character == "*":
            out.append(".*")
        elif character == "?":
            out.append(".")
        else:
            out.append(re.escape(character))
    return re.compile("".join(out), re.DOTALL)


def text(value: object) -> str:
    """Return how a filter's value is written for booleans and everything else."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def apply(
    items: Iterable[T],
    filters: Sequence[Mapping[str, Any]] | None,
    known: Mapping[str, Values[T]],
    tags: Callable[[T], Mapping[str, str]],
) -> list[T]:
    """Return the items that pass every filter.

    Parameters
    ----------
    known : how to read the values of each supported filter.
    tags : the tags of an item, for ``tag:KEY``, ``tag-key`` and ``tag-value``.

    Raises
    ------
    ApiError
        ``InvalidParameterValue`` for a filter that does not exist here.
    """
    kept = list(items)
    for entry in filters or ():
        name = entry.get("Name", "")
        patterns = [pattern(value) for value in entry.get("Values", ())]
        read = _reader(name, known, tags)
        kept = [item for item in kept if any(p.fullmatch(text(v)) for v in read(item) for p in patterns)]
    return kept


def _reader(name: str, known: Mapping[str, Values[T]], tags: Callable[[T], Mapping[str, str]]) -> Values[T]:
    if name in known:
        return known[name]
    if name.startswith("tag:"):
        key = name[4:]
        return lambda item: [tags(item)[key]] if key in tags(item) else []
    if name == "tag-key":
        return lambda item: list(tags(item))
    if name == "tag-value":
        return lambda item: list(tags(item).values())
    raise invalid(f"The filter '{name[:100]}' is invalid")
