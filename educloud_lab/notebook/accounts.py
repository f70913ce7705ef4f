"""What just happened, in a notebook: ``show(machine.calls())``, as HTML that stands by itself, and as text.

The HTML needs no script, no style sheet and no ids, so that it reads the same live, in a saved notebook and on a page
that only shows notebooks; whatever came from a cloud or a person is escaped. The pictures take the colour of the text
around them. What a cell shows is saved and handed on, so machines' addresses are left out of both; who wants them asks
``machine.address``, or the accounts themselves.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Final

from educloud_lab.notebook.way import way_svg

if TYPE_CHECKING:
    from educloud_lab.wire import calls as wire
    from educloud_lab.wire import models

ACTIONS: Final[Mapping[str, str]] = {
    "start": "Start",
    "stop": "Stop",
    "delete": "Delete machine",
    "snapshot": "Snapshot",
    "restore": "Restore",
    "grow": "Enlarge the volume",
    "discard": "Volume into the bin",
    "return": "Volume out of the bin",
    "empty": "Delete for ever",
}
_OUTCOMES: Final[Mapping[str, str]] = {"done": "done", "failed": "failed", "superseded": "given up for another wish"}
_ENDS: Final[Mapping[str, str]] = {"ok": "answered", "refused": "refused", "lost": "no answer"}
_NOTHING: Final = "Nothing yet: start the machine, then look here again."
_OFF: Final = "Calls are not kept here: a setting of the server (Educloud.record_calls)."
_TYPE: Final = ("educloud_lab.wire.calls", "Accounts")
_WHY: Final = ("educloud_lab.wire.models", "Why")
_WIDTH: Final = 100
# One machine's address, also as a network of one or in the name that a cloud gives it; not a wider network of a rule.
_ADDRESS: Final = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b(?:/32\b)?(?!/\d)|\b(?:ip|euca)(?:-\d{1,3}){4}\b(?:\.[\w.-]*\w)?"
)
_LEFT_OUT: Final = "(address left out)"
_MONO: Final = "font-family: monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.2em 0"


class AccountsView:
    """Accounts as a notebook shows them.

    Parameters
    ----------
    accounts : what ``machine.calls()`` returned.
    """

    def __init__(self, accounts: wire.Accounts) -> None:
        self.accounts = accounts

    def __repr__(self) -> str:
        return "\n".join(lines_of(self.accounts))

    def _repr_html_(self) -> str:
        return html_of(self.accounts)


def show(accounts: wire.Accounts) -> AccountsView:
    """Return what a cell shows of accounts, when it is the cell's last line."""
    return AccountsView(accounts)


def register(shell: Any) -> None:
    """Have an IPython shell show ``machine.calls()`` like this at the end of a cell, and ``machine.why()`` as text.

    Repeatable. By the names of the types: nothing is loaded until there is something to show.
    """
    formatters = shell.display_formatter.formatters
    formatters["text/html"].for_type_by_name(*_TYPE, html_of)
    formatters["text/plain"].for_type_by_name(*_TYPE, _print_plain)
    formatters["text/plain"].for_type_by_name(*_WHY, _print_why)


def _print_plain(accounts: wire.Accounts, printer: Any, _cycle: bool) -> None:
    printer.text("\n".join(lines_of(accounts)))


def _print_why(why: models.Why, printer: Any, _cycle: bool) -> None:
    from educloud_lab.client import diagnosis

    lines = diagnosis.lines_of(why, whole="print(machine.why().text)")
    printer.text(_ADDRESS.sub(_LEFT_OUT, "\n".join(lines)))


def title_of(account: wire.Account) -> str:
    """Return which action it was, and how and when."""
    outcome = _OUTCOMES.get(account.outcome, account.outcome) if account.ended_at else "going on"
    return f"{ACTIONS.get(account.kind, account.kind)}, {outcome}, {account.started_at:%Y-%m-%d %H:%M:%S} UTC"


def headline_of(call: wire.CloudCall) -> str:
    """Return a call in one line."""
    times = f" {call.times} times" if call.times > 1 else ""
    took = "" if call.outcome == "lost" else f" in {call.duration_ms} ms"
    return f"{call.operation}{times}, {_ENDS[call.outcome]}{took}"


def _why(accounts: wire.Accounts) -> str:
    return _NOTHING if accounts.recording else _OFF


def _left_out(account: wire.Account) -> str:
    return f"{account.left_out} more calls are not kept." if account.left_out else ""


def lines_of(accounts: wire.Accounts) -> list[str]:
    """Return accounts as lines of text: calls, what was answered, and the same as command lines."""
    if not accounts.accounts:
        return [_why(accounts)]
    lines: list[str] = []
    for account in accounts.accounts:
        lines += ["", title_of(account)]
        step = ""
        for call in account.calls:
            if call.step and call.step != step:
                step = call.step
                lines.append(f"  {step}")
            lines.append(f"    {headline_of(call)}")
            if call.parts:
                lines.append(f"      way        {' -> '.join(call.parts)}")
            if call.error or call.error_code:
                lines += _filled(f"{call.error_code} {call.error}".strip(), "error")
            if call.answer:
                lines += _filled("; ".join(f"{name}={value}" for name, value in call.answer.items()), "answer")
            for name, text in (("aws", call.aws), ("euca2ools", call.euca)):
                for number, line in enumerate(text.splitlines()):
                    lines.append(f"      {'' if number else name:<11}{line}")
        if account.left_out:
            lines.append(f"    {_left_out(account)}")
    return [_ADDRESS.sub(_LEFT_OUT, line) for line in lines[1:]]


def _filled(text: str, title: str) -> list[str]:
    first = f"      {title:<11}"
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def html_of(accounts: wire.Accounts) -> str:
    """Return accounts as HTML that stands by itself."""
    if not accounts.accounts:
        return f"<p>{escape(_why(accounts))}</p>"
    pieces = [f"<p><strong>What just happened: {escape(accounts.lab)}</strong></p>"]
    for number, account in enumerate(accounts.accounts):
        opened = ' open=""' if number == 0 else ""
        pieces.append(f"<details{opened}><summary>{escape(title_of(account))}</summary>")
        if account.left_out:
            pieces.append(f"<p>{escape(_left_out(account))}</p>")
        step = ""
        for call in account.calls:
            if call.step and call.step != step:
                step = call.step
                pieces.append(f'<p style="margin: 0.4em 0 0; font-weight: 600">{escape(step)}</p>')
            pieces.append(_call(call))
        pieces.append("</details>")
    pieces.append(_legend(accounts.components))
    return _ADDRESS.sub(_LEFT_OUT, f"<div>{''.join(pieces)}</div>")


def _call(call: wire.CloudCall) -> str:
    pieces = [
        '<details style="margin-left: 1em">',
        f"<summary><code>{escape(call.operation)}</code>{escape(headline_of(call)[len(call.operation) :])}</summary>",
        '<div style="margin-left: 1em">',
    ]
    if call.parts:
        pieces += [way_svg(call.parts, call.way, call.operation), f"<p>{escape(call.way)}</p>"]
    if call.error or call.error_code:
        pieces.append(f"<p><strong>{escape(call.error_code)}</strong> {escape(call.error)}</p>")
    pieces += [_fields("Asked", call.parameters.items()), _fields("Answer", call.answer.items())]
    if call.request_id:
        pieces.append(f"<p>Request id: {escape(call.request_id)}</p>")
    for name, text in (("aws", call.aws), ("euca2ools", call.euca)):
        if text:
            pieces.append(f'<p>The same with {name}:</p><pre style="{_MONO}">{escape(text)}</pre>')
    return "".join(pieces) + "</div></details>"


def _fields(title: str, fields: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f'<tr><th scope="row" style="text-align: left; font-weight: normal">{escape(name)}</th>'
        f'<td style="text-align: left; overflow-wrap: anywhere">{escape(value)}</td></tr>'
        for name, value in fields
    )
    return f'<table><caption style="text-align: left">{title}</caption><tbody>{rows}</tbody></table>' if rows else ""


def _legend(parts: Iterable[wire.CloudPart]) -> str:
    rows = "".join(
        f"<dt><strong>{escape(part.part)}</strong></dt><dd>{escape(part.name)}: {escape(part.does)}."
        + (f" Here: {escape(part.here)}." if part.here else "")
        + "</dd>"
        for part in parts
    )
    return f"<details><summary>The parts of a cloud</summary><dl>{rows}</dl></details>" if rows else ""
