"""An EC2-compatible cloud behind the port, by boto3 in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from educloud_lab.adapters.ec2.session import Endpoint, ec2_client
from educloud_lab.domain.errors import CloudRefusedError, CloudStateError, CloudUnreachableError
from educloud_lab.ports.cloud import CloudView, ImageSeen, InstanceSeen, InstanceState, RunSpec, VolumeSeen

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client
    from mypy_boto3_ec2.type_defs import GetConsoleOutputResultTypeDef, TagTypeDef

T = TypeVar("T")


class Ec2Cloud:
    """The port :class:`educloud_lab.ports.cloud.Cloud` over EC2's Query API.

    Parameters
    ----------
    endpoint : where and as whom.
    threads : calls in flight at once.
    """

    def __init__(self, endpoint: Endpoint, *, threads: int = 4) -> None:
        self._endpoint = endpoint
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ec2")

    def close(self) -> None:
        """Let the threads go; calls under way end by their own time limits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[[EC2Client], T]) -> T:
        def work() -> T:
            from educloud_lab.adapters.ec2.errors import translated

            with translated():
                return function(ec2_client(self._endpoint))

        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def observe(self) -> CloudView:
        """Look at all instances and volumes of the account: two calls, side by side."""
        from educloud_lab.adapters.ec2 import parse

        instances, volumes = await asyncio.gather(
            self._call(lambda ec2: ec2.describe_instances()), self._call(lambda ec2: ec2.describe_volumes())
        )
        seen = [
            parse.instance(item)
            for reservation in instances.get("Reservations", [])
            for item in reservation.get("Instances", [])
        ]
        disks = [parse.volume(item) for item in volumes.get("Volumes", [])]
        return CloudView(
            seen_at=datetime.now(UTC),
            instances={item.instance_id: item for item in seen},
            volumes={item.volume_id: item for item in disks},
        )

    async def images(self) -> tuple[ImageSeen, ...]:
        """List the machine images that may be run."""
        from educloud_lab.adapters.ec2 import parse

        answer = await self._call(lambda ec2: ec2.describe_images())
        return tuple(
            parse.image(item) for item in answer.get("Images", []) if item.get("ImageType", "machine") == "machine"
        )

    async def zones(self) -> tuple[str, ...]:
        """List the names of the available zones."""
        answer = await self._call(lambda ec2: ec2.describe_availability_zones())
        return tuple(
            zone["ZoneName"] for zone in answer.get("AvailabilityZones", []) if zone.get("State") == "available"
        )

    async def run_instance(self, spec: RunSpec, *, client_token: str) -> InstanceSeen:
        """Run one instance; the same token gives the same instance.

        Raises
        ------
        CloudError
        """
        from educloud_lab.adapters.ec2 import parse

        answer = await self._call(
            lambda ec2: ec2.run_instances(
                ImageId=spec.image_id,
                MinCount=1,
                MaxCount=1,
                InstanceType=spec.instance_type,  # type: ignore[arg-type]  # stubs list AWS's types; clouds have their own
                Placement={"AvailabilityZone": spec.zone},
                UserData=spec.user_data,
                ClientToken=client_token,
                TagSpecifications=[{"ResourceType": "instance", "Tags": _tag_list(spec.tags)}],
            )
        )
        return parse.instance(answer["Instances"][0])

    async def start_instance(self, instance_id: str) -> None:
        """Start a stopped instance."""
        await self._call(lambda ec2: ec2.start_instances(InstanceIds=[instance_id]))

    async def stop_instance(self, instance_id: str) -> None:
        """Ask an EBS-backed instance to stop."""
        await self._call(lambda ec2: ec2.stop_instances(InstanceIds=[instance_id]))

    async def terminate_instance(self, instance_id: str) -> None:
        """Ask for the end of an instance."""
        await self._call(lambda ec2: ec2.terminate_instances(InstanceIds=[instance_id]))

    async def console_output(self, instance_id: str) -> str:
        """Return the console's last 64 KB; '' when there is none yet or the instance does not run."""

        def ask(ec2: EC2Client) -> GetConsoleOutputResultTypeDef:
            return ec2.get_console_output(InstanceId=instance_id)

        try:
            answer = await self._call(ask)
        except (CloudStateError, CloudUnreachableError):
            # Eucalyptus answers an instance that does not run with its generic error 500, which says nothing.
            if await self._state_of(instance_id) is not InstanceState.RUNNING:
                return ""
            answer = await self._call(ask)  # it may have begun to run between the two
        # botocore decodes the base64 of this one answer itself; Eucalyptus sends one space for "empty".
        return answer.get("Output", "").strip("\0 ")

    async def create_volume(self, *, size_gib: int, zone: str, tags: Mapping[str, str]) -> VolumeSeen:
        """Create a volume with its tags; not idempotent (the token that botocore adds is dropped)."""
        from educloud_lab.adapters.ec2 import parse

        answer = await self._call(
            lambda ec2: ec2.create_volume(
                Size=size_gib,
                AvailabilityZone=zone,
                TagSpecifications=[{"ResourceType": "volume", "Tags": _tag_list(tags)}],
            )
        )
        return parse.volume(answer)

    async def attach_volume(self, volume_id: str, instance_id: str, device: str) -> None:
        """Ask for an attachment; already attached to this very instance is success (SAFETY.md, E3)."""
        try:
            await self._call(lambda ec2: ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device))
        except (CloudStateError, CloudRefusedError):
            if instance_id not in await self._attached_to(volume_id):
                raise

    async def detach_volume(self, volume_id: str, instance_id: str) -> None:
        """Ask for the end of an attachment; not attached to this instance is success."""
        try:
            await self._call(lambda ec2: ec2.detach_volume(VolumeId=volume_id, InstanceId=instance_id))
        except CloudStateError:
            if instance_id in await self._attached_to(volume_id):
                raise

    async def tag(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        await self._call(lambda ec2: ec2.create_tags(Resources=[resource_id], Tags=_tag_list(tags)))

    async def _state_of(self, instance_id: str) -> InstanceState | None:
        from educloud_lab.adapters.ec2 import parse

        answer = await self._call(lambda ec2: ec2.describe_instances(InstanceIds=[instance_id]))
        items = [item for group in answer.get("Reservations", []) for item in group.get("Instances", [])]
        return parse.instance(items[0]).state if items else None

    async def _attached_to(self, volume_id: str) -> set[str]:
        from educloud_lab.adapters.ec2 import parse

        answer = await self._call(lambda ec2: ec2.describe_volumes(VolumeIds=[volume_id]))
        return {a.instance_id for item in answer.get("Volumes", []) for a in parse.volume(item).attachments}


def _tag_list(tags: Mapping[str, str]) -> list[TagTypeDef]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
