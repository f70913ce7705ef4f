"""The root file system as a folder: package contents merged, what a lab machine never uses left out.

Maintainer scripts are never run. The few things that they would have done (accounts, links, certificates, the
library cache) are done here, the same on every host. Owners are not set: the file system is made with every
file owned by root except those named by `owners`, so no privilege is needed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from educloud_lab.localcloud.images.errors import ImageBuildError
from educloud_lab.localcloud.images.tools import build_error, run

STUDENT_UID = 1000

# Debian 12 is "merged /usr": packages may still ship files under these names.
_MERGED = {"bin", "sbin", "lib", "lib64", "lib32", "libx32"}

_LEFT_OUT = re.compile(
    r"""^(?:
      usr/share/(?:doc|man|info|locale|lintian|bug|common-licenses|gcc|gdb|perl5|bash-completion|zsh|applications
                  |pixmaps|icons|doc-base|menu|polkit-1|initramfs-tools|nano/extra|pam-configs|debconf|mime|python3/runtime.d)(?:/|$)
    | usr/lib/x86_64-linux-gnu/(?:gconv|perl|perl-base|e2initrd_helper)(?:/|$)
    | usr/lib/x86_64-linux-gnu/security/pam_userdb\.so$
    | usr/lib/(?:systemd|tmpfiles\.d|sysusers\.d|udev|modules-load\.d|modprobe\.d|init|sysctl\.d)(?:/|$)
    | usr/lib/python3\.\d+/(?:lib2to3|idlelib|distutils/command/.*\.exe|pydoc_data|test|ensurepip|turtledemo)(?:/|$)
    | usr/lib/modules/[^/]+/
    | etc/(?:init\.d|rc\d\.d|cron\..*|pam\.d|
            systemd|init|logcheck|apt|kernel|alternatives|default/(?:ssh|useradd)|ufw|skel)(?:/|$)
    | etc/(?:motd|issue.*|bash\.bashrc|profile|nsswitch\.conf|update-motd\.d)(?:/|$)
    | usr/sbin/(?:iucode.*|update-.*|addgnupghome|applygnupgdefaults|invoke-rc\.d)$
    | boot/
    | var/lib/dpkg/
    | usr/bin/(?:perl.*|pcre.*|tmux-plugins)$
    )""",
    re.VERBOSE,
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
_APPLETS = [
    "poweroff",
    "reboot",
    "halt",
    "vi",
    "wget",
    "nc",
    "ifconfig",
    "route",
    "netstat",
    "unzip",
    "httpd",
    "telnet",
    "traceroute",
    "nslookup",
    "insmod",
    "rmmod",
    "lsmod",
    "modprobe",
    "hwclock",
    "acpid",
    "udhcpc",
    "xxd",
    "hexdump",
    "bc",
    "dc",
    "patch",
    "time",
    "tree",
    "ed",
    "cpio",
    "bzip2",
    "xz",
    "unxz",
    "whois",
    "arp",
    "logger",
    "lsof",
]


def unpack(debs: Iterable[Path], tree: Path, ownership: dict[str, tuple[int, int]]) -> None:
    """Unpack package files into ``tree``, leaving out what a lab machine does not use.

    Parameters
    ----------
    ownership : filled with (uid, gid) by path for files that are not root's.
    """
    for directory in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        (tree / directory).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    for deb in debs:
        _unpack_one(deb, tree, ownership)


def package_files(deb: Path, wanted: re.Pattern[str]) -> dict[str, bytes]:
    """Contents of the files in a package whose path (without ``./``) matches, by path."""
    found: dict[str, bytes] = {}
    with _open(deb) as (archive, _):
        for member in archive:
            path = member.name.removeprefix("./")
            if member.isfile() and wanted.fullmatch(path):
                stream = archive.extractfile(member)
                assert stream is not None
                found[path] = stream.read()
    return found


def newest_time_s(deb: Path) -> int:
    """Latest modification time of a package's files: the time it was built, the same wherever it is read."""
    with _open(deb) as (archive, _):
        return max((int(member.mtime) for member in archive), default=0)


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


def _open(deb: Path) -> _DebArchive:
    return _DebArchive(deb)


class _DebArchive:
    """The files of a ``.deb`` as a stream of tar members; dpkg-deb knows every compression."""

    def __init__(self, deb: Path) -> None:
        self._deb = deb

    def __enter__(self) -> tuple[tarfile.TarFile, subprocess.Popen[bytes]]:
        self._process = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(self._deb)], stdout=subprocess.PIPE)
        self._archive = tarfile.open(fileobj=self._process.stdout, mode="r|")
        return self._archive, self._process

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._archive.close()
        if self._process.stdout is not None:
            while self._process.stdout.read(65536):
                pass
            self._process.stdout.close()
        if self._process.wait() != 0 and kind is None:
            raise ImageBuildError(f"The package file {self._deb} is damaged. Delete it and build again.")


def _unpack_one(deb: Path, tree: Path, ownership: dict[str, tuple[int, int]]) -> None:
    try:
        with _open(deb) as (archive, _):
            for member in archive:
                name = _merged(member.name)
                if not name or _LEFT_OUT.match(name):
                    continue
                if member.uid or member.gid:
                    ownership[name] = (member.uid, member.gid)
                _place(archive, member, tree, name)
    except tarfile.TarError as exc:
        raise ImageBuildError(f"The package file {deb} is damaged ({exc}). Delete it and build again.") from exc
    except OSError as exc:
        raise build_error(f"unpacking {deb.name}", exc) from exc


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, tree: Path, name: str) -> None:
    path = tree / name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        # Never less than the builder needs to write into it; special bits (sticky, setgid) stay.
        path.chmod(member.mode | 0o700)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        source = tree / _merged(member.linkname)
        if source.exists():
            path.hardlink_to(source)
    elif member.isfile():
        stream = archive.extractfile(member)
        assert stream is not None
        with path.open("wb") as out:
            shutil.copyfileobj(stream, out)
        path.chmod(member.mode)


def _merged(name: str) -> str:
    parts = [part for part in PurePosixPath(name).parts if part not in (".", "/")]
    if ".." in parts:
        raise ImageBuildError(f"A package holds an unusable path: {name!r}.")
    if parts and parts[0] in _MERGED:
        parts = ["usr", *parts] if len(parts) > 1 else []
    return "/".join(parts)


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
        target = tree / _merged(source.relative_to(guest).as_posix())
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
    loader = tree / "usr/lib64/ld-linux-x86-64.so.2"
    if not loader.exists():
        loader = tree / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    library = next((tree / "usr/lib").glob("python3.[0-9]*"))
    run(
        "compiling Python's library",
        [loader, "--library-path", tree / "usr/lib/x86_64-linux-gnu", tree / "usr/bin" / library.name, "-S",
         "-m", "compileall", "-q", "-s", tree, "-p", "/", "--invalidation-mode", "unchecked-hash", library],
        env={"PYTHONHOME": str(tree / "usr"), "PYTHONHASHSEED": "0", "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": ""},
    )  # fmt: skip


def merge_ownership(ownership: Mapping[str, tuple[int, int]], tree: Path) -> dict[str, tuple[int, int]]:
    """Ownership of paths that exist in the finished tree."""
    return {name: owner for name, owner in ownership.items() if (tree / name).is_symlink() or (tree / name).exists()}
