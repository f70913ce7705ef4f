"""Every exception class of asyncssh has a row in the table of translations, and the rows say the right thing."""

import asyncio
import importlib
import inspect
import pkgutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import asyncssh
import pytest

from educloud_lab.adapters.ssh import AsyncsshAuthority
from educloud_lab.adapters.ssh.errors import TRANSLATIONS, translate, translating
from educloud_lab.adapters.ssh.options import connect_options
from educloud_lab.domain.errors import (
    CommandFailedError,
    CommandTimeoutError,
    HostKeyError,
    LoginRefusedError,
    MachineUnreachableError,
    ShellError,
)

# Their modules cannot be imported here (Windows; optional packages), and we use none of what they do.
_ELSEWHERE = {"asyncssh.agent_win32", "asyncssh.gss_win32", "asyncssh.gss_unix"}


def exception_classes():
    found = set()
    for module in pkgutil.iter_modules(asyncssh.__path__, "asyncssh."):
        if module.name not in _ELSEWHERE:
            for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if issubclass(kind, BaseException) and kind.__module__.startswith("asyncssh."):
                    found.add(kind)
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", exception_classes(), ids=lambda kind: kind.__name__)
def test_every_class_is_translated_by_a_row_of_its_own_family(kind):
    # OSError and TimeoutError are rows too, but a class of asyncssh must be met by one of asyncssh's rows.
    rows = [base for base in kind.__mro__ if base in TRANSLATIONS and base.__module__.startswith("asyncssh.")]
    assert rows, f"{kind.__name__} has no row in TRANSLATIONS"
    direct = [base for base in kind.__bases__ if base.__module__.startswith("asyncssh.")]
    if kind.__module__ != "asyncssh.sftp" and direct:
        assert kind in TRANSLATIONS, f"{kind.__name__} is met only by {rows[0].__name__}"


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (asyncssh.HostKeyNotVerifiable("x"), HostKeyError),
        (asyncssh.PermissionDenied("x"), LoginRefusedError),
        (asyncssh.ConnectionLost("x"), MachineUnreachableError),
        (asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "x"), LoginRefusedError),
        (asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "x"), MachineUnreachableError),
        (asyncssh.SFTPConnectionLost("x"), MachineUnreachableError),
        (asyncssh.TimeoutError({}, "c", None, 1, None, 1, "", ""), CommandTimeoutError),
        (asyncssh.ProcessError({}, "c", None, 3, None, 3, "", ""), CommandFailedError),
        (asyncssh.KeyImportError("x"), ShellError),
        (ConnectionRefusedError(111, "refused"), MachineUnreachableError),
        (TimeoutError(), MachineUnreachableError),
    ],
)
def test_the_rows_say_what_they_mean(raised, ours):
    assert type(translate(raised, "the machine")) is ours


def test_the_cause_is_kept_and_foreign_text_is_not_repeated():
    secret = "PRIVATE \x1b]52;c;evil\x07"
    with pytest.raises(MachineUnreachableError) as caught:
        with translating("the machine"):
            raise asyncssh.ConnectionLost(secret)
    assert isinstance(caught.value.__cause__, asyncssh.ConnectionLost)
    assert "PRIVATE" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_fault_of_our_own_is_not_dressed_up():
    with pytest.raises(ZeroDivisionError):
        with translating("the machine"):
            raise ZeroDivisionError


def test_importing_the_adapter_does_not_import_asyncssh():
    code = "import sys, educloud_lab.adapters.ssh, educloud_lab.server.connections; sys.exit('asyncssh' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_comes_from_the_environment_and_host_keys_are_pinned():
    authority = AsyncsshAuthority()
    ca, key = authority.new_key_pair(), authority.new_key_pair()
    certificate = _sign(authority, ca.private, key.public)

    def options(*host_keys):
        return connect_options(
            username="student",
            private_key=key.private,
            certificate=certificate,
            host_keys=host_keys,
            who="the machine",
            timeout_s=5,
        )

    good = options(key.public)
    assert len(good["known_hosts"][0]) == 1
    assert good["known_hosts"][1:] == ([], [])
    assert good["config"] is None
    assert good["agent_path"] is None
    assert good["agent_forwarding"] is False
    assert good["compression_algs"] is None
    assert good["keepalive_interval"] > 0
    assert good["encryption_algs"][0] == "aes128-gcm@openssh.com"
    assert good["kex_algs"][0] == "curve25519-sha256"
    for bad in ((), ("",), ("not a key",), (key.public, "/etc/passwd")):
        with pytest.raises(HostKeyError):
            options(*bad)


def _sign(authority, ca, public, **changes):
    now = datetime.now(UTC)
    arguments = {
        "principals": ["lease-ab12-g1"],
        "key_id": "test",
        "valid_from": now - timedelta(minutes=1),
        "valid_until": now + timedelta(minutes=10),
    } | changes
    return authority.sign_user(ca_private=ca, public=public, **arguments)


def test_a_certificate_is_for_exactly_what_was_asked(tmp_path):
    authority = AsyncsshAuthority()
    ca, key = authority.new_key_pair(), authority.new_key_pair()
    path = tmp_path / "key-cert.pub"
    path.write_text(_sign(authority, ca.private, key.public, permit_forwarding=False) + "\n")
    shown = subprocess.run(["ssh-keygen", "-L", "-f", path], capture_output=True, text=True, check=True).stdout
    assert "lease-ab12-g1" in shown
    assert authority.fingerprint(ca.public) in shown
    extensions = shown.partition("Extensions:")[2].split()
    assert extensions == ["permit-pty"]
    assert "Critical Options: (none)" in shown


@pytest.mark.parametrize(
    "changes",
    [
        {"principals": []},
        {"principals": ["a,b"]},
        {"principals": [""]},
        {"principals": ["root\n"]},
        {"valid_until": datetime(2000, 1, 1, tzinfo=UTC)},
        {"valid_from": datetime(2000, 1, 1)},  # noqa: DTZ001 (naive is what is refused)
    ],
)
def test_a_certificate_for_too_much_is_not_made(changes):
    authority = AsyncsshAuthority()
    ca, key = authority.new_key_pair(), authority.new_key_pair()
    with pytest.raises(ShellError):
        _sign(authority, ca.private, key.public, **changes)


def test_unreadable_keys_are_our_own_error():
    authority = AsyncsshAuthority()
    key = authority.new_key_pair()
    with pytest.raises(ShellError):
        _sign(authority, "nonsense", key.public)
    with pytest.raises(ShellError):
        authority.fingerprint("nonsense")
    assert "PRIVATE" not in repr(key)


async def test_concurrent_first_uses_meet_a_whole_module():
    from educloud_lab.adapters.ssh.loading import load_connection

    classes = await asyncio.gather(*(load_connection() for _ in range(5)))
    assert len(set(classes)) == 1
