"""DHCP and names as bytes: questions as clients send them, and everything that is no question."""

import struct

import pytest

from educloud_lab.localcloud.network import dhcp, names

NETWORK, ADDRESS = "172.16.64.0/18", "172.16.64.20"
MAC = bytes.fromhex("d00d01020304")


def question(kind, *options, client=bytes(4), operation=1):
    head = struct.pack("!BBBBIHH4s4s4s4s16s64s128s", operation, 1, 6, 0, 0xABCD, 0, 0x8000, client, bytes(4), bytes(4),
                       bytes(4), MAC, b"", b"")  # fmt: skip
    found = [(53, bytes([kind])), *options]
    return head + b"\x63\x82\x53\x63" + b"".join(bytes([c, len(v)]) + v for c, v in found) + b"\xff"


def read(reply):
    assert reply is not None
    assert len(reply) >= 300
    assert reply[4:8] == struct.pack("!I", 0xABCD)
    assert reply[28:34] == MAC
    options, position = {}, 240
    while reply[position] != 255:
        code, length = reply[position], reply[position + 1]
        options[code] = reply[position + 2 : position + 2 + length]
        position += 2 + length
    return ".".join(map(str, reply[16:20])), options


def packed(address):
    return bytes(map(int, address.split(".")))


def test_a_client_gets_the_address_of_its_card():
    address, options = read(dhcp.answer(question(1), ADDRESS, NETWORK))
    assert (address, options[53]) == (ADDRESS, b"\x02")
    assert options[1] == packed("255.255.192.0")
    assert options[3] == options[6] == options[54] == packed("172.16.64.1")
    ask = question(3, (50, packed(ADDRESS)), (54, packed("172.16.64.1")))
    address, options = read(dhcp.answer(ask, ADDRESS, NETWORK))
    assert (address, options[53], options[51]) == (ADDRESS, b"\x05", struct.pack("!I", 86400))


def test_a_client_that_renews_keeps_its_address():
    address, options = read(dhcp.answer(question(3, client=packed(ADDRESS)), ADDRESS, NETWORK))
    assert (address, options[53]) == (ADDRESS, b"\x05")


def test_another_address_than_its_own_is_refused():
    address, options = read(dhcp.answer(question(3, (50, packed("172.16.64.21"))), ADDRESS, NETWORK))
    assert (address, options[53]) == ("0.0.0.0", b"\x06")
    assert 51 not in options


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"x" * 300,
        question(1)[:239],
        question(1, operation=2),
        question(7),
        question(3, (54, packed("172.16.64.2"))),
        question(1).replace(b"\x63\x82\x53\x63", b"\x63\x82\x53\x64"),
    ],
)
def test_what_is_no_question_gets_no_answer(packet):
    assert dhcp.answer(packet, ADDRESS, NETWORK) is None


KNOWN = {"web": "172.16.64.21", "ip-172-16-64-21": "172.16.64.21"}


def asked(name, kind=1, form=1):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 77, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, form)


def code_of(reply):
    assert reply[:2] == struct.pack("!H", 77)
    assert reply[2] & 0x80
    return reply[3] & 0x0F


@pytest.mark.parametrize("name", ["web", "WEB", "web.lab.internal", "ip-172-16-64-21"])
def test_a_machine_is_found_by_its_names(name):
    reply = names.answer(asked(name), KNOWN, forward=False)
    assert (code_of(reply), reply[6:8], reply[-4:]) == (0, b"\0\1", packed("172.16.64.21"))


def test_a_name_has_no_other_address():
    reply = names.answer(asked("web", 28), KNOWN, forward=True)
    assert (code_of(reply), reply[6:8]) == (0, b"\0\0")


def test_an_address_is_found_by_its_name():
    reply = names.answer(asked("21.64.16.172.in-addr.arpa", 12), KNOWN, forward=True)
    assert (code_of(reply), reply[6:8]) == (0, b"\0\1")
    assert b"\x03web\x03lab\x08internal\0" in reply


@pytest.mark.parametrize("name", ["other", "other.lab.internal", "example.org", "22.64.16.172.in-addr.arpa"])
def test_what_is_not_known_does_not_exist_without_an_outside(name):
    assert code_of(names.answer(asked(name), KNOWN, forward=False)) == 3


def test_with_an_outside_only_names_of_the_outside_are_asked_there():
    assert names.answer(asked("example.org"), KNOWN, forward=True) is None
    for inside in ("other", "other.lab.internal", "22.64.16.172.in-addr.arpa"):
        assert code_of(names.answer(asked(inside), KNOWN, forward=True)) == 3


@pytest.mark.parametrize("query", [b"", b"short", asked("web")[:2] + b"\x81" + asked("web")[3:]])
def test_what_is_no_question_of_names_gets_no_answer(query):
    assert names.answer(query, KNOWN, forward=False) is None


@pytest.mark.parametrize("query", [asked("web", form=3), asked("web")[:-3], asked("web")[:12] + b"\xff" + b"x" * 20])
def test_a_damaged_question_is_said_to_be_one(query):
    assert code_of(names.answer(query, KNOWN, forward=False)) == 1
