"""The way that a request takes through a cloud of Eucalyptus's kind: which parts it passes, and what each one does.

Sources: Eucalyptus's own overview of its components (docs.eucalyptus.cloud, admin guide, "System concepts"): the CLC is
where requests enter, a CC chooses a node in its zone, an NC runs machines on a host, an SC keeps volumes and snapshots,
Walrus keeps images. And its sources 6.0.0: ``VmControl.runInstances`` (what a request is checked for before the zone's
CC gets it), ``node/handlers.c`` (a node stages an image, or connects the volume that a machine boots from). Which parts
a request passes was inferred from these, not seen on a live cloud.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from educloud_lab.domain.finding import Component

CLC, CC, NC, SC, WALRUS = Component.CLC, Component.CC, Component.NC, Component.SC, Component.WALRUS


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the cloud."""

    code: Component
    name: str
    does: str
    here: str  # which part of the bundled cloud plays it


PARTS: Final[tuple[Part, ...]] = (
    Part(
        CLC,
        "cloud controller",
        "takes requests, checks who asks, knows what there is",
        "the API process, with its records in cloud.sqlite",
    ),
    Part(
        CC,
        "cluster controller",
        "one for each zone: chooses a node, looks after its network",
        "the same process: it counts what fits, and tends the network and the gateway's lines",
    ),
    Part(NC, "node controller", "one on each host: runs the machines", "one QEMU process for each machine"),
    Part(SC, "storage controller", "one for each zone: keeps volumes and snapshots", "qcow2 files and their chains"),
    Part(WALRUS, "Walrus, the object store", "keeps images and copies of snapshots", "the folder of images"),
)


@dataclass(frozen=True, slots=True)
class Way:
    """Parts in their order, and what happens on the way in one sentence."""

    parts: tuple[Component, ...]
    said: str


_LOOK: Final = Way((CLC,), "The CLC answers from its own records; no other part is asked.")
_GROUP: Final = Way(
    (CLC, CC, NC), "The CLC records the rule; the zone's CC and the nodes enforce it for the machines of the group."
)
_RUN: Final = Way(
    (CLC, CC, NC, SC),
    "The CLC checks the request and that there is room, the zone's CC chooses a node, and its NC boots the machine from"
    " a volume that the SC has copied from the image's snapshot.",
)
_RUN_STORE: Final = Way(
    (CLC, CC, NC, WALRUS),
    "The CLC checks the request and that there is room, the zone's CC chooses a node, and its NC fetches kernel,"
    " ramdisk and root file system from Walrus and boots the machine.",
)
_POWER: Final = Way(
    (CLC, CC, NC), "The CLC passes it to the zone's CC, which passes it to the NC where the machine is."
)
_ATTACH: Final = Way(
    (CLC, CC, NC, SC),
    "The CLC passes it through the zone's CC to the machine's NC, which connects the volume at the SC and gives it to"
    " the machine as a disk.",
)

WAYS: Final[Mapping[str, Way]] = {
    "RunInstances": _RUN,
    "StartInstances": Way(
        (CLC, CC, NC, SC),
        "The CLC has the zone's CC choose a node, whose NC connects the machine's system disk at the SC and boots it.",
    ),
    "StopInstances": _POWER,
    "TerminateInstances": _POWER,
    "GetConsoleOutput": Way((CLC, CC, NC), "The CLC asks through the zone's CC the NC that keeps the console's log."),
    "CreateVolume": Way((CLC, SC), "The CLC records the volume, and the zone's SC makes it."),
    "DeleteVolume": Way((CLC, SC), "The CLC marks the volume, and the zone's SC deletes it."),
    "ModifyVolume": Way((CLC, SC), "The CLC checks the size, and the zone's SC enlarges the volume."),
    "AttachVolume": _ATTACH,
    "DetachVolume": Way(
        (CLC, CC, NC, SC),
        "The CLC passes it through the zone's CC to the machine's NC, which takes the disk from the machine and"
        " disconnects the volume at the SC.",
    ),
    "CreateSnapshot": Way(
        (CLC, SC, WALRUS), "The CLC records the snapshot, the zone's SC takes it and keeps a copy in Walrus."
    ),
    "DeleteSnapshot": Way((CLC, SC, WALRUS), "The CLC marks the snapshot; the SC deletes it and its copy in Walrus."),
    "RegisterImage": Way((CLC, WALRUS), "The CLC records the image and reads its manifest from Walrus."),
    "CreateTags": Way((CLC,), "The CLC records the tags; no other part knows of them."),
    "CreateSecurityGroup": Way((CLC,), "The CLC records the group; it has no rules yet."),
    "AuthorizeSecurityGroupIngress": _GROUP,
    "RevokeSecurityGroupIngress": _GROUP,
}
"""By operation, but for those that only look (:data:`_LOOK`)."""


def way_of(operation: str, parameters: Mapping[str, str], *, root_device_type: str = "") -> Way | None:
    """Return the way of a request; None for an operation of which nothing is known.

    Parameters
    ----------
    operation, parameters : the request.
    root_device_type : of the lease's machine: where its system disk comes from.
    """
    if operation == "RunInstances" and root_device_type == "instance-store":
        return _RUN_STORE
    if operation == "CreateVolume" and "SnapshotId" in parameters:
        return Way((CLC, SC), "The CLC records the volume, and the zone's SC makes it from the snapshot.")
    if operation in WAYS:
        return WAYS[operation]
    return _LOOK if operation.startswith("Describe") else None
