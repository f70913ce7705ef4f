"""Every form of check, one entry each: what can be written, where it is judged, and an example.

To add one: an entry here, an evaluator of the same name in ``broker.checks`` (decorated with its name), and
``scripts/generate_checks.py`` for the reference. A test fails for an entry without evaluator, for an example that is
not understood as its own form, and for one that another form takes away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Place(StrEnum):
    """Where a form is judged. What only the machine tells can be faked by whoever is root there."""

    CLOUD = "the cloud"
    GATEWAY = "the gateway"  # else the machine itself, where the gateway has no way to that port
    MACHINE = "the machine"


@dataclass(frozen=True, slots=True)
class Kind:
    """What may stand at a slot.

    Parameters
    ----------
    pattern : regular expression without groups; quotation marks belong to it.
    about : for people.
    lowest, highest : bounds of a number, None where it is none.
    longest : most characters.
    """

    pattern: str
    about: str
    lowest: int | None = None
    highest: int | None = None
    longest: int = 255

    def refuse(self, value: str) -> str:
        """Return why a value that has the form cannot be meant; '' when it can."""
        if len(value) > self.longest:
            return f"'{value[:20]}...' is too long: at most {self.longest} characters."
        if self.lowest is None or self.highest is None:
            return ""
        for number in re.findall(r"\d+", value):
            if not self.lowest <= int(number) <= self.highest:
                return f"{number} is not possible here: {self.about}."
        return ""


_TEXT = r"\"[^\"]+\"|'[^']+'"
KINDS: Final = {
    "port": Kind(r"\d{1,9}", "a port from 1 to 65535", 1, 65535),
    "ports": Kind(
        r"\d{1,9}(?:\s*(?:,\s*and|,|and|&)\s*\d{1,9}){0,30}", "ports from 1 to 65535, as `22, 80 and 443`", 1, 65535
    ),
    "text": Kind(_TEXT, "anything in quotation marks"),
    "path": Kind(
        r"\"(?:/|~/)[^\"]*\"|'(?:/|~/)[^']*'|(?:/|~/)[^\s\"']*",
        "an absolute path, or one that begins with `~/` (the login user's folder); quoted when it has spaces",
    ),
    "mount": Kind(r"/[A-Za-z0-9_./-]*", "an absolute path without spaces"),
    "mode": Kind(r"[0-7]{3,4}", "permissions as `chmod` takes them, `600`"),
    "name": Kind(rf"{_TEXT}|[^\s\"'=]+", "a name, quoted when it has spaces"),
    "word": Kind(r"[A-Za-z0-9_][A-Za-z0-9_.+@:-]*", "a name without spaces", longest=64),
    "user": Kind(r"[A-Za-z_][A-Za-z0-9_.-]*", "a name of a user or group on the machine", longest=32),
    "host": Kind(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?", "a host's name or its IPv4 address"),
    "size": Kind(r"\d{1,6}\s*(?:MiB|GiB|TiB)", "a size in `MiB`, `GiB` or `TiB`", 1, 999999),
    "tag": Kind(rf"[A-Za-z0-9_.:-]+=(?:{_TEXT}|[^\s\"']+)", 'a tag, as `Name=web` or `Name="my web"`'),
}
"""By name: what may stand at ``{name}``, or at ``{slot:name}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One kind of assertion.

    Parameters
    ----------
    name : its evaluator's name.
    says, denies : templates: words, ``[that may be left out]``, ``one|other``, ``(one of|or other)``, ``{slots}``.
    place : where it is judged.
    example : what is shown and suggested; it must be one of this form.
    more : further examples, of ``denies`` too.
    about : what exactly is looked at.
    """

    name: str
    says: tuple[str, ...]
    denies: tuple[str, ...] = ()
    place: Place
    example: str
    more: tuple[str, ...] = ()
    about: str


def slots_of(template: str) -> dict[str, str]:
    """Return the kind of each slot of a template, by the slot's name."""
    found = re.findall(r"\{(\w+)(?::(\w+))?\}", template)
    return {name: kind or name for name, kind in found}


_OWN_MACHINE = (
    Form(
        name="machine-ready",
        says=("[the|your|my] machine is ready|running",),
        denies=("[the|your|my] machine is not ready|running",),
        place=Place.CLOUD,
        example="the machine is ready",
        more=("the machine is not ready",),
        about="Our own record says so, and the cloud shows its instance running.",
    ),
    Form(
        name="machine-asleep",
        says=("[the|your|my] machine is asleep|stopped",),
        place=Place.CLOUD,
        example="the machine is asleep",
        about="It was stopped and can be started again; its volume is kept.",
    ),
    Form(
        name="other-machine-ready",
        says=("[the|your|my] machine in [the] slot {slot:word} is ready|running",),
        denies=("[the|your|my] machine in [the] slot {slot:word} is not ready|running",),
        place=Place.CLOUD,
        example="the machine in slot web is ready",
        about="The person's other machine of the same lab.",
    ),
    Form(
        name="volume-size",
        says=("[the|your|my] [data] volume is at least {size}",),
        denies=("[the|your|my] [data] volume is smaller|less than {size}",),
        place=Place.CLOUD,
        example="your volume is at least 2 GiB",
        about="The data volume's size as the cloud shows it.",
    ),
    Form(
        name="snapshot-exists",
        says=(
            "[a|the] snapshot {text} [of your volume|of the volume] exists",
            "there is a snapshot {text} [of your volume]",
        ),
        denies=(
            "[a|the] snapshot {text} [of your volume|of the volume] does not exist",
            "there is no snapshot {text} [of your volume]",
        ),
        place=Place.CLOUD,
        example='a snapshot "before lab 3" exists',
        more=('a snapshot "before lab 3" does not exist',),
        about="A snapshot of the data volume, by the name that was given to it; it counts when it is complete.",
    ),
)

_GROUPS = (
    Form(
        name="group-allows-only",
        says=("[the|your|my] [security] group (allows only|only allows) [port|ports] {ports}",),
        place=Place.CLOUD,
        example="the group allows only 22",
        more=("the group allows only 22 and 80",),
        about="The security groups of your machine let TCP and UDP in at exactly these ports; ping is let be.",
    ),
    Form(
        name="group-allows",
        says=("[the|your|my] [security] group allows [port|ports] {ports}",),
        denies=("[the|your|my] [security] group does not allow [port|ports] {ports}",),
        place=Place.CLOUD,
        example="the group allows 22 and 80",
        more=("the group does not allow 80",),
        about="Some rule of your machine's security groups lets TCP in at each of these ports (or at none of them).",
    ),
    Form(
        name="named-group-allows-only",
        says=("[the|a] [security] group {name} (allows only|only allows) [port|ports] {ports}",),
        place=Place.CLOUD,
        example='the group "web" allows only 80 and 443',
        about="The same for a security group of the account, by its name.",
    ),
    Form(
        name="named-group-allows",
        says=("[the|a] [security] group {name} allows [port|ports] {ports}",),
        denies=("[the|a] [security] group {name} does not allow [port|ports] {ports}",),
        place=Place.CLOUD,
        example='the group "web" allows 80',
        more=('the group "web" does not allow 22',),
        about="The same for a security group of the account, by its name.",
    ),
    Form(
        name="group-exists",
        says=("[the|a] [security] group {name} exists",),
        denies=("[the|a] [security] group {name} does not exist",),
        place=Place.CLOUD,
        example='the group "web" exists',
        about="A security group of the account has this name.",
    ),
    Form(
        name="machine-in-group",
        says=("[the|your|my] machine is in [the] [security] group {name}",),
        denies=("[the|your|my] machine is not in [the] [security] group {name}",),
        place=Place.CLOUD,
        example='your machine is in the group "web"',
        about="The cloud lists the group at your machine's instance.",
    ),
)

_INSTANCE = "[an|the] instance tagged {tag}"
_VOLUME = "[a|the] volume tagged {tag}"
_BY_HAND = (
    Form(
        name="instance-runs",
        says=(f"{_INSTANCE} runs", f"{_INSTANCE} is running"),
        denies=(f"{_INSTANCE} does not run", f"{_INSTANCE} is not running"),
        place=Place.CLOUD,
        example="an instance tagged Name=web runs",
        about="An instance of the account with this tag is running.",
    ),
    Form(
        name="instance-stopped",
        says=(f"{_INSTANCE} is stopped",),
        place=Place.CLOUD,
        example="the instance tagged Name=web is stopped",
        about="An instance of the account with this tag is stopped.",
    ),
    Form(
        name="instance-gone",
        says=(f"{_INSTANCE} is gone|terminated",),
        place=Place.CLOUD,
        example="the instance tagged Name=web is gone",
        about="No instance with this tag, or terminated ones only; two looks must agree.",
    ),
    Form(
        name="instance-type",
        says=(f"{_INSTANCE} has the type {{name}}",),
        place=Place.CLOUD,
        example="the instance tagged Name=web has the type t2.micro",
        about="The type of the instance that was not terminated.",
    ),
    Form(
        name="instance-in-group",
        says=(f"{_INSTANCE} is in [the] [security] group {{name}}",),
        denies=(f"{_INSTANCE} is not in [the] [security] group {{name}}",),
        place=Place.CLOUD,
        example='the instance tagged Name=web is in the group "web"',
        about="The cloud lists the group at that instance.",
    ),
    Form(
        name="volume-attached",
        says=(f"{_VOLUME} is attached to [the|your|my] machine",),
        denies=(f"{_VOLUME} is not attached to [the|your|my] machine",),
        place=Place.CLOUD,
        example="a volume tagged Name=extra is attached to your machine",
        about="The cloud shows the attachment to your machine's instance as attached.",
    ),
    Form(
        name="volume-attached-to",
        says=(f"{_VOLUME} is attached to [an|the] instance tagged {{other:tag}}",),
        denies=(f"{_VOLUME} is not attached to [an|the] instance tagged {{other:tag}}",),
        place=Place.CLOUD,
        example="the volume tagged Name=extra is attached to the instance tagged Name=web",
        about="The same for an instance of the account.",
    ),
    Form(
        name="volume-available",
        says=(f"{_VOLUME} is available",),
        place=Place.CLOUD,
        example="a volume tagged Name=extra is available",
        about="It exists and nothing has it.",
    ),
    Form(
        name="volume-gone",
        says=(f"{_VOLUME} is gone|deleted",),
        place=Place.CLOUD,
        example="a volume tagged Name=extra is gone",
        about="No volume with this tag, or deleted ones only; two looks must agree.",
    ),
    Form(
        name="tagged-volume-size",
        says=(f"{_VOLUME} is at least {{size}}",),
        place=Place.CLOUD,
        example="the volume tagged Name=extra is at least 2 GiB",
        about="Its size as the cloud shows it.",
    ),
    Form(
        name="volume-from-snapshot",
        says=(f"{_VOLUME} was made from a snapshot",),
        denies=(f"{_VOLUME} was not made from a snapshot",),
        place=Place.CLOUD,
        example="the volume tagged Name=copy was made from a snapshot",
        about="The cloud names the snapshot that the volume was made from.",
    ),
    Form(
        name="snapshot-of-tagged",
        says=("[a|the] snapshot of [the|a] volume tagged {tag} exists",),
        denies=("[a|the] snapshot of [the|a] volume tagged {tag} does not exist",),
        place=Place.CLOUD,
        example="a snapshot of the volume tagged Name=extra exists",
        about="A complete snapshot of a volume of the account with this tag, which must still be there.",
    ),
    Form(
        name="tagged-snapshot",
        says=("[a|the] snapshot tagged {tag} exists",),
        denies=("[a|the] snapshot tagged {tag} does not exist",),
        place=Place.CLOUD,
        example="a snapshot tagged Name=extra exists",
        about="A complete snapshot of the account with this tag.",
    ),
    Form(
        name="image-exists",
        says=("[the|an] image {name} exists",),
        denies=("[the|an] image {name} does not exist",),
        place=Place.CLOUD,
        example='the image "my-tiny" exists',
        about="An image with this name or id is available to the account.",
    ),
    Form(
        name="tagged-image",
        says=("[the|an] image tagged {tag} exists",),
        denies=("[the|an] image tagged {tag} does not exist",),
        place=Place.CLOUD,
        example="the image tagged Name=mine exists",
        about="An image with this tag is available to the account.",
    ),
    Form(
        name="key-pair-exists",
        says=("[the|a] key pair {name} exists",),
        denies=("[the|a] key pair {name} does not exist",),
        place=Place.CLOUD,
        example='the key pair "mine" exists',
        about="The account has a key pair of this name.",
    ),
)

_PORTS = (
    Form(
        name="port-answers",
        says=("[the] port {port} answers",),
        denies=("[the] port {port} does not answer",),
        place=Place.GATEWAY,
        example="port 80 answers",
        more=("port 80 does not answer",),
        about="Something accepts a TCP connection there, at the machine's address and not at 127.0.0.1 alone.",
    ),
    Form(
        name="port-answers-with",
        says=("[the] port {port} answers with {text}",),
        place=Place.GATEWAY,
        example='port 80 answers with "Hello"',
        about="What it says to `GET /` (or of itself) holds the text, within its first 32 KiB.",
    ),
)

_FILE = "file|folder {path}"
_ON_THE_MACHINE = (
    Form(
        name="mounted-from-own",
        says=("{path:mount} is mounted from [the|your|my] [data] volume",),
        denies=("{path:mount} is not mounted from [the|your|my] [data] volume",),
        place=Place.MACHINE,
        example="/data is mounted from your volume",
        about="The disk that is mounted there has the serial that the cloud gave your data volume.",
    ),
    Form(
        name="mounted-from-tagged",
        says=("{path:mount} is mounted from [the|a] volume tagged {tag}",),
        denies=("{path:mount} is not mounted from [the|a] volume tagged {tag}",),
        place=Place.MACHINE,
        example="/mnt/extra is mounted from the volume tagged Name=extra",
        about="The same for a volume of the account that is attached to your machine.",
    ),
    Form(
        name="mounted",
        says=("{path:mount} is mounted",),
        denies=("{path:mount} is not mounted",),
        place=Place.MACHINE,
        example="/mnt/extra is mounted",
        about="Something is mounted at this place.",
    ),
    Form(
        name="file-exists",
        says=("[the|a] file {path} exists",),
        denies=("[the|a] file {path} does not exist",),
        place=Place.MACHINE,
        example="file /data/hello.txt exists",
        more=("file /data/hello.txt does not exist",),
        about="A file that is not a folder, links followed.",
    ),
    Form(
        name="file-contains",
        says=("[the|a] file {path} contains {text}",),
        denies=("[the|a] file {path} does not contain {text}",),
        place=Place.MACHINE,
        example='file /data/hello.txt contains "hello"',
        about="The text stands on one of its lines, within its first MiB. Capital letters matter.",
    ),
    Form(
        name="file-owner",
        says=(f"[the|a] {_FILE} belongs to {{user}}",),
        denies=(f"[the|a] {_FILE} does not belong to {{user}}",),
        place=Place.MACHINE,
        example="file /data/hello.txt belongs to student",
        more=("folder /data belongs to student",),
        about="Its owner.",
    ),
    Form(
        name="file-mode",
        says=(f"[the|a] {_FILE} has [the] mode {{mode}}",),
        denies=(f"[the|a] {_FILE} does not have [the] mode {{mode}}",),
        place=Place.MACHINE,
        example="file /data/secret has mode 600",
        about="Its permissions, exactly.",
    ),
    Form(
        name="folder-exists",
        says=("[the|a] folder {path} exists",),
        denies=("[the|a] folder {path} does not exist",),
        place=Place.MACHINE,
        example="folder /data/site exists",
        about="A folder, links followed.",
    ),
    Form(
        name="command-succeeds",
        says=("[the] command {text} succeeds",),
        denies=("[the] command {text} fails",),
        place=Place.MACHINE,
        example='command "nginx -v" succeeds',
        more=('command "nginx -v" fails',),
        about="Run as the login user in a login shell, without input, for at most 8 seconds; its exit status is 0.",
    ),
    Form(
        name="command-prints",
        says=("[the] command {text} prints {wanted:text}",),
        denies=("[the] command {text} does not print {wanted:text}",),
        place=Place.MACHINE,
        example='command "hostname" prints "web"',
        about="The same; what it printed (at most the last 32 KiB) holds the text.",
    ),
    Form(
        name="process-runs",
        says=("[a|the] process {word} runs", "[a|the] process {word} is running"),
        denies=("[a|the] process {word} does not run", "[a|the] process {word} is not running"),
        place=Place.MACHINE,
        example="process nginx runs",
        about="A process has this name (as `ps -e` shows it).",
    ),
    Form(
        name="service-active",
        says=("[the|a] service {word} is active|running", "[the|a] service {word} runs"),
        denies=("[the|a] service {word} is not active|running", "[the|a] service {word} does not run"),
        place=Place.MACHINE,
        example="service nginx is active",
        about="Asked of systemd or OpenRC; where there is neither (as in `tiny`), a process of that name counts.",
    ),
    Form(
        name="package-installed",
        says=("[the|a] package {word} is installed",),
        denies=("[the|a] package {word} is not installed",),
        place=Place.MACHINE,
        example="package curl is installed",
        about="Asked of dpkg, rpm or apk, or read from dpkg's own record.",
    ),
    Form(
        name="user-exists",
        says=("[a|the] user {user} exists",),
        denies=("[a|the] user {user} does not exist",),
        place=Place.MACHINE,
        example="user alice exists",
        about="The machine knows a user of this name.",
    ),
    Form(
        name="user-in-group",
        says=("[a|the] user {user} is in [the] group {group:user}",),
        denies=("[a|the] user {user} is not in [the] group {group:user}",),
        place=Place.MACHINE,
        example="user alice is in group sudo",
        about="One of the user's groups on the machine.",
    ),
    Form(
        name="host-answers",
        says=("[the] host {host} answers from [the|your|my] machine",),
        denies=("[the] host {host} does not answer from [the|your|my] machine",),
        place=Place.MACHINE,
        example="host web answers from your machine",
        about="It answers one of two pings that your machine sends.",
    ),
    Form(
        name="port-of-host-answers",
        says=("[the] port {port} of {host} answers from [the|your|my] machine",),
        denies=("[the] port {port} of {host} does not answer from [the|your|my] machine",),
        place=Place.MACHINE,
        example="port 80 of web answers from your machine",
        about="It accepts a TCP connection that your machine makes.",
    ),
    Form(
        name="port-of-host-answers-with",
        says=("[the] port {port} of {host} answers with {text} from [the|your|my] machine",),
        place=Place.MACHINE,
        example='port 80 of web answers with "Hello" from your machine',
        about="What it says to `GET /` (or of itself) holds the text, within its first 32 KiB.",
    ),
)

GROUPS: Final = {
    "Your machine and its volume": _OWN_MACHINE,
    "Security groups": _GROUPS,
    "Things of the account, made by hand": _BY_HAND,
    "Ports": _PORTS,
    "On the machine": _ON_THE_MACHINE,
}
"""The forms by what they are about, for the reference."""

FORMS: Final = tuple(form for forms in GROUPS.values() for form in forms)
