"""All rules in their order: what explains most comes first; among the sure ones the first is the diagnosis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from educloud_lab.broker.diagnosis import rules_boot, rules_cloud, rules_instance, rules_volume
from educloud_lab.broker.diagnosis.catalogue import CATALOGUE
from educloud_lab.broker.diagnosis.entries import finding
from educloud_lab.broker.diagnosis.facts import Facts
from educloud_lab.domain.finding import Evidence, Finding
from educloud_lab.domain.job import StepState
from educloud_lab.domain.lease import Status

Rule = Callable[[Facts], Finding | None]
RULES: Final[tuple[Rule, ...]] = (
    rules_cloud.refused_as_a_whole,
    rules_cloud.out_of_sight,
    rules_cloud.ourselves,
    rules_boot.other_key,
    rules_instance.silent_node,
    rules_cloud.zone,
    rules_cloud.room,
    rules_cloud.profile,
    rules_volume.told,
    rules_volume.in_the_cloud,
    rules_instance.root_disk,
    rules_instance.ended,
    rules_instance.no_address,
    rules_boot.way,
    rules_boot.boot,
    rules_boot.login,
    rules_volume.attaching,
    rules_volume.detaching,
    rules_instance.pending,
    rules_instance.stopping,
    rules_instance.limit,
)
LAST: Final[tuple[Rule, ...]] = (rules_boot.unanswered, rules_cloud.was_out_of_sight, rules_instance.unlisted)
"""Asked only when nothing else was found."""
_ORDER = {"certain": 0, "likely": 1, "possible": 2}


def diagnose(facts: Facts) -> list[Finding]:
    """Return what is found, the likeliest first; nothing while everything takes its usual course."""
    found = [made for rule in RULES if (made := rule(facts)) is not None]
    for rule in LAST:
        if not found and (made := rule(facts)) is not None:
            found.append(made)
    if not found:
        found = _unexplained(facts)
    unique: dict[str, Finding] = {}
    for one in found:
        unique.setdefault(one.code, one)
    return sorted(unique.values(), key=lambda one: _ORDER[one.sure])


def hangs(findings: list[Finding]) -> bool:
    """Whether anything is wrong: a rest that was announced is not."""
    return any(not CATALOGUE[one.code].told_before for one in findings)


def _unexplained(facts: Facts) -> list[Finding]:
    if facts.lease.status is Status.FAILED and facts.problem is not None:
        said = Evidence("our record", facts.problem.what, facts.problem.kept)
        return [finding(CATALOGUE["unexplained"], facts, "possible", said)]
    late = [step for step in facts.steps if step.state is StepState.DOING and facts.too_long(step.name)]
    return [finding(CATALOGUE["unexplained"], facts, "possible")] if late and facts.in_flight else []
