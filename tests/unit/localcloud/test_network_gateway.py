"""What the gateway and the network are told of machines, and the door to forwarded ports."""

import json

import pytest

from educloud_lab.localcloud.hypervisor.base import HypervisorError
from educloud_lab.localcloud.network.base import NetworkError
from educloud_lab.localcloud.network.policy import Opening, gateway_address
from educloud_lab.localcloud.work.gateway_files import GatewayFiles
from educloud_lab.localcloud.work.host_door import HostDoor
from educloud_lab.localcloud.work.network_view import gateway_ports, read_policy


class Network:
    """Notes policies; has a door for some addresses."""

    def __init__(self, door=None):
        self.policies = []
        self.refuses = False
        self._door = door

    def door(self, address):
        return self._door

    async def apply(self, policy):
        if self.refuses:
            raise NetworkError("not now")
        self.policies.append(policy)


class Host:
    """A hypervisor that forwards ports of the loopback."""

    reachable = True

    def __init__(self, fails=False):
        self.asked = []
        self.fails = fails

    async def endpoint(self, instance_id, port):
        self.asked.append((instance_id, port))
        if self.fails:
            raise HypervisorError("it is ending")
        return ("127.0.0.1", 40000 + port)


async def authorize(bench, first, last=None, action="AuthorizeSecurityGroupIngress", **more):
    rule = {"GroupName": "default", "IpProtocol": "tcp", "FromPort": str(first), "ToPort": str(last or first)}
    await bench.call(action, **(rule | {"CidrIp": "0.0.0.0/0"} | more))


async def published(bench, network, host, door=None):
    files = GatewayFiles(bench.service.cloud, host, network, door)
    await files.publish()
    return json.loads((bench.home / "cloud" / "gateway" / "routes.json").read_text()), files


async def test_a_group_without_rules_keeps_every_port_closed(bench, tmp_path):
    address = (await bench.instance(await bench.run()))["PrivateIpAddress"]
    host = Host()
    routes, _ = await published(bench, Network(), host, HostDoor(tmp_path / "d", host))
    assert routes == {f"{address}:*": "closed"}
    assert host.asked == []


async def test_ports_lead_to_the_networks_door(bench, tmp_path):
    await authorize(bench, 22)
    await authorize(bench, 8000, 8010)
    await authorize(bench, 8011, 8020)
    await authorize(bench, 9000, CidrIp="203.0.113.0/24")  # the gateway is not in there
    address = (await bench.instance(await bench.run()))["PrivateIpAddress"]
    routes, _ = await published(bench, Network(tmp_path / "net.sock"), Host())
    door = f"unix:{tmp_path}/net.sock"
    assert routes == {f"{address}:*": "closed", f"{address}:22": door, f"{address}:8000-8020": door}


async def test_without_a_door_of_the_network_ssh_leads_there_by_itself_and_other_ports_are_asked_for(bench, tmp_path):
    await authorize(bench, 22, 80)
    machine = await bench.run()
    address = (await bench.instance(machine))["PrivateIpAddress"]
    host = Host()
    door = HostDoor(tmp_path / "door.sock", host)
    routes, files = await published(bench, Network(), host, door)
    assert routes == {
        f"{address}:*": "closed",
        f"{address}:22": "127.0.0.1:40022",
        f"{address}:22-80": f"unix:{tmp_path}/door.sock",
    }
    assert await door._way(f"{address}:80") == {"address": "127.0.0.1:40080"}
    for closed in (f"{address}:81", "172.16.64.99:80"):
        assert "not open" in (await door._way(closed))["error"]
    await authorize(bench, 22, 80, action="RevokeSecurityGroupIngress")
    await files.publish()
    assert "not open" in (await door._way(f"{address}:80"))["error"]
    assert host.asked == [(machine, 22), (machine, 80)]


async def test_the_door_says_what_the_hypervisor_says(tmp_path):
    door = HostDoor(tmp_path / "d", Host(fails=True))
    door.ways = {"172.16.64.20": ("i-1", [(80, 80)])}
    assert await door._way("172.16.64.20:80") == {"error": "it is ending"}


async def test_the_network_gets_the_same_view_and_again_what_it_refused(bench, caplog):
    await authorize(bench, 22)
    address = (await bench.instance(await bench.run()))["PrivateIpAddress"]
    network = Network()
    network.refuses = True
    _, files = await published(bench, network, Host())
    await files.publish()
    assert [record.message for record in caplog.records if "not in force" in record.message] == [
        "What security groups say is not in force between machines: not now"
    ]
    network.refuses = False
    await files.publish()
    (policy,) = network.policies
    assert policy.openings == (Opening(address, "tcp", 22, 22, (), gateway=True),)
    assert policy.owners.keys() == {address}


async def test_a_group_opens_nothing_by_itself_and_machines_are_named_by_their_tag(bench):
    one, two = await bench.run(), await bench.run()
    await bench.call("CreateTags", ResourceId__1=one, Tag__1__Key="Name", Tag__1__Value="Data base")
    addresses = {(await bench.instance(machine))["PrivateIpAddress"] for machine in (one, two)}
    network = bench.service.settings.network
    policy = await bench.service.cloud.database.run(lambda session: read_policy(session, network))
    assert policy.openings == ()
    assert policy.owners.keys() == addresses
    assert "data-base" in {name for _, name, _ in policy.names}


def test_the_gateway_is_the_networks_first_address():
    assert gateway_address("172.16.64.0/18") == "172.16.64.1"


@pytest.mark.parametrize(
    ("ranges", "merged"),
    [
        ([(80, 90), (85, 100)], [(80, 100)]),
        ([(80, 90), (91, 100)], [(80, 100)]),
        ([(80, 90), (92, 100)], [(80, 90), (92, 100)]),
        ([(1, 65535), (22, 22)], [(1, 65535)]),
    ],
)
def test_ranges_of_ports_are_joined(ranges, merged):
    openings = [Opening("a", "tcp", first, last, (), gateway=True) for first, last in ranges]
    openings.append(Opening("a", "tcp", 5000, 6000, ("b",), gateway=False))
    assert gateway_ports(openings) == {"a": merged}
