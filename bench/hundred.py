"""A hundred warm starts: no two machines may share random bytes, host keys, machine ids or addresses.

They are started a few at a time from one template, each tells by SSH what it is, and is ended. The exit status is 1
when two share anything, or when one of them booted instead.

    python bench/hundred.py [IMAGES] [--machines 100] [--at-once 4]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
from collections import Counter, defaultdict
from pathlib import Path

from fleet import Fleet, Ready, fleet

from educloud_lab.localcloud.settings import default_home

# Asked as the first command of each machine. What sshd itself draws (its key exchange) is not seen, but it comes from
# the same generator after the same reseeding.
WHO = r"""
echo random $(head -c 32 /dev/urandom | xxd -p -c 64)
echo uuid $(cat /proc/sys/kernel/random/uuid)
echo boot-id $(cat /proc/sys/kernel/random/boot_id)
echo machine-id $(cat /etc/machine-id)
echo mac $(cat /sys/class/net/eth0/address)
echo address $(ip -o -4 addr show eth0 | awk '{ print $4 }')
echo host-key $(cat /etc/ssh/ssh_host_ed25519_key.pub | cut -d ' ' -f 2)
echo seed $(sudo sha256sum /var/lib/educloud/random-seed | cut -d ' ' -f 1)
echo python $(python3 -c 'import os, random; print(os.urandom(16).hex(), random.getrandbits(64))')
echo hash $(python3 -c 'print(hash("educloud"))')
echo stack $(sudo cat /proc/$(cat /run/sshd.pid)/maps | head -1 | cut -d - -f 1)
"""
MUST_DIFFER = ("random", "uuid", "boot-id", "machine-id", "mac", "address", "host-key", "seed", "python", "hash")


async def measure(image: Path, *, machines: int, at_once: int) -> int:
    """Start them all; return the number of things that two share, and of machines that booted."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    times: list[float] = []
    cold = 0
    places = asyncio.Semaphore(at_once)

    async def one(made: Fleet, number: int) -> None:
        nonlocal cold
        async with places:
            ready: Ready = await made.start(number, WHO)
            times.append(ready.answered_s)
            cold += not ready.template
            for line in ready.said.splitlines():
                what, _, value = line.partition(" ")
                found[what][value] += 1
            await made.end(ready)
        if len(times) % 10 == 0:
            print(f"{len(times)} of {machines}", flush=True)

    async with fleet(image) as made:
        await made.template()
        await asyncio.gather(*(one(made, number) for number in range(1, machines + 1)))
    print(f"\n{'':12}{'different':>10}  of {machines}")
    shared = 0
    for what in (*MUST_DIFFER, "stack"):
        different = len(found[what])
        counted = sum(found[what].values())
        wrong = what in MUST_DIFFER and (different != machines or counted != machines or "" in found[what])
        shared += wrong
        print(f"{what:12}{different:10}{'  SHARED' if wrong else ''}")
    print(f"booted instead: {cold}; answered after {statistics.median(times):.1f} s (median, with what was asked)")
    return shared + cold


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = Path(os.environ.get("EDUCLOUD_TEST_IMAGES") or default_home() / "images")
    parser.add_argument("images", type=Path, nargs="?", default=default, help="folder of built images")
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    image = options.images.resolve() / "tiny"
    if not (image / "manifest.json").is_file():
        sys.exit(f"{options.images} holds no image 'tiny'. Run: educloud image build")
    return min(1, asyncio.run(measure(image, machines=options.machines, at_once=options.at_once)))


if __name__ == "__main__":
    sys.exit(main())
