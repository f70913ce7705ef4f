"""Three people, two brokers, a cloud that fails, time that jumps: whatever happens, I1 to I8 hold and all ends well.

``EDUCLOUD_MODEL_STEPS`` and ``EDUCLOUD_MODEL_SEED`` say how far and from where (``scripts/check-deep model``);
``EDUCLOUD_MODEL_REPLAY`` takes one story that a failure printed.
"""

import os
import random

import pytest

from tests.contracts.model import machine
from tests.contracts.model.story import WEIGHTS
from tests.contracts.model.world import Process

STEPS = int(os.environ.get("EDUCLOUD_MODEL_STEPS", "10000"))
SEED = int(os.environ.get("EDUCLOUD_MODEL_SEED", "1"))


@pytest.mark.timeout(600 + STEPS // 5)  # for a hang: other computers are slower
def test_nothing_happens_that_must_never_happen():
    replay = os.environ.get("EDUCLOUD_MODEL_REPLAY")
    if replay:
        machine.replay(replay)
        return
    count = machine.run(STEPS, SEED)
    print(f"{count.steps} steps in {count.stories} stories from seed {SEED}")
    assert count.steps >= STEPS


def test_the_same_steps_give_the_same_run(monkeypatch):
    """Else a seed would say nothing."""
    rounds = []
    passed = Process.checkpoint

    async def checkpoint(process, name):
        rounds[-1].append((process.clock.monotonic_s(), process.number, name))
        await passed(process, name)

    monkeypatch.setattr(Process, "checkpoint", checkpoint)
    numbers = random.Random(7)
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    steps = [(*numbers.choices(names, weights), numbers.randrange(1000), numbers.randrange(1000)) for _ in range(100)]
    for _ in range(2):
        rounds.append([])
        machine.replay(machine.replay_text("ebs", 7, steps))
    assert len(rounds[0]) > 100
    assert rounds[0] == rounds[1]
