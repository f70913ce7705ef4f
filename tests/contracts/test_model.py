"""Three people, two brokers, a cloud that fails, time that jumps: whatever happens, I1 to I8 hold and all ends well.

``EDUCLOUD_MODEL_STEPS`` and ``EDUCLOUD_MODEL_SEED`` say how far and from where (``scripts/check-deep model``);
``EDUCLOUD_MODEL_REPLAY`` takes one story that a failure printed.
"""

import os

import pytest

from tests.contracts.model import machine

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
