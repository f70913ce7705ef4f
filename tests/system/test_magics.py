"""The magics in a real kernel, on a real machine: what a page would get, message by message."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from educloud_lab.notebook.magics_screen import BYTES_PER_S
from tests.patience import until
from tests.system.conftest import Bench, JupyterLab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]

LAB = "magics"
LIMIT_S = 300.0  # a hang, not a measure


@dataclass
class Shown:
    """What one cell sent to the page."""

    reply: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def text(self, stream: str = "stdout") -> str:
        """What was written to a stream."""
        return "".join(
            message["content"]["text"]
            for message in self.messages
            if message["msg_type"] == "stream" and message["content"]["name"] == stream
        )

    @property
    def displays(self) -> list[str]:
        """The last state of each display, as text."""
        found: dict[str, str] = {}
        for number, message in enumerate(self.messages):
            if message["msg_type"] in {"display_data", "update_display_data"}:
                name = message["content"].get("transient", {}).get("display_id", str(number))
                found[name] = message["content"]["data"]["text/plain"]
        return list(found.values())

    @property
    def size_bytes(self) -> int:
        """How much it was."""
        return sum(len(json.dumps(message["content"])) for message in self.messages)

    @property
    def error(self) -> str:
        """The error's name and words."""
        return f"{self.reply.get('ename', '')}: {self.reply.get('evalue', '')}"


class Kernel:
    """A kernel of Python, as a notebook has it."""

    def __init__(self, server: JupyterLab, folder: Path) -> None:
        self.manager = KernelManager(kernel_name="python3")
        environment = server.env | {
            "EDUCLOUD_URL": server.url,
            "EDUCLOUD_TOKEN": server.token,
            "EDUCLOUD_LAB": LAB,
            "EDUCLOUD_MACHINE_PROFILE": "tiny",
        }
        self.manager.start_kernel(env=environment, cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LIMIT_S)

    def close(self) -> None:
        """End it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, cell: str, *, interrupt_at: str = "") -> Shown:
        """Run a cell; interrupt it once it has written something."""
        number = self.client.execute(cell, allow_stdin=False)
        shown = Shown()
        end = time.monotonic() + LIMIT_S
        while True:
            assert time.monotonic() < end, f"{cell}: {shown.messages[-3:]}"
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != number:
                continue
            shown.messages.append(message)
            if interrupt_at and interrupt_at in shown.text():
                interrupt_at = ""
                self.manager.interrupt_kernel()
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=LIMIT_S)
            if reply["parent_header"].get("msg_id") == number:
                shown.reply = reply["content"]
                return shown

    def good(self, cell: str) -> Shown:
        """Run a cell that ends well."""
        shown = self.run(cell)
        assert shown.reply["status"] == "ok", shown.error
        return shown


@pytest.fixture(scope="module")
def server(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> JupyterLab:
    module_bench.educloud("cloud", "start")
    return module_bench.lab(tmp_path_factory.mktemp("notebooks"))


@pytest.fixture(scope="module")
def kernel(server: JupyterLab) -> Iterator[Kernel]:
    made = Kernel(server, server.folder)
    try:
        made.good("%load_ext educloud_lab")
        early = made.run("%%vm\necho too early")
        assert early.reply["status"] == "error"
        assert "--start" in early.error, early.error
        started = made.good("%%vm --start\necho it runs")
        assert started.text() == "it runs\n"
        assert started.displays == ["your machine: ready"]
        yield made
    finally:
        made.close()


def test_output_streams_and_statuses(kernel: Kernel) -> None:
    done = kernel.good(
        "%%vm --env NAME='a b'\nprintf 'out %s\\n' \"$NAME\"; echo err >&2; printf '\\033[1mbold\\033[0m é'"
    )
    assert (done.text(), done.text("stderr")) == ("out a b\n\x1b[1mbold\x1b[0m é", "err\n")
    failed = kernel.run("%vm echo so far; exit 7")
    assert failed.text() == "so far\n"
    assert failed.reply["ename"] == "CommandFailedError"
    assert len(failed.reply["traceback"]) == 2
    assert "exit status 7" in failed.reply["traceback"][0]
    asked = kernel.run("%vm python3 -c 'input()'")
    assert "Nobody can type" in asked.error
    limited = kernel.run("%vm --timeout 0.5 sleep 600")
    assert "--timeout" in limited.error
    kernel.good("%vm --ok --out answer exit 3")
    assert kernel.good("print(answer.exit_status, _vm.exit_status)").text() == "3 3\n"


def test_folder_and_environment_are_kept_if_asked(kernel: Kernel) -> None:
    kernel.good("%%vm --keep work\ncd /tmp\nexport COLOUR=green")
    assert kernel.good("%vm --keep work echo $PWD $COLOUR").text() == "/tmp green\n"
    assert kernel.good("%vm echo $PWD $COLOUR").text() == "/home/student\n"
    assert kernel.good("%vm --folder /usr/lib echo $PWD").text() == "/usr/lib\n"


def test_megabytes_of_output_are_a_head_and_a_tail(kernel: Kernel) -> None:
    begun_s = time.monotonic()
    done = kernel.good("%%vm --save all.txt\nyes 0123456789abcdef | head -n 500000; echo the end")
    # What is replaced in place is sent anew: the longer it takes on a slow computer, the oftener, within its budget.
    assert done.size_bytes < 1.2 * BYTES_PER_S * (time.monotonic() - begun_s + 2)
    head, (tail,) = done.text(), done.displays
    assert head.startswith("0123456789abcdef\n" * 100)
    assert "left out" in tail
    assert tail.endswith("0123456789abcdef\nthe end\n")
    saved = len(head) + len(tail)
    assert saved < 130_000, "what a notebook's file gets"
    assert kernel.good("import os; print(os.path.getsize('all.txt'))").text() == f"{17 * 500000 + 8}\n"


def test_the_kernels_interrupt_stops_it_there(kernel: Kernel) -> None:
    done = kernel.run("%%vm\necho begun\nsleep 4711\necho never", interrupt_at="begun")
    assert done.reply["ename"] == "KeyboardInterrupt"
    assert done.reply["traceback"] == [
        "\x1b[31mKeyboardInterrupt\x1b[0m: Interrupted: the command was stopped on the machine."
    ]
    assert "never" not in done.text()
    until(lambda: kernel.good("%vm pgrep -f '[s]leep 4711' || echo gone").text() == "gone\n", period_s=0.2)
    assert kernel.good("1 + 1").reply["status"] == "ok"


def test_files_go_there_and_come_back(kernel: Kernel, server: JupyterLab) -> None:
    content = bytes(range(256)) * 4000
    for name in ("one.bin", "two.bin"):
        (server.folder / name).write_bytes(content)
    (sent,) = {text.split(" -> ")[1].split(":")[0] for text in kernel.good("%vm_put one.bin /data/").displays}
    assert sent == "/data/one.bin"
    assert len(kernel.good("%vm_put *.bin /tmp").displays) == 2
    assert kernel.good("%vm cmp /tmp/one.bin /tmp/two.bin && echo same").text() == "same\n"
    kernel.good("%vm_get /tmp/two.bin back.bin")
    assert (server.folder / "back.bin").read_bytes() == content


def test_checks_are_told_in_a_table(kernel: Kernel) -> None:
    good = kernel.good("%%check\n/data is mounted from your volume")
    (text,) = good.displays
    assert text.endswith("1 of 1 hold.")
    bad = kernel.run("%%check\n# one of the two\n/data is mounted from your volume\nthe machine is asleep")
    assert bad.reply["ename"] == "CheckFailedError"
    assert len(bad.reply["traceback"]) == 1
    assert "does not hold: the machine is asleep" in bad.displays[0]
    partial = kernel.good("%%check --partial 4\n/data is mounted from your volume\nthe machine is asleep")
    (value,) = [m["content"]["data"]["text/plain"] for m in partial.messages if m["msg_type"] == "execute_result"]
    assert float(value) == 2.0
    assert partial.text("stderr") == ""


def test_in_the_background(kernel: Kernel) -> None:
    begun = kernel.good("%%vm --background\necho working\nsleep 4712")
    job = begun.text()[1:9]
    assert "running: echo working" in kernel.good("%vm_jobs").text()
    until(lambda: "\nworking" in kernel.good(f"%vm_jobs output {job}").text(), "it to begin", period_s=0.2)
    assert "ended" in kernel.good(f"%vm_jobs stop {job}").text()
    assert "ended" in kernel.good(f"%vm_jobs wait {job}").text()
    until(lambda: kernel.good("%vm pgrep -f '[s]leep 4712' || echo gone").text() == "gone\n", period_s=0.2)


def test_what_a_page_gets_holds_no_address_and_no_token(kernel: Kernel, server: JupyterLab) -> None:
    lease = server.lease(LAB)
    said = json.dumps([kernel.good(cell).messages for cell in ("%vm true", "_vm", "%vm_jobs")], default=str)
    for secret in (server.token, server.url, lease["id"], str(server.bench.home)):
        assert secret not in said
