"""All benchmarks, one after the other, so that none disturbs another. ``make bench`` runs this.

    python bench/run.py [--quick]      # --quick: about six minutes

The exit status says whether every benchmark came to its end (those with an aim say themselves whether it is met).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
BENCHES = (
    "start.py",
    "eight.py",
    "cloud_calls.py",
    "reconcile.py",
    "starts.py",
    "cloud_api.py",
    "terminal.py",
    "vm.py",
)


def main() -> int:
    """Run them; return how many failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    options = parser.parse_args()
    arguments = ["--quick"] if options.quick else []
    environment = os.environ | {"PYTHONPATH": f"{BENCH.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    failed = []
    for name in BENCHES:
        print(f"\n== {name} ==", flush=True)
        started = time.monotonic()
        if subprocess.run([sys.executable, str(BENCH / name), *arguments], env=environment, check=False).returncode:
            failed.append(name)
        print(f"({time.monotonic() - started:.0f} s)", flush=True)
    if failed:
        print(f"\nNot well: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
