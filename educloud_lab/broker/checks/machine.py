"""Checks that only the machine itself can tell. Whoever is root there can make it tell what they like."""

from __future__ import annotations

from typing import Final

from educloud_lab.broker.checks.outcome import Outcome, judges, shown
from educloud_lab.broker.checks.own import size_text
from educloud_lab.broker.checks.scene import Scene, decoded
from educloud_lab.broker.scripts import checking
from educloud_lab.broker.tags import GONE
from educloud_lab.domain import naming
from educloud_lab.domain.checks import Assertion
from educloud_lab.ports.cloud import AttachmentSeen

_COMMAND_S: Final = 8
_KILLED: Final = ("124", "137", "143")
_NO_SUCH_COMMAND: Final = "127"
_NOT_BEGUN: Final = (_NO_SUCH_COMMAND, "126")
_NO_OWNER: Final = "-"


def _place(path: str) -> str:
    """Return a mount point as the kernel lists it."""
    return path.rstrip("/") or "/"


async def _mounted(scene: Scene, path: str, serial: str) -> dict[str, str]:
    return await scene.ask("check-mounted", checking.MOUNTED, checking.MOUNTED_FORMS, _place(path), serial)


def _what(answer: dict[str, str], path: str) -> str:
    if answer["source"] == "-":
        return f"Nothing is mounted at {path}."
    return f"{shown(answer['source'], 80)} ({shown(answer['type'])}) is mounted at {path}."


@judges("mounted")
async def mounted(scene: Scene, said: Assertion) -> Outcome:
    """Anything is mounted there."""
    path = said.values["path"]
    answer = await _mounted(scene, path, "")
    return Outcome(answer["source"] != "-", _what(answer, path), f"Mount it: sudo mount DISK {path}", "Unmount it.")


@judges("mounted-from-own")
async def mounted_from_own(scene: Scene, said: Assertion) -> Outcome:
    """The disk with the serial of the person's data volume is mounted there."""
    volume, path = scene.records.volume, said.values["path"]
    if volume is None or volume.cloud_id is None:
        return Outcome(False, "There is no data volume.", "Use a machine profile that has one.")
    answer = await _mounted(scene, path, naming.disk_serial(volume.cloud_id, volume.device))
    return _from(answer, path, f"your volume {volume.cloud_id}")


@judges("mounted-from-tagged")
async def mounted_from_tagged(scene: Scene, said: Assertion) -> Outcome:
    """The disk with the serial of a volume with the tag, which the cloud shows attached, is mounted there."""
    tag, path = said.values["tag"], said.values["path"]
    scene.running()
    view, instance = await scene.view(), await scene.instance()
    volumes = [seen for seen in scene.volumes_tagged(view, tag) if seen.state not in GONE]
    if not volumes:
        return Outcome(False, f"The cloud lists no volume tagged {shown(tag, 80)}.", "Make it, or set its tag.")
    here = instance.instance_id if instance is not None else ""
    attached: list[AttachmentSeen] = [
        item for seen in volumes for item in seen.attachments if item.instance_id == here and item.state == "attached"
    ]
    if not attached:
        return Outcome(
            False,
            f"{', '.join(seen.volume_id for seen in volumes[:5])}: not attached to your machine.",
            "Attach the volume, then mount its disk.",
        )
    outcomes = []
    for item in attached[:4]:
        answer = await _mounted(scene, path, naming.disk_serial(item.volume_id, item.device))
        outcomes.append(_from(answer, path, item.volume_id))
    return next((outcome for outcome in outcomes if outcome.holds), outcomes[0])


def _from(answer: dict[str, str], path: str, what: str) -> Outcome:
    if answer["same"] == "yes":
        return Outcome(True, f"{_what(answer, path)} It is {what}.", undo=f"Unmount it: sudo umount {path}")
    if answer["disk"] == "none":
        return Outcome(
            False, f"{_what(answer, path)} The machine has no disk that is {what}.", "Is the volume attached?"
        )
    return Outcome(
        False,
        f"{_what(answer, path)} The disk of {what} is /dev/{answer['disk']}.",
        f"Mount it: sudo mount /dev/{answer['disk']} {path}",
    )


async def _file(scene: Scene, said: Assertion, text: str = "") -> dict[str, str]:
    user = scene.lease.profile.login_user
    return await scene.ask("check-file", checking.FILE, checking.FILE_FORMS, said.values["path"], user, text)


_KINDS: Final = {
    "none": "there is nothing of that name",
    "folder": "it is a folder",
    "file": "it is a file",
    "other": "it is neither a file nor a folder",
    "dangling": "it is a link that leads nowhere",
}


@judges("file-exists", "folder-exists")
async def exists(scene: Scene, said: Assertion) -> Outcome:
    """Something of that kind is there, links followed."""
    answer = await _file(scene, said)
    path = shown(said.values["path"], 120)
    folder = said.form.name == "folder-exists"
    holds = answer["kind"] == "folder" if folder else answer["kind"] in ("file", "other")
    size = f", {answer['size']} bytes" if answer["kind"] == "file" else ""
    return Outcome(holds, f"{path}: {_KINDS[answer['kind']]}{size}.", f"Make it: {path}", f"Remove it: {path}")


@judges("file-contains")
async def contains(scene: Scene, said: Assertion) -> Outcome:
    """The text stands on one of its lines. What else is in the file is nobody's business here."""
    answer = await _file(scene, said, said.values["text"])
    path = shown(said.values["path"], 120)
    if answer["kind"] != "file":
        return Outcome(False, f"{path}: {_KINDS[answer['kind']]}.", f"Make the file {path}.")
    if answer["holds"] == "unreadable":
        return Outcome(None, f"{path} cannot be read.", "Look at its disk.")
    size = size_text(int(answer["size"])) if int(answer["size"]) >= 1024**2 else f"{answer['size']} bytes"
    holds = answer["holds"] == "yes"
    seen = f"{path} has {size}; the text is {'in it' if holds else 'not in it'}."
    return Outcome(holds, seen, "Write the text into the file, exactly.", "Take the text out of the file.")


@judges("file-owner")
async def owner(scene: Scene, said: Assertion) -> Outcome:
    """Its owner."""
    answer, user, path = await _file(scene, said), said.values["user"], shown(said.values["path"], 120)
    if answer["kind"] in ("none", "dangling"):
        return Outcome(False, f"{path}: {_KINDS[answer['kind']]}.", f"Make it: {path}")
    if answer["owner"] == _NO_OWNER:
        return _not_told(path)
    return Outcome(
        answer["owner"] == user,
        f"{path} belongs to {answer['owner']}.",
        f"Give it to them: sudo chown {user} {path}",
        f"Give it to somebody else: sudo chown USER {path}",
    )


@judges("file-mode")
async def mode(scene: Scene, said: Assertion) -> Outcome:
    """Its permissions, exactly."""
    answer, path = await _file(scene, said), shown(said.values["path"], 120)
    if answer["kind"] in ("none", "dangling"):
        return Outcome(False, f"{path}: {_KINDS[answer['kind']]}.", f"Make it: {path}")
    if answer["owner"] == _NO_OWNER:
        return _not_told(path)
    wanted = said.values["mode"].lstrip("0") or "0"
    is_so = (answer["mode"].lstrip("0") or "0") == wanted
    return Outcome(
        is_so,
        f"{path} has mode {answer['mode']}.",
        f"Set it: chmod {said.values['mode']} {path}",
        f"Set another: chmod MODE {path}",
    )


def _not_told(path: str) -> Outcome:
    return Outcome(None, f"{path} is there; the machine does not tell its owner and mode.", "Look at its disk.")


async def _run(scene: Scene, command: str) -> tuple[str, str]:
    """Return the exit status and the output of a command of the login user; the status is '' when it did not end."""
    answer = await scene.ask(
        "check-command",
        checking.COMMAND,
        checking.COMMAND_FORMS,
        scene.lease.profile.login_user,
        command,
        str(_COMMAND_S),
        timeout_s=_COMMAND_S + 4.0,
    )
    output, _, status = decoded(answer["text"]).rpartition("\n")
    return "" if status in _KILLED else status, output


def _said(output: str) -> str:
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
    return f"; the last line is: {shown(last, 120)}" if last else "; it printed nothing"


_NOT_ENDED = Outcome(None, f"It did not end within {_COMMAND_S} s and was ended.", "Check with a quicker command.")


@judges("command-succeeds")
async def command_succeeds(scene: Scene, said: Assertion) -> Outcome:
    """Its exit status is 0."""
    status, output = await _run(scene, said.values["text"])
    if not status:
        return _NOT_ENDED
    why = " (there is no such command)" if status == _NO_SUCH_COMMAND else ""
    return Outcome(
        status == "0",
        f"It ended with status {shown(status, 8)}{why}{_said(output)}",
        "Run it in the machine's terminal, and mend what it complains about.",
        "Undo what lets it succeed.",
    )


@judges("command-prints")
async def command_prints(scene: Scene, said: Assertion) -> Outcome:
    """The text is in its output."""
    status, output = await _run(scene, said.values["text"])
    if not status:
        return _NOT_ENDED
    # What a shell says of a command that it cannot begin names the command, and was not printed by it.
    holds = said.values["wanted"] in output and status not in _NOT_BEGUN
    found = "The text is in what it printed" if holds else "The text is not in what it printed"
    return Outcome(holds, f"{found} (status {shown(status, 8)}){_said(output)}", "Run it in the machine's terminal.")


async def _processes(scene: Scene, name: str) -> int:
    return int((await scene.ask("check-process", checking.PROCESS, checking.PROCESS_FORMS, name))["count"])


@judges("process-runs")
async def process_runs(scene: Scene, said: Assertion) -> Outcome:
    """A process has this name."""
    name = said.values["word"]
    count = await _processes(scene, name)
    number = "one process" if count == 1 else f"{count} processes" if count else "no process"
    return Outcome(count > 0, f"There is {number} named {name}.", f"Start {name}.", f"End {name}.")


@judges("service-active")
async def service_active(scene: Scene, said: Assertion) -> Outcome:
    """Asked of the machine's own service manager; a process of that name where there is none."""
    name = said.values["word"]
    answer = await scene.ask("check-service", checking.SERVICE, checking.SERVICE_FORMS, name)
    if answer["by"] == "none":
        count = await _processes(scene, name)
        seen = "a process of that name runs" if count else "no process of that name runs"
        return Outcome(
            count > 0, f"This machine has no service manager; {seen}.", f"Start {name}.", f"End the process {name}."
        )
    if answer["state"] == "unknown":
        return Outcome(None, f"{answer['by']} does not tell how {name} is.", "Look at it in the machine's terminal.")
    return Outcome(
        answer["state"] == "active",
        f"{answer['by']} says: {answer['state']}.",
        f"Start it: sudo systemctl start {name}"
        if answer["by"] == "systemd"
        else f"Start it: sudo service {name} start",
        f"Stop the service {name}.",
    )


@judges("package-installed")
async def package_installed(scene: Scene, said: Assertion) -> Outcome:
    """Asked of the machine's own record of packages."""
    name = said.values["word"]
    answer = await scene.ask("check-package", checking.PACKAGE, checking.PACKAGE_FORMS, name)
    if answer["by"] == "none":
        return Outcome(None, "This machine keeps no record of packages that we know.", "Check a command instead.")
    state = "installed" if answer["state"] == "installed" else "not installed"
    by = "dpkg's record" if answer["by"] == "record" else answer["by"]
    return Outcome(state == "installed", f"{by} says: {state}.", f"Install {name}.", f"Remove {name}.")


@judges("user-exists")
async def user_exists(scene: Scene, said: Assertion) -> Outcome:
    """The machine knows the user."""
    name = said.values["user"]
    answer = await scene.ask("check-user", checking.USER, checking.USER_FORMS, name, "")
    known = answer["exists"] == "yes"
    seen = f"The machine knows {'the' if known else 'no'} user {name}."
    return Outcome(known, seen, f"Make the user: sudo useradd -m {name}", f"Remove the user {name}.")


@judges("user-in-group")
async def user_in_group(scene: Scene, said: Assertion) -> Outcome:
    """One of the user's groups."""
    user, group = said.values["user"], said.values["group"]
    answer = await scene.ask("check-user", checking.USER, checking.USER_FORMS, user, group)
    if answer["exists"] == "no":
        return Outcome(False, f"The machine knows no user {user}.", f"Make the user: sudo useradd -m {user}")
    holds = answer["member"] == "yes"
    seen = f"{user} is {'' if holds else 'not '}in {group}."
    return Outcome(holds, seen, f"Add them: sudo usermod -aG {group} {user}", f"Take {user} out of {group}.")
