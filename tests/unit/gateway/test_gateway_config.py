"""Configuration, routes, host key and the files in force: no socket is opened here."""

import os
from datetime import UTC, datetime

import asyncssh
import pytest

from educloud_lab.gateway import GatewayConfig, GatewayConfigError, GatewayRunningError, RoutesError
from educloud_lab.gateway.addresses import Destination
from educloud_lab.gateway.hostkey import StateFile, load_host_key, public_line, start_ticks
from educloud_lab.gateway.identity import Identity
from educloud_lab.gateway.lines import parse_line
from educloud_lab.gateway.routes import parse_routes, write_routes
from educloud_lab.gateway.state import GatewayState

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEucCpdZjlI6FQaEGRtZ4C8OjF7ucSzlL5ZcKMOEaMb6"
LEASE = f'restrict,port-forwarding,permitopen="172.16.77.5:22",cert-authority,principals="lease-a-g1" {KEY}\n'
WHO = Identity("certificate", parse_line(LEASE.strip()).key_data, "SHA256:x", frozenset({"lease-a-g1"}))


def load(tmp_path, text):
    path = tmp_path / "gateway.json"
    path.write_text(text)
    return GatewayConfig.load(path)


def test_paths_are_beside_the_file_and_what_is_written_reads_back(tmp_path):
    config = load(tmp_path, '{"listen_port": 0, "lines": "/elsewhere/lines.d", "limits": {"handshake_s": 5}}')
    assert config.host_key == tmp_path / "ssh_host_ed25519_key"
    assert str(config.lines) == "/elsewhere/lines.d"
    assert config.limits.handshake_s == 5
    assert config.direct is False
    config.write(tmp_path / "again.json")
    assert GatewayConfig.load(tmp_path / "again.json") == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "the whole"),
        ('{"listen_port": 70000}', "listen_port"),
        ('{"listen_host": "everywhere"}', "listen_host"),
        ('{"dircet": true}', "dircet"),
        ('{"limits": {"channels": 0}}', "limits.channels"),
        ('{"direct_networks": ["10.0.0.1/8"]}', "direct_networks"),
        ('{"listen_port": "x", "direct": 7}', "direct"),
    ],
)
def test_a_wrong_configuration_names_the_file_and_the_entry(tmp_path, text, said):
    with pytest.raises(GatewayConfigError, match=said) as refused:
        load(tmp_path, text)
    assert "gateway.json" in str(refused.value)
    assert "not started" in str(refused.value)


def test_a_missing_configuration_says_so(tmp_path):
    with pytest.raises(GatewayConfigError, match="No such file"):
        GatewayConfig.load(tmp_path / "gateway.json")


def test_direct_dialling_is_off_by_default_and_never_reaches_the_host_itself():
    assert not GatewayConfig().may_dial("172.16.77.5")
    direct = GatewayConfig(direct=True)
    assert direct.may_dial("172.16.77.5")
    for address in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "8.8.8.8", "224.0.0.1"):
        assert not direct.may_dial(address)


def test_routes_are_read_strictly_and_written_only_when_right(tmp_path):
    path = tmp_path / "routes.json"
    write_routes(path, {"172.16.77.5:22": "127.0.0.1:40123"})
    found = parse_routes(path.read_text()).exact
    assert {str(a): str(b) for a, b in found.items()} == {"172.16.77.5:22": "127.0.0.1:40123"}
    with pytest.raises(RoutesError):
        write_routes(path, {"172.16.77.5:22": "localhost:22"})
    assert "40123" in path.read_text()
    assert len(parse_routes("{}")) == 0


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", "null", '{"a": "b"}', '{"172.16.77.5:22": 40123}', '{"172.16.77.5:22": {}}',
     '{"172.16.77.5": "127.0.0.1:1"}', '{"172.16.77.5:1-9": "127.0.0.1:1"}', '{"172.16.77.5:9-1": "unix:/d"}',
     '{"172.16.77.5:22": "unix:d"}', '{"172.16.77.5:*": "unix:/d"}', '{"172.16.77.5:22": "closed"}',
     '{"172.16.77.5:1-9": "unix:/d", "172.16.77.5:9-10": "unix:/e"}', '{"172.16.77.5:-9": "unix:/d"}',
     '{"172.16.77.5:22": "127.0.0.1:1", "172.16.77.5:22": "127.0.0.1:2"}'],
)  # fmt: skip
def test_bad_routes_are_refused(text):
    with pytest.raises(RoutesError):
        parse_routes(text)


def test_a_range_leads_to_a_door_and_a_single_port_wins():
    routes = parse_routes(
        '{"172.16.77.5:22": "127.0.0.1:40123", "172.16.77.5:1-1023": "unix:/run/d", "172.16.77.5:8080-8081": "unix:/e",'
        ' "172.16.77.5:*": "closed", "172.16.77.6:80": "unix:/d"}'
    )
    expected = {22: "127.0.0.1:40123", 1: "unix:/run/d", 1023: "unix:/run/d", 1024: "None", 8080: "unix:/e",
                8081: "unix:/e", 8082: "None", 65535: "None"}  # fmt: skip
    assert {port: str(routes.find(Destination("172.16.77.5", port))) for port in expected} == expected
    assert str(routes.find(Destination("172.16.77.6", 80))) == "unix:/d"
    assert routes.find(Destination("172.16.77.7", 80)) is None
    assert routes.closed == {"172.16.77.5"}


def test_the_host_key_is_made_once_private_and_never_overwritten(tmp_path):
    path = tmp_path / "key"
    made = public_line(load_host_key(path))
    assert made.startswith("ssh-ed25519 AAAA")
    assert made.count(" ") == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert public_line(load_host_key(path)) == made
    path.chmod(0o640)
    with pytest.raises(GatewayConfigError, match="chmod 600"):
        load_host_key(path)
    path.chmod(0o600)
    path.write_text("not a key")
    with pytest.raises(GatewayConfigError, match="not changed"):
        load_host_key(path)
    assert path.read_text() == "not a key"


def test_one_configuration_is_served_by_one_gateway(tmp_path):
    first, second = StateFile(tmp_path / "s.json"), StateFile(tmp_path / "s.json")
    first.acquire()
    with pytest.raises(GatewayRunningError):
        second.acquire()
    second.release()
    first.write("127.0.0.1", 22, KEY)
    second.release()
    assert (tmp_path / "s.json").exists(), "one that never had it does not remove it"
    first.release()
    assert not (tmp_path / "s.json").exists()
    second.acquire()
    second.release()


def test_a_process_is_known_by_its_start():
    assert start_ticks(os.getpid()) == start_ticks(os.getpid())
    assert start_ticks(os.getpid()) != start_ticks(1)
    assert start_ticks(2**31 - 2) is None


@pytest.fixture
def state(tmp_path):
    config = GatewayConfig().beside(tmp_path)
    config.lines.mkdir(mode=0o700)
    (config.lines / "a.keys").write_text(LEASE)
    state = GatewayState(config, now=lambda: datetime(2026, 11, 22, tzinfo=UTC))
    state.reload()
    return state


def test_lines_come_and_go_with_their_file(state):
    assert state.alive(WHO)
    (state.config.lines / "a.keys").unlink()
    state.reload()
    assert not state.alive(WHO)


@pytest.mark.parametrize("name", ["A.keys", "a.keys.bak", ".a.keys.0.new", "a_b.keys", "a"])
def test_files_of_other_names_permit_nothing(state, name):
    (state.config.lines / "a.keys").rename(state.config.lines / name)
    state.reload()
    assert not state.alive(WHO)


def test_a_change_of_the_same_length_within_one_tick_is_seen(state):
    path = state.config.lines / "a.keys"
    before = path.stat()
    path.write_text(LEASE.replace("lease-a-g1", "lease-a-g2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    state.reload()
    assert not state.alive(WHO)


def test_a_file_that_cannot_be_trusted_or_understood_permits_nothing_and_says_why(state):
    path = state.config.lines / "a.keys"
    for spoil, repair in (
        (lambda: path.chmod(0o622), lambda: path.chmod(0o600)),
        (lambda: path.write_text("x" + LEASE), lambda: path.write_text(LEASE)),
        (lambda: path.write_bytes(b"\xff\xfe"), lambda: path.write_text(LEASE)),
        (lambda: path.write_text(LEASE + "#" * 5_000_000), lambda: path.write_text(LEASE)),
        (lambda: state.config.lines.chmod(0o777), lambda: state.config.lines.chmod(0o700)),
    ):
        spoil()
        state.reload()
        assert not state.alive(WHO)
        assert not state.files or state.listing()["a"]["problem"]
        repair()
        state.reload()
        assert state.alive(WHO)


def test_one_bad_line_does_not_spoil_its_neighbours(state):
    path = state.config.lines / "a.keys"
    path.write_text(f"ssh-dss AAAA somebody's old key\n{LEASE}")
    state.reload()
    assert state.alive(WHO)
    assert "line 1" in state.listing()["a"]["problem"]


def test_an_empty_file_permits_nothing_and_is_no_problem(state):
    (state.config.lines / "a.keys").write_text("")
    state.reload()
    assert not state.alive(WHO)
    assert state.listing()["a"]["problem"] is None


def test_a_fifo_or_folder_among_the_lines_stops_nothing(state):
    os.mkfifo(state.config.lines / "fifo.keys")
    (state.config.lines / "folder.keys").mkdir()
    state.reload()
    assert state.alive(WHO)
    assert state.listing()["fifo"]["problem"]


def test_bad_routes_leave_the_former_ones(state):
    state.config.routes.write_text('{"172.16.77.5:22": "127.0.0.1:40123"}')
    state.config.routes.chmod(0o600)
    state.reload()
    assert len(state.routes) == 1
    state.config.routes.write_text('{"172.16.77.5:22": ')
    state.reload()
    assert len(state.routes) == 1
    state.config.routes.unlink()
    state.reload()
    assert len(state.routes) == 0


def test_a_bad_line_among_the_authorities_trusts_nobody(state):
    ca = asyncssh.import_public_key(KEY)
    control = Identity("control", ca.public_data, "SHA256:x", frozenset({"educloud-broker"}))
    assert not state.alive(control)
    state.config.trusted_ca.write_text(f"# the broker's\n{KEY}\n")
    state.reload()
    assert state.alive(control)
    state.config.trusted_ca.write_text(f"{KEY}\nnonsense\n")
    state.reload()
    assert not state.alive(control)


def test_a_label_never_carries_control_characters():
    sly = Identity("certificate", b"", "SHA256:x", frozenset({"a\nroot logged in"}))
    assert "\n" not in sly.label
