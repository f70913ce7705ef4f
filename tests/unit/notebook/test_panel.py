"""The panel's kernel half: light, truthful, and readable without the extension."""

import json
import subprocess
import sys
import threading
import weakref
from datetime import timedelta

import pytest

from educloud_lab import CloudPanel
from educloud_lab.client.errors import LabUnknownError, ServerUnreachableError
from educloud_lab.client.find import Server
from educloud_lab.domain.errors import NotFoundError
from educloud_lab.notebook import followed, follower
from educloud_lab.notebook.panel import MIME_TYPE
from educloud_lab.wire import models as wire
from tests.unit.notebook.panel_parts import T0, FakeClient, FakeSocket, Notes, snapshot


@pytest.fixture
def client(monkeypatch):
    made = FakeClient([snapshot()])
    monkeypatch.setattr("educloud_lab.client.connect", lambda **_: made, raising=False)
    monkeypatch.setattr(follower, "PERIOD_S", 0.001)
    monkeypatch.setattr(follower, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(follower, "TICK_S", 0.001)
    return made


@pytest.fixture
def socket(monkeypatch, client):
    made = FakeSocket()
    monkeypatch.setattr(follower, "open_socket", made.open)
    return made


@pytest.fixture(autouse=True)
def feed(monkeypatch):
    """A feed of the test's own, whose thread is over at its end."""
    made = follower.Feed()
    monkeypatch.setattr(followed, "feed", made)
    yield made
    thread = made.thread
    made._panels.clear()
    if thread is not None:
        thread.join(60)
        assert not thread.is_alive()


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
    # Pages without our extension would prefer the widget's view, and show an error instead of the words.
    assert set(bundle) == {MIME_TYPE, "text/plain", "text/html"}
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
    assert panel.lease().id == "l1"
    assert (panel.state, panel.address, panel.headline) == ("ready", "172.16.0.9", "Ready")
    panel.close()
    assert client.closed.is_set()


def test_a_broker_that_is_being_started_says_nothing_about_machines(client):
    client.answers = [snapshot(version=0, lab="none of them is known yet"), snapshot()]
    assert CloudPanel("one", "tiny").lease().id == "l1"


async def test_waiting_in_a_cell_leaves_the_loop_free_from_the_first_request_on(client):
    panel = CloudPanel("one", "tiny")
    await panel.ready(timeout_s=7)
    assert client.asked[-1] == "ready 7"
    assert threading.current_thread() not in client.threads
    assert panel.state == "ready"


def test_a_machine_that_was_never_asked_for(client):
    with pytest.raises(NotFoundError, match="two"):
        CloudPanel("two", "tiny").lease()


def test_a_panel_without_a_lab_has_that_of_the_notebook(client, socket, monkeypatch):
    monkeypatch.delenv("EDUCLOUD_LAB", raising=False)
    assert CloudPanel().lease().lab == "one"
    panel = CloudPanel()
    assert panel.state == "ready"
    assert panel.lab is None, "the page goes on reading the notebook itself"
    client.metadata = LabUnknownError("It is not said.")
    with pytest.raises(LabUnknownError):
        CloudPanel().lease()
    lost = CloudPanel()
    assert (lost.state, lost.address) == ("unknown", None)
    assert "which lab" in lost.headline


def test_states_cannot_be_set():
    from traitlets import TraitError

    with pytest.raises(TraitError):
        CloudPanel("one").state = "ready"


def test_a_panel_at_the_address_of_one_that_is_gone_is_told_too(monkeypatch):
    """Python gives the address, and with it the id, of an object that is gone to the next one."""
    monkeypatch.setattr(follower.Feed, "_run", lambda self: None)
    feed, gone, panel = follower.Feed(), Notes(), Notes()
    feed._panels[id(panel)] = weakref.ref(gone)
    del gone
    assert panel not in feed
    feed.add(panel)
    assert panel in feed
    assert feed._all() == [panel]


def test_reading_asks_and_follows_from_then_on(client, socket, feed):
    client.answers[:] = [snapshot("starting", None)]
    panel = CloudPanel("one", "tiny")
    assert panel not in feed, "nobody asks before somebody looks"
    assert (panel.state, panel.address, panel.headline) == ("starting", None, "Ready")
    notes = Notes()
    panel.observe(notes, "state")
    assert socket.opened.wait(60)
    socket.say(snapshot("ready", version=2))
    notes.wait("ready")
    assert panel.address == "172.16.0.9", "the state changes last"


def test_what_nobody_knows_is_not_shown_as_if_it_were(client):
    client.answers[:] = [snapshot(version=0)]  # of a broker that is being started
    panel = CloudPanel("one", "tiny")
    assert (panel.state, panel.address, panel.time_left_s, panel.warning) == ("unknown", None, None, "")
    assert "not known" in panel.headline


def test_a_lab_without_a_machine_is_off_as_in_the_page(client):
    panel = CloudPanel("two", "tiny")
    assert (panel.state, panel.headline) == ("off", "No machine yet")


def test_a_server_that_is_gone_is_told_and_found_again_elsewhere(client, socket):
    """After a restart it has another port and another token."""
    notes = Notes()
    panel = CloudPanel("one", "tiny")
    panel.observe(notes, "state")
    notes.wait("ready")
    assert socket.opened.wait(60)
    client.answers[:] = [ServerUnreachableError("It is away."), snapshot("asleep", None)]
    elsewhere = Server("http://127.0.0.1:2/", "another")
    client.server = elsewhere
    socket.opened.clear()
    socket.messages.put(ConnectionResetError())
    notes.wait("ready", "unknown", "asleep")
    assert socket.opened.wait(60)
    assert socket.servers[-1] == elsewhere
    socket.say(snapshot("starting", None, version=2))
    notes.wait("ready", "unknown", "asleep", "starting")


def test_a_proxy_without_websockets(client, socket):
    socket.refuse = OSError("HTTP 403")
    client.answers[:] = [snapshot("starting", None), snapshot("starting", None), snapshot("ready")]
    notes = Notes()
    CloudPanel("one", "tiny").observe(notes, "state")
    notes.wait("starting", "ready")
    assert len(socket.servers) == 1, "it is not tried again each time"


def test_what_was_on_its_way_for_longer_changes_nothing(client):
    panel = CloudPanel("one", "tiny")
    client.answers[:] = [snapshot("ready", version=7)]
    assert panel.state == "ready"
    panel._take(snapshot("starting", None, version=6), client)
    assert (panel.state, panel.address) == ("ready", "172.16.0.9")
    later = snapshot("asleep", None, version=1).model_copy(update={"server_time": T0 + timedelta(seconds=1)})
    panel._take(later, client)  # the server's store was replaced
    assert panel.state == "asleep"


def test_several_panels_share_one_socket(client, socket, feed):
    both = snapshot()
    both.leases.append(both.leases[0].model_copy(update={"id": "l2", "lab": "two", "phase": wire.Phase.ASLEEP}))
    client.answers[:] = [both]
    seen = {}
    for name in ("one", "one", "two"):
        notes = Notes()
        panel = CloudPanel(name, "tiny")
        panel.observe(notes, "state")
        seen[panel] = notes
    for panel, notes in seen.items():
        notes.wait("ready" if panel.lab == "one" else "asleep")
    assert socket.opened.wait(60)
    assert len(socket.servers) == 1
    thread = feed.thread
    first, *others = seen
    for panel in others:
        panel.close()
    socket.say(snapshot("stopping", version=2))
    seen[first].wait("ready", "stopping")
    first.close()
    thread.join(60)
    assert not thread.is_alive()
    assert socket.ended.is_set()
    assert client.closed.is_set()


def test_a_closed_panel_knows_nothing_and_asks_nobody(client, socket, feed):
    panel = CloudPanel("one", "tiny")
    assert panel.state == "ready"
    panel.close()
    assert (panel.state, panel.address) == ("unknown", None)
    panel.close()
    panel.observe(print, "state")
    assert panel not in feed
    with pytest.raises(RuntimeError, match="Make a new one"):
        panel.start()
    never_read = CloudPanel("one", "tiny")
    never_read.close()
    assert never_read.state == "unknown"


def test_a_handlers_mistake_keeps_nobody_from_hearing(client, socket, caplog):
    notes, panel = Notes(), CloudPanel("one", "tiny")
    panel.observe(lambda change: 1 / 0, "headline")
    panel.observe(notes, "state")
    notes.wait("ready")
    assert socket.opened.wait(60)
    socket.say(snapshot("asleep", None, version=2, headline="Asleep"))
    notes.wait("ready", "asleep")
    assert "an observer of a CloudPanel failed" in caplog.text
    panel.close()


def test_the_time_left_is_counted_down_between_messages(client, socket):
    end = T0 + timedelta(minutes=4)
    panel = CloudPanel("one", "tiny")
    client.answers[:] = [snapshot(limits=wire.Limits(limits=[wire.Limit(kind="idle", ends_at=end, text="Idle")]))]
    assert panel.time_left_s == 240
    panel._tick(T0 + timedelta(seconds=1))
    assert panel.time_left_s == 239
    panel._tick(end + timedelta(seconds=5))
    assert panel.time_left_s == 0


def test_other_widgets_can_be_linked_to_it(client, socket):
    from ipywidgets import Label
    from traitlets import dlink

    panel, label, word = CloudPanel("one", "tiny"), Label(), Label()
    dlink((panel, "headline"), (label, "value"))
    dlink((panel, "time_left_s"), (word, "value"), lambda left_s: "no end" if left_s is None else f"{left_s} s")
    assert (label.value, word.value) == ("Ready", "no end")
    notes = Notes()
    label.observe(notes, "value")
    assert socket.opened.wait(60)
    socket.say(snapshot("asleep", None, version=2, headline="Asleep"))
    notes.wait("Asleep")
    panel.close()


async def test_asking_the_machine(client):
    panel = CloudPanel("one", "tiny")
    assert panel.start().lab == "one"
    assert panel.state == "ready", "it is asked after each act"
    panel.stop()
    panel.keep()
    panel.wait("asleep", 7)
    await panel.ready(8)
    which = ("one", "tiny", "main")
    expected = [which, "start", which, "stop", which, "keep", which, "wait asleep 7", which, "ready 8"]
    assert client.asked == expected
    panel.close()


def test_observing_something_else_asks_nobody(client, feed):
    panel = CloudPanel("one")
    panel.observe(print, "slot")
    panel.observe(print)
    assert panel not in feed


def test_a_panel_that_is_let_go_ends_the_thread(client, socket, feed):
    notes, panel = Notes(), CloudPanel("one", "tiny")
    panel.observe(notes, "state")
    notes.wait("ready")
    thread = feed.thread
    for one in list(feed._panels):
        feed._panels[one] = lambda: None  # as a weak reference whose panel is gone
    thread.join(60)
    assert not thread.is_alive()
    assert feed.thread is None
    panel.close()


def test_where_the_socket_is(monkeypatch):
    asked = []
    monkeypatch.setattr("websockets.sync.client.connect", lambda url, **options: asked.append((url, options)))
    monkeypatch.setattr(
        "websockets.sync.client.unix_connect", lambda *where, **options: asked.append((*where, options))
    )
    follower.open_socket(Server("https://host/user/x/", "secret"))
    follower.open_socket(Server("http://localhost/", "", "/run/s"))
    (url, options), (path, unix_url, unix_options) = asked
    assert url == "wss://host/user/x/educloud/api/v1/socket", "the token is in no address, which logs would keep"
    assert options["additional_headers"] == {"Authorization": "token secret"}
    assert options["proxy"] is None
    assert (path, unix_url) == ("/run/s", "ws://localhost/educloud/api/v1/socket")
    assert "additional_headers" not in unix_options


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
    heavy = {
        "pydantic",
        "httpx",
        "boto3",
        "botocore",
        "asyncssh",
        "sqlalchemy",
        "tornado",
        "jupyter_server",
        "websockets",
    }
    assert "educloud_lab" in loaded
    assert not loaded & heavy, loaded & heavy
