"""The metadata tree as EC2 shows it: folders list their members, sub-folders with a slash, no final line break.

Source: "Instance metadata categories" of the EC2 user guide. Eucalyptus serves the same names (version 1 only: no
session token), and so does this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, Union

from educloud_lab.localcloud.metadata.view import MetadataView

VERSIONS = ("1.0", "2007-01-19", "2008-09-01", "2009-04-04", "2011-01-01", "2014-11-05", "2016-09-02", "latest")
"""API versions that are listed; all of them show the same tree."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A folder that its parent lists as ``number=name`` (only ``public-keys`` does so)."""

    label: str
    members: Mapping[str, Node]


Node: TypeAlias = Union[str, bytes, Mapping[str, "Node"], Labelled]  # noqa: UP007 - a forward reference cannot use |


def metadata_tree(view: MetadataView) -> Node:
    """Give everything under ``meta-data/``."""
    tree: dict[str, Node] = {
        "ami-id": view.image_id,
        "ami-launch-index": str(view.launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": dict(view.block_devices),
        "hostname": view.hostname,
        "instance-action": "none",
        "instance-id": view.instance_id,
        "instance-type": view.instance_type,
        "local-hostname": view.hostname,
        "local-ipv4": view.address,
        "mac": view.mac,
        "network": {"interfaces": {"macs": {view.mac: _card(view)}}},
        "placement": {"availability-zone": view.availability_zone},
        "reservation-id": view.reservation_id,
        "security-groups": "\n".join(view.security_groups),
    }
    optional: dict[str, Node] = {
        "kernel-id": view.kernel_id,
        "ramdisk-id": view.ramdisk_id,
        "public-ipv4": view.public_address,
    }
    tree.update({name: value for name, value in optional.items() if value})
    if view.public_keys:
        tree["public-keys"] = {
            str(index): Labelled(name, {"openssh-key": line.rstrip("\n") + "\n"})
            for index, (name, line) in enumerate(view.public_keys)
        }
    return tree


def _card(view: MetadataView) -> Node:
    return {
        "device-number": "0",
        "local-hostname": view.hostname,
        "local-ipv4s": view.address,
        "mac": view.mac,
        "security-groups": "\n".join(view.security_groups),
    }


def lookup(view: MetadataView, path: str) -> bytes | None:
    """Answer a GET for ``path`` (with or without slashes at its ends); None for what is not there."""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return "\n".join(VERSIONS).encode("ascii")
    if parts[0] not in VERSIONS:
        return None
    version: dict[str, Node] = {"meta-data": metadata_tree(view)}
    if view.user_data is not None:
        version["user-data"] = view.user_data
    node: Node = version
    for part in parts[1:]:
        members = node.members if isinstance(node, Labelled) else node
        if not isinstance(members, Mapping) or part not in members:
            return None
        node = members[part]
    if isinstance(node, bytes):
        return node
    if isinstance(node, str):
        return node.encode("utf-8")
    return _listing(node.members if isinstance(node, Labelled) else node).encode("utf-8")


def _listing(members: Mapping[str, Node]) -> str:
    lines = []
    for name, node in members.items():
        if isinstance(node, Labelled):
            lines.append(f"{name}={node.label}")
        else:
            lines.append(f"{name}/" if isinstance(node, Mapping) else name)
    return "\n".join(lines)
