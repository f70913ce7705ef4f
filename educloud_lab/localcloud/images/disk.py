"""A folder made into a root disk: ext4 in a compressed qcow2, without privileges and reproducibly.

``mke2fs -d`` copies the folder; ``debugfs`` then sets what a folder of an ordinary user cannot hold (owners) or
holds by accident (times of access and change). The same folder gives the same bytes.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

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
    for path in _everything(tree):
        os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)
    env = {"E2FSPROGS_FAKE_TIME": str(epoch_s), "SOURCE_DATE_EPOCH": str(epoch_s), "MKE2FS_DEVICE_SECTSIZE": "512"}
    with raw.open("wb") as stream:
        stream.truncate(size_bytes)
    # 1 % stays for root: a student who fills the disk does not lock the lab service out.
    run(
        "making the file system",
        ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-U", str(ROOT_UUID), "-m", "1", "-I", "256",
         "-E", f"root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,hash_seed={ROOT_UUID}",
         "-O", "^metadata_csum_seed,^orphan_file" if _mke2fs_knows_orphan_file() else "^metadata_csum_seed",
         "-d", tree, raw],
        env=env,
    )  # fmt: skip
    run("setting owners in the file system", ["debugfs", "-w", "-f", "-", raw], env=env,
        stdin="".join(_commands(tree, ownership, epoch_s)))  # fmt: skip
    run("checking the file system", ["e2fsck", "-f", "-n", raw], env=env)
    run(
        "packing the root disk",
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "cluster_size=65536", raw, disk],
    )
    raw.unlink()
    return disk


def _everything(tree: Path) -> list[Path]:
    # Folders last, so that what is done inside them does not change their times again.
    paths = sorted(tree.rglob("*"), key=lambda path: (path.is_dir() and not path.is_symlink(), str(path)))
    return [*paths, tree]


def _commands(tree: Path, ownership: Mapping[str, tuple[int, int]], epoch_s: int) -> Iterator[str]:
    names = ["", "lost+found", *sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*"))]
    for name in names:
        uid, gid = ownership.get(name, (0, 0))
        quoted = '"/' + name.replace('"', '""') + '"'
        for field, value in (("uid", str(uid)), ("gid", str(gid))):
            yield f"sif {quoted} {field} {value}\n"
        for field in ("atime", "ctime", "mtime", "crtime"):
            yield f"sif {quoted} {field} @{epoch_s}\n"
        for field in ("atime_extra", "ctime_extra", "mtime_extra", "crtime_extra"):
            yield f"sif {quoted} {field} 0\n"


def _mke2fs_knows_orphan_file() -> bool:
    # From 1.47.0 on it is known (and on by default later); a fixed set of features keeps the result the same.
    return "orphan_file" in Path("/etc/mke2fs.conf").read_text() if Path("/etc/mke2fs.conf").exists() else False
