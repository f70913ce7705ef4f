"""How a kernel finds the Jupyter server that it belongs to (DESIGN.md, section 8).

``EDUCLOUD_URL`` (with ``EDUCLOUD_TOKEN``); then JupyterHub's variables; then the run file of the Jupyter server that
is a parent of this process. :mod:`educloud_lab.client.headless` has what comes after that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

from educloud_lab.client.errors import ServerNotFoundError, SeveralServersError

_MOST_PARENTS = 64


@dataclass(frozen=True, slots=True)
class Server:
    """Where a Jupyter server answers. Shown without its address: what a cell shows is saved with the notebook.

    Parameters
    ----------
    url : its base URL, ending in ``/``.
    token : sent in ``Authorization``; '' when it asks for none.
    socket : path of its unix socket; None for TCP.
    log : path of its log, of a broker that was started for scripts; None for a Jupyter server.
    """

    url: str
    token: str = field(repr=False)
    socket: str | None = None
    log: str | None = None

    @property
    def name(self) -> str:
        """What it is called in front of people."""
        return "the Jupyter server" if self.log is None else "the broker for scripts"

    def __repr__(self) -> str:
        return f"<{self.name}>"


def find_server(environ: Mapping[str, str] | None = None, *, pid: int | None = None) -> Server:
    """Return the server that this process belongs to.

    Raises
    ------
    ServerNotFoundError
        There is none; says where was looked and what to do.
    """
    environ = os.environ if environ is None else environ
    if url := environ.get("EDUCLOUD_URL"):
        return _from_url(url, environ.get("EDUCLOUD_TOKEN", ""))
    if server := _from_hub(environ):
        return server
    runtime = _runtime_folder(environ)
    for parent in _ancestors(os.getpid() if pid is None else pid, environ):
        if server := _from_run_file(runtime / f"jpserver-{parent}.json"):
            return server
    raise ServerNotFoundError(
        "This Python was not started by a Jupyter server, so there is no broker to ask"
        f" (looked for EDUCLOUD_URL, JupyterHub's variables, and run files of parent processes in {runtime}).",
        next_step="Run this in a notebook, or set EDUCLOUD_URL and EDUCLOUD_TOKEN to a running Jupyter server's"
        " address and token (`jupyter server list` shows them).",
    )


def find_any_server(environ: Mapping[str, str] | None = None) -> Server:
    """Return the server that this process belongs to, else the only running one of this user (for a terminal).

    Where there is none, the broker that scripts have started is taken.

    Raises
    ------
    SeveralServersError
        There are several; says which.
    ServerNotFoundError
        There is none.
    """
    environ = os.environ if environ is None else environ
    try:
        return find_server(environ)
    except ServerNotFoundError:
        running = {
            path: server
            for path in sorted(_runtime_folder(environ).glob("jpserver-*.json"))
            if _is_alive(path.stem.removeprefix("jpserver-")) and (server := _from_run_file(path))
        }
        if not running:
            from educloud_lab.client.headless import find_running

            if (broker := find_running(environ)) is not None:
                return broker
            raise
        if len(running) > 1:
            raise SeveralServersError(
                f"Several Jupyter servers are running: {len(running)}.",
                next_step="Say which one: EDUCLOUD_URL=… EDUCLOUD_TOKEN=… (`jupyter server list` shows them).",
            ) from None
        return next(iter(running.values()))


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:  # a number that is used again by somebody else's process
        return False
    return True


def _from_url(url: str, token: str) -> Server:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ServerNotFoundError(
            "EDUCLOUD_URL is not an address of the form http://host:port/path/.",
            next_step="Copy the address that `jupyter server list` shows.",
        )
    token = token or parse_qs(parts.query).get("token", [""])[0]
    return Server(urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + "/", "", "")), token)


def _from_hub(environ: Mapping[str, str]) -> Server | None:
    prefix, token = environ.get("JUPYTERHUB_SERVICE_PREFIX"), environ.get("JUPYTERHUB_API_TOKEN")
    service = environ.get("JUPYTERHUB_SERVICE_URL")
    if not (prefix and token and service):
        return None
    parts = urlsplit(service)
    # The server may listen at all addresses; from here loopback is the one that surely answers.
    host = "127.0.0.1" if parts.hostname in {None, "", "0.0.0.0", "::"} else str(parts.hostname)  # noqa: S104 - compared
    host = f"[{host}]" if ":" in host else host
    netloc = f"{host}:{parts.port}" if parts.port else host
    return Server(f"{parts.scheme or 'http'}://{netloc}/{prefix.strip('/')}/", token)


def _runtime_folder(environ: Mapping[str, str]) -> Path:
    if folder := environ.get("JUPYTER_RUNTIME_DIR"):
        return Path(folder)
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir())


def _from_run_file(path: Path) -> Server | None:
    try:
        found = json.loads(path.read_text())
        url, token, socket = str(found["url"]), str(found.get("token") or ""), found.get("sock") or None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if socket:  # then the url holds the socket's path, quoted, in place of host and port
        base = str(found.get("base_url", "/")).strip("/")
        return Server(f"http://localhost/{base}/" if base else "http://localhost/", token, str(socket))
    return Server(url.rstrip("/") + "/", token)


def _ancestors(pid: int, environ: Mapping[str, str]) -> Iterator[int]:
    """Yield the parents of a process, nearest first; the kernel's launcher names one where /proc is missing."""
    seen = set()
    if (named := environ.get("JPY_PARENT_PID", "")).isdigit():
        seen.add(int(named))
        yield int(named)
    for _ in range(_MOST_PARENTS):
        parent = _parent_of(pid)
        if parent is None or parent <= 1:
            return
        if parent not in seen:
            seen.add(parent)
            yield parent
        pid = parent


def _parent_of(pid: int) -> int | None:
    try:
        # proc(5): the name in parentheses may hold anything, so fields are counted behind it.
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return os.getppid() if pid == os.getpid() else None
