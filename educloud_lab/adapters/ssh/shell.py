"""The shell port: connections to machines, through the gateway where there is one."""

from __future__ import annotations

from educloud_lab.adapters.ssh.loading import load_connection, load_knocking
from educloud_lab.ports.shell import Connection, Grant, Knocked


class AsyncsshShell:
    """Makes SSH connections by asyncssh."""

    async def connect(self, grant: Grant, *, timeout_s: float = 15.0) -> Connection:
        """Connect through the gateway (when there is one) and log in; both host keys are pinned.

        Raises
        ------
        MachineUnreachableError
            Nobody answers yet: worth repeating.
        HostKeyError
            Somebody else answers, at the gateway or the machine: never worth repeating by itself.
        LoginRefusedError
            The certificate was refused by the gateway or the machine.
        ShellError
            Any other reason, such as a key that cannot be read.
        """
        connection = await load_connection()
        return await connection.open(grant, timeout_s=timeout_s)

    async def check_host_key(self, grant: Grant, *, timeout_s: float = 15.0) -> None:
        """Return when the machine proved that it holds one of the grant's host keys; nobody logs in.

        Raises
        ------
        MachineUnreachableError, HostKeyError, LoginRefusedError, ShellError
            As `connect`; a login is refused here by the gateway only.
        """
        connection = await load_connection()
        await connection.check_host_key(grant, timeout_s=timeout_s)

    async def knock(self, grant: Grant, port: int, *, ask: bytes = b"", timeout_s: float = 5.0) -> Knocked:
        """Connect to a port of the machine through the gateway, say something, and hear at most 32 KiB.

        Raises
        ------
        MachineUnreachableError, HostKeyError, LoginRefusedError, ShellError
            The gateway itself was not reached.
        """
        knock = await load_knocking()
        return await knock(grant, port, ask=ask, timeout_s=timeout_s)
