"""The packet filter's text: what a rule looks like, and that nothing but numbers and addresses gets into it."""

import pytest

from educloud_lab.localcloud.network.policy import Opening, Policy
from educloud_lab.localcloud.network.rules import render, tap_name

NETWORK = "172.16.64.0/18"
ONE, TWO = "172.16.64.20", "172.16.64.21"


def rendered(*openings, machines=(ONE, TWO), outbound=False):
    return render(machines, Policy(openings), network=NETWORK, outbound=outbound)


def chain(text, name):
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"chain {name} "))
    return lines[start + 1 : lines.index("}", start)]


def test_every_chain_refuses_what_it_does_not_name():
    text = rendered()
    for hook in ("prerouting", "input", "forward", "output"):
        (line,) = [line for line in text.splitlines() if f"hook {hook} " in line]
        assert "policy drop" in line
    assert text.splitlines()[:2] == ["table inet educloud {}", "delete table inet educloud"]


def test_a_card_carries_its_own_address_only():
    text = rendered()
    assert 'elements = { "euac104014" . 172.16.64.20, "euac104015" . 172.16.64.21 };' in text
    assert "iifname . ip saddr @own accept" in chain(text, "start")
    assert "elements" not in rendered(machines=())


def test_names_of_cards_fit_the_kernel():
    assert tap_name("172.31.255.254") == "euac1ffffe"
    assert len(tap_name("255.255.255.255")) <= 15


def test_an_opening_between_machines_and_one_for_the_gateway():
    text = rendered(
        Opening(ONE, "tcp", 80, 90, (TWO,), gateway=False),
        Opening(ONE, "udp", 53, 53, (TWO, "172.16.64.22"), gateway=True),
        Opening("172.16.64.99", "tcp", 1, 1, (TWO,), gateway=True),  # has no card
    )
    assert chain(text, "to_euac104014") == [
        "ip saddr { 172.16.64.21 } tcp dport 80-90 accept",
        "ip saddr { 172.16.64.21, 172.16.64.22 } udp dport 53 accept",
    ]
    assert chain(text, "gw_euac104014") == ["udp dport 53 accept"]
    assert chain(text, "to_euac104015") == []
    assert "172.16.64.99" not in text


@pytest.mark.parametrize(
    ("protocol", "first", "last", "match"),
    [
        ("-1", -1, -1, "accept"),
        ("icmp", -1, -1, "meta l4proto icmp accept"),
        ("icmp", 8, -1, "meta l4proto icmp icmp type 8 accept"),
        ("icmp", 3, 4, "meta l4proto icmp icmp type 3 icmp code 4 accept"),
        ("47", -1, -1, "meta l4proto 47 accept"),
    ],
)
def test_protocols(protocol, first, last, match):
    text = rendered(Opening(ONE, protocol, first, last, (), gateway=True))
    assert chain(text, "gw_euac104014") == [match]


@pytest.mark.parametrize(
    "opening",
    [
        Opening(ONE, "tcp", 80, 70, (), gateway=True),
        Opening(ONE, "tcp", 1, 65536, (), gateway=True),
        Opening(ONE, "icmp", 256, -1, (), gateway=True),
        Opening(ONE, "256", -1, -1, (), gateway=True),
        Opening(ONE, "tcp accept;", 1, 1, (), gateway=True),
        Opening(ONE, "tcp", 1, 1, ("0.0.0.0/0",), gateway=False),
        Opening(ONE, "tcp", 1, 1, ("172.16.64.21 } accept",), gateway=False),
    ],
)
def test_nothing_else_gets_into_the_text(opening):
    with pytest.raises(ValueError):
        rendered(opening)
    with pytest.raises(ValueError):
        rendered(machines=(f"{ONE}; accept",))


def test_outside_is_off_unless_asked():
    assert "out0" not in rendered()
    text = rendered(outbound=True)
    assert 'oifname "out0" ip daddr != { 172.16.64.0/18, 169.254.0.0/16 } accept' in chain(text, "forward")
    assert 'iifname "out0" ip saddr != 172.16.64.0/18 accept' in chain(text, "start")
    assert "masquerade" in text
