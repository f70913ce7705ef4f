"""Cells on a machine: what a command through the run socket costs beside ssh with a shared connection, to one sshd.

    python bench/vm.py [--quick]

Baseline: OpenSSH's client with ControlMaster (one process a command, one connection for all), to the same sshd, with
runs of both kinds in turn. Aims: at most 30 ms over it (p50), 100 MB of output without the server's growing by more
than 2 MB, an interrupt within a second, eight connections at once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from terminal_rig import Rig
from terminal_server import LEASE

from educloud_lab.client.find import Server
from educloud_lab.client.running import begin
from educloud_lab.wire.run import RunRequest


class VmRig(Rig):
    """The terminal bench's sshd and Jupyter server, and a control master beside them."""

    forced_command = ""

    def __enter__(self):
        super().__enter__()
        self.control = [each for each in self.ssh if each != "-tt"][:-1]
        self.control += ["-o", f"ControlPath={self.folder}/c", "127.0.0.1"]
        # In the background it would keep pipes of ours open: it has none.
        master = [*self.control[:-1], "-M", "-N", "-f", "127.0.0.1"]
        subprocess.run(
            master, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )
        self.server = Server(f"http://127.0.0.1:{self.port}/", self.token)
        return self

    def __exit__(self, *rest):
        subprocess.run([*self.control[:-1], "-O", "exit", "127.0.0.1"], capture_output=True, check=False)
        super().__exit__(*rest)

    def by_ssh(self, script):
        began = time.perf_counter()
        done = subprocess.run([*self.control, script], capture_output=True, check=False, stdin=subprocess.DEVNULL)
        return (time.perf_counter() - began) * 1e3, done.stdout

    def by_us(self, script, lease=LEASE):
        began = time.perf_counter()
        running = begin(self.server, lease, RunRequest(script=script))
        text = "".join(text for _, text in running)
        return (time.perf_counter() - began) * 1e3, text.encode()


def quantiles(values):
    ordered = sorted(values)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.9)]


def per_cell(rig, count):
    """One command after the other, in turn."""
    times = {"ssh": [], "ours": []}
    for number in range(count + 5):
        for kind, run in (("ssh", rig.by_ssh), ("ours", rig.by_us)):
            spent_ms, output = run(f"echo {number}")
            assert output == f"{number}\n".encode(), (kind, output)
            if number >= 5:  # the first ones connect and import
                times[kind].append(spent_ms)
    return times


def bulk(rig, size_mb):
    """A large output: how fast, and what it leaves in the server."""
    script = f"head -c {size_mb}000000 /dev/zero | tr '\\0' x"
    ssh_ms, output = rig.by_ssh(script)
    assert len(output) == size_mb * 1_000_000
    del output
    # Once before, so that what stays in use from the first time on is not taken for growth.
    for _ in begin(rig.server, LEASE, RunRequest(script=script.replace(f"{size_mb}000000", "20000000"))):
        pass
    before_mb = rig.server_rss_mb()
    highest_mb, over = before_mb, threading.Event()

    def watch():
        nonlocal highest_mb
        while not over.wait(0.02):
            highest_mb = max(highest_mb, rig.server_rss_mb())

    watching = threading.Thread(target=watch)
    watching.start()
    cpu_s = rig.cpu_s()
    began = time.perf_counter()
    size = sum(len(text) for _, text in begin(rig.server, LEASE, RunRequest(script=script)))
    ours_ms = (time.perf_counter() - began) * 1e3
    over.set()
    watching.join()
    assert size == size_mb * 1_000_000
    return {"ssh_ms": ssh_ms, "ours_ms": ours_ms, "grown_mb": highest_mb - before_mb, "cpu_s": rig.cpu_s() - cpu_s}


def stalled(rig):
    """A reader that takes nothing from a flood: what the server holds then, and how soon an interrupt ends it."""
    before_mb = rig.server_rss_mb()
    running = begin(rig.server, LEASE, RunRequest(script="yes 0123456789abcdef"))
    pieces = iter(running)
    next(pieces)
    time.sleep(3)
    grown_mb = rig.server_rss_mb() - before_mb
    began = time.perf_counter()
    running.interrupt()
    for _ in pieces:
        pass
    return grown_mb, time.perf_counter() - began


def interrupts(rig, count):
    """From the interrupt to the end of a command that sleeps, with a child in a process group of its own."""
    spent_ms = []
    for _ in range(count):
        running = begin(rig.server, LEASE, RunRequest(script="echo begun; timeout 600 sleep 600"))
        pieces = iter(running)
        next(pieces)
        began = time.perf_counter()
        running.interrupt()
        assert running.wait().exit_status == 130
        spent_ms.append((time.perf_counter() - began) * 1e3)
    return spent_ms


def eight(rig, count):
    """Eight machines at once, a connection and a socket each: commands a second, beside one machine."""

    def work(lease):
        for _ in range(count):
            rig.by_us("echo x", lease)

    leases = [f"{LEASE}-{number}" for number in range(8)]
    for lease in leases:
        rig.by_us("true", lease)
    began = time.perf_counter()
    work(leases[0])
    one = count / (time.perf_counter() - began)
    threads = [threading.Thread(target=work, args=(lease,)) for lease in leases]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return one, 8 * count / (time.perf_counter() - began)


def main():
    """Run it; return 0 when all aims are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    options = parser.parse_args()
    count = 30 if options.quick else 200
    with tempfile.TemporaryDirectory() as folder, VmRig(Path(folder)) as rig:
        times = per_cell(rig, count)
        (ssh, ssh90), (ours, ours90) = quantiles(times["ssh"]), quantiles(times["ours"])
        output = bulk(rig, 100)
        stalled_mb, flood_s = stalled(rig)
        ended = quantiles(interrupts(rig, 5 if options.quick else 30))
        one, all_eight = eight(rig, 10 if options.quick else 50)
    print(f"a cell (echo), {count} each in turn    ssh with ControlMaster p50 {ssh:.1f} p90 {ssh90:.1f} ms")
    print(f"                                   ours                   p50 {ours:.1f} p90 {ours90:.1f} ms")
    print(f"  over it, p50                     {ours - ssh:+.1f} ms (aim: under +30)")
    print(
        f"100 MB of output                   {output['ours_ms'] / output['ssh_ms']:.2f}x ssh's time,"
        f" server's CPU {output['cpu_s']:.2f} s, server grew by {output['grown_mb']:.1f} MB at most (aim: 2)"
    )
    print(
        f"a reader that takes nothing        server grew by {stalled_mb:.1f} MB (aim: 2);"
        f" interrupted, it ended after {flood_s:.2f} s (aim: 1)"
    )
    print(f"interrupt to end                   p50 {ended[0]:.0f} p90 {ended[1]:.0f} ms (aim: under 1000)")
    print(f"eight machines at once             {all_eight / one:.2f}x the commands a second of one")
    met = {
        "cell": ours - ssh < 30,
        "output": output["grown_mb"] <= 2,
        "stalled": stalled_mb <= 2,
        "flood": flood_s < 1,
        "interrupt": ended[1] < 1000,
    }
    print(json.dumps({"met": met}))
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
