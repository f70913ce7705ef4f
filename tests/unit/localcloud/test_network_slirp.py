"""The slirp driver: its arguments, and QEMU's answers in text."""

from pathlib import Path

import pytest

from educloud_lab.localcloud.network.base import NetworkError, NetworkLeg
from educloud_lab.localcloud.network.slirp import SlirpNetwork
from educloud_lab.localcloud.network.usernet import Forward, parse_forwards

LEG = NetworkLeg(mac="d0:0d:01:02:03:04", address="172.16.77.5", metadata_socket=Path("/run/x, y/md's.sock"))

# As QEMU 7.2 prints it.
USERNET = """Hub -1 (net0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[ESTABLISHED]   39       127.0.0.1 36115     172.16.77.5    22     0     0
  TCP[HOST_FORWARD]  13       127.0.0.1 36115     172.16.77.5    22     0     0
  TCP[HOST_FORWARD]  17               * 43663     172.16.77.5  8080     0     0
  UDP[HOST_FORWARD]  18       127.0.0.1 40001     172.16.77.5    53     0     0
"""


class Usernet:
    """Answers the human monitor as QEMU does, with its list of forwards."""

    def __init__(self, refusal: str = "") -> None:
        self.lines: list[str] = []
        self.refusal = refusal
        self.asked: list[str] = []

    async def __call__(self, line: str) -> str:
        self.asked.append(line)
        if line == "info usernet":
            return "  Protocol[State]    FD\r\n" + "".join(self.lines)
        if self.refusal:
            return self.refusal
        guest, port = line.rsplit("-", 1)[1].split(":")
        self.lines.append(f"  TCP[HOST_FORWARD]  13       127.0.0.1 {50000 + len(self.lines)} {guest} {port} 0 0\r\n")
        return ""


def netdev(network: SlirpNetwork, leg: NetworkLeg = LEG) -> str:
    arguments = network.arguments(leg)
    return arguments[arguments.index("-netdev") + 1]


def test_only_listening_ports_are_read():
    assert parse_forwards(USERNET) == [
        Forward("tcp", "127.0.0.1", 36115, "172.16.77.5", 22),
        Forward("tcp", "*", 43663, "172.16.77.5", 8080),
        Forward("udp", "127.0.0.1", 40001, "172.16.77.5", 53),
    ]


def test_nothing_goes_outside_unless_asked():
    assert "restrict=on" in netdev(SlirpNetwork())
    assert "restrict=off" in netdev(SlirpNetwork(outside=True))


def test_ssh_is_forwarded_on_the_loopback_only():
    assert "hostfwd=tcp:127.0.0.1:0-172.16.77.5:22" in netdev(SlirpNetwork())


def test_the_metadata_socket_survives_both_parsers():
    assert "'/run/x,, y/md'\"'\"'s.sock'" in netdev(SlirpNetwork(python="/usr/bin/python3"))


def test_the_guest_gets_its_own_card_address():
    assert SlirpNetwork().arguments(LEG)[-1] == "virtio-net-pci,netdev=net0,mac=d0:0d:01:02:03:04,romfile="


@pytest.mark.parametrize("address", ["10.1.2.3", "172.32.0.1", "172.16.0.1", "172.16.0.2", "fe80::1", "here", ""])
def test_an_address_outside_is_refused(address):
    with pytest.raises(NetworkError, match="address"):
        netdev(SlirpNetwork(), NetworkLeg(mac="", address=address, metadata_socket=Path("/s")))


async def test_a_port_is_forwarded_once_and_found_again():
    monitor = Usernet()
    first = await SlirpNetwork().endpoint(LEG, 8080, monitor)
    again = await SlirpNetwork().endpoint(LEG, 8080, monitor)
    assert first == again == ("127.0.0.1", 50000)
    assert len([line for line in monitor.asked if line.startswith("hostfwd_add")]) == 1


async def test_a_refusal_in_text_is_an_error():
    with pytest.raises(NetworkError, match="could not set up host forwarding rule"):
        await SlirpNetwork().endpoint(LEG, 8080, Usernet("could not set up host forwarding rule 'tcp:...'\r\n"))


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_there_is_no_such_port(port):
    monitor = Usernet()
    with pytest.raises(NetworkError, match="no TCP port"):
        await SlirpNetwork().endpoint(LEG, port, monitor)
    assert monitor.asked == []
