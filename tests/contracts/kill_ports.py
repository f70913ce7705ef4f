"""Cloud, machines and gateway in one process, and a broker in another that may be killed at any moment.

The broker's side asks over a socket and waits for the answer; each question carries the broker's virtual time, which
becomes the world's. What the killed process had asked for has happened, and nothing else; no reply is half read.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import struct
from typing import Any

from educloud_lab.adapters.memory.clock import FakeClock
from educloud_lab.adapters.memory.shell import MemoryAuthority
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.ports.shell import KeyPairText

_LENGTH = struct.Struct("!I")


def _send(sock: socket.socket, message: object) -> None:
    data = pickle.dumps(message)
    sock.sendall(_LENGTH.pack(len(data)) + data)


def _read(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = sock.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _receive(sock: socket.socket) -> Any:
    return pickle.loads(_read(sock, _LENGTH.unpack(_read(sock, _LENGTH.size))[0]))


class Keys(MemoryAuthority):
    """Makes keys that no other process makes."""

    def new_key_pair(self) -> KeyPairText:
        public = f"ssh-ed25519 {os.urandom(48).hex()}"
        return KeyPairText(private=f"private of {public}", public=public)


class Line:
    """The broker's end of the socket."""

    def __init__(self, sock: socket.socket, clock: FakeClock) -> None:
        self._sock = sock
        self._clock = clock

    def ask(self, target: str, method: str, *arguments: Any, **named: Any) -> Any:
        """Have a method called in the world."""
        _send(self._sock, (self._clock.monotonic_s(), target, method, arguments, named))
        kind, answer = _receive(self._sock)
        if kind == "error":
            cls, content, text = answer
            error = cls.__new__(cls)
            error.__dict__.update(content)
            error.args = text
            raise error
        return Connection(self, answer) if kind == "connection" else answer

    def tell(self, what: str, value: Any) -> None:
        """Tell how far it is; nobody answers but the socket."""
        self.ask("story", what, value)


class Port:
    """A port whose other half is in the world."""

    def __init__(self, line: Line, target: str, plain: frozenset[str] = frozenset()) -> None:
        self._line = line
        self._target = target
        self._plain = plain

    def __getattr__(self, name: str) -> Any:
        if name in self._plain:
            return lambda *arguments, **named: self._line.ask(self._target, name, *arguments, **named)

        async def call(*arguments: Any, **named: Any) -> Any:
            return self._line.ask(self._target, name, *arguments, **named)

        return call


class Connection:
    """A connection that the world holds."""

    def __init__(self, line: Line, number: int) -> None:
        self._line = line
        self._target = f"connection {number}"

    @property
    def host_key(self) -> str:
        return self._line.ask(self._target, "host_key")

    @property
    def closed(self) -> bool:
        return self._line.ask(self._target, "closed")

    async def run(self, script: str, **named: Any) -> Any:
        return self._line.ask(self._target, "run", script, **named)

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self._line.ask(self._target, "close")


class World:
    """The world's end of the socket: serves one broker until that is gone."""

    def __init__(self, world: MemoryWorld, sock: socket.socket) -> None:
        self.world = world
        self._sock = sock
        self._connections: list[Any] = []
        self.told: dict[str, Any] = {}

    def serve(self, pid: int) -> int:
        """Answer until the process has ended; return its wait status. Its connections break with it."""
        try:
            while True:
                now_s, target, method, arguments, named = _receive(self._sock)
                self.world.clock.jump(now_s - self.world.clock.monotonic_s())
                _send(self._sock, self._answer(target, method, arguments, named))
        except (EOFError, ConnectionError):
            pass
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        for connection in self._connections:
            _now(connection.close())
        return os.waitpid(pid, 0)[1]

    def _answer(self, target: str, method: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[str, Any]:
        if target == "story":
            self.told[method] = arguments[0]
            return "value", None
        owner = self._connections[int(target.split()[1])] if " " in target else getattr(self.world, target)
        try:
            found = getattr(owner, method)
            answer = found(*arguments, **named) if callable(found) else found
            if asyncio.iscoroutine(answer):
                answer = _now(answer)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to who asked
            return "error", (type(error), dict(error.__dict__), error.args)
        if hasattr(answer, "open_pty"):
            self._connections.append(answer)
            return "connection", len(self._connections) - 1
        return "value", answer


def _now(coroutine: Any) -> Any:
    """Return what a coroutine gives that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    msg = "the world in memory waited for something"
    raise RuntimeError(msg)
