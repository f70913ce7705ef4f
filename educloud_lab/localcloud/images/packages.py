"""Debian packages without root: resolved and fetched by apt from the host's own sources, never installed.

apt works on an empty package database in a private folder, so what the host has installed does not matter and
nothing of the host is changed. Which mirror, which keys and which proxy are used is the host's configuration;
apt itself checks signatures and checksums.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from educloud_lab.localcloud.images.errors import ImageBuildError
from educloud_lab.localcloud.images.tools import Progress, build_error, run

_URI_LINE = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) ?(?P<checksum>\S*)$", re.MULTILINE)


_HOST_LISTS = Path("/var/lib/apt/lists")


@dataclass(frozen=True, slots=True)
class Package:
    """One resolved package.

    Parameters
    ----------
    name, version : as Debian names them.
    file_name : name of the ``.deb`` in the cache.
    size_bytes : its size.
    """

    name: str
    version: str
    file_name: str
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.name}={self.version}"


def parse_wanted(text: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """Read a package list: names to install, and (with a leading ``-``) names to leave out again."""
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    return (
        tuple(name for name in names if not name.startswith("-")),
        frozenset(name[1:] for name in names if name.startswith("-")),
    )


def file_stem(name: str) -> str:
    """Give the beginning of the name of a package's file, for ``name=version``; the architecture follows.

    apt writes the colon of an epoch as ``%3a``, in small letters.
    """
    package, _, version = name.partition("=")
    return f"{package}_{quote(version, safe='+~').replace('%3A', '%3a')}_"


def parse_uris(output: str) -> tuple[Package, ...]:
    """Read the answer of ``apt-get --print-uris``, ordered by name."""
    found = []
    for match in _URI_LINE.finditer(output):
        file_name = match["file"]
        name, version, _ = file_name.split("_", 2)
        found.append(Package(name, unquote(version), file_name, int(match["size"])))
    return tuple(sorted(found, key=lambda package: package.name))


class Apt:
    """apt with an empty package database of its own.

    Parameters
    ----------
    cache : folder that is kept between builds (``.deb`` files, and package lists where the host has none).
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._state = cache / "apt"
        self._debs = cache / "debs"
        self._private_lists = self._state / "lists"

    @property
    def lists(self) -> Path:
        """Where package lists are read: the host's, or our own where we had to fetch them and they are newer."""
        return max((_HOST_LISTS, self._private_lists), key=_newest_ns)

    def stamp(self) -> str:
        """Short hash that changes when the package lists change; costs no more than a few stat calls."""
        facts = sorted(
            (path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in self.lists.glob("*_Packages*")
        )
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def resolve(self, wanted: tuple[str, ...], left_out: frozenset[str], progress: Progress) -> tuple[Package, ...]:
        """Everything that ``wanted`` needs, at the newest version, without ``left_out``.

        Raises
        ------
        ImageBuildError
            No package lists can be had, or a package does not exist in the host's sources.
        """
        self._prepare()
        if not any(self.lists.glob("*_Packages*")):
            self.update(progress)
        output = run("finding the Debian packages", [*self._apt(), "install", "--print-uris", "--yes", *wanted])
        packages = tuple(package for package in parse_uris(output) if package.name not in left_out)
        if not packages:
            raise ImageBuildError("apt found no packages. Check the apt sources of this computer (apt-get update).")
        return packages

    def update(self, progress: Progress) -> None:
        """Fetch package lists into our own folder (the host's are absent or out of date)."""
        progress("fetching Debian's package lists", 20)
        self._prepare()
        (self._private_lists / "partial").mkdir(parents=True, exist_ok=True)
        run("fetching Debian's package lists", [*self._apt(self._private_lists), "update"])
        if not any(self._private_lists.glob("*_Packages*")):
            raise ImageBuildError(
                "No Debian package lists could be fetched. Is this computer online, and does /etc/apt name a Debian 12 "
                "mirror? Nothing was changed."
            )

    def locked(self, names: Sequence[str], progress: Progress) -> tuple[Package, ...]:
        """Find exactly these packages (``name=version``), in the cache or at the mirror, ordered by name.

        Raises
        ------
        ImageBuildError
            A version is neither here nor at the mirror any more.
        """
        self._prepare()
        found, missing = [], []
        for name in names:
            package = self._cached(name)
            if package is None:
                missing.append(name)
            else:
                found.append(package)
        if missing:
            if not any(self.lists.glob("*_Packages*")):
                self.update(progress)
            command = [*self._apt(), "download", "--print-uris", *missing]
            try:
                found += parse_uris(run("finding these versions", command))
            except ImageBuildError as exc:
                raise ImageBuildError(
                    f"{len(missing)} of {len(names)} package versions are not in the cache, and the mirror does not "
                    f"have all of them any more (first: {missing[0]}). Nothing was changed. Build with the versions of "
                    f"today instead (without --from-manifest), or name a mirror that keeps old ones in /etc/apt.\n{exc}"
                ) from exc
        return tuple(sorted(found, key=lambda package: package.name))

    def _cached(self, name: str) -> Package | None:
        package, _, version = name.partition("=")
        for path in sorted(self._debs.glob(f"{file_stem(name)}*.deb")):
            return Package(package, version, path.name, path.stat().st_size)
        return None

    def fetch(self, packages: tuple[Package, ...], progress: Progress, keep: Collection[str] = ()) -> list[Path]:
        """Make sure that every package file is in the cache; returns their paths in the order given.

        Parameters
        ----------
        keep : beginnings of the names of other files that stay in the cache; the rest is removed.
        """
        missing = [package for package in packages if not self._have(package)]
        if missing:
            total = sum(package.size_bytes for package in missing)
            progress(f"fetching {len(missing)} packages ({total / 1e6:.0f} MB)", max(3.0, total / 4e6))
            # "download" puts the files into the working directory under the names that --print-uris gave.
            run("fetching packages", [*self._apt(), "download", *map(str, missing)], cwd=self._debs)
        for package in packages:
            if not self._have(package):
                raise ImageBuildError(f"apt did not deliver {package}. Try again; nothing was changed.")
        wanted = {package.file_name for package in packages}
        for path in self._debs.iterdir():
            if path.name not in wanted and not path.name.startswith(tuple(keep)):
                path.unlink(missing_ok=True)
        return [self._debs / package.file_name for package in packages]

    def _have(self, package: Package) -> bool:
        path = self._debs / package.file_name
        return path.is_file() and path.stat().st_size == package.size_bytes

    def _prepare(self) -> None:
        try:
            for folder in (self._debs, self._state, self._cache / "archives" / "partial"):
                folder.mkdir(parents=True, exist_ok=True)
            (self._state / "status").touch()
        except OSError as exc:
            raise build_error("preparing the package cache", exc) from exc

    def _apt(self, lists: Path | None = None) -> list[str]:
        return [
            "apt-get",
            "--quiet=2" if lists else "--quiet",
            f"--option=Dir::State::lists={lists or self.lists}",
            f"--option=Dir::State::status={self._state / 'status'}",
            f"--option=Dir::State::extended_states={self._state / 'extended_states'}",
            f"--option=Dir::Cache={self._cache}",
            "--option=Dir::Cache::pkgcache=",
            "--option=Dir::Cache::srcpkgcache=",
            "--option=Debug::NoLocking=1",
            "--option=APT::Install-Recommends=0",
            "--option=APT::Get::AllowUnauthenticated=0",
            "--option=APT::Architecture=amd64",
            "--option=Acquire::Retries=3",
            # Files are fetched as whoever builds; apt's own user may not enter a private home.
            f"--option=APT::Sandbox::User={'root' if os.geteuid() == 0 else ''}",
        ]


def _newest_ns(lists: Path) -> int:
    # apt gives a list the time at which the mirror made it, so newer here means newer there.
    return max((path.stat().st_mtime_ns for path in lists.glob("*_Packages*")), default=0)
