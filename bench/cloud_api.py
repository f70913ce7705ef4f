"""The local cloud's API beside moto's server, over raw HTTP, in one run: speed, memory, start-up, and many machines.

Both are started as processes of their own and asked in turn, so that a busy moment meets both. Requests are signed
before the clock runs and answers are read to their last byte; nothing is parsed. The local cloud runs simulated
machines that take no time: what is measured is the cloud, not a hypervisor.

    python bench/cloud_api.py [--instances 1000] [--rounds 5] [--many 10000] [--quick] [--json FILE]

moto is installed, at the first time, into a virtual environment of its own (``--moto PYTHON`` names another one): it
is no part of the product.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlencode
from xml.etree import ElementTree

import psutil
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROOT = Path(__file__).resolve().parents[1]
VERSION = "2016-11-15"
AIM_DESCRIBE = 20.0
AIM_MEMORY = 1.0
AIM_START = 0.5
PER_CALL = 50
LIMIT_S = 600.0


@dataclass
class Server:
    """One cloud in a process of its own."""

    name: str
    port: int
    path: str
    process: subprocess.Popen[bytes]
    credentials: Credentials
    image_id: str = ""
    figures: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)

    def call(self, action: str, **query: str) -> tuple[float, bytes]:
        """Return the seconds from the first byte sent to the last one read, and the answer."""
        body = urlencode({"Action": action, "Version": VERSION, **{k.replace("__", "."): v for k, v in query.items()}})
        url = f"http://127.0.0.1:{self.port}{self.path}"
        kind = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        request = AWSRequest("POST", url, data=body.encode(), headers={"Host": f"127.0.0.1:{self.port}", **kind})
        SigV4Auth(self.credentials, "ec2", "us-east-1").add_auth(request)
        headers = dict(request.prepare().headers.items())
        begun = time.perf_counter()
        self.connection.request("POST", self.path, body=body.encode(), headers=headers)
        response = self.connection.getresponse()
        answer = response.read()
        took_s = time.perf_counter() - begun
        if response.status != 200:
            raise RuntimeError(f"{self.name}: {action}: {response.status} {answer[:500]!r}")
        return took_s, answer

    def note(self, what: str, value: float) -> None:
        """Keep a figure."""
        self.figures.setdefault(what, []).append(value)

    def median(self, what: str) -> float:
        """Return the middle of what was kept."""
        return statistics.median(self.figures[what])

    def memory_mb(self) -> float:
        """Return the resident memory."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def cpu_s(self) -> float:
        """Return the processor time that was used."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def run(self, count: int) -> None:
        """Start so many machines, at most 50 a request."""
        while count > 0:
            now = min(PER_CALL, count)
            self.call("RunInstances", ImageId=self.image_id, MinCount=str(now), MaxCount=str(now))
            count -= now

    def states(self) -> dict[str, int]:
        """Count machines by state."""
        _, answer = self.call("DescribeInstanceStatus", IncludeAllInstances="true")
        found: dict[str, int] = {}
        for element in ElementTree.fromstring(answer).iter(f"{{http://ec2.amazonaws.com/doc/{VERSION}/}}instanceState"):
            name = element.findtext(f"{{http://ec2.amazonaws.com/doc/{VERSION}/}}name", "")
            found[name] = found.get(name, 0) + 1
        return found

    def until(self, state: str) -> None:
        """Wait until every machine is in this state."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            begun = time.monotonic()
            states = self.states()
            if not set(states) - {state}:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: not every machine became {state}: {states}")
            # The answer about ten thousand costs the server something too: mostly it is left to its work.
            time.sleep(max(0.2, 2 * (time.monotonic() - begun)))

    def ids(self) -> list[str]:
        """Return every machine's id."""
        text = self.call("DescribeInstances")[1].decode()
        return [part.partition("<")[0] for part in text.split("<instanceId>")[1:]]


def write_image(home: Path) -> None:
    """Write what the image builder leaves, as far as simulated machines look at it."""
    folder = home / "images" / "tiny"
    folder.mkdir(parents=True)
    files = {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"}
    for name in files.values():
        (folder / name).write_bytes(name.encode())
    manifest = {
        "schema": 1, "name": "tiny", "version": "2026.11.22-01234567", "title": "tiny", "description": "for benchmarks",
        "architecture": "x86_64", "virtualization_type": "hvm", "root_device_type": "ebs", "files": files,
        "sha256": {name: hashlib.sha256(name.encode()).hexdigest() for name in files.values()},
        "root_size_bytes": 1 << 30, "min_memory_bytes": 128 << 20, "kernel_args": "console=ttyS0",
        "login_user": "student",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers(port: int, path: str) -> bool:
    """Whether a server answers anything at all there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


@dataclass(frozen=True)
class Began:
    """How long a process took to start. What counts is the first real answer: a server may answer a ping before it can
    do anything, as moto does, which loads what answers EC2 at the first request.
    """

    ping_s: float
    ready_s: float
    cpu_s: float


@contextmanager
def started(
    command: list[str],
    environment: dict[str, str],
    port: int,
    path: str,
    make: Callable[[subprocess.Popen[bytes]], Server],
) -> Iterator[tuple[Began, Server]]:
    """Start a server; yields how long it took until it answered DescribeInstances. It is ended at the end."""
    with tempfile.TemporaryFile() as said:
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        try:
            while not answers(port, path):
                if process.poll() is not None or time.perf_counter() - begun > 60:
                    said.seek(0)
                    raise RuntimeError(f"{command} did not start: {said.read().decode()[-2000:]}")
                time.sleep(0.005)
            ping_s = time.perf_counter() - begun
            server = make(process)
            server.call("DescribeInstances")
            ready_s = time.perf_counter() - begun
            yield Began(ping_s, ready_s, server.cpu_s()), server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def ours(home: Path) -> Iterator[tuple[Began, Server]]:
    """Start the local cloud."""
    port = free_port()
    if not (home / "images").exists():
        write_image(home)
    environment = {**os.environ, "EDUCLOUD_HOME": str(home), "PYTHONPATH": str(ROOT)}
    serve = "cloud", "serve", f"--port={port}", "--hypervisor=simulated", "--pace=0"

    def make(process: subprocess.Popen[bytes]) -> Server:
        account = json.loads((home / "cloud" / "credentials.json").read_text())["accounts"]["educloud"]
        credentials = Credentials(account["access_key"], account["secret_key"])
        return Server("local cloud", port, "/services/compute", process, credentials)

    command = [sys.executable, "-m", "educloud_lab", *serve]
    with started(command, environment, port, "/services/ping", make) as (began, server):
        server.image_id = server.call("DescribeImages")[1].decode().split("<imageId>")[1].partition("<")[0]
        yield began, server


@contextmanager
def moto(python: Path) -> Iterator[tuple[Began, Server]]:
    """Start moto's server."""
    port = free_port()
    command = [str(python), "-c", "import sys; from moto.server import main; main(sys.argv[1:])", "-p", str(port)]

    def make(process: subprocess.Popen[bytes]) -> Server:
        return Server("moto", port, "/", process, Credentials("AKIAIOSFODNN7EXAMPLE", "x" * 40))

    with started(command, dict(os.environ), port, "/moto-api/", make) as (began, server):
        text = server.call("DescribeImages", Owner__1="amazon")[1].decode()
        server.image_id = text.split("<imageId>")[1].partition("<")[0]
        yield began, server


def moto_python(chosen: str | None) -> Path:
    """Return the Python that has moto, after installing it into an environment of its own if need be."""
    if chosen:
        return Path(chosen)
    folder = ROOT / ".venv" / "bench-moto"
    python = folder / "bin" / "python"
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["bench"]
    mark = folder / "installed.json"
    if not mark.exists() or json.loads(mark.read_text()) != wanted:
        print(f"Installing {', '.join(wanted)} into {folder} ...", flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True, stderr=subprocess.DEVNULL)
        mark.write_text(json.dumps(wanted))
    return python


def in_turn(servers: list[Server], rounds: int, what: str, measure: Callable[[Server], float]) -> None:
    """Measure both, alternating."""
    for _ in range(rounds):
        for server in servers:
            server.note(what, measure(server))


def asked(server: Server, what: str, action: str, **query: str) -> float:
    """Ask three times; note the processor time of one answer, return its seconds."""
    cpu_s = server.cpu_s()
    took_s = statistics.median(server.call(action, **query)[0] for _ in range(3))
    server.note(f"{what}, CPU", (server.cpu_s() - cpu_s) / 3)
    return took_s


@dataclass(frozen=True)
class Row:
    """One line of the table. ``aim`` bounds the ratio: from below for speeds, from above for sizes."""

    what: str
    unit: str
    ours: float
    moto: float
    ratio: float
    aim: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        verdict = "" if self.met is None else ("met" if self.met else "MISSED")
        figures = f"{self.ours:9.1f} {self.unit:<3}{self.moto:9.1f} {self.unit:<3} {self.ratio:6.2f}"
        return f"{self.what:<48}{figures}  {self.aim} {verdict}".rstrip()


def faster(own: Server, other: Server, what: str, key: str, aim: float | None = None) -> Row:
    """Compare how long something takes; the ratio is how many times as fast ours is."""
    mine, theirs = own.median(key), other.median(key)
    ratio = theirs / max(mine, 1e-9)
    met = None if aim is None else ratio >= aim
    return Row(what, "ms", mine * 1e3, theirs * 1e3, ratio, "" if aim is None else f">= {aim:g}x", met)


def less(what: str, unit: str, mine: float, theirs: float, aim: float | None) -> Row:
    """Compare what something costs; the ratio is ours divided by moto's."""
    if aim is None:
        return Row(what, unit, mine, theirs, mine / theirs)
    sign = "<" if aim == AIM_MEMORY else "<="
    return Row(what, unit, mine, theirs, mine / theirs, f"{sign} {aim:g}x", mine / theirs <= aim)


def compare(python: Path, work: Path, *, instances: int, rounds: int) -> list[Row]:
    """Measure the local cloud beside moto; returns one row a question."""
    starts: dict[str, list[Began]] = {"ours": [], "moto": []}
    for number in range(rounds + 1):
        home = work / ("home" if number else "fresh")  # the first one makes its state as well: not counted
        for key, context in (("ours", ours(home)), ("moto", moto(python))):
            with context as (began, _server):
                if number:
                    starts[key].append(began)
        if not number:
            (work / "fresh").rename(work / "home")
    with ours(work / "home") as (_, own), moto(python) as (_, other):
        servers = [own, other]
        for server in servers:
            server.note("memory at start", server.memory_mb())
            server.run(1)
            server.until("running")
            server.call("DescribeInstances")
        in_turn(servers, max(10, 4 * rounds), "describe 1", lambda server: server.call("DescribeInstances")[0])

        def run_some(server: Server) -> float:
            one = {"ImageId": server.image_id, "MinCount": "1", "MaxCount": "1"}
            return sum(server.call("RunInstances", **one)[0] for _ in range(10)) / 10

        in_turn(servers, rounds, "run one", run_some)
        for server in servers:
            server.run(instances - len(server.ids()))
            server.until("running")
            assert len(server.ids()) == instances
        in_turn(servers, rounds, "many", lambda server: asked(server, "many", "DescribeInstances"))
        everything = {"IncludeAllInstances": "true"}
        in_turn(
            servers, rounds, "status", lambda server: asked(server, "status", "DescribeInstanceStatus", **everything)
        )
        for server in servers:
            server.note("memory", server.memory_mb())

        def begin(name: str, what: str, aim: float | None = None) -> Row:
            mine, theirs = (1e3 * statistics.median(getattr(began, what) for began in starts[key]) for key in starts)
            return less(name, "ms", mine, theirs, aim)

        aim = AIM_DESCRIBE if instances >= 1000 else None
        return [
            faster(own, other, "DescribeInstances, 1 instance", "describe 1"),
            faster(own, other, f"DescribeInstances, {instances} instances", "many", aim),
            faster(own, other, "  its processor time", "many, CPU", aim),
            faster(own, other, f"DescribeInstanceStatus, {instances} instances", "status"),
            faster(own, other, "  its processor time", "status, CPU"),
            faster(own, other, "RunInstances of one", "run one"),
            begin("start-up, to the first DescribeInstances", "ready_s", AIM_START),
            begin("  its processor time", "cpu_s"),
            begin("  to the first answer of any kind", "ping_s"),
            less(
                "resident memory at the start",
                "MB",
                own.median("memory at start"),
                other.median("memory at start"),
                1.0,
            ),
            less(f"resident memory with {instances}", "MB", own.median("memory"), other.median("memory"), AIM_MEMORY),
        ]


def many(work: Path, count: int) -> dict[str, float]:
    """Take so many machines through their life in one process; returns seconds (and MB)."""
    found: dict[str, float] = {}
    with ours(work / "many") as (_, server):

        def phase(name: str, state: str, act: Callable[[], object]) -> None:
            cpu_s, begun = server.cpu_s(), time.perf_counter()
            act()
            server.until(state)
            found[name] = time.perf_counter() - begun
            found[f"{name}_cpu_s"] = server.cpu_s() - cpu_s

        def each(action: str) -> None:
            for start in range(0, count, 500):
                server.call(action, **{f"InstanceId__{n}": key for n, key in enumerate(ids[start : start + 500], 1)})

        phase("run", "running", lambda: server.run(count))
        ids = server.ids()
        found["describe"] = statistics.median(server.call("DescribeInstances")[0] for _ in range(3))
        found["memory_mb"] = server.memory_mb()
        cpu_s, begun = server.cpu_s(), time.perf_counter()
        time.sleep(5.0)
        found["idle_cpu_percent"] = 100 * (server.cpu_s() - cpu_s) / (time.perf_counter() - begun)
        phase("stop", "stopped", lambda: each("StopInstances"))
        phase("start", "running", lambda: each("StartInstances"))
    with ours(work / "many") as (began, server):
        found["start_up_again"] = began.ready_s
        server.until("running")
        phase("terminate", "terminated", lambda: each("TerminateInstances"))
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, default=10000)
    parser.add_argument("--quick", action="store_true", help="3 rounds, 300 instances, 1000 instead of 10000")
    parser.add_argument("--moto", metavar="PYTHON", help="a Python that has moto[server]")
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    instances, rounds, count = chosen.instances, chosen.rounds, chosen.many
    if chosen.quick:
        instances, rounds, count = 300, 3, 1000
    python = moto_python(chosen.moto)
    with tempfile.TemporaryDirectory(prefix="ec-") as name:
        rows = compare(python, Path(name), instances=instances, rounds=rounds)
        print(f"{'':<48}{'local cloud':>12} {'moto':>12}  ratio  aim")
        for row in rows:
            print(row)
        life = many(Path(name), count)
        print(f"\n{count} machines in one process (no time passes for the machines themselves):")
        for what in ("run", "stop", "start", "terminate"):
            cpu_ms = 1e3 * life[f"{what}_cpu_s"] / count
            print(f"  {what:<12}{life[what]:8.1f} s   {count / life[what]:8.0f} a second, {cpu_ms:.1f} ms CPU each")
        print(f"  describe all {life['describe']:7.2f} s; start-up with them {life['start_up_again']:.1f} s;"
              f" {life['memory_mb']:.0f} MB; {life['idle_cpu_percent']:.1f} % of a processor at rest")  # fmt: skip
    if chosen.json is not None:
        found = {"rows": [asdict(row) for row in rows], "many": {"count": count, **life}}
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
