"""Saved templates on disk: which one fits a machine, whether it is whole, how many are kept.

A template is one folder, named by everything that it depends on: ``memory`` (the guest's memory, sparse), ``state``
(its devices) and ``template.json``. It holds no disk: a template writes nothing to its own (checked when it is made),
so a machine made of it has an ordinary overlay on the image's root file, and a template can be removed at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from educloud_lab.localcloud.hypervisor import qcow
from educloud_lab.localcloud.hypervisor.base import MachineSpec
from educloud_lab.localcloud.hypervisor.templates_command import WARM_WORD, shape

log = logging.getLogger(__name__)

MOST_TEMPLATES = 4
MOST_BYTES = 2 << 30
MAKING_PREFIX = ".making-"
_SCHEMA = 1
_FACTS = "template.json"
_PIECE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class TemplateKey:
    """What a saved memory depends on.

    Parameters
    ----------
    image : root file, kernel and ramdisk as (path, bytes, time of change in ns); an image built anew has others.
    qemu : first line of ``qemu --version``, and the host's processor where the guest sees it (KVM).
    shape : hardware, acceleration, memory, processors and kernel arguments (`templates_command.shape`).
    """

    image: tuple[tuple[str, int, int], ...]
    qemu: str
    shape: tuple[str, ...]

    @property
    def template_id(self) -> str:
        """Name of the template that fits."""
        text = json.dumps([_SCHEMA, asdict(self)], sort_keys=True)
        return f"tpl-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Template:
    """A template that lies on disk whole.

    Parameters
    ----------
    image : the folder of the image's files.
    memory_mib : memory of its machines.
    kept_bytes : what it takes on disk.
    """

    template_id: str
    folder: Path
    image: Path
    memory_mib: int
    kept_bytes: int

    @property
    def memory(self) -> Path:
        """The guest's memory."""
        return self.folder / "memory"

    @property
    def state(self) -> Path:
        """The state of its devices."""
        return self.folder / "state"


def can_go_on(spec: MachineSpec) -> bool:
    """Whether a machine may go on from a saved memory: its image knows how to, and its disk is the image's, unwritten.

    Only disks directly on a built image's root file count (it lies beside the kernel): other disks have had a life.
    """
    if WARM_WORD not in spec.kernel_args.split() or spec.kernel is None or spec.disks:
        return False
    header = qcow.read_header(spec.root.path)
    if header is None or not header.untouched or header.backing is None:
        return False
    return header.backing.parent == spec.kernel.absolute().parent


def key_of(spec: MachineSpec, arguments: Sequence[str], qemu: str) -> TemplateKey | None:
    """Name what a template for ``spec`` depends on; None when the image's files cannot be looked at."""
    header = qcow.read_header(spec.root.path)
    if header is None or header.backing is None:
        return None
    files: list[tuple[str, int, int]] = []
    for path in (header.backing, spec.kernel, spec.ramdisk):
        if path is not None:
            try:
                found = path.stat()
            except OSError:
                return None
            files.append((str(path.absolute()), found.st_size, found.st_mtime_ns))
    return TemplateKey(tuple(files), qemu, tuple(shape(arguments)))


def host_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Name the host's processor, its features and its kernel: what a guest under KVM has seen of them."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").partition("\n\n")[0].splitlines()
    except OSError:
        lines = []
    facts = [line for line in lines if line.startswith(("vendor_id", "model", "stepping", "microcode", "flags"))]
    return f"{platform.release()} {hashlib.sha256(chr(10).join(sorted(facts)).encode()).hexdigest()[:16]}"


class TemplateStore:
    """The folder of templates. Several processes may use it; each template appears whole or not at all.

    Parameters
    ----------
    folder : made when the first template is; 0700.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._verified: dict[Path, tuple[int, int, int]] = {}

    def find(self, key: TemplateKey) -> Template | None:
        """Give the template that fits, looked through once by its checksums; a damaged one is removed."""
        template = self._read(self.folder / key.template_id)
        if template is None:
            return None
        if not self._is_whole(template):
            log.warning("The template %s is damaged: it is removed, machines start cold.", template.template_id)
            self.remove(template)
            return None
        os.utime(template.folder / _FACTS)  # used now: the one that was not used for longest goes first
        return template

    def all(self) -> list[Template]:
        """Give every template, the one used last first."""
        found = []
        for folder in self.folder.glob("tpl-*"):
            template = self._read(folder)
            if template is not None:
                found.append((_used_ns(template), template))
        return [template for _, template in sorted(found, key=lambda item: item[0], reverse=True)]

    def publish(self, making: Path, key: TemplateKey, memory_mib: int) -> Template:
        """Take a finished folder in under its name. Raises OSError."""
        target = self.folder / key.template_id
        for name in ("memory", "state"):
            (making / name).chmod(0o400)
        facts = {
            "schema": _SCHEMA,
            "image": str(Path(key.image[0][0]).parent),
            "memory_mib": memory_mib,
            "key": asdict(key),
            "digests": {name: _digest(making / name) for name in ("memory", "state")},
        }
        (making / _FACTS).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        for name in ("memory", "state", _FACTS):
            with (making / name).open("rb") as stream:
                os.fsync(stream.fileno())
        shutil.rmtree(target, ignore_errors=True)
        making.rename(target)
        template = self._read(target)
        assert template is not None
        self._note_whole(template)
        self.prune(keep=template.template_id)
        return template

    def remove(self, template: Template) -> None:
        """Remove a template; machines made of it go on (they have it open)."""
        for path in (template.memory, template.state):
            self._verified.pop(path, None)
        shutil.rmtree(template.folder, ignore_errors=True)

    def prune(self, keep: str = "") -> None:
        """Remove templates whose image is gone, and those used longest ago that are too many or too large together."""
        number = total = 0
        for template in sorted(self.all(), key=lambda template: template.template_id != keep):
            number, total = number + 1, total + template.kept_bytes
            gone = not _image_is_there(template.folder / _FACTS)
            if gone or ((number > MOST_TEMPLATES or total > MOST_BYTES) and template.template_id != keep):
                log.info("The template %s is removed (%s).", template.template_id, "image gone" if gone else "too many")
                self.remove(template)
                number, total = number - 1, total - template.kept_bytes

    def _read(self, folder: Path) -> Template | None:
        try:
            facts = json.loads((folder / _FACTS).read_text("utf-8"))
            if facts["schema"] != _SCHEMA:
                return None
            kept = sum((folder / name).stat().st_blocks * 512 for name in ("memory", "state"))
            return Template(folder.name, folder, Path(facts["image"]), int(facts["memory_mib"]), kept)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _is_whole(self, template: Template) -> bool:
        """Compare checksums, again only when a file is not the one that was looked through."""
        try:
            digests = json.loads((template.folder / _FACTS).read_text("utf-8"))["digests"]
            for path in (template.memory, template.state):
                if self._verified.get(path) != _identity(path) and _digest(path) != digests[path.name]:
                    return False
            self._note_whole(template)
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return True

    def _note_whole(self, template: Template) -> None:
        for path in (template.memory, template.state):
            self._verified[path] = _identity(path)


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _used_ns(template: Template) -> int:
    try:
        return (template.folder / _FACTS).stat().st_mtime_ns
    except OSError:
        return 0


def _image_is_there(facts: Path) -> bool:
    try:
        files = json.loads(facts.read_text("utf-8"))["key"]["image"]
        return all(
            Path(path).stat().st_size == size and Path(path).stat().st_mtime_ns == time for path, size, time in files
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(path: Path) -> str:
    """Hash a sparse file's data and where it lies; holes are skipped, as they take no time to read either."""
    digest = hashlib.blake2b(digest_size=32)
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        digest.update(str(end).encode())
        for start, stop in _data(stream.fileno(), end):
            stream.seek(start)
            while start < stop:
                piece = stream.read(min(_PIECE_BYTES, stop - start))
                if not piece:
                    return ""
                # Zeros count for nothing: a hole and written zeros are the same, and file systems choose.
                if piece.count(0) != len(piece):
                    digest.update(str(start).encode())
                    digest.update(piece)
                start += len(piece)
    return digest.hexdigest()


def _data(descriptor: int, end: int) -> Iterable[tuple[int, int]]:
    """Give the ranges that hold data, in whole pieces so that they are the same wherever the holes begin."""
    at = 0
    while at < end:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole follows
            return
        start -= start % _PIECE_BYTES
        stop = min(end, start + _PIECE_BYTES)
        yield start, stop
        at = stop
