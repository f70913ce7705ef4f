"""RunInstances: every check first, then rows; the supervisor does the rest."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from educloud_lab.localcloud import expiry
from educloud_lab.localcloud.capacity import capacity, not_enough
from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.errors import ApiError, invalid
from educloud_lab.localcloud.faults.refusals import over_quota
from educloud_lab.localcloud.ids import mac_address
from educloud_lab.localcloud.operations.common import put_tags, require, specified_tags
from educloud_lab.localcloud.operations.images import find_image
from educloud_lab.localcloud.operations.instance_views import views_of
from educloud_lab.localcloud.operations.machine_disks import add_disks, disks_of
from educloud_lab.localcloud.operations.security_groups import ensure_default_group
from educloud_lab.localcloud.operations.space import machines_that_fit
from educloud_lab.localcloud.state.tables import (
    Image,
    Instance,
    KeyPair,
    Meta,
    Node,
    SecurityGroup,
)

MAX_COUNT = 50
MAX_USER_DATA_BYTES = 16384
_NEXT_ADDRESS = "next_address"
_RESERVED_ADDRESSES = 16  # the first ones are the network's own


async def run_instances(cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Start machines, or return those that the same ClientToken started before."""
    reservation = await cloud.database.run(lambda session: _run(session, cloud, caller, params))
    cloud.wake()
    return reservation


def _run(session: Session, cloud: Cloud, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    owner = caller.account.account_id
    token = params.get("ClientToken", "")
    if len(token) > 64:
        raise invalid("Value for parameter clientToken is invalid. Up to 64 characters.")
    if token:
        query = select(Instance).where(Instance.owner == owner, Instance.client_token == token)
        if rows := list(session.scalars(query.order_by(Instance.launch_index))):
            if cloud.model.behaviour.checks_tokens:
                _same(rows[0], cloud, params)
            return views_of(session, owner, rows).reservations(rows)[0]
    least, most = _counts(cloud, params)
    at_power_off = "stop"
    if cloud.model.behaviour.shutdown_behaviour:
        at_power_off = check_shutdown_behaviour(params.get("InstanceInitiatedShutdownBehavior") or "stop")
    kind = _type(cloud, params)
    zone, node = _place(session, params)
    image = _image(session, cloud, caller, params, kind.memory_bytes)
    key_name, key_material = _key(session, owner, params)
    group_list = _groups(session, cloud, owner, params)
    _network(params)
    disks = disks_of(session, caller, image, params)
    user_data = check_user_data(params.get("UserData", ""))
    tags = specified_tags(params, ("instance", "volume"))
    cloud.faults.refuse(session, owner, "RunInstances", zone, least=least, tags=tags.get("instance", {}).items())
    count = min(most, capacity(session, cloud, kind.memory_bytes, most))
    count = machines_that_fit(session, cloud, sum(disk.size_gib for disk in disks), count)
    if count < least:
        raise not_enough(count, zone, least)
    now = cloud.now()
    reservation_id = cloud.new_id("r")
    rows = []
    addresses = free_addresses(session, cloud, count)
    for index in range(count):
        instance_id = cloud.new_id("i")
        row = Instance(
            id=instance_id, reservation_id=reservation_id, launch_index=index, owner=owner, node=node, zone=zone,
            image_id=image.id, kernel_id=image.kernel_id, ramdisk_id=image.ramdisk_id, instance_type=kind.name,
            root_device_type=image.root_device_type, key_name=key_name, key_material=key_material,
            groups=group_list, user_data=user_data, state="pending", reason="NORMAL:  -- []",
            address=addresses[index],
            mac=mac_address(instance_id), client_token=token, launched_at=now,
            disable_termination=bool(params.get("DisableApiTermination", False)), shutdown_behavior=at_power_off,
        )  # fmt: skip
        session.add(row)
        expiry.fix(session, instance_id, now, cloud.settings.keep_alive_min)
        rows.append(row)
        add_disks(session, cloud, row, disks, tags.get("volume", {}))
        put_tags(session, owner, "instance", instance_id, tags.get("instance", {}))
    session.flush()
    return views_of(session, owner, rows).reservations(rows)[0]


def free_address(session: Session, cloud: Cloud) -> str:
    """Return a private address that was not in use for as long as possible, so that stale rules do not match it."""
    return free_addresses(session, cloud, 1)[0]


def free_addresses(session: Session, cloud: Cloud, count: int) -> list[str]:
    """Return so many private addresses, each unused for as long as possible.

    Raises
    ------
    ApiError
        There are not so many.
    """
    network = ipaddress.IPv4Network(cloud.settings.network)
    first = int(network.network_address) + _RESERVED_ADDRESSES
    size = network.num_addresses - _RESERVED_ADDRESSES - 1
    pointer = session.get(Meta, _NEXT_ADDRESS) or Meta(key=_NEXT_ADDRESS, value="0")
    start, step = int(pointer.value), 0
    found: list[str] = []
    while len(found) < count:
        # A look at an index for each handful: what was started last is seldom in the way of what is started next.
        handful = range(step, min(size, step + max(8, count - len(found))))
        if not handful:
            raise ApiError("ServiceUnavailable", "Insufficient addresses", 503)
        several = {n: str(ipaddress.IPv4Address(first + (start + n) % size)) for n in handful}
        used = set(session.scalars(select(Instance.address).where(Instance.address.in_(several.values()))))
        for number, address in several.items():
            if len(found) < count and address not in used:
                found.append(address)
                step = number + 1
        step = step if len(found) == count else handful.stop
    pointer.value = str((start + step) % size)
    session.add(pointer)
    return found


def check_shutdown_behaviour(text: str) -> str:
    """Return what a machine that powers itself off becomes: ``stop`` or ``terminate``."""
    if text not in ("stop", "terminate"):
        raise invalid(f"Value ({text[:60]}) for parameter instanceInitiatedShutdownBehavior is invalid.")
    return text


def _same(row: Instance, cloud: Cloud, params: dict[str, Any]) -> None:
    """Refuse a ClientToken that comes again with other words (AWS; Eucalyptus does not look)."""
    asked = {
        "ImageId": row.image_id,
        "InstanceType": row.instance_type,
        "KeyName": row.key_name,
        "UserData": row.user_data,
    }
    usual = {"InstanceType": cloud.default_type}
    if any(params.get(name, usual.get(name, "")) != value for name, value in asked.items()):
        message = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
        raise ApiError("IdempotentParameterMismatch", message)


def check_user_data(text: str) -> str:
    """Return user data as it came (base64) after checking that it is readable and not too long."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("User data decoding error.") from error
    if len(decoded) > MAX_USER_DATA_BYTES:
        raise invalid(f"User data may not exceed {MAX_USER_DATA_BYTES // 1024} KB")
    return text


def _counts(cloud: Cloud, params: dict[str, Any]) -> tuple[int, int]:
    least = params.get("MinCount", 1)
    most = params.get("MaxCount", least)
    if least < 1 or most < least:
        raise invalid(f"Invalid value for minCount, maxCount: {least}, {most}")
    if most > MAX_COUNT:
        raise over_quota(aws=cloud.model.profile == "aws")
    return least, most


def _type(cloud: Cloud, params: dict[str, Any]) -> Any:
    name = params.get("InstanceType") or cloud.default_type
    kind = cloud.types.get(name)
    if kind is None or name not in cloud.model.behaviour.types:
        raise ApiError("UnauthorizedOperation", f"Not authorized to allocate vm type {name[:60]}", 403)
    return kind


def _place(session: Session, params: dict[str, Any]) -> tuple[str, str]:
    wanted = params.get("Placement", {}).get("AvailabilityZone", "")
    query = select(Node).where(Node.enabled).order_by(Node.name)
    node = session.scalar(query.where(Node.zone == wanted) if wanted else query)
    if node is None:
        message = "Not enough resources: no cluster controller is currently available to run instances."
        raise ApiError("ServiceUnavailable", message, 503)
    return node.zone, node.name


def _image(session: Session, cloud: Cloud, caller: Caller, params: dict[str, Any], memory_bytes: int) -> Image:
    image = find_image(session, cloud, caller, require(params, "ImageId"), launch=True)
    image_id = image.id
    if image.state != "available":
        raise ApiError("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available: {image.message}")
    if image.kind != "machine":
        raise invalid(f"Image {image_id} is a {image.kind}, not a machine image")
    for name, own in (("KernelId", image.kernel_id), ("RamdiskId", image.ramdisk_id)):
        if params.get(name) and params[name].lower() != own:
            raise invalid(f"Value ({params[name][:40]}) for parameter {name} does not belong to image {image_id}")
    if memory_bytes < image.min_memory_bytes:
        raise invalid(f"Image {image_id} needs at least {math.ceil(image.min_memory_bytes / 2**20)} MB of memory")
    return image


def _key(session: Session, owner: str, params: dict[str, Any]) -> tuple[str, str]:
    name = params.get("KeyName", "")
    if not name:
        return "", ""
    pair = session.get(KeyPair, (owner, name))
    if pair is None:
        raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{name[:255]}' does not exist")
    return name, pair.public_key


def _groups(session: Session, cloud: Cloud, owner: str, params: dict[str, Any]) -> list[list[str]]:
    default = ensure_default_group(session, cloud, owner)
    wanted = [*params.get("SecurityGroups", []), *params.get("SecurityGroupIds", [])]
    return find_groups(session, owner, wanted) if wanted else [[default.id, default.name]]


def find_groups(session: Session, owner: str, wanted: list[str]) -> list[list[str]]:
    """Return ids and names of the account's groups, named by either, each once."""
    rows = list(session.scalars(select(SecurityGroup).where(SecurityGroup.owner == owner)))
    found: dict[str, list[str]] = {}
    for text in wanted:
        match = next((row for row in rows if text in (row.name, row.id)), None)
        if match is None:
            raise ApiError("InvalidGroup.NotFound", f"The security group '{text[:255]}' does not exist")
        found[match.id] = [match.id, match.name]
    return list(found.values())


def _network(params: dict[str, Any]) -> None:
    if subnet := params.get("SubnetId"):
        raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{subnet[:60]}' does not exist")
    if params.get("PrivateIpAddress"):
        raise ApiError("InvalidParameterCombination", "Private address only valid for VPC instances")
    if params.get("IamInstanceProfile"):
        raise invalid("Instance profiles are not available")
