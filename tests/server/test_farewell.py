"""What a terminal says when its connection has gone, for every state that a lease can be in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from educloud_lab.domain.lease import PHASES, Status, Target
from educloud_lab.server.terminals.farewell import UNKNOWN, why_ended
from educloud_lab.wire import models as wire

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DATA = wire.Volume(id="vol-1", size_bytes=1, mount_point="/data", stage="mounted", formatted_at=NOW)
PROBLEM = wire.Problem(code="died", what="The machine stopped by itself.", kept="", next_step="", at=NOW)


def lease(target, status, **changes):
    return wire.Lease(
        **{
            "id": "ab12",
            "course": "local",
            "lab": "a",
            "slot": "main",
            "person": "ada",
            "machine_profile": wire.ProfileRef(name="tiny", revision="1", title="Tiny"),
            "generation": 1,
            "target": target,
            "status": status,
            "phase": PHASES[Target(target), Status(status)].value,
            "headline": "A headline",
            "system_disk": "kept",
            "volumes": [DATA],
            "expires_at": NOW + timedelta(hours=1),
            "updated_at": NOW,
        }
        | changes
    )


@pytest.mark.parametrize(
    ("target", "status", "changes", "said"),
    [
        ("stopped", "running", {}, "it is being put to sleep"),
        ("stopped", "stopping", {}, "it is being put to sleep"),
        ("stopped", "stopping", {"expires_at": NOW}, "its time limit was reached"),
        ("stopped", "stopped", {"headline": "Asleep"}, "the machine was put to sleep."),
        (
            "stopped",
            "stopped",
            {"headline": "Asleep: its time limit was reached"},
            "the machine was put to sleep (its time limit was reached).",
        ),
        ("stopped", "stopping", {"problem": PROBLEM}, "The machine stopped by itself."),
        ("deleted", "deleting", {}, "it is being deleted."),
        ("deleted", "running", {}, "it is being deleted."),
        ("deleted", "new", {}, "the machine was deleted."),
        ("running", "running", {}, "it should be running"),
        ("running", "stopping", {}, "it is being started again."),
        ("running", "starting", {}, "it is being started again."),
    ],
)
def test_it_says_what_is_so(target, status, changes, said):
    text = why_ended(lease(target, status, **changes), NOW)
    assert text.startswith("The connection to the machine has ended")
    assert said in text
    assert text.endswith(". Your files in /data are kept.")


@pytest.mark.parametrize(("target", "status"), PHASES)
def test_every_state_is_one_whole_sentence(target, status):
    text = why_ended(lease(str(target), str(status), volumes=[]), NOW)
    assert text != UNKNOWN
    assert text.endswith(".")
    assert "files" not in text


def test_a_volume_that_was_never_formatted_holds_no_files():
    blank = DATA.model_copy(update={"formatted_at": None})
    assert "files" not in why_ended(lease("stopped", "stopping", volumes=[blank]), NOW)


def test_what_is_not_known_is_not_made_up():
    assert why_ended(None, NOW) == UNKNOWN
