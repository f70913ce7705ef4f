"""What a job calls: what is told of it, what is folded, and what is left out."""

import base64
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from educloud_lab.broker.command_lines import aws_line
from educloud_lab.broker.recording import MOST_CALLS, Recording, Told
from educloud_lab.broker.telling import answer_of, error_of, parameters_of
from educloud_lab.domain.job import JobKind
from educloud_lab.ports.calls import CallOutcome, CallSeen

T0 = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SECRET = "correct-horse-battery-staple-0123456789"
JOB = SimpleNamespace(id="j1", lease_id="l1", kind=JobKind.START, attempts=1)


def call(operation="DescribeInstances", parameters=None, answer=None, seconds=0, **changes):
    fields = {"at": T0 + timedelta(seconds=seconds), "operation": operation, "parameters": parameters or {}}
    return CallSeen(**{**fields, "duration_ms": 5, "outcome": CallOutcome.OK, "answer": answer or {}, **changes})


def instances(*pairs):
    rows = [{"InstanceId": key, "State": {"Name": state}, "ImageId": "emi-1"} for key, state in pairs]
    return {"Reservations": [{"Instances": [row]} for row in rows]}


class Kept:
    """A transaction that keeps calls only."""

    def __init__(self):
        self.rows = {}
        self.writes = 0

    def put_calls(self, calls):
        self.writes += bool(calls)
        self.rows |= {row.number: row for row in calls}


def recording(*known, earlier=()):
    return Recording(JOB, lambda: known, Told(earlier))


def written(made):
    kept = Kept()
    made.write(kept)
    return [kept.rows[number] for number in sorted(kept.rows)]


def test_parameters_are_told_when_they_are_known_to_hold_no_secret():
    told = parameters_of(
        call(
            "RunInstances",
            {
                "ImageId": "emi-1",
                "UserData": base64.b64encode(SECRET.encode()).decode(),
                "ClientToken": "educloud-" + "a" * 50,
                "KeyMaterial": SECRET,
                "PublicKeyMaterial": SECRET,
                "Signature": SECRET,
                "AWSAccessKeyId": SECRET,
                "Placement.AvailabilityZone": "one",
                "TagSpecification.1.Tag.1.Value": "Ann's",
                "SomethingNew": SECRET,
            },
        )
    )
    assert SECRET not in str(told)
    assert told["UserData"] == f"[user data, {len(SECRET)} bytes]"
    assert told["ClientToken"] == "educloud-" + "a" * 50
    assert {told[name] for name in ("KeyMaterial", "Signature", "AWSAccessKeyId", "SomethingNew")} == {"[left out]"}
    assert (told["ImageId"], told["TagSpecification.1.Tag.1.Value"]) == ("emi-1", "Ann's")


def test_a_parameter_that_cannot_be_told_whole_says_so_and_has_no_command_line():
    spaces = {"Tag.1.Key": "a", "Tag.1.Value": "two  spaces "}
    assert parameters_of(call("CreateTags", spaces)) == spaces
    for value in ("line\nend", "x" * 301):
        told = parameters_of(call("CreateTags", {"Tag.1.Key": "a", "Tag.1.Value": value}))
        assert told["Tag.1.Value"].endswith("[left out]")
        assert aws_line("CreateTags", told) == ""
    many = {f"InstanceId.{number}": "i-1" for number in range(1, 99)}
    assert parameters_of(call("StopInstances", many))["others"] == "[left out]"
    assert aws_line("StopInstances", parameters_of(call("StopInstances", many))) == ""


@pytest.mark.parametrize("value", ["", "not base64 at all!", base64.b64encode(SECRET.encode()).decode()])
def test_user_data_is_never_told_whatever_its_form(value):
    assert parameters_of(call(parameters={"UserData": value}))["UserData"].startswith("[user data, ")


def test_of_a_list_only_rows_that_are_known_are_told():
    answer = instances(("i-mine", "running"), ("i-bob", "pending"))
    told = answer_of(call(answer=answer), {"i-mine", "emi-1"})  # two people's instances have one image
    assert told["Instances.1.InstanceId"] == "i-mine"
    assert "i-bob" not in str(told)
    assert told["others"] == "[left out]"
    assert answer_of(call(answer=answer), {"i-other"})["Instances"] == "[none of this machine's]"


def test_an_image_is_known_by_its_name_and_names_of_others_are_not_told():
    images = [{"ImageId": "emi-1", "Name": "tiny"}, {"ImageId": "emi-2", "Name": "Bob's own"}]
    told = answer_of(call("DescribeImages", answer={"Images": images}), {"tiny"})
    assert told["Images.1.ImageId"] == "emi-1"
    assert "Bob" not in str(told)


def test_tags_console_output_and_unknown_answers_are_not_told():
    row = {"VolumeId": "vol-1", "State": "available", "Tags": [{"Key": "educloud-owner", "Value": "Bob"}]}
    assert "Bob" not in str(answer_of(call("DescribeVolumes", answer={"Volumes": [row]}), {"vol-1"}))
    assert answer_of(call("GetConsoleOutput", answer={"Output": SECRET}), ()) == {"Output": "[39 characters]"}
    assert answer_of(call("CreateKeyPair", answer={"KeyMaterial": SECRET}), ()) == {}


def test_what_a_cloud_says_is_looked_through_and_brought_to_one_line():
    told = error_of(call(error=f"bad\npassword={SECRET}\x1b[31m " + "x " * 500))
    assert SECRET not in told
    assert "\n" not in told
    assert "\x1b" not in told
    assert len(told) <= 300


def test_looks_that_find_the_same_are_one_entry_with_the_last_answer():
    made = recording("i-1")
    hear = made.of("address")
    for second, state in enumerate(("pending", "pending", "pending", "running")):
        hear(call(answer=instances(("i-1", state)), seconds=second))
    first, last = written(made)
    assert (first.times, first.at, first.last_at) == (3, T0, T0 + timedelta(seconds=2))
    assert (last.times, last.answer["Instances.1.State.Name"]) == (1, "running")


def test_a_look_that_always_finds_something_else_does_not_fill_the_account():
    made = recording("i-1")
    for second in range(500):
        made.of("take")(call(answer=instances(("i-1", f"state {second}")), seconds=second))
    rows = written(made)
    assert len(rows) == 4
    assert rows[-1].answer["Instances.1.State.Name"] == "state 499"
    assert sum(row.times for row in rows) == 500


def test_refusals_are_folded_and_changes_never():
    made = recording()
    for _ in range(3):
        made.of("instance")(call("RunInstances", {"ImageId": "emi-1"}, outcome=CallOutcome.REFUSED, error_code="503"))
        made.of("attach")(call("AttachVolume", {"VolumeId": "vol-1"}))
    assert [(row.operation, row.times) for row in written(made)] == [
        ("RunInstances", 3), ("AttachVolume", 1), ("AttachVolume", 1), ("AttachVolume", 1)
    ]  # fmt: skip


def test_beyond_the_limit_calls_are_counted_only():
    made = recording()
    for number in range(MOST_CALLS + 7):
        made.of("x")(call("CreateTags", {"ResourceId.1": f"vol-{number}"}))
    rows = written(made)
    assert len(rows) == MOST_CALLS
    assert sum(row.left_out for row in rows) == 7


def test_steps_that_wait_for_one_look_hear_of_it_once():
    made, look = recording("i-1"), call(answer=instances(("i-1", "running")))
    made.of("address")(look)
    made.of("attach")(look)
    assert [(row.step, row.times) for row in written(made)] == [("address", 1)]


def test_ids_that_the_job_itself_met_are_known():
    made = recording()
    made.of("instance")(call("RunInstances", answer={"Instances": [{"InstanceId": "i-new"}]}))
    made.of("address")(call(answer=instances(("i-new", "running"), ("i-bob", "running"))))
    told = written(made)[1].answer
    assert told["Instances.1.InstanceId"] == "i-new"
    assert "i-bob" not in str(told)


def test_what_a_look_shows_makes_nothing_known():
    made = recording("vol-1")
    attached = {"VolumeId": "vol-1", "State": "in-use", "Attachments": [{"InstanceId": "i-bob"}]}
    made.of("volume")(call("DescribeVolumes", answer={"Volumes": [attached]}))
    made.of("volume")(call(answer=instances(("i-bob", "running"))))
    assert written(made)[1].answer == {"Instances": "[none of this machine's]", "others": "[left out]"}


def test_only_what_changed_is_written_again():
    made, kept = recording("i-1"), Kept()
    hear = made.of("address")
    hear(call("DescribeVolumes"))
    hear(call(answer=instances(("i-1", "pending"))))
    changes = made.write(kept)
    hear(call(answer=instances(("i-1", "pending"))))  # while the transaction was under way
    made.written(changes)
    again = Kept()
    made.written(made.write(again))
    assert [(number, row.times) for number, row in again.rows.items()] == [(1, 2)]
    made.write(again)
    assert again.writes == 1


def test_another_attempt_goes_on_with_the_account_of_the_first():
    first = recording("i-1")
    first.of("address")(call(answer=instances(("i-1", "pending"))))
    second = recording("i-1", earlier=written(first))
    second.of("address")(call(answer=instances(("i-1", "pending")), seconds=9))
    second.of("address")(call(answer=instances(("i-1", "running")), seconds=10))
    assert [(row.number, row.times) for row in written(second)] == [(0, 2), (1, 1)]


def test_an_answer_of_another_form_is_left_out_and_breaks_nothing(caplog):
    made = recording()
    made.of("x")(call(answer={"Reservations": [7]}))
    made.of("x")(call("DescribeVolumes"))
    assert [row.operation for row in written(made)] == ["DescribeVolumes"]
    assert "could not be told of" in caplog.text
