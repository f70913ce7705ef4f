"""The tables of lease and job, over the full product of their words."""

import itertools

import pytest

from educloud_lab.domain.job import KIND_FOR, START_NEEDS, TITLES, JobKind, step_names, wanted_job
from educloud_lab.domain.lease import PHASES, Phase, Status, Target

PAIRS = list(itertools.product(Target, Status))
AT_TARGET = {
    (Target.RUNNING, Status.RUNNING),
    (Target.STOPPED, Status.STOPPED),
    (Target.STOPPED, Status.NEW),
    (Target.DELETED, Status.NEW),
}


def test_the_phases_are_exactly_the_product():
    assert set(PHASES) == set(PAIRS)


@pytest.mark.parametrize(("target", "status"), PAIRS)
def test_a_resting_phase_is_shown_exactly_when_nothing_is_wanted(target, status):
    job = wanted_job(target, status)
    resting = PHASES[target, status] in (Phase.OFF, Phase.READY, Phase.ASLEEP, Phase.TROUBLE)
    assert resting == (job is None)
    if (target, status) in AT_TARGET or status is Status.FAILED:
        assert job is None
    else:
        assert job is KIND_FOR[target]


@pytest.mark.parametrize("kind", list(JobKind))
def test_every_step_has_a_title(kind):
    for has_volume in (True, False):
        names = step_names(kind, has_volume=has_volume)
        assert names
        assert all(TITLES[kind][name] for name in names)


def test_steps_wait_only_for_steps_and_never_in_a_circle():
    order = list(TITLES[JobKind.START])
    assert set(START_NEEDS) == set(order)
    done: set[str] = set()
    while len(done) < len(order):
        ready = [name for name in order if name not in done and set(START_NEEDS[name]) <= done]
        assert ready, f"{set(order) - done} wait for each other"
        done.update(ready)


def test_a_format_waits_for_the_disk_and_a_login_for_the_mount():
    assert "disk" in START_NEEDS["format"]
    assert "mount" in START_NEEDS["ready"]
