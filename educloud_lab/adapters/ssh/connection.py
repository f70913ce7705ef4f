"""One multiplexed SSH connection to one machine, with the gateway's connection beneath it where there is one."""

from __future__ import annotations

import asyncio
import contextlib
import math
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Self

import asyncssh

from educloud_lab.adapters.ssh.errors import translating
from educloud_lab.adapters.ssh.greeting import GreetedTunnel
from educloud_lab.adapters.ssh.keys import public_line
from educloud_lab.adapters.ssh.options import KEY_EXCHANGES, WINDOW_BYTES, connect_options, pinned
from educloud_lab.adapters.ssh.process import AsyncsshProcess, ProcessSession
from educloud_lab.adapters.ssh.pty import AsyncsshPty, PtySession
from educloud_lab.domain.errors import CommandTimeoutError, MachineUnreachableError
from educloud_lab.ports.shell import Completed, GatewayAddress, Grant, Process, Pty

MACHINE = "the machine"
GATEWAY = "the gateway"
# The gateway looks at the certificate only; an OpenSSH front end has an account of this name.
GATEWAY_USER = "educloud"
MAX_OUTPUT_BYTES = 1024 * 1024
_CLOSE_S = 2.0
# sshd refuses to signal a command of root, and sends none when a connection is lost, so the machine itself ends a
# command (with all its children) that outlives its time.
# The login shell itself looks for timeout(1): one program less to start, which an emulated machine feels.
_BOUNDED = "if command -v timeout >/dev/null 2>&1; then exec timeout -s KILL {limit_s} {words}; else exec {words}; fi"


class AsyncsshConnection:
    """The Connection port over asyncssh. Made by `open` or `open_control`."""

    def __init__(self, connection: asyncssh.SSHClientConnection, tunnel: asyncssh.SSHClientConnection | None) -> None:
        self._connection = connection
        self._tunnel = tunnel
        key = connection.get_server_host_key()
        self._host_key = "" if key is None else public_line(key)

    @classmethod
    async def open(cls, grant: Grant, *, timeout_s: float) -> Self:
        """Connect to a machine as `AsyncsshShell.connect` says."""
        tunnel: asyncssh.SSHClientConnection | None = None
        try:
            async with _limited(timeout_s):
                tunnel = await _gateway(grant, timeout_s)
                connection = await _login(
                    grant.address,
                    grant.port,
                    who=MACHINE,
                    username=grant.user,
                    private_key=grant.private_key,
                    certificate=grant.certificate,
                    host_keys=grant.host_keys,
                    timeout_s=timeout_s,
                    tunnel=tunnel,
                )
        except BaseException:
            _abort(tunnel)
            raise
        return cls(connection, tunnel)

    @staticmethod
    async def check_host_key(grant: Grant, *, timeout_s: float) -> None:
        """Exchange keys as `AsyncsshShell.check_host_key` says, and go away before any login."""
        tunnel: asyncssh.SSHClientConnection | None = None
        try:
            async with _limited(timeout_s):
                tunnel = await _gateway(grant, timeout_s)
                expected, _, _ = pinned(grant.host_keys, MACHINE)
                with translating(MACHINE):
                    # The exchange ends with the machine's signature by this key, which asyncssh verifies.
                    shown = await asyncssh.get_server_host_key(
                        grant.address,
                        grant.port,
                        tunnel=None if tunnel is None else GreetedTunnel(tunnel),
                        kex_algs=KEY_EXCHANGES,
                        config=None,
                    )
                    if shown not in expected:
                        raise asyncssh.HostKeyNotVerifiable("another host key was shown")
        finally:
            _abort(tunnel)

    @classmethod
    async def open_control(
        cls, address: GatewayAddress, *, username: str, private_key: str, certificate: str, timeout_s: float
    ) -> Self:
        """Connect to the gateway itself, for control commands; raises as `open`."""
        connection = await _login(
            address.host,
            address.port,
            who=GATEWAY,
            username=username,
            private_key=private_key,
            certificate=certificate,
            host_keys=(address.host_key,),
            timeout_s=timeout_s,
        )
        return cls(connection, None)

    @property
    def host_key(self) -> str:
        """The public key line that the other side showed."""
        return self._host_key

    @property
    def closed(self) -> bool:
        """Whether it has ended or begun to."""
        return self._connection.is_closed()

    async def run(
        self, script: str, *, arguments: Sequence[str] = (), stdin: bytes = b"", timeout_s: float = 30.0
    ) -> Completed:
        """Run a POSIX shell script; arguments are $1 and on. Output beyond 1 MiB each of stdout and stderr is dropped.

        Without `stdin` the script itself travels on standard input, as one block that the shell reads to its end
        before it runs any of it (half a script never runs), and its commands read /dev/null.

        Raises
        ------
        CommandTimeoutError
            It did not end in time and was killed.
        MachineUnreachableError
            The connection is or was lost; the script may or may not have run.
        """
        if stdin:
            words = shlex.join(["sh", "-c", script, "sh", *arguments])
        else:
            words = shlex.join(["sh", "-s", "--", *arguments])
            stdin = b"{\n" + script.encode() + b"\n} </dev/null\n"
        command = _BOUNDED.format(limit_s=math.ceil(timeout_s) + 1, words=words)
        return await self.execute(command, stdin, timeout_s=timeout_s)

    async def execute(self, command: str, stdin: bytes, *, timeout_s: float, who: str = MACHINE) -> Completed:
        """Run one command text, already quoted by the caller; see `run`."""
        channel: asyncssh.SSHClientChannel[bytes] | None = None
        session = _RunSession()
        try:
            async with asyncio.timeout(timeout_s):
                with translating(who):
                    channel, _ = await self._connection.create_session(
                        lambda: session, command, encoding=None, window=WINDOW_BYTES, request_pty=False
                    )
                    channel.write(stdin)
                    channel.write_eof()
                    await channel.wait_closed()
        except TimeoutError as exc:
            raise CommandTimeoutError(
                f"A command on {who} did not end within {timeout_s:g} s and was killed.",
                next_step="Try again when it is less busy.",
            ) from exc
        finally:
            if channel is not None and not channel.is_closing():
                # Reached by time-out and by cancellation: closing alone would leave the command running.
                with contextlib.suppress(OSError):
                    channel.kill()
                channel.abort()
        status = channel.get_returncode()
        if status is None:
            raise MachineUnreachableError(
                f"The connection to {who} was lost while a command ran.",
                kept="It is not known whether the command was finished.",
                next_step="Try again in a moment.",
            )
        return Completed(
            exit_status=128 - status if status < 0 else status,
            stdout=bytes(session.stdout),
            stderr=bytes(session.stderr),
        )

    async def open_pty(
        self, *, columns: int, rows: int, term: str = "xterm-256color", environment: Mapping[str, str] | None = None
    ) -> Pty:
        """Open a login shell with a terminal. The machine's sshd decides which variables it accepts.

        Raises
        ------
        MachineUnreachableError, LoginRefusedError
            The connection is lost, or the machine gives no terminal.
        """
        session = PtySession()
        variables: dict[bytes | str, bytes | str] = {}
        variables.update((environment or {}).items())
        with translating(MACHINE):
            channel, _ = await self._connection.create_session(
                lambda: session,
                None,
                encoding=None,
                window=WINDOW_BYTES,
                request_pty="force",
                term_type=term,
                term_size=(columns, rows),
                term_modes={asyncssh.PTY_IUTF8: 1},
                env=variables,
            )
        return AsyncsshPty(channel, session)

    async def open_process(self, command: Sequence[str]) -> Process:
        """Begin a program with these arguments; the login shell makes way for it.

        Raises
        ------
        MachineUnreachableError, LoginRefusedError
            The connection is lost, or the machine gives no channel.
        """
        session = ProcessSession()
        with translating(MACHINE):
            channel, _ = await self._connection.create_session(
                lambda: session, "exec " + shlex.join(command), encoding=None, window=WINDOW_BYTES, request_pty=False
            )
        return AsyncsshProcess(channel, session)

    async def wait_closed(self) -> None:
        """Return when it has ended, for whatever reason."""
        await self._connection.wait_closed()
        _abort(self._tunnel)

    async def close(self) -> None:
        """End it and all its channels. Repeatable."""
        try:
            self._connection.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._connection.wait_closed()
        finally:
            self._connection.abort()
            _abort(self._tunnel)


class _RunSession(asyncssh.SSHClientSession[bytes]):
    """Collects a command's output, and drops what is too much so that the command can end."""

    def __init__(self) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        kept = self.stderr if datatype == asyncssh.EXTENDED_DATA_STDERR else self.stdout
        kept += data[: MAX_OUTPUT_BYTES - len(kept)]


async def _login(
    host: str,
    port: int,
    *,
    who: str,
    username: str,
    private_key: str,
    certificate: str,
    host_keys: Sequence[str],
    timeout_s: float,
    tunnel: asyncssh.SSHClientConnection | None = None,
) -> asyncssh.SSHClientConnection:
    with translating(who):
        options = connect_options(
            username=username,
            private_key=private_key,
            certificate=certificate,
            host_keys=host_keys,
            who=who,
            timeout_s=timeout_s,
        )
        way = None if tunnel is None else GreetedTunnel(tunnel)
        return await asyncssh.connect(host, port, tunnel=way, **options)


async def _gateway(grant: Grant, timeout_s: float) -> asyncssh.SSHClientConnection | None:
    if grant.gateway is None:
        return None
    return await _login(
        grant.gateway.host,
        grant.gateway.port,
        who=GATEWAY,
        username=GATEWAY_USER,
        private_key=grant.private_key,
        certificate=grant.certificate,
        host_keys=(grant.gateway.host_key,),
        timeout_s=timeout_s,
    )


@contextlib.asynccontextmanager
async def _limited(timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as exc:
        raise MachineUnreachableError(
            "The machine did not answer in time.", next_step="It may still be starting; try again in a moment."
        ) from exc


def _abort(connection: asyncssh.SSHClientConnection | None) -> None:
    if connection is not None:
        connection.abort()
