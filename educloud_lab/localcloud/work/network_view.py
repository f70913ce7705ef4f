"""Reads from the rows who may reach whom: machines with addresses, their groups' rules, their names."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import groups
from educloud_lab.localcloud.network.policy import Member, Opening, Policy, gateway_address, work_out
from educloud_lab.localcloud.state.tables import Instance, Tag


def read_policy(session: Session, network: str) -> Policy:
    """Give the policy for all machines that have an address."""
    rows = session.execute(
        select(Instance.id, Instance.address, Instance.owner).where(
            Instance.state.in_(groups.LIVE), Instance.address != ""
        )
    ).all()
    ids = [row.id for row in rows]
    query = select(Tag.resource_id, Tag.value).where(Tag.resource_id.in_(ids), Tag.key == "Name")
    names: dict[str, str] = {row.resource_id: row.value for row in session.execute(query)}
    members = [Member(row.id, row.address, row.owner, names.get(row.id, "")) for row in rows]
    return work_out(members, groups.allowed(session), gateway_address(network))


def gateway_ports(openings: Iterable[Opening]) -> dict[str, list[tuple[int, int]]]:
    """Give the TCP ports that the gateway may reach, by address: ranges in order, none overlapping."""
    found: dict[str, list[tuple[int, int]]] = {}
    for opening in openings:
        if opening.gateway and (ports := opening.tcp_ports):
            found.setdefault(opening.to, []).append(ports)
    return {address: _merged(ranges) for address, ranges in found.items()}


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
