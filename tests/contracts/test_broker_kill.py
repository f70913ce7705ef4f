"""SIGKILL at every named point of every job: nothing orphaned, doubled or lost, and soon all is well again.

The points are read from the broker's code (``kill_points.py``); stories that are played to their ends pass each of them
(``kill_stories.py``), or the first test here fails. Each point then has a process that is killed there on real records,
and a second broker that goes on (``kill_rig.py``). A failure prints the order that replays it alone.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.contracts import kill_points
from tests.contracts.kill_stories import STORIES

ROOT = Path(__file__).parents[2]
POSTGRESQL = "EDUCLOUD_TEST_POSTGRESQL_URL"
SEEDS = int(os.environ.get("EDUCLOUD_KILL_SEEDS", "0"))  # 0: one seed, and PostgreSQL with a fifth of the points
FIFTH = int(os.environ.get("EDUCLOUD_KILL_FIFTH", datetime.now(UTC).toordinal())) % 5
SHARDS = 2
pytestmark = pytest.mark.timeout(3600 * max(1, 4 * SEEDS))

Point = tuple[str, int, tuple[str, int] | None]


def run(folder: Path, points: list[Point], server: str = "") -> list[dict[str, Any]]:
    """Have the rig play stories, killed at a point or not."""
    order = {"folder": str(folder), "server": server, "points": points}
    done = subprocess.run(
        [sys.executable, "-m", "tests.contracts.kill_rig", json.dumps(order)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(results) == len(points), f"{len(results)} of {len(points)} points were played\n{done.stderr[-4000:]}"
    wrong = [each for each in results if each["wrong"]]
    for each in wrong:
        each.pop("trace")
        print(json.dumps({**order, "points": [[each["story"], each["seed"], each["point"]]]}))  # replays it
        print("\n".join(map(str, each["wrong"])))
    assert not wrong, f"{len(wrong)} of {len(results)} points went wrong"
    return results


def traces(folder: Path, seed: int) -> dict[str, list[str]]:
    """Return the points that each story passes, in order."""
    return {each["story"]: each["trace"] for each in run(folder, [(name, seed, None) for name in STORIES])}


def once_each(passed: dict[str, list[str]], seed: int) -> list[Point]:
    """Choose the earliest place of each point in any story."""
    found: dict[str, tuple[int, str]] = {}
    for story, trace in passed.items():
        for index, name in enumerate(trace):
            found[name] = min(found.get(name, (index, story)), (index, story))
    return [(story, seed, (name, 1)) for name, (_, story) in sorted(found.items())]


def all_over(passed: dict[str, list[str]], seed: int) -> list[Point]:
    """Choose one place of each point in each story that passes it, another one for each seed."""
    chance = random.Random(seed)
    return [
        (story, seed, (name, chance.randint(1, trace.count(name))))
        for story, trace in passed.items()
        for name in sorted(set(trace))
    ]


def test_the_stories_pass_every_point_of_the_code_and_no_other(tmp_path):
    passed = set().union(*traces(tmp_path, 1).values())
    points = kill_points.points()
    assert sorted(points - passed) == [], "no story of kill_stories.py passes these points"
    assert sorted(passed - points) == [], "kill_points.py does not find these points in the code"
    assert len(points) >= 80


@pytest.mark.parametrize("shard", range(SHARDS))
def test_killed_at_every_point_on_sqlite(tmp_path, shard):
    for seed in range(1, max(1, SEEDS) + 1):
        passed = traces(tmp_path / "traces", seed)
        points = all_over(passed, seed) if SEEDS else once_each(passed, seed)
        results = run(tmp_path / "kills", points[shard::SHARDS])
        longest_s = max(each.get("converged_s", 0.0) for each in results)
        print(f"seed {seed}: killed at {len(results)} points; all was well again after {longest_s:.1f} s at most")


@pytest.mark.postgresql
def test_killed_on_postgresql(tmp_path):
    server = os.environ.get(POSTGRESQL)
    if not server:
        pytest.fail(f"Set {POSTGRESQL} to postgresql+psycopg://user:password@host/database of a server for tests.")
    for seed in range(1, max(1, SEEDS) + 1):
        passed = traces(tmp_path / "traces", seed)
        points = all_over(passed, seed) if SEEDS else once_each(passed, seed)[FIFTH::5]
        results = run(tmp_path / "kills", points, server)
        print(f"seed {seed}, {'all points' if SEEDS else f'fifth {FIFTH}'}: killed at {len(results)} points")
