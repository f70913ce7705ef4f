"""Checks are judged by the broker: each form as it holds and as it does not; unknown is never failed (I5)."""

import asyncio
import logging
from dataclasses import replace

import pytest

from educloud_lab.adapters.memory.world import PROFILE
from educloud_lab.broker import owning
from educloud_lab.broker.checks import outcome, own, use
from educloud_lab.broker.checks.groups import opened
from educloud_lab.broker.checks.outcome import EVALUATORS, Outcome, shown
from educloud_lab.broker.checks.scene import Scene
from educloud_lab.broker.owning import Role
from educloud_lab.domain.check_forms import FORMS
from educloud_lab.domain.errors import CloudUnreachableError, MachineUnreachableError, NotFoundError
from educloud_lab.ports.cloud import GroupSeen, InstanceState, RuleSeen, RunSpec
from educloud_lab.ports.shell import Knocked, Way
from educloud_lab.wire import models as wire

GIB = 1024**3
WEB = replace(PROFILE, ports=(80,))
ANYWHERE = ("0.0.0.0/0",)


class Rig:
    """A world with one broker, and ann's machine."""

    def __init__(self, world, broker):
        self.world, self.broker = world, broker

    async def check(self, *lines, person="ann", whose="ann", drive_s=60.0):
        task = asyncio.ensure_future(self.broker.checks.check(person, self.world.lease(whose).id, list(lines)))
        await self.world.clock.drive(task.done, limit_s=drive_s)
        return task.result()

    async def one(self, line, **named):
        return (await self.check(line, **named)).results[0]

    async def holds(self, *lines):
        for result in (await self.check(*lines)).results:
            assert result.state == "passed", result
            assert result.next_step == ""

    async def fails(self, *lines):
        for result in (await self.check(*lines)).results:
            assert result.state == "failed", result
            assert result.seen
            assert result.next_step

    async def unknown(self, *lines):
        for result in (await self.check(*lines)).results:
            assert result.state == "unknown", result
            assert result.next_step

    @property
    def machine(self):
        return self.world.machine()

    async def by_hand(self, **tags):
        """Make an instance and a volume as somebody does with boto3."""
        cloud = self.world.cloud
        await cloud.ensure_group("default")
        spec = RunSpec("emi-00000001", "t2.micro", "one", "", tags, "default")
        seen = await cloud.run_instance(spec, client_token=f"by hand {tags}")
        volume = await cloud.create_volume(size_gib=2, zone="one", tags=tags)
        await self.world.clock.advance(2.0)
        return seen.instance_id, volume.volume_id


@pytest.fixture
async def rig(world):
    broker = await world.broker(profiles=[WEB])
    await broker.ensure_lease("ann", wire.LeaseRequest(lab="lab", machine_profile="first-steps", start=True))
    await world.until(broker, "ready")
    return Rig(world, broker)


def audits(rig):
    return [row for row in rig.world.store.peek().audits.values() if row.what == "machine.checked"]


def test_every_form_has_exactly_one_evaluator():
    assert set(EVALUATORS) == {form.name for form in FORMS}
    with pytest.raises(ValueError, match="two evaluators"):
        outcome.judges("port-answers")(own.machine_ready)


async def test_every_example_is_judged_without_breaking(rig, caplog):
    caplog.set_level(logging.ERROR)
    lines = [example for form in FORMS for example in (form.example, *form.more)]
    report = await rig.check(*lines)
    assert [result.text for result in report.results] == lines
    assert not any("broke" in result.seen for result in report.results)
    assert not caplog.records
    assert report.passed == sum(result.state == "passed" for result in report.results)
    assert (report.lab, report.person) == ("lab", "ann")


async def test_the_machine_and_its_volume(rig):
    await rig.holds("the machine is ready", "your volume is at least 1 GiB", "your volume is at least 1024 MiB")
    await rig.holds("/data is mounted from your volume", "/data/ is mounted", "/mnt is not mounted")
    await rig.fails("the machine is asleep", "the machine is not ready", "your volume is at least 2 GiB")
    await rig.fails("/mnt is mounted from your volume", "/mnt is mounted", "the machine in slot web is ready")
    places = {r.judged_from for r in (await rig.check("the machine is ready", "/data is mounted")).results}
    assert places == {"the cloud", "the machine"}


async def test_asleep_nothing_on_it_is_called_wrong(rig):
    await rig.broker.stop("ann", rig.world.lease().id)
    await rig.world.until(rig.broker, "asleep")
    calls = list(rig.world.shell.scripts)
    await rig.holds("the machine is asleep", "the machine is not ready", "your volume is at least 1 GiB")
    await rig.fails("the machine is ready")
    await rig.unknown("port 80 answers", "port 80 does not answer", "/data is mounted", "file /x does not exist")
    await rig.unknown("command 'true' succeeds", "host web answers from your machine")
    assert rig.world.shell.scripts == calls


async def test_a_record_of_a_running_machine_is_not_believed_against_the_cloud(rig):
    cloud = rig.world.cloud
    row = cloud._instances[rig.world.lease().instance_id]
    row.seen = replace(row.seen, state=InstanceState.SHUTTING_DOWN)
    result = await rig.one("the machine is ready")
    assert (result.state, "shutting-down" in result.seen) == ("failed", True)


async def test_a_cloud_out_of_sight_fails_nobody(rig):
    rig.world.cloud.faults.out_of_sight = True
    await rig.unknown("the machine is ready", "a volume tagged Name=extra is gone", "your volume is at least 9 GiB")
    await rig.holds("/data is mounted from your volume")


async def test_a_machine_that_cannot_be_reached_fails_nobody(rig):
    rig.machine.hung = True
    await rig.unknown("/data is mounted", "process nginx does not run", "port 22 answers")
    await rig.holds("the machine is ready")


async def test_a_connection_that_breaks_fails_nobody(rig):
    rig.world.shell.break_before["check-mounted"] = 1
    await rig.unknown("/data is mounted")


async def test_snapshots_by_their_names(rig):
    await rig.fails('a snapshot "before lab 3" exists')
    await rig.broker.volumes.snapshot("ann", rig.world.lease().id, wire.SnapshotRequest(name="before lab 3"))
    done = lambda: [row.state for row in rig.world.store.peek().snapshots.values()] == ["completed"]  # noqa: E731
    await rig.world.clock.drive(done, limit_s=60.0)
    await rig.holds('a snapshot "before lab 3" exists', 'there is no snapshot "before lab 4"')
    await rig.fails('a snapshot "before lab 3" does not exist')
    result = await rig.one('a snapshot "before lab 4" exists')
    assert "'before lab 3'" in result.seen


async def test_security_groups_of_the_machine(rig):
    cloud = rig.world.cloud
    name = next(iter(cloud._instances.values())).seen.groups[0]
    ssh = RuleSeen("tcp", 22, 22, ANYWHERE)
    icmp = RuleSeen("icmp", -1, -1, ANYWHERE)
    cloud.group_rules[name] = [ssh, icmp]
    await rig.holds("the group allows only 22", "the group does not allow 80", f"your machine is in the group {name}")
    await rig.fails("the group allows only 22 and 80", "the group allows 22 and 80", "the group does not allow 22, 80")
    for line in ("the group allows only 22", f"your machine is in the group {name}"):
        assert name in (await rig.one(line)).seen  # long as it is
    cloud.group_rules[name] = [ssh, icmp, RuleSeen("tcp", 80, 80, ANYWHERE)]
    await rig.holds("the group allows only 22 and 80", "the group allows 80")
    await rig.fails("the group allows only 22", "the group does not allow 80")
    cloud.group_rules[name] = [RuleSeen("-1", -1, -1, ("web",))]
    await rig.holds("the group allows 22 and 80 and 65535")
    await rig.fails("the group allows only 22")
    cloud.group_rules[name] = [ssh, RuleSeen("udp", 53, 53, ANYWHERE)]
    await rig.fails("the group allows only 22", "the group allows 53")
    cloud.group_rules[name] = [ssh, RuleSeen("tcp", 80, 80, ())]
    await rig.holds("the group allows only 22")


async def test_another_protocol_does_not_stand_in_for_tcp(rig):
    cloud = rig.world.cloud
    name = next(iter(cloud._instances.values())).seen.groups[0]
    cloud.group_rules[name] = [RuleSeen("udp", 22, 22, ANYWHERE)]
    await rig.fails("the group allows only 22")
    cloud.group_rules[name] = [RuleSeen("TCP", 22, 22, ANYWHERE)]
    await rig.holds("the group allows only 22", "the group allows 22")


async def test_a_group_that_the_cloud_does_not_show_leaves_it_open(rig):
    cloud = rig.world.cloud
    row = next(iter(cloud._instances.values()))
    cloud.group_rules[row.seen.groups[0]] = [RuleSeen("tcp", 22, 22, ANYWHERE)]
    row.seen = replace(row.seen, groups=(*row.seen.groups, "not shown"))
    await rig.unknown("the group allows only 22", "the group does not allow 80")


def test_ranges_are_joined_where_they_meet():
    rules = [RuleSeen("tcp", first, last, ANYWHERE) for first, last in ((80, 80), (22, 22), (81, 90), (85, 86))]
    assert opened([GroupSeen("", "", tuple(rules))], tcp_only=True) == [(22, 22), (80, 90)]


async def test_named_groups_and_key_pairs(rig):
    await rig.fails('the group "web" exists', 'the group "web" allows 80', 'the key pair "mine" exists')
    await rig.fails('the group "web" does not allow 80')  # nothing can be said of what is not there
    await rig.world.cloud.ensure_group("web")
    rig.world.cloud.keys.add("mine")
    await rig.holds('the group "web" exists', 'the group "web" allows only 22', 'the key pair "mine" exists')
    await rig.fails('the group "web" does not allow 22', 'the key pair "mine" does not exist')


async def test_things_made_by_hand_are_found_by_their_tags(rig):
    await rig.fails("an instance tagged Name=web runs", "a volume tagged Name=web is available")
    instance_id, volume_id = await rig.by_hand(Name="web")
    cloud, clock = rig.world.cloud, rig.world.clock
    await rig.holds("an instance tagged Name=web runs", "a volume tagged Name=web is available")
    await rig.holds("the instance tagged Name=web has the type t2.micro", "a volume tagged Name=web is at least 2 GiB")
    await rig.holds('the instance tagged Name=web is in the group "default"')
    await rig.fails("the instance tagged Name=web is stopped", "the instance tagged Name=web is gone")
    await rig.fails("the volume tagged Name=web is gone", "the volume tagged Name=web was made from a snapshot")
    await cloud.attach_volume(volume_id, instance_id, "/dev/vdg")
    await clock.advance(1.0)
    await rig.holds("the volume tagged Name=web is attached to the instance tagged Name=web")
    await rig.fails("a volume tagged Name=web is attached to your machine", "a volume tagged Name=web is available")
    await cloud.detach_volume(volume_id, instance_id)
    await clock.advance(1.0)
    await cloud.attach_volume(volume_id, rig.world.lease().instance_id, "/dev/vdg")
    await clock.advance(1.0)
    await rig.holds("a volume tagged Name=web is attached to your machine")
    rig.machine.mounts["/mnt/extra"] = volume_id
    await rig.holds("/mnt/extra is mounted from the volume tagged Name=web")
    await rig.holds("/mnt/extra is not mounted from your volume")
    await rig.fails("/data is mounted from the volume tagged Name=web")
    del rig.machine.mounts["/mnt/extra"]
    await rig.fails("a snapshot of the volume tagged Name=web exists", "a snapshot tagged Name=copy exists")
    await cloud.create_snapshot(volume_id, description="x", tags={"Name": "copy"})
    await rig.fails("a snapshot of the volume tagged Name=web exists")
    await clock.advance(2.0)
    await rig.holds("a snapshot of the volume tagged Name=web exists", "a snapshot tagged Name=copy exists")
    await cloud.detach_volume(volume_id, rig.world.lease().instance_id)
    await clock.advance(1.0)
    await cloud.delete_volume(volume_id)
    await cloud.terminate_instance(instance_id)
    await clock.advance(5.0)
    await rig.holds("a volume tagged Name=web is gone", "the instance tagged Name=web is gone")
    await rig.fails("an instance tagged Name=web runs")


async def test_images_by_name_and_tag(rig):
    rig.world.cloud.image_tags["Name"] = "our own"
    await rig.holds('the image "tiny" exists', 'the image tagged Name="our own" exists')
    await rig.fails('the image "huge" exists', "the image tagged Name=x exists")


async def test_gone_is_believed_after_two_looks_only(rig):
    rig.world.cloud.calls.clear()
    await rig.holds("a volume tagged Name=extra is gone")
    assert rig.world.cloud.calls["observe"] >= 2


async def test_what_runs_is_not_called_at_rest_after_one_look_without_it(rig, monkeypatch):
    await rig.by_hand(Name="web")
    await rig.world.clock.advance(5.0)
    look, looks = rig.world.cloud.observe, []

    async def lags_once():
        looks.append(await look())
        return replace(looks[-1], instances={}) if len(looks) == 1 else looks[-1]

    monkeypatch.setattr(rig.broker.checks._parts.sight, "look", lags_once)
    await rig.fails("an instance tagged Name=web does not run")
    assert len(looks) == 2


async def test_an_instance_that_is_not_shown_is_not_asleep_for_certain(rig):
    await rig.broker.stop("ann", rig.world.lease().id)
    await rig.world.until(rig.broker, "asleep")
    await rig.holds("the machine is asleep")
    del rig.world.cloud._instances[rig.world.lease().instance_id]
    await rig.unknown("the machine is asleep")


async def test_one_look_serves_all_lines(rig):
    await rig.world.clock.advance(30.0)
    rig.world.cloud.calls.clear()
    lines = ["the machine is ready", "the group allows only 22", "an instance tagged a=b runs", "the group allows 22"]
    task = asyncio.ensure_future(rig.broker.checks.check("ann", rig.world.lease().id, lines))
    await rig.world.clock.drive(task.done, limit_s=10.0)
    assert rig.world.cloud.calls["security_groups"] == 1
    assert rig.world.cloud.calls["observe"] <= 2  # the reconciler may look as well


async def test_ports_through_the_gateway_and_on_the_machine(rig):
    await rig.fails("port 80 answers", "port 8080 answers", 'port 80 answers with "Hello"')
    await rig.holds("port 80 does not answer")
    rig.machine.listens.update({"*:80": b"HTTP/1.0 200 OK\r\n\r\nHello there", "*:8080": b"hi"})
    group = next(iter(rig.world.cloud._instances.values())).seen.groups[0]
    rig.world.cloud.groups[group] = (80,)
    outside, inside = (await rig.check("port 80 answers", "port 8080 answers")).results
    assert (outside.state, outside.judged_from) == ("passed", "the gateway")
    assert (inside.state, inside.judged_from) == ("passed", "the machine")
    await rig.holds('port 80 answers with "Hello"', 'port 8080 answers with "hi"')
    result = await rig.one('port 80 answers with "Bye"')
    assert (result.state, "Hello there" in result.seen) == ("failed", True)
    await rig.fails("port 80 does not answer")


async def test_a_closed_group_is_said(rig):
    rig.machine.listens["*:80"] = b"x"
    rig.world.cloud.faults.closed_port = True
    result = await rig.one("port 80 answers")
    assert (result.state, result.judged_from) == ("failed", "the gateway")
    assert "security groups" in result.seen
    await rig.holds("port 80 does not answer")


async def test_what_the_gateway_says_counts_for_a_port_that_it_leads_to(rig, monkeypatch):
    rig.machine.listens["*:80"] = b"x"

    def says(answer):
        async def knock(_grant, _port, **_named):
            if isinstance(answer, Exception):
                raise answer
            return Knocked(answer)

        monkeypatch.setattr(rig.world.shell, "knock", knock)

    says(Way.SILENT)
    await rig.fails("port 80 answers")
    says(Way.REFUSED)
    assert "from outside" in (await rig.one("port 80 answers")).seen
    says(Way.NONE)
    assert (await rig.one("port 80 answers")).judged_from == "the machine"
    says(MachineUnreachableError("The gateway did not answer in time.", next_step="Try again."))
    await rig.unknown("port 80 answers", "port 80 does not answer")
    await rig.holds("port 8080 does not answer")


async def test_a_program_on_the_loopback_only_answers_nobody(rig):
    rig.machine.listens["127.0.0.1:8080"] = b"x"
    result = await rig.one("port 8080 answers")
    assert (result.state, "127.0.0.1 only" in result.seen) == ("failed", True)


async def test_ports_and_names_of_other_hosts(rig):
    rig.machine.listens["web:80"] = b"HTTP/1.0 200 OK\r\n\r\nHello"
    rig.machine.neighbours.add("web")
    await rig.holds("port 80 of web answers from your machine", "host web answers from your machine")
    await rig.holds('port 80 of web answers with "Hello" from your machine')
    await rig.holds("host db does not answer from your machine")
    await rig.fails("port 81 of web answers from your machine", "port 80 of x.unknown answers from your machine")


async def test_files_and_folders(rig):
    files = rig.machine.files
    files["/data/hello.txt"] = ("file", "student", "644", "hello world\n")
    files["/data/site"] = ("folder", "root", "755", "")
    files["/home/student/notes"] = ("file", "student", "600", "x")
    await rig.holds("file /data/hello.txt exists", 'file /data/hello.txt contains "hello"', "folder /data/site exists")
    await rig.holds("file /data/hello.txt belongs to student", "file /data/hello.txt has mode 0644")
    await rig.holds("file ~/notes has mode 600", "file /data/no does not exist", "folder /data/site belongs to root")
    await rig.fails('file /data/hello.txt contains "Hello"', "file /data/site exists", "folder /data/hello.txt exists")
    await rig.fails("file /data/hello.txt belongs to root", "file /data/hello.txt has mode 600")
    await rig.fails("file ~/no has mode 600")
    assert "hello world" not in (await rig.one('file /data/hello.txt contains "x"')).seen


async def test_commands_run_as_the_login_user(rig):
    rig.machine.commands["hostname"] = (0, "web\n")
    rig.machine.commands["false"] = (1, "")
    rig.machine.commands["sleep 99"] = (137, "")
    await rig.holds("command 'hostname' succeeds", "command 'hostname' prints \"web\"", "command 'false' fails")
    await rig.fails("command 'false' succeeds", "command 'nginx -v' succeeds", "command 'hostname' prints \"db\"")
    await rig.unknown("command 'sleep 99' succeeds", "command 'sleep 99' fails")
    assert "no such command" in (await rig.one("command 'nginx -v' succeeds")).seen


async def test_a_shells_complaint_is_not_what_a_command_printed(rig):
    for status in (127, 126):
        rig.machine.commands["nginx -v"] = (status, "bash: line 1: nginx: command not found\n")
        await rig.fails("command 'nginx -v' prints \"nginx\"")


async def test_what_the_machine_does_not_tell_is_left_open(rig, monkeypatch):
    async def ask(_scene, name, *_more, **_named):
        told = {"kind": "file", "owner": "-", "mode": "-", "size": "0", "holds": "-"}
        return told if name == "check-file" else {"by": "systemd", "state": "unknown"}

    monkeypatch.setattr(Scene, "ask", ask)
    await rig.unknown("file /x belongs to root", "file /x does not belong to root", "file /x has mode 600")
    await rig.unknown("file /x does not have mode 600", "service x is active", "service x is not active")


async def test_processes_services_packages_users(rig):
    machine = rig.machine
    machine.processes += ["nginx", "nginx"]
    machine.packages.add("curl")
    machine.users["alice"] = {"alice", "sudo"}
    await rig.holds("process nginx runs", "service nginx is active", "package curl is installed", "user alice exists")
    await rig.holds("user alice is in group sudo", "process apache2 does not run", "package vim is not installed")
    await rig.fails("process apache2 runs", "service apache2 is active", "user bob exists")
    await rig.fails("user alice is in group adm")
    machine.services = {"nginx": "failed", "cron": "active"}
    await rig.holds("service cron is active", "service nginx is not active")


async def test_what_the_machine_says_is_shown_without_escapes_and_secrets(rig):
    rig.machine.commands["x"] = (1, "\x1b]0;owned\x07\x1b[31mevil\u202e password: hunter2\x1b[0m\n")
    seen = (await rig.one("command 'x' succeeds")).seen
    assert "hunter2" not in seen
    assert "\x1b" not in seen
    assert "\u202e" not in seen
    assert "evil" in seen
    assert shown("a\x1b[2Jb\n\nc " + "d " * 300).startswith("ab c d")
    assert len(shown("word " * 300)) == 200


async def test_lines_that_are_not_understood_stand_beside_the_others(rig):
    bad, good = (await rig.check("port eighty answers", "the machine is ready")).results
    assert (bad.state, good.state) == ("unknown", "passed")
    assert bad.next_step == "Did you mean: port 80 answers"


async def test_a_bug_in_one_evaluator_leaves_the_others(rig, monkeypatch, caplog):
    async def broken(_scene, _said):
        raise ZeroDivisionError

    monkeypatch.setitem(EVALUATORS, "port-answers", broken)
    bad, good = (await rig.check("port 80 answers", "the machine is ready")).results
    assert (bad.state, good.state) == ("unknown", "passed")
    assert "port-answers" in caplog.text


async def test_what_takes_too_long_is_left_open(rig, monkeypatch):
    async def endless(_scene, _said):
        await asyncio.Event().wait()

    monkeypatch.setitem(EVALUATORS, "port-answers", endless)
    bad, good = (await rig.check("port 80 answers", "the machine is ready")).results
    assert (bad.state, good.state) == ("unknown", "passed")
    assert "within 20 s" in bad.seen


async def test_the_connection_is_closed_whatever_happens(rig):
    before = set(rig.world.frontend.connections)
    await rig.check("/data is mounted", "process x runs")
    assert set(rig.world.frontend.connections) == before


# Who may


async def test_who_oversees_the_course_checks_another_persons_machine_and_it_is_written_down(rig):
    report = await rig.check("the machine is ready", person="ida")
    assert (report.person, report.passed) == ("ann", 1)
    rows = audits(rig)
    assert [(row.who, row.whose, row.detail) for row in rows] == [("ida", "ann", "the machine is ready")]
    await rig.check("the machine is ready")
    assert len(audits(rig)) == 1


async def test_a_student_checks_nobody_elses_machine(rig, monkeypatch):
    monkeypatch.setattr(owning, "role_of", lambda _tx, _parts, person: Role.STUDENT if person == "bob" else None)
    for call in (
        rig.broker.checks.check("bob", rig.world.lease().id, ["the machine is ready"]),
        rig.broker.checks.check("bob", "no-such", ["the machine is ready"]),
        rig.broker.checks.machines("bob", "lab"),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert not audits(rig)
    assert (await rig.check("the machine is ready")).passed == 1


async def test_the_machines_of_a_lab_are_listed_for_those_who_oversee_it(rig):
    listed = await rig.broker.checks.machines("ida", "lab")
    assert [(m.person, m.slot, m.phase) for m in listed.machines] == [("ann", "main", "ready")]
    assert (await rig.broker.checks.machines("ida", "other")).machines == []


async def test_other_peoples_things_are_not_told_of(rig):
    """Their lease's tags make them theirs, whatever else they are tagged with (I6)."""
    await rig.broker.ensure_lease("ben", wire.LeaseRequest(lab="lab", machine_profile="first-steps", start=True))
    await rig.world.until(rig.broker, "ready", person="ben")
    theirs, mine = rig.world.lease("ben"), rig.world.lease("ann")
    for lease in (theirs, mine):
        await rig.world.cloud.tag(lease.instance_id, {"Role": lease.person})
    await rig.holds("an instance tagged Role=ann runs", "the instance tagged Role=ben is gone")
    result = await rig.one("an instance tagged Role=ben runs")
    assert result.state == "failed"
    assert theirs.instance_id not in result.seen


async def test_in_an_institutions_account_only_own_things_are_told_of(world):
    broker = await world.broker(profiles=[WEB], course="physics")
    await broker.ensure_lease("ann", wire.LeaseRequest(lab="lab", machine_profile="first-steps", start=True))
    await world.until(broker, "ready")
    rig = Rig(world, broker)
    await rig.by_hand(Name="web")
    world.cloud.keys.add("mine")
    await rig.fails("an instance tagged Name=web runs")
    await rig.unknown('the key pair "mine" exists', 'the group "default" exists')
    await rig.holds("the machine is ready")


async def test_errors_of_the_shell_and_the_cloud_are_their_own_words(rig, monkeypatch):
    for error in (CloudUnreachableError("No answer.", next_step="Wait."), MachineUnreachableError("Nobody.")):

        async def failing(_scene, _said, error=error):
            raise error

        monkeypatch.setitem(EVALUATORS, "mounted", failing)
        result = await rig.one("/data is mounted")
        assert (result.state, result.seen) == ("unknown", error.what)


def test_addresses_of_servers_are_left_out_of_errors():
    for words in (
        "[Errno 111] Connect call failed ('127.0.0.1', 2222).",
        "http://10.0.0.7:8773/services/compute did not answer.",
        "172.16.77.5:80 refused the connection: nothing listens there (yet)",
    ):
        left = outcome.without_addresses(words)
        assert "(address left out)" in left
        assert not any(part in left for part in ("127.0", "10.0", "172.16", "2222", "8773"))


def test_sizes():
    assert own.size_bytes("2 GiB") == own.size_bytes("2048MiB") == 2 * GIB
    assert own.size_text(1536 * 1024**2) == "1.5 GiB"
    assert use.LIMIT_S == 20.0
    assert Outcome(None, "x").place is None
