"""Starting, stopping and looking after the local cloud's two processes: the API and the gateway."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from educloud_lab.localcloud import exchange
from educloud_lab.localcloud.accounts import load_accounts, write_private
from educloud_lab.localcloud.command import (
    api_answers,
    kill_machines,
    package_version,
    read_json,
    serialised,
    stop_gateway,
)
from educloud_lab.localcloud.errors import LocalCloudError, StartFailedError
from educloud_lab.localcloud.listening import bind
from educloud_lab.localcloud.network.policy import gateway_address
from educloud_lab.localcloud.overview import Status, read_rows
from educloud_lab.localcloud.processes import end, end_surely, is_alive, launch
from educloud_lab.localcloud.remembered import choose_profile
from educloud_lab.localcloud.runtime import remove_runtime_folder
from educloud_lab.localcloud.settings import NETWORK, Folders

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 90.0


def start(
    home: Path,
    *,
    port: int | None = None,
    hypervisor: str | None = None,
    profile: str | None = None,
    network: str | None = None,
    outbound: bool | None = None,
    unknown_parameters: str | None = None,
    keep_alive_min: int | None = None,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Start what does not run and return the announcement; quick when everything runs.

    Parameters
    ----------
    port : of the API; default the last one used, 8773, or any free one.
    hypervisor : ``qemu`` or ``simulated``; default as it was made, else ``qemu``. A cloud keeps it.
    profile : which kind of cloud it answers as; default as it was made, else ``eucalyptus-6``.
    network : how machines are connected: ``auto``, ``netns`` or ``slirp``; default as the last time, at first ``auto``.
    outbound : whether machines reach the outside; default as the last time, at first not.
    unknown_parameters : ``error`` or ``ignore``, what is done with parameters that an operation does not have; default
        as the last time, at first ``error``.
    keep_alive_min : how many minutes instances live that are made while it runs so; default for ever.
    say : told about each step, for people.

    Raises
    ------
    PortTakenError, ProfileChangedError, StartFailedError, LocalCloudError
        The message says what to do.
    """
    tell = say or (lambda _text: None)
    folders = Folders(home)
    folders.make(only_home=True)
    with serialised(folders):
        exchange.settle(folders, tell)
        folders.make()
        folders.runtime()
        choose_profile(folders.state, profile)  # so that the refusal comes from here, in one sentence
        api = read_json(folders.cloud / "api.state.json")
        hypervisor = _same_hypervisor(api.get("hypervisor"), hypervisor)
        if api_answers(api):
            if port is not None and api["port"] != port:
                raise LocalCloudError(
                    f"The local cloud already runs, on port {api['port']}. It was left alone; run"
                    " `educloud cloud stop` first to move it."
                )
            if network is not None or outbound is not None:
                raise LocalCloudError(
                    "The local cloud already runs; it was left alone. Its network changes at a start: run"
                    " `educloud cloud stop` first (with --leave-machines, machines keep the network that they have)."
                )
            if unknown_parameters not in (None, api.get("unknown_parameters")):
                raise LocalCloudError(
                    f"The local cloud already runs, with --unknown-parameters={api.get('unknown_parameters')}. It was"
                    " left alone; run `educloud cloud stop --leave-machines` first to change that."
                )
            if keep_alive_min is not None:
                raise LocalCloudError(
                    "The local cloud already runs; it was left alone. How long instances live is said at a start: run"
                    " `educloud cloud stop --leave-machines` first."
                )
            tell(f"The local cloud already runs (process {api['pid']}).")
            if (runs := api.get("version", "")) != (here := package_version()):
                runs = f"version {runs}" if runs else "an earlier version"
                tell(
                    f"It is {runs}, and {here} is installed. It was left alone. To change over, machines and volumes as"
                    " they are: educloud cloud stop --leave-machines, then start again."
                )
        else:
            if is_alive(api.get("pid"), api.get("start_ticks")):
                end_surely(api["pid"], api["start_ticks"], 5.0)  # it runs, but answers nothing any more
            if port is not None:
                bind(port, None).close()  # so that the refusal comes from here, in one sentence
            arguments = ["cloud", "serve"]
            arguments += [f"--port={port}"] if port is not None else []
            arguments += [f"--hypervisor={hypervisor}"] if hypervisor is not None else []
            arguments += [f"--profile={profile}"] if profile is not None else []
            arguments += [f"--unknown-parameters={unknown_parameters}"] if unknown_parameters is not None else []
            arguments += [f"--network={network}"] if network is not None else []
            arguments += [f"--keep-alive-min={keep_alive_min}"] if keep_alive_min is not None else []
            arguments += [] if outbound is None else ["--outbound" if outbound else "--no-outbound"]
            launch(
                arguments, folders.log / "api.log", folders.home, lambda pid: _api_ready(folders, pid), READY_LIMIT_S
            )
            api = read_json(folders.cloud / "api.state.json")
            tell(f"The local cloud answers at {_endpoint(api)}.")
        gateway = read_json(folders.gateway / "gateway.state.json")
        if is_alive(gateway.get("pid"), gateway.get("start_ticks")):
            tell(f"The gateway already runs (process {gateway['pid']}).")
        else:
            gateway = _start_gateway(folders)
            tell(f"The gateway listens at {gateway['host']}:{gateway['port']}.")
        announcement = _announcement(api, gateway)
        text = json.dumps(announcement, indent=2) + "\n"
        if not folders.announcement.exists() or folders.announcement.read_text() != text:
            write_private(folders.announcement, text)
        return announcement


def _same_hypervisor(kept: str | None, asked: str | None) -> str | None:
    """Return what runs machines: as the last time, since simulated volumes have no files and real machines have.

    Raises
    ------
    LocalCloudError
        Another one was asked for.
    """
    if kept is not None and asked not in (None, kept):
        raise LocalCloudError(
            f"This cloud was made with --hypervisor={kept}, and {asked} was asked for. Nothing was started or changed."
            f" Leave --hypervisor out to go on with it; for {asked} use another --home, or delete this cloud with:"
            " educloud cloud reset"
        )
    return asked or kept


def status(home: Path) -> Status:
    """Look at the cloud without changing anything."""
    folders = Folders(home)
    api, gateway = read_json(folders.cloud / "api.state.json"), read_json(folders.gateway / "gateway.state.json")
    running = api_answers(api)
    machines, images = read_rows(folders.state)
    return Status(
        api_running=running,
        gateway_running=is_alive(gateway.get("pid"), gateway.get("start_ticks")),
        announcement=read_json(folders.announcement) or None if running else None,
        machines=machines,
        images=images,
    )


def stop(home: Path, *, leave_machines: bool = False, say: Callable[[str], None] | None = None) -> bool:
    """Stop the cloud; False when nothing ran. Machines are shut down in order unless they are to be left."""
    tell = say or (lambda _text: None)
    folders = Folders(home)
    if not folders.cloud.exists():
        return False
    with serialised(folders):
        api, did = read_json(folders.cloud / "api.state.json"), False
        if is_alive(api.get("pid"), api.get("start_ticks")):
            did = True
            tell("Stopping the local cloud." if leave_machines else "Shutting machines down; this takes some seconds.")
            number = signal.SIGTERM if leave_machines else signal.SIGUSR2
            if not end(api["pid"], api["start_ticks"], number, STOP_LIMIT_S):
                end_surely(api["pid"], api["start_ticks"], 5.0)
        elif not leave_machines and any(m.state in ("running", "pending") for m in read_rows(folders.state)[0]):
            did = True
            tell("The local cloud was not running; shutting down the machines that it left.")
            asyncio.run(_halt(folders, api))
        did = stop_gateway(folders) or did
        folders.announcement.unlink(missing_ok=True)
        return did


def reset(home: Path, *, say: Callable[[str], None] | None = None) -> None:
    """Stop everything and delete the cloud's state, volumes and keys. Built images stay."""
    tell = say or (lambda _text: None)
    folders = Folders(home)
    if not folders.home.exists():
        tell("There is no local cloud.")
        return
    with serialised(folders):
        exchange.settle(folders, tell)
        if not folders.cloud.exists():
            tell("There is no local cloud.")
            return
        api = read_json(folders.cloud / "api.state.json")
        if is_alive(api.get("pid"), api.get("start_ticks")):
            end_surely(api["pid"], api["start_ticks"], 20.0)
        stop_gateway(folders)
        # Machines are found by the hypervisor's own records, so that even a broken state can be reset.
        count = asyncio.run(kill_machines(folders, str(api.get("hypervisor", "qemu"))))
        tell(f"{count} machines were ended." if count else "No machines were running.")
        remove_runtime_folder(folders.home, folders.cloud)
        shutil.rmtree(folders.cloud)
        tell(f"{folders.cloud} was deleted.")


def _start_gateway(folders: Folders) -> dict[str, Any]:
    from educloud_lab.gateway.config import GatewayConfig  # pydantic: only who starts a gateway pays

    path = folders.gateway / "gateway.json"
    last = read_json(path).get("listen_port", 0)
    for port in dict.fromkeys((last if isinstance(last, int) else 0, 0)):
        GatewayConfig(listen_port=port).write(path)
        try:
            launch(
                ["gateway", f"--config={path}", f"--log-file={folders.log / 'gateway.log'}"],
                folders.log / "gateway.log",
                folders.home,
                lambda pid: read_json(folders.gateway / "gateway.state.json").get("pid") == pid,
                READY_LIMIT_S,
            )
        except StartFailedError:
            if port == 0:
                raise
            continue  # the port that it had last time may be taken by now: any other will do
        break
    state = read_json(folders.gateway / "gateway.state.json")
    # The same port the next time, so that what people wrote into their SSH configuration stays right.
    GatewayConfig(listen_port=state["port"]).write(path)
    return state


def _announcement(api: dict[str, Any], gateway: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "endpoint_url": _endpoint(api),
        "region": api["region"],
        "profile": api["profile"],
        "hypervisor": api["hypervisor"],
        "gateway": {
            "host": gateway["host"],
            "port": gateway["port"],
            "host_key": gateway["host_key"],
            "network": f"{gateway_address(NETWORK)}/32",  # what machines see it come from: for rules of groups
        },
        "pids": {
            "api": {"pid": api["pid"], "start_ticks": api["start_ticks"]},
            "gateway": {"pid": gateway["pid"], "start_ticks": gateway["start_ticks"]},
        },
    }


def _endpoint(api: dict[str, Any]) -> str:
    return f"http://{api['host']}:{api['port']}/services/compute"


def _api_ready(folders: Folders, pid: int) -> bool:
    api = read_json(folders.cloud / "api.state.json")
    return api.get("pid") == pid and api_answers(api)


async def _halt(folders: Folders, api: dict[str, Any]) -> None:
    from educloud_lab.localcloud.serve import halt  # heavy: only the command that needs it pays
    from educloud_lab.localcloud.settings import Settings

    await halt(Settings(folders, hypervisor=str(api.get("hypervisor", "qemu"))))


def environment(home: Path) -> dict[str, str]:
    """Return what a person's own EC2 tools need to speak to the running cloud.

    Raises
    ------
    LocalCloudError
        The cloud does not run.
    """
    folders = Folders(home)
    announcement = read_json(folders.announcement)
    if not announcement:
        raise LocalCloudError("The local cloud does not run. Start it with: educloud cloud start")
    account, secret = load_accounts(folders.credentials).named("educloud")
    return {
        "AWS_ACCESS_KEY_ID": account.access_key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": announcement["region"],
        "AWS_ENDPOINT_URL_EC2": announcement["endpoint_url"],
        "EC2_URL": announcement["endpoint_url"],
    }
