"""A Jupyter server extension that plays the server half from a script, for tests of the page alone.

It answers the same routes with the shapes of :mod:`educloud_lab.wire.models`, so a change of the contract breaks it.
What it shows is set by ``POST educloud/test/scene`` (see fake_scenes.py); Start, Stop and Delete play short scenes.
Its terminal is no machine: it echoes lines, and ``flood`` prints a megabyte and counts what the page acknowledges.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketHandler

from educloud_lab.broker.needs import report as report_of_needs
from educloud_lab.wire import models as wire
from tests.system.fake_accounts import accounts
from tests.system.fake_scenes import (
    FINDING,
    LEASE_ID,
    PROFILE,
    SCENES,
    STEPS,
    STORE_PROFILE,
    actions,
    asleep,
    binned,
    exempted,
    lease,
    now,
    ready,
    report,
    snap,
    starting,
    warned,
)

BODIES: dict[str, type[wire.Wire]] = {
    "busy": wire.BusyRequest,
    "exempt": wire.ExemptRequest,
    "snapshots": wire.SnapshotRequest,
    "publish": wire.PublishRequest,
    "grow": wire.GrowRequest,
    "discard": wire.DeleteRequest,
    "activity": wire.ActivityRequest,
}
"""What goes with a wish, by the last part of its path."""


class Stage:
    """What is shown now, and who watches."""

    def __init__(self) -> None:
        self.leases: list[wire.Lease] = []
        self.version = 1
        self.starts = 0
        self.calls = 5  # that the account of the last action has
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
            later = now() + timedelta(hours=2)
            limited = any(one.limits is not None for one in self.leases)
            self.show([warned("", 7200, expires_at=later) if limited else ready(expires_at=later)])

    def wish(self, path: str, body: dict[str, Any]) -> None:
        """Show what a wish brings about, as far as the page's tests look at it."""
        shown = self.leases[0]
        if path == "busy" and shown.limits is not None:
            changed: dict[str, Any] = {"limits": shown.limits.model_copy(update={"busy_until": body["until"]})}
            shown = wire.Lease.model_validate(shown.model_dump(mode="json") | _json(changed))
        elif path == "exempt":
            shown = exempted()
        elif path == "end-exemption":
            shown = warned("", 7200)
        elif path == "snapshots":
            taken = snap(0, body["name"], "pending")
            shown = shown.model_copy(update={"snapshots": [taken, *shown.snapshots]})
        elif path == "volume/grow":
            (volume,) = shown.volumes
            size_bytes = body["size_gib"] * 2**30
            shown = shown.model_copy(update={"volumes": [volume.model_copy(update={"size_bytes": size_bytes})]})
        self.show([shown])


def _json(changed: dict[str, Any]) -> dict[str, Any]:
    return {name: model.model_dump(mode="json") for name, model in changed.items()}


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
        if not request.start and STAGE.leases:  # a program asks for the machine that there is
            self.reply(STAGE.leases[0])
            return
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


class WishHandler(Api):
    """Whatever else may be asked of a lease: noted with its body, checked against its model."""

    @web.authenticated
    async def post(self, lease_id: str, path: str) -> None:
        if self.prepare_refusal():
            return
        model = BODIES.get(path.rsplit("/", 1)[-1])
        body = model.model_validate_json(self.request.body).model_dump(mode="json") if model else {}
        STAGE.requests.append(f"{path} {json.dumps(body, sort_keys=True)}" if body else path)
        STAGE.wish(path, body)
        self.reply(STAGE.leases[0])


class NeedsHandler(Api):
    """Judged as the broker does it."""

    @web.authenticated
    async def post(self) -> None:
        request = wire.NeedsRequest.model_validate_json(self.request.body)
        STAGE.requests.append("needs")
        self.reply(report_of_needs(STAGE.snapshot(), request.metadata))


class WhyHandler(Api):
    @web.authenticated
    async def get(self, lease_id: str) -> None:
        STAGE.requests.append("why")
        self.reply(
            wire.Why(
                lease_id=lease_id,
                healthy=False,
                findings=[FINDING],
                text=f"Finding: {FINDING.what}\nInstance: i-9b2e44d1",
                console_tail="[    0.000000] \x1b[1mLinux version 6.1\x1b[0m\r\n",
            )
        )


class CallsHandler(Api):
    @web.authenticated
    async def get(self, lease_id: str) -> None:
        STAGE.requests.append("calls")
        self.reply(accounts(STAGE.calls))


class AuditHandler(Api):
    @web.authenticated
    async def get(self) -> None:
        before = int(self.get_argument("before", "61"))
        STAGE.requests.append(f"audit {before}")
        entries = [
            wire.AuditEntry(
                id=number,
                at=now() - timedelta(minutes=61 - number),
                who="ada" if number % 3 else "the broker",
                what="start" if number % 2 else "stop",
                course="local",
                lease_id=LEASE_ID,
                whose="ada",
                subject="i-9b2e44d1",
                detail=f"number {number}",
            )
            for number in range(before - 1, max(before - 31, 0), -1)
        ]
        self.reply(wire.AuditPage(entries=entries, older=entries[-1].id if entries[-1].id > 1 else None))


class OrphansHandler(Api):
    @web.authenticated
    async def get(self) -> None:
        STAGE.requests.append("orphans")
        self.reply(report([], dry_run=True))


class ReapHandler(Api):
    @web.authenticated
    async def post(self) -> None:
        request = wire.ReapRequest.model_validate_json(self.request.body)
        STAGE.requests.append(f"reap {request.dry_run}")
        self.reply(report(["i-0bad0001"], dry_run=request.dry_run))


class ShelfHandler(Api):
    @web.authenticated
    async def get(self) -> None:
        STAGE.requests.append("shelf")
        stray = binned(2).model_copy(update={"id": "q1", "quarantined": True, "delete_after": None, "owner": "alan"})
        self.reply(wire.Shelf(items=[binned(1), stray]))


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
        if "calls" in body:
            STAGE.calls = body["calls"]
        if "touch" in body:  # something of it has changed that no card shows
            STAGE.show([one.model_copy(update={"updated_at": now()}) for one in STAGE.leases])
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
                    name: {"acked": one.acked, "sent": one.sent, "highest": one.highest, "typed": one.typed}
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
        self.typed: list[str] = []

    def write(self, text: str) -> None:
        self.log += text
        for socket in self.sockets:
            socket.write_message(json.dumps(["stdout", text, len(text.encode())]))
        self.sent += len(text.encode())
        self.highest = max(self.highest, self.sent - self.acked)

    def type(self, text: str) -> None:
        self.typed.append(text)
        if text.startswith("\x1b[200~"):  # pasted as one piece: it waits for Enter
            self.write(text[6:-6].replace("\r", "\r\n"))
            return
        if "\r" not in text:
            self.write(text)
            return
        line = (self.log.rsplit("$ ", 1)[-1] + text).strip()
        self.write("\r\n")
        if line == "flood":
            task = asyncio.ensure_future(self._flood())
            STAGE.tasks.add(task)
            task.add_done_callback(STAGE.tasks.discard)
        elif line == "pieces":  # as bash does: from now on pasted text comes as one piece
            self.write("\x1b[?2004hstudent@shell-basics:~$ ")
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
            (f"{api}/needs", NeedsHandler),
            (f"{api}/leases", Leases),
            (f"{api}/leases/([^/]+)/(start|stop|extend|delete)", ActionHandler),
            (f"{api}/leases/([^/]+)/console", ConsoleHandler),
            (f"{api}/leases/([^/]+)/why", WhyHandler),
            (f"{api}/leases/([^/]+)/calls", CallsHandler),
            (f"{api}/leases/([^/]+)/([a-z0-9/-]+)", WishHandler),
            (f"{api}/audit", AuditHandler),
            (f"{api}/orphans", OrphansHandler),
            (f"{api}/orphans/reap", ReapHandler),
            (f"{api}/shelf", ShelfHandler),
            (f"{api}/socket", Socket),
            (f"{base}/educloud/test/scene", Scene),
            (f"{base}/educloud/vm/api/terminals", Terminals),
            (f"{base}/educloud/vm/api/terminals/(?P<name>[^/]+)", OneTerminal),
            (f"{base}/educloud/vm/terminals/websocket/(?P<name>[^/]+)", TerminalSocket),
        ],
    )
