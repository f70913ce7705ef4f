"""``educloud put`` and ``get``: files to a lab's machine and back, from a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from educloud_lab.app.asking import AskingCommand
from educloud_lab.app.command import INTERRUPTED, NOT_UNDERSTOOD, complain, out, plain
from educloud_lab.app.machine_app import LAB
from educloud_lab.app.work_app import machine_of

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.client.machine import Machine


class CopyCommand(AskingCommand):
    """What both directions share."""

    starts_broker = True
    takes: ClassVar[str] = ""

    def copy(self, machine: Machine, source: str, target: str) -> str:
        """Copy; return what was done, for people."""
        raise NotImplementedError

    def start(self) -> None:
        """Copy; exits with 1 when it could not be done."""
        if len(self.extra_args) != 3:
            complain(f"{self.typed}: name a lab, {self.takes}. {LAB} Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        super().start()

    def ask(self, client: Client) -> None:
        """Copy."""
        lab, source, target = self.extra_args
        try:
            out(self.copy(machine_of(client, lab), source, target))
        except KeyboardInterrupt:
            complain(f"{self.typed}: interrupted; what was at the target before is as it was.")
            self.exit(INTERRUPTED)


class PutApp(CopyCommand):
    """Copy a file to a lab's machine."""

    name = "educloud-put"
    description = f"""Copy a file from here to a lab's machine. TO may be a folder.

    {LAB}"""
    examples = "educloud put 01-your-first-machine data.csv /data/"
    takes = "a file here and where it goes"

    def copy(self, machine: Machine, source: str, target: str) -> str:
        """Copy it there."""
        copied = machine.upload(source, target, progress=Bar(source))
        return f"{source} is on the machine as {copied.path}"


class GetApp(CopyCommand):
    """Copy a file from a lab's machine."""

    name = "educloud-get"
    description = f"""Copy a file from a lab's machine to here. TO may be a folder.

    {LAB}"""
    examples = "educloud get 01-your-first-machine /data/results.csv ."
    takes = "a file there and where it goes"

    def copy(self, machine: Machine, source: str, target: str) -> str:
        """Copy it here."""
        copied = machine.download(source, target, progress=Bar(source))
        return f"{source} is here as {copied.path}"


class Bar:
    """Shows on a terminal's standard error how much is done; nothing elsewhere."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown = -1

    def __call__(self, done_bytes: int, size_bytes: int) -> None:
        """Show it, when it is another percent."""
        percent = 100 * done_bytes // size_bytes if size_bytes else 100
        if percent != self._shown and sys.stderr.isatty():
            self._shown = percent
            sys.stderr.write("\r" + plain(f"{self._name}: {percent} %") + ("\n" if percent == 100 else ""))
            sys.stderr.flush()
