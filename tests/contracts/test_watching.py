"""Watching the local cloud: figures for Prometheus, log lines that name their request, and the table of watch."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import logging
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import httpx
import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from prometheus_client.parser import text_string_to_metric_families

from educloud_lab.localcloud import logs
from educloud_lab.localcloud.adminclient import fetch
from educloud_lab.localcloud.clock import VirtualClock
from educloud_lab.localcloud.errors import NotRunningError
from educloud_lab.localcloud.hypervisor.base import HypervisorError
from educloud_lab.localcloud.overview import look
from educloud_lab.localcloud.service import LocalCloud
from educloud_lab.localcloud.settings import Folders, Settings
from educloud_lab.localcloud.tracing import NamesRequest
from tests.patience import LIMIT_S


class Watched:
    """A local cloud with simulated machines on a virtual clock, asked over HTTP."""

    def __init__(self, home, write_image):
        write_image(home, "tiny", "ebs")
        self.clock = VirtualClock()
        self.folders = Folders(home)
        settings = Settings(self.folders, hypervisor="simulated", watch_period_s=0.02, simulated_pace=2.0)
        self.cloud = LocalCloud(settings, clock=self.clock)
        self.runner = web.AppRunner(self.cloud.api.application(), access_log=None, shutdown_timeout=0.5)

    async def open(self):
        await self.cloud.open()
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{self.runner.addresses[0][1]}"
        endpoint = {"endpoint_url": f"http://{self.host}/services/compute"}
        self.folders.announcement.write_text(json.dumps(endpoint))
        self.http = httpx.AsyncClient(base_url=f"http://{self.host}", trust_env=False, timeout=LIMIT_S)

    async def close(self):
        await self.http.aclose()
        await self.runner.cleanup()
        await self.cloud.close()

    async def get(self, path, account=None):
        headers = {}
        if account is not None:
            found, secret = self.cloud.accounts.named(account)
            request = AWSRequest("GET", f"http://{self.host}{path}", headers={"Host": self.host})
            SigV4Auth(Credentials(found.access_key, secret), "ec2", "eucalyptus").add_auth(request)
            headers = dict(request.prepare().headers.items())
        return await self.http.get(path, headers=headers)

    async def call(self, action, account="educloud", **query):
        pairs = "&".join(f"{name.replace('__', '.')}={value}" for name, value in query.items())
        return await self.get(
            f"/services/compute?Action={action}&Version=2016-11-15{'&' if pairs else ''}{pairs}", account
        )

    async def figures(self):
        answer = await self.get("/metrics", "eucalyptus")
        assert answer.status_code == 200, answer.text
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    async def run(self):
        image = re.search(r"<imageId>([ae]mi-\w+)", (await self.call("DescribeImages")).text)[1]
        answer = await self.call("RunInstances", ImageId=image, MinCount=1, MaxCount=1)
        assert answer.status_code == 200, answer.text
        machine = re.search(r"<instanceId>(i-\w+)", answer.text)[1]
        return machine, re.search(r"<requestId>([\w-]+)", answer.text)[1]

    async def until(self, what):
        deadline = time.monotonic() + LIMIT_S
        while not (found := await what()):
            assert time.monotonic() < deadline, "it never came about"
            self.clock.advance(0.5)
            await asyncio.sleep(0.01)
        return found

    async def until_running(self, machine):
        async def running():
            return "<name>running" in (await self.call("DescribeInstances", InstanceId__1=machine)).text

        await self.until(running)


@pytest.fixture
async def watched(tmp_path, write_image):
    watched = Watched(tmp_path, write_image)
    await watched.open()
    yield watched
    await watched.close()


@pytest.fixture
def write_image():
    def write(home, name, root_device_type):
        folder = home / "images" / name
        folder.mkdir(parents=True)
        files = {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"}
        for file in files.values():
            (folder / file).write_bytes(file.encode())
        manifest = {
            "schema": 1, "name": name, "version": "1", "title": name, "description": "x", "architecture": "x86_64",
            "virtualization_type": "hvm", "root_device_type": root_device_type, "files": files,
            "sha256": {n: hashlib.sha256(n.encode()).hexdigest() for n in files.values()},
            "root_size_bytes": 1 << 30, "min_memory_bytes": 128 << 20, "kernel_args": "x", "login_user": "student",
        }  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return write


# Figures


async def test_only_the_administrator_reads_the_figures(watched):
    for account in (None, "educloud"):
        answer = await watched.get("/metrics", account)
        assert answer.status_code == 403
        assert "educloud_cloud_" not in answer.text
    answer = await watched.get("/metrics", "eucalyptus")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")


async def test_the_figures_tell_what_was_asked_and_what_there_is(watched):
    before = await watched.figures()
    machine, _ = await watched.run()
    during = await watched.figures()
    assert during["educloud_cloud_instances", ("state", "pending")] == 1
    assert during["educloud_cloud_memory_promised_bytes",] > before["educloud_cloud_memory_promised_bytes",]
    assert before["educloud_cloud_instance_start_seconds_count",] == 0
    await watched.until_running(machine)
    await watched.call("DescribeInstances", InstanceId__1="i-0123456789abcdef0")
    await watched.call("NoSuchAction")
    after = await watched.figures()
    assert after["educloud_cloud_instances", ("state", "pending")] == 0
    assert after["educloud_cloud_instances", ("state", "running")] == 1
    assert after["educloud_cloud_volumes", ("state", "in-use")] == 1
    requests = "educloud_cloud_requests_total"
    assert after[requests, ("action", "RunInstances"), ("outcome", "ok")] == 1
    assert after[requests, ("action", "DescribeInstances"), ("outcome", "InvalidInstanceID.NotFound")] == 1
    assert after[requests, ("action", "unknown"), ("outcome", "BadRequest")] == 1
    assert not any("NoSuchAction" in str(key) for key in after)
    assert after["educloud_cloud_request_seconds_count", ("action", "RunInstances")] == 1
    # By the cloud's clock, on which a start takes two seconds here.
    assert after["educloud_cloud_instance_start_seconds_count",] == 1
    assert after["educloud_cloud_instance_start_seconds_sum",] >= 2
    assert after["educloud_cloud_disk_free_bytes",] > 0
    assert after["process_resident_memory_bytes",] > 0


async def test_the_command_prints_what_the_administrator_may_read(watched):
    text = await asyncio.to_thread(fetch, watched.folders, "/metrics")
    assert "educloud_cloud_instances" in {family.name for family in text_string_to_metric_families(text)}
    watched.folders.announcement.unlink()
    with pytest.raises(NotRunningError, match="educloud cloud start"):
        await asyncio.to_thread(fetch, watched.folders, "/metrics")


# Requests by name


async def test_the_answers_request_id_finds_what_it_caused(watched):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(NamesRequest())
    handler.setFormatter(logging.Formatter(logs.FORMAT))
    logger = logging.getLogger("educloud")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        first, _ = await watched.run()
        await watched.until_running(first)
        watched.cloud.hypervisor.refuse_next_start(HypervisorError("this machine cannot start"))
        machine, request_id = await watched.run()

        async def failed():
            return "terminated" in (await watched.call("DescribeInstances", InstanceId__1=machine)).text

        await watched.until(failed)
    finally:
        logger.removeHandler(handler)
    named = [line for line in stream.getvalue().splitlines() if request_id in line]
    assert any("RunInstances" in line for line in named)
    assert any("this machine cannot start" in line and machine in line for line in named)  # the supervisor's work
    assert not any(first in line for line in named)
    events = look(watched.folders).events
    assert {event["request_id"] for event in events if event["resource"] == machine} == {request_id}


def test_the_log_is_rotated_while_the_process_runs(tmp_path):
    """Also for what is printed: nothing goes on into the file that was put away."""
    path = tmp_path / "api.log"
    program = (
        "import logging, pathlib, sys\n"
        "from educloud_lab.localcloud import logs\n"
        f"logs.configure(logging.INFO, pathlib.Path({str(path)!r}), 2000)\n"
        "for number in range(100): logging.getLogger('educloud.x').info('line %d', number)\n"
        "print('printed at the end', file=sys.stderr, flush=True)\n"
    )
    with path.open("ab") as stream:
        subprocess.run([sys.executable, "-c", program], stdout=stream, stderr=stream, check=True, timeout=LIMIT_S)
    assert {file.name for file in tmp_path.iterdir()} == {"api.log", "api.log.1", "api.log.2"}
    assert path.stat().st_size < 3000
    assert path.read_text().endswith("printed at the end\n")
    assert "line 99" in path.read_text()


def test_the_gateways_log_is_rotated_as_well(tmp_path):
    """It is told which file its output goes to; a file that its output does not go to is left alone."""
    path = tmp_path / "gateway.log"
    program = (
        "import logging, pathlib, sys\n"
        "from educloud_lab.app.gateway_app import configure\n"
        f"configure(logging.INFO, {str(path)!r}, 1000)\n"
        "for number in range(100): logging.getLogger('educloud.gateway').info('line %d', number)\n"
        "print('printed at the end', file=sys.stderr, flush=True)\n"
    )
    with path.open("ab") as stream:
        subprocess.run([sys.executable, "-c", program], stdout=stream, stderr=stream, check=True, timeout=LIMIT_S)
    assert {file.name for file in tmp_path.iterdir()} == {"gateway.log", "gateway.log.1", "gateway.log.2"}
    assert path.read_text().endswith("printed at the end\n")
    before = path.read_bytes()
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=LIMIT_S)
    assert b"line 99" in ran.stderr
    assert path.read_bytes() == before


# The table


async def test_watch_shows_what_there_is_whether_the_cloud_runs_or_not(watched, tmp_path):
    machine, request_id = await watched.run()
    await watched.until_running(machine)
    await watched.call("CreateTags", ResourceId__1=machine, Tag__1__Key="Name", Tag__1__Value="%1B[2Jevil")
    lines = await command(tmp_path, "watch", "--once")
    assert "does not run" in lines[0]  # of this process nobody wrote down where it answers
    assert any(line.startswith(f"machine {machine} running") for line in lines)
    assert any(line.startswith("volume vol-") and "in-use" in line and machine in line for line in lines)
    assert any(line.startswith("image ") and "tiny" in line for line in lines)
    assert any(machine in line and request_id in line for line in lines)  # an event
    assert "\x1b" not in "".join(lines)
    (document,) = await command(tmp_path, "watch", "--once", "--json")
    assert [row["id"] for row in json.loads(document)["machines"]] == [machine]
    await watched.cloud.close()
    assert any(machine in line for line in await command(tmp_path, "watch", "--once"))


async def test_watch_of_nothing_is_no_error(tmp_path):
    assert "does not run" in (await command(tmp_path, "watch", "--once"))[0]


async def test_watch_draws_a_table_and_q_ends_it(watched, tmp_path):
    machine, _ = await watched.run()
    await watched.until_running(machine)
    shown, status = await asyncio.to_thread(in_a_terminal, tmp_path, machine, b"q")
    assert status == 0
    assert "running" in shown
    shown, status = await asyncio.to_thread(in_a_terminal, tmp_path, machine, signal.SIGINT)
    assert status == 0
    assert "Traceback" not in shown
    assert shown.rstrip().endswith("\x1b[?25h") or "\x1b[?1049l" in shown  # the screen is given back


def environment(home):
    return {**os.environ, "EDUCLOUD_HOME": str(home), "TERM": "xterm", "LINES": "40", "COLUMNS": "140"}


async def command(home, *arguments):
    """Run an ``educloud cloud`` command; returns its lines."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "educloud_lab", "cloud", *arguments,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(home),
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


def in_a_terminal(home, wanted, end):
    """Run watch in a pseudo-terminal until it shows something, then end it; returns what it wrote and its status."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "educloud_lab", "cloud", "watch", "--period=0.2"],
        stdin=side, stdout=side, stderr=side, env=environment(home), start_new_session=True,
    )  # fmt: skip
    os.close(side)
    shown, told, deadline = "", False, time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < deadline:
            ready, _, _ = select.select([main], [], [], 0.2)
            if ready:
                try:
                    data = os.read(main, 65536)
                except OSError:  # the other end is closed
                    break
                if not data:
                    break
                shown += data.decode(errors="replace")
            if wanted in shown and not told:
                told = True
                if isinstance(end, bytes):
                    os.write(main, end)
                else:
                    process.send_signal(end)
        return shown, process.wait(LIMIT_S)
    finally:
        process.kill()
        process.wait()
        os.close(main)
