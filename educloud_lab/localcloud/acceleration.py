"""Whether KVM works here, found out by booting Linux with it.

/dev/kvm may open, report its version and run a boot sector, and Linux still hang in it (seen on a shared host). So
the only proof is a boot: our own kernel with a ramdisk of a few hundred bytes whose init prints ``PROBE-OK`` and
powers off. Emulation needs 2 s for that; KVM gets 4 s. The verdict holds for one boot of the host, one kernel of the
host and one QEMU; until there is one, machines start in emulation.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

MARKER = b"PROBE-OK"
PROBE_LIMIT_S = 4.0
_VERSION_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one probe found.

    ``reason`` is for people; ``key`` names boot, kernel and QEMU that it holds for.
    """

    works: bool
    reason: str
    key: str


_versions: dict[tuple[str, float], str] = {}


async def qemu_version(binary: str) -> str:
    """First line of ``qemu --version``, asked once for each file; '' when it does not answer."""
    try:
        identity = (binary, os.stat(binary).st_mtime)  # noqa: PTH116 - a path given as text, one system call
    except OSError:
        return ""
    if identity not in _versions:
        process = await asyncio.create_subprocess_exec(
            binary, "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(_VERSION_LIMIT_S):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return ""
        _versions[identity] = output.decode("utf-8", "replace").splitlines()[0] if output else ""
    return _versions[identity]


def host_key(version: str) -> str:
    """Name what a verdict holds for: this boot of the host, its kernel, this QEMU."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        boot = "unknown"
    return f"{boot} {platform.release()} {version}"


def read_verdict(cache: Path, key: str) -> Verdict | None:
    """Give the kept verdict if it holds for ``key``; None when there is none (or it cannot be read)."""
    try:
        document = json.loads(cache.read_text("utf-8"))
        verdict = Verdict(works=bool(document["works"]), reason=str(document["reason"]), key=str(document["key"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return verdict if verdict.key == key else None


async def probe(
    kernel: Path, *, cache: Path, binary: str, accel: str = "kvm", limit_s: float = PROBE_LIMIT_S
) -> Verdict:
    """Boot ``kernel`` under ``accel`` and keep the verdict in ``cache``.

    Parameters
    ----------
    kernel : a Linux kernel that QEMU boots directly (the tiny image's).
    cache : file of the verdict; the hypervisor's ``verdict_file`` to have it used.
    binary : path of QEMU.
    accel : ``kvm``; tests pass ``tcg`` to try the probe itself (its verdict is not kept).
    """
    key = host_key(await qemu_version(binary))
    if accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        reason = "/dev/kvm is missing or may not be opened by this user"
        verdict = Verdict(works=False, reason=reason, key=key)
    else:
        works, reason = await _boot(kernel, binary, accel, limit_s)
        verdict = Verdict(works=works, reason=reason, key=key)
    if accel == "kvm":
        cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = cache.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(verdict)), "utf-8")
        temporary.replace(cache)
    return verdict


async def _boot(kernel: Path, binary: str, accel: str, limit_s: float) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory(prefix="educloud-probe-") as folder:
        ramdisk = Path(folder) / "ramdisk.img"
        ramdisk.write_bytes(probe_ramdisk())
        process = await asyncio.create_subprocess_exec(
            *(binary, "-no-user-config", "-nodefaults", "-display", "none", "-machine", "q35"),
            *("-accel", accel, "-cpu", "host" if accel == "kvm" else "max", "-m", "128M", "-no-reboot"),
            *("-kernel", str(kernel), "-initrd", str(ramdisk)),
            *("-append", "console=ttyS0 quiet loglevel=3 cryptomgr.notests panic=1"),
            *("-serial", "stdio"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        output = b""
        try:
            async with asyncio.timeout(limit_s):
                while chunk := await process.stdout.read(4096):
                    output += chunk
                    if MARKER in output:
                        return True, f"a Linux kernel booted under {accel}"
                await process.wait()
        except TimeoutError:
            return False, f"a Linux kernel did not boot under {accel} within {limit_s:.0f} s"
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        words = output.decode("utf-8", "replace").strip().splitlines()
        return False, f"QEMU ended without booting under {accel}: {words[-1] if words else 'it said nothing'}"


def probe_ramdisk() -> bytes:
    """Build a cpio archive (newc) whose only file is a static init that prints the marker and powers off."""
    return _cpio_member("init", _probe_init(), 0o100755) + _cpio_member("TRAILER!!!", b"", 0)


def _probe_init() -> bytes:
    """Assemble a 64-bit ELF program by hand, so that a probe needs no compiler and no image."""
    message = MARKER + b"\n"
    code = b"".join(
        [
            b"\xb8\x01\x00\x00\x00",  # mov eax, 1 (write)
            b"\xbf\x01\x00\x00\x00",  # mov edi, 1
            b"\x48\x8d\x35\x3c\x00\x00\x00",  # lea rsi, [rip+60]: the message behind the code
            b"\xba" + len(message).to_bytes(4, "little"),  # mov edx, length
            b"\x0f\x05",  # syscall
            b"\xb8\x10\x00\x00\x00",  # mov eax, 16 (ioctl)
            b"\xbf\x01\x00\x00\x00",  # mov edi, 1
            b"\xbe\x09\x54\x00\x00",  # mov esi, TCSBRK
            b"\xba\x01\x00\x00\x00",  # mov edx, 1: wait until the serial line is empty
            b"\x0f\x05",  # syscall
            b"\xb8\xa9\x00\x00\x00",  # mov eax, 169 (reboot)
            b"\xbf\xad\xde\xe1\xfe",  # mov edi, LINUX_REBOOT_MAGIC1
            b"\xbe\x69\x19\x12\x28",  # mov esi, LINUX_REBOOT_MAGIC2
            b"\xba\xdc\xfe\x21\x43",  # mov edx, LINUX_REBOOT_CMD_POWER_OFF
            b"\x4d\x31\xd2",  # xor r10, r10
            b"\x0f\x05",  # syscall
            b"\xeb\xfe",  # jmp to itself
        ]
    )
    headers_bytes = 64 + 56
    base = 0x400000
    # The displacement of the lea counts from its end to the message, which follows the code.
    lea_end = 17
    code = code[:13] + (len(code) - lea_end).to_bytes(4, "little") + code[lea_end:]
    total = headers_bytes + len(code) + len(message)
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + (2).to_bytes(2, "little")  # ET_EXEC
        + (62).to_bytes(2, "little")  # EM_X86_64
        + (1).to_bytes(4, "little")
        + (base + headers_bytes).to_bytes(8, "little")  # entry
        + (64).to_bytes(8, "little")  # program headers follow
        + bytes(8)
        + bytes(4)
        + b"".join(value.to_bytes(2, "little") for value in (64, 56, 1, 0, 0, 0))
    )
    program = (
        (1).to_bytes(4, "little")  # PT_LOAD
        + (5).to_bytes(4, "little")  # readable, executable
        + bytes(8)
        + base.to_bytes(8, "little") * 2
        + total.to_bytes(8, "little") * 2
        + (4096).to_bytes(8, "little")
    )
    return header + program + code + message


def _cpio_member(name: str, data: bytes, mode: int) -> bytes:
    encoded = name.encode("ascii") + b"\0"
    fields = (1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
