"""The doctor at the two halves: versions, and a websocket through a Jupyter server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from educloud_lab.app.doctor.findings import Finding, Surroundings, fail, note, ok

_LIMIT_S = 30.0


async def check_versions(_: Surroundings) -> Finding:
    """The browser's half is installed where JupyterLab looks, in the same version as the server's half."""
    from jupyter_core.paths import jupyter_path

    from educloud_lab import __version__

    for folder in jupyter_path("labextensions"):
        package = Path(folder) / "educloud-lab" / "package.json"
        if package.is_file():
            version = json.loads(package.read_text("utf-8")).get("version", "")
            break
    else:
        return fail(
            "Two halves",
            f"the server's half is {__version__}; JupyterLab's half is not installed in this environment",
            "Install the whole package again: pip install --force-reinstall educloud-lab (in a clone: make lab)",
        )
    # The build writes JavaScript's form of the same version (1.2.0-alpha.1 for 1.2.0a1).
    if version.replace("-alpha.", "a").replace("-beta.", "b").replace("-rc.", "rc") != __version__:
        return note(
            "Two halves",
            f"the server's half is {__version__}, JupyterLab's half is {version}",
            "Install the whole package again, then restart the server and reload the page.",
        )
    return ok("Two halves", f"both are {version}")


async def check_websocket(where: Surroundings) -> Finding:
    """A websocket opens through a Jupyter server: a running one of this user, else one started for the purpose."""
    from jupyter_server.serverapp import list_running_servers

    for server in await asyncio.to_thread(lambda: list(list_running_servers())):
        problem = await _try_socket(server["url"], server["token"])
        if problem == "":
            return ok("Websocket", f"opens through the running server at {server['url']}")
        return fail(
            "Websocket",
            f"does not open through {server['url']}: {problem}",
            "Restart that server; if a proxy stands before it, it must let websockets through.",
        )
    async with _temporary_server(where) as (url, token, log):
        problem = await _try_socket(url, token, starting=True) if url else "the server did not start: " + log()[-300:]
    if problem:
        return fail(
            "Websocket", problem, "See that the package is installed in the environment that JupyterLab runs in."
        )
    return ok("Websocket", "opens through a Jupyter server (started for this check)")


async def _try_socket(url: str, token: str, *, starting: bool = False) -> str:
    """Return '' when a snapshot arrives over the socket, else what happened.

    Parameters
    ----------
    starting : the server was started just now; it writes down its address a moment before it listens there.
    """
    from tornado.httpclient import HTTPClientError, HTTPRequest
    from tornado.websocket import websocket_connect

    address = url.replace("http", "ws", 1) + "educloud/api/v1/socket"
    try:
        async with asyncio.timeout(_LIMIT_S):
            while True:
                try:
                    connection = await websocket_connect(
                        HTTPRequest(address, headers={"Authorization": f"token {quote(token)}"})
                    )
                    break
                except ConnectionRefusedError:
                    if not starting:
                        raise
                    await asyncio.sleep(0.2)
            message = await connection.read_message()
            connection.close()
    except TimeoutError:
        return f"no message within {_LIMIT_S:.0f} s"
    except HTTPClientError as exc:
        return "the server has no educloud-lab extension" if exc.code == 404 else f"HTTP {exc.code}"
    except OSError as exc:
        return str(exc)
    if message is None:
        return "it was closed without a word"
    return "" if json.loads(message).get("type") == "snapshot" else "an unexpected message came"


@contextlib.asynccontextmanager
async def _temporary_server(where: Surroundings) -> AsyncIterator[tuple[str, str, _Log]]:
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="educloud-doctor-") as folder:
        runtime, log_file = Path(folder) / "runtime", Path(folder) / "log"
        runtime.mkdir(mode=0o700)
        arguments = ["--no-browser", "--ServerApp.port=0", "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}"]
        arguments.append("--Educloud.autostart_cloud=False")  # the doctor looks; it starts nothing that stays
        if os.geteuid() == 0:
            arguments.append("--allow-root")
        with log_file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "jupyter_server", *arguments),
                # the token goes by the environment: arguments can be read by every user of the computer
                env=os.environ
                | {"JUPYTER_TOKEN": token, "JUPYTER_RUNTIME_DIR": str(runtime), "EDUCLOUD_HOME": str(where.home)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield await _wait_for_url(process, runtime), token, _Log(log_file)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _wait_for_url(process: asyncio.subprocess.Process, runtime: Path) -> str:
    info = runtime / f"jpserver-{process.pid}.json"
    for _ in range(int(_LIMIT_S * 5)):
        if process.returncode is not None:
            return ""
        with contextlib.suppress(OSError, ValueError):  # not there yet, or half written
            return str(json.loads(info.read_text("utf-8"))["url"])
        await asyncio.sleep(0.2)
    return ""


class _Log:
    """The end of a temporary server's log, read while it still exists."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> str:
        return self._path.read_text("utf-8", "replace")
