"""``educloud run``: a command on a lab's machine, from a terminal."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from traitlets import Float, Unicode

from educloud_lab.app.asking import AskingCommand, find_lease
from educloud_lab.app.command import INTERRUPTED, NOT_UNDERSTOOD, complain
from educloud_lab.app.machine_app import LAB

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.client.machine import Machine


def machine_of(client: Client, lab: str) -> Machine:
    """Return one of your machines, by its lab's name or its id."""
    from educloud_lab.client.machine import Machine

    return Machine(client, find_lease(client.settled(), lab))


class RunApp(AskingCommand):
    """Run a command on a lab's machine."""

    name = "educloud-run"
    description = f"""Run a command on a lab's machine: its output here as it comes, its exit status as this command's.

    {LAB} Several words are one command with its arguments, as typed; a single one is a line for bash:
    'cd /data && make'. Ctrl-C interrupts the command there. Nobody can type into it: its input is empty."""
    examples = "educloud run 01-your-first-machine -- make -C /data\neducloud run web-server -- 'ls /data | wc -l'"
    starts_broker = True
    folder = Unicode("", help="Folder on the machine where it begins; the home folder otherwise.").tag(config=True)
    timeout_s = Float(0.0, min=0, max=7 * 86400, help="It is ended after so many seconds; 0: never.").tag(config=True)
    aliases = {"folder": "RunApp.folder", "timeout": "RunApp.timeout_s"}  # noqa: RUF012 - traitlets' own
    words: list[str] = []  # noqa: RUF012 - replaced, never changed

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Keep what follows ``--`` as it is: those are the command's own options."""
        given = list(sys.argv[1:] if argv is None else argv)
        end = given.index("--") if "--" in given else len(given)
        self.words = given[end + 1 :]
        super().parse_command_line(given[:end])

    def start(self) -> None:
        """Run it."""
        if len(self.extra_args) != 1 or not self.words:
            complain(f"{self.typed}: name one lab, and the command behind --. {LAB} Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        super().start()

    def ask(self, client: Client) -> None:
        """Run it, and pass on what it says and how it ends."""
        script = self.words[0] if len(self.words) == 1 else shlex.join(self.words)
        machine = machine_of(client, self.extra_args[0])
        with machine.begin(script, folder=self.folder or None, timeout_s=self.timeout_s or None) as running:
            try:
                for stream, text in running:
                    to = sys.stderr if stream == "stderr" else sys.stdout
                    to.write(text)
                    to.flush()
            except BrokenPipeError:  # whoever read it has seen enough (`| head`)
                sys.stdout = None  # nothing is left to be flushed at the end
                self.exit(1)
            ended = running.wait()
            hint = running.hint
        if ended.why == "limit":
            complain(f"{self.typed}: ended after {self.timeout_s:g} s, its time limit.")
        elif hint:
            complain(f"{self.typed}: {hint}")
        self.exit(INTERRUPTED if ended.why == "interrupted" else ended.exit_status)
