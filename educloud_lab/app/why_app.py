"""``educloud why``: why a machine hangs, as cards say it, or as text to paste to an administrator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitlets import Bool

from educloud_lab.app.asking import AskingCommand
from educloud_lab.app.command import NOT_UNDERSTOOD, complain, out

if TYPE_CHECKING:
    from educloud_lab.client.client import Client

_JSON = "Print what the server answered as JSON."
_TEXT = "Print the text to paste to an administrator: ids, states and times, no secrets."


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
        from educloud_lab.client.diagnosis import lines_of

        why = client.why(lease_id_of(client, self.extra_args[0]))
        lines = lines_of(why, whole="the same with --text")
        out(why.model_dump_json(indent=2) if self.as_json else why.text if self.as_text else "\n".join(lines))


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
