"""Which driver connects machines here: tried, not guessed; said why; kept while machines live.

A machine stays with the driver that it was started with, so both may be in use for a while after a change.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from educloud_lab.localcloud.accounts import write_private
from educloud_lab.localcloud.network import trial
from educloud_lab.localcloud.network.base import HumanMonitor, Living, NetworkDriver, NetworkError, NetworkLeg
from educloud_lab.localcloud.network.netns import NetnsNetwork
from educloud_lab.localcloud.network.netns_process import interpreter_environment
from educloud_lab.localcloud.network.policy import Policy
from educloud_lab.localcloud.network.slirp import SlirpNetwork

log = logging.getLogger("educloud.network")

AUTO, NETNS, SLIRP = "auto", "netns", "slirp"
SETTINGS = (AUTO, NETNS, SLIRP)
PACKAGES = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "nft": "nftables"}
OUTSIDE_PACKAGES = {"slirp4netns": "slirp4netns"}
_TRIAL_LIMIT_S = 30.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Choice:
    """A driver, and why it is the one.

    Parameters
    ----------
    setting : what was asked for: ``auto``, ``netns`` or ``slirp``.
    outbound : whether machines reach the outside.
    missing : Debian packages that would allow ``netns``.
    """

    driver: str
    reason: str
    setting: str = AUTO
    outbound: bool = False
    missing: tuple[str, ...] = ()


def missing_packages(*, outbound: bool) -> tuple[str, ...]:
    """Give the Debian packages that the ``netns`` driver lacks here."""
    needed = PACKAGES | (OUTSIDE_PACKAGES if outbound else {})
    return tuple(dict.fromkeys(package for tool, package in needed.items() if shutil.which(tool, path=_PATH) is None))


async def try_netns() -> tuple[bool, str]:
    """Try in a namespace of its own whether ``netns`` works here; the reason is for people."""
    command = ["unshare", "--user", "--map-root-user", "--net", "--", sys.executable, "-m", trial.__name__]
    environment = interpreter_environment()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd="/",
        )
        try:
            async with asyncio.timeout(_TRIAL_LIMIT_S):
                said, complaint = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return False, f"the trial did not end within {_TRIAL_LIMIT_S:.0f} s"
    except OSError as error:
        return False, f"unshare could not be run: {error.strerror}"
    try:
        verdict = json.loads(said)
    except ValueError:
        words = complaint.decode("utf-8", "replace").strip().splitlines()
        return False, words[-1][:300] if words else f"the trial ended with {process.returncode}"
    return bool(verdict["works"]), str(verdict["reason"])


async def choose(setting: str, *, outbound: bool, living: frozenset[str] = frozenset()) -> Choice:
    """Choose the driver for new machines.

    Parameters
    ----------
    setting : ``auto``, ``netns`` or ``slirp``.
    living : drivers of the machines that live; with ``auto`` theirs is kept.
    """
    if setting == SLIRP:
        return Choice(SLIRP, "as set", setting, outbound)
    if setting == AUTO and living:
        kept = NETNS if NETNS in living else SLIRP
        return Choice(kept, "the machines that run use it", setting, outbound)
    missing = missing_packages(outbound=outbound)
    if missing:
        return Choice(SLIRP, f"{' and '.join(missing)} not installed", setting, outbound, missing)
    works, reason = await try_netns()
    return Choice(NETNS if works else SLIRP, f"tried: {reason}", setting, outbound)


class Networks:
    """The drivers of one cloud, behind one driver's face: each machine stays with the one that it was plugged by.

    Parameters
    ----------
    drivers : by name.
    setting : as in :func:`choose`; None takes the one remembered, else ``auto``.
    outbound : likewise; None takes the one remembered, else no.
    memory : where the choice is kept for the next start and for the doctor; None keeps nothing.
    """

    def __init__(
        self, drivers: Mapping[str, NetworkDriver], *, setting: str, outbound: bool, memory: Path | None
    ) -> None:
        self._drivers = dict(drivers)
        self._memory = memory
        self._used: dict[str, str] = {}  # address -> driver
        self.choice = Choice(setting if setting != AUTO else SLIRP, "not tried yet", setting, outbound)

    @classmethod
    def make(
        cls,
        *,
        folder: Path,
        log_file: Path,
        network: str,
        memory: Path,
        setting: str | None = None,
        outbound: bool | None = None,
    ) -> Networks:
        """Give the network of a cloud, set as asked or as remembered."""
        known = recall(memory)
        chosen = setting or (known.setting if known else AUTO)
        outside = (known.outbound if known else False) if outbound is None else outbound
        drivers: dict[str, NetworkDriver] = {
            NETNS: NetnsNetwork(folder, log_file, network, outbound=outside),
            SLIRP: SlirpNetwork(outside=outside),
        }
        return cls(drivers, setting=chosen, outbound=outside, memory=memory)

    @property
    def name(self) -> str:
        """The driver of new machines."""
        return self.choice.driver

    def arguments(self, leg: NetworkLeg) -> list[str]:
        """Give QEMU's arguments for the card. Raises NetworkError."""
        return self._of(leg).arguments(leg)

    def prefix(self, leg: NetworkLeg) -> list[str]:
        """Give what stands before QEMU's command. Raises NetworkError."""
        return self._of(leg).prefix(leg)

    def used_by(self, leg: NetworkLeg) -> str:
        """Give the driver of a machine."""
        return self._of(leg).name

    async def open(self, living: Sequence[Living]) -> None:
        """Choose, and take over the machines that live.

        With ``auto`` whatever fails leads to slirp, and is logged.

        Raises
        ------
        NetworkError
            ``netns`` was asked for by name and does not work here.
        """
        setting, outbound = self.choice.setting, self.choice.outbound
        self._used |= {machine.leg.address: machine.driver for machine in living}
        used = frozenset(machine.driver for machine in living)
        self.choice = await choose(setting, outbound=outbound, living=used)
        for name in sorted({*used, self.choice.driver} & self._drivers.keys()):
            try:
                await self._drivers[name].open([machine for machine in living if machine.driver == name])
            except (NetworkError, OSError) as error:
                log.error("The %s network could not be opened: %s", name, error)
                if name == NETNS and self.choice.driver == NETNS:
                    self.choice = Choice(SLIRP, f"netns failed: {error}", setting, outbound)
        if setting == NETNS and self.choice.driver != NETNS:
            raise NetworkError(
                f"The network driver netns does not work here: {self.choice.reason}. Nothing was started; `educloud"
                " doctor` says more, and `educloud cloud start --network auto` takes what works."
            )
        log.info("network: %s (%s)", self.choice.driver, self.choice.reason)
        if self._memory is not None:
            remember(self._memory, self.choice)

    async def close(self) -> None:
        """Let go; machines stay connected."""
        for driver in self._drivers.values():
            await driver.close()

    async def plug(self, leg: NetworkLeg) -> None:
        """Make a new machine's place; with ``auto``, where netns fails, a place of its own with slirp.

        Raises
        ------
        NetworkError
            The driver that was asked for by name could not.
        """
        name = self._used.get(leg.address, self.choice.driver)
        try:
            await self._drivers[name].plug(leg)
        except NetworkError as error:
            if self.choice.setting != AUTO or name == SLIRP:
                raise
            log.error("%s is connected by slirp, alone, since netns failed: %s", leg.address, error)
            name = SLIRP
        self._used[leg.address] = name

    def alive(self, leg: NetworkLeg, pid: int) -> None:
        """Take note of a machine's process."""
        self._of(leg).alive(leg, pid)

    async def unplug(self, leg: NetworkLeg) -> None:
        """Take a machine's place away."""
        await self._of(leg).unplug(leg)
        self._used.pop(leg.address, None)

    async def apply(self, policy: Policy) -> None:
        """Put a policy in force in every driver. Raises NetworkError."""
        for driver in self._drivers.values():
            await driver.apply(policy)

    def door(self, address: str) -> Path | None:
        """Give the socket by which the gateway reaches ``address``; None when it goes by the host."""
        doors = (driver.door(address) for driver in self._drivers.values())
        return next((door for door in doors if door is not None), None)

    async def endpoint(self, leg: NetworkLeg, port: int, human: HumanMonitor) -> tuple[str, int] | None:
        """Give the host's way to a machine's port. Raises NetworkError."""
        return await self._of(leg).endpoint(leg, port, human)

    def _of(self, leg: NetworkLeg) -> NetworkDriver:
        name = self._used.get(leg.address, self.choice.driver)
        return self._drivers.get(name, self._drivers[self.choice.driver])


def recall(memory: Path) -> Choice | None:
    """Read the choice of the last start; None when there was none."""
    try:
        found = json.loads(memory.read_text("utf-8"))
        return Choice(
            str(found["driver"]), str(found["reason"]), str(found["setting"]), bool(found["outbound"]),
            tuple(found["missing"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(memory: Path, choice: Choice) -> None:
    """Keep the choice."""
    text = {name: getattr(choice, name) for name in ("driver", "reason", "setting", "outbound", "missing")}
    write_private(memory, json.dumps(text, indent=1) + "\n")
