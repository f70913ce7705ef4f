"""What is written behind ``%vm``: options first, and from the first other word on the command, letter by letter."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import Any

from IPython.core.error import UsageError

_WORD = re.compile(r"""\s*((?:[^\s"']|"[^"]*"|'[^']*')+)""")


def parse(magic: Any, line: str) -> Any:
    """Return what stands behind a magic; words are told apart as the shell does it, quotes and all."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{line.strip()}: {error}.") from None
    return taken(magic.parser, words)


def taken(parser: argparse.ArgumentParser, words: list[str]) -> Any:
    """Return what a magic's words say.

    Raises
    ------
    UsageError
        They are none that it takes; says where these are shown.
    """
    try:
        return parser.parse_args(words)
    except UsageError as error:
        name = f"%{parser.prog}"
        raise UsageError(f"{name}: {error}. Nothing was done. What it takes is shown by {name}?") from None


def split_line(parser: argparse.ArgumentParser, line: str) -> tuple[list[str], str]:
    """Return the options' words and the command behind them, which is never split, quoted or expanded.

    ``--`` ends the options where a command begins with a dash.
    """
    takes_value = {
        name: action.nargs != 0 and action.nargs != "?" for action in parser._actions for name in action.option_strings
    }
    options: list[str] = []
    rest = line
    while (found := _WORD.match(rest)) and found[1].startswith("-"):
        word, rest = found[1], rest[found.end() :]
        if word == "--":
            break
        options.append(_unquoted(word))
        if takes_value.get(word) and (value := _WORD.match(rest)):
            options.append(_unquoted(value[1]))
            rest = rest[value.end() :]
    return options, rest.strip()


def _unquoted(word: str) -> str:
    try:
        return "".join(shlex.split(word))
    except ValueError as error:
        raise UsageError(f"{word}: {error}.") from None


def environment(wanted: list[str], user_ns: dict[str, Any]) -> dict[str, str]:
    """Return environment variables from ``NAME=VALUE`` and ``NAME`` (the notebook's Python variable of that name)."""
    found = {}
    for item in wanted:
        name, equals, value = item.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(f"--env {item}: {name!r} cannot be the name of an environment variable.")
        if not equals:
            if name not in user_ns:
                raise UsageError(f"--env {name}: there is no Python variable {name}. Or write --env {name}=VALUE.")
            value = str(user_ns[name])
        found[name] = value
    return found


def variable(name: str | None) -> str | None:
    """Return the name of a Python variable, or refuse it."""
    if name is not None and not name.isidentifier():
        raise UsageError(f"--out {name}: not the name of a Python variable.")
    return name
