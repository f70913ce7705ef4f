"""What all commands share: wrong input is one paragraph and exit status 2, and nothing is ignored in silence."""

from __future__ import annotations

import math
import re
import sys
from typing import Any, NoReturn

from traitlets import Enum, Float, Integer, TraitError, TraitType
from traitlets.config import Application, Config
from traitlets.config.loader import KVArgParseConfigLoader

NOT_UNDERSTOOD = 2
"""Exit status of a command that was not understood; 1 is for what could not be done."""

INTERRUPTED = 130
"""Exit status of a command that its person interrupted, as shells count."""


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_WITHOUT_VALUE = re.compile(r"argument (?P<option>-\S+): expected one argument")


def plain(text: str) -> str:
    """Return text without control characters but line ends and tabs.

    What clouds, guests, tags and error texts say must not move the cursor or set the title of somebody's terminal.
    """
    return _CONTROL.sub("", text)


def out(text: str) -> None:
    """Print one line of a command's output at once."""
    print(plain(text), flush=True)  # noqa: T201 - the command's output


def complain(text: str) -> None:
    """Print one paragraph about what went wrong."""
    print(plain(text), file=sys.stderr, flush=True)  # noqa: T201 - the command's own message


class _StrictLoader(KVArgParseConfigLoader):
    """Refuses options that do not exist: traitlets only warns, and does what was not meant."""

    def _create_parser(self) -> None:
        super()._create_parser()
        # argparse's own words name classes and attributes that nobody who types a command has heard of.
        self.parser.error = self._refuse  # type: ignore[method-assign] # the parser's class is traitlets' own secret

    def _refuse(self, message: str) -> NoReturn:
        told = _WITHOUT_VALUE.fullmatch(message)
        if told is None:
            complain(f"That was not understood: {message}. Nothing was done. See --help.")
            sys.exit(NOT_UNDERSTOOD)
        target = told["option"].lstrip("-")
        for alias, meant in self.aliases.items():
            if target in (alias, meant):
                complain(f"The option --{alias} needs a value; nothing was done. See --help.")
                sys.exit(NOT_UNDERSTOOD)
        self._handle_unrecognized_alias(target)

    def _handle_unrecognized_alias(self, arg: str) -> NoReturn:
        complain(f"There is no option {'-' if len(arg) == 1 else '--'}{arg}; nothing was done. See --help.")
        sys.exit(NOT_UNDERSTOOD)


class StrictCommand(Application):
    """A command that refuses options and values that it does not know."""

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> KVArgParseConfigLoader:
        return _StrictLoader(argv, aliases, flags, classes=classes, log=self.log, subcommands=self.subcommands)

    def update_config(self, config: Config) -> None:
        """Take over what was given; exits with 2 and one sentence when a value is not possible."""
        try:
            super().update_config(config)
        except TraitError as exc:
            complain(f"{self.name.replace('-', ' ')}: {self._why(str(exc))} Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)

    def _why(self, told: str) -> str:
        """Return what is wrong by the option's name; traitlets names the attribute and its class."""
        for option, target in self.aliases.items():
            name = str(target).rpartition(".")[2]
            trait = self.traits().get(name)
            if trait is not None and f"'{name}' trait" in told:
                return f"--{option} takes {_possible(trait)}."
        return f"{told.rstrip('.')}."


class CommandGroup(StrictCommand):
    """A command that consists of others."""

    def start(self) -> None:
        """Run the subcommand; exits with 2 and the help, or the names there are, when none was named."""
        if self.subapp is not None:
            self.subapp.start()
            return
        if self.extra_args:
            known = ", ".join(self.subcommands)
            complain(f"{self.name}: there is no command {self.extra_args[0]!r}. There are: {known}.")
        else:
            self.print_help()
        self.exit(NOT_UNDERSTOOD)


def _possible(trait: TraitType[Any, Any]) -> str:
    """Return what an option takes, in words."""
    if isinstance(trait, Enum):
        return f"one of {', '.join(str(value) for value in trait.values or ())}"
    kind = "a whole number" if isinstance(trait, Integer) else "a number" if isinstance(trait, Float) else trait.info()
    low, high = getattr(trait, "min", None), getattr(trait, "max", None)
    bounded = low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
    return f"{kind} from {low:g} to {high:g}" if bounded else str(kind)
