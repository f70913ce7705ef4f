"""Machines and their network: who reaches whom, by what, and what survives; with both drivers.

Three machines, two of one person and one of somebody else. What groups say is tried with real packets between real
machines, and by a person's own tools through the gateway.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.by_hand import Desk, kill_api, let_in
from tests.system.conftest import Bench, wait_for

pytestmark = pytest.mark.qemu

ME = "curl -s -m 5 http://169.254.169.254/latest/meta-data/instance-id"


def forbidden_here() -> str:
    """Why this computer allows this user no namespaces with cards; '' when it does. Missing programs are a failure."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    tools = ("unshare", "nsenter", "ip", "nft", "slirp4netns")
    missing = [tool for tool in tools if not shutil.which(tool, path=path)]
    if missing:
        pytest.fail(
            f"{' and '.join(missing)} not found. Install: apt-get install util-linux iproute2 nftables slirp4netns"
        )
    command = ["unshare", "--user", "--map-root-user", "--net", "ip", "link", "set", "lo", "up"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": path})
    if tried.returncode:
        return f"the kernel forbids user namespaces to this user ({tried.stderr.strip()})"
    return "" if os.access("/dev/net/tun", os.R_OK | os.W_OK) else "/dev/net/tun cannot be opened by this user"


@dataclass
class Street:
    """Two machines of one person, one of another."""

    mine: Desk
    theirs: Desk
    one: str
    two: str
    other: str
    one_id: str
    two_id: str
    other_id: str
    masters: Path

    def quick(self, desk: Desk, address: str, command: str) -> str:
        """Run a command over one connection that stays: a login takes seconds in software emulation."""
        shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={self.masters}/%C", "-o", "ControlPersist=300"]
        ssh, *rest = desk.ssh_command(address, command)
        done = subprocess.run(
            [ssh, *shared, *rest], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        return done.stdout

    def hang_up(self) -> None:
        """End the connections that stayed."""
        for socket in self.masters.iterdir():
            command = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"]
            subprocess.run(command, capture_output=True, check=False, timeout=20)

    def pings(self, desk: Desk, source: str, target: str) -> bool:
        said = self.quick(desk, source, f"sudo busybox ping -c 2 -W 2 {target}")
        assert "packet loss" in said or "bad address" in said or "unreachable" in said, said
        return " 0% packet loss" in said

    def fetches(self, desk: Desk, source: str, target: str, port: int = 8000) -> bool:
        said = self.quick(desk, source, f"timeout 5 curl -s http://{target}:{port}/hello; echo asked")
        assert said.endswith("asked\n"), said
        return said == f"hello from {self.one_id}\nasked\n"

    def tunnelled(self, desk: Desk, address: str, port: int = 8000) -> subprocess.CompletedProcess[str]:
        """Ask a machine's web server through the gateway alone, as ``ssh -W`` does."""
        host, number = desk.gateway.removeprefix("gateway@").split(":")
        command = ["ssh", "-F", str(desk.folder / "ssh_config"), "-o", "LogLevel=INFO"]
        return subprocess.run(
            [*command, "-p", number, "-W", f"{address}:{port}", f"gateway@{host}"],
            input="GET /hello HTTP/1.0\r\n\r\n",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def rule(self, what: str, **changes: object) -> None:
        """Authorize or revoke a rule of my machines' own group."""
        rule = {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8000, "CidrIp": "0.0.0.0/0"} | changes
        getattr(self.mine.ec2, f"{what}_security_group_ingress")(GroupName="web", **rule)


def open_street(bench: Bench, folder: Path, network: str) -> Street:
    started = bench.educloud("cloud", "start", "--network", network, check=False)
    assert started.returncode == 0, started.stdout + started.stderr
    mine = Desk.open(bench, folder / "mine", "my key")
    theirs = Desk.open(bench, folder / "theirs", "their key", account="eucalyptus")
    # My first machine serves in a group of its own, so that what my second one reaches of it is for rules to say.
    mine.ec2.create_security_group(GroupName="web", Description="serves pages")
    let_in(mine.ec2, 22, group="web")
    image = mine.image("tiny")["ImageId"]
    (row,) = mine.ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, KeyName="my key", SecurityGroups=["web"], InstanceType="t2.nano"
    )["Instances"]
    one_id, two_id, other_id = row["InstanceId"], mine.run("tiny"), theirs.run("tiny")
    one, two, other = mine.wait_login(one_id), mine.wait_login(two_id), theirs.wait_login(other_id)
    serve = f"mkdir -p ~/www && echo hello from {one_id} > ~/www/hello && busybox httpd -p 8000 -h ~/www"
    mine.ssh(one, serve)
    masters = Path(tempfile.mkdtemp(prefix="ssh"))  # a short path: sockets lie in it
    return Street(mine, theirs, one, two, other, one_id, two_id, other_id, masters)


@pytest.fixture(scope="module")
def street(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    if reason := forbidden_here():
        # Nothing of netns can be tried on such a computer: slirp, which it falls back to, is tested below.
        pytest.skip(f"netns could not be tried: {reason}")
    opened = open_street(module_bench, tmp_path_factory.mktemp("desks"), "netns")
    yield opened
    opened.hang_up()
    opened.masters.rmdir()


def test_every_machine_has_its_own_metadata_and_names(street: Street) -> None:
    for desk, address, instance_id in (
        (street.mine, street.one, street.one_id),
        (street.mine, street.two, street.two_id),
        (street.theirs, street.other, street.other_id),
    ):
        assert street.quick(desk, address, ME) == instance_id
    names = f"getent hosts ip-{street.one.replace('.', '-')}; getent hosts {street.one_id}"
    assert [line.split()[0] for line in street.quick(street.mine, street.two, names).splitlines()] == [street.one] * 2
    assert street.quick(street.theirs, street.other, f"{names}; echo asked") == "asked\n"


def test_groups_decide_between_machines_and_at_the_gateway(street: Street) -> None:
    mine, theirs, one, two, other = street.mine, street.theirs, street.one, street.two, street.other
    by_name = f"ip-{one.replace('.', '-')}"
    assert not street.pings(mine, two, one)
    assert not street.fetches(mine, two, one)
    assert "security groups" in street.tunnelled(mine, one).stderr

    street.rule("authorize")
    street.rule("authorize", IpProtocol="icmp", FromPort=-1, ToPort=-1)
    wait_for("the page to be reached by the machine next door", lambda: street.fetches(mine, two, one))
    assert street.fetches(mine, two, by_name)
    assert street.pings(mine, two, by_name)
    assert f"hello from {street.one_id}" in street.tunnelled(mine, one).stdout
    # To everybody is not to somebody else's machines, nor to somebody else's key.
    assert not street.pings(theirs, other, one)
    assert not street.fetches(theirs, other, one)
    refused = street.tunnelled(theirs, one)
    assert (refused.stdout, refused.returncode) == ("", 255)

    street.rule("revoke")
    wait_for("the page to be out of reach", lambda: not street.fetches(mine, two, one))
    wait_for("the gateway to refuse it", lambda: "security groups" in street.tunnelled(mine, one).stderr)
    assert mine.ssh(one, "id -un") == "student\n"  # port 22 is still open


def test_a_group_that_is_named_lets_another_owners_machines_in(street: Street) -> None:
    pair = {
        "UserId": street.theirs.ec2.describe_security_groups()["SecurityGroups"][0]["OwnerId"],
        "GroupName": "default",
    }
    rule = [{"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8000, "UserIdGroupPairs": [pair]}]
    street.mine.ec2.authorize_security_group_ingress(GroupName="web", IpPermissions=rule)
    wait_for("their machine to be let in", lambda: street.fetches(street.theirs, street.other, street.one))
    street.mine.ec2.revoke_security_group_ingress(GroupName="web", IpPermissions=rule)
    wait_for("their machine to be kept out", lambda: not street.fetches(street.theirs, street.other, street.one))


def test_a_false_address_leads_nowhere(street: Street) -> None:
    """A machine that gives itself my second one's address neither reaches my first nor learns who I am."""
    street.rule("authorize")
    wait_for("the page to be reached", lambda: street.fetches(street.mine, street.two, street.one))
    fake = f"sudo ip addr add {street.two}/32 dev eth0"
    street.quick(street.theirs, street.other, fake)
    spoof = f"curl -s -m 4 --interface {street.two} http://{{}}; echo asked"
    page = street.quick(street.theirs, street.other, spoof.format(f"{street.one}:8000/hello"))
    who = street.quick(street.theirs, street.other, spoof.format("169.254.169.254/latest/meta-data/instance-id"))
    assert (page, who) == ("asked\n", "asked\n")
    assert street.quick(street.theirs, street.other, ME) == street.other_id
    street.quick(street.theirs, street.other, fake.replace(" add ", " del "))
    assert street.fetches(street.mine, street.two, street.one)  # and mine is not disturbed
    street.rule("revoke")


def test_there_is_no_outside_unless_it_is_wanted(street: Street) -> None:
    """Neither the computer's own services, nor what lies behind it."""
    api = street.mine.bench.cloud["endpoint_url"].split("/")[2]
    for place in (api, api.replace("127.0.0.1", "10.0.2.2"), "192.0.2.1", "10.0.2.3:53"):
        said = street.quick(street.mine, street.one, f"curl -s -m 3 -o /dev/null http://{place}/; echo $?")
        assert said.strip() in {"7", "28"}, place  # refused, or no answer: curl(1)


def test_machines_keep_their_network_when_its_process_and_the_clouds_are_killed(street: Street) -> None:
    mine, bench = street.mine, street.mine.bench
    street.rule("authorize")
    wait_for("the page to be reached", lambda: street.fetches(mine, street.two, street.one))
    routes = json.loads((bench.home / "cloud/gateway/routes.json").read_text())
    record = Path(routes[f"{street.one}:22"].removeprefix("unix:")).with_name("net.json")
    session = subprocess.Popen(
        mine.ssh_command(street.one, "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert session.stdin is not None
    assert session.stdout is not None

    def echoes(text: str) -> bool:
        session.stdin.write(f"{text}\n")
        return session.stdout.readline() == f"{text}\n"

    try:
        assert echoes("before")
        holder = json.loads(record.read_text())["pid"]
        os.kill(holder, signal.SIGKILL)
        wait_for("another process to hold the network", lambda: json.loads(record.read_text())["pid"] != holder)
        assert echoes("without the network's process")
        wait_for("a new login", lambda: mine.try_ssh(street.two, "true").returncode == 0)
        assert mine.ssh(street.two, ME) == street.two_id

        # Now both at once: whoever comes next finds the namespaces by the machines that live in them.
        kill_api(bench)
        os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
        assert echoes("without any")
        bench.educloud("cloud", "start")
        wait_for("a new login", lambda: mine.try_ssh(street.two, "true").returncode == 0)
        assert echoes("after")
    finally:
        session.kill()
        session.communicate()
    assert street.quick(mine, street.two, ME) == street.two_id
    wait_for("the rule to be in force", lambda: street.fetches(mine, street.two, street.one))
    assert not street.fetches(street.theirs, street.other, street.one)


def test_the_network_ends_with_the_last_machine(street: Street) -> None:
    bench = street.mine.bench
    street.hang_up()
    bench.educloud("cloud", "reset", "--yes")

    def left() -> list[str]:
        found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return [line for line in found.splitlines() if "network.holder" in line and str(bench.home) in line]

    wait_for("the network's process to end", lambda: not left())


def test_without_namespaces_machines_are_alone_and_groups_still_decide_at_the_gateway(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bench.educloud("cloud", "start", "--network", "slirp")
    desk = Desk.open(bench, tmp_path_factory.mktemp("desk"), "key")
    machine = desk.run("tiny")
    address = desk.wait_login(machine)
    street = Street(desk, desk, address, "", "", machine, "", "", Path())
    desk.ssh(address, f"mkdir ~/www && echo hello from {machine} > ~/www/hello && busybox httpd -p 8000 -h ~/www")
    assert desk.ssh(address, ME) == machine
    assert "security groups" in street.tunnelled(desk, address).stderr
    let_in(desk.ec2, 8000)
    wait_for("the page", lambda: f"hello from {machine}" in street.tunnelled(desk, address).stdout)
    desk.ec2.revoke_security_group_ingress(
        GroupName="default", IpProtocol="tcp", FromPort=8000, ToPort=8000, CidrIp="0.0.0.0/0"
    )
    wait_for("the gateway to refuse it", lambda: "security groups" in street.tunnelled(desk, address).stderr)
    assert "slirp" in bench.educloud("cloud", "status").stdout
