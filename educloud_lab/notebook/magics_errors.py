"""How the magics fail: in a few lines, without the inside of this package, and so that "Run all" stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from educloud_lab.domain.errors import EducloudError

E = TypeVar("E", bound=BaseException)


class CheckFailedError(EducloudError):
    """One of a cell's checks does not hold, or could not be told."""

    code = "check-failed"


class MachinesFailedError(EducloudError):
    """A cell that ran on several machines did not end well on all of them."""

    code = "machines-failed"


def quiet(error: E) -> E:
    """Return the same error, shown by IPython as its words instead of as a traceback.

    IPython asks an exception for ``_render_traceback_`` (``InteractiveShell.showtraceback``).
    """
    name = type(error).__name__
    if isinstance(error, EducloudError):
        lines = [part for part in (error.what, error.kept, error.next_step) if part]
    else:
        lines = str(error).splitlines()
    shown = [f"\x1b[31m{name}\x1b[0m: {lines[0] if lines else ''}", *lines[1:]]
    error._render_traceback_ = lambda: shown  # type: ignore[attr-defined]  # found by name, as IPython documents
    return error


@contextmanager
def quietly() -> Iterator[None]:
    """Let our errors out of here in a few lines; others keep their traceback, for they are mistakes."""
    try:
        yield
    except EducloudError as error:
        raise quiet(error) from None
    except KeyboardInterrupt as error:
        raise quiet(error) from None
