"""The panel's kernel half: light, truthful, and readable without the extension."""

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from educloud_lab import CloudPanel
from educloud_lab.domain.errors import NotFoundError
from educloud_lab.notebook import follower
from educloud_lab.notebook.panel import MIME_TYPE
from educloud_lab.wire import models as wire

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def snapshot(phase="ready", address="172.16.0.9", lab="one", limits=None):
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
        headline="Ready",
        system_disk="kept",
        instance=instance,
        limits=limits,
        updated_at=T0,
    )
    return wire.Snapshot(
        version=1,
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
        self.closed = threading.Event()

    def snapshot(self):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        self.closed.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture
def client(monkeypatch):
    made = FakeClient([snapshot()])
    monkeypatch.setattr("educloud_lab.client.connect", lambda: made, raising=False)
    return made


def test_what_the_page_gets():
    panel = CloudPanel(lab="one", machine_profile="tiny")
    state = panel.get_state()
    assert {name: state[name] for name in ("lab", "machine_profile", "slot")} == {
        "lab": "one",
        "machine_profile": "tiny",
        "slot": "main",
    }
    assert (state["_model_module"], state["_model_name"]) == ("educloud-lab", "CloudPanelModel")
    assert (state["_view_module"], state["_view_name"]) == ("educloud-lab", "CloudPanelView")
    assert "state" not in state
    assert "address" not in state


def test_the_bundle_is_drawn_without_a_kernel_and_read_without_the_extension():
    bundle = CloudPanel()._repr_mimebundle_()
    assert bundle[MIME_TYPE] == {"version": 1, "lab": None, "machine_profile": None, "slot": "main"}
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]
    for kind in ("text/plain", "text/html"):
        assert "pip install educloud-lab" in bundle[kind]
        assert "restart the server, not the kernel" in bundle[kind]
    json.dumps(bundle)


def test_a_labs_name_is_no_markup():
    bundle = CloudPanel(lab="<script>alert(1)</script>")._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"]


def test_the_time_that_is_left(client):
    panel = CloudPanel("one", "tiny")
    panel.lease()
    assert (panel.time_left_s, panel.warning) == (None, "")
    end = T0 + timedelta(minutes=4, seconds=20.4)
    warning = wire.LimitWarning(id="w", kind="idle", text="Sleeps soon.", ends_at=end, urgent=False)
    limits = wire.Limits(limits=[wire.Limit(kind="idle", ends_at=end, text="Idle")], warning=warning)
    client.answers = [snapshot(limits=limits)]
    panel.lease()
    assert (panel.time_left_s, panel.warning) == (260, "Sleeps soon.")
    client.answers = [snapshot(limits=wire.Limits())]
    panel.lease()
    assert (panel.time_left_s, panel.warning) == (None, "")


def test_asking_once(client):
    panel = CloudPanel("one", "tiny")
    assert (panel.state, panel.address) == ("unknown", None)
    assert panel.lease().id == "l1"
    assert (panel.state, panel.address, panel.headline) == ("ready", "172.16.0.9", "Ready")
    assert client.closed.is_set()


def test_a_machine_that_was_never_asked_for(client):
    with pytest.raises(NotFoundError, match="two"):
        CloudPanel("two", "tiny").lease()


def test_a_panel_that_leaves_the_lab_to_the_page_says_so(client):
    with pytest.raises(ValueError, match="CloudPanel"):
        CloudPanel().lease()
    with pytest.raises(ValueError, match="CloudPanel"):
        CloudPanel().observe(print, "state")


def test_states_cannot_be_set():
    from traitlets import TraitError

    with pytest.raises(TraitError):
        CloudPanel("one").state = "ready"


def test_observing_follows_the_server_and_closing_ends_it(client, monkeypatch):
    monkeypatch.setattr(follower, "PERIOD_S", 0.001)
    client.answers[:] = [snapshot("starting", None), NotFoundError("gone for a moment"), snapshot("ready")]
    seen, there = [], threading.Event()

    def note(change):
        seen.append(change["new"])
        if change["new"] == "ready":
            there.set()

    panel = CloudPanel("one", "tiny")
    assert panel._follower is None, "nobody asks before somebody observes"
    panel.observe(note, "state")
    assert there.wait(60)
    assert seen == ["starting", "unknown", "ready"]
    assert panel.address == "172.16.0.9"
    thread = panel._follower.thread
    panel.close()
    thread.join(60)
    assert not thread.is_alive()
    assert client.closed.is_set()


def test_observing_something_else_asks_nobody(client):
    panel = CloudPanel("one")
    panel.observe(print, "slot")
    panel.observe(print)
    assert panel._follower is None


def test_a_panel_that_is_let_go_ends_its_thread(client, monkeypatch):
    made = follower.Follower.__new__(follower.Follower)
    made._panel, made._period_s, made._over = (lambda: None), 0, threading.Event()
    made._run()
    assert not client.closed.is_set(), "it never asked"


def test_importing_the_panel_loads_nothing_heavier_than_ipywidgets():
    script = """
import sys
import ipywidgets
before = set(sys.modules)
from educloud_lab import CloudPanel
CloudPanel()._repr_mimebundle_()
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(eval(result.stdout))
    heavy = {"pydantic", "httpx", "boto3", "botocore", "asyncssh", "sqlalchemy", "tornado", "jupyter_server"}
    assert "educloud_lab" in loaded
    assert not loaded & heavy, loaded & heavy
