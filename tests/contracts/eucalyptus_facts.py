"""What is known of Eucalyptus as tables: what is refused and how, what does not bind, and in which order.

Each row begins with the section of the collected facts that it is from; ``{machine}`` and the like are filled in with
the names of what the test made.
"""

from __future__ import annotations

import base64

SIX, FOUR = "eucalyptus-6", "eucalyptus-4.4"
BOTH = (SIX, FOUR)

# Refusals: section, request, status, code, message

RUN = {"Action": "RunInstances", "ImageId": "{image}", "MinCount": "1", "MaxCount": "1"}
ATTACH = {"Action": "AttachVolume", "VolumeId": "{free}", "InstanceId": "{machine}", "Device": "/dev/vdc"}
TAG = {"Action": "CreateTags", "ResourceId.1": "{machine}", "Tag.1.Key": "k", "Tag.1.Value": "v"}
MODIFY = {"Action": "ModifyInstanceAttribute", "InstanceId": "{machine}"}
LONG_DATA = base64.b64encode(b"x" * 16385).decode()
NO_CLUSTER = "Not enough resources: no cluster controller is currently available to run instances."
BAD_DEVICE = "Value ({}) for parameter device is invalid."

REFUSALS = [
    ("0.5", {**RUN, "MinCount": "51", "MaxCount": "51"}, 503, "ServiceUnavailable",
     "Quota exceeded while trying to create: instance by user: admin"),
    ("0.8", {"Action": "StopInstances", "InstanceId.1": "{store}"}, 400, "UnsupportedOperation",
     "The instance '{store}' does not have an 'ebs' root device type and cannot be stopped."),
    ("2 ids", {"Action": "DescribeInstances", "InstanceId.1": "x"}, 400, "InvalidInstanceID.Malformed",
     'Invalid id: "x"'),
    ("2 ids", {"Action": "DescribeInstances", "InstanceId.1": "i-123456789"}, 400, "InvalidInstanceID.Malformed",
     'Invalid id: "i-123456789"'),
    ("2 ids", {"Action": "DeleteVolume", "VolumeId": "x"}, 400, "InvalidParameterValue",
     "Value (x) for parameter volume is invalid. Expected: 'vol-...'."),
    ("2 ids", {"Action": "DescribeVolumes", "VolumeId.1": "x"}, 400, "InvalidParameterValue",
     "Value (x) for parameter volumes is invalid. Expected: 'vol-...'."),
    ("2 ids", {"Action": "DescribeSnapshots", "SnapshotId.1": "x"}, 400, "InvalidParameterValue",
     "Value (x) for parameter snapshots is invalid. Expected: 'snap-...'."),
    ("2 ids", {"Action": "DeleteSnapshot", "SnapshotId": "x"}, 400, "InvalidParameterValue",
     "Value (x) for parameter snapshotId is invalid. Expected: 'snap-...'."),
    ("2 run", {**RUN, "InstanceType": "z9.huge"}, 403, "UnauthorizedOperation",
     "Not authorized to allocate vm type z9.huge"),
    ("2 run", {**RUN, "Placement.AvailabilityZone": "mars"}, 503, "ServiceUnavailable", NO_CLUSTER),
    ("2 run", {**RUN, "UserData": LONG_DATA}, 400, "InvalidParameterValue", "User data may not exceed 16 KB"),
    ("2 run", {**RUN, "UserData": "???"}, 400, "InvalidParameterValue", "User data decoding error."),
    ("2 describe", {"Action": "DescribeInstanceTypes", "Availability": "true"}, 400, "AuthFailure",
     "Not authorized to view availability"),
    ("2 volumes", {"Action": "DeleteVolume", "VolumeId": "{attached}"}, 400, "VolumeInUse",
     "Volume is currently attached to: {machine}"),
    ("2 volumes", {"Action": "CreateVolume", "AvailabilityZone": "mars", "Size": "1"}, 400, "InvalidZone.NotFound",
     "The zone 'mars' does not exist."),
    ("2 attach", {**ATTACH, "Device": ""}, 400, "InvalidParameterValue", BAD_DEVICE.format("")),
    ("2 attach", {**ATTACH, "Device": "/dev/nvme1n1"}, 400, "InvalidParameterValue", BAD_DEVICE.format("/dev/nvme1n1")),
    ("2 attach", {**ATTACH, "Device": "vd"}, 400, "InvalidParameterValue", BAD_DEVICE.format("vd")),
    ("2 attach", {**ATTACH, "Device": "/dev/vdb"}, 400, "InvalidParameterValue",
     "Already have a device attached to: /dev/vdb"),
    ("2 attach", {**ATTACH, "VolumeId": "{attached}"}, 400, "VolumeInUse", "Volume already attached: {attached}"),
    ("2 attach", {**ATTACH, "InstanceId": "x"}, 400, "InvalidParameterValue",
     "Value (x) for parameter instanceId is invalid. Expected: 'i-...'."),
    # Several faults in one request: the first in Eucalyptus's order is told.
    ("2 attach", {**ATTACH, "VolumeId": "{attached}", "Device": "/dev/vdb"}, 400, "InvalidParameterValue",
     "Already have a device attached to: /dev/vdb"),
    ("2 attach", {**ATTACH, "VolumeId": "vol-00000000", "InstanceId": "i-00000000"}, 400,
     "InvalidInstanceID.NotFound", "The instance ID 'i-00000000' does not exist"),
    ("2 attach", {**ATTACH, "InstanceId": "i-00000000", "Device": "x"}, 400, "InvalidParameterValue",
     BAD_DEVICE.format("x")),
    ("2 detach", {"Action": "DetachVolume", "VolumeId": "{free}"}, 400, "IncorrectState",
     "Volume is not attached: {free}"),
    ("2 detach", {"Action": "DetachVolume", "VolumeId": "{attached}", "InstanceId": "{stopped}"}, 400,
     "InvalidAttachment.NotFound", "Volume is not attached to instance: {stopped}"),
    ("2 detach", {"Action": "DetachVolume", "VolumeId": "{root}"}, 400, "IncorrectState",
     "Cannot detach root volume {root} from EBS backed instance {machine} when instance state is running"),
    ("2 console", {"Action": "GetConsoleOutput", "InstanceId": "{stopped}"}, 500, "InternalFailure",
     "Instance {stopped} is not in a running state."),
    ("2 image", {"Action": "CreateImage", "InstanceId": "{store}", "Name": "image"}, 500, "InternalFailure",
     "Cannot create an image from an instance which is not booted from an EBS volume"),
    ("2 tags", {**TAG, "Tag.1.Key": "aws:k"}, 400, "InvalidParameterValue",
     "Tag keys starting with 'aws:' and 'euca:' are reserved for internal use"),
    ("2 tags", {**TAG, "Tag.1.Key": "euca:k"}, 400, "InvalidParameterValue",
     "Tag keys starting with 'aws:' and 'euca:' are reserved for internal use"),
    ("2 tags", {**TAG, "Tag.1.Key": "k" * 128}, 400, "InvalidParameterValue",
     "Tag key exceeds the maximum length of 127 characters"),
    ("2 tags", {**TAG, "Tag.1.Value": "v" * 256}, 400, "InvalidParameterValue",
     "Tag value exceeds the maximum length of 255 characters"),
    ("2 tags", {**TAG, "Tag.2.Key": "k", "Tag.2.Value": "v"}, 400, "InvalidParameterValue", "Duplicate tag key"),
    ("2 tags", {**TAG, **{f"Tag.{n}.Key": f"k{n}" for n in range(1, 52)},
                **{f"Tag.{n}.Value": "" for n in range(1, 52)}}, 400, "TagLimitExceeded",
     "The maximum number of Tags for a resource has been reached."),
    ("2 tags", {**TAG, "ResourceId.1": "vol-00000000"}, 400, "InvalidVolume.NotFound",
     "The volume 'vol-00000000' does not exist"),
    ("2 tags", {**TAG, "ResourceId.1": "nothing"}, 400, "InvalidID", "The ID 'nothing' is not valid"),
    ("2 errors", {"Action": "DescribeInstances", "InstanceId.1": "i-00000000"}, 400, "InvalidInstanceID.NotFound",
     "The instance ID 'i-00000000' does not exist"),
    ("2 errors", {"Action": "DescribeVolumes", "VolumeId.1": "vol-00000000"}, 400, "InvalidVolume.NotFound",
     "The volume 'vol-00000000' does not exist"),
    ("2 errors", {"Action": "DescribeSnapshots", "SnapshotId.1": "snap-00000000"}, 400, "InvalidSnapshot.NotFound",
     "The snapshot 'snap-00000000' does not exist."),
    ("2 errors", {"Action": "DescribeKeyPairs", "KeyName.1": "none"}, 400, "InvalidKeyPair.NotFound",
     "The key pair 'none' does not exist"),
    ("2 errors", {"Action": "DescribeAvailabilityZones", "ZoneName.1": "mars"}, 400, "InvalidZone.NotFound",
     "The zone 'mars' does not exist."),
    ("2 errors", {**MODIFY, "InstanceType.Value": "t2.micro"}, 400, "IncorrectInstanceState",
     "The instance '{machine}' is not in the 'stopped' state."),
    # Codes with a leading space
    ("2 errors", {"Action": "DescribeInstanceAttribute", "InstanceId": "{machine}"}, 400, " MissingParameter",
     "The request must contain the parameter Attribute"),
    ("2 errors", {"Action": "DescribeInstanceAttribute", "InstanceId": "{machine}", "Attribute": "x"}, 400,
     " InvalidParameterValue", "Invalid value for attribute (x)"),
    ("2 accounts", {"Action": "TerminateInstances", "InstanceId.1": "{foreign}"}, 400, "InvalidInstanceID.NotFound",
     "The instance ID '{foreign}' does not exist"),
]  # fmt: skip


# Parameters that do not bind: section, action, name, profiles

UNBOUND = [
    ("0.1", "DescribeInstances", "Nonsense", BOTH),
    ("0.2", "CreateVolume", "ClientToken", BOTH),
    ("0.3", "DescribeInstances", "DryRun", BOTH),
    ("0.3", "CreateImage", "TagSpecification.1.ResourceType", BOTH),
    ("0.3", "RegisterImage", "TagSpecification.1.ResourceType", BOTH),
    ("0.3", "CreateKeyPair", "TagSpecification.1.ResourceType", BOTH),
    ("0.3", "ImportKeyPair", "TagSpecification.1.ResourceType", BOTH),
    ("0.3", "CreateKeyPair", "KeyType", BOTH),
    ("0.3", "StopInstances", "Hibernate", BOTH),
    ("0.3", "RunInstances", "MetadataOptions.HttpTokens", BOTH),
    ("0.3", "RunInstances", "CpuOptions.CoreCount", BOTH),
    ("0.3", "DescribeImages", "MaxResults", BOTH),
    ("0.3", "DescribeKeyPairs", "MaxResults", BOTH),
    ("0.3", "DescribeSecurityGroups", "NextToken", BOTH),
    ("0.3", "GetConsoleOutput", "Latest", BOTH),
    ("0.3", "RunInstances", "TagSpecification.1.ResourceType", (FOUR,)),
    ("0.3", "CreateVolume", "TagSpecification.1.ResourceType", (FOUR,)),
    ("0.3", "CreateSnapshot", "TagSpecification.1.ResourceType", (FOUR,)),
    ("2 volumes", "ModifyVolume", "Action", (FOUR,)),
    ("2 migration", "MigrateInstances", "Action", BOTH),
]


# The order of RunInstances' verifiers (section 2): each fault in a request of its own and with every later one.

VERIFIERS = [
    ("type", {"InstanceType": "z9.huge"}, "UnauthorizedOperation"),
    ("zone", {"Placement.AvailabilityZone": "mars"}, "ServiceUnavailable"),
    ("image", {"ImageId": "ami-00000000"}, "InvalidAMIID.NotFound"),
    ("keypair", {"KeyName": "none"}, "InvalidKeyPair.NotFound"),
    ("network", {"SecurityGroup.1": "none"}, "InvalidGroup.NotFound"),
    ("role", {"IamInstanceProfile.Name": "none"}, "InvalidParameterValue"),
    ("BDM", {"BlockDeviceMapping.1.DeviceName": "/dev/vdc", "BlockDeviceMapping.1.Ebs.SnapshotId": "snap-00000000"},
     "InvalidSnapshot.NotFound"),
    ("userdata", {"UserData": "???"}, "InvalidParameterValue"),
    ("tags", {"TagSpecification.1.ResourceType": "instance", "TagSpecification.1.Tag.1.Key": "aws:k"},
     "InvalidParameterValue"),
]  # fmt: skip


# The order of elements, and that there are no others (section 4; the bindings in compute-common-msgs)

ORDER = [
    ("DescribeInstances", "reservationSet", "reservationId ownerId groupSet instancesSet"),
    ("DescribeInstances", "instancesSet",
     ("instanceId imageId instanceState privateDnsName dnsName reason keyName amiLaunchIndex productCodes instanceType"
     " launchTime placement kernelId ramdiskId platform monitoring subnetId vpcId privateIpAddress ipAddress"
     " sourceDestCheck groupSet architecture rootDeviceType rootDeviceName blockDeviceMapping virtualizationType"
     " clientToken tagSet networkInterfaceSet iamInstanceProfile")),
    ("DescribeInstances", "blockDeviceMapping", "deviceName ebs"),
    ("DescribeInstanceStatus", "instanceStatusSet",
     "instanceId availabilityZone eventsSet instanceState systemStatus instanceStatus"),
    ("DescribeVolumes", "volumeSet",
     "volumeId size snapshotId availabilityZone status createTime attachmentSet tagSet volumeType iops encrypted"),
    ("DescribeVolumes", "attachmentSet", "volumeId instanceId device status attachTime"),
    ("DescribeVolumeStatus", "volumeStatusSet", "volumeId availabilityZone volumeStatus"),
    ("DescribeSnapshots", "snapshotSet",
     "snapshotId volumeId status startTime progress ownerId volumeSize description ownerAlias encrypted tagSet"),
    ("DescribeImages", "imagesSet",
     ("imageId imageLocation imageState imageOwnerId isPublic productCodes architecture imageType kernelId ramdiskId"
     " platform imageOwnerAlias name description rootDeviceType rootDeviceName blockDeviceMapping virtualizationType"
     " tagSet creationDate")),
    ("DescribeRegions", "regionInfo", "regionName regionEndpoint"),
    ("DescribeAvailabilityZones", "availabilityZoneInfo", "zoneName zoneState regionName messageSet"),
    ("DescribeInstanceTypes", "instanceTypeDetails", "name cpu disk memory networkInterfaces availability"),
]  # fmt: skip
