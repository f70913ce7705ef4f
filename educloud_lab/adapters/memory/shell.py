"""SSH in memory: a machine that does what the broker's scripts mean, and answers by their grammar."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from educloud_lab.adapters.memory import checking
from educloud_lab.adapters.memory.cloud import MemoryCloud
from educloud_lab.adapters.memory.machines import MemoryDisk, MemoryMachine, fake_key
from educloud_lab.adapters.memory.process import MemoryProcess
from educloud_lab.broker.scripts import disk as disk_scripts
from educloud_lab.broker.scripts import first_contact
from educloud_lab.broker.scripts import freeze as freeze_scripts
from educloud_lab.broker.scripts import guard as guard_scripts
from educloud_lab.broker.scripts import presence as presence_scripts
from educloud_lab.domain.errors import HostKeyError, LoginRefusedError, MachineUnreachableError
from educloud_lab.domain.naming import disk_serial
from educloud_lab.ports.shell import Completed, GatewayAddress, Grant, KeyPairText, Knocked, Way


class MemoryAuthority:
    """Keys and certificates that only look like some: a certificate is readable JSON."""

    def __init__(self) -> None:
        self._count = 0

    def new_key_pair(self) -> KeyPairText:
        """Make a pair whose private half names its public half."""
        self._count += 1
        public = fake_key(f"pair {id(self)} {self._count}")
        return KeyPairText(private=f"private of {public}", public=public)

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
        """Return the certificate's content."""
        content = {
            "ca": ca_private.removeprefix("private of "),
            "public": public,
            "principals": list(principals),
            "from": valid_from.isoformat(),
            "until": valid_until.isoformat(),
        }
        return json.dumps(content)

    def fingerprint(self, public: str) -> str:
        """Return something like a fingerprint."""
        return f"SHA256:{public.split()[-1][:43]}"


class MemoryFrontend:
    """The gateway's lines, and who is cut off by their change."""

    def __init__(self) -> None:
        self.lines: dict[str, tuple[str, ...]] = {}
        self.connections: set[MemoryConnection] = set()
        self.errors: list[MachineUnreachableError] = []

    async def put_lines(self, name: str, lines: Sequence[str]) -> None:
        """Set lines."""
        if self.errors:
            raise self.errors.pop(0)
        self.lines[name] = tuple(lines)
        await self._cut()

    async def drop_lines(self, name: str) -> None:
        """Drop lines."""
        self.lines.pop(name, None)
        await self._cut()

    async def _cut(self) -> None:
        for connection in list(self.connections):
            if not self.allows(connection.grant):
                await connection.close()

    def allows(self, grant: Grant) -> bool:
        """Say whether a line permits this grant's destination to its principal."""
        where, who = f'permitopen="{grant.address}:{grant.port}"', f'principals="{grant.principal}"'
        return any(where in line and who in line for lines in self.lines.values() for line in lines)

    async def ping(self) -> None:
        """Answer."""

    def address(self) -> GatewayAddress:
        """Return an address that nobody dials."""
        return GatewayAddress("gateway.invalid", 2222, fake_key("gateway"))


class MemoryShell:
    """Connects to the machines of a :class:`MemoryCloud`.

    Parameters
    ----------
    cloud : where the machines are.
    frontend : checked when the grant names a gateway.

    Notes
    -----
    ``break_before`` and ``break_after`` map a script's name to how often the connection breaks before or after its
    effect.
    """

    def __init__(self, cloud: MemoryCloud, frontend: MemoryFrontend | None = None) -> None:
        self.cloud = cloud
        self.frontend = frontend
        self.break_before: dict[str, int] = {}
        self.break_after: dict[str, int] = {}
        self.scripts: list[str] = []
        self.shown_keys: list[str] = []

    async def connect(self, grant: Grant, *, timeout_s: float = 15.0) -> MemoryConnection:
        """Connect as the port says."""
        machine = self._reach(grant)
        certificate = json.loads(grant.certificate)
        known = machine.principals.get(grant.user)
        late = self.cloud.clock.now() > datetime.fromisoformat(certificate["until"])
        if machine.refuses_login or late or certificate["principals"] != [known] or certificate["ca"] != machine.ca:
            raise LoginRefusedError("The machine refused the certificate.")
        connection = MemoryConnection(self, machine, grant)
        if self.frontend is not None:
            self.frontend.connections.add(connection)
        return connection

    async def check_host_key(self, grant: Grant, *, timeout_s: float = 15.0) -> None:
        """Compare the key that the machine shows."""
        self._reach(grant)

    async def knock(self, grant: Grant, port: int, *, ask: bytes = b"", timeout_s: float = 5.0) -> Knocked:
        """Say how a port answers from outside: by the gateway's lines, the group's rules, and what listens there."""
        if self.frontend is None or not self.frontend.allows(replace(grant, port=port)):
            return Knocked(Way.NONE)
        machine = self.cloud.machine_at(grant.address)
        if machine is None:
            return Knocked(Way.SILENT)
        if not await self.cloud.lets_in(machine.instance_id, port):
            return Knocked(Way.CLOSED)
        found = machine.listens.get(f"*:{port}")
        return Knocked(Way.REFUSED) if found is None else Knocked(Way.OPEN, found if ask else b"")

    def _reach(self, grant: Grant) -> MemoryMachine:
        if self.frontend is not None and not self.frontend.allows(grant):
            raise LoginRefusedError("The gateway does not allow this connection.")
        machine = self.cloud.machine_at(grant.address)
        if machine is None:
            raise MachineUnreachableError("Nobody answers.")
        self.shown_keys.append(machine.served_key)
        if machine.served_key not in grant.host_keys:
            raise HostKeyError(
                "The machine showed a host key that was not expected.",
                kept="Nothing was sent to it.",
                next_step="If nobody reinstalled it, tell your instructor.",
            )
        return machine


class MemoryConnection:
    """One connection to one machine."""

    def __init__(self, shell: MemoryShell, machine: MemoryMachine, grant: Grant) -> None:
        self._shell = shell
        self._machine = machine
        self.grant = grant
        self._host_key = machine.served_key
        self._closed = asyncio.Event()

    @property
    def host_key(self) -> str:
        """The key that the machine showed."""
        return self._host_key

    @property
    def closed(self) -> bool:
        """Whether it has ended: closed, cut, or the machine is down."""
        return self._closed.is_set() or not self._machine.up

    async def run(
        self, script: str, *, arguments: Sequence[str] = (), stdin: bytes = b"", timeout_s: float = 30.0
    ) -> Completed:
        """Do what a script of the broker means."""
        name, function = _SCRIPTS[script] if script in _SCRIPTS else _asked(script)
        self._break(self._shell.break_before, name)
        if self.closed or self._machine.hung:
            raise MachineUnreachableError("The connection broke.")
        self._shell.scripts.append(name)
        status, lines = function(self, list(arguments))
        self._break(self._shell.break_after, name)
        text = "".join(f"{line}\n" for line in [f"educloud {name}", *lines, "end"]) if status == 0 else ""
        return Completed(exit_status=status, stdout=text.encode(), stderr=b"")

    def _break(self, counts: dict[str, int], name: str) -> None:
        if counts.get(name, 0) > 0:
            counts[name] -= 1
            self._closed.set()
            raise MachineUnreachableError("The connection broke.")

    def _disk(self, serial: str) -> MemoryDisk | None:
        disks = self._shell.cloud.attached_disks(self._machine.instance_id)
        return next((disk for key, (disk, device) in disks.items() if disk_serial(key, device) == serial), None)

    def _own_key(self, _arguments: list[str]) -> tuple[int, list[str]]:
        machine = self._machine
        machine.own_key = machine.own_key or fake_key(f"own {machine.instance_id}")
        return 0, [f"key {machine.own_key}"]

    def _switch(self, _arguments: list[str]) -> tuple[int, list[str]]:
        machine = self._machine
        machine.configured_own = True
        machine.served_key = machine.own_key
        return 0, []

    def _probe(self, arguments: list[str]) -> tuple[int, list[str]]:
        disk = self._disk(arguments[0])
        if disk is None:
            return 0, ["disk none"]
        place = next((k for k, v in self._machine.mounts.items() if v == disk.volume_id), "-")
        found = disk.type != "-" and not disk.unreadable
        zeros = "unreadable" if disk.unreadable else ("unknown" if found else ("yes" if disk.zeros else "no"))
        return 0, [
            "disk vdb",
            f"size_bytes {disk.size_bytes}",
            "readonly 0",
            f"mounted {place}",
            "partitions no",
            f"blkid {'found' if found else 'none'}",  # blkid says none of what it cannot read
            f"type {disk.type if found else '-'}",
            f"uuid {disk.uuid if found else '-'}",
            f"wipefs {'error' if disk.unreadable else 'found' if found or disk.signature else 'none'}",
            f"zeros {zeros}",
        ]

    def _format(self, arguments: list[str]) -> tuple[int, list[str]]:
        disk = self._disk(arguments[0])
        if disk is None:
            return 70, []
        if not disk.is_blank:
            self._shell.cloud.violations.append("mkfs on a disk that is not blank (I3)")
            return 72, []
        disk.type, disk.uuid, disk.zeros = "ext4", arguments[1], False
        disk.formats += 1
        return 0, [f"uuid {disk.uuid}"]

    def _mount(self, arguments: list[str]) -> tuple[int, list[str]]:
        disk, machine = self._disk(arguments[0]), self._machine
        if disk is None:
            return 70, []
        if disk.uuid != arguments[1]:
            return 0, ["state mismatch"]
        if disk.dirty == "beyond":
            return 0, ["state dirty"]
        if disk.volume_id in machine.mounts.values():
            return 0, ["state mounted", "written -", "mounts -", "extended no"]
        told = [f"written {disk.written_s}", f"mounts {disk.mount_count}"] if arguments[4] != "new" else []
        disk.dirty = ""
        disk.mount_count += 1
        disk.written_s = self._epoch_s()
        machine.mounts[arguments[2]] = disk.volume_id
        smaller = 0 < disk.file_system_bytes < disk.size_bytes
        disk.file_system_bytes = disk.size_bytes
        return 0, ["state mounted", *told, f"extended {'yes' if smaller else 'no'}"]

    def _release(self, arguments: list[str]) -> tuple[int, list[str]]:
        machine = self._machine
        machine.messages.append(arguments[2])
        if machine.holders and arguments[1] in machine.mounts:
            named = [f"holder{number} {number} student - {text}" for number, text in enumerate(machine.holders, 1)]
            return 0, ["state busy", "written -", "mounts -", *named]
        machine.mounts.pop(arguments[1], None)
        disk = self._disk(arguments[0])
        if disk is None:
            return 0, ["state free", "written -", "mounts -"]
        disk.written_s = self._epoch_s()
        return 0, ["state free", f"written {disk.written_s}", f"mounts {disk.mount_count}"]

    def _epoch_s(self) -> int:
        return int(self._shell.cloud.clock.now().timestamp())

    def _freeze(self, arguments: list[str]) -> tuple[int, list[str]]:
        disk, machine = self._disk(arguments[0]), self._machine
        if disk is None or machine.mounts.get(arguments[1]) != disk.volume_id:
            return 0, ["state unmounted"]
        machine.frozen[disk.volume_id] = self._shell.cloud.clock.monotonic_s() + float(arguments[2])
        return 0, ["state frozen"]

    def _thaw(self, arguments: list[str]) -> tuple[int, list[str]]:
        disk = self._disk(arguments[0])
        until_s = self._machine.frozen.pop(disk.volume_id, 0.0) if disk is not None else 0.0
        return 0, ["state thawed" if until_s > self._shell.cloud.clock.monotonic_s() else "state late"]

    def _guard(self, arguments: list[str]) -> tuple[int, list[str]]:
        machine = self._machine
        if machine.no_guard:
            return 72, []
        wish = (int(arguments[0]), int(arguments[1]))
        if machine.guard is None or machine.guard[0] <= wish[0]:
            machine.guard = wish
        return 0, [f"until {machine.guard[1]}", f"sequence {machine.guard[0]}", "survives yes"]

    def _tell(self, arguments: list[str]) -> tuple[int, list[str]]:
        self._machine.told.append(arguments[0])
        return 0, ["terminals 1"]

    def _load(self, _arguments: list[str]) -> tuple[int, list[str]]:
        machine = self._machine
        uptime_s = self._shell.cloud.clock.monotonic_s() - machine.ssh_up_at_s + 10
        ticks = round(machine.work_ticks + machine.work_share * uptime_s * 100)
        return 0, [f"load {machine.load:.2f}", "cores 1", f"uptime {uptime_s:.2f}", f"ticks {ticks}"]

    async def open_pty(
        self, *, columns: int, rows: int, term: str = "xterm-256color", environment: Mapping[str, str] | None = None
    ) -> MemoryPty:
        """Open a terminal that echoes."""
        if self.closed:
            raise MachineUnreachableError("The connection broke.")
        return MemoryPty()

    async def open_process(self, command: Sequence[str]) -> MemoryProcess:
        """Begin one of the few programs that are known here."""
        if self.closed:
            raise MachineUnreachableError("The connection broke.")
        return MemoryProcess(list(command), self._closed)

    async def wait_closed(self) -> None:
        """Return when it was closed or cut."""
        await self._closed.wait()

    async def close(self) -> None:
        """Close it."""
        self._closed.set()
        if self._shell.frontend is not None:
            self._shell.frontend.connections.discard(self)


class MemoryPty:
    """A terminal that gives back what it is given, until it reads ``exit`` and a line end."""

    def __init__(self) -> None:
        self._output: asyncio.Queue[bytes] = asyncio.Queue()
        self._typed = b""
        self._status: int | None = None
        self.size = (80, 24)

    async def read(self) -> bytes:
        """Return what was typed; b'' after the end."""
        if self._status is not None and self._output.empty():
            return b""
        return await self._output.get()

    def write(self, data: bytes) -> None:
        """Type something."""
        if self._status is not None:
            return
        self._typed = (self._typed + data)[-16:]
        self._output.put_nowait(data)
        if self._typed.endswith((b"exit\r", b"exit\n")):
            self._end(0)

    def _end(self, status: int) -> None:
        self._status = status
        self._output.put_nowait(b"")

    def resize(self, columns: int, rows: int) -> None:
        """Remember the size."""
        self.size = (columns, rows)

    @property
    def exit_status(self) -> int | None:
        """Exit status once it has ended."""
        return self._status

    async def close(self) -> None:
        """End it."""
        if self._status is None:
            self._end(129)


_Script = Callable[[MemoryConnection, list[str]], tuple[int, list[str]]]


def _asked(script: str) -> tuple[str, _Script]:
    """Return a script of checks as one of this shell."""
    name, answer = checking.SCRIPTS[script]
    return name, lambda connection, arguments: (0, answer(connection._shell.cloud, connection._machine, arguments))


_SCRIPTS: dict[str, tuple[str, _Script]] = {
    first_contact.OWN_HOST_KEY: ("own-host-key", MemoryConnection._own_key),
    first_contact.SWITCH_HOST_KEY: ("switch-host-key", MemoryConnection._switch),
    guard_scripts.ARM: ("guard", MemoryConnection._guard),
    presence_scripts.TELL: ("tell", MemoryConnection._tell),
    presence_scripts.LOAD: ("load", MemoryConnection._load),
    disk_scripts.PROBE: ("probe", MemoryConnection._probe),
    disk_scripts.FORMAT: ("format", MemoryConnection._format),
    disk_scripts.MOUNT: ("mount", MemoryConnection._mount),
    disk_scripts.RELEASE: ("release", MemoryConnection._release),
    freeze_scripts.FREEZE: ("freeze", MemoryConnection._freeze),
    freeze_scripts.THAW: ("thaw", MemoryConnection._thaw),
}
