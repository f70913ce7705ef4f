"""The finished system in its folder: the image's own files, and what maintainer scripts would have done.

Those scripts are never run. The few things that they would have made (accounts, links, certificates, the library
cache) are made here, the same on every host.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from educloud_lab.localcloud.images.tools import run
from educloud_lab.localcloud.images.tree import tree_path

STUDENT_UID = 1000

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
    _copy_guest(guest, tree)
    for name, target in _LINKS.items():
        _link(tree, name, target)
    for applet in _APPLETS:
        if not any(
            (tree / folder / applet).is_symlink() or (tree / folder / applet).exists()
            for folder in ("usr/bin", "usr/sbin")
        ):
            _link(tree, f"usr/bin/{applet}", "busybox")
    for applet in ("poweroff", "reboot", "halt"):
        _link(tree, f"usr/sbin/{applet}", "../bin/busybox")
    _accounts(tree, ownership)
    _certificates(tree)
    for name, mode in {
        "dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "data": 0o755, "mnt": 0o755, "tmp": 0o1777,
        "var/tmp": 0o1777, "root": 0o700, "root/.ssh": 0o700, "home/student": 0o755, "var/lib/educloud": 0o700,
        "var/log": 0o755, "etc/ssh/sshd_config.d": 0o755,
    }.items():  # fmt: skip
        (tree / name).mkdir(parents=True, exist_ok=True)
        (tree / name).chmod(mode)
    for name in ("etc/machine-id", "var/log/wtmp", "var/log/lastlog"):
        (tree / name).write_bytes(b"")
    (tree / "etc/sudoers.d/student").chmod(0o440)
    run("making the library cache", ["ldconfig", "-X", "-r", tree])
    shutil.rmtree(tree / "var/cache", ignore_errors=True)
    _compile_python(tree)


def _link(tree: Path, name: str, target: str) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _copy_guest(guest: Path, tree: Path) -> None:
    for source in sorted(guest.rglob("*")):
        if source.is_dir():
            continue
        target = tree / tree_path(source.relative_to(guest).as_posix())
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        data = source.read_bytes()
        target.write_bytes(data)
        # Modes do not survive every way of packaging Python files, so a script is known by its first line.
        target.chmod(0o755 if data.startswith(b"#!") else 0o644)


def _accounts(tree: Path, ownership: dict[str, tuple[int, int]]) -> None:
    masters = tree / "usr/share/base-passwd"
    passwd = (masters / "passwd.master").read_text().replace(":*:", ":x:")
    group = (masters / "group.master").read_text().replace(":*:", ":x:")
    passwd += "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
    passwd += f"student:x:{STUDENT_UID}:{STUDENT_UID}:Student:/home/student:/bin/bash\n"
    group = re.sub(r"^(sudo:x:\d+:)$", r"\1student", group, flags=re.MULTILINE)
    group += f"student:x:{STUDENT_UID}:\n"
    names = [line.split(":")[0] for line in passwd.splitlines()]
    # "*" and not "!": without PAM, sshd takes "!" for a locked account and refuses keys too.
    shadow = "".join(f"{name}:*:19000:0:99999:7:::\n" for name in names)
    for name, text, mode in (
        ("passwd", passwd, 0o644),
        ("group", group, 0o644),
        ("shadow", shadow, 0o640),
        ("gshadow", "".join(f"{line.split(':')[0]}:*::\n" for line in group.splitlines()), 0o640),
    ):
        path = tree / "etc" / name
        path.write_text(text)
        path.chmod(mode)
    ownership["etc/shadow"] = ownership["etc/gshadow"] = (0, 42)
    home = tree / "home/student"
    home.mkdir(parents=True, exist_ok=True)
    for source in sorted((tree / "etc/skel").iterdir()):
        shutil.copyfile(source, home / source.name)
        ownership[f"home/student/{source.name}"] = (STUDENT_UID, STUDENT_UID)
        shutil.copyfile(source, tree / "root" / source.name)
    ownership["home/student"] = (STUDENT_UID, STUDENT_UID)


def _certificates(tree: Path) -> None:
    sources = sorted((tree / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = tree / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(source.read_text() for source in sources))
    _link(tree, "usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")


def _compile_python(tree: Path) -> None:
    """Compile the standard library with the image's own interpreter: the first `import` in a machine is then quick."""
    # What compiling itself imports must not be written on the way, with this folder's name and time in it.
    loader = tree / "usr/lib64/ld-linux-x86-64.so.2"
    if not loader.exists():
        loader = tree / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    library = next((tree / "usr/lib").glob("python3.[0-9]*"))
    run(
        "compiling Python's library",
        [loader, "--library-path", tree / "usr/lib/x86_64-linux-gnu", tree / "usr/bin" / library.name, "-S",
         "-m", "compileall", "-q", "-f", "-s", tree, "-p", "/", "--invalidation-mode", "unchecked-hash", library],
        env={"PYTHONHOME": str(tree / "usr"), "PYTHONHASHSEED": "0", "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
