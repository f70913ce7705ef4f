"""What just happened, as a notebook shows it."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime

import pytest

from educloud_lab.notebook.accounts import html_of, lines_of, show
from educloud_lab.notebook.way import edge, way_svg
from educloud_lab.wire import models as wire

T0 = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\" onload='x"


def call(**changes):
    fields = {
        "at": T0,
        "last_at": T0,
        "operation": "RunInstances",
        "parameters": {},
        "duration_ms": 12,
        "outcome": "ok",
    }
    return wire.CloudCall(**{**fields, **changes})


def accounts(*calls, **changes):
    account = wire.Account(
        job_id="j1",
        lease_id="l1",
        kind="start",
        started_at=T0,
        ended_at=T0,
        outcome="done",
        calls=list(calls),
        left_out=2,
    )
    fields = {"lease_id": "l1", "lab": "01-first", "accounts": [account] if calls else []}
    return wire.Accounts(**{**fields, **changes})


def test_everything_is_escaped():
    part = wire.CloudPart(part=HOSTILE, name=HOSTILE, does=HOSTILE, here=HOSTILE)
    hostile = call(
        operation=HOSTILE, parameters={HOSTILE: HOSTILE}, answer={HOSTILE: HOSTILE}, error=HOSTILE, error_code=HOSTILE,
        request_id=HOSTILE, aws=HOSTILE, euca=HOSTILE, way=HOSTILE, step=HOSTILE, parts=["CLC", HOSTILE],
    )  # fmt: skip
    found = html_of(accounts(hostile, lab=HOSTILE, components=[part]))
    assert "<script" not in found
    assert "onload='" not in found
    ElementTree.fromstring(found)  # whole: a tag or attribute that broke out would not close


def test_there_are_no_ids_no_scripts_and_nothing_from_elsewhere():
    found = html_of(accounts(call(parts=["CLC", "SC"], way="It goes."), call(parts=["CLC"])))
    assert re.findall(r"\bid=|<style|<script|https?:|url\(", found) == []
    assert found.count("<svg") == 2


def test_it_shows_calls_with_their_way_and_command_lines():
    made = call(
        step="Boot the machine", times=3, parts=["CLC", "CC", "NC"], way="On its way.", aws="aws ec2 x", euca="euca-x"
    )
    lost = call(step="Boot the machine", operation="StopInstances", outcome="lost", error="No answer.")
    view = show(accounts(made, lost))
    html = view._repr_html_()
    for text in (
        "Start, done, 2026-03-02 09:30:00 UTC",
        "aws ec2 x",
        "euca-x",
        "On its way.",
        "2 more calls are not kept.",
    ):
        assert text in html
    assert html.count("Boot the machine") == 1
    lines = repr(view).split("\n")
    assert "    RunInstances 3 times, answered in 12 ms" in lines
    assert "    StopInstances, no answer" in lines
    assert "      way        CLC -> CC -> NC" in lines
    assert "      euca2ools  euca-x" in lines


def test_a_command_of_two_lines_keeps_both():
    assert "                 euca-create-tags" in lines_of(accounts(call(euca="euca-run\neuca-create-tags")))


def test_machines_addresses_are_left_out_and_networks_are_not():
    """What a cell shows is saved with the notebook."""
    answer = {"Instances.1.PrivateIpAddress": "172.16.64.17", "Dns": "euca-172-16-64-17.eucalyptus.internal"}
    told = accounts(
        call(
            answer=answer,
            parameters={"CidrIp": "0.0.0.0/0", "Filter.1.Value.1": "172.16.64.17"},
            error="172.16.64.17 is in use",
            aws="aws ec2 authorize-security-group-ingress --cidr 172.16.64.17/32 --source 10.1.0.0/16",
            euca="euca-describe-instances 172.16.64.17",
        )
    )
    for text in (html_of(told), "\n".join(lines_of(told)), repr(show(told)), show(told)._repr_html_()):
        assert not re.search(r"172.16.64.17|eucalyptus.internal", text)
        assert text.count("(address left out)") >= 4
        assert "10.1.0.0/16" in text
    assert "0.0.0.0/0" in html_of(told)
    assert told.accounts[0].calls[0].answer == answer, "who asks for it has it"


@pytest.mark.parametrize(("recording", "word"), [(True, "start the machine"), (False, "record_calls")])
def test_nothing_says_why(recording, word):
    empty = accounts(recording=recording)
    assert word in html_of(empty)
    assert word in lines_of(empty)[0]


def test_the_picture_numbers_what_is_passed_and_says_it():
    picture = ElementTree.fromstring(way_svg(["CLC", "SC", "moon"], "The SC makes it.", "CreateVolume"))
    texts = [node.text for node in picture.iter("text")]
    assert texts == ["you", "1 CLC", "CC", "NC", "2 SC", "Walrus"]
    assert picture.attrib["aria-label"] == "Way of CreateVolume: CLC → SC. The SC makes it."
    assert picture.find("desc").text == "The SC makes it."
    assert len(list(picture.iter("line"))) == 2


def test_lines_begin_at_the_edge_of_a_box():
    assert edge((0, 0), (100, 0), 0) == (27, 0)
    assert edge((0, 0), (0, 50), 0) == (0, 12)


def test_loading_it_loads_no_models():
    heavy = ("pydantic", "httpx", "boto3")
    code = f"import sys, educloud_lab.notebook.accounts; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_cell_shows_what_the_client_returns():
    code = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("import educloud_lab; educloud_lab.connect")
from educloud_lab.wire import models as wire
shown, _ = shell.display_formatter.format(wire.Accounts(lease_id="l1", lab="lab", accounts=[]))
print(shown["text/plain"] == "Nothing yet: start the machine, then look here again.", shown["text/html"][:3])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "True <p>"
