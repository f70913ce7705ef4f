"""The doctor on this computer: QEMU, acceleration, namespaces, images, room, folders."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
from pathlib import Path

from educloud_lab.app.doctor.findings import Finding, Surroundings, fail, note, ok

GIB = 1024**3
_INSTALL_QEMU = "Install it: sudo apt-get install qemu-system-x86 qemu-utils"


async def check_python(_: Surroundings) -> Finding:
    """The interpreter is recent enough."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < (3, 11):  # noqa: UP036 - a doctor must also run where the requirement is not met
        return fail("Python", version, "Use Python 3.11 or newer.")
    return ok("Python", version)


async def check_qemu(_: Surroundings) -> Finding:
    """QEMU and its image tool are there and answer."""
    from educloud_lab.localcloud.acceleration import qemu_version

    system, image = shutil.which("qemu-system-x86_64"), shutil.which("qemu-img")
    if system is None or image is None:
        missing = "qemu-system-x86_64" if system is None else "qemu-img"
        return fail("QEMU", f"{missing} is not on PATH, so no machine can be started", _INSTALL_QEMU)
    version = await qemu_version(system)
    if not version:
        return fail("QEMU", f"{system} does not answer to --version", _INSTALL_QEMU)
    return ok("QEMU", version)


async def check_images(where: Surroundings) -> Finding:
    """The images are built, suit this computer and are undamaged."""
    from educloud_lab.localcloud.images import ALL_IMAGE_NAMES, ImageError, load_all

    try:
        images = await asyncio.to_thread(load_all, where.home / "images", verify=True)
    except ImageError as exc:
        return fail("Images", str(exc), "Build them again: educloud cloud image build")
    if not images:
        return fail("Images", f"none in {where.home / 'images'}", "Build them: educloud cloud image build")
    found = ", ".join(f"{image.name} {image.version}" for image in images)
    if absent := [name for name in ALL_IMAGE_NAMES if name not in {image.name for image in images}]:
        found += f"; not built: {', '.join(absent)} (educloud cloud image build NAME)"
    return ok("Images", found)


async def check_acceleration(where: Surroundings) -> Finding:
    """KVM boots a kernel here; an open /dev/kvm alone proves nothing."""
    from educloud_lab.localcloud.acceleration import probe
    from educloud_lab.localcloud.images.errors import ImageError
    from educloud_lab.localcloud.images.manifest import load_all

    binary = shutil.which("qemu-system-x86_64")
    try:
        images = load_all(where.home / "images")
    except ImageError:
        images = ()
    if binary is None or not images:
        return note("Acceleration", "not tried: QEMU or an image is missing", "Mend those first.")
    verdict = await probe(images[0].kernel, cache=where.home / "acceleration.json", binary=binary)
    if verdict.works:
        return ok("Acceleration", f"KVM: {verdict.reason}")
    return note(
        "Acceleration",
        f"software emulation, since {verdict.reason}; a start takes some seconds longer",
        "If this computer can virtualise: switch it on in the firmware and let your user open /dev/kvm.",
    )


async def check_room(where: Surroundings) -> Finding:
    """Memory and disk suffice for a machine and its volume."""
    folder = where.home
    while not folder.exists():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    memory_bytes = _available_memory_bytes()
    seen = f"{free_bytes / GIB:.1f} GiB of disk free, {memory_bytes / GIB:.1f} GiB of memory available"
    if free_bytes < 2 * GIB:
        return fail("Room", seen, f"Make room on the disk that holds {folder}: images and a volume need 2 GiB.")
    if memory_bytes < GIB // 2:
        return note("Room", seen, "Close something: a machine needs about 0.4 GiB.")
    return ok("Room", seen)


async def check_home(where: Surroundings) -> Finding:
    """The home folder is the caller's alone, and sockets can be made."""
    from educloud_lab.localcloud.errors import LocalCloudError
    from educloud_lab.localcloud.settings import Folders

    if where.home.exists():
        seen = where.home.stat()
        if seen.st_uid != os.getuid():
            return fail("Folders", f"{where.home} belongs to another user", "Set EDUCLOUD_HOME to a folder of yours.")
        if stat.S_IMODE(seen.st_mode) & 0o077:
            return fail("Folders", f"{where.home} can be read by others", f"chmod 700 '{where.home}'")
    place = next(folder for folder in (where.home, *where.home.parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return fail("Folders", f"{where.home} cannot be written", "Set EDUCLOUD_HOME to a folder that you can write.")
    try:
        runtime = await asyncio.to_thread(Folders(where.home).runtime)
    except (LocalCloudError, OSError) as exc:
        return fail("Folders", str(exc), "Remove what lies there, or set EDUCLOUD_HOME to another folder of yours.")
    return ok("Folders", f"{where.home}, sockets in {runtime}")


def _available_memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
