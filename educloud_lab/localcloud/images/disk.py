"""A folder made into a root disk: ext4 in a compressed qcow2, without privileges and reproducibly.

``debugfs`` copies the folder, file by file in the order of their names: ``mke2fs -d`` would take them in the order in
which this computer's disk happens to list them. It then sets what a folder of an ordinary user cannot hold (owners) or
holds by accident (times). The same folder gives the same bytes, wherever it lies.
"""

from __future__ import annotations

import stat
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from educloud_lab.localcloud.images.errors import ImageBuildError
from educloud_lab.localcloud.images.tools import run

# Names the file system; fixed, so that the same content gives the same bytes.
ROOT_UUID = uuid.UUID("6564756c-6162-4000-8000-000000000001")


def make_disk(tree: Path, ownership: Mapping[str, tuple[int, int]], size_bytes: int, epoch_s: int, work: Path) -> Path:
    """Make the root disk from ``tree`` and return its path in ``work``.

    Parameters
    ----------
    ownership : (uid, gid) by path for what is not root's.
    size_bytes : virtual size of the disk.
    epoch_s : the one time that every file gets, seconds since 1970.

    Raises
    ------
    ImageBuildError
        A tool failed, for example because the disk is full.
    """
    raw, disk = work / "root.raw", work / "root.qcow2"
    env = {"E2FSPROGS_FAKE_TIME": str(epoch_s), "SOURCE_DATE_EPOCH": str(epoch_s), "MKE2FS_DEVICE_SECTSIZE": "512"}
    with raw.open("wb") as stream:
        stream.truncate(size_bytes)
    # 1 % stays for root: a student who fills the disk does not lock the lab service out.
    run(
        "making the file system",
        ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-U", str(ROOT_UUID), "-m", "1", "-I", "256",
         "-E", f"root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,hash_seed={ROOT_UUID}",
         "-O", "^metadata_csum_seed,^orphan_file" if _mke2fs_knows_orphan_file() else "^metadata_csum_seed",
         raw],
        env=env,
    )  # fmt: skip
    commands = "".join([*_copies(tree), *_owners_and_times(tree, ownership, epoch_s)])
    filling: list[str | Path] = ["debugfs", "-w", "-f", "-", raw]
    _check_answers(run("filling the file system", filling, env=env, stdin=commands, with_errors=True))
    run("checking the file system", ["e2fsck", "-f", "-n", raw], env=env)
    # zstd packs six times as fast as zlib, and a machine unpacks it faster too.
    run(
        "packing the root disk",
        [
            "qemu-img",
            "convert",
            "-f",
            "raw",
            "-O",
            "qcow2",
            "-c",
            "-o",
            "cluster_size=65536,compression_type=zstd",
            raw,
            disk,
        ],
    )
    raw.unlink()
    return disk


def _names(tree: Path) -> list[str]:
    return sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*"))


def _quoted(path: str) -> str:
    if "\n" in path:
        raise ImageBuildError(f"A package holds an unusable path: {path!r}.")
    return '"' + path.replace('"', '""') + '"'


def _copies(tree: Path) -> Iterator[str]:
    """Commands that copy everything; of a file with several names the first is copied, the others are linked to it."""
    seen: dict[int, tuple[str, int]] = {}
    for name in _names(tree):
        path, place = tree / name, _quoted(f"/{name}")
        facts = path.lstat()
        if stat.S_ISDIR(facts.st_mode):
            yield f"mkdir {place}\n"
        elif stat.S_ISLNK(facts.st_mode):
            yield f"symlink {place} {_quoted(str(path.readlink()))}\n"
            continue
        elif facts.st_ino in seen:
            first, count = seen[facts.st_ino]
            seen[facts.st_ino] = (first, count + 1)
            yield f"ln {first} {place}\nsif {first} links_count {count + 1}\n"
            continue
        else:
            yield f"write {_quoted(str(path))} {place}\n"
            seen[facts.st_ino] = (place, 1)
        yield f"sif {place} mode 0{facts.st_mode:o}\n"


def _owners_and_times(tree: Path, ownership: Mapping[str, tuple[int, int]], epoch_s: int) -> Iterator[str]:
    for name in ["", "lost+found", *_names(tree)]:
        uid, gid = ownership.get(name, (0, 0))
        quoted = _quoted(f"/{name}")
        for field, value in (("uid", str(uid)), ("gid", str(gid))):
            yield f"sif {quoted} {field} {value}\n"
        for field in ("atime", "ctime", "mtime", "crtime"):
            yield f"sif {quoted} {field} @{epoch_s}\n"
        for field in ("atime_extra", "ctime_extra", "mtime_extra", "crtime_extra"):
            yield f"sif {quoted} {field} 0\n"


def _check_answers(output: str) -> None:
    """Find what went wrong: debugfs repeats each command, says little else, and ends with status 0 whatever happens.

    Raises
    ------
    ImageBuildError
        A command was answered with something other than success.
    """
    strangers = [line for line in output.splitlines() if line and not line.startswith(("debugfs", "Allocated inode"))]
    if strangers:
        hint = " The disk is full." if any("space" in line.lower() for line in strangers) else ""
        raise ImageBuildError(
            f"Filling the file system failed; earlier images are as they were.{hint}\n  " + "\n  ".join(strangers[:8])
        )


def _mke2fs_knows_orphan_file() -> bool:
    # From 1.47.0 on it is known (and on by default later); a fixed set of features keeps the result the same.
    return "orphan_file" in Path("/etc/mke2fs.conf").read_text() if Path("/etc/mke2fs.conf").exists() else False
