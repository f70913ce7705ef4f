"""The cloud's operations, by the name of their action."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from educloud_lab.localcloud.cloud import Caller, Cloud
from educloud_lab.localcloud.operations import (
    attributes,
    image_attributes,
    images,
    instances,
    keypairs,
    registration,
    run_instances,
    security_groups,
    snapshots,
    tags,
    volumes,
    zones,
)

Handler = Callable[[Cloud, Caller, dict[str, Any]], Awaitable[dict[str, Any]]]

OPERATIONS: Mapping[str, Handler] = {
    "AttachVolume": volumes.attach_volume,
    "AuthorizeSecurityGroupIngress": security_groups.authorize_security_group_ingress,
    "CreateImage": registration.create_image,
    "CreateKeyPair": keypairs.create_key_pair,
    "CreateSecurityGroup": security_groups.create_security_group,
    "CreateSnapshot": snapshots.create_snapshot,
    "CreateTags": tags.create_tags,
    "CreateVolume": volumes.create_volume,
    "DeleteKeyPair": keypairs.delete_key_pair,
    "DeleteSecurityGroup": security_groups.delete_security_group,
    "DeleteSnapshot": snapshots.delete_snapshot,
    "DeleteTags": tags.delete_tags,
    "DeleteVolume": volumes.delete_volume,
    "DeregisterImage": registration.deregister_image,
    "DescribeAvailabilityZones": zones.describe_availability_zones,
    "DescribeImageAttribute": image_attributes.describe_image_attribute,
    "DescribeImages": images.describe_images,
    "DescribeInstanceAttribute": attributes.describe_instance_attribute,
    "DescribeInstanceStatus": instances.describe_instance_status,
    "DescribeInstanceTypes": zones.describe_instance_types,
    "DescribeInstances": instances.describe_instances,
    "DescribeKeyPairs": keypairs.describe_key_pairs,
    "DescribeRegions": zones.describe_regions,
    "DescribeSecurityGroups": security_groups.describe_security_groups,
    "DescribeSnapshotAttribute": snapshots.describe_snapshot_attribute,
    "DescribeSnapshots": snapshots.describe_snapshots,
    "DescribeTags": tags.describe_tags,
    "DescribeVolumes": volumes.describe_volumes,
    "DetachVolume": volumes.detach_volume,
    "GetConsoleOutput": instances.get_console_output,
    "ImportKeyPair": keypairs.import_key_pair,
    "ModifyImageAttribute": image_attributes.modify_image_attribute,
    "ModifyInstanceAttribute": attributes.modify_instance_attribute,
    "ModifySnapshotAttribute": snapshots.modify_snapshot_attribute,
    "ModifyVolume": volumes.modify_volume,
    "RebootInstances": instances.reboot_instances,
    "RegisterImage": registration.register_image,
    "ResetImageAttribute": image_attributes.reset_image_attribute,
    "ResetSnapshotAttribute": snapshots.reset_snapshot_attribute,
    "RevokeSecurityGroupIngress": security_groups.revoke_security_group_ingress,
    "RunInstances": run_instances.run_instances,
    "StartInstances": instances.start_instances,
    "StopInstances": instances.stop_instances,
    "TerminateInstances": instances.terminate_instances,
}
