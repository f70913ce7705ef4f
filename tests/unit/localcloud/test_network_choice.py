"""Which driver is chosen, kept and fallen back to; the drivers themselves are stand-ins."""

import json

import pytest

from educloud_lab.localcloud.network import choice as choosing
from educloud_lab.localcloud.network.base import Living, NetworkError, NetworkLeg
from educloud_lab.localcloud.network.choice import Networks, choose, recall
from educloud_lab.localcloud.network.netns import NetnsNetwork
from educloud_lab.localcloud.network.policy import Policy
from educloud_lab.localcloud.network.slirp import SlirpNetwork


class Driver:
    """Notes what is asked of it, and fails where it is told to."""

    def __init__(self, name, failing=()):
        self.name = name
        self.failing = set(failing)
        self.asked = []

    def arguments(self, leg):
        return [self.name]

    def prefix(self, leg):
        return [f"{self.name}-prefix"]

    def used_by(self, leg):
        return self.name

    def door(self, address):
        return None

    async def endpoint(self, leg, port, human):
        return (self.name, port)

    def alive(self, leg, pid):
        self.asked.append(("alive", leg.address, pid))

    def __getattr__(self, what):
        async def ask(*values):
            self.asked.append((what, *values))
            if what in self.failing:
                raise NetworkError(f"{what} failed")

        if what not in {"open", "close", "plug", "unplug", "apply"}:
            raise AttributeError(what)
        return ask


def leg(number=20, tmp="/x"):
    return NetworkLeg("d0:0d:00:00:00:01", f"172.16.64.{number}", tmp)


@pytest.fixture
def works(monkeypatch):
    async def trial():
        return True, "a packet went through"

    monkeypatch.setattr(choosing, "missing_packages", lambda *, outbound: ())
    monkeypatch.setattr(choosing, "try_netns", trial)


@pytest.fixture
def forbidden(monkeypatch):
    async def trial():
        return False, "unshare: Operation not permitted"

    monkeypatch.setattr(choosing, "missing_packages", lambda *, outbound: ())
    monkeypatch.setattr(choosing, "try_netns", trial)


def networks(tmp_path, setting="auto", netns=(), slirp=(), **more):
    drivers = {"netns": Driver("netns", netns), "slirp": Driver("slirp", slirp)}
    made = Networks(drivers, setting=setting, outbound=False, memory=tmp_path / "network.json", **more)
    return made, drivers["netns"], drivers["slirp"]


@pytest.mark.usefixtures("works")
async def test_auto_takes_what_was_tried_and_works(tmp_path):
    made, netns, slirp = networks(tmp_path)
    await made.open([])
    assert (made.name, made.choice.reason) == ("netns", "tried: a packet went through")
    assert ("open", []) in netns.asked
    assert slirp.asked == []
    assert recall(tmp_path / "network.json") == made.choice


@pytest.mark.usefixtures("forbidden")
async def test_auto_takes_slirp_where_namespaces_are_forbidden_and_says_why(tmp_path):
    made, netns, _ = networks(tmp_path)
    await made.open([])
    assert (made.name, netns.asked) == ("slirp", [])
    assert "Operation not permitted" in made.choice.reason


async def test_auto_names_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(choosing.shutil, "which", lambda tool, path: None if tool in {"nft", "slirp4netns"} else tool)
    chosen = await choose("auto", outbound=False)
    assert (chosen.driver, chosen.missing) == ("slirp", ("nftables",))
    assert (await choose("auto", outbound=True)).missing == ("nftables", "slirp4netns")


@pytest.mark.usefixtures("works")
async def test_auto_falls_back_when_the_driver_itself_fails(tmp_path):
    made, _, slirp = networks(tmp_path, netns=["open"])
    await made.open([])
    assert (made.name, made.choice.reason) == ("slirp", "netns failed: open failed")
    await made.plug(leg())
    assert slirp.asked == [("plug", leg())]


@pytest.mark.usefixtures("works")
async def test_auto_connects_a_machine_by_slirp_when_its_card_fails(tmp_path):
    made, _, _ = networks(tmp_path, netns=["plug"])
    await made.open([])
    await made.plug(leg())
    assert (made.used_by(leg()), made.prefix(leg()), made.used_by(leg(21))) == ("slirp", ["slirp-prefix"], "netns")


@pytest.mark.usefixtures("forbidden")
async def test_netns_by_name_is_taken_or_refused(tmp_path):
    made, _, _ = networks(tmp_path, "netns")
    with pytest.raises(NetworkError, match=r"Operation not permitted.*--network auto"):
        await made.open([])
    assert recall(tmp_path / "network.json") is None


@pytest.mark.usefixtures("works")
async def test_netns_by_name_does_not_put_a_machine_elsewhere(tmp_path):
    made, _, slirp = networks(tmp_path, "netns", netns=["plug"])
    await made.open([])
    with pytest.raises(NetworkError, match="plug failed"):
        await made.plug(leg())
    assert slirp.asked == []


@pytest.mark.usefixtures("works")
@pytest.mark.parametrize("used", ["netns", "slirp"])
async def test_auto_keeps_the_driver_of_machines_that_live(tmp_path, used):
    made, netns, slirp = networks(tmp_path)
    living = [Living(leg(), 7, used)]
    await made.open(living)
    assert made.name == made.used_by(leg(99)) == used
    assert {"netns": netns, "slirp": slirp}[used].asked == [("open", living)]


@pytest.mark.usefixtures("works")
async def test_a_machine_keeps_its_driver_when_another_is_chosen(tmp_path):
    made, netns, slirp = networks(tmp_path, "slirp")
    await made.open([Living(leg(), 7, "netns")])
    assert (made.name, made.used_by(leg()), made.used_by(leg(21))) == ("slirp", "netns", "slirp")
    assert (await made.endpoint(leg(), 22, None), made.arguments(leg(21))) == (("netns", 22), ["slirp"])
    await made.unplug(leg())
    assert netns.asked[-1] == ("unplug", leg())
    assert made.used_by(leg()) == "slirp"  # the address is free for a machine of its own day
    await made.apply(Policy())
    assert ("apply", Policy()) in netns.asked
    assert ("apply", Policy()) in slirp.asked


@pytest.mark.usefixtures("works")
async def test_what_was_asked_for_is_remembered_until_something_else_is(tmp_path):
    made, _, _ = networks(tmp_path, "slirp")
    await made.open([])
    place = {"folder": tmp_path, "log_file": tmp_path / "log", "network": "172.16.64.0/18"}
    again = Networks.make(**place, memory=tmp_path / "network.json")
    assert (again.choice.setting, again.choice.outbound) == ("slirp", False)
    changed = Networks.make(**place, memory=tmp_path / "network.json", setting="auto", outbound=True)
    assert (changed.choice.setting, changed.choice.outbound) == ("auto", True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"driver": 1}'])
def test_a_damaged_memory_is_none(tmp_path, text):
    (tmp_path / "network.json").write_text(text)
    assert recall(tmp_path / "network.json") is None


def test_the_guest_sees_the_same_card_with_every_driver(tmp_path):
    """A saved memory fits only the devices that it was saved with."""
    netns = NetnsNetwork(tmp_path, tmp_path / "log", "172.16.64.0/18").arguments(leg())
    slirp = SlirpNetwork().arguments(leg())
    assert netns[2:] == slirp[2:]
    assert "vnet_hdr=off" in netns[1]
    assert "ifname=euac104014," in netns[1]


@pytest.mark.parametrize("address", ["172.16.0.5", "172.16.64.1", "172.16.128.1", "::1", "x", ""])
def test_an_address_outside_the_network_is_refused(tmp_path, address):
    driver = NetnsNetwork(tmp_path, tmp_path / "log", "172.16.64.0/18")
    with pytest.raises(NetworkError):
        driver.arguments(NetworkLeg("", address, tmp_path))


def test_the_memory_says_what_the_doctor_prints(tmp_path):
    choosing.remember(tmp_path / "n.json", choosing.Choice("slirp", "nftables not installed", missing=("nftables",)))
    assert json.loads((tmp_path / "n.json").read_text())["missing"] == ["nftables"]
    assert recall(tmp_path / "n.json").missing == ("nftables",)
