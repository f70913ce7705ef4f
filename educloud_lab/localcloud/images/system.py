"""The finished tiny system in its folder: the image's own files, and what maintainer scripts would have done.

Those scripts are never run. The few things that they would have made (accounts, links, certificates, the library
cache) are made here, the same on every host.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from educloud_lab.localcloud.images.shared import (
    STUDENT_UID,
    certificates,
    compile_python,
    copy_guest,
    folders,
    library_cache,
    link,
    student_home,
    write_accounts,
)

# Links that dpkg's alternatives system would have made.
_LINKS = {
    "usr/bin/awk": "mawk",
    "usr/bin/nawk": "mawk",
    "usr/bin/editor": "nano",
    "usr/bin/pager": "less",
    "usr/bin/which": "which.debianutils",
    "usr/bin/python": "python3",
    "usr/bin/sh": "dash",
    "usr/sbin/init": "../bin/busybox",
    "usr/sbin/shutdown": "../lib/educloud/shutdown",
    "etc/mtab": "../proc/self/mounts",
    "etc/resolv.conf": "../run/resolv.conf",
    "var/run": "../run",
    "var/lock": "../run/lock",
}

# BusyBox applets offered where Debian's own program was not installed.
_APPLETS = (
    *("poweroff", "reboot", "halt", "vi", "wget", "nc", "ifconfig", "route", "netstat", "unzip", "httpd", "telnet"),
    *("traceroute", "nslookup", "insmod", "rmmod", "lsmod", "modprobe", "hwclock", "acpid", "udhcpc", "logread", "xxd"),
    *("hexdump", "bc", "dc", "patch", "time", "tree", "ed", "cpio", "bzip2", "xz", "unxz", "whois", "arp", "logger"),
)


def finish(tree: Path, guest: Path, ownership: dict[str, tuple[int, int]]) -> None:
    """Add the image's own files and do what maintainer scripts would have done."""
    copy_guest(guest, tree)
    for name, target in _LINKS.items():
        link(tree, name, target)
    for applet in _APPLETS:
        if not any(
            (tree / folder / applet).is_symlink() or (tree / folder / applet).exists()
            for folder in ("usr/bin", "usr/sbin")
        ):
            link(tree, f"usr/bin/{applet}", "busybox")
    for applet in ("poweroff", "reboot", "halt"):
        link(tree, f"usr/sbin/{applet}", "../bin/busybox")
    _accounts(tree, ownership)
    certificates(tree)
    folders(tree, {
        "dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "data": 0o755, "mnt": 0o755, "tmp": 0o1777,
        "var/tmp": 0o1777, "root": 0o700, "root/.ssh": 0o700, "home/student": 0o755, "var/lib/educloud": 0o700,
        "var/log": 0o755, "etc/ssh/sshd_config.d": 0o755,
    })  # fmt: skip
    for name in ("etc/machine-id", "var/log/wtmp", "var/log/lastlog"):
        (tree / name).write_bytes(b"")
    (tree / "etc/sudoers.d/student").chmod(0o440)
    library_cache(tree)
    shutil.rmtree(tree / "var/cache", ignore_errors=True)
    compile_python(tree)


def _accounts(tree: Path, ownership: dict[str, tuple[int, int]]) -> None:
    masters = tree / "usr/share/base-passwd"
    passwd = (masters / "passwd.master").read_text().replace(":*:", ":x:")
    group = (masters / "group.master").read_text().replace(":*:", ":x:")
    passwd += "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
    passwd += f"student:x:{STUDENT_UID}:{STUDENT_UID}:Student:/home/student:/bin/bash\n"
    group = re.sub(r"^(sudo:x:\d+:)$", r"\1student", group, flags=re.MULTILINE)
    group += f"student:x:{STUDENT_UID}:\n"
    write_accounts(tree, passwd, group, ownership)
    student_home(tree, ownership)
    for source in sorted((tree / "etc/skel").iterdir()):
        shutil.copyfile(source, tree / "root" / source.name)
