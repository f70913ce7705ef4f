"""What the disk of a data volume may hold: blank ones, and signatures written by the real tools or from their formats.

Where a tool belongs to what every machine has (e2fsprogs, util-linux), it makes the image. The other formats' first
bytes come from their specifications, at the places where libblkid looks for them. Each function gets the image's
path, and a source of chance that is seeded by the image's number.
"""

from __future__ import annotations

import os
import subprocess
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

GIB = 1024**3
MIB = 1024**2
SIZE = GIB
TOOLS = f"{os.environ['PATH']}:/usr/sbin:/sbin"

Content = Callable[[Path, Random], None]


def put(disk: Path, *pieces: tuple[int, bytes]) -> None:
    """Write bytes at places; a negative one counts from the end."""
    with disk.open("r+b") as file:
        for place, data in pieces:
            file.seek(place if place >= 0 else SIZE + place)
            file.write(data)


def tool(*command: str) -> None:
    """Run a tool that must be there."""
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, env={"PATH": TOOLS})


def any_uuid(chance: Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


# Blank


def sparse(_disk: Path, _chance: Random) -> None:
    """Nothing was ever written."""


def zeros(disk: Path, chance: Random) -> None:
    """Zeros were written, as a cloud may do that empties a disk before it gives it on."""
    put(disk, (0, bytes(chance.randint(1, 4) * MIB)), (-MIB, bytes(MIB)))


# File systems and partitions


def extended(kind: str) -> Content:
    """ext2, ext3 or ext4 with a file, an own UUID and perhaps an own block size."""

    def make(disk: Path, chance: Random) -> None:
        folder = disk.with_name(f"{disk.name}.files")
        folder.mkdir()
        (folder / "thesis.txt").write_bytes(chance.randbytes(chance.randint(1, 100_000)))
        block = str(chance.choice([1024, 4096]))
        tool(f"mkfs.{kind}", "-q", "-b", block, "-U", any_uuid(chance), "-d", str(folder), str(disk))

    return make


def swap(disk: Path, chance: Random) -> None:
    tool("mkswap", "-q", "-U", any_uuid(chance), str(disk))


def partitions_dos(disk: Path, chance: Random) -> None:
    put(disk, (446, _partition(0x83, chance.choice([63, 2048, 4096]), 1_000_000)), (510, b"\x55\xaa"))


def _partition(kind: int, start: int, sectors: int) -> bytes:
    ends = b"\xfe\xff\xff"
    return b"\0" + ends + bytes([kind]) + ends + start.to_bytes(4, "little") + sectors.to_bytes(4, "little")


def partitions_gpt(disk: Path, chance: Random) -> None:
    """A table with one Linux partition and its copy at the end, both with right checksums."""
    last = SIZE // 512 - 1
    linux = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le
    own, span = uuid.UUID(any_uuid(chance)), (2048).to_bytes(8, "little") + (1_002_047).to_bytes(8, "little")
    entries = (linux + chance.randbytes(16) + span + bytes(8) + "data".encode("utf-16-le")).ljust(128 * 128, b"\0")

    def header(here: int, other: int, table: int) -> bytes:
        sectors = b"".join(number.to_bytes(8, "little") for number in (here, other, 34, last - 33))
        rest = table.to_bytes(8, "little") + (128).to_bytes(4, "little") * 2 + zlib.crc32(entries).to_bytes(4, "little")
        start, end = b"EFI PART\0\0\1\0" + (92).to_bytes(4, "little"), bytes(4) + sectors + own.bytes_le + rest
        return start + zlib.crc32(start + bytes(4) + end).to_bytes(4, "little") + end

    put(disk, (446, _partition(0xEE, 1, last)), (510, b"\x55\xaa"))
    put(disk, (512, header(1, last, 2)), (1024, entries))
    put(disk, (last * 512, header(last, 1, last - 32)), ((last - 32) * 512, entries))


def only_the_backup_of_a_gpt(disk: Path, chance: Random) -> None:
    """Somebody overwrote the beginning; the copy at the end is there."""
    partitions_gpt(disk, chance)
    put(disk, (0, bytes(34 * 512)))


def fat(disk: Path, chance: Random) -> None:
    boot = bytearray(512)
    boot[:11] = b"\xeb\x58\x90mkfs.fat"
    boot[11:36] = bytes.fromhex("0002 08 2000 02 0000 0000 f8 0000 3e00 7c00 00000000 00002000".replace(" ", ""))[:25]
    boot[36:52] = (2048).to_bytes(4, "little") + bytes(4) + (2).to_bytes(4, "little") + b"\1\0\6\0"
    boot[64:90] = b"\x80\0\x29" + chance.randbytes(4) + b"MEMORY CARDFAT32   "
    boot[510:] = b"\x55\xaa"
    put(disk, (0, bytes(boot)), (512, b"RRaA"), (0x20 * 512, b"\xf8\xff\xff\x0f\xff\xff\xff\xff"))


def exfat(disk: Path, chance: Random) -> None:
    boot = bytearray(512)
    boot[:11] = b"\xeb\x76\x90EXFAT   "
    boot[72:80] = (SIZE // 512).to_bytes(8, "little")
    boot[80:100] = b"".join(value.to_bytes(4, "little") for value in (128, 256, 512, 250_000, 4))
    boot[100:104] = chance.randbytes(4)
    boot[104:112] = bytes.fromhex("0001 0000 09 03 01 80".replace(" ", ""))
    boot[510:] = b"\x55\xaa"
    put(disk, (0, bytes(boot)))


def ntfs(disk: Path, chance: Random) -> None:
    boot = bytearray(512)
    boot[:11] = b"\xeb\x52\x90NTFS    "
    boot[11:14] = b"\0\2\x08"
    boot[21] = 0xF8
    boot[40:48] = (SIZE // 512 - 1).to_bytes(8, "little")
    boot[48:56], boot[56:64] = (4).to_bytes(8, "little"), (5).to_bytes(8, "little")
    boot[64], boot[68] = 0xF6, 1
    boot[72:80] = chance.randbytes(8)
    boot[510:] = b"\x55\xaa"
    record = bytearray(b"FILE0\0\3\0".ljust(1024, b"\0"))
    record[20:22], record[56:60] = (56).to_bytes(2, "little"), b"\xff\xff\xff\xff"
    put(disk, (0, bytes(boot)), *((4 * 4096 + number * 1024, bytes(record)) for number in range(4)))


def xfs(disk: Path, chance: Random) -> None:
    head = bytearray(512)
    head[:16] = b"XFSB" + (4096).to_bytes(4, "big") + (SIZE // 4096).to_bytes(8, "big")
    head[32:48] = chance.randbytes(16)
    head[80:92] = b"".join(value.to_bytes(4, "big") for value in (1, SIZE // 4096 // 4, 4))
    head[96:100] = (2560).to_bytes(4, "big")
    head[100:108] = b"\xb4\xa4\2\0\2\0\0\x08"
    head[120:128] = bytes([12, 9, 9, 3, 16, 0, 0, 25])
    put(disk, (0, bytes(head)))


def btrfs(disk: Path, chance: Random) -> None:
    put(disk, (65536 + 32, chance.randbytes(16)), (65536 + 64, b"_BHRfS_M"))


def f2fs(disk: Path, chance: Random) -> None:
    put(disk, (1024, b"\x10\x20\xf5\xf2\1\0\x0d\0"), (1024 + 108, chance.randbytes(16)))


def squashfs(disk: Path, chance: Random) -> None:
    put(disk, (0, b"hsqs" + chance.randbytes(24) + b"\4\0\0\0"))


def iso9660(disk: Path, _chance: Random) -> None:
    put(disk, (32768, b"\1CD001\1\0" + b"LINUX".ljust(32) + b"COURSE DISC".ljust(32)), (34816, b"\xffCD001\1"))


def zfs(disk: Path, chance: Random) -> None:
    block = (0x00BAB10C).to_bytes(8, "little") + (5000).to_bytes(8, "little") + chance.randbytes(16)
    put(disk, *((128 * 1024 + number * 1024, block) for number in range(8)))


def luks(disk: Path, chance: Random) -> None:
    head = b"LUKS\xba\xbe\0\1aes".ljust(40, b"\0") + b"xts-plain64".ljust(32, b"\0") + b"sha256".ljust(32, b"\0")
    put(disk, (0, head + chance.randbytes(64)), (168, any_uuid(chance).encode()))


def lvm(disk: Path, chance: Random) -> None:
    body = b"\x20\0\0\0LVM2 001" + "".join(chance.choices("abcdefghij", k=32)).encode() + bytes(448)
    crc = (~zlib.crc32(body, ~0xF597A6CF & 0xFFFFFFFF)) & 0xFFFFFFFF  # LVM's own first value
    put(disk, (512, b"LABELONE" + (1).to_bytes(8, "little") + crc.to_bytes(4, "little") + body))


def raid(disk: Path, chance: Random) -> None:
    """A member of a Linux RAID whose superblock, of version 1.0, is at the end."""
    head = b"\xfc\x4e\x2b\xa9\1\0\0\0" + bytes(8) + chance.randbytes(16) + b"lab:0".ljust(32, b"\0")
    place = (SIZE // 512 - 16) & ~7
    block = bytearray(head.ljust(256, b"\0"))
    block[144:152] = place.to_bytes(8, "little")
    put(disk, (place * 512, bytes(block)))


# Damage


def superblock_lost(disk: Path, chance: Random) -> None:
    extended("ext4")(disk, chance)
    put(disk, (1024, bytes(1024)))


def superblock_garbage(disk: Path, chance: Random) -> None:
    extended("ext4")(disk, chance)
    put(disk, (1024 + 56, chance.randbytes(2)), (1024 + chance.randint(100, 900), chance.randbytes(64)))


def beginning_lost(disk: Path, chance: Random) -> None:
    """A partition with a file system, of which the first sectors were zeroed with the partition table."""
    start = chance.choice([MIB, 2 * MIB])
    tool("mkfs.ext4", "-q", "-E", f"offset={start}", str(disk), "500m")
    put(disk, (0, bytes(start)))


# Bytes that nobody knows


def a_byte_in_front(disk: Path, chance: Random) -> None:
    put(disk, (chance.choice([0, 511, 4 * MIB - 1, chance.randrange(4 * MIB)]), b"\1"))


def a_byte_at_the_end(disk: Path, chance: Random) -> None:
    put(disk, (chance.choice([-1, -MIB, -chance.randint(1, MIB)]), b"\x80"))


def an_archive(disk: Path, chance: Random) -> None:
    put(disk, (0, b"PK\3\4" + chance.randbytes(chance.randint(1000, 3 * MIB))))


SIGNATURES: dict[str, Content] = {
    "ext2": extended("ext2"), "ext3": extended("ext3"), "ext4": extended("ext4"), "swap": swap,
    "partitions-dos": partitions_dos, "partitions-gpt": partitions_gpt,
    "partitions-gpt-backup": only_the_backup_of_a_gpt, "vfat": fat, "exfat": exfat, "ntfs": ntfs, "xfs": xfs,
    "btrfs": btrfs, "f2fs": f2fs, "squashfs": squashfs, "iso9660": iso9660, "zfs": zfs, "luks": luks, "lvm": lvm,
    "raid": raid,
}  # fmt: skip
DAMAGED: dict[str, Content] = {
    "superblock-lost": superblock_lost, "superblock-garbage": superblock_garbage, "beginning-lost": beginning_lost,
}  # fmt: skip
UNKNOWN: dict[str, Content] = {
    "byte-in-front": a_byte_in_front, "byte-at-the-end": a_byte_at_the_end, "archive": an_archive,
}  # fmt: skip
