"""Rules about the cloud as a whole: sight, keys, clocks, zones, room, quotas, images, and our own records."""

from __future__ import annotations

import re
from typing import Final

from educloud_lab.broker.diagnosis.catalogue import CATALOGUE
from educloud_lab.broker.diagnosis.entries import Sure, finding
from educloud_lab.broker.diagnosis.facts import Facts
from educloud_lab.domain.finding import Evidence, Finding
from educloud_lab.domain.job import StepState
from educloud_lab.domain.lease import Problem, Status

OUR_CLOCK_S: Final = 15.0  # a difference of this much is no rounding of the Date header
_TIMES = re.compile(r"has expired|in the future|RequestExpired|not yet current|Signature expired", re.I)
_INTERNAL = re.compile(r"InternalFailure|InternalError|internal error", re.I)
_THROTTLED = re.compile(r"limit exceeded|slow down|throttl|SlowDown", re.I)
_CUT = re.compile(r"pars|IncompleteRead|incomplete|invalid XML|no element found", re.I)
_NO_ZONE = re.compile(r"no cluster controller|no zone that is available|InvalidZone", re.I)
_ADDRESSES = re.compile(r"Insufficient\s?(?:Free)?Address|Insufficient addresses|addresses", re.I)
_VOLUMES = re.compile(r"VolumeLimitExceeded|type: volume|volume", re.I)
_ARCHITECTURE = re.compile(r"architecture|which this cloud cannot run|ELF machine", re.I)


def _told(problem: Problem) -> Evidence:
    return Evidence("the cloud's words", problem.what)


def refused_as_a_whole(facts: Facts) -> Finding | None:
    """Keys and clocks: every request is refused."""
    for problem in (facts.cloud_problem, facts.problem):
        if problem is None or problem.code != "cloud-auth":
            continue
        if not _TIMES.search(problem.what):
            return finding(CATALOGUE["credentials-refused"], facts, "certain", _told(problem))
        offset_s = facts.clock_offset_s
        if offset_s is None:
            return finding(CATALOGUE["clock-wrong-here"], facts, "possible", _told(problem))
        seen = Evidence("clocks", f"the cloud's answers are dated {offset_s:+.0f} s from this computer's clock")
        here = abs(offset_s) >= OUR_CLOCK_S
        return finding(
            CATALOGUE["clock-wrong-here" if here else "clock-wrong-cloud"], facts, "likely", _told(problem), seen
        )
    return None


def _no_answer(facts: Facts, problem: Problem, sure: Sure) -> Finding | None:
    text = problem.what
    if problem.code == "cloud-busy" or (problem.code == "cloud-unreachable" and _THROTTLED.search(text)):
        return finding(CATALOGUE["throttled"], facts, sure, _told(problem))
    if problem.code != "cloud-unreachable":
        return None
    code = "cloud-out-of-sight"
    if _INTERNAL.search(text):
        code = "cloud-internal-error"
    elif _CUT.search(text):
        code = "cloud-answer-cut"
    return finding(CATALOGUE[code], facts, sure, _told(problem))


def out_of_sight(facts: Facts) -> Finding | None:
    """The cloud cannot be seen now."""
    return _no_answer(facts, facts.cloud_problem, "certain") if facts.cloud_problem is not None else None


def was_out_of_sight(facts: Facts) -> Finding | None:
    """The cloud can be seen, but what the job asks for last had no usable answer."""
    late = facts.in_flight and any(facts.too_long(step.name) for step in facts.steps)
    waits = late or facts.lease.status is Status.FAILED
    return _no_answer(facts, facts.problem, "likely") if facts.problem is not None and waits else None


def zone(facts: Facts) -> Finding | None:
    """The lease's zone is not available."""
    if facts.zones is not None and facts.lease.zone:
        state = facts.zones.get(facts.lease.zone)
        wanted = facts.in_flight or facts.lease.status in (Status.FAILED, Status.RUNNING)
        if wanted and state is not None and state != "available":
            return finding(
                CATALOGUE["zone-unavailable"], facts, "certain", Evidence("zone", f"{facts.lease.zone} {state}")
            )
    if (
        facts.problem is not None
        and facts.problem_code in ("capacity", "cloud")
        and _NO_ZONE.search(facts.problem_text)
    ):
        return finding(CATALOGUE["zone-unavailable"], facts, "certain", _told(facts.problem))
    return None


def room(facts: Facts) -> Finding | None:
    """Capacity, addresses, quotas: the same 503, told apart by the message."""
    problem = facts.problem
    if problem is None or problem.code not in ("capacity", "quota") or facts.lease.status is Status.RUNNING:
        if facts.in_flight and facts.job is not None and facts.job.queue:
            waits = Evidence("our record", f"waits in the queue for {facts.job.queue}")
            return finding(CATALOGUE["no-capacity"], facts, "certain", waits)
        return None
    if problem.code == "capacity":
        empty = _ADDRESSES.search(problem.what) is not None
        return finding(CATALOGUE["addresses-empty" if empty else "no-capacity"], facts, "certain", _told(problem))
    step = facts.step("volume")
    failed = step is not None and step.state is StepState.FAILED
    of_volumes = _VOLUMES.search(problem.what) or (failed and "instance" not in problem.what)
    return finding(CATALOGUE["quota-volumes" if of_volumes else "quota-instances"], facts, "certain", _told(problem))


def profile(facts: Facts) -> Finding | None:
    """What the machine profile names cannot be run."""
    problem = facts.problem
    if problem is None or facts.lease.status is Status.RUNNING:
        return None
    if problem.code == "bad-profile":
        code = "profile-wrong"
        if _ARCHITECTURE.search(problem.what):
            code = "wrong-architecture"
        elif "has no image" in problem.what:
            code = "image-missing"
        elif "is there, but the cloud says" in problem.what:
            code = "image-unusable"
        return finding(CATALOGUE[code], facts, "certain", Evidence("image", facts.lease.profile.image), _told(problem))
    if problem.code == "cloud-not-found" and re.search(r"InvalidAMIID|image", problem.what, re.I):
        return finding(CATALOGUE["image-missing"], facts, "likely", _told(problem))
    if problem.code == "cloud-refused":
        return finding(CATALOGUE["request-refused"], facts, "certain", _told(problem))
    return None


def ourselves(facts: Facts) -> Finding | None:
    """Our own faults and records."""
    problem = facts.problem
    if problem is not None and problem.code == "error":
        return finding(CATALOGUE["broker-bug"], facts, "certain", Evidence("our record", problem.what))
    if problem is not None and problem.code in ("store", "schema"):
        return finding(CATALOGUE["records-unreachable"], facts, "certain", Evidence("our record", problem.what))
    return None
