"""Reading a console log: how far the last boot came, which lines say so, and what the machine thinks the time is.

Only the last boot counts: consoles keep the boots before it. A failure that a later line takes back (an address that
came after all) is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from educloud_lab.broker.diagnosis.console_marks import MARKS, TAKEN_BACK, Boot

_MOST_LINES = 6
_WIDTH = 160
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BEGINS: Final = (  # a boot says each of these once, in this order
    re.compile(r"SeaBIOS \(version|Booting from (?:Hard Disk|ROM)|GRUB loading"),
    re.compile(r"Linux version \d"),
    re.compile(r"\[boot\] kernel is up|simulated machine: booted"),
)
_FAR = re.compile(r"Kernel panic|systemd\[1\]|\[boot\] (?!kernel is up)|login: *$|\(initramfs\)|No bootable device")
"""A boot that came so far does not begin any more: what begins after it is another one."""
_TIMES: Final = (
    re.compile(r"running '\S+' at (?P<mail>\w{3}, \d+ \w{3} \d{4} \d\d:\d\d:\d\d \+0000)\. Up (?P<up>[\d.]+) seconds"),
    re.compile(r"\[ *(?P<up>[\d.]+)\].*setting system clock to (?P<iso>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d) UTC"),
)
_CERTIFICATE = re.compile(
    r"Certificate invalid: (?:expired|not yet valid)|certificate (?:has expired|not yet valid)", re.I
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a console says of the last boot; ``lines`` are those that say it."""

    boot: Boot
    lines: tuple[str, ...] = ()
    booted_at: datetime | None = None  # by the machine's own clock
    certificate_times: bool = False  # sshd itself says that it is about the certificate's times


def plain(text: str) -> list[str]:
    """Return a console's lines without control characters and empty ones."""
    whole = text.replace("\r\n", "\n").split("\n")
    lines = (_CONTROL.sub("", line.rpartition("\r")[2] or line).rstrip() for line in whole)
    return [line for line in lines if line.strip()]


def read(text: str) -> Reading:
    """Read a console log."""
    lines = plain(text)
    first = _last_boot(lines)
    last = lines[first:]
    if not last:
        return Reading(Boot.EMPTY)
    booted_at, times = _booted_at(last), any(_CERTIFICATE.search(line) for line in last)
    for boot, mark in MARKS.items():
        said = [number for number, line in enumerate(last) if re.search(mark, line)]
        if not said:
            continue
        taken_back = TAKEN_BACK.get(boot)
        if taken_back and any(re.search(taken_back, line) for line in last[said[-1] + 1 :]):
            continue
        shown = tuple(last[number][:_WIDTH] for number in said[-_MOST_LINES:])
        return Reading(boot, shown, booted_at, times)
    only_firmware = all(re.search(r"SeaBIOS|iPXE|Booting from|GRUB|Machine UUID|^Press ", line) for line in last)
    if only_firmware:
        return Reading(Boot.NO_BOOT, tuple(line[:_WIDTH] for line in last[-_MOST_LINES:]))
    return Reading(Boot.BOOTING, tuple(line[:_WIDTH] for line in last[-3:]), booted_at, times)


def _last_boot(lines: list[str]) -> int:
    """Return the number of the line with which the last boot begins."""
    first, reached, far = 0, -1, False
    for number, line in enumerate(lines):
        for stage, begins in enumerate(_BEGINS):
            if not begins.search(line):
                continue
            # The firmware speaks in several lines; everything else that comes again begins another boot.
            if far or stage < reached or (stage == reached and stage > 0):
                first = number
            reached, far = stage, False
        far = far or _FAR.search(line) is not None
    return first


def _booted_at(lines: list[str]) -> datetime | None:
    for line in lines:
        for pattern in _TIMES:
            found = pattern.search(line)
            if found is None:
                continue
            groups = found.groupdict()
            told = (
                parsedate_to_datetime(groups["mail"])
                if groups.get("mail")
                else datetime.fromisoformat(groups["iso"]).replace(tzinfo=UTC)
            )
            return told.astimezone(UTC) - timedelta(seconds=float(found["up"]))
    return None
