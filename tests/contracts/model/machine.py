"""Hypothesis chooses the steps, a story at a time; a story that fails is shortened by replaying parts of it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.contracts.model import people  # noqa: F401 - its steps register themselves
from tests.contracts.model.story import STEPS, WEIGHTS, Step, Story

LENGTH = 150
"""Steps of one story. Longer ones find no more: after a while every fault has been there once."""
MOST_REPLAYS = 300
KINDS = ("ebs", "instance-store")
_NUMBERS = st.integers(min_value=0, max_value=999)
# Hypothesis takes each element as often as it stands here.
_NAMES = st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)])


class Count:
    """How far the run has come, and the story that failed."""

    def __init__(self) -> None:
        self.steps = 0
        self.stories = 0
        self.failed: list[Any] = []


def replay_text(kind: str, seed: int, steps: list[Step]) -> str:
    """Return a story as one line of text."""
    return json.dumps([kind, seed, steps], separators=(",", ":"))


def replay(text: str) -> None:
    """Take the steps of one story that was printed.

    Raises
    ------
    AssertionError
        It still goes wrong.
    """
    kind, seed, steps = json.loads(text)
    story = Story(seed, kind)
    try:
        for name, a, b in steps:
            story.take((name, a, b))
        story.finish()
    finally:
        story.close()


def _fails(kind: str, seed: int, steps: list[Step]) -> bool:
    try:
        replay(replay_text(kind, seed, steps))
    except Exception:  # noqa: BLE001 - whatever went wrong, it still goes wrong
        return True
    return False


def shorten(kind: str, seed: int, steps: list[Step]) -> list[Step]:
    """Leave out what a failure does not need: ever smaller parts, as long as it still goes wrong."""
    replays, size = 0, max(1, len(steps) // 2)
    while size:
        at = 0
        while at < len(steps) and replays < MOST_REPLAYS:
            replays += 1
            rest = steps[:at] + steps[at + size :]
            if _fails(kind, seed, rest):
                steps = rest
            else:
                at += size
        size //= 2
    return steps


def machine_class(seed: int, count: Count) -> type[RuleBasedStateMachine]:
    """Return the state machine of one seed."""

    class Model(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.story: Story | None = None

        @initialize(kind=st.sampled_from(KINDS), number=_NUMBERS)
        def begin(self, kind: str, number: int) -> None:
            self.kind, self.number = kind, seed * 1000 + number
            self.story = Story(self.number, kind)
            count.stories += 1

        @rule(name=_NAMES, a=_NUMBERS, b=_NUMBERS)
        def step(self, name: str, a: int, b: int) -> None:
            assert self.story is not None
            count.steps += 1
            with self.noticed():
                self.story.take((name, a, b))

        def noticed(self) -> Any:
            return _Noticed(self, count)

        def teardown(self) -> None:
            if self.story is None:
                return
            try:
                if not self.story.failed:
                    with self.noticed():
                        self.story.finish()
            finally:
                self.story.close()

    return seeded(seed)(Model)


class _Noticed:
    """Remembers the story in which something went wrong."""

    def __init__(self, model: Any, count: Count) -> None:
        self._model = model
        self._count = count

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Exception):
            story: Story = self._model.story
            story.failed = True
            self._count.failed = [self._model.kind, self._model.number, list(story.taken)]


def run(steps: int, seed: int) -> Count:
    """Take so many steps at least.

    Raises
    ------
    AssertionError
        Something happened that must never happen; the note says how it is replayed.
    """
    assert set(STEPS) == set(WEIGHTS)
    count = Count()
    number = seed
    while count.steps < steps:
        stories = max(1, min(100, -(-(steps - count.steps) // LENGTH)))
        chosen = settings(
            max_examples=stories,
            stateful_step_count=LENGTH,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            print_blob=False,
            report_multiple_bugs=False,
        )
        try:
            run_state_machine_as_test(machine_class(number, count), settings=chosen)
        except Exception as error:
            story, first, taken = count.failed
            taken = shorten(story, first, taken)
            error.add_note(
                f"After {count.steps} steps from seed {seed}. The whole search again:\n"
                f"  scripts/check-deep model --steps {steps} --seed {seed}\n"
                f"The shortened story alone:\n"
                f"  scripts/check-deep model --replay '{replay_text(story, first, taken)}'"
            )
            raise
        number += 1
    return count
