"""``%%vm``, ``%vm``, ``%vm_jobs``, ``%vm_put``, ``%vm_get`` and ``%%check``: a notebook's cells on its machine.

No rules and no credentials here: everything is asked of the server by the kernel's own client. What stands in a cell
reaches the machine letter by letter; Python's values go by ``--env``.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments

from educloud_lab.domain.errors import EducloudError
from educloud_lab.notebook import magics_check, magics_copy, magics_jobs, magics_options
from educloud_lab.notebook import magics_words as words
from educloud_lab.notebook.magics_cell import Options, in_background, run_cell
from educloud_lab.notebook.magics_errors import CheckFailedError, quiet, quietly
from educloud_lab.notebook.magics_machines import Machines, start_all
from educloud_lab.notebook.magics_screen import say

NAMES = {"line": ("vm", "vm_jobs", "vm_put", "vm_get"), "cell": ("vm", "check")}


def _run_options(function: Any) -> Any:
    """Give a magic the options that %vm and %%vm share."""
    for name, options in reversed(_RUN_OPTIONS):
        function = argument(name, **options)(function)
    return function


_RUN_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("--on", {"action": "append", "default": [], "metavar": "LAB", "help": "Another lab's machine; may be repeated."}),
    ("--slots", {"default": "", "metavar": "A,B", "help": "Which of your machines in the lab, with commas between."}),
    ("--folder", {"metavar": "DIR", "help": "Where on the machine it runs (default: your home folder)."}),
    (
        "--env",
        {
            "action": "append",
            "default": [],
            "metavar": "NAME[=VALUE]",
            "help": "An environment variable there; without a value that of the notebook's Python variable.",
        },
    ),
    ("--keep", {"metavar": "NAME", "help": "Keep folder and environment between the cells that give the same name."}),
    ("--timeout", {"type": float, "metavar": "SECONDS", "help": "Stop it there after so long."}),
    ("--background", {"action": "store_true", "help": "Begin it and go on; it outlives the notebook. See %%vm_jobs."}),
    ("--start", {"action": "store_true", "help": "Start the machine and wait for it when it is not ready."}),
    ("--ok", {"action": "store_true", "help": "An exit status other than 0 is no error."}),
    ("--out", {"metavar": "NAME", "help": "Put the result into this variable (_vm has it too, cut short)."}),
    ("--save", {"metavar": "FILE", "help": "Write all of the output to a file beside the notebook as well."}),
]


@magics_class
class EducloudMagics(Magics):
    """The magics of one kernel."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.machines = Machines()

    @magic_arguments("%vm")  # IPython puts another % before it
    @argument("labs", nargs="*", metavar="LAB", help="Labs whose machines it runs on (default: the notebook's own).")
    @_run_options
    @no_var_expand
    @cell_magic("vm")  # type: ignore[arg-type]  # its type is wrong for a marker with a name
    def vm_cell(self, line: str, cell: str) -> None:
        """Run this cell on your machine, with bash.

        Output comes as it is written. An exit status other than 0 is an error (--ok allows it). The kernel's
        interrupt stops the command on the machine; a second one kills it. The cell's text is sent as it stands:
        $NAME is the machine's own; --env NAME gives it a Python variable.
        """
        arguments = magics_options.parse(self.vm_cell, line)
        self._run(arguments, [*arguments.labs, *arguments.on], cell)

    @magic_arguments("vm")
    @_run_options
    @argument("command", nargs="?", help="What runs: everything from the first word that is no option.")
    @no_var_expand
    @line_magic("vm")  # type: ignore[arg-type]  # as above
    def vm_line(self, line: str) -> None:
        """Run one line on your machine, with bash; -- ends the options. See %%vm."""
        options, command = magics_options.split_line(self.vm_line.parser, line)
        arguments = magics_options.taken(self.vm_line.parser, options)
        if not command:
            raise UsageError(words.EMPTY_LINE)
        self._run(arguments, arguments.on, command)

    def _run(self, arguments: Any, labs: list[str], command: str) -> None:
        assert self.shell is not None  # it is what these magics were made for
        user_ns = self.shell.user_ns
        options = Options(
            command=command,
            folder=arguments.folder,
            environment=magics_options.environment(arguments.env, user_ns),
            keep=arguments.keep,
            timeout_s=arguments.timeout,
            is_failure_allowed=arguments.ok,
            keeps_all=arguments.out is not None,
            save=Path(arguments.save).expanduser() if arguments.save else None,
        )
        out = magics_options.variable(arguments.out)
        if arguments.background and (options.save or out or options.timeout_s is not None):
            raise UsageError(words.NOT_IN_BACKGROUND)
        if options.timeout_s is not None and options.timeout_s <= 0:
            raise UsageError("--timeout takes a number of seconds greater than 0.")
        with quietly():
            machines = self.machines.find(labs, [slot for slot in arguments.slots.split(",") if slot])
            if options.save and len(machines) > 1:
                raise UsageError("--save takes the output of one machine.")
            if arguments.start:
                start_all(machines)
            if arguments.background:
                in_background(self.machines, machines, options)
                return

            def keep(result: Any) -> None:
                user_ns["_vm"] = result
                if out:
                    user_ns[out] = result

            run_cell(self.machines, machines, options, keep)

    @magic_arguments()
    @argument("action", nargs="?", default="list", choices=["list", "output", "stop", "wait"], help="What to do.")
    @argument("job", nargs="?", help="Which command, as the list names it (default: the newest).")
    @argument("--on", metavar="LAB", help="Another lab's machine.")
    @argument("--slot", default="", help="Which of your machines in the lab.")
    @line_magic
    def vm_jobs(self, line: str) -> None:
        """List the commands in the background, show the output of one, stop it, or wait until it ends."""
        arguments = magics_options.parse(self.vm_jobs, line)
        with self._one(arguments) as machine:
            if arguments.action == "list":
                say(magics_jobs.listing(machine))
            else:
                say(getattr(magics_jobs, arguments.action)(machine, arguments.job))

    @magic_arguments()
    @argument(
        "names", nargs="+", metavar="FROM ... [TO]", help="Files here (with wildcards), then where they go there."
    )
    @argument("--on", metavar="LAB", help="Another lab's machine.")
    @argument("--slot", default="", help="Which of your machines in the lab.")
    @line_magic
    def vm_put(self, line: str) -> None:
        """Send files to your machine. A TO that ends in / is a folder; without it they go to your home folder there."""
        arguments = magics_options.parse(self.vm_put, line)
        with self._one(arguments) as machine:
            magics_copy.put(machine, arguments.names)

    @magic_arguments()
    @argument("names", nargs="+", metavar="FROM ... [TO]", help="Files on the machine, then where they go here.")
    @argument("--on", metavar="LAB", help="Another lab's machine.")
    @argument("--slot", default="", help="Which of your machines in the lab.")
    @line_magic
    def vm_get(self, line: str) -> None:
        """Fetch files from your machine; without TO they come beside the notebook."""
        arguments = magics_options.parse(self.vm_get, line)
        with self._one(arguments) as machine:
            magics_copy.get(machine, arguments.names)

    @contextlib.contextmanager
    def _one(self, arguments: Any) -> Any:
        with quietly():
            labs, slots = [arguments.on] if arguments.on else [], [arguments.slot] if arguments.slot else []
            (machine,) = self.machines.find(labs, slots).values()
            try:
                yield machine
            except EducloudError as error:
                raise self.machines.explain(error, machine) from None

    @magic_arguments("%check")
    @argument("lab", nargs="?", help="Whose machine is looked at (default: the notebook's own lab's).")
    @argument("--slot", default="", help="Which of your machines in the lab.")
    @argument(
        "--partial",
        nargs="?",
        type=float,
        const=1.0,
        metavar="POINTS",
        help="No error when one does not hold: the cell's value is the share that holds, times POINTS (nbgrader).",
    )
    @cell_magic
    def check(self, line: str, cell: str) -> float | None:
        """Check what this cell says of the machine and its cloud: one assertion a line; # begins a comment.

        The server looks, not this kernel. One that does not hold is an error, so that "Run all" stops there.
        """
        arguments = magics_options.parse(self.check, line)
        checks = magics_check.assertions(cell)
        if not checks:
            raise UsageError(words.EMPTY_CHECK)
        with quietly():
            labs, slots = [arguments.lab] if arguments.lab else [], [arguments.slot] if arguments.slot else []
            (machine,) = self.machines.find(labs, slots).values()
            try:
                report = machine.check(*checks)
            except EducloudError as error:
                raise self.machines.explain(error, machine) from None
        from IPython.display import display

        display(magics_check.bundle(report), raw=True)
        of = len(report.results)
        if arguments.partial is not None:
            return float(arguments.partial * (report.passed / of))  # never a hair over POINTS, which nbgrader refuses
        if report.passed < of:
            raise quiet(CheckFailedError(words.checks_failed(of - report.passed, of)))
        return None

    def close(self) -> None:
        """Let the connection go."""
        self.machines.forget()


def load(shell: InteractiveShell) -> None:
    """Give a shell the magics; again, it changes nothing."""
    if "EducloudMagics" in shell.magics_manager.registry:
        return
    shell.register_magics(EducloudMagics(shell))
    for kind, prefix in (("line", "%"), ("cell", "%%")):
        for name in NAMES[kind]:
            shell.set_hook("complete_command", _complete, str_key=f"{prefix}{name}")


def unload(shell: InteractiveShell) -> None:
    """Take them away again."""
    manager = shell.magics_manager
    magics = manager.registry.pop("EducloudMagics", None)
    if magics is None:
        return
    magics.close()
    for kind, names in NAMES.items():
        for name in names:
            manager.magics[kind].pop(name, None)


def _complete(shell: InteractiveShell, event: Any) -> list[str]:
    """Return the options of the magic that the line begins with."""
    name = event.command.lstrip("%")
    kind = "cell" if event.command.startswith("%%") else "line"
    magic = shell.magics_manager.magics[kind].get(name)
    parser = getattr(magic, "parser", None)
    if parser is None or not event.symbol.startswith("-"):
        return []
    return [option for action in parser._actions for option in action.option_strings if option.startswith(event.symbol)]
