"""Checks of security groups: those of the person's machine, and those of the account by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from educloud_lab.broker.checks.outcome import Outcome, judges, named
from educloud_lab.broker.checks.scene import Scene
from educloud_lab.domain.checks import Assertion
from educloud_lab.domain.errors import ConflictError
from educloud_lab.ports.cloud import GroupSeen, RuleSeen

_NO_PORTS = ("icmp", "icmpv6", "1", "58")
_TCP, _ALL = ("tcp", "6"), "-1"
_LAST = 65535
Range = tuple[int, int]


def ports_of(text: str) -> list[int]:
    """Return the ports of a list such as ``22, 80 and 443``."""
    return sorted({int(number) for number in re.findall(r"\d+", text)})


def opened(groups: Iterable[GroupSeen], *, tcp_only: bool) -> list[Range]:
    """Return the ranges of ports at which groups let something in, joined where they meet."""
    ranges = sorted(
        (0, _LAST) if rule.protocol == _ALL or rule.first_port < 0 else (rule.first_port, max(0, rule.last_port))
        for group in groups
        for rule in group.rules
        if _counts(rule, tcp_only=tcp_only)
    )
    joined: list[Range] = []
    for first, last in ranges:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _counts(rule: RuleSeen, *, tcp_only: bool) -> bool:
    if not rule.sources or rule.protocol.lower() in _NO_PORTS:
        return False
    return rule.protocol.lower() in (*_TCP, _ALL) or not tcp_only


def _text(ranges: Sequence[Range]) -> str:
    words = [str(first) if first == last else f"{first} to {last}" for first, last in ranges]
    return ", ".join(words) or "no port"


async def _own(scene: Scene) -> list[GroupSeen]:
    """Return the security groups of the person's machine."""
    seen = await scene.instance()
    if seen is None:
        raise ConflictError(
            "The cloud shows no instance of this machine, so it has no security group to look at.",
            next_step="Start the machine and check again.",
        )
    found = [group for group in await scene.groups() if group.name in seen.groups]
    # One that is not shown may let in whatever it likes: what the others say is not all (I5).
    if not found or {group.name for group in found} != set(seen.groups):
        raise ConflictError("The cloud does not tell the machine's security groups.", next_step="Check again later.")
    return found


async def _named(scene: Scene, name: str) -> list[GroupSeen]:
    scene.own_account()
    return [group for group in await scene.groups() if name in (group.name, group.group_id)]


@judges("group-allows-only", "named-group-allows-only")
async def allows_only(scene: Scene, said: Assertion) -> Outcome:
    """TCP is let in at each of these ports, and nothing at any other, whatever the source."""
    groups = await _own(scene) if "name" not in said.values else await _named(scene, said.values["name"])
    if not groups:
        return _no_group(said.values["name"])
    wanted = ports_of(said.values["ports"])
    ranges = opened(groups, tcp_only=False)
    tcp = opened(groups, tcp_only=True)
    missing = [port for port in wanted if not _lets_in(tcp, port)]
    exactly = opened([_of(wanted)], tcp_only=False)
    names = ", ".join(named(group.name) for group in groups)
    seen = f"{names}: {_text(ranges)}."
    if missing:
        return Outcome(False, seen, f"Add a rule for TCP port {missing[0]}.")
    return Outcome(ranges == exactly, seen, "Take away the rules for other ports.")


@judges("group-allows", "named-group-allows")
async def allows(scene: Scene, said: Assertion) -> Outcome:
    """Each of these ports is open for TCP; when that is denied, none of them. Without the group neither is so."""
    groups = await _own(scene) if "name" not in said.values else await _named(scene, said.values["name"])
    if not groups:
        return _no_group(said.values["name"], denied=said.denied)
    wanted = ports_of(said.values["ports"])
    ranges = opened(groups, tcp_only=True)
    inside = [port for port in wanted if _lets_in(ranges, port)]
    missing = [port for port in wanted if port not in inside]
    names = ", ".join(named(group.name) for group in groups)
    return Outcome(
        bool(inside) if said.denied else not missing,
        f"{names}: {_text(ranges)}.",
        f"Add a rule for TCP port {missing[0]}." if missing else "",
        f"Take away the rule for TCP port {inside[0]}." if inside else "",
    )


@judges("group-exists")
async def group_exists(scene: Scene, said: Assertion) -> Outcome:
    """A group of the account has this name."""
    found = await _named(scene, said.values["name"])
    if not found:
        return _no_group(said.values["name"])
    return Outcome(True, f"It is {found[0].group_id}.", undo="Delete it.")


@judges("machine-in-group")
async def machine_in_group(scene: Scene, said: Assertion) -> Outcome:
    """The cloud lists the group at the machine's instance."""
    seen = await scene.instance()
    if seen is None:
        return Outcome(None, "The cloud shows no instance of this machine.", "Start the machine and check again.")
    names = ", ".join(named(name) for name in seen.groups) or "none"
    return Outcome(said.values["name"] in seen.groups, f"Its groups: {names}.", "Choose the group when it is run.")


def _no_group(name: str, *, denied: bool = False) -> Outcome:
    """Say that a line about a group does not hold without it, whether it says or denies something of it."""
    make_it = f"Make the group '{named(name)}'."
    return Outcome(denied, "The account has no security group of that name.", make_it, make_it)


def _of(ports: Iterable[int]) -> GroupSeen:
    return GroupSeen("", "", tuple(RuleSeen("tcp", port, port, ("any",)) for port in ports))


def _lets_in(ranges: Iterable[Range], port: int) -> bool:
    return any(first <= port <= last for first, last in ranges)
