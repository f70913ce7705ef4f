"""Stand-ins for what a panel asks: a client, a machine, a socket."""

import queue
import threading
from datetime import UTC, datetime

from educloud_lab.client.find import Server
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def snapshot(phase="ready", address="172.16.0.9", lab="one", limits=None, version=1, headline="Ready"):
    instance = wire.Instance(
        id="i-1",
        state="running",
        address=address,
        instance_type="t2.micro",
        image_id="emi-1",
        zone="one",
        launched_at=T0,
    )
    lease = wire.Lease(
        id="l1",
        course="local",
        lab=lab,
        slot="main",
        person="ada",
        machine_profile=wire.ProfileRef(name="tiny", revision=1, title="Tiny"),
        generation=1,
        target="running",
        status="running",
        phase=phase,
        headline=headline,
        system_disk="kept",
        instance=instance,
        limits=limits,
        updated_at=T0,
    )
    return wire.Snapshot(
        version=version,
        server_time=T0,
        person="ada",
        course="local",
        cloud=wire.Cloud(kind="local", name="x", reachable=True),
        profiles=[],
        leases=[lease],
    )


class FakeClient:
    def __init__(self, answers):
        self.answers = answers
        self.server = Server("http://127.0.0.1:1/", "t")
        self.closed = threading.Event()
        self.asked = []
        self.threads = []
        self.metadata = wire.LabNeeds(lab="one", machine_profile="tiny")

    def snapshot(self):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def settled(self):
        while not (answer := self.snapshot()).version:
            pass
        return answer

    def needs(self):
        if isinstance(self.metadata, Exception):
            raise self.metadata
        return self.metadata

    def machine(self, *which):
        self.asked.append(which)
        self.threads.append(threading.current_thread())
        return FakeMachine(self, which)

    def close(self):
        self.closed.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class FakeMachine:
    def __init__(self, client, which):
        self.client, self.lab, self.slot = client, which[0] or client.metadata.lab, which[2]

    def _note(self, what):
        self.client.asked.append(what)
        return self

    def start(self):
        return self._note("start")

    def stop(self):
        return self._note("stop")

    def keep(self):
        return self._note("keep")

    def wait(self, phase, timeout_s, *, progress):
        return self._note(f"wait {phase} {timeout_s:g}")

    async def ready(self, timeout_s):
        return self._note(f"ready {timeout_s:g}")


class FakeSocket:
    """What the test puts in comes out; an exception ends it."""

    def __init__(self):
        self.messages = queue.Queue()
        self.opened = threading.Event()
        self.ended = threading.Event()
        self.servers = []
        self.refuse = None

    def open(self, server):
        self.servers.append(server)
        if self.refuse:
            raise self.refuse
        return self

    def __enter__(self):
        self.opened.set()
        return self

    def __exit__(self, *_):
        self.ended.set()

    def recv(self, timeout=None):
        try:
            message = self.messages.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(message, Exception):
            raise message
        return message

    def say(self, snapshot):
        self.messages.put(wire.SnapshotMessage(snapshot=snapshot).model_dump_json())


class Notes:
    """A handler that remembers, and can be waited for."""

    def __init__(self):
        self.seen = []
        self._new = threading.Condition()

    def __call__(self, change):
        with self._new:
            self.seen.append(change["new"])
            self._new.notify_all()

    def wait(self, *expected):
        with self._new:
            assert self._new.wait_for(lambda: len(self.seen) >= len(expected), 60), self.seen
            assert self.seen[: len(expected)] == list(expected)
