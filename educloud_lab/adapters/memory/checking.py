"""What a machine in memory answers to the scripts of checks: from what a test put into it, else "nothing there"."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from educloud_lab.broker.scripts import checking
from educloud_lab.domain.naming import disk_serial

if TYPE_CHECKING:
    from educloud_lab.adapters.memory.cloud import MemoryCloud
    from educloud_lab.adapters.memory.machines import MemoryMachine

Answer = Callable[["MemoryCloud", "MemoryMachine", list[str]], list[str]]


def _port(_cloud: MemoryCloud, machine: MemoryMachine, arguments: list[str]) -> list[str]:
    host, port, _, ask = arguments
    found = machine.listens.get(f"{host}:{port}", machine.listens.get(f"*:{port}"))
    state = "refused" if found is None else "open"
    if host.endswith(".unknown"):
        state = "unresolved"
    text = base64.b64encode(found or b"").decode() if ask == "ask" else ""
    return [f"state {state}", "own yes", f"text {text}"]


def _ping(_cloud: MemoryCloud, machine: MemoryMachine, arguments: list[str]) -> list[str]:
    return [f"state {'answers' if arguments[0] in machine.neighbours else 'silent'}"]


def _file(_cloud: MemoryCloud, machine: MemoryMachine, arguments: list[str]) -> list[str]:
    path, user, text = arguments
    found = machine.files.get(path.replace("~", f"/home/{user}", 1) if path.startswith("~/") else path)
    if found is None:
        return ["kind none", "owner -", "mode -", "size 0", "holds -"]
    kind, owner, mode, content = found
    holds = ("yes" if text in content else "no") if text and kind == "file" else "-"
    return [f"kind {kind}", f"owner {owner}", f"mode {mode}", f"size {len(content.encode())}", f"holds {holds}"]


def _mounted(cloud: MemoryCloud, machine: MemoryMachine, arguments: list[str]) -> list[str]:
    path, serial = arguments
    disks = cloud.attached_disks(machine.instance_id)
    names = {key: f"vd{chr(98 + number)}" for number, key in enumerate(disks)}
    wanted = next((key for key, (_, device) in disks.items() if disk_serial(key, device) == serial), None)
    there = machine.mounts.get(path)
    return [
        f"disk {names[wanted] if wanted is not None else 'none'}",
        f"source {f'/dev/{names[there]}' if there in names else '-'}",
        f"type {'ext4' if there is not None else '-'}",
        f"same {'yes' if there is not None and there == wanted else 'no'}",
    ]


def _command(_cloud: MemoryCloud, machine: MemoryMachine, arguments: list[str]) -> list[str]:
    status, output = machine.commands.get(arguments[1], (127, "sh: not found\n"))
    text = f"{output}\n{status}".encode()
    return [f"text {base64.b64encode(text).decode()}"]


def _process(_cloud: MemoryCloud, machine: MemoryMachine, arguments: list[str]) -> list[str]:
    return [f"count {machine.processes.count(arguments[0])}"]


def _service(_cloud: MemoryCloud, machine: MemoryMachine, arguments: list[str]) -> list[str]:
    if machine.services is None:
        return ["by none", "state unknown"]
    return ["by systemd", f"state {machine.services.get(arguments[0], 'inactive')}"]


def _package(_cloud: MemoryCloud, machine: MemoryMachine, arguments: list[str]) -> list[str]:
    return ["by dpkg", f"state {'installed' if arguments[0] in machine.packages else 'missing'}"]


def _user(_cloud: MemoryCloud, machine: MemoryMachine, arguments: list[str]) -> list[str]:
    name, group = arguments
    exists, member = name in machine.users, group in machine.users.get(name, ())
    return [f"exists {'yes' if exists else 'no'}", f"member {'yes' if member else 'no'}"]


SCRIPTS: Final[dict[str, tuple[str, Answer]]] = {
    checking.PORT: ("check-port", _port),
    checking.PING: ("check-ping", _ping),
    checking.FILE: ("check-file", _file),
    checking.MOUNTED: ("check-mounted", _mounted),
    checking.COMMAND: ("check-command", _command),
    checking.PROCESS: ("check-process", _process),
    checking.SERVICE: ("check-service", _service),
    checking.PACKAGE: ("check-package", _package),
    checking.USER: ("check-user", _user),
}
