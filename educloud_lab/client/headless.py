"""A broker for scripts: where no Jupyter server is found, one is started that serves nothing else.

All scripts of one person and one EDUCLOUD_HOME share it. It listens on a 0600 unix socket in a 0700 folder and ends by
itself when nobody has asked for a while; machines and their limits do not depend on it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from educloud_lab.client.errors import BrokerStartError, ServerNotFoundError
from educloud_lab.client.find import Server, find_server

# Not by import: the package's own module names the application's, which this room must not know.
VERSION: str = sys.modules["educloud_lab"].__version__

START_S = 60.0
"""A slow computer reads a hundred megabytes of Python first."""
END_S = 20.0
POLL_S = 0.05
LONGEST = 107
"""Bytes of a unix socket's path (unix(7))."""

_TEMPORARY = Path("/tmp")  # noqa: S108 - owner and mode of what lies there are verified
_URL = "http://localhost/"
_NEXT = "Set EDUCLOUD_URL and EDUCLOUD_TOKEN to a running Jupyter server to do without it."
# What the broker's process must not carry for as long as it runs: another server's tokens, access keys.
_SECRETS = re.compile(r"(?i)token|secret|password|passwd|credential|access_key|private_key|cookie")
_CONFIGURES = frozenset({"JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH", "JUPYTER_PLATFORM_DIRS", "JUPYTERHUB_USER"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the broker of one home is found.

    Parameters
    ----------
    home : EDUCLOUD_HOME.
    folder : the private folder with everything below.
    """

    home: Path
    folder: Path

    @property
    def run_file(self) -> Path:
        """Says where the running one listens, with its token; 0600."""
        return self.folder / "broker.json"

    @property
    def socket(self) -> Path:
        """What it listens on."""
        return self.folder / "broker.sock"

    @property
    def life(self) -> Path:
        """Locked by the running one for as long as it lives."""
        return self.folder / "life"

    @property
    def turn(self) -> Path:
        """Locked by whoever looks for it or starts it."""
        return self.folder / "turn"

    @property
    def log(self) -> Path:
        """What it said; outlives it."""
        return self.home / "broker.log"


def place(environ: Mapping[str, str] | None = None, *, make: bool = True) -> Place:
    """Return where the broker is or would be, its folder verified, and made unless ``make`` says no.

    Raises
    ------
    BrokerStartError
        What lies at its place is not a private folder of this user.
    """
    environ = os.environ if environ is None else environ
    home = _home(environ)
    name = f"educloud-broker-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:8]}"
    folder = _base(environ, name) / name
    try:
        if make:
            folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except FileNotFoundError:
        return Place(home, folder)
    except OSError as error:
        raise BrokerStartError(
            f"The folder {folder} for the broker of scripts cannot be made ({error.strerror}).", next_step=_NEXT
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise BrokerStartError(
            f"The folder {folder} for the broker of scripts is not a private folder of yours.",
            kept="Nothing was started, and nothing in it was read.",
            next_step=f"Have it removed by whoever owns it. {_NEXT}",
        )
    return Place(home, folder)


def server_of() -> Server:
    """Return the Jupyter server that this Python belongs to, else the broker for scripts, started when needed.

    Raises
    ------
    ServerNotFoundError
        EDUCLOUD_URL is wrong.
    BrokerStartError
        None was found and none could be started; says where its log is.
    """
    try:
        return find_server()
    except ServerNotFoundError:
        if os.environ.get("EDUCLOUD_URL"):  # somebody means one server, and wrote its address wrongly
            raise
    return ensure()


def find_running(environ: Mapping[str, str] | None = None) -> Server | None:
    """Return the running broker for scripts; None when there is none."""
    return _announced(place(environ, make=False))


def ensure() -> Server:
    """Return the broker for scripts; one is started when none runs. Scripts that do this at once get the same.

    Raises
    ------
    BrokerStartError
        It could not be started; says where its log is.
    """
    where = place()
    with _locked(where.turn):
        if (found := _announced(where)) is not None:
            return found
        _end_other_version(where)
        return _living(where) or _start(where)


def _start(where: Place) -> Server:
    sys.stderr.write("educloud: no Jupyter server here, so a broker for scripts is started. It ends by itself.\n")
    sys.stderr.flush()
    # Without "-P" a file json.py beside the script would be imported instead of the library's.
    options = ["-I"] if sys.flags.isolated else ["-P"]
    try:
        where.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if where.log.exists() and where.log.stat().st_size > 8 << 20:
            where.log.replace(where.log.with_suffix(".old.log"))
        descriptor = os.open(where.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as log:
            begin = log.tell()
            process = subprocess.Popen(
                [sys.executable, *options, "-m", "educloud_lab", "broker"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=where.home,
                env=_environment(where.home),
            )
    except OSError as error:
        raise BrokerStartError(
            f"The broker for scripts could not be started: {error}.",
            kept="Machines and volumes do not depend on it.",
            next_step=_NEXT,
        ) from error
    # A script that goes on for long must not keep an ended broker as a zombie.
    threading.Thread(target=process.wait, name=f"reap-{process.pid}", daemon=True).start()
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        ended = process.returncode is not None  # looked at first: another one may have been quicker
        if (found := _announced(where)) is not None:
            return found
        if ended:
            break
        time.sleep(POLL_S)
    what = "ended at once" if process.returncode is not None else f"did not answer within {START_S:.0f} s"
    if process.returncode is None:
        process.kill()
    raise BrokerStartError(
        f"The broker for scripts {what}. It said: {_said(where.log, begin) or 'nothing'}",
        kept="Machines and volumes do not depend on it.",
        next_step=f"Its log is {where.log}. {_NEXT}",
    )


def _living(where: Place) -> Server | None:
    """Return the one that lives without being announced, once it is; None as soon as none lives.

    It says farewell after nobody asked for long (and stays when somebody does), or was begun by hand just now.
    """
    end = time.monotonic() + START_S
    while is_locked(where.life):
        if (found := _announced(where)) is not None:
            return found
        if time.monotonic() >= end:
            raise BrokerStartError(
                f"A broker for scripts runs, but neither answered nor ended within {START_S:.0f} s.",
                kept="Machines and volumes do not depend on it.",
                next_step=f"Its log is {where.log}; end its process (`educloud broker`), then try again. {_NEXT}",
            )
        time.sleep(POLL_S)
    return None


def _announced(where: Place) -> Server | None:
    """Return the broker that its file names, when it listens and is of this version."""
    found = read_run_file(where)
    if found.get("version") != VERSION or not listens(where.socket):
        return None
    return Server(_URL, str(found.get("token", "")), str(where.socket), str(where.log))


def read_run_file(where: Place) -> dict[str, Any]:
    """Return what the running broker wrote about itself; empty when nothing can be read."""
    try:
        found = json.loads(where.run_file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def listens(path: Path) -> bool:
    """Whether somebody listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(str(path))
        except OSError:
            return False
    return True


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock on a file."""
    if not path.exists():
        return False
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _end_other_version(where: Place) -> None:
    """End a broker of another version of this package: its answers might not be understood."""
    pid = read_run_file(where).get("pid")
    if not isinstance(pid, int) or not is_locked(where.life):  # a dead one's number may be somebody else's
        return
    with suppress(OSError):
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + END_S
    while is_locked(where.life) and time.monotonic() < end:
        time.sleep(POLL_S)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _home(environ: Mapping[str, str]) -> Path:
    if chosen := environ.get("EDUCLOUD_HOME"):
        return Path(chosen).expanduser().absolute()
    base = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base).absolute() / "educloud-lab"


def _base(environ: Mapping[str, str], name: str) -> Path:
    """Return the user's own folder for such things where there is one and its path is short enough."""
    chosen = environ.get("XDG_RUNTIME_DIR", "")
    path = Path(chosen)
    if not chosen or len(os.fsencode(path / name / "broker.sock")) > LONGEST:
        return _TEMPORARY
    try:
        usable = path.is_absolute() and path.stat().st_uid == os.getuid() and os.access(path, os.W_OK)
    except OSError:
        usable = False
    return path if usable else _TEMPORARY


def _environment(home: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _CONFIGURES
        or not (name.startswith(("JUPYTER", "JPY_", "AWS_", "EDUCLOUD_URL")) or _SECRETS.search(name))
    }
    package = Path(__file__).resolve().parents[2]
    if "site-packages" not in package.parts:  # a source tree that may not be installed
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    return kept | {"EDUCLOUD_HOME": str(home)}


def _said(log: Path, begin: int) -> str:
    with suppress(OSError), log.open("rb") as stream:
        stream.seek(begin)
        return stream.read()[-2000:].decode("utf-8", "replace").strip()
    return ""
