"""``educloud calls``: what a machine's latest actions called in its cloud, and the same as command lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitlets import Bool, Int, Unicode

from educloud_lab.app.asking import AskingCommand
from educloud_lab.app.command import NOT_UNDERSTOOD, complain, out

if TYPE_CHECKING:
    from educloud_lab.client.client import Client

_JSON = "Print what the server answered as JSON."


class CallsApp(AskingCommand):
    """Show what just happened."""

    name = "educloud-calls"
    description = """Show what a machine's latest actions called in its cloud: requests, answers, and command lines.

    LAB is the name of a lab or a machine's id. Secrets and what belongs to others are not kept."""
    examples = "educloud calls 01-first\neducloud calls 01-first --limit=1\neducloud calls 01-first --json"
    as_json = Bool(False, help=_JSON).tag(config=True)
    job = Unicode(help="Only the action of this id (see --json).").tag(config=True)
    limit = Int(3, min=1, max=20, help="So many of the latest actions.").tag(config=True)
    flags = {"json": ({"CallsApp": {"as_json": True}}, _JSON)}  # noqa: RUF012 - traitlets' own
    aliases = {"job": "CallsApp.job", "limit": "CallsApp.limit"}  # noqa: RUF012 - traitlets' own

    def start(self) -> None:
        """Ask and print; exits with 1 and one paragraph when it cannot be asked."""
        if len(self.extra_args) != 1:
            complain("educloud calls takes one machine: its lab's name or its id. Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        super().start()

    def ask(self, client: Client) -> None:
        """Print what the server has."""
        from educloud_lab.app.why_app import lease_id_of
        from educloud_lab.domain.errors import NotFoundError
        from educloud_lab.notebook.accounts import lines_of

        limit = 20 if self.job else self.limit
        accounts = client.calls(lease_id_of(client, self.extra_args[0]), limit=limit)
        if self.job:
            chosen = [account for account in accounts.accounts if account.job_id == self.job]
            if not chosen:
                raise NotFoundError(
                    f"There is no account of an action '{self.job}'.", next_step="See their ids with --json."
                )
            accounts = accounts.model_copy(update={"accounts": chosen})
        out(accounts.model_dump_json(indent=2) if self.as_json else "\n".join(lines_of(accounts)))
