"""The security group of a deployment's machines: found or made, in races as well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from educloud_lab.adapters.ec2.errors import code_of
from educloud_lab.domain.errors import CloudError

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client

T = TypeVar("T")
DESCRIPTION = "Machines of educloud-lab: SSH and ping"
ANYWHERE = "0.0.0.0/0"  # where it is not known whence the front end comes
RULES = (("tcp", 22, 22), ("icmp", -1, -1))


class Call(Protocol):
    """Makes one call in a worker thread, with its errors translated."""

    def __call__(self, function: Callable[[EC2Client], T]) -> Awaitable[T]:
        """Return what the function returned."""


async def ensure_group(call: Call, name: str, front_end: str = "") -> None:
    """Make the group and its rules where they are missing.

    Parameters
    ----------
    front_end : network that is let in; '' for any. Other people's machines are in the same group: where the
        front end's network is known, they are kept out.

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
    for rule in RULES:
        if rule not in there:
            # One a call: Eucalyptus adds none of a call's rules when it has one of them, and answers "false" with 200.
            await _unless("InvalidPermission.Duplicate", call(_authorize(name, rule, source)))


def _authorize(name: str, rule: tuple[str, int, int], source: str) -> Callable[[EC2Client], object]:
    protocol, first, last = rule
    return lambda ec2: ec2.authorize_security_group_ingress(
        GroupName=name,
        IpPermissions=[{"IpProtocol": protocol, "FromPort": first, "ToPort": last, "IpRanges": [{"CidrIp": source}]}],
    )


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
