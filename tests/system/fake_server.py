"""A Jupyter server extension that plays the server half from a script, for tests of the page alone.

It answers the same routes with the shapes of :mod:`educloud_lab.wire.models`, so a change of the contract breaks it.
What it shows is set by ``POST educloud/test/scene`` (see :data:`SCENES`); Start, Stop and Delete play short scenes.
Its terminal is no machine: it echoes lines, and ``flood`` prints a megabyte and counts what the page acknowledges.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketHandler

from educloud_lab.wire import models as wire

LEASE_ID = "k7m2p9"
LAB = "Shell basics"
STEPS = (
    ("volume", "Make the volume", "The cloud is making the volume", 2.0),
    ("run", "Ask the cloud for an instance", "The cloud looks for a node with room", 1.0),
    ("boot", "Boot", "The machine is booting", 6.0),
    ("attach", "Attach the volume", "The cloud is attaching the volume", 1.5),
    ("mount", "Mount your files at /data", "", 1.0),
    ("login", "Open the way for terminals", "", 0.5),
)
PROFILE = wire.MachineProfile(
    name="tiny",
    revision=2,
    title="Small Linux machine",
    description="Debian with a shell, Python and an editor. Enough for the first labs.",
    image="tiny",
    instance_type="m1.small",
    volume_size_bytes=2**30,
    mount_point="/data",
    time_limit_s=7200,
)
STORE_PROFILE = wire.MachineProfile(
    name="tiny-store",
    revision=1,
    title="Small Linux machine, fresh every time",
    description="The same, from an instance-store image: the system disk goes when it stops.",
    image="tiny-store",
    instance_type="m1.small",
    volume_size_bytes=2**30,
    mount_point="/data",
    time_limit_s=7200,
)


def ref(profile: wire.MachineProfile) -> wire.ProfileRef:
    """Return the reference that a lease holds."""
    return wire.ProfileRef(name=profile.name, revision=profile.revision, title=profile.title)


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def actions(**enabled: bool | str) -> list[wire.ActionState]:
    """Return all actions; a string is the reason why one is not possible."""
    states = {action: enabled.get(action.value, False) for action in wire.Action}
    return [
        wire.ActionState(
            action=action,
            enabled=state is True,
            reason="" if state is True else str(state or "Start the machine first."),
        )
        for action, state in states.items()
    ]


def job(kind: str, doing: int, *, failed: bool = False, serial: int = 1) -> wire.Job:
    """Return a job of which `doing` steps are over; over altogether when `doing` is their number."""
    begin = now() - timedelta(seconds=sum(step[3] for step in STEPS[:doing]) + 0.8)
    steps = []
    for index, (name, title, waiting_for, takes_s) in enumerate(STEPS):
        state = wire.StepState.DONE if index < doing else wire.StepState.TODO
        if index == doing:
            state = wire.StepState.FAILED if failed else wire.StepState.DOING
        end = begin + timedelta(seconds=takes_s)
        steps.append(
            wire.Step(
                name=name,
                title=title,
                state=state,
                waiting_for=waiting_for,
                started_at=begin if index <= doing else None,
                ended_at=end if index < doing or (failed and index == doing) else None,
                estimate_s=takes_s,
            )
        )
        begin = end
    rest_s = sum(step[3] for step in STEPS[doing:])
    return wire.Job(
        id=f"job-{kind}-{serial}",
        kind=kind,
        created_at=now(),
        in_flight=doing < len(STEPS) and not failed,
        attempts=1,
        steps=steps,
        progress=round(1 - rest_s / sum(step[3] for step in STEPS), 2),
        estimate_s=rest_s or None,
    )


def lease(phase: wire.Phase, headline: str, **changes: Any) -> wire.Lease:
    """Return the lease with the given fields changed."""
    running = phase in {wire.Phase.READY}
    fields: dict[str, Any] = {
        "id": LEASE_ID,
        "course": "local",
        "lab": LAB,
        "slot": "main",
        "person": "ada",
        "machine_profile": ref(PROFILE),
        "generation": 1,
        "target": "running",
        "status": "running" if running else "starting",
        "phase": phase,
        "headline": headline,
        "volumes": [
            wire.Volume(
                id="vol-3f9a1c20",
                size_bytes=2**30,
                mount_point="/data",
                stage="mounted" if running else "available",
            )
        ],
        "system_disk": "kept",
        "actions": actions(start=True, delete=True, console="There is no instance yet."),
        "updated_at": now(),
    }
    if running:
        fields |= {
            "login": "student@172.16.77.5",
            "host_key_source": "pinned",
            "host_key_fingerprint": "SHA256:Zq3mYxw0m2Jr4k1Wc8v7n5T6b9Q2e0uLsd4fHgKjP1o",
            "started_at": now(),
            "expires_at": now() + timedelta(minutes=114, seconds=10),
            "instance": instance("running"),
            "actions": actions(
                stop=True, delete=True, extend=True, terminal=True, console=True, start="It is running already."
            ),
        }
    return wire.Lease(**(fields | changes))


def instance(state: str) -> wire.Instance:
    """Return the instance."""
    return wire.Instance(
        id="i-9b2e44d1",
        state=state,
        address="172.16.77.5",
        instance_type="m1.small",
        image_id="emi-1f0c2a77",
        zone="bench-1",
        launched_at=now() - timedelta(minutes=6),
    )


def starting(doing: int, serial: int = 1) -> wire.Lease:
    """Return the lease in the middle of a start."""
    return lease(
        wire.Phase.STARTING,
        f"Starting: {STEPS[doing][1].lower()}",
        job=job("start", doing, serial=serial),
        instance=instance("pending") if doing > 1 else None,
        volumes=[
            wire.Volume(
                id="vol-3f9a1c20" if doing else None,
                size_bytes=2**30,
                mount_point="/data",
                stage="attaching" if doing > 2 else "available" if doing else "creating",
            )
        ],
        actions=actions(
            start="It is starting already.",
            terminal="It opens when the machine is ready.",
            stop=True,
            delete=True,
            console=doing > 1 or "There is no instance yet.",
        ),
    )


def ready(serial: int = 1, **changes: Any) -> wire.Lease:
    """Return the lease with its machine running."""
    return lease(wire.Phase.READY, "Ready to use", job=job("start", len(STEPS), serial=serial), **changes)


def asleep() -> wire.Lease:
    """Return the lease with its machine stopped."""
    return lease(
        wire.Phase.ASLEEP,
        "Asleep. Your files are kept.",
        target="stopped",
        status="stopped",
        instance=instance("stopped"),
        actions=actions(start=True, delete=True, console=True, stop="It is asleep already."),
    )


def trouble() -> wire.Lease:
    """Return the lease after a start that failed."""
    return lease(
        wire.Phase.TROUBLE,
        "The machine could not be started",
        status="failed",
        job=job("start", 1, failed=True),
        problem=wire.Problem(
            code="no-capacity",
            what="The cloud has no room for an instance of type m1.small just now.",
            kept="Your volume vol-3f9a1c20 and all files on it.",
            next_step="Press Try again in a few minutes, or ask your instructor for a smaller machine profile.",
            at=now(),
        ),
    )


def waiting() -> wire.Lease:
    """Return the lease while the cloud cannot be seen."""
    return lease(
        wire.Phase.WAITING,
        "Waiting for the cloud to answer",
        problem=wire.Problem(
            code="cloud-unreachable",
            what="The cloud did not answer for 40 s.",
            kept="Nothing was changed; the start goes on where it was.",
            next_step="Nothing: it is tried again by itself.",
        ),
        job=job("start", 2).model_copy(update={"attempts": 3, "next_attempt_at": now() + timedelta(seconds=22)}),
        actions=actions(stop=True, delete=True, start="It is starting already."),
    )


SCENES: dict[str, Any] = {
    "off": list,
    "starting": lambda: [starting(2)],
    "ready": lambda: [ready()],
    "soon": lambda: [ready(expires_at=now() + timedelta(minutes=4, seconds=20))],
    "asleep": lambda: [asleep()],
    "trouble": lambda: [trouble()],
    "waiting": lambda: [waiting()],
    "lost": lambda: [ready(system_disk="lost", machine_profile=ref(STORE_PROFILE))],
}


class Stage:
    """What is shown now, and who watches."""

    def __init__(self) -> None:
        self.leases: list[wire.Lease] = []
        self.version = 1
        self.starts = 0
        self.hello = wire.Hello(api_version=wire.API_VERSION, package_version="0.1.0")
        self.reachable = True
        self.refuse: wire.Problem | None = None
        self.watchers: set[Socket] = set()
        self.terminals: dict[str, Terminal] = {}
        self.requests: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.tasks: set[asyncio.Task[None]] = set()

    def snapshot(self) -> wire.Snapshot:
        return wire.Snapshot(
            version=self.version,
            server_time=now(),
            person="ada",
            course="local",
            cloud=wire.Cloud(kind="local", name="bench cloud", reachable=self.reachable),
            profiles=[PROFILE, STORE_PROFILE],
            leases=self.leases,
        )

    def show(self, leases: list[wire.Lease]) -> None:
        self.leases = leases
        self.version += 1
        for watcher in list(self.watchers):
            watcher.send()

    def play(self, kind: str) -> None:
        task = asyncio.ensure_future(self._play(kind))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _play(self, kind: str) -> None:
        if kind == "start":
            self.starts += 1
            for doing in range(len(STEPS)):
                self.show([starting(doing, self.starts + 100)])
                await asyncio.sleep(0.25)
            await self.go_on.wait()  # a browser may be slow: it starts until the page has been looked at
            self.show([ready(self.starts + 100)])
        elif kind == "stop":
            stopping = {"target": "stopped", "status": "stopping", "actions": actions()}
            self.show([lease(wire.Phase.STOPPING, "Saving your files", **stopping)])
            await asyncio.sleep(0.4)
            await self.go_on.wait()
            self.show([asleep()])
        elif kind == "delete":
            self.show([lease(wire.Phase.OFF, "Off. Your files are kept.", target="deleted", status="stopped")])
        elif kind == "extend":
            self.show([ready(expires_at=now() + timedelta(hours=2))])


STAGE = Stage()


class Api(APIHandler):
    """Base: writes wire models."""

    def reply(self, model: wire.Wire | list[Any]) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(model.model_dump_json() if isinstance(model, wire.Wire) else json.dumps(model))

    def prepare_refusal(self) -> bool:
        if STAGE.refuse is None:
            return False
        self.set_status(409)
        self.reply(wire.ErrorReply(error=STAGE.refuse, request_id="r-1"))
        return True


class Hello(Api):
    @web.authenticated
    async def get(self) -> None:
        STAGE.requests.append("hello")
        self.reply(STAGE.hello)


class SnapshotHandler(Api):
    @web.authenticated
    async def get(self) -> None:
        STAGE.requests.append("snapshot")
        self.reply(STAGE.snapshot())


class Leases(Api):
    @web.authenticated
    async def post(self) -> None:
        if self.prepare_refusal():
            return
        request = wire.LeaseRequest.model_validate_json(self.request.body)
        STAGE.requests.append(f"claim {request.lab} {request.machine_profile} {request.start}")
        STAGE.play("start")
        self.reply(starting(0).model_copy(update={"lab": request.lab}))


class ActionHandler(Api):
    @web.authenticated
    async def post(self, lease_id: str, action: str) -> None:
        if self.prepare_refusal():
            return
        if action == "delete":
            request = wire.DeleteRequest.model_validate_json(self.request.body)
            STAGE.requests.append(f"delete {request.confirm}")
        else:
            STAGE.requests.append(action)
        STAGE.play(action)
        self.reply(STAGE.leases[0])


class ConsoleHandler(Api):
    @web.authenticated
    async def get(self, lease_id: str) -> None:
        lines = [f"[    {index * 0.0137:.6f}] virtio_blk virtio{index}: ready\r" for index in range(60)]
        lines += [
            "\x1b[32m[  OK  ]\x1b[0m Started \x1b[1mOpenSSH server\x1b[0m.\r",
            "-----BEGIN SSH HOST KEY FINGERPRINTS-----\r",
            "256 SHA256:Zq3mYxw0m2Jr4k1Wc8v7n5T6b9Q2e0uLsd4fHgKjP1o root@machine (ED25519)\r",
            "-----END SSH HOST KEY FINGERPRINTS-----\r",
        ]
        self.reply(wire.Console(lease_id=lease_id, text="\n".join(lines), read_at=now()))


class Scene(Api):
    """Set what is shown; read what was asked."""

    def check_xsrf_cookie(self) -> None:
        """Not checked: only tests call this."""

    @web.authenticated
    async def post(self) -> None:
        body = json.loads(self.request.body)
        if "scene" in body:
            STAGE.requests.clear()
            STAGE.show(SCENES[body["scene"]]())
        if "lab" in body:
            STAGE.show([one.model_copy(update={"lab": body["lab"]}) for one in STAGE.leases])
        if "hello" in body:
            STAGE.hello = wire.Hello(**body["hello"])
        if "reachable" in body:
            STAGE.reachable = body["reachable"]
            STAGE.show(STAGE.leases)
        if "refuse" in body:
            STAGE.refuse = wire.Problem(**body["refuse"]) if body["refuse"] else None
        if "hold" in body:  # what is on its way comes to no end until this is taken back
            (STAGE.go_on.clear if body["hold"] else STAGE.go_on.set)()
        if body.get("drop_sockets"):
            for watcher in list(STAGE.watchers):
                watcher.close()
            STAGE.watchers.clear()  # what is shown from now on is not for them, though they end a moment later
        self.reply([])

    @web.authenticated
    async def get(self) -> None:
        self.reply(
            [
                STAGE.requests,
                {
                    name: {"acked": one.acked, "sent": one.sent, "highest": one.highest}
                    for name, one in STAGE.terminals.items()
                },
            ]
        )


class Socket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """Snapshots."""

    @web.authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        super().open(*args, **kwargs)
        STAGE.watchers.add(self)
        self.send()

    def send(self) -> None:
        self.write_message(wire.SnapshotMessage(snapshot=STAGE.snapshot()).model_dump_json())

    def on_message(self, message: str | bytes) -> None:
        wire.PingMessage.model_validate_json(message)
        self.write_message(wire.PongMessage(version=STAGE.version).model_dump_json())

    def on_close(self) -> None:
        STAGE.watchers.discard(self)
        super().on_close()


class Terminal:
    """A terminal that echoes, with credits as docs/explanation/terminals.md says."""

    HIGH_BYTES = 393_216

    def __init__(self, name: str) -> None:
        self.name = name
        self.log = "student@shell-basics:~$ "
        self.sockets: set[TerminalSocket] = set()
        self.sent = 0
        self.acked = 0
        self.highest = 0
        self.room = asyncio.Event()

    def write(self, text: str) -> None:
        self.log += text
        for socket in self.sockets:
            socket.write_message(json.dumps(["stdout", text, len(text.encode())]))
        self.sent += len(text.encode())
        self.highest = max(self.highest, self.sent - self.acked)

    def type(self, text: str) -> None:
        if "\r" not in text:
            self.write(text)
            return
        line = (self.log.rsplit("$ ", 1)[-1] + text).strip()
        self.write("\r\n")
        if line == "flood":
            task = asyncio.ensure_future(self._flood())
            STAGE.tasks.add(task)
            task.add_done_callback(STAGE.tasks.discard)
        elif line == "exit":
            for socket in list(self.sockets):
                socket.write_message(json.dumps(["disconnect", 1]))
            del STAGE.terminals[self.name]
        else:
            self.write(f"{line}: noted\r\nstudent@shell-basics:~$ ")

    async def _flood(self) -> None:
        for index in range(64):
            while self.sent - self.acked > self.HIGH_BYTES:
                self.room.clear()
                await self.room.wait()
            self.write(f"{index:04d} " + "x" * 16_370 + "\r\n")
            await asyncio.sleep(0)
        self.write("flood over\r\nstudent@shell-basics:~$ ")


class Terminals(Api):
    @web.authenticated
    async def get(self) -> None:
        self.reply([{"name": name} for name in STAGE.terminals])

    @web.authenticated
    async def post(self) -> None:
        name = json.loads(self.request.body)["name"]
        STAGE.terminals.setdefault(name, Terminal(name))
        self.finish(json.dumps({"name": name}))


class OneTerminal(Api):
    @web.authenticated
    async def delete(self, name: str) -> None:
        terminal = STAGE.terminals.pop(name)
        for socket in list(terminal.sockets):
            socket.write_message(json.dumps(["disconnect", 1]))
        self.set_status(204)
        self.finish()


class TerminalSocket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """The stock protocol with credits."""

    @web.authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        if kwargs["name"] not in STAGE.terminals:
            raise web.HTTPError(404)
        await super().get(*args, **kwargs)

    def open(self, name: str) -> None:
        super().open()
        self.terminal = STAGE.terminals[name]
        self.write_message(json.dumps(["setup", {"educloud": {"flow": 1}}]))
        self.write_message(json.dumps(["stdout", self.terminal.log, len(self.terminal.log)]))
        self.terminal.sockets.add(self)

    def on_message(self, message: str | bytes) -> None:
        kind, *rest = json.loads(message)
        if kind == "flow":
            self.terminal.sent = self.terminal.acked = 0
            self.write_message(json.dumps(["flow", 1]))
        elif kind == "ack":
            self.terminal.acked += rest[0]
            self.terminal.room.set()
        elif kind == "stdin":
            self.terminal.type(rest[0])

    def on_close(self) -> None:
        if hasattr(self, "terminal"):
            self.terminal.sockets.discard(self)
        super().on_close()


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "fake_server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    base = server.web_app.settings["base_url"].rstrip("/")
    api = f"{base}/educloud/api/v1"
    server.web_app.add_handlers(
        ".*$",
        [
            (f"{api}/hello", Hello),
            (f"{api}/snapshot", SnapshotHandler),
            (f"{api}/leases", Leases),
            (f"{api}/leases/([^/]+)/(start|stop|extend|delete)", ActionHandler),
            (f"{api}/leases/([^/]+)/console", ConsoleHandler),
            (f"{api}/socket", Socket),
            (f"{base}/educloud/test/scene", Scene),
            (f"{base}/educloud/vm/api/terminals", Terminals),
            (f"{base}/educloud/vm/api/terminals/(?P<name>[^/]+)", OneTerminal),
            (f"{base}/educloud/vm/terminals/websocket/(?P<name>[^/]+)", TerminalSocket),
        ],
    )
