"""What consoles say of a boot: the words of kernels, initial ramdisks, cloud-init, systemd, sshd and our own images."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Boot(StrEnum):
    """How far the last boot came. In this order: what comes first explains what comes after it."""

    EMPTY = "empty"
    NO_ROOT = "no-root"
    PANIC = "panic"
    EMERGENCY = "emergency"
    NO_BOOT = "no-boot"
    NO_ADDRESS = "no-address"
    NO_METADATA = "no-metadata"
    USER_DATA = "user-data"
    SSHD_DOWN = "sshd-down"
    SSHD_UP = "sshd-up"
    BOOTED = "booted"
    BOOTING = "booting"


_UP = (
    r"ssh: listening on port",
    r"Server listening on \S+ port 22",
    r"Started (?:ssh\.service|sshd\.service|OpenBSD Secure|OpenSSH (?:server|Daemon))",
)
_MARKS: Final[Mapping[Boot, tuple[str, ...]]] = {
    Boot.NO_ROOT: (
        r"VFS: (?:Unable to mount root fs|Cannot open root device)",
        r"Gave up waiting for (?:root|the root)",
        r"ALERT!\s+\S+ does not exist",
        r"dracut.*(?:Could not boot|initqueue timeout)",
        r"FAILED: the root disk",
        r"No root device found",
        r"Please append a correct \"root=\"",
    ),
    Boot.PANIC: (r"Kernel panic - not syncing", r"end Kernel panic", r"Kernel stack is corrupted"),
    Boot.EMERGENCY: (
        r"You are in emergency mode",
        r"Welcome to emergency mode",
        r"Give root password for maintenance",
        r"root account is locked",
        r"UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY",
    ),
    Boot.NO_BOOT: (
        r"No bootable device",
        r"not a bootable disk",
        r"error: no such (?:device|partition)",
        r"error: unknown filesystem",
        r"grub rescue>",
        r"requires an x86-64 CPU",
        r"Exec format error",
    ),
    Boot.NO_ADDRESS: (
        r"NO ADDRESS on \w+",
        r"No DHCPOFFERS received",
        r"No working leases in persistent database",
        r"no lease, failing",
        r"Failed to start (?:Raise network interfaces|networking\.service)",
        r"ci-info: \|\s*(?:eth|en)\w+\s*\|\s*False",
        r"Timeout occurred while waiting for network connectivity",
    ),
    Boot.NO_METADATA: (
        r"NO ANSWER from 169\.254\.169\.254",
        r"Giving up on (?:md|waiting for the metadata)",
        r"Calling 'http://169\.254\.169\.254\S*' failed",
        r"Used fallback datasource",
    ),
    Boot.USER_DATA: (
        r"user data: (?:FAILED|not a script)",
        r"Failed to run module scripts-user",
        r"Failed running /var/lib/cloud/\S*part-",
        r"Unhandled non-multipart \(text/x-not-multipart\) userdata",
    ),
    Boot.SSHD_DOWN: (
        r"\[sshd\] ended with an error",
        r"ssh: FAILED, nothing listens",
        r"no hostkeys available",
        r"Failed to start (?:OpenBSD Secure Shell|ssh\.service|sshd\.service|OpenSSH (?:server|Daemon))",
        r"Bad configuration option",
        r"Missing privilege separation directory",
    ),
    Boot.SSHD_UP: (*_UP, r"BEGIN SSH HOST KEY FINGERPRINTS"),
    Boot.BOOTED: (
        r"^\S+ login: *$",
        r"\[boot\] ready",
        r"Cloud-init v\. \S+ finished",
        r"Reached target .*Multi-User System",
    ),
}
_TAKEN_BACK: Final[Mapping[Boot, tuple[str, ...]]] = {
    Boot.EMERGENCY: (r"login: *$",),
    Boot.NO_BOOT: (r"Linux version \d",),
    Boot.NO_ADDRESS: (
        r"\w+ has address \d",
        r"bound to \d",
        r"lease of \d\S* obtained",
        r"DHCPv4 address \d",
        r"ci-info: \|\s*(?:eth|en)\w+\s*\|\s*True",
        r"DHCPACK",
    ),
    Boot.NO_METADATA: (
        r"\[boot\] metadata: i-",
        r"Datasource DataSource(?:Ec2|OpenStack|Eucalyptus)",
        r"key pair installed",
    ),
    Boot.USER_DATA: (r"user data: done",),
    Boot.SSHD_DOWN: _UP,
}

MARKS: Final[Mapping[Boot, str]] = {boot: "|".join(words) for boot, words in _MARKS.items()}
"""One pattern for each end of a boot."""
TAKEN_BACK: Final[Mapping[Boot, str]] = {boot: "|".join(words) for boot, words in _TAKEN_BACK.items()}
"""What a later line says when the failure did not last."""
