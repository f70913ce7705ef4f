"""``educloud cloud``: start, look at, stop and reset the local cloud."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

from traitlets import Bool, CaselessStrEnum, Integer

from educloud_lab.app.cloud_command import CloudCommand, out
from educloud_lab.app.command import CommandGroup
from educloud_lab.localcloud import process
from educloud_lab.localcloud.errors import PortTakenError
from educloud_lab.localcloud.faults.warning import active_faults, warning
from educloud_lab.localcloud.hypervisor.templates import TemplateStore
from educloud_lab.localcloud.listening import bind
from educloud_lab.localcloud.model import PROFILES
from educloud_lab.localcloud.network.choice import recall
from educloud_lab.localcloud.overview import Status
from educloud_lab.localcloud.settings import DEFAULT_PORT, Folders

_ENV_JSON = "Print them as JSON, with the gateway's host key and the network driver, for programs."


class CloudStartApp(CloudCommand):
    """Start the local cloud."""

    name = "educloud-cloud-start"
    description = """Start the local cloud and its gateway, unless they run already.

    Machines that an earlier start left running are found again. Use `educloud cloud env` to work with it by hand."""

    port = Integer(
        None, allow_none=True, min=0, max=65535, help="Port of the API; default the last one used, 8773, or a free one."
    ).tag(config=True)
    hypervisor = CaselessStrEnum(
        ["qemu", "simulated"],
        default_value=None,
        allow_none=True,
        help="What runs machines; simulated ones cannot be logged in to. At first qemu; it stays so.",
    ).tag(config=True)

    profile = CaselessStrEnum(
        list(PROFILES),
        default_value=None,
        allow_none=True,
        help="Which kind of cloud it answers as; default as it was made, at first eucalyptus-6. It stays so.",
    ).tag(config=True)
    unknown_parameters = CaselessStrEnum(
        ["error", "ignore"],
        default_value=None,
        allow_none=True,
        help="What is done with parameters that an operation does not have: error, as Eucalyptus comes, or ignore, as"
        " its administrator may set it (aws and boto3 need that for volumes). Default as the last time, at first"
        " error.",
    ).tag(config=True)
    network = CaselessStrEnum(
        ["auto", "netns", "slirp"],
        default_value=None,
        allow_none=True,
        help="How machines are connected: netns (they reach each other as their groups say) or slirp (each alone);"
        " auto takes netns where it works. Default as the last time, at first auto.",
    ).tag(config=True)
    keep_alive_min = Integer(
        None,
        allow_none=True,
        min=1,
        max=525600,
        help="How many minutes instances live that are made while it runs so, as by Eucalyptus's policy; default for"
        " ever.",
    ).tag(config=True)
    outbound = Bool(
        None, allow_none=True, help="Whether machines reach the outside. Default as the last time, at first not."
    ).tag(config=True)

    aliases = {  # noqa: RUF012
        **CloudCommand.aliases,
        "port": "CloudStartApp.port",
        "profile": "CloudStartApp.profile",
        "hypervisor": "CloudStartApp.hypervisor",
        "network": "CloudStartApp.network",
        "keep-alive-min": "CloudStartApp.keep_alive_min",
        "unknown-parameters": "CloudStartApp.unknown_parameters",
    }

    flags = {  # noqa: RUF012
        "outbound": ({"CloudStartApp": {"outbound": True}}, "Let machines reach the outside."),
        "no-outbound": ({"CloudStartApp": {"outbound": False}}, "Keep machines from the outside."),
    }

    def _act(self) -> None:
        begun = time.monotonic()
        if self.hypervisor != "simulated" and (missing := without_qemu()):
            out(missing)
        ran = process.status(self.place()).api_running
        announced = process.start(
            self.place(),
            port=self.port,
            hypervisor=self.hypervisor,
            profile=self.profile,
            network=self.network,
            outbound=self.outbound,
            unknown_parameters=self.unknown_parameters,
            keep_alive_min=self.keep_alive_min,
            say=out,
        )
        _print_images(process.status(self.place()), self.place())
        elsewhere = self.port is None and f":{DEFAULT_PORT}/" not in announced["endpoint_url"]
        if elsewhere and not ran and _is_taken(DEFAULT_PORT):
            out(f"(Port {DEFAULT_PORT} is taken by another program, so another one is used.)")
        out(f"Ready in {time.monotonic() - begun:.1f} s.")


class CloudStatusApp(CloudCommand):
    """Say how the local cloud is."""

    name = "educloud-cloud-status"
    description = "Say whether the local cloud runs, its machines, and which images are usable. Exits with 1 when down."

    def _act(self) -> None:
        found = process.status(self.place())
        if found.announcement is not None:
            out(f"API       running at {found.announcement['endpoint_url']} (profile {found.announcement['profile']})")
        else:
            out("API       not running; start it with: educloud cloud start")
        if (found.announcement or {}).get("hypervisor") == "simulated":
            out("Machines  are simulated: they cannot be logged in to")
        gateway = (found.announcement or {}).get("gateway", {})
        where = f" at {gateway['host']}:{gateway['port']}" if gateway else ""
        out(f"Gateway   {'running' + where if found.gateway_running else 'not running'}")
        if network := recall(Folders(self.place()).cloud / "network.json"):
            outside = "with" if network.outbound else "without"
            out(f"Network   {network.driver}, {outside} the outside ({network.reason})")
        for machine in found.machines:
            out(f"Machine   {machine.instance_id}  {machine.state:<13} {machine.instance_type:<10} {machine.address}")
        if not found.machines:
            out("Machines  none")
        _print_images(found, self.place())
        if on_purpose := warning(active_faults(Folders(self.place()).state)):
            out(f"Faults    {on_purpose}")
        for template in TemplateStore(Folders(self.place()).templates).all():
            image, mib = template.image, template.kept_bytes >> 20
            out(f"Template  {image.parent.name} {image.name}, {template.memory_mib} MiB of memory ({mib} MiB on disk)")
        if (found.announcement or {}).get("hypervisor", "qemu") == "qemu" and (missing := without_qemu()):
            out(missing)
        if not (found.api_running and found.gateway_running):
            self.exit(1)


class CloudStopApp(CloudCommand):
    """Stop the local cloud."""

    name = "educloud-cloud-stop"
    description = """Shut the machines down in order, then stop the local cloud and its gateway.

    EBS-backed machines are stopped; instance-store machines keep their disk and start again with the cloud."""

    leave_machines = Bool(False, help="Leave the machines running; the next start finds them again.").tag(config=True)

    flags = {  # noqa: RUF012
        "leave-machines": ({"CloudStopApp": {"leave_machines": True}}, "Leave the machines running."),
    }

    def _act(self) -> None:
        did = process.stop(self.place(), leave_machines=self.leave_machines, say=out)
        out("Stopped." if did else "The local cloud was not running.")


class CloudResetApp(CloudCommand):
    """Delete the local cloud."""

    name = "educloud-cloud-reset"
    description = "End all machines and delete the local cloud's state, volumes and keys. Built images stay."

    yes = Bool(False, help="Do not ask.").tag(config=True)

    flags = {"yes": ({"CloudResetApp": {"yes": True}}, "Do not ask.")}  # noqa: RUF012

    def _act(self) -> None:
        folder = Folders(self.place()).cloud
        there = folder.exists()
        if not self.yes and there:
            volumes = len(list((folder / "volumes").glob("*.qcow2")))
            out(f"This ends all machines and deletes {folder} with {volumes} volumes, those of your labs too.")
            out("It cannot be undone.")
            try:
                typed = input("Type reset to go on: ")
            except EOFError:
                typed = ""
            if typed.strip() != "reset":
                out("Nothing was changed.")
                self.exit(1)
        process.reset(self.place(), say=out)
        if there:
            out("A lab that had a volume there begins anew with: Delete machine (in its card), then Start.")


class CloudEnvApp(CloudCommand):
    """Print settings for work by hand."""

    name = "educloud-cloud-env"
    description = 'Print shell settings for your own EC2 tools: eval "$(educloud cloud env)".'
    as_json = Bool(False, help=_ENV_JSON).tag(config=True)

    flags = {"json": ({"CloudEnvApp": {"as_json": True}}, _ENV_JSON)}  # noqa: RUF012

    def _act(self) -> None:
        if self.as_json:
            self._print_json()
            return
        for name, value in process.environment(self.place()).items():
            out(f"export {name}={shlex.quote(value)}")
        announcement = process.status(self.place()).announcement
        if announcement is not None:
            gateway = announcement["gateway"]
            out("# Log in to a machine that was started with your key pair (its address: DescribeInstances):")
            host, port = gateway["host"], gateway["port"]
            out(f"#   ssh-add KEY; ssh -J gateway@{host}:{port} student@ADDRESS")
            out(f"# or ssh -i KEY -o ProxyCommand='ssh -i KEY -p {port} -W %h:%p gateway@{host}' student@ADDRESS")

    def _print_json(self) -> None:
        settings = process.environment(self.place())
        announcement = process.status(self.place()).announcement or {}
        gateway = announcement.get("gateway", {})
        network = recall(Folders(self.place()).cloud / "network.json")
        what = {
            "environment": settings,
            "gateway": {name: gateway[name] for name in ("host", "port", "host_key") if name in gateway},
            "network": network.driver if network else "",
            "hypervisor": announcement.get("hypervisor", ""),
        }
        out(json.dumps(what, indent=2))


class CloudApp(CommandGroup):
    """The local cloud."""

    name = "educloud cloud"
    description = "The local cloud: start it, look at it, make it fail, back it up, stop it, delete it."

    subcommands: Any = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "start": (CloudStartApp, "Start the local cloud."),
        "status": (CloudStatusApp, "Say how the local cloud is."),
        "stop": (CloudStopApp, "Stop the local cloud."),
        "reset": (CloudResetApp, "Delete the local cloud."),
        "serve": ("educloud_lab.app.cloud_serve_app.CloudServeApp", "Serve the local cloud in the foreground."),
        "env": (CloudEnvApp, "Print settings for work by hand."),
        "watch": ("educloud_lab.app.cloud_watch_app.CloudWatchApp", "Watch machines, volumes, images and events."),
        "metrics": ("educloud_lab.app.cloud_watch_app.CloudMetricsApp", "Print its figures in Prometheus's form."),
        "fault": ("educloud_lab.app.cloud_fault_app.FaultApp", "Make it fail as clouds fail, on purpose."),
        "image": ("educloud_lab.app.image_app.ImageApp", "Build, list, verify and remove images."),
        "backup": ("educloud_lab.app.cloud_backup_app.CloudBackupApp", "Write everything in the cloud into one file."),
        "restore": ("educloud_lab.app.cloud_backup_app.CloudRestoreApp", "Bring back what a backup holds."),
    }


def without_qemu() -> str:
    """Return what cannot be done without the parts of QEMU that are missing here, and what to install; '' with all.

    A local cloud starts without them: a campus may install them later, and nothing that exists is in danger.
    """
    needs = {"qemu-system-x86_64": "start machines", "qemu-img": "make volumes and machines"}
    missing = [name for name in needs if shutil.which(name) is None]
    if not missing:
        return ""
    cannot = needs[missing[-1]] if len(missing) == 1 else "start machines or make volumes"
    return (
        f"QEMU      {' and '.join(missing)} not found: the local cloud cannot {cannot}. Its API, key pairs and "
        "whatever exists already work. Install it (on Debian and Ubuntu): "
        "sudo apt-get install qemu-system-x86 qemu-utils"
    )


def _is_taken(port: int) -> bool:
    try:
        bind(port, None).close()
    except PortTakenError:
        return True
    return False


def _print_images(found: Status, home: Path) -> None:
    for image in found.images:
        if image.state == "available":
            out(f"Image     {image.image_id}  {image.name} ({image.kind})")
        else:
            out(f"Image     {image.name} cannot be used: {image.message}")
    if found.images:
        return
    built = sorted(path.parent.name for path in Folders(home).images.glob("[!.]*/manifest.json"))
    if built:
        out(f"Images    {', '.join(built)} built; they are registered when the local cloud starts")
    else:
        out("Images    none; build them with: educloud cloud image build")
