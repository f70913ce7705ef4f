"""Talking to one QEMU process: QMP over its unix socket, every step limited in time.

QEMU serves one client of a monitor at a time and lets a second one hang in ``connect``, so every connect has a
limit. The connection is made when first needed and again after it broke. qemu.qmp's errors are translated here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener, ExecuteError, Message, QMPClient, QMPError, Runstate

from educloud_lab.localcloud.hypervisor.base import HypervisorError

# qemu.qmp logs what it also raises, as errors; here each is translated, and most are a machine that ended.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)

CONNECT_LIMIT_S = 5.0
COMMAND_LIMIT_S = 10.0


class MonitorLostError(HypervisorError):
    """QEMU does not answer: it ended, it hangs, or another client holds its monitor. Says nothing about the guest."""


class CommandRefusedError(HypervisorError):
    """QEMU understood the command and refused it; ``reason`` is QEMU's own text."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"QEMU refused {command}: {reason}")
        self.command = command
        self.reason = reason


class Monitor:
    """One machine's control monitor. Safe for several tasks of one loop.

    Parameters
    ----------
    socket : path of the monitor's unix socket.
    label : name for messages (the instance id).
    """

    def __init__(self, socket: Path, label: str) -> None:
        self._socket = socket
        self._label = label
        self._client: QMPClient | None = None
        self._connecting = asyncio.Lock()
        self._dropping = asyncio.Lock()
        self._tending: set[asyncio.Task[None]] = set()

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, limit_s: float = COMMAND_LIMIT_S
    ) -> Any:
        """Run one command and give its answer.

        Raises
        ------
        CommandRefusedError
            QEMU refused; nothing changed unless the command's own documentation says otherwise.
        MonitorLostError
            No answer within ``limit_s``, or no connection: whether the command ran is not known.
        """
        client = await self._connected()
        try:
            async with asyncio.timeout(limit_s):
                return await client.execute(command, None if arguments is None else dict(arguments))
        except ExecuteError as error:
            raise CommandRefusedError(command, str(error)) from error
        except (QMPError, OSError, EOFError, TimeoutError) as error:
            await self._drop(client)
            raise MonitorLostError(f"QEMU of {self._label} did not answer {command}.") from error

    async def human(self, line: str) -> str:
        """Run one line of the human monitor; the answer is text, and so are its errors."""
        return str(await self.execute("human-monitor-command", {"command-line": line}))

    @contextlib.asynccontextmanager
    async def listening(self, *names: str) -> AsyncIterator[EventListener]:
        """Gather events of the given names from now on. Raises MonitorLostError."""
        client = await self._connected()
        with client.listener(names) as listener:
            yield listener

    async def close(self) -> None:
        """Let go of the connection; the machine is not touched. Repeatable."""
        if self._client is not None:
            await self._drop(self._client)
        await asyncio.gather(*self._tending)

    async def _connected(self) -> QMPClient:
        async with self._connecting:
            client = self._client
            if client is not None:
                if client.runstate is Runstate.RUNNING:
                    return client
                await self._drop(client)
            client = QMPClient(self._label)
            # The default listener keeps every event and nobody reads it: it would grow as long as the machine lives.
            client.events.event_filter = lambda _event: False
            try:
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    await client.connect(str(self._socket))
            except (QMPError, OSError, EOFError, TimeoutError) as error:
                await self._drop(client)
                raise MonitorLostError(
                    f"QEMU of {self._label} cannot be reached: it ended, or another program holds its monitor."
                ) from error
            self._client = client
            tend = asyncio.create_task(self._tend(client), name=f"monitor of {self._label}")
            self._tending.add(tend)
            tend.add_done_callback(self._tending.discard)
            return client

    async def _tend(self, client: QMPClient) -> None:
        """Clear away a connection when it ends, though nobody has a command under way that would notice."""
        while client.runstate is Runstate.RUNNING:
            await client.runstate_changed()
        await self._drop(client)

    async def _drop(self, client: QMPClient) -> None:
        if self._client is client:
            self._client = None
        async with self._dropping:
            if client.runstate is Runstate.IDLE:
                return
            # Whatever broke the connection is raised once more by disconnect; who had a command under way has it.
            with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    await client.disconnect()


def event_data(event: Message) -> Mapping[str, Any]:
    """Give the ``data`` member of an event."""
    data = event.get("data", {})
    return data if isinstance(data, Mapping) else {}
