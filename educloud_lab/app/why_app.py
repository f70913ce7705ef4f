"""``educloud why``: why a machine hangs, as cards say it, or as text to paste to an administrator."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from traitlets import Bool

from educloud_lab.app.asking import AskingCommand
from educloud_lab.app.command import NOT_UNDERSTOOD, complain, out

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.wire import models as wire

_JSON = "Print what the server answered as JSON."
_TEXT = "Print the text to paste to an administrator: ids, states and times, no secrets."
_WIDTH = 100


class WhyApp(AskingCommand):
    """Say why a machine hangs."""

    name = "educloud-why"
    description = """Say why a machine hangs: what is seen, which part it most likely is, and what helps.

    LEASE is a machine's id (see educloud status --json) or the name of its lab."""
    as_json = Bool(False, help=_JSON).tag(config=True)
    as_text = Bool(False, help=_TEXT).tag(config=True)
    flags = {  # noqa: RUF012 - traitlets' own
        "json": ({"WhyApp": {"as_json": True}}, _JSON),
        "text": ({"WhyApp": {"as_text": True}}, _TEXT),
    }

    def start(self) -> None:
        """Ask and print; exits with 1 and one paragraph when it cannot be asked."""
        if len(self.extra_args) != 1:
            complain("educloud why takes one machine: its id or its lab's name. Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        super().start()

    def ask(self, client: Client) -> None:
        """Print what the server found."""
        why = client.why(lease_id_of(client, self.extra_args[0]))
        out(why.model_dump_json(indent=2) if self.as_json else why.text if self.as_text else "\n".join(lines_of(why)))


def lease_id_of(client: Client, word: str) -> str:
    """Return the id that a word means: a lab's name when exactly one machine has it, else the word itself.

    Raises
    ------
    BadInputError
        Several machines (slots) of yours are of this lab.
    """
    from educloud_lab.domain.errors import BadInputError

    leases = client.settled().leases
    if any(lease.id == word for lease in leases):
        return word
    found = [lease for lease in leases if lease.lab == word]
    if len(found) > 1:
        ids = ", ".join(f"{lease.id} ({lease.slot})" for lease in found)
        raise BadInputError(f"The lab '{word}' has several machines: {ids}.", next_step="Give the id of one of them.")
    return found[0].id if found else word


def lines_of(why: wire.Why) -> list[str]:
    """Return a diagnosis as lines of text."""
    if not why.findings:
        return ["Nothing is found: everything takes its usual course."]
    lines: list[str] = []
    for finding in why.findings:
        lines += ["", *_filled(f"{finding.what} [{finding.component}: {finding.component_name}; {finding.sure}]", "")]
        for item in finding.evidence:
            means = f" ({item.means})" if item.means else ""
            lines += _filled(f"{item.what}: {item.seen}{means}", "  seen       ")
        for title, text in (
            ("not seen", finding.hidden),
            ("by itself", finding.by_itself),
            ("you can", finding.student_can),
            ("instructor", finding.instructor_can),
        ):
            if text:
                lines += _filled(text, f"  {title:<11}")
    return [*lines[1:], "", "For an administrator: the same with --text."]


def _filled(text: str, title: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=title, subsequent_indent=" " * len(title)) or [title]
