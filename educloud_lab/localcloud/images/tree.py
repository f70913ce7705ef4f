"""Package contents put into one folder, what a lab machine never uses left out; no privilege needed.

Owners are not set but remembered: the file system is made later with every file owned by root except those.
Debian 12 is "merged /usr": /bin, /sbin and /lib are links, and what packages ship under these names goes to /usr.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from educloud_lab.localcloud.images.errors import ImageBuildError
from educloud_lab.localcloud.images.tools import build_error

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


def unused_by_tiny(path: str) -> bool:
    """Tell what a tiny machine, which has no package management, never uses."""
    return _LEFT_OUT.match(path) is not None


def unpack(
    debs: Iterable[Path],
    tree: Path,
    ownership: dict[str, tuple[int, int]],
    *,
    left_out: Callable[[str], bool] = unused_by_tiny,
    contents: dict[Path, list[str]] | None = None,
) -> int:
    """Unpack package files into ``tree``.

    Parameters
    ----------
    ownership : filled with (uid, gid) by path for files that are not root's.
    left_out : tells which paths (as they will be in the tree) are not wanted.
    contents : filled with all paths of each package as it ships them (``./bin/ls``), the unwanted too.

    Returns
    -------
    int
        The latest modification time of all files in these packages, seconds since 1970: the time that the newest of
        them was built, the same wherever it is read.
    """
    for directory in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        (tree / directory).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    newest_s = 0
    for deb in debs:
        names, time_s = _unpack_one(deb, tree, ownership, left_out)
        newest_s = max(newest_s, time_s)
        if contents is not None:
            contents[deb] = names
    return newest_s


def package_files(deb: Path, wanted: re.Pattern[str]) -> dict[str, bytes]:
    """Contents of the files in a package whose path (without ``./``) matches, by path."""
    found: dict[str, bytes] = {}
    with _open(deb) as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            if member.isfile() and wanted.fullmatch(path):
                stream = archive.extractfile(member)
                assert stream is not None
                found[path] = stream.read()
    return found


def newest_time_s(deb: Path) -> int:
    """Latest modification time of a package's files: the time it was built, the same wherever it is read."""
    with _open(deb) as archive:
        return max((int(member.mtime) for member in archive), default=0)


def control_files(deb: Path) -> dict[str, bytes]:
    """Contents of a package's control files (``control``, ``md5sums``, ``postinst``...), by name."""
    with _open(deb, "--ctrl-tarfile") as archive:
        found: dict[str, bytes] = {}
        for member in archive:
            if member.isfile():
                stream = archive.extractfile(member)
                assert stream is not None
                found[member.name.removeprefix("./")] = stream.read()
        return found


@contextmanager
def _open(deb: Path, part: str = "--fsys-tarfile") -> Iterator[tarfile.TarFile]:
    """Read the files of a ``.deb`` as a stream of tar members; dpkg-deb knows every compression."""
    damaged = ImageBuildError(f"The package file {deb} is damaged. Delete it and build again.")
    with subprocess.Popen(["dpkg-deb", part, str(deb)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                yield archive
        except tarfile.TarError as exc:
            raise damaged from exc
        # Padding after the last member; a program whose output nobody reads to the end counts as failed.
        while process.stdout.read(65536):
            pass
    if process.returncode != 0:
        raise damaged


def _unpack_one(
    deb: Path, tree: Path, ownership: dict[str, tuple[int, int]], left_out: Callable[[str], bool]
) -> tuple[list[str], int]:
    names, newest_s = [], 0
    try:
        with _open(deb) as archive:
            for member in archive:
                names.append(member.name)
                newest_s = max(newest_s, int(member.mtime))
                name = tree_path(member.name)
                if not name or left_out(name):
                    continue
                if member.uid or member.gid:
                    ownership[name] = (member.uid, member.gid)
                _place(archive, member, tree, name)
    except OSError as exc:
        raise build_error(f"unpacking {deb.name}", exc) from exc
    return names, newest_s


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
        source = tree / tree_path(member.linkname)
        if source.exists():
            path.hardlink_to(source)
    elif member.isfile():
        stream = archive.extractfile(member)
        assert stream is not None
        with path.open("wb") as out:
            shutil.copyfileobj(stream, out)
        path.chmod(member.mode)


def tree_path(name: str) -> str:
    """Where a path of a package lies in a merged tree, without leading slash; '' for what the tree has already."""
    parts = [part for part in PurePosixPath(name).parts if part not in (".", "/")]
    if ".." in parts:
        raise ImageBuildError(f"A package holds an unusable path: {name!r}.")
    if parts and parts[0] in _MERGED:
        parts = ["usr", *parts] if len(parts) > 1 else []
    return "/".join(parts)
