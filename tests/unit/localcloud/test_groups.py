"""What groups let in, from rows alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from educloud_lab.localcloud.groups import Allowed, allowed, lets_in
from educloud_lab.localcloud.state.tables import Base, Instance, SecurityGroupRule

ANYWHERE = "0.0.0.0/0"


@pytest.fixture
def session():
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


def machine(session, number, *groups, state="running", address=None):
    row = Instance(
        id=f"i-{number}", reservation_id="r-1", launch_index=0, owner="1", node="n", zone="one", image_id="emi-1",
        instance_type="t2.micro", root_device_type="ebs", state=state, mac=f"d0:0d:00:00:00:0{number}",
        address=f"172.16.0.{number}" if address is None else address, launched_at=datetime(2026, 1, 1, tzinfo=UTC),
        groups=[[group, f"name of {group}"] for group in groups],
    )  # fmt: skip
    session.add(row)


def rule(session, group, protocol="tcp", from_port=22, to_port=22, **source):
    session.add(
        SecurityGroupRule(
            group_id=group, protocol=protocol, from_port=from_port, to_port=to_port, **(source or {"cidr": ANYWHERE})
        )
    )


def test_a_machine_is_let_in_what_any_of_its_groups_lets_in_and_each_thing_once(session):
    machine(session, 1, "sg-a", "sg-b")
    machine(session, 2, "sg-b")
    machine(session, 3, "sg-c")
    rule(session, "sg-a")
    rule(session, "sg-b")
    rule(session, "sg-b", "udp", 53, 60, cidr="10.0.0.0/8")
    ssh, dns = Allowed("tcp", 22, 22, ANYWHERE), Allowed("udp", 53, 60, "10.0.0.0/8")
    assert allowed(session) == {"i-1": (ssh, dns), "i-2": (ssh, dns), "i-3": ()}


def test_a_group_as_source_is_the_addresses_of_its_machines_now(session):
    machine(session, 9, "sg-a")
    machine(session, 1, "sg-a")
    machine(session, 2, "sg-a", state="stopped", address="")
    machine(session, 3, "sg-a", state="terminated")
    machine(session, 4, "sg-b")
    rule(session, "sg-b", "-1", -1, -1, source_group_id="sg-a")
    rule(session, "sg-b", "icmp", -1, -1, source_group_id="sg-gone")
    assert allowed(session)["i-4"] == (
        Allowed("-1", -1, -1, None, ("172.16.0.1", "172.16.0.9")),
        Allowed("icmp", -1, -1, None, ()),
    )
    assert set(allowed(session)) == {"i-1", "i-4", "i-9"}


@pytest.mark.parametrize(
    ("rule", "packet", "passes"),
    [
        (Allowed("tcp", 22, 22, ANYWHERE), ("tcp", 22, "192.0.2.1"), True),
        (Allowed("tcp", 22, 22, ANYWHERE), ("tcp", 23, "192.0.2.1"), False),
        (Allowed("tcp", 22, 22, ANYWHERE), ("udp", 22, "192.0.2.1"), False),
        (Allowed("6", 20, 30, ANYWHERE), ("tcp", 30, "192.0.2.1"), True),
        (Allowed("tcp", -1, -1, ANYWHERE), ("tcp", 9999, "192.0.2.1"), True),
        (Allowed("tcp", 22, 22, "192.0.2.0/24"), ("tcp", 22, "192.0.3.1"), False),
        (Allowed("tcp", 22, 22, "192.0.2.0/24"), ("tcp", 22, "192.0.2.255"), True),
        (Allowed("-1", -1, -1, None, ("172.16.0.1",)), ("udp", 1, "172.16.0.1"), True),
        (Allowed("-1", -1, -1, None, ("172.16.0.1",)), ("udp", 1, "172.16.0.2"), False),
        (Allowed("icmp", 8, -1, ANYWHERE), ("icmp", 8, "192.0.2.1"), True),
        (Allowed("icmp", 8, -1, ANYWHERE), ("icmp", 0, "192.0.2.1"), False),
        (Allowed("47", -1, -1, ANYWHERE), ("47", 0, "192.0.2.1"), True),
    ],
)
def test_what_a_rule_lets_in(rule, packet, passes):
    assert rule.matches(*packet) is passes
    assert lets_in([Allowed("tcp", 1, 1, "127.0.0.1/32"), rule], *packet) is passes
    assert not lets_in([], *packet)
