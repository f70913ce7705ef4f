"""OpenSSH's own sshd, run by the tests as a machine of one lease."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from educloud_lab.adapters.ssh import AsyncsshAuthority
from educloud_lab.ports.shell import Grant
from tests.patience import until

LEASE = "ab12"
PRINCIPAL = f"lease-{LEASE}-g1"


@dataclass
class Machine:
    """A running sshd."""

    port: int
    host_key: str
    ca_private: str
    process: subprocess.Popen[bytes]

    def grant(
        self, *, principal: str = PRINCIPAL, ca: str | None = None, minutes: tuple[int, int] = (-5, 10), **changes: Any
    ) -> Grant:
        """Sign a grant as the broker does."""
        authority = AsyncsshAuthority()
        key = authority.new_key_pair()
        now = datetime.now(UTC)
        certificate = authority.sign_user(
            ca_private=ca or self.ca_private,
            public=key.public,
            principals=[principal],
            key_id="test",
            valid_from=now + timedelta(minutes=minutes[0]),
            valid_until=now + timedelta(minutes=minutes[1]),
        )
        grant = Grant(
            lease_id=LEASE,
            generation=1,
            user=getpass.getuser(),
            principal=principal,
            address="127.0.0.1",
            port=self.port,
            host_keys=(self.host_key,),
            gateway=None,
            private_key=key.private,
            certificate=certificate,
            expires_at=now + timedelta(minutes=minutes[1]),
        )
        return replace(grant, **changes)

    def stop(self) -> None:
        """End it and every connection to it, as when a machine loses its power."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # a helper of the login may end by itself
                if child.name().startswith("sshd"):
                    child.kill()
        self.process.kill()
        self.process.wait(60)


def start_sshd(folder: Path, *, home: Path | None = None, more: str = "") -> Machine:
    """Start one, with more lines in its configuration when given.

    Its commands have a home folder of their own, there or in ``folder``: never that of whoever runs the tests, whose
    login files may wait for anything.
    """
    home = home or folder / "home"
    home.mkdir(exist_ok=True)
    authority = AsyncsshAuthority()
    host, ca = authority.new_key_pair(), authority.new_key_pair()
    (folder / "host").touch(0o600)
    (folder / "host").write_text(host.private)
    (folder / "ca.pub").write_text(ca.public + "\n")
    (folder / "principals").write_text(PRINCIPAL + "\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to run as root without it
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    assert sshd, "OpenSSH's sshd is missing: install openssh-server"
    for _ in range(5):  # sshd takes no port 0, and a port that is free now may be another's when it begins to listen
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        write_config(folder, port, home, more)
        process = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL)
        if until(lambda: process.poll() is not None or _is_listening(process, port)) and process.poll() is None:  # noqa: B023 - asked in this turn only
            return Machine(port, host.public, ca.private, process)
    pytest.fail("sshd ended five times")


def _is_listening(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it is this very process that listens there."""
    found: list[Any] = []
    with contextlib.suppress(psutil.Error):  # it has just ended
        found = psutil.Process(process.pid).net_connections("tcp4")
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


def write_config(folder: Path, port: int, home: Path, more: str) -> None:
    """Write its configuration."""
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\nUseDNS no\n"
        f"TrustedUserCAKeys {folder}/ca.pub\nAuthorizedPrincipalsFile {folder}/principals\nAuthorizedKeysFile none\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        f"AcceptEnv LANG\nAllowAgentForwarding no\nMaxSessions 40\nSetEnv HOME={home}\n{more}"
    )
