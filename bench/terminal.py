"""Our terminal beside JupyterLab's own terminal running ``ssh``, in one interleaved run against one sshd on loopback.

Prints a table with the ratios and what is aimed at. Bounded in count and time; uses loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from terminal_rig import Rig

KINDS = ("ours", "jupyterlab")
SLOW_BYTES_PER_S = 5e6


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def echo(pages, result, count):
    """One key, one echo, by a remote cat on a raw terminal."""
    for page in pages.values():
        await page.command("stty raw -echo; printf 'RA''W'; exec cat", "RAW")
    times = {kind: [] for kind in KINDS}
    for round_ in range(count // 20):
        for kind in KINDS if round_ % 2 else reversed(KINDS):
            for _ in range(20):
                began = time.perf_counter()
                pages[kind].send("stdin", "k")
                while not await pages[kind].next():
                    pass
                times[kind].append((time.perf_counter() - began) * 1e3)
    result["echo p50, ms"] = {kind: statistics.median(times[kind]) for kind in KINDS}


async def bursts(pages, result, count):
    """Five keys, 1 ms apart; until the last is echoed (the terminals are those of `echo`)."""
    times = {kind: [] for kind in KINDS}
    for round_ in range(count):
        for kind in KINDS if round_ % 2 else reversed(KINDS):
            page, got = pages[kind], 0
            for key in range(5):
                if key:
                    await asyncio.sleep(0.001)
                page.send("stdin", "k")
            sent = time.perf_counter()
            while got < 5:
                got += len(await page.next())
            times[kind].append((time.perf_counter() - sent) * 1e3)
            await asyncio.sleep(0.02)
    result["five keys 1 ms apart, last echo p90, ms"] = {kind: percentile(times[kind], 0.9) for kind in KINDS}


async def bulk(rig, pages, result, megabytes, rounds):
    """A text file through the terminal, as fast as the page takes it."""
    path = rig.folder / "bulk.txt"
    line = b"2026-11-22 12:00:00 INFO worker-17 request handled in 12.3 ms, status 200, 1832 bytes\n"
    path.write_bytes(line * (megabytes * 1_000_000 // len(line)))
    speeds, cpu = {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS}
    for round_ in range(rounds):
        for kind in KINDS if round_ % 2 else reversed(KINDS):
            page = pages[kind]
            page.received_bytes, used, began = 0, rig.cpu_s(), time.perf_counter()
            await page.command(f"cat {path}; printf 'EN''D\\n'", "END\r\n", 120)
            took = time.perf_counter() - began
            speeds[kind].append(page.received_bytes / took / 1e6)
            cpu[kind].append((rig.cpu_s() - used) / page.received_bytes * 1e8)
    result["bulk, MB/s"] = {kind: statistics.median(speeds[kind]) for kind in KINDS}
    result["bridge CPU, s per 100 MB"] = {kind: statistics.median(cpu[kind]) for kind in KINDS}


async def memory_and_opening(rig, result, sessions):
    """More terminals on a machine that has one already."""
    megabytes, opening = {}, {}
    for kind in KINDS:
        before = rig.memory_mb()
        opened = [await rig.open(kind) for _ in range(sessions)]
        megabytes[kind] = (rig.memory_mb() - before) / sessions
        opening[kind] = statistics.median(page.opened_ms for page in opened)
        for page in opened:
            await page.close()
    result[f"memory a session ({sessions} sessions), MB"] = megabytes
    result["another shell on the same machine, ms"] = opening


async def interrupt(rig, result, flood_s):
    """Ctrl-C to prompt when the page shows 5 MB/s of a flood."""
    times = {}
    for kind in KINDS:
        page = await rig.open(kind)
        page.send("stdin", "yes 0123456789abcdef0123456789abcdef0123456789abcdef\r")
        until = time.perf_counter() + flood_s
        while time.perf_counter() < until:
            await page.next(SLOW_BYTES_PER_S)
        page.tail = ""
        began = time.perf_counter()
        page.send("stdin", "\x03")
        try:
            await page.until("READY> ", 60, SLOW_BYTES_PER_S)
        except TimeoutError:
            print(f"  ({kind}: no prompt within 60 s)")
        times[kind] = time.perf_counter() - began
        await page.close()
    result["Ctrl-C to prompt, page at 5 MB/s, s"] = times


async def stalled(rig, result, stall_s):
    """A page that reads nothing while a flood runs."""
    growth = {}
    for kind in KINDS:
        page = await rig.open(kind)
        before = rig.server_rss_mb()
        page.send("stdin", "yes 0123456789abcdef0123456789abcdef0123456789abcdef\r")
        await asyncio.sleep(stall_s)
        growth[kind] = rig.server_rss_mb() - before
        page.send("stdin", "\x03")
        await page.close()
        await asyncio.sleep(1)
    result[f"stalled page, {stall_s:g} s of flood: server growth, MB"] = growth


async def flood(rig, result, megabytes):
    """A long flood into one page that keeps up; ours only, bounded in time."""
    page = await rig.open("ours")
    await page.command("seq 1 300000", "300000", 60)  # the log is full before the first measurement
    before, most, looked = rig.server_rss_mb(), 0.0, 0.0
    page.received_bytes, began = 0, time.perf_counter()
    page.send("stdin", "yes 0123456789abcdef0123456789abcdef0123456789abcdef\r")
    while page.received_bytes < megabytes * 1e6 and time.perf_counter() - began < 180:
        await page.next()
        if time.perf_counter() - looked > 0.2:
            looked = time.perf_counter()
            most = max(most, rig.server_rss_mb() - before)
    done = page.received_bytes / 1e6
    page.tail = ""
    pressed = time.perf_counter()
    page.send("stdin", "\x03")
    await page.until("READY> ", 30)
    result[f"flood of {done:.0f} MB: server growth at most, MB"] = {"ours": most}
    result["Ctrl-C after it, ms"] = {"ours": (time.perf_counter() - pressed) * 1e3}
    await page.close()


# The first word of a name, and what our value should be: a factor of JupyterLab's (ratio: at most), or a plain bound.
AIMS = (
    ("echo", "ratio", 0.95),
    ("five keys", "ratio", 0.1),
    ("bulk", "at least", 1.8),
    ("bridge CPU", "ratio", 0.45),
    ("Ctrl-C to prompt", "ratio", 0.2),
    ("stalled", "bound", 2.0),
    ("memory", "ratio", 0.15),
    ("another shell", "ratio", 0.1),
    ("flood", "bound", 32.0),
    ("Ctrl-C after", "bound", 500.0),
)


def judge(name, values):
    """Return (ratio, aim, whether it is met)."""
    ours, theirs = values["ours"], values.get("jupyterlab")
    ratio = ours / theirs if theirs else None
    kind, limit = next((kind, limit) for start, kind, limit in AIMS if name.startswith(start))
    if kind == "bound":
        return ratio, f"<= {limit:g}", ours <= limit
    if kind == "at least":
        return ratio, f">= {limit:g}x", ratio is not None and ratio >= limit
    return ratio, f"<= {limit:g}x", ratio is not None and ratio <= limit


def show(result):
    width = max(len(name) for name in result)
    print(f"\n{'':{width}}  {'ours':>9}  {'JupyterLab':>10}  {'ratio':>6}  {'aim':>8}")
    met = 0
    for name, values in result.items():
        ratio, aim, good = judge(name, values)
        met += good
        theirs = f"{values['jupyterlab']:10.2f}" if "jupyterlab" in values else f"{'-':>10}"
        shown = f"{ratio:6.3f}" if ratio is not None else f"{'-':>6}"
        print(f"{name:{width}}  {values['ours']:9.2f}  {theirs}  {shown}  {aim:>8}  {'met' if good else 'NOT MET'}")
    print(f"\n{met} of {len(result)} aims met")


async def run(rig, options):
    result = {}
    pages = {kind: await rig.open(kind) for kind in KINDS}
    await echo(pages, result, 100 if options.quick else 400)
    await bursts(pages, result, 30 if options.quick else 100)
    for page in pages.values():
        await page.close()
    pages = {kind: await rig.open(kind) for kind in KINDS}
    await bulk(rig, pages, result, 20 if options.quick else 60, 3 if options.quick else 5)
    await memory_and_opening(rig, result, 20)
    await interrupt(rig, result, 2 if options.quick else 4)
    await flood(rig, result, options.flood_mb or (200 if options.quick else 1000))
    await stalled(rig, result, 3 if options.quick else 6)  # last: what JupyterLab's terminal took is not given back
    for page in pages.values():
        await page.close()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under a minute")
    parser.add_argument("--flood-mb", type=int, help="size of the long flood (1000; 200 with --quick)")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="educloud-bench-") as folder, Rig(Path(folder)) as rig:
        result = asyncio.run(asyncio.wait_for(run(rig, options), 600))
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
