"""Whether what a notebook needs is here, over REST: judged by what this person sees."""

import pytest

from educloud_lab.wire import models as wire
from tests.server.conftest import make_lease

TINY = wire.MachineProfile(
    name="tiny", revision=1, title="Tiny", description="", image="tiny", instance_type="t2.micro",
    volume_size_bytes=2**30, mount_point="/data", time_limit_s=7200,
)  # fmt: skip


@pytest.fixture
def profiles(broker, monkeypatch):
    plain = broker.snapshot

    async def snapshot(person):
        problem = wire.Problem(code="bad-profile", what="The machine profile 'mine' (mine.toml) is wrong: no image.")
        return (await plain(person)).model_copy(update={"profiles": [TINY], "profile_problems": [problem]})

    monkeypatch.setattr(broker, "snapshot", snapshot)


async def ask(call, metadata):
    status, reply, _ = await call("POST", "needs", {"metadata": metadata})
    assert status == 200
    return reply


async def test_a_notebook_whose_needs_are_here(call, profiles):
    reply = await ask(call, {"lab": "first", "machine_profile": "tiny", "ports": [22]})
    assert (reply["can_start"], reply["remarks"]) == (True, [])
    assert reply["needs"] == {
        "course": "", "lab": "first", "machine_profile": "tiny", "revision": None, "slot": "main", "volumes": [],
        "ports": [22], "minutes": None, "show_calls": False,
    }  # fmt: skip


@pytest.mark.parametrize("metadata", [None, "tiny", [1], {"lab": {}}, {"machine_profile": "tiny"}])
async def test_anything_may_stand_there(call, profiles, metadata):
    reply = await ask(call, metadata)
    assert (reply["can_start"], reply["needs"]) == (False, None)
    assert reply["remarks"][0]["weight"] == "refusal"
    assert reply["remarks"][0]["next_step"]


async def test_a_profile_whose_file_is_wrong_is_told_by_its_file(call, profiles):
    reply = await ask(call, {"lab": "first", "machine_profile": "mine"})
    assert not reply["can_start"]
    assert "mine.toml" in reply["remarks"][0]["what"]


async def test_ones_own_machine_is_looked_at_and_nobody_elses(call, profiles, broker):
    request = wire.LeaseRequest(lab="first", machine_profile="other")
    broker.leases["b"] = make_lease("b", request, "bob")
    assert (await ask(call, {"lab": "first", "machine_profile": "tiny"}))["remarks"] == []
    broker.leases["a"] = make_lease("a", request, "ada")
    reply = await ask(call, {"lab": "first", "machine_profile": "tiny"})
    assert [remark["code"] for remark in reply["remarks"]] == ["machine-of-another-profile"]
    assert reply["can_start"]
