"""The SSH adapter against OpenSSH's own sshd, run by the tests: certificates, host keys, commands, terminals."""

import asyncio
import contextlib
import os
import socket
import time

import asyncssh
import psutil
import pytest

from educloud_lab.adapters.ssh import AsyncsshAuthority, AsyncsshShell
from educloud_lab.domain.errors import (
    CommandTimeoutError,
    HostKeyError,
    LoginRefusedError,
    MachineUnreachableError,
    ShellError,
)
from tests.patience import LIMIT_S
from tests.sshd import Machine, start_sshd


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    made = start_sshd(tmp_path_factory.mktemp("sshd"))
    yield made
    made.process.terminate()
    made.process.wait(60)


@pytest.fixture
async def connection(machine):
    made = await AsyncsshShell().connect(machine.grant())
    yield made
    await made.close()


async def read_until(pty, expected: bytes, timeout_s=LIMIT_S) -> bytes:
    seen = b""
    async with asyncio.timeout(timeout_s):
        while expected not in seen:
            piece = await pty.read()
            assert piece, f"ended after {seen!r}"
            seen += piece
    return seen


async def test_a_certificate_logs_in_and_the_host_key_is_told(machine, connection):
    assert connection.host_key == machine.host_key
    assert not connection.closed
    done = await connection.run("echo hello; echo bad >&2; exit 3")
    assert (done.exit_status, done.stdout, done.stderr) == (3, b"hello\n", b"bad\n")


@pytest.mark.parametrize(
    "changes", [{"principal": "lease-other-g1"}, {"principal": "root"}, {"minutes": (-20, -10)}, {"minutes": (10, 20)}]
)
async def test_a_wrong_principal_or_time_is_refused(machine, changes):
    with pytest.raises(LoginRefusedError):
        await AsyncsshShell().connect(machine.grant(**changes))


async def test_another_authority_is_refused(machine):
    with pytest.raises(LoginRefusedError):
        await AsyncsshShell().connect(machine.grant(ca=AsyncsshAuthority().new_key_pair().private))


async def test_an_unexpected_host_key_is_never_connected_to(machine):
    other = AsyncsshAuthority().new_key_pair().public
    with pytest.raises(HostKeyError):
        await AsyncsshShell().connect(machine.grant(host_keys=(other,)))
    with pytest.raises(HostKeyError):
        await AsyncsshShell().connect(machine.grant(host_keys=()))
    # While the change is made, either of the two may be shown.
    both = await AsyncsshShell().connect(machine.grant(host_keys=(other, machine.host_key)))
    await both.close()


async def test_a_host_key_of_another_type_is_refused(machine):
    other = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key("openssh").decode()
    # The two sides agree on no host key algorithm: refused all the same, before anything is sent.
    with pytest.raises(ShellError):
        await AsyncsshShell().connect(machine.grant(host_keys=(other,)))


async def test_nobody_there_is_unreachable():
    with socket.socket() as silent:  # bound so that nobody else is there, and never listening
        silent.bind(("127.0.0.1", 0))
        await refused_at(silent.getsockname()[1])


async def refused_at(port):
    fake = Machine(port, AsyncsshAuthority().new_key_pair().public, AsyncsshAuthority().new_key_pair().private, None)
    with pytest.raises(MachineUnreachableError):
        await AsyncsshShell().connect(fake.grant())


async def test_somebody_who_says_nothing_is_unreachable_in_time():
    accepted = []

    async def silent(reader, writer):
        accepted.append(writer)
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    keys = AsyncsshAuthority()
    fake = Machine(server.sockets[0].getsockname()[1], keys.new_key_pair().public, keys.new_key_pair().private, None)
    began = time.monotonic()
    with pytest.raises(MachineUnreachableError):
        await AsyncsshShell().connect(fake.grant(), timeout_s=0.5)
    assert time.monotonic() - began < 30  # and not for ever
    for writer in accepted:
        writer.close()
    server.close()


NASTY = [
    "plain",
    "two words",
    "",
    "$(touch /tmp/no)",
    "`id`",
    "'quote'",
    '"double"',
    "a;b&c|d",
    "new\nline",
    "*",
    "-x",
    "é💾",
]


@pytest.mark.parametrize("stdin", [b"", b"some input"])
async def test_arguments_arrive_as_they_are(connection, stdin):
    done = await connection.run('for each in "$@"; do printf "%s\\0" "$each"; done', arguments=NASTY, stdin=stdin)
    assert done.stdout.decode().split("\0")[:-1] == NASTY


async def test_standard_input_reaches_the_script_and_is_empty_otherwise(connection):
    assert (await connection.run("cat", stdin=b"\0bytes\xff")).stdout == b"\0bytes\xff"
    assert (await connection.run("cat; echo after")).stdout == b"after\n"


async def test_half_a_script_never_runs(connection, tmp_path):
    done = await connection.run(f"touch {tmp_path}/first\nif true; then")
    assert done.exit_status != 0
    assert not (tmp_path / "first").exists()


async def test_output_is_cut_and_the_command_still_ends(connection):
    done = await connection.run("head -c 5000000 /dev/zero; echo end >&2; exit 7", timeout_s=60)
    assert (done.exit_status, len(done.stdout), done.stderr) == (7, 1024 * 1024, b"end\n")


async def test_a_command_that_takes_too_long_is_killed(connection, tmp_path):
    for limit_s in (1.0, 5.0, 25.0):  # a busy computer may not even have begun the command within a second
        script = 'echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 600'
        with pytest.raises(CommandTimeoutError):
            await connection.run(script, arguments=[str(tmp_path / "pid")], timeout_s=limit_s)
        if (tmp_path / "pid").exists():
            break
    pid = int((tmp_path / "pid").read_text())
    with contextlib.suppress(psutil.NoSuchProcess):
        async with asyncio.timeout(30):
            while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - another process tells no event
                await asyncio.sleep(0.05)
    assert not connection.closed
    assert (await connection.run("echo still here")).stdout == b"still here\n"


async def test_a_command_ended_by_a_signal_says_so_as_a_shell_does(connection):
    assert (await connection.run("kill -9 $$")).exit_status == 137


async def test_a_terminal_answers_resizes_and_tells_its_end(connection):
    pty = await connection.open_pty(columns=93, rows=31, environment={"LANG": "C.UTF-8"})
    assert pty.exit_status is None
    pty.write(b"stty size; echo term=$TERM lang=$LANG; shopt -q login_shell && echo is-login\n")
    seen = await read_until(pty, b"\r\nis-login")
    assert b"31 93" in seen
    assert b"term=xterm-256color lang=C.UTF-8" in seen
    pty.resize(120, 40)
    pty.write(b"stty size\n")
    await read_until(pty, b"40 120")
    pty.write(b"exit 5\n")
    async with asyncio.timeout(LIMIT_S):
        while await pty.read():
            pass
    assert pty.exit_status == 5
    assert await pty.read() == b""
    pty.write(b"dropped")
    pty.resize(80, 24)
    await pty.close()
    await pty.close()


async def test_a_terminal_that_nobody_reads_is_bounded(connection):
    pty = await connection.open_pty(columns=80, rows=24)
    pty.write(b"stty -echo; yes 0123456789abcdef\n")

    def held_bytes():
        return pty._session._size_bytes + sum(len(data) for data, _ in pty._channel._recv_buf)

    held, before = held_bytes(), -1
    async with asyncio.timeout(30):
        while held < 128 * 1024 or held != before:  # until it stands still
            await asyncio.sleep(0.5)
            held, before = held_bytes(), held
    assert 128 * 1024 <= held <= 128 * 1024 + 32768 + 256 * 1024
    # A command on the same connection is not held up by it.
    assert (await connection.run("echo other", timeout_s=60)).stdout == b"other\n"
    for _ in range(40):
        assert 0 < len(await pty.read()) <= 128 * 1024
    pty.write(b"\x03")
    await pty.close()


async def test_a_lost_connection_ends_everything_without_an_exit_status(tmp_path):
    machine = start_sshd(tmp_path)
    connection = await AsyncsshShell().connect(machine.grant())
    pty = await connection.open_pty(columns=80, rows=24)
    running = asyncio.create_task(connection.run("sleep 600", timeout_s=60))
    await read_until(pty, b"$") if os.geteuid() else await read_until(pty, b"#")
    for child in psutil.Process(machine.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a helper of the login may end by itself
            if child.name().startswith("sshd"):
                child.kill()
    machine.process.kill()
    machine.process.wait(60)
    async with asyncio.timeout(LIMIT_S):
        while await pty.read():
            pass
        await connection.wait_closed()
        with pytest.raises(MachineUnreachableError):
            await running
    assert pty.exit_status is None
    assert connection.closed
    with pytest.raises(MachineUnreachableError):
        await connection.run("true")
    with pytest.raises(MachineUnreachableError):
        await connection.open_pty(columns=80, rows=24)
    await connection.close()
    await connection.close()


async def test_fast_ciphers_are_agreed_with_openssh(connection):
    inner = connection._connection
    assert inner.get_extra_info("recv_cipher") == "aes128-gcm@openssh.com"
    assert inner.get_extra_info("recv_compression") in (None, "none")
