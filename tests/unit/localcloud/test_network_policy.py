"""From machines and their groups' rules to who may reach whom."""

import json

import pytest

from educloud_lab.localcloud.groups import Allowed
from educloud_lab.localcloud.network.policy import Member, Opening, Policy, work_out

GATEWAY = "172.16.64.1"
ALICE_1 = Member("i-00000001", "172.16.64.20", "alice", "Web server")
ALICE_2 = Member("i-00000002", "172.16.64.21", "alice")
ALICE_3 = Member("i-00000003", "172.16.64.22", "alice")
BOB = Member("i-00000004", "172.16.64.30", "bob", "Web server")
ALL = [BOB, ALICE_3, ALICE_1, ALICE_2]


def to(policy, machine):
    return [opening for opening in policy.openings if opening.to == machine.address]


def test_without_rules_nobody_reaches_anybody():
    assert work_out(ALL, {}, GATEWAY).openings == ()


def test_a_group_that_names_itself_lets_its_machines_reach_each_other():
    addresses = (ALICE_1.address, ALICE_2.address)
    rules = {machine.instance_id: [Allowed("-1", -1, -1, None, addresses)] for machine in (ALICE_1, ALICE_2)}
    assert work_out(ALL, rules, GATEWAY).openings == (
        Opening(ALICE_1.address, "-1", -1, -1, (ALICE_2.address,), gateway=False),
        Opening(ALICE_2.address, "-1", -1, -1, (ALICE_1.address,), gateway=False),
    )


def test_a_network_counts_for_the_owners_own_machines_and_for_the_gateway():
    policy = work_out(ALL, {ALICE_3.instance_id: [Allowed("tcp", 80, 80, "0.0.0.0/0")]}, GATEWAY)
    expected = Opening(ALICE_3.address, "tcp", 80, 80, (ALICE_1.address, ALICE_2.address), gateway=True)
    assert to(policy, ALICE_3) == [expected]


@pytest.mark.parametrize(
    ("cidr", "sources", "gateway"),
    [
        ("172.16.64.1/32", (), True),
        ("172.16.64.20/32", (ALICE_1.address,), False),
        ("172.16.64.20/30", (ALICE_1.address, ALICE_2.address), False),
        ("172.16.64.0/18", (ALICE_1.address, ALICE_2.address), True),
    ],
)
def test_a_network_is_looked_into(cidr, sources, gateway):
    policy = work_out(ALL, {ALICE_3.instance_id: [Allowed("tcp", 80, 80, cidr)]}, GATEWAY)
    assert to(policy, ALICE_3) == [Opening(ALICE_3.address, "tcp", 80, 80, sources, gateway)]


def test_a_network_that_holds_nobody_opens_nothing():
    policy = work_out(ALL, {ALICE_3.instance_id: [Allowed("tcp", 80, 80, "203.0.113.0/24")]}, GATEWAY)
    assert to(policy, ALICE_3) == []


def test_another_owners_machine_comes_in_only_where_its_group_is_named():
    everybody = Allowed("-1", -1, -1, "0.0.0.0/0")
    policy = work_out(ALL, {machine.instance_id: [everybody] for machine in ALL}, GATEWAY)
    assert not any(BOB.address in opening.sources for opening in policy.openings)
    assert all(opening.sources == () for opening in to(policy, BOB))
    named = Allowed("tcp", 22, 22, None, (BOB.address,))
    policy = work_out(ALL, {ALICE_1.instance_id: [named]}, GATEWAY)
    assert to(policy, ALICE_1) == [Opening(ALICE_1.address, "tcp", 22, 22, (BOB.address,), gateway=False)]


@pytest.mark.parametrize(
    ("rule", "opening"),
    [
        (Allowed("6", 22, 23, "0.0.0.0/0"), ("tcp", 22, 23)),
        (Allowed("17", -1, -1, "0.0.0.0/0"), ("udp", 0, 65535)),
        (Allowed("tcp", -1, -1, "0.0.0.0/0"), ("tcp", 0, 65535)),
        (Allowed("icmp", 8, -1, "0.0.0.0/0"), ("icmp", 8, -1)),
        (Allowed("1", -1, -1, "0.0.0.0/0"), ("icmp", -1, -1)),
        (Allowed("-1", 1, 2, "0.0.0.0/0"), ("-1", -1, -1)),
        (Allowed("47", 1, 2, "0.0.0.0/0"), ("47", -1, -1)),
    ],
)
def test_protocols_are_told_in_one_way(rule, opening):
    (found,) = work_out([BOB], {BOB.instance_id: [rule]}, GATEWAY).openings
    assert (found.protocol, found.first, found.last) == opening


def test_the_tcp_ports_of_an_opening():
    ports = {
        Opening("", "tcp", 0, 65535, (), True).tcp_ports,
        Opening("", "-1", -1, -1, (), True).tcp_ports,
    }
    assert ports == {(1, 65535)}
    assert Opening("", "tcp", 80, 90, (), True).tcp_ports == (80, 90)
    assert Opening("", "udp", 80, 90, (), True).tcp_ports is None
    assert Opening("", "47", -1, -1, (), True).tcp_ports is None


def test_names_are_the_owners():
    policy = work_out(ALL, {}, GATEWAY)
    assert ("alice", "ip-172-16-64-20", "172.16.64.20") in policy.names
    assert ("alice", "i-00000001", "172.16.64.20") in policy.names
    assert {name for name in policy.names if name[1] == "web-server"} == {
        ("alice", "web-server", "172.16.64.20"),
        ("bob", "web-server", "172.16.64.30"),
    }


@pytest.mark.parametrize("tag", ["", "-x", "a.b", "ü", "x" * 64, 'a"b', "a\nb", "web/1"])
def test_a_tag_that_is_no_name_gives_none(tag):
    member = Member("i-1", "172.16.64.20", "alice", tag)
    assert [name for _, name, _ in work_out([member], {}, GATEWAY).names] == ["ip-172-16-64-20", "i-1"]


def test_a_policy_survives_its_journey():
    policy = work_out(ALL, {ALICE_3.instance_id: [Allowed("tcp", 80, 80, "0.0.0.0/0")]}, GATEWAY)
    assert Policy.from_json(json.loads(json.dumps(policy.to_json()))) == policy
