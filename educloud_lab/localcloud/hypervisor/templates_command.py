"""The QEMU command lines of a template and of a machine that goes on from it, made out of that of a cold start.

Both differ from a cold start by the file that holds the memory and by a second serial port, over which the guest
gets its personality. Everything else that the guest can see must be the same in all three, which is why they are
derived and not written down again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from educloud_lab.localcloud.network.slirp import escape_option

WARM_WORD = "educloud.warm=1"
"""In an image's kernel arguments: this image knows how to wait for its personality."""

TEMPLATE_WORD = "educloud.template=1"
"""Added to a template's kernel arguments: be one."""

IGNORE_SHARED: dict[str, object] = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}
"""Arguments of ``migrate-set-capabilities`` on both sides: the memory is in its file already, and only the state of the
devices goes through the stream. (The capability is not among the properties that ``-global`` can set in QEMU 7.2.)"""

_MEMORY = "memory"
_NAME_MASK = re.compile(r"\b(mac|netdev|serial|drive)=[^,]*")
# What shapes the guest's hardware or its state, and is the same word for word for all machines of one kind.
_SHAPING = ("-machine", "-accel", "-cpu", "-smp", "-m", "-rtc", "-append", "-global")
_PER_MACHINE = ("serial", "drive", "mac", "netdev")


def pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give (option, value) of a command line; '' where an option has no value. What stands before ``-name`` is skipped.

    Every value of ours is told from an option by its first character, and no value begins with a dash.
    """
    index = _first(arguments)
    while index < len(arguments):
        option = arguments[index]
        value = arguments[index + 1] if index + 1 < len(arguments) else ""
        if value.startswith("-"):
            value = ""
        yield option, value
        index += 2 if value else 1


def shape(arguments: Sequence[str]) -> list[str]:
    """Give what a saved memory depends on: hardware in its order, without what names one machine."""
    found = []
    for option, value in pairs(arguments):
        if option == "-device":
            found.append(f"-device {_without_names(value)}")
        elif option in _SHAPING:
            found.append(f"{option} {value}")
    return found


def template_arguments(
    arguments: Sequence[str], *, memory: Path, root: Path, channel: Path, qemu: str, files: _Files
) -> list[str]:
    """Make the command line of a template.

    Parameters
    ----------
    arguments : of a cold start; its network, disk, console and sockets are replaced.
    memory : file that the guest's memory lies in from the beginning.
    root : an overlay for this boot alone.
    channel : unix socket of the second serial port.
    qemu : path of QEMU.
    files : console, control socket and pid file.
    """
    made = [qemu]
    for option, value in pairs(arguments):
        if option == "-netdev":
            # A card without a network: a hub with one port. Whatever a card is connected to brings its own state
            # into the saved one (slirp its leases), and there must be none.
            made += [option, f"hubport,id={_option_id(value)},hubid=0"]
        elif option == "-blockdev":
            node = json.loads(value)
            node["file"]["filename"] = str(root)
            made += [option, json.dumps(node)]
        elif option == "-append":
            made += [option, f"{value} {TEMPLATE_WORD}"]
        elif option == "-name":
            made += [option, "guest=template,process=educloud-vm"]
        elif option in {"-chardev", "-serial", "-mon", "-pidfile"}:
            continue
        else:
            made += [option, value] if value else [option]
    made += ["-chardev", f"file,id=console,path={escape_option(str(files.console))}", "-serial", "chardev:console"]
    made += _second_serial(channel)
    made += ["-chardev", f"socket,id=control,path={escape_option(str(files.control))},server=on,wait=off"]
    made += ["-mon", "chardev=control,mode=control", "-pidfile", str(files.pidfile)]
    return _with_memory(made, memory, shared=True)


def restored_arguments(arguments: Sequence[str], *, memory: Path, channel: Path) -> list[str]:
    """Make the command line of a machine that waits to be filled with a template's state.

    Its memory is the template's file, mapped privately: pages are shared until they are written, and never written
    back. After a reset it boots with its own kernel arguments, as any machine.
    """
    made = []
    for option, value in pairs(arguments):
        made += [option, value] if value else [option]
        if (option, value) == ("-serial", "chardev:console"):
            made += _second_serial(channel)
    return _with_memory([*arguments[: _first(arguments)], *made, "-incoming", "defer"], memory, shared=False)


class _Files:
    """The paths of a template while it is made."""

    def __init__(self, folder: Path) -> None:
        self.console = folder / "console"
        self.control = folder / "qmp.sock"
        self.pidfile = folder / "pid"
        self.channel = folder / "who.sock"


TemplateFiles = _Files


def memory_mib(arguments: Iterable[str]) -> int:
    """Give the guest's memory as the command line has it."""
    (value,) = [value for option, value in pairs(list(arguments)) if option == "-m"]
    return int(value.removesuffix("M"))


def _first(arguments: Sequence[str]) -> int:
    """Where QEMU's own options begin: a network driver may have put a program of its own in front."""
    return arguments.index("-name")


def _second_serial(channel: Path) -> list[str]:
    path = escape_option(str(channel))
    return ["-chardev", f"socket,id=who,path={path},server=on,wait=off", "-serial", "chardev:who"]


def _with_memory(arguments: list[str], memory: Path, *, shared: bool) -> list[str]:
    place = arguments.index("-machine") + 1
    made = [*arguments]
    made[place] += f",memory-backend={_MEMORY}"
    backend = {
        "qom-type": "memory-backend-file",
        "id": _MEMORY,
        "size": memory_mib(arguments) << 20,
        "mem-path": str(memory),
        "share": shared,
    }
    return [*made, "-object", json.dumps(backend)]


def _option_id(value: str) -> str:
    if value.startswith("{"):
        return str(json.loads(value)["id"])
    return next(part.removeprefix("id=") for part in value.split(",") if part.startswith("id="))


def _without_names(value: str) -> str:
    if value.startswith("{"):
        device = {name: word for name, word in json.loads(value).items() if name not in _PER_MACHINE}
        return json.dumps(device, sort_keys=True)
    return _NAME_MASK.sub(r"\1=*", value)
