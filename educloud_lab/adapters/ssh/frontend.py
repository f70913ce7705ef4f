"""Control of the gateway by SSH: one kept connection, made again when it is lost."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from educloud_lab.adapters.ssh.loading import load_connection
from educloud_lab.domain.errors import CommandTimeoutError, MachineUnreachableError, ShellError
from educloud_lab.ports.shell import GatewayAddress

if TYPE_CHECKING:
    from educloud_lab.adapters.ssh.connection import AsyncsshConnection

CONTROL_USER = "educloud-control"
_NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ControlCredentials:
    """The broker's own key with a certificate whose principal is ``educloud-broker``."""

    private_key: str = field(repr=False)
    certificate: str = field(repr=False)


class GatewayControl:
    """The Frontend port.

    Parameters
    ----------
    address : where the gateway answers, or a function that says so now (it may have been started again elsewhere).
    credentials : gives the key and a fresh certificate; asked at every new connection.
    timeout_s : for connecting, and for each command.
    """

    def __init__(
        self,
        address: GatewayAddress | Callable[[], GatewayAddress],
        credentials: Callable[[], Awaitable[ControlCredentials]],
        *,
        timeout_s: float = 15.0,
    ) -> None:
        self._address = address
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._connection: AsyncsshConnection | None = None
        self._connected_to: GatewayAddress | None = None
        self._lock = asyncio.Lock()

    async def put_lines(self, name: str, lines: Sequence[str]) -> None:
        """Set the lines kept under a name (in force on return); other lines stay. Repeatable.

        Raises
        ------
        ShellError
            The gateway refused them; the former lines stay.
        MachineUnreachableError, HostKeyError, LoginRefusedError
            There is no connection to the gateway.
        """
        if any("\n" in line or "\r" in line for line in lines):
            raise ShellError("A line for the gateway holds a line break.", kept="Nothing was changed.")
        await self._command(f"put-lines {_checked(name)}", "".join(f"{line}\n" for line in lines))

    async def drop_lines(self, name: str) -> None:
        """Remove them and cut live connections that no other line allows. Absent is success. Raises as `put_lines`."""
        await self._command(f"drop-lines {_checked(name)}")

    async def ping(self) -> None:
        """Return when the gateway answers. Raises as `put_lines`."""
        await self._command("ping")

    def address(self) -> GatewayAddress:
        """Where machines are reached through it."""
        return self._address() if callable(self._address) else self._address

    async def close(self) -> None:
        """End the kept connection. Repeatable; a later command makes a new one."""
        async with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _command(self, command: str, text: str = "") -> dict[str, Any]:
        kept = self._connection is not None
        try:
            return await self._ask(command, text)
        except (MachineUnreachableError, CommandTimeoutError):
            if not kept:
                raise
        # The kept connection had died unnoticed (a gateway started again, a laptop that slept). Every command may
        # be repeated, so once more on a new connection.
        await self.close()
        return await self._ask(command, text)

    async def _ask(self, command: str, text: str) -> dict[str, Any]:
        connection = await self._connect()
        done = await connection.execute(command, text.encode(), timeout_s=self._timeout_s, who="the gateway")
        try:
            answer = json.loads(done.stdout)
            ok = answer["ok"] is True
        except (ValueError, TypeError, KeyError) as exc:
            raise ShellError(
                "The gateway gave an answer that cannot be read.",
                next_step="Check that the front end at this address is an educloud gateway of this version.",
            ) from exc
        if not ok:
            raise ShellError(f"The gateway refused: {str(answer.get('message', ''))[:500]}")
        return dict(answer)

    async def _connect(self) -> AsyncsshConnection:
        async with self._lock:
            address = self.address()
            if self._connection is not None and (self._connection.closed or self._connected_to != address):
                stale, self._connection = self._connection, None
                await stale.close()
            if self._connection is None:
                opener = await load_connection()
                given = await self._credentials()
                self._connection = await opener.open_control(
                    address,
                    username=CONTROL_USER,
                    private_key=given.private_key,
                    certificate=given.certificate,
                    timeout_s=self._timeout_s,
                )
                self._connected_to = address
            return self._connection


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ShellError("A name of gateway lines may hold a-z, 0-9 and '-' only.", kept="Nothing was changed.")
    return name
