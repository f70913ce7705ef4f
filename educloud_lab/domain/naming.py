"""Names that tie what is in the cloud and on the machine to our records: tokens, tags, principals, serials."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Final

from educloud_lab.domain.lease import LeaseKey

TOKEN_PREFIX: Final = "educloud-"  # noqa: S105 - a ClientToken is no secret
"""Marks our ClientTokens, so that an instance without tags is still known as ours (I2)."""
TOKEN_LENGTH: Final = 64  # EC2's limit
SERIAL_LENGTH: Final = 20  # virtio cuts the serial (SAFETY.md, E7)

TAG_DEPLOYMENT: Final = "educloud-deployment"
TAG_COURSE: Final = "educloud-course"
TAG_OWNER: Final = "educloud-owner"
TAG_LEASE: Final = "educloud-lease"
TAG_GENERATION: Final = "educloud-generation"
TAG_VOLUME: Final = "educloud-volume"
TAG_NONCE: Final = "educloud-nonce"

_MOUNT_POINT = re.compile(r"/[A-Za-z0-9][A-Za-z0-9_./-]{0,200}")
_TAG_LENGTH = 255
_NOT_XML = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def client_token(deployment: str, key: LeaseKey, generation: int) -> str:
    """Return the ClientToken of one generation: the same words always give the same 64 characters."""
    words = json.dumps([deployment, key.course, key.person, key.lab, key.slot, generation], ensure_ascii=True)
    digest = hashlib.sha256(words.encode()).hexdigest()
    return (TOKEN_PREFIX + digest)[:TOKEN_LENGTH]


def group_name(deployment: str, profile: str = "") -> str:
    """Return the name of the security group that a deployment's machines of one machine profile are in.

    Without a profile: the group of machines made before each profile had its own.
    """
    return f"educloud-{deployment}" + (f"-{profile}" if profile else "")


def is_group_of(deployment: str, group: str) -> bool:
    """Say whether a security group is one of :func:`group_name`."""
    own = group_name(deployment)
    return group == own or group.startswith(own + "-")


def lease_principal(lease_id: str, generation: int) -> str:
    """Return the only principal of a person's certificate (I6)."""
    return f"lease-{lease_id}-g{generation}"


def broker_principal(lease_id: str, generation: int) -> str:
    """Return the broker's own principal for one lease (I6)."""
    return f"broker-{lease_id}-g{generation}"


def disk_serial(volume_id: str, device: str) -> str:
    """Return the serial that the guest sees for an attached volume (EUCALYPTUS.md section 2)."""
    return f"euca-{volume_id}-dev-{device}"[:SERIAL_LENGTH]


def tag_value(text: str) -> str:
    """Return a text cut to what a tag may hold; people's names may be long and in any script.

    What XML cannot carry becomes a question mark: an answer that holds it could not be read, for anybody.
    """
    return _NOT_XML.sub("?", text)[:_TAG_LENGTH]


def is_mount_point(path: str) -> bool:
    """Say whether a path is one that our guest scripts may be given (absolute, plain characters, no dots-dots)."""
    return bool(_MOUNT_POINT.fullmatch(path)) and ".." not in path.split("/") and not path.endswith("/")
