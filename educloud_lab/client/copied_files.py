"""Files of this computer that are copied: read, measured, made under another name, and what can go wrong with them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from educloud_lab.domain.errors import BadInputError, ConflictError, NotFoundError

KEPT = "Nothing was changed."


def open_source(source: Path) -> BufferedReader:
    """Open a file to be sent. Raises BadInputError for a pipe and the like, and OSError."""
    if source.exists() and not source.is_file() and not source.is_dir():  # opening a pipe would wait for its writer
        raise BadInputError(f"{source} is no ordinary file.", kept=KEPT, next_step="Name a file.")
    return source.open("rb")


def measure(file: BufferedReader) -> tuple[int, str]:
    """Return the size in bytes and the SHA-256 of an open file, which is at its beginning afterwards."""
    sum_ = hashlib.file_digest(file, "sha256")
    size_bytes = file.tell()
    file.seek(0)
    return size_bytes, sum_.hexdigest()


def create(part: Path) -> BinaryIO:
    """Make a file that is not there yet, for its owner only. Raises OSError."""
    return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def target_path(target: str, name: str) -> Path:
    """Return where a file of this name goes: into the target when that is a folder. Raises BadInputError."""
    path = Path(target).expanduser()
    if target.endswith("/") or path.is_dir():
        if not path.is_dir():
            raise BadInputError(f"There is no folder {path} here.", kept=KEPT, next_step="Make it first.")
        path /= Path(name).name
        if path.is_dir():
            raise BadInputError(f"{path} is a folder here.", kept=KEPT, next_step="Name a file.")
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell what a person can do about a failure of a file here."""
    try:
        yield
    except FileNotFoundError as error:
        missing = path if path.parent.is_dir() else path.parent
        raise NotFoundError(
            f"There is no {missing} here.", kept=KEPT, next_step="See that it is the right name."
        ) from error
    except IsADirectoryError as error:
        raise BadInputError(
            f"{path} is a folder; files are copied one by one.",
            kept=KEPT,
            next_step="For a whole folder make an archive of it first: tar czf.",
        ) from error
    except PermissionError as error:
        raise ConflictError(
            f"You may not do that with {path} here.", kept=KEPT, next_step="Use another folder."
        ) from error
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        what = f"The disk that holds {path} is full." if full else f"{path} cannot be used: {error.strerror}."
        raise ConflictError(
            what, kept=KEPT, next_step="Make room for it." if full else "Use another folder."
        ) from error
