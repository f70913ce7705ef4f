"""What the header of a qcow2 file tells without a process: its backing file, its size, and whether it was ever written.

A warm start continues a memory in which parts of the system disk are cached. That is right only over a disk that has
exactly the template's content, so whether an overlay is untouched is read from the overlay itself and not taken from
anybody's books. Layout: docs/interop/qcow2.txt of QEMU.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00  # bits 9 to 55 of an L1 entry
_LARGEST_L1 = 4 << 20  # entries; 2 PiB at the usual cluster size


@dataclass(frozen=True, slots=True)
class QcowHeader:
    """Part of a qcow2 header.

    Parameters
    ----------
    backing : the file that it is an overlay of, None for a disk of its own.
    virtual_bytes : the size that a guest sees.
    untouched : nothing was ever written to it: every read is answered by ``backing``, or with zeros.
    """

    backing: Path | None
    virtual_bytes: int
    untouched: bool


def read_header(path: Path) -> QcowHeader | None:
    """Read a file's header; None for a file that is missing or no sound qcow2."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(_HEADER.size)
            if len(raw) < _HEADER.size:
                return None
            (
                magic, _version, name_at, name_bytes, _cluster_bits, virtual_bytes, _crypt, entries, table_at,
                _refcounts_at, _refcount_clusters, snapshots, _snapshots_at,
            ) = _HEADER.unpack(raw)  # fmt: skip
            if magic != _MAGIC or entries > _LARGEST_L1 or name_bytes > 1023:
                return None
            backing = None
            if name_at:
                stream.seek(name_at)
                backing = Path(os.fsdecode(stream.read(name_bytes)))
            stream.seek(table_at)
            table = stream.read(entries * 8)
    except OSError:
        return None
    if len(table) < entries * 8:
        return None
    allocated = any(entry & _OFFSET_MASK for (entry,) in struct.iter_unpack(">Q", table))
    return QcowHeader(backing=backing, virtual_bytes=virtual_bytes, untouched=not allocated and snapshots == 0)
