"""A hundred mixed stuck cases: what was done to the cloud or the machine is what the doctor has to find.

Sixty in a world in memory (consoles, doors, disks), forty on the local cloud's real API with its faults on demand.
Wrong is another code or another component as the first finding. Cases are seeded: a failure names its seed.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from educloud_lab.adapters.memory.world import MemoryWorld
from tests.contracts.doctor_api_cases import API, ApiBench
from tests.contracts.doctor_memory_cases import HEALTHY, MEMORY
from tests.contracts.doctor_rig import ask

IN_MEMORY, ON_THE_API = 60, 40
MOST_WRONG = 5


def verdict(why) -> tuple[str, str]:
    first = why.findings[0] if why.findings and not why.healthy else None
    return (first.code, first.component) if first is not None else (HEALTHY, "")


def surely_wrong(name: str, why) -> bool:
    """A machine that is only slow, and is said to be certainly ill. That the cloud throttles is no illness of it."""
    true = {"throttled"} if "throttled" in name else set()
    return name.startswith("healthy") and any(one.sure == "certain" and one.code not in true for one in why.findings)


def table(rows) -> str:
    """Return the confusion table: what was so, what was found, how often."""
    counts = Counter(rows)
    return "\n".join(
        f"{'ok   ' if truth == found else 'WRONG'} {truth!s:45} {found!s:45} {count:3} {', '.join(sorted(names))}"
        for (truth, found), count in sorted(Counter((t, f) for _, t, f in counts.elements()).items())
        for names in [{n for n, t, f in rows if (t, f) == (truth, found)}]
    )


def judge(rows, ill) -> None:
    print("\n" + table(rows))
    wrong = [row for row in rows if row[1] != row[2]]
    # A healthy machine that is said to be slow is no wrong finding; one that is said to be ill for certain is.
    wrong = [
        row for row in wrong if not (row[0].startswith("healthy") and row[2][0] in ("", "boots-slowly", "throttled"))
    ]
    assert ill == []
    assert len(wrong) <= MOST_WRONG * len(rows) / (IN_MEMORY + ON_THE_API), table(wrong)


async def test_sixty_cases_inside_machines_and_on_the_way_to_them():
    names = sorted(MEMORY)
    rows, ill = [], []
    for seed in range(IN_MEMORY):
        rng = random.Random(seed)
        name = names[seed % len(names)] if seed < len(names) else rng.choice(names)
        code, component, case = MEMORY[name]
        world = MemoryWorld()
        try:
            await case(world, rng)
            why = await ask(world, world.brokers[0])
        finally:
            await world.close()
        assert world.cloud.violations == [], (name, seed)
        rows.append((f"{name}#{seed}", (code, component), verdict(why)))
        if surely_wrong(name, why):
            ill.append((name, seed, [one.code for one in why.findings]))
    judge(rows, ill)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = ApiBench(tmp_path_factory.mktemp("home"))
    yield bench
    bench.close()


async def test_forty_cases_of_the_local_clouds_faults(bench):
    names = sorted(API)
    rows, ill = [], []
    for seed in range(ON_THE_API):
        rng = random.Random(1000 + seed)
        name = names[seed % len(names)] if seed < len(names) else rng.choice(names)
        code, component, case = API[name]
        world = bench.world(name)
        try:
            await case(bench, world, rng)
            why = await ask(world, world.brokers[0])
        finally:
            await bench.over(world)
        rows.append((f"{name}#{seed}", (code, component), verdict(why)))
        if surely_wrong(name, why):
            ill.append((name, seed, [one.code for one in why.findings]))
    judge(rows, ill)
