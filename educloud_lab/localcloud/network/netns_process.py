"""Starting the `netns` driver's programs, inside its namespaces and outside, as daemons that outlive the cloud."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from educloud_lab.localcloud.network import holder
from educloud_lab.localcloud.network.base import NetworkError
from educloud_lab.localcloud.processes import daemon_environment


def tool(name: str) -> str:
    """Give the path of one of the system's programs. Raises NetworkError."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin")
    if found is None:
        raise NetworkError(f"{name} was not found.")
    return found


def into(pid: int) -> list[str]:
    """Give what stands before a command to run it in the namespaces of a process. Raises NetworkError."""
    # --preserve-credentials: the groups that open /dev/kvm stay.
    return [tool("nsenter"), "--preserve-credentials", "--user", "--net", f"--target={pid}", "--"]


def start_holder(
    arguments: Sequence[str], members: Iterable[int], log_file: Path, passed: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Start the holder in the namespaces of a machine that lives, else in new ones.

    Parameters
    ----------
    members : processes of machines; the first that lives in another network than this process shows the way in.
    passed : descriptors that the holder keeps open for as long as it lives.

    Raises
    ------
    NetworkError
        A program is missing.
    """
    member = next((pid for pid in members if _elsewhere(pid)), None)
    way = into(member) if member is not None else [tool("unshare"), "--user", "--map-root-user", "--net", "--"]
    return spawn([*way, sys.executable, "-m", holder.__name__, *arguments], log_file, passed)


def spawn(command: Sequence[str], log_file: Path, passed: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start a daemon that says what it has to say in a log file."""
    log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log_file.open("ab") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            cwd="/",
            env=interpreter_environment(),
            pass_fds=passed,
        )
    # A cloud that lives long must not keep it as a zombie.
    threading.Thread(target=process.wait, name=f"reap-{process.pid}", daemon=True).start()
    return process


def interpreter_environment() -> dict[str, str]:
    """Give the environment in which this package is found by a bare interpreter, without secrets."""
    environment = daemon_environment(Path(os.environ.get("EDUCLOUD_HOME") or "/"))
    package = Path(__file__).resolve().parents[3]
    if "site-packages" not in package.parts:  # a source tree that may not be installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    return environment


def _elsewhere(pid: int) -> bool:
    """Whether a process lives in a network namespace that is not ours."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 - /proc
    except OSError:
        return False
