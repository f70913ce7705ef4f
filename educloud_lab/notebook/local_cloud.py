"""The local cloud for work by hand in a notebook: its keys go into the kernel's environment, and nowhere else.

Lessons make volumes, groups and machines of their own with boto3. On a person's own computer the local cloud's keys are
that person's; this module asks the ``educloud`` command for them, so that it need not know where they are kept. On a
class's cloud nobody but the broker has keys, and what is said here says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from educloud_lab.domain.errors import CloudUnreachableError

TIMEOUT_S: Final = 60.0
_IN_THE_WAY: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL")
"""Settings of another cloud that boto3 would rather follow."""


@dataclass(frozen=True, slots=True)
class LocalCloud:
    """What a person needs to know of it besides the keys; nothing of it is shown when a cell ends with it.

    Parameters
    ----------
    network : the network driver, ``netns`` (machines reach each other) or ``slirp`` (each is alone).
    hypervisor : ``qemu``, or ``simulated``: such machines cannot be logged in to.
    gateway_host : where its SSH front end listens.
    gateway_port : likewise.
    gateway_key : the front end's host key, as ``known_hosts`` has it (type and key).
    """

    network: str
    hypervisor: str
    gateway_host: str = field(repr=False)
    gateway_port: int = field(repr=False)
    gateway_key: str = field(repr=False)

    @property
    def machines_talk(self) -> bool:
        """Whether two machines can reach each other, as far as their security groups let them."""
        return self.network == "netns"


def use_local_cloud(*, python: str = sys.executable, timeout_s: float = TIMEOUT_S) -> LocalCloud:
    """Make boto3, `aws` and `educloud` of this kernel use the local cloud of this computer.

    Sets ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_DEFAULT_REGION`` and ``AWS_ENDPOINT_URL_EC2`` in the
    kernel's environment (as ``eval "$(educloud cloud env)"`` does in a shell), takes settings of another cloud out of
    it, keeps proxies away from it, and puts the folder of ``educloud`` on ``PATH``. Prints nothing. Repeatable.

    Parameters
    ----------
    python : the interpreter whose ``educloud_lab`` is asked.
    timeout_s : how long the answer may take.

    Returns
    -------
    LocalCloud
        The rest of what it said.

    Raises
    ------
    CloudUnreachableError
        No local cloud runs here.
    """
    told = _ask(python, timeout_s)
    for name in _IN_THE_WAY:
        os.environ.pop(name, None)
    os.environ.update(told["environment"])
    gateway = told["gateway"]
    _without_proxy(told["environment"]["AWS_ENDPOINT_URL_EC2"].split("//")[-1].split(":")[0])
    beside = str(Path(python).parent)  # the environment's bin folder: a notebook's server may have been started by path
    if beside not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, (beside, os.environ.get("PATH", ""))))
    return LocalCloud(
        network=told["network"],
        hypervisor=told["hypervisor"],
        gateway_host=gateway["host"],
        gateway_port=gateway["port"],
        gateway_key=gateway["host_key"],
    )


def _ask(python: str, timeout_s: float) -> dict[str, Any]:
    command = [python, "-m", "educloud_lab", "cloud", "env", "--json"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=timeout_s, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _none(f"`educloud cloud env` gave no answer ({type(error).__name__}).") from error
    if done.returncode:
        # Its own words begin with the command's name; the last line is the paragraph.
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise _none(said)
    try:
        told: dict[str, Any] = json.loads(done.stdout)
        if not told["environment"] or not told["gateway"]:
            raise ValueError("incomplete")
    except (ValueError, KeyError, TypeError):
        # Without a cause: IPython's verbose tracebacks show the values of its lines, and these hold keys.
        raise _none("`educloud cloud env` answered what is none of its answers.") from None
    return told


def _none(why: str) -> CloudUnreachableError:
    return CloudUnreachableError(
        f"There is no local cloud for work by hand: {why}",
        kept="Nothing was changed.",
        next_step="This lesson works with a cloud's own keys, which on a class's cloud only the broker has. Do it on"
        " your own computer: `educloud cloud start` in a terminal there, then run this cell again.",
    )


def _without_proxy(host: str) -> None:
    """Keep requests to this host away from a proxy that the environment may name."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [part for part in os.environ.get(name, "").split(",") if part]
        if host not in hosts:
            os.environ[name] = ",".join([*hosts, host])
