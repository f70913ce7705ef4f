"""The security groups of a deployment's machines, one for each machine profile: found or made, in races as well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from educloud_lab.adapters.ec2.errors import code_of
from educloud_lab.domain.errors import CloudError

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client
    from mypy_boto3_ec2.type_defs import IpPermissionTypeDef

T = TypeVar("T")
DESCRIPTION = "Machines of educloud-lab: SSH and ping"
ANYWHERE = "0.0.0.0/0"  # where it is not known whence the front end comes
RULES = (("tcp", 22, 22), ("icmp", -1, -1))


class Call(Protocol):
    """Makes one call in a worker thread, with its errors translated."""

    def __call__(self, function: Callable[[EC2Client], T]) -> Awaitable[T]:
        """Return what the function returned."""


async def ensure_group(call: Call, name: str, front_end: str = "", ports: Collection[int] = ()) -> None:
    """Make the group and its rules where they are missing; close ports of the profile's that are its no more.

    Parameters
    ----------
    front_end : network that is let in; '' for any. Other people's machines are in the same group: where the
        front end's network is known, they are kept out.
    ports : TCP ports that are let in besides SSH.

    Raises
    ------
    CloudError
        Whatever happened, asking again is right.
    """
    found = await call(lambda ec2: ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}]))
    groups = found.get("SecurityGroups", [])
    if not groups:
        await _unless(
            "InvalidGroup.Duplicate",
            call(lambda ec2: ec2.create_security_group(GroupName=name, Description=DESCRIPTION)),
        )
    source = front_end or ANYWHERE
    there = {rule for group in groups for rule in _rules(group.get("IpPermissions", []), source)}
    wanted = [*RULES, *(("tcp", port, port) for port in sorted(set(ports) - {22}))]
    for rule in wanted:
        if rule not in there:
            # One a call: Eucalyptus adds none of a call's rules when it has one of them, and answers "false" with 200.
            await _unless("InvalidPermission.Duplicate", call(_authorize(name, rule, source)))
    for rule in sorted(there - set(wanted)):
        protocol, first, last = rule
        if protocol == "tcp" and first == last:  # as we make them; what else is there was put there by a person
            await _unless("InvalidPermission.NotFound", call(_revoke(name, rule, source)))


def _authorize(name: str, rule: tuple[str, int, int], source: str) -> Callable[[EC2Client], object]:
    return lambda ec2: ec2.authorize_security_group_ingress(GroupName=name, IpPermissions=[_permission(rule, source)])


def _revoke(name: str, rule: tuple[str, int, int], source: str) -> Callable[[EC2Client], object]:
    return lambda ec2: ec2.revoke_security_group_ingress(GroupName=name, IpPermissions=[_permission(rule, source)])


def _permission(rule: tuple[str, int, int], source: str) -> IpPermissionTypeDef:
    protocol, first, last = rule
    return {"IpProtocol": protocol, "FromPort": first, "ToPort": last, "IpRanges": [{"CidrIp": source}]}


def _rules(permissions: Iterable[Mapping[str, Any]], source: str) -> Iterable[tuple[str, int, int]]:
    for entry in permissions:
        if any(network.get("CidrIp") == source for network in entry.get("IpRanges", [])):
            yield entry.get("IpProtocol", ""), entry.get("FromPort", -1), entry.get("ToPort", -1)


async def _unless(code: str, work: Awaitable[object]) -> None:
    """Wait for a call; the error that says that another process was quicker is success."""
    try:
        await work
    except CloudError as error:
        if code_of(error) != code:
            raise
