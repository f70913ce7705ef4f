"""The file of a backup: a tar archive whose holes take no room, with a list of checksums as its last member.

Any tar can unpack it: holes are written as GNU tar's sparse format 1.0 in POSIX headers. An archive without the list
at its end is not whole, and one whose members differ from the list is damaged; neither is ever unpacked into a cloud.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from educloud_lab.localcloud.errors import LocalCloudError

LIST = "manifest.json"
FORMAT = 1
_CHUNK_BYTES = 1 << 20
_ZEROES = bytes(64 << 10)


class BackupError(LocalCloudError):
    """A backup cannot be made, or what is there is not a whole one; nothing was changed."""


class _Segments(io.RawIOBase):
    """What tar reads of one file: the map of a sparse file, then its data; everything passes through the checksum."""

    def __init__(
        self,
        source: IO[bytes],
        segments: list[tuple[int, int]],
        size_bytes: int,
        head: bytes,
        told: Callable[[int], None],
    ) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self._parts = self._produce(source, segments, size_bytes, head, told)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size:
            try:
                self._rest += next(self._parts)
            except StopIteration:
                break
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _produce(
        self,
        source: IO[bytes],
        segments: list[tuple[int, int]],
        size_bytes: int,
        head: bytes,
        told: Callable[[int], None],
    ) -> Iterator[bytes]:
        if head:
            yield head
        at = 0
        for offset, length in segments:
            self._hole(offset - at)
            source.seek(offset)
            left = length
            while left:
                data = source.read(min(left, _CHUNK_BYTES))
                if not data:
                    raise BackupError("A file became shorter while it was copied. Nothing was kept; try again.")
                self.digest.update(data)
                told(len(data))
                left -= len(data)
                yield data
            at = offset + length
        self._hole(size_bytes - at)

    def _hole(self, length: int) -> None:
        while length > 0:
            step = min(length, len(_ZEROES))
            self.digest.update(_ZEROES[:step])
            length -= step


def add_file(archive: tarfile.TarFile, name: str, path: Path, told: Callable[[int], None]) -> dict[str, Any]:
    """Add one file under a name, and return its entry for the list.

    Parameters
    ----------
    told : called with the bytes that were copied since the last time.
    """
    with path.open("rb") as source:
        size_bytes = os.fstat(source.fileno()).st_size
        segments = list(_data(source.fileno(), size_bytes))
        info = tarfile.TarInfo(name)
        info.mode, info.mtime = 0o600, int(path.stat().st_mtime)
        info.size, head = sum(length for _, length in segments), b""
        if info.size != size_bytes:
            if sum(segments[-1] if segments else (0, 0)) != size_bytes:
                segments.append((size_bytes, 0))  # so that a hole at the end is not forgotten
            lines = [len(segments), *(number for segment in segments for number in segment)]
            text = "".join(f"{line}\n" for line in lines).encode()
            head = text + bytes(-len(text) % 512)
            info.pax_headers = {
                "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name,
                "GNU.sparse.realsize": str(size_bytes),
            }  # fmt: skip
            info.name = str(PurePosixPath(name).parent / "GNUSparseFile.0" / PurePosixPath(name).name)
            info.size += len(head)
        stream = _Segments(source, segments, size_bytes, head, told)
        archive.addfile(info, stream)
        stream.read(1)  # to the end, so that a last hole is counted
        return {"bytes": size_bytes, "sha256": stream.digest.hexdigest()}


def add_list(archive: tarfile.TarFile, document: dict[str, Any]) -> None:
    """Add the list; nothing comes after it."""
    text = json.dumps(document, indent=1).encode()
    info = tarfile.TarInfo(LIST)
    info.mode, info.size = 0o600, len(text)
    archive.addfile(info, io.BytesIO(text))


def unpack(source: Path, folder: Path, told: Callable[[int], None]) -> dict[str, Any]:
    """Unpack a backup into an empty folder, verify every file, and return the list.

    Raises
    ------
    BackupError
        It is not a backup, not whole, damaged, or of a newer format.
    """
    found: dict[str, dict[str, Any]] = {}
    document: dict[str, Any] | None = None
    try:
        with tarfile.open(source, "r:") as archive:
            for member in archive:
                if document is not None or not member.isreg() or not _is_plain(member.name):
                    raise BackupError(
                        f"{source} is not a backup of a local cloud ({member.name}). Nothing was changed."
                    )
                stream = archive.extractfile(member)
                assert stream is not None  # it is a regular file
                if member.name == LIST:
                    document = json.loads(stream.read())
                else:
                    found[member.name] = _write(stream, folder / member.name, member.size, told)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BackupError(
            f"{source} is damaged or no backup of a local cloud ({error}). Nothing was changed."
            " Take another copy of it."
        ) from error
    if not isinstance(document, dict) or "files" not in document:
        raise BackupError(f"{source} is not whole: its end is missing. Nothing was changed. Use another backup.")
    if document.get("format") != FORMAT:
        raise BackupError(
            f"{source} was made by a newer version. Nothing was changed. Install that version to restore it."
        )
    wrong = [name for name in {*found, *document["files"]} if found.get(name) != document["files"].get(name)]
    if wrong:
        raise BackupError(
            f"{source} is damaged: {', '.join(sorted(wrong)[:3])} differ from their checksums. Nothing was changed. Use"
            " another backup."
        )
    return document


def allocated_bytes(path: Path) -> int:
    """Return what a file takes on the disk, holes not counted."""
    return path.stat().st_blocks * 512


def _is_plain(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts


def _write(stream: IO[bytes], target: Path, size_bytes: int, told: Callable[[int], None]) -> dict[str, Any]:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, count = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while data := stream.read(len(_ZEROES)):
            digest.update(data)
            count += len(data)
            if data == _ZEROES[: len(data)]:
                out.seek(len(data), os.SEEK_CUR)
            else:
                out.write(data)
                told(len(data))
        out.truncate(size_bytes)
        out.flush()
        os.fsync(out.fileno())
    return {"bytes": count, "sha256": digest.hexdigest()}


def _data(descriptor: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield where a file holds data (lseek(2), SEEK_DATA); all of it where the file system cannot tell."""
    at = 0
    while at < size_bytes:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            begin = at
        end = size_bytes
        with contextlib.suppress(OSError):
            end = min(size_bytes, os.lseek(descriptor, begin, os.SEEK_HOLE))
        if end <= begin:
            return
        yield begin, end - begin
        at = end
