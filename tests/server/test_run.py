"""Scripts on a machine: the real client, a real Jupyter server, a real sshd."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket

from educloud_lab.client.arunning import abegin
from educloud_lab.client.errors import ServerUnreachableError
from educloud_lab.client.find import Server
from educloud_lab.client.hints import HINT
from educloud_lab.client.running import begin
from educloud_lab.domain import errors
from educloud_lab.server import run as run_module
from educloud_lab.server.running import AHEAD_BYTES, Run
from educloud_lab.wire import models as wire
from educloud_lab.wire.run import RunRequest
from tests.patience import LIMIT_S, eventually
from tests.server.at_work import *  # noqa: F403 - fixtures
from tests.server.at_work import LEASE
from tests.server.conftest import make_lease
from tests.sshd import start_sshd

ROOT = Path(__file__).resolve().parents[2]


async def run(server, script, **options):
    """Return (ended, stdout, stderr)."""
    running = await abegin(server, LEASE, RunRequest(script=script, **options))
    texts = {"stdout": "", "stderr": ""}
    async with asyncio.timeout(LIMIT_S):
        async for stream, text in running:
            texts[stream] += text
    return running.ended, texts["stdout"], texts["stderr"]


async def pid_in(path):
    """Wait for a script to write its number, and return it."""
    return int(await eventually(lambda: path.exists() and path.read_text().endswith("\n") and path.read_text()))


async def gone(*pids):
    """Wait until these processes have ended."""

    def over():
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    return False
        return True

    await eventually(over, f"the end of {pids}")


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_output_status_and_lines_of_errors(server):
    ended, stdout, stderr = await run(server, "echo out; echo err >&2\nnosuch\nexit 3")
    assert (ended.exit_status, ended.why) == (3, "")
    assert stdout == "out\n"
    assert stderr == "err\nbash: line 2: nosuch: command not found\n"
    assert (await run(server, 'echo "$0 $# $-"; true', shell="sh"))[1].startswith("sh 0 ")


async def test_nothing_of_ours_is_in_the_scripts_shell(server):
    _, stdout, _ = await run(server, "set; env; ps -o args= -p $$; echo secret-word")
    assert not [line for line in stdout.splitlines() if line.startswith("__educloud")]
    assert stdout.count("secret-word") == 1  # not in the list of processes


async def test_a_long_script_arrives_whole(server):
    lines = "\n".join(f"v{number}='é {number}'" for number in range(5000))
    ended, stdout, _ = await run(server, f"{lines}\necho $v0 $v4999")
    assert (ended.exit_status, stdout) == (0, "é 0 é 4999\n")


async def test_input_is_empty_and_a_hint_says_so(server):
    _, stdout, stderr = await run(server, "cat; read answer; echo $?; read given <<<yes; echo $given")
    assert stdout == "1\nyes\n"
    assert "nobody can type into this" in stderr
    running = await abegin(server, LEASE, RunRequest(script=f"{sys.executable} -c 'input()'"))
    assert (await running.wait()).exit_status == 1
    assert running.hint == HINT
    running = await abegin(server, LEASE, RunRequest(script="echo EOFError"))
    await running.wait()
    assert running.hint == ""  # it did not fail


async def test_folder_and_environment_arrive_as_they_are(server, home):
    (home / "a b'c").mkdir()
    nasty = {"A": 'it\'s $(id) `id` "x" \\ \n end', "B": ""}
    ended, stdout, _ = await run(server, 'pwd; printf "%s|" "$A" "${B-unset}"', folder="a b'c", environment=nasty)
    assert (ended.exit_status, stdout) == (0, f"{home}/a b'c\n{nasty['A']}||")
    assert (await run(server, "pwd", folder="~/a b'c"))[1] == f"{home}/a b'c\n"
    assert (await run(server, "pwd", folder="/usr"))[1] == "/usr\n"
    assert (await run(server, "pwd"))[1] == f"{home}\n"
    with pytest.raises(errors.BadInputError, match="no folder nowhere"):
        await run(server, "echo no", folder="nowhere")


@pytest.fixture
def keep():
    """A name that no other test uses; what is kept under it goes."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    for path in Path("/tmp").glob(f"educloud-{os.geteuid()}-*/{name}*"):
        path.unlink()


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_folder_and_exports_last_between_runs(server, home, keep, shell):
    options = {"keep": keep, "shell": shell}
    await run(server, "mkdir -p kept; cd kept; export A='q\"$x\ny' B=1; C=1; exit 4", **options)
    ended, stdout, _ = await run(
        server, 'pwd; echo "$A|$B|$C"; export B=2; set -e; cd ..; false; export B=3', **options
    )
    assert (ended.exit_status, stdout) == (1, f'{home}/kept\nq"$x\ny|1|\n')
    assert (await run(server, "pwd; echo $B", **options))[1] == f"{home}\n2\n"
    assert (await run(server, "pwd; echo $B", **options, folder="/usr"))[1] == "/usr\n2\n"
    assert (await run(server, "pwd; echo $B", keep=keep, shell="sh" if shell == "bash" else "bash"))[1] == "/usr\n2\n"
    assert (await run(server, "pwd; echo .$B"))[1] == f"{home}\n.\n"
    await run(server, "mkdir -p /tmp/$$ && cd /tmp/$$ && rmdir /tmp/$$", **options)
    _, stdout, stderr = await run(server, "pwd", **options)
    assert stdout == f"{home}\n"
    assert "is gone" in stderr


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_an_sshd_that_ignores_interrupts_changes_nothing(server, broker, tmp_path, tmp_path_factory, shell):
    """As one does that was begun in the background, unless it resets that itself; all that it begins inherits it."""
    deaf = "ForceCommand trap '' INT QUIT; eval \"$SSH_ORIGINAL_COMMAND\"\n"
    broker.machine = start_sshd(tmp_path_factory.mktemp("deaf"), more=deaf)
    running = await abegin(server, LEASE, RunRequest(script=f"echo $$ >{tmp_path}/pid; sleep 600", shell=shell))
    await pid_in(tmp_path / "pid")
    await running.interrupt()
    async with asyncio.timeout(LIMIT_S):
        assert (await running.wait()).exit_status == 130
    broker.machine.stop()


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_what_was_kept_survives_an_interrupt(server, tmp_path, keep, shell):
    script = f"cd /usr; export A=1; echo $$ >{tmp_path}/pid; sleep 600"
    running = await abegin(server, LEASE, RunRequest(script=script, keep=keep, shell=shell))
    await pid_in(tmp_path / "pid")
    await running.interrupt()
    assert (await running.wait()).exit_status == 130
    assert (await run(server, "pwd; echo $A", keep=keep, shell=shell))[1] == "/usr\n1\n"


CHILDREN = "sleep 600 & echo $! >{0}/one; timeout 600 sh -c 'echo $$ >{0}/two; sleep 600; true'; echo not reached"


async def test_an_interrupt_reaches_what_runs_there_in_whatever_group(server, tmp_path):
    running = await abegin(server, LEASE, RunRequest(script=CHILDREN.format(tmp_path)))
    two = await pid_in(tmp_path / "two")
    await running.interrupt()
    texts = [text async for _, text in running]
    assert (running.ended.exit_status, running.ended.why) == (130, "interrupted")
    assert texts == []
    await gone(two)
    one = await pid_in(tmp_path / "one")
    assert alive(one)  # what a shell begins in the background takes no interrupts
    os.kill(one, signal.SIGKILL)


async def test_who_takes_no_interrupt_is_told_and_then_killed(server, tmp_path):
    script = f"trap '' INT TERM; sleep 600 & echo $! >{tmp_path}/child; echo $$ >{tmp_path}/pid; wait; sleep 600"
    running = await abegin(server, LEASE, RunRequest(script=script))
    await pid_in(tmp_path / "pid")
    child = await pid_in(tmp_path / "child")
    await running.interrupt()
    await running.interrupt()
    await running.interrupt()
    ended = await running.wait()
    assert (ended.exit_status, ended.why) == (137, "interrupted")
    await gone(child)


async def test_a_vanished_reader_ends_what_runs_there(server, tmp_path, service):
    running = await abegin(server, LEASE, RunRequest(script=f"trap '' TERM HUP INT\n{CHILDREN.format(tmp_path)}"))
    pids = [await pid_in(tmp_path / "one"), await pid_in(tmp_path / "two")]
    await running.close()
    await gone(*pids)


async def test_a_limit_ends_it(server, monkeypatch, tmp_path):
    monkeypatch.setattr("educloud_lab.server.running.GRACE_S", 3600)  # asked, and never killed
    ended, _, _ = await run(server, "echo begun; sleep 600", limit_s=0.5)
    assert (ended.exit_status, ended.why) == (143, "limit")
    monkeypatch.setattr("educloud_lab.server.running.GRACE_S", 0.1)
    for limit_s in (0.5, 5, 50):  # until it has come to ignoring that it is asked, on however slow a computer
        script = f"trap '' TERM; echo >{tmp_path}/ignores; sleep 600; sleep 600"
        ended, _, _ = await run(server, script, limit_s=limit_s)
        if (tmp_path / "ignores").exists():
            break
    assert (ended.exit_status, ended.why) == (137, "limit")


async def test_what_it_leaves_in_the_background_goes_on(server, tmp_path, service):
    script = (
        f"(echo $BASHPID >{tmp_path}/pid; while :; do echo tick || exit; echo x >>{tmp_path}/ticks; sleep 0.02; done) &"
    )
    ended, _, _ = await run(server, script)
    assert ended.exit_status == 0
    pid = await pid_in(tmp_path / "pid")
    await eventually(lambda: (tmp_path / "ticks").exists())
    for _ in range(3):  # its output is taken, though nobody sees it
        size = (tmp_path / "ticks").stat().st_size
        await eventually(lambda size=size: (tmp_path / "ticks").stat().st_size > size)
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not service._lingering)


async def test_too_many_that_linger_are_let_go(server, service, monkeypatch):
    monkeypatch.setattr("educloud_lab.server.run_service.MAX_LINGERING", 2)
    pids = []
    for _ in range(4):
        _, stdout, _ = await run(server, "sleep 600 & echo $!")
        pids.append(int(stdout))
    await eventually(lambda: len(service._lingering) == 2)
    assert all(alive(pid) for pid in pids)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


async def test_a_script_that_kills_its_own_shell(server):
    ended, stdout, _ = await run(server, "echo before; kill -9 $$; sleep 600")
    assert (ended.exit_status, stdout) == (137, "before\n")


async def test_a_large_output_arrives_whole_and_in_order(server):
    script = "seq 1 400000; seq 1 100 >&2"  # more than twice what may be ahead of its reader
    ended, stdout, stderr = await run(server, script)
    assert ended.exit_status == 0
    assert stdout == "".join(f"{number}\n" for number in range(1, 400001))
    assert stderr == "".join(f"{number}\n" for number in range(1, 101))


async def test_characters_are_never_torn(server):
    script = r"printf '\303'; sleep 0.2; printf '\251 \360\237'; sleep 0.2; printf '\222\276\n\377'; printf '\303'"
    assert (await run(server, script))[1] == "é 💾\n\ufffd\ufffd"


async def test_a_reader_that_does_not_read_holds_the_command_up(server, monkeypatch, tmp_path):
    made = []

    class Noted(Run):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(run_module, "Run", Noted)
    script = f"echo $$ >{tmp_path}/pid; yes 0123456789abcdef"
    running = await abegin(server, LEASE, RunRequest(script=script))
    pid = await pid_in(tmp_path / "pid")
    await eventually(lambda: made[0].ahead_bytes >= AHEAD_BYTES)
    assert made[0].ahead_bytes <= AHEAD_BYTES + 128 * 1024
    children = await eventually(lambda: psutil.Process(pid).children(recursive=True))
    flood = next(each for each in children if each.name() == "yes")
    before = -1.0
    while (spent := sum(flood.cpu_times()[:2])) != before:  # until it stands still: its pipe is full
        before = spent
        await asyncio.sleep(0.5)
    assert made[0].ahead_bytes <= AHEAD_BYTES + 128 * 1024
    assert (await run(server, "echo other"))[1] == "other\n"
    await running.interrupt()
    assert (await running.wait()).exit_status == 130
    await gone(flood.pid)


async def test_a_lost_connection_says_why(server, broker, tmp_path, tmp_path_factory):
    request = wire.LeaseRequest(lab="web", machine_profile="tiny")
    broker.lease = make_lease(LEASE, request, "ada", target="stopped", status="stopped", headline="Asleep: you asked")
    broker.machine = start_sshd(tmp_path_factory.mktemp("other"))
    running = await abegin(server, LEASE, RunRequest(script=f"echo first; echo $$ >{tmp_path}/pid; sleep 600"))
    pieces = aiter(running)
    assert await anext(pieces) == ("stdout", "first\n")
    pid = await pid_in(tmp_path / "pid")
    broker.machine.stop()
    with pytest.raises(errors.MachineUnreachableError, match="put to sleep") as lost:
        await anext(pieces)
    assert lost.value.kept
    assert lost.value.next_step
    await gone(pid)


async def test_a_machine_that_is_not_ready_or_not_ones_own(server, broker):
    broker.failure = errors.ConflictError("The machine is not running.", next_step="Press Start.")
    with pytest.raises(errors.ConflictError, match="not running"):
        await run(server, "echo no")
    broker.failure = None
    with pytest.raises(errors.NotFoundError):
        await (await abegin(server, "other", RunRequest(script="echo no"))).wait()
    assert (await run(server, "echo yes"))[1] == "yes\n"


async def test_running_is_activity_and_what_goes_on_by_itself_is_not(server, broker, service):
    service._activity_s = 0.01
    running = await abegin(server, LEASE, RunRequest(script="echo begun; sleep 600"))
    await anext(running)
    await eventually(lambda: len(broker.told) >= 3)
    assert set(broker.told) == {(LEASE, "cell")}
    await running.interrupt()
    await running.wait()
    # Its end is told before its reports are.
    await eventually(lambda: not [each for each in asyncio.all_tasks() if "keep_reporting" in repr(each.get_coro())])
    await eventually(lambda: not service._reporter._tasks)
    broker.told.clear()
    ended = await abegin(server, LEASE, RunRequest(script="true", background=True))
    async for _ in ended:
        pass
    await eventually(lambda: not service._reporter._tasks)
    assert broker.told == [(LEASE, "cell")]


async def test_a_socket_serves_one_run_after_the_other(server):
    first = await abegin(server, LEASE, RunRequest(script="echo 1"))
    socket = first._socket
    await first.wait()
    second = await abegin(server, LEASE, RunRequest(script="echo 2"))
    assert second._socket is socket
    third = await abegin(server, LEASE, RunRequest(script="echo 3"))
    assert third._socket is not socket
    await asyncio.gather(second.wait(), third.wait())


async def test_a_rested_socket_that_the_server_ended_is_replaced(server, monkeypatch):
    monkeypatch.setattr(run_module, "IDLE_S", 0.01)
    for number in range(5):
        assert (await run(server, f"echo {number}"))[1] == f"{number}\n"
        await asyncio.sleep(0.01 * number)  # the server ends it just before, while, or after it is taken up again


async def test_what_is_no_request_is_refused(server):
    running = await abegin(server, LEASE, RunRequest(script="sleep 600"))
    socket = running._socket
    await socket.send(json.dumps({"type": "run", "script": "echo two"}))
    with pytest.raises(ServerUnreachableError, match="One run at a time"):
        await running.wait()
    running = await abegin(server, LEASE, RunRequest.model_construct(script="a\0b", environment={"A B": "x"}))
    with pytest.raises(errors.BadInputError, match="NUL"):
        await running.wait()


async def test_nobody_there_and_a_wrong_token(server, tmp_path):
    with pytest.raises(ServerUnreachableError):
        await abegin(Server("http://localhost/", "", str(tmp_path / "none")), LEASE, RunRequest(script="true"))
    with pytest.raises(errors.EducloudError) as refused:
        await abegin(Server(server.url, "wrong"), LEASE, RunRequest(script="true"))
    assert refused.value.code == "http-403"


async def test_over_a_unix_socket(server, jp_serverapp, base_url):
    listening = HTTPServer(jp_serverapp.web_app)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # the test's own folder may be too deep for a socket's path
        listening.add_socket(bind_unix_socket(f"{folder}/s"))
        there = Server(f"http://localhost{base_url}", server.token, f"{folder}/s")
        assert (await run(there, "echo here"))[1] == "here\n"
        listening.stop()


async def test_without_an_event_loop(server):
    def work():
        running = begin(server, LEASE, RunRequest(script="echo one; echo two >&2; exit 5"))
        pieces = sorted(running)
        return pieces, running.wait().exit_status, running.ended.exit_status

    assert await asyncio.to_thread(work) == ([("stderr", "two\n"), ("stdout", "one\n")], 5, 5)

    def refuse():
        with pytest.raises(errors.BadInputError):
            begin(server, LEASE, RunRequest(script="true", folder="nowhere")).wait()

    await asyncio.to_thread(refuse)


KERNEL = """
import signal, sys
from educloud_lab.client.find import Server
from educloud_lab.client.running import begin
from educloud_lab.wire.run import RunRequest
running = begin(Server(sys.argv[1], sys.argv[2]), sys.argv[3], RunRequest(script=sys.argv[4]))
try:
    for stream, text in running:
        print(text, end="", flush=True)
except KeyboardInterrupt:
    print("given up", flush=True)
else:
    print(running.ended.exit_status, running.ended.why, flush=True)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
"""


async def kernel(server, script):
    arguments = ["-c", KERNEL, server.url, server.token, LEASE, script]
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT)


async def test_the_kernels_interrupt_is_the_commands(server):
    process = await kernel(server, "echo begun; sleep 600")
    async with asyncio.timeout(LIMIT_S):
        assert await process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert await process.stdout.read() == b"130 interrupted\nTrue\n"
        assert await process.wait() == 0


async def test_the_third_interrupt_gives_up_and_kills(server, tmp_path):
    script = (
        f"trap 'echo int' INT; trap 'echo term' TERM; echo $$ >{tmp_path}/pid; echo begun;"
        " while :; do sleep 600 & wait; kill $! 2>/dev/null; done"  # it may have been reached by the same signal
    )
    process = await kernel(server, script)
    async with asyncio.timeout(LIMIT_S):
        for expected in (b"begun\n", b"int\n", b"term\n"):
            assert await process.stdout.readline() == expected
            process.send_signal(signal.SIGINT)
        assert await process.stdout.read() == b"given up\nTrue\n"
        await process.wait()
    await gone(await pid_in(tmp_path / "pid"))


async def test_a_killed_kernel_ends_its_command(server, tmp_path):
    process = await kernel(server, f"trap '' TERM; echo $$ >{tmp_path}/pid; echo begun; sleep 600; sleep 600")
    async with asyncio.timeout(LIMIT_S):
        await process.stdout.readline()
        process.kill()
        await process.wait()
    await gone(await pid_in(tmp_path / "pid"))


async def ask(server, method, path, jp_fetch):
    reply = await jp_fetch(
        "educloud", "api", "v1", "leases", LEASE, *path, method=method, allow_nonstandard_methods=True
    )
    return json.loads(reply.body)


async def test_runs_that_go_on_by_themselves(server, home, jp_fetch, tmp_path):
    async def begin_one(script, **options):
        running = await abegin(server, LEASE, RunRequest(script=script, background=True, **options))
        async for _ in running:
            pass
        return running.run_id

    before = datetime.now(UTC) - timedelta(seconds=2)  # files' times are a little behind, and told in whole seconds
    (home / "work").mkdir(exist_ok=True)
    script = f"echo $$ >{tmp_path}/pid\npwd; umask; echo it is $A; sleep 600"
    one = await begin_one(script, environment={"A": "a'b"}, folder="work")
    two = await begin_one("exit 7", shell="sh")

    async def state(run_id):
        return await ask(server, "GET", ["runs", run_id], jp_fetch)

    await eventually(lambda: (home / f".cache/educloud/runs/{two}/status").exists())
    await eventually(lambda: "it is" in (home / f".cache/educloud/runs/{one}/output").read_text())
    listed = (await ask(server, "GET", ["runs"], jp_fetch))["runs"]
    assert {each["id"] for each in listed} >= {one, two}
    found = await state(one)
    assert found["run"]["state"] == "running"
    assert found["run"]["command"] == f"echo $$ >{tmp_path}/pid"
    assert datetime.fromisoformat(found["run"]["started_at"]) >= before
    usual = (await run(server, "umask"))[1]
    assert found["text"] == f"{home}/work\n{usual}it is a'b\n"
    assert found["run"]["output_path"] == f"{home}/.cache/educloud/runs/{one}/output"
    assert (await state(two))["run"]["exit_status"] == 7
    cut = json.loads((await jp_fetch("educloud/api/v1/leases", LEASE, "runs", one, params={"bytes": "4"})).body)
    assert (cut["text"], cut["cut_bytes"]) == ("a'b\n", len(found["text"]) - 4)
    pid = await pid_in(tmp_path / "pid")
    for _ in range(2):
        stopped = await ask(server, "POST", ["runs", one, "stop"], jp_fetch)
        assert (stopped["state"], stopped["exit_status"]) == ("ended", 143)
    await gone(pid)
    for path in ("12345678", "x"):
        reply = await jp_fetch("educloud/api/v1/leases", LEASE, "runs", path, raise_error=False)
        assert reply.code == 404
