"""dpkg's and apt's own records, written as if they had installed the packages themselves.

With them ``dpkg -l``, ``dpkg --audit``, ``apt install`` and ``apt autoremove`` work in a machine whose packages were
unpacked by the builder. The forms are dpkg's: deb-control(5), ``/var/lib/dpkg/info`` and ``dpkg-trigger(1)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from email.message import Message
from email.parser import Parser
from pathlib import Path

from educloud_lab.localcloud.images.tree import control_files, tree_path

_SCRIPTS = {"preinst", "postinst", "prerm", "postrm", "config"}


def write(tree: Path, contents: Mapping[Path, list[str]], by_hand: Collection[str]) -> None:
    """Write the records of these packages; to be called before the image's own files change any of theirs.

    Parameters
    ----------
    contents : the paths that each package file ships (`tree.unpack`).
    by_hand : names of the packages that were asked for; the others are marked as having come along.
    """
    database = tree / "var/lib/dpkg"
    info = database / "info"
    for folder in ("info", "alternatives", "triggers", "updates", "parts"):
        (database / folder).mkdir(parents=True, exist_ok=True)
    (info / "format").write_text("1\n")
    entries, automatic, interests = [], [], list[tuple[str, str]]()
    for deb, names in contents.items():
        files = control_files(deb)
        text = files.pop("control").decode().rstrip("\n") + "\n"
        fields = Parser().parsestr(text)
        name, architecture = str(fields["Package"]), str(fields["Architecture"])
        stem = f"{name}:{architecture}" if fields.get("Multi-Arch") == "same" else name
        conffiles = files.get("conffiles", b"").decode().split("\n")
        conffiles = [line for line in conffiles if line.startswith("/")]
        entries.append((name, _entry(text, _sums(tree, conffiles))))
        if name not in by_hand:
            # apt files packages for all architectures under the native one.
            automatic.append((name, "amd64" if architecture == "all" else architecture))
        (info / f"{stem}.list").write_text("".join(f"{line}\n" for line in _listed(names)))
        files.setdefault("md5sums", _md5sums(tree, names, conffiles))
        for kind, data in files.items():
            path = info / f"{stem}.{kind}"
            path.write_bytes(data)
            path.chmod(0o755 if kind in _SCRIPTS else 0o644)
        interests += _interests(files.get("triggers", b"").decode(), name, fields)
    (database / "status").write_text("".join(f"{entry}\n" for _, entry in sorted(entries)))
    for empty in ("available", "diversions", "statoverride", "triggers/Unincorp", "triggers/Lock"):
        (database / empty).write_bytes(b"")
    (database / "arch").write_text("amd64\n")
    _write_triggers(database / "triggers", interests)
    states = tree / "var/lib/apt/extended_states"
    states.parent.mkdir(parents=True, exist_ok=True)
    states.write_text(
        "".join(
            f"Package: {name}\nArchitecture: {architecture}\nAuto-Installed: 1\n\n"
            for name, architecture in sorted(automatic)
        )
    )


def _entry(control: str, conffiles: Mapping[str, str]) -> str:
    head, _, rest = control.partition("\n")
    if not head.startswith("Package:"):
        # deb-control(5) asks for no order; dpkg's own record begins with the name.
        lines = control.splitlines(keepends=True)
        first = next(line for line in lines if line.startswith("Package:"))
        rest = "".join(line for line in lines if line is not first)
        head = first.rstrip("\n")
    listed = "".join(f" {path} {digest}\n" for path, digest in conffiles.items())
    return f"{head}\nStatus: install ok installed\n{rest}" + (f"Conffiles:\n{listed}" if listed else "")


def _listed(names: list[str]) -> list[str]:
    """Give the paths as dpkg lists them: absolute, the root as ``/.``, folders without a slash at the end."""
    listed = ["/" + name.removeprefix("./").rstrip("/") for name in names]
    return ["/." if path in ("/", "/.") else path for path in listed]


def _sums(tree: Path, paths: list[str]) -> dict[str, str]:
    found = {}
    for path in paths:
        place = tree / tree_path(path)
        if place.is_file():
            found[path] = hashlib.md5(place.read_bytes(), usedforsecurity=False).hexdigest()
    return found


def _md5sums(tree: Path, names: list[str], conffiles: list[str]) -> bytes:
    paths = [path for path in _listed(names) if path not in conffiles and not (tree / tree_path(path)).is_symlink()]
    return "".join(f"{digest}  {path[1:]}\n" for path, digest in _sums(tree, paths).items()).encode()


def _interests(text: str, package: str, fields: Message) -> list[tuple[str, str]]:
    found = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) == 2 and words[0].startswith("interest"):
            # A package that can be installed for several architectures is named with its own.
            name = f"{package}:{fields['Architecture']}" if fields.get("Multi-Arch") == "same" else package
            found.append((words[1], f"{name}/noawait" if words[0] == "interest-noawait" else name))
    return found


def _write_triggers(folder: Path, interests: list[tuple[str, str]]) -> None:
    by_file = [f"{trigger} {package}\n" for trigger, package in interests if trigger.startswith("/")]
    (folder / "File").write_text("".join(by_file))
    for trigger in sorted({trigger for trigger, _ in interests if not trigger.startswith("/")}):
        (folder / trigger).write_text("".join(f"{package}\n" for name, package in interests if name == trigger))
