"""An EC2-compatible cloud behind the port, by boto3 in threads.

Eucalyptus 4.4 takes no tags with the calls that create things: that is found out at the first of them, which it
refuses as a whole, and remembered; from then on tags are set right after the creation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from educloud_lab.adapters.ec2.clock import CloudClock
from educloud_lab.adapters.ec2.session import Endpoint, ec2_client
from educloud_lab.domain.errors import (
    CloudNotFoundError,
    CloudRefusedError,
    CloudStateError,
    CloudTakesNoTagsError,
    CloudUnreachableError,
)
from educloud_lab.ports.cloud import (
    CloudView,
    GroupSeen,
    ImageSeen,
    InstanceHealth,
    InstanceSeen,
    InstanceState,
    RunSpec,
    SnapshotSeen,
    VolumeSeen,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client
    from mypy_boto3_ec2.type_defs import (
        GetConsoleOutputResultTypeDef,
        ReservationResponseTypeDef,
        SnapshotResponseTypeDef,
        TagTypeDef,
        VolumeResponseTypeDef,
    )

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
        self._groups: dict[str, tuple[int, ...]] = {}  # found with these ports, or made so
        self._clock = CloudClock()
        self._tags_with_creation = True  # until the cloud says that it does not know them

    def close(self) -> None:
        """Let the threads go; calls under way end by their own time limits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[[EC2Client], T]) -> T:
        def work() -> T:
            from educloud_lab.adapters.ec2.errors import translated

            with translated():
                return function(self._clock.watch(ec2_client(self._endpoint)))

        # With this task's context, so that whoever listens to its calls hears of this one.
        return await asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, work)

    async def observe(self) -> CloudView:
        """Look at all instances and volumes of the account: two calls, side by side."""
        from educloud_lab.adapters.ec2 import parse

        reservations, volumes = await asyncio.gather(
            self._call(lambda ec2: _pages(ec2.describe_instances, "Reservations")),
            self._call(lambda ec2: _pages(ec2.describe_volumes, "Volumes")),
        )
        seen = [parse.instance(item) for group in reservations for item in group.get("Instances", [])]
        disks = [parse.volume(item) for item in volumes]
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

    async def zone_states(self) -> Mapping[str, str]:
        """Return the state of every zone by its name."""
        from educloud_lab.adapters.ec2 import looks

        return await looks.zone_states(self._call)

    async def instance_health(self, instance_id: str) -> InstanceHealth | None:
        """Return the cloud's own status of an instance; None when it tells none."""
        from educloud_lab.adapters.ec2 import looks

        return await looks.instance_health(self._call, instance_id)

    async def lets_in(self, instance_id: str, port: int) -> bool | None:
        """Say whether any rule of the instance's security groups lets TCP in at a port."""
        from educloud_lab.adapters.ec2 import looks

        return await looks.lets_in(self._call, instance_id, port)

    async def security_groups(self) -> tuple[GroupSeen, ...]:
        """List the account's security groups with their rules."""
        from educloud_lab.adapters.ec2 import looks

        return await looks.security_groups(self._call, _pages)

    async def key_pairs(self) -> tuple[str, ...]:
        """List the names of the account's key pairs."""
        from educloud_lab.adapters.ec2 import looks

        return await looks.key_pairs(self._call)

    def clock_offset_s(self) -> float | None:
        """Return how far the cloud's clock was ahead of this computer's at its last answer."""
        return self._clock.offset_s

    async def ensure_group(self, name: str, ports: tuple[int, ...] = ()) -> None:
        """See to it that the group exists and lets SSH, ICMP and these ports in; looked at when the ports are new."""
        from educloud_lab.adapters.ec2.groups import ensure_group

        if self._groups.get(name) != ports:
            await ensure_group(self._call, name, self._endpoint.front_end, ports)
            self._groups[name] = ports

    async def run_instance(self, spec: RunSpec, *, client_token: str) -> InstanceSeen:
        """Run one instance; the same token gives the same instance.

        Raises
        ------
        CloudError
        """
        from educloud_lab.adapters.ec2 import parse

        def run(ec2: EC2Client, **more: Any) -> ReservationResponseTypeDef:
            if spec.group:
                more["SecurityGroups"] = [spec.group]
            return ec2.run_instances(
                ImageId=spec.image_id,
                MinCount=1,
                MaxCount=1,
                InstanceType=spec.instance_type,  # type: ignore[arg-type]  # stubs list AWS's types; clouds have their own
                Placement={"AvailabilityZone": spec.zone},
                UserData=spec.user_data,
                ClientToken=client_token,
                **more,
            )

        try:
            answer, tagged = await self._tagged("instance", spec.tags, run)
        except CloudNotFoundError:
            if spec.group not in self._groups:
                raise
            # Somebody deleted the group, or the cloud is a new one: what was known of it is not true any more.
            await self.ensure_group(spec.group, self._groups.pop(spec.group))
            answer, tagged = await self._tagged("instance", spec.tags, run)
        item = answer["Instances"][0]
        if not tagged:
            await self.tag(item["InstanceId"], spec.tags)
        seen = parse.instance(item)
        return seen if tagged else replace(seen, tags=dict(spec.tags))

    async def start_instance(self, instance_id: str) -> None:
        """Start a stopped instance. AWS says so when it is in another state, Eucalyptus does not."""
        try:
            await self._call(lambda ec2: ec2.start_instances(InstanceIds=[instance_id]))
        except CloudStateError:
            if await self._state_of(instance_id) is InstanceState.STOPPED:
                raise

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

    async def create_volume(
        self, *, size_gib: int, zone: str, tags: Mapping[str, str], snapshot_id: str = "", untagged: bool = False
    ) -> VolumeSeen:
        """Create a volume with its tags; not idempotent (the token that botocore adds is dropped)."""
        from educloud_lab.adapters.ec2 import parse

        def create(ec2: EC2Client, **more: Any) -> VolumeResponseTypeDef:
            if snapshot_id:
                more["SnapshotId"] = snapshot_id
            return ec2.create_volume(Size=size_gib, AvailabilityZone=zone, **more)

        if untagged:
            return parse.volume(await self._call(create))
        return parse.volume(await self._with_tags("volume", tags, create))

    async def delete_volume(self, volume_id: str) -> None:
        """Delete a volume for ever."""
        from educloud_lab.adapters.ec2 import snapshots

        await snapshots.delete_volume(self._call, volume_id)

    async def grow_volume(self, volume_id: str, size_gib: int) -> None:
        """Enlarge a volume that nothing has."""
        from educloud_lab.adapters.ec2 import snapshots

        await snapshots.grow_volume(self._call, volume_id, size_gib)

    async def observe_snapshots(self) -> Mapping[str, SnapshotSeen]:
        """Look at all snapshots that the account owns."""
        from educloud_lab.adapters.ec2 import snapshots

        return await snapshots.observe(self._call, _pages)

    async def create_snapshot(self, volume_id: str, *, description: str, tags: Mapping[str, str]) -> SnapshotSeen:
        """Ask for a snapshot; where tags do not come with the call they are set after it."""
        from educloud_lab.adapters.ec2 import parse

        def create(ec2: EC2Client, **more: Any) -> SnapshotResponseTypeDef:
            return ec2.create_snapshot(VolumeId=volume_id, Description=description, **more)

        answer, tagged = await self._tagged("snapshot", tags, create)
        seen = parse.snapshot(answer)
        if not tagged:
            await self.tag(seen.snapshot_id, tags)
            seen = replace(seen, tags=dict(tags))
        return seen

    async def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot."""
        from educloud_lab.adapters.ec2 import snapshots

        await snapshots.delete_snapshot(self._call, snapshot_id)

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

    async def _with_tags(self, kind: str, tags: Mapping[str, str], create: Callable[..., T]) -> T:
        """Create something with its tags in the same call, or not at all."""
        from educloud_lab.adapters.ec2.errors import does_not_bind

        more = {"TagSpecifications": [{"ResourceType": kind, "Tags": _tag_list(tags)}]} if tags else {}
        if not tags or self._tags_with_creation:
            try:
                return await self._call(lambda ec2: create(ec2, **more))
            except CloudRefusedError as error:
                if not does_not_bind(error, "TagSpecification"):
                    raise
                self._tags_with_creation = False
        raise CloudTakesNoTagsError(f"This cloud takes no tags when it creates a {kind}.", kept="Nothing was created.")

    async def _tagged(self, kind: str, tags: Mapping[str, str], create: Callable[..., T]) -> tuple[T, bool]:
        """Create something with its tags; False when the cloud takes none here and they have yet to be set."""
        from educloud_lab.adapters.ec2.errors import does_not_bind

        if not tags:
            return await self._call(create), True
        if self._tags_with_creation:
            more = {"TagSpecifications": [{"ResourceType": kind, "Tags": _tag_list(tags)}]}
            try:
                return await self._call(lambda ec2: create(ec2, **more)), True
            except CloudRefusedError as error:
                if not does_not_bind(error, "TagSpecification"):
                    raise
                self._tags_with_creation = False
        return await self._call(create), False

    async def _state_of(self, instance_id: str) -> InstanceState | None:
        from educloud_lab.adapters.ec2 import parse

        answer = await self._call(lambda ec2: ec2.describe_instances(InstanceIds=[instance_id]))
        items = [item for group in answer.get("Reservations", []) for item in group.get("Instances", [])]
        return parse.instance(items[0]).state if items else None

    async def _attached_to(self, volume_id: str) -> set[str]:
        from educloud_lab.adapters.ec2 import parse

        answer = await self._call(lambda ec2: ec2.describe_volumes(VolumeIds=[volume_id]))
        return {a.instance_id for item in answer.get("Volumes", []) for a in parse.volume(item).attachments}


def _pages(look: Callable[..., Any], member: str) -> list[Any]:
    """Return what every page lists. Eucalyptus has none; on AWS what is not on the first is not gone (I5)."""
    answer = look()
    items = list(answer.get(member, []))
    while token := answer.get("NextToken"):
        answer = look(NextToken=token)
        items += answer.get(member, [])
    return items


def _tag_list(tags: Mapping[str, str]) -> list[TagTypeDef]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
