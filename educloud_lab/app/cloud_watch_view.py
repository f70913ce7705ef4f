"""How ``educloud cloud watch`` looks: a picture of the cloud as tables for a terminal, and what changed as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from educloud_lab.localcloud.overview import Picture

COLOURS = {
    "running": "green", "available": "green", "in-use": "green", "completed": "green", "attached": "green",
    "pending": "yellow", "creating": "yellow", "stopping": "yellow", "attaching": "yellow", "detaching": "yellow",
    "deleting": "yellow", "shutting-down": "yellow", "starts with the cloud": "yellow", "failed": "red", "error": "red",
    "stopped": "cyan",
}  # fmt: skip

_KINDS = (("machines", "machine"), ("volumes", "volume"), ("snapshots", "snapshot"), ("images", "image"))


def headline(picture: Picture) -> str:
    """Return the cloud's own state as one line."""
    if not picture.api_running:
        return "The local cloud does not run (educloud cloud start); this is what it left."
    machines = "simulated machines: none can be logged in to" if picture.hypervisor == "simulated" else "QEMU"
    return f"{picture.endpoint_url or 'starting'}   profile {picture.profile}   {machines}"


def tally(counts: dict[str, int]) -> str:
    """Return how many there are in each state."""
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "none"


def screen(picture: Picture, height: int, now: datetime) -> RenderableType:
    """Return everything as tables that fit into so many lines.

    Parameters
    ----------
    now : for ages, aware UTC.
    """
    tables = (
        ("Machines", picture.counts["machines"], picture.machines, ("id", "state", "address", "type", "name", "age")),
        ("Volumes", picture.counts["volumes"], picture.volumes, ("id", "state", "size", "machine", "device", "name")),
        ("Snapshots", picture.counts["snapshots"], picture.snapshots, ("id", "state", "progress", "volume", "age")),
        ("Images", picture.counts["images"], picture.images, ("id", "state", "name", "kind", "message")),
    )
    faults = [
        Text(f"Fault {fault['kind']} is set (struck {fault['struck']} times)", "red") for fault in picture.faults[:3]
    ]
    shown = _shares([len(rows) for _, _, rows, _ in tables], max(4, height - 16 - len(faults)))
    parts: list[RenderableType] = [Text(headline(picture), "bold" if picture.api_running else "bold red"), *faults]
    for (title, counts, rows, columns), count in zip(tables, shown, strict=True):
        more = f", {len(rows) - count} more not shown" if len(rows) > count else ""
        parts.append(Text(f"{title}: {tally(counts)}{more}", "bold"))
        if count:
            parts.append(_table(rows[:count], columns, now))
    parts.append(Text("Events", "bold"))
    left = max(3, height - sum(shown) - sum(1 for count in shown if count) - 8 - len(faults))
    parts.extend(_event(event) for event in picture.events[-left:])
    parts.append(Text("q ends", "dim"))
    return Group(*parts)


def lines(before: Picture | None, after: Picture) -> Iterator[str]:
    """Return what changed as lines of text: at first what there is, then changes of state and new events."""
    if before is None or before.api_running != after.api_running:
        yield headline(after)
    for name, noun in _KINDS:
        old = {row["id"]: row for row in getattr(before, name)} if before is not None else {}
        for row in reversed(getattr(after, name)):
            was = old.get(row["id"])
            if was is None or was["state"] != row["state"]:
                yield _line(noun, row, was)
        gone = old.keys() - {row["id"] for row in getattr(after, name)}
        yield from (f"{noun} {key} is not listed any more" for key in sorted(gone))
    seen = before.events[-1]["id"] if before is not None and before.events else 0
    yield from (_event(event).plain for event in after.events if event["id"] > seen)


def as_json(picture: Picture) -> dict[str, Any]:
    """Return the picture for other programs; names stay."""
    return {name: getattr(picture, name) for name in Picture.__dataclass_fields__}


def _line(noun: str, row: dict[str, Any], was: dict[str, Any] | None) -> str:
    details = [str(row.get(key) or "") for key in ("address", "type", "name", "machine", "device")]
    told = " ".join(detail for detail in details if detail)
    change = f"{was['state']} -> {row['state']}" if was is not None else row["state"]
    return f"{noun} {row['id']} {change}" + (f"  {told}" if told else "")


def _event(event: dict[str, Any]) -> Text:
    text = Text()
    text.append(f"{event['at']} ", "dim")
    text.append(f"{event['resource']} " if event["resource"] else "", "cyan")
    text.append(event["text"])
    text.append(f"  {event['request_id']}" if event["request_id"] else "", "dim")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _table(rows: Sequence[dict[str, Any]], columns: Sequence[str], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim", expand=False)
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(_cell(row, column, now), COLOURS.get(_cell(row, column, now), "")) for column in columns))
    return table


def _cell(row: dict[str, Any], column: str, now: datetime) -> str:
    if column == "age":
        return _age(row.get("launched_at") or row.get("created_at") or "", now)
    if column == "size":
        return f"{row['size_gib']} GiB"
    if column == "progress":
        return f"{row['progress_percent']} %"
    return str(row.get(column) or "")


def _age(at: str, now: datetime) -> str:
    try:
        passed_s = max(0.0, (now - datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)).total_seconds())
    except ValueError:
        return ""
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed_s >= length_s:
            return f"{passed_s // length_s:.0f} {unit}"
    return f"{passed_s:.0f} s"


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """Share lines among tables: none gets more than it wants, and what one leaves goes to the others."""
    shares = [0] * len(wanted)
    while room > 0 and any(share < want for share, want in zip(shares, wanted, strict=True)):
        for index, want in enumerate(wanted):
            if shares[index] < want and room > 0:
                shares[index] += 1
                room -= 1
    return shares
