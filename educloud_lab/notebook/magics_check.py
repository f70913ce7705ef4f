"""How the results of checks look: a table, each line with a mark and a word, so that colour is not the only sign."""

from __future__ import annotations

from html import escape
from typing import Any

from educloud_lab.notebook import magics_words as words

_COLOURS = {
    "passed": "var(--jp-success-color1, #2e7d32)",
    "failed": "var(--jp-error-color1, #c62828)",
    "unknown": "var(--jp-warn-color1, #ef6c00)",
}


def assertions(cell: str) -> list[str]:
    """Return a cell's assertions: one a line; empty lines and those that begin with ``#`` are left out."""
    lines = (line.strip() for line in cell.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def bundle(report: Any) -> dict[str, str]:
    """Return a report's display data. Of the report only what the checks say: no ids, no names."""
    return {"text/html": as_html(report), "text/plain": as_text(report)}


def as_text(report: Any) -> str:
    """Return a report as lines."""
    lines = []
    for result in report.results:
        mark, word = words.CHECK_MARKS[str(result.state)]
        lines.append(f"{mark} {word}: {result.text}")
        lines += [f"    {line}" for line in _details(result)]
    return "\n".join([*lines, words.checked(report.passed, len(report.results))])


def as_html(report: Any) -> str:
    """Return a report as a table."""
    rows = []
    for result in report.results:
        mark, word = words.CHECK_MARKS[str(result.state)]
        colour = _COLOURS[str(result.state)]
        details = "".join(f"<br><small>{escape(line)}</small>" for line in _details(result))
        rows.append(
            f'<tr><td style="color:{colour};white-space:nowrap;text-align:left;vertical-align:top">'
            f'<span aria-hidden="true">{mark}</span> {word}</td>'
            f'<td style="text-align:left">{escape(result.text)}{details}</td></tr>'
        )
    caption = escape(words.checked(report.passed, len(report.results)))
    return (
        '<table class="educloud-Checks"><caption style="caption-side:bottom;text-align:left">'
        f'{caption}</caption><thead><tr><th scope="col" style="text-align:left">Result</th>'
        f'<th scope="col" style="text-align:left">Check</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _details(result: Any) -> list[str]:
    details = [result.seen] if result.seen else []
    if str(result.state) != "passed" and result.next_step:
        details.append(result.next_step)
    return details
