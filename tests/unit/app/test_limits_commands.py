"""Times as people write them, machines as people name them, and the cloud's own policy."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from educloud_lab.app.limits_app import BusyApp, ExemptApp, KeepApp, find_lease, when
from educloud_lab.app.policy_app import PolicyApp, policy
from educloud_lab.domain.errors import NotFoundError
from educloud_lab.wire import models as wire

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90m", timedelta(minutes=90)),
        ("90min", timedelta(minutes=90)),
        ("2h30m", timedelta(hours=2, minutes=30)),
        ("3d", timedelta(days=3)),
        ("1d12h", timedelta(days=1, hours=12)),
    ],
)
def test_spans(text, span):
    assert when(text, NOW) == NOW + span


def test_times_of_day_and_dates_are_the_computers_own():
    here = NOW.astimezone()
    later = here + timedelta(hours=1)
    assert when(f"{later:%H:%M}", NOW) == later.replace(second=0, microsecond=0)
    earlier = here - timedelta(minutes=1)
    assert when(f"{earlier:%H:%M}", NOW) == earlier + timedelta(days=1)
    assert when("2026-03-02T18:30:00Z", NOW) == datetime(2026, 3, 2, 18, 30, tzinfo=UTC)
    local = datetime(2026, 3, 4, 18, 30).astimezone()
    assert when("2026-03-04T18:30", NOW) == local


@pytest.mark.parametrize(
    "text", ["", "  ", "soon", "25:00", "12:60", "5", "-3h", "2026-13-01", "h", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_time(text):
    assert when(text, NOW) is None


@pytest.mark.parametrize(
    ("app", "options", "what"),
    [
        (BusyApp, {}, "--until or --end"),
        (BusyApp, {"until": "1h", "end": True}, "--until or --end"),
        (BusyApp, {"until": "2020-01-01T00:00"}, "a time to come"),
        (ExemptApp, {"until": "3d"}, "--reason"),
        (ExemptApp, {"until": "3d", "reason": " x "}, "--reason"),
        (ExemptApp, {"until": "3d", "reason": "renders"}, ""),
        (ExemptApp, {"end": True}, ""),
        (KeepApp, {}, ""),
    ],
)
def test_options_that_say_too_little_are_refused(app, options, what):
    told = app(**options).check(NOW)
    assert (what in told) if what else (told == "")


def snapshot(*leases):
    rows = [
        wire.Lease(
            id=name, course="local", lab=lab, slot=slot, person="ada", generation=1, target="running",
            machine_profile=wire.ProfileRef(name="tiny", revision=1, title="Tiny"), status="running",
            phase=wire.Phase.READY, headline="Ready", system_disk="kept", updated_at=NOW,
        )
        for name, lab, slot in leases
    ]  # fmt: skip
    cloud = wire.Cloud(kind="local", name="local cloud", reachable=True)
    return wire.Snapshot(
        version=1, server_time=NOW, person="ada", course="local", cloud=cloud, profiles=[], leases=rows
    )


def test_a_machine_is_named_by_its_id_or_its_lab():
    seen = snapshot(("a1", "one", "main"), ("a2", "two", "main"), ("a3", "two", "spare"))
    assert find_lease(seen, "a3").slot == "spare"
    assert find_lease(seen, "one").id == "a1"
    with pytest.raises(NotFoundError, match=r"a2 \(main\), a3 \(spare\)"):
        find_lease(seen, "two")
    with pytest.raises(NotFoundError, match="There is: one, two, two"):
        find_lease(seen, "three")


def test_the_policy_is_one_statement_with_minutes_as_eucalyptus_reads_them(capsys):
    PolicyApp(minutes=1440, as_json=True).start()
    printed = json.loads(capsys.readouterr().out)
    assert printed == policy(1440)
    assert printed["Statement"][0]["Condition"] == {"NumericEquals": {"ec2:KeepAlive": "1440"}}
    PolicyApp(minutes=1440).start()
    assert "no call shows it" in capsys.readouterr().out
