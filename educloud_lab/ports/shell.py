"""The machine over SSH, as the broker and the student's server need it.

All methods raise only :class:`educloud_lab.domain.errors.ShellError` and its children.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class KeyPairText:
    """An ed25519 key pair as OpenSSH text."""

    private: str = field(repr=False)
    public: str  # one line without comment


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """Where the front end answers and which host key it must show."""

    host: str
    port: int
    host_key: str  # public key line


@dataclass(frozen=True, slots=True)
class Grant:
    """A short-lived permission to connect to one lease's machine.

    ``host_keys`` are the only public keys that the machine may show (I8): the bootstrap key before first
    contact, its own afterwards, both only while the change is being made.
    """

    lease_id: str
    generation: int
    user: str
    principal: str
    address: str
    port: int
    host_keys: tuple[str, ...]
    gateway: GatewayAddress | None
    private_key: str = field(repr=False)
    certificate: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended; output is cut at the asked size."""

    exit_status: int
    stdout: bytes
    stderr: bytes


class Pty(Protocol):
    """An interactive channel with a terminal at its other end."""

    async def read(self) -> bytes:
        """Return the next output (at most 128 KiB), b'' after the end. The channel is paused while nobody reads."""

    def write(self, data: bytes) -> None:
        """Send input; dropped after the end. Callable from the loop only."""

    def resize(self, columns: int, rows: int) -> None:
        """Tell the machine the new size."""

    @property
    def exit_status(self) -> int | None:
        """Exit status once it has ended; None before, and when the connection was lost."""

    async def close(self) -> None:
        """End it. Repeatable."""


Stream = Literal["stdout", "stderr"]
"""Where a program wrote something."""


class Process(Protocol):
    """A program on the machine, without a terminal: input, output by stream, and its end.

    There is no way to signal it: sshd refuses that for root and for forced commands, and ones before 7.9 do not know
    it. What has to be signalled is told so over its input.
    """

    async def read(self) -> tuple[Stream, bytes]:
        """Return the next output (at most 128 KiB) and its stream; b'' (of stdout) after the end.

        The channel is paused while nobody reads. One reader at a time.
        """

    async def write(self, data: bytes) -> None:
        """Send input, and return when at most 256 KiB of it wait to be taken. Dropped after the end."""

    def write_eof(self) -> None:
        """End its input. Repeatable; without effect after the end."""

    @property
    def exit_status(self) -> int | None:
        """Exit status (128 and the signal's number when a signal ended it); None before, and without a connection."""

    @property
    def exit_signal(self) -> str:
        """Name of the signal that ended it, without SIG; '' when none did."""

    async def close(self) -> None:
        """Let it go: its input ends, its output goes nowhere; it is not killed. Repeatable."""


class Connection(Protocol):
    """One multiplexed SSH connection to one machine."""

    @property
    def host_key(self) -> str:
        """The public key line that the machine showed."""

    @property
    def closed(self) -> bool:
        """Whether it has ended."""

    async def run(
        self, script: str, *, arguments: Sequence[str] = (), stdin: bytes = b"", timeout_s: float = 30.0
    ) -> Completed:
        """Run a POSIX shell script (sent as the command, arguments as $1...), never through string building.

        Raises
        ------
        CommandTimeoutError, MachineUnreachableError
        """

    async def open_pty(
        self, *, columns: int, rows: int, term: str = "xterm-256color", environment: Mapping[str, str] | None = None
    ) -> Pty:
        """Open a login shell with a terminal."""

    async def open_process(self, command: Sequence[str]) -> Process:
        """Begin a program of the machine with these arguments, which arrive as they are (100 KiB in all).

        The caller closes it. A program that is not there ends with status 127.

        Raises
        ------
        MachineUnreachableError, LoginRefusedError
            The connection is lost, or the machine gives no channel.
        """

    async def wait_closed(self) -> None:
        """Return when it has ended, for whatever reason."""

    async def close(self) -> None:
        """End it and all its channels. Repeatable."""


class Way(StrEnum):
    """What a knock at a port of a machine came to, as seen from where people come in."""

    OPEN = "open"
    REFUSED = "refused"  # nobody listens there
    SILENT = "silent"  # no answer, or none that says why
    CLOSED = "closed"  # the machine's security groups do not let the gateway in
    NONE = "none"  # the gateway has no way there for this grant: nothing is known


@dataclass(frozen=True, slots=True)
class Knocked:
    """How a port answered, and the beginning of what it said."""

    way: Way
    heard: bytes = b""


class Shell(Protocol):
    """Makes connections."""

    async def connect(self, grant: Grant, *, timeout_s: float = 15.0) -> Connection:
        """Connect through the gateway (when there is one) and log in.

        Raises
        ------
        MachineUnreachableError
            Nobody answers yet: worth repeating.
        HostKeyError
            Somebody else answers: never worth repeating by itself.
        LoginRefusedError
            The certificate was refused by the gateway or the machine.
        """

    async def check_host_key(self, grant: Grant, *, timeout_s: float = 15.0) -> None:
        """Return when the machine proved that it holds one of the grant's host keys; nobody logs in.

        Raises as `connect`.
        """

    async def knock(self, grant: Grant, port: int, *, ask: bytes = b"", timeout_s: float = 5.0) -> Knocked:
        """Connect to a TCP port of the grant's machine through the gateway, say something, and hear at most 32 KiB.

        Nobody logs in at the machine, and nothing that it says is trusted.

        Raises
        ------
        MachineUnreachableError, HostKeyError, LoginRefusedError
            The gateway itself was not reached. (What the machine does is in the answer.)
        """


class Authority(Protocol):
    """Makes keys and signs certificates. Holds no state of its own."""

    def new_key_pair(self) -> KeyPairText:
        """Make an ed25519 key pair."""

    def sign_user(
        self,
        *,
        ca_private: str,
        public: str,
        principals: Sequence[str],
        key_id: str,
        valid_from: datetime,
        valid_until: datetime,
        permit_pty: bool = True,
        permit_forwarding: bool = True,
    ) -> str:
        """Return a user certificate (OpenSSH text) for exactly these principals and times."""

    def fingerprint(self, public: str) -> str:
        """Return the SHA256 fingerprint that OpenSSH shows."""


class Frontend(Protocol):
    """Control of the gateway: who may reach which machine."""

    async def put_lines(self, name: str, lines: Sequence[str]) -> None:
        """Set the lines kept under a name (in force on return); other lines stay. Repeatable."""

    async def drop_lines(self, name: str) -> None:
        """Remove them and cut live connections that no other line allows. Absent is success."""

    async def ping(self) -> None:
        """Return when the gateway answers."""

    def address(self) -> GatewayAddress:
        """Where machines are reached through it."""
