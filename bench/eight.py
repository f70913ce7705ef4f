"""Eight machines at once: when the first and the last answer, cold and warm, and what they cost when nobody uses them.

Eight machines are asked for at the same moment, three times: cold and all started at once (the baseline: what the
start queue is compared with), cold as the local cloud starts them (as many at a time as there are cores), and warm.
A machine answers when its first command by SSH has ended, its host key checked against its console.

    python bench/eight.py [IMAGES] [--machines 8] [--idle 20] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from pathlib import Path

from fleet import fleet

from educloud_lab.localcloud.settings import default_home

AIMS_S = {"cold": 35.0, "warm": 20.0}


async def measure(image: Path, *, machines: int, idle_s: float) -> None:
    """Measure and print."""
    print(f"{'':24}{'first':>8}{'median':>8}{'last':>8}{'aim':>8}   seconds since all were asked for")
    # With every place taken by no more than it has, nothing waits: the queue is as wide as the crowd.
    for title, kind, width in (
        ("cold, all at once", "", machines),
        ("cold", "cold", None),
        ("warm", "warm", None),
    ):
        async with fleet(image, width=width, warm=kind == "warm") as made:
            if kind == "warm":
                await made.template()
            ready = await asyncio.gather(*(made.start(number) for number in range(1, machines + 1)))
            went_on = sum(1 for each in ready if each.template)
            if went_on != (machines if kind == "warm" else 0):
                raise RuntimeError(f"{title}: {went_on} of {machines} went on from a template")
            times = sorted(each.answered_s for each in ready)
            aim = f"{AIMS_S[kind]:8.0f}" if kind else f"{'':8}"
            print(f"{title:24}{times[0]:8.1f}{statistics.median(times):8.1f}{times[-1]:8.1f}{aim}", flush=True)
            if kind:
                await asyncio.sleep(15)  # what runs once after a start is over then
                before_s, begun_s = await made.cpu_s(), time.monotonic()
                await asyncio.sleep(idle_s)
                share = (await made.cpu_s() - before_s) / (time.monotonic() - begun_s)
                print(f"  idle: {share * 100:.1f} % of one core for all {machines}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = Path(os.environ.get("EDUCLOUD_TEST_IMAGES") or default_home() / "images")
    parser.add_argument("images", type=Path, nargs="?", default=default, help="folder of built images")
    parser.add_argument("--machines", type=int, default=8)
    parser.add_argument("--idle", type=float, default=20.0, help="seconds over which idle machines are watched")
    parser.add_argument("--quick", action="store_true", help="watch for 5 seconds")
    options = parser.parse_args()
    image = options.images.resolve() / "tiny"
    if not (image / "manifest.json").is_file():
        sys.exit(f"{options.images} holds no image 'tiny'. Run: educloud image build")
    asyncio.run(measure(image, machines=options.machines, idle_s=5.0 if options.quick else options.idle))


if __name__ == "__main__":
    main()
