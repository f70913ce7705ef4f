"""The kinds of faults: what each is on a real cloud, what is seen of it, and how it ends.

The reference page ``docs/reference/cloud-faults.md`` is made from this data. Section numbers name the collected
facts about Eucalyptus; what has no counterpart there says so.
"""

from __future__ import annotations

from collections.abc import Mapping

from educloud_lab.localcloud.faults.catalogue_requests import REQUEST_KINDS
from educloud_lab.localcloud.faults.kinds import Kind, Parameter, Scope

_A, _R, _Z = Scope.ACCOUNT, Scope.RESOURCE, Scope.ZONE

RESOURCE_KINDS = (
    Kind(
        name="pending-for-ever",
        title="An instance stays pending",
        component="NC (staging the image, or waiting for the network) or SC (copying the root volume)",
        cause="The image or the root volume is copied slowly or not at all; eucanetd does not deliver the network and"
        " the node waits for it up to 1200 s; a node or cluster controller went down after the instance was admitted.",
        shown="State pending and address 0.0.0.0. After pending_time (60 minutes) the cloud gives up: terminated, or"
        " stopped when it is EBS-backed and ran before, with the reason FAILED.",
        source="Eucalyptus facts, section 3 (pending_time 60 min, network gate 1200 s)",
        seen="Start goes on and on; age since the launch time grows; no console output.",
        ends="Cleared: the instance starts at once. Not cleared: the cloud gives up after give_up_s. Stop and"
        " terminate work meanwhile.",
        scopes=(_A, _R, _Z),
        parameters=(
            Parameter("give_up_s", "seconds", 3600, "Seconds after which the cloud gives the instance up.", 1),
        ),
    ),
    Kind(
        name="no-address",
        title="A running instance has no address",
        component="network (eucanetd on the node, the DHCP server)",
        cause="The instance runs before the network reported its address, or the report is lost.",
        shown="State running with privateIpAddress and ipAddress 0.0.0.0, the placeholder for none.",
        source="Eucalyptus facts, section 0.7",
        seen="The instance runs and its console shows a normal boot, but there is nothing to connect to.",
        ends="Cleared: the address appears; the machine had it all the time.",
        scopes=(_A, _R, _Z),
    ),
    Kind(
        name="capacity",
        title="No room for another instance",
        component="CLC, from what the CC reports",
        cause="The class starts at once and every node is full, or nodes were taken out for maintenance.",
        shown="HTTP 503 with the code ServiceUnavailable and the message `Not enough resources (0 in ZONE < 1): vm"
        " instances.` for RunInstances and StartInstances (profile aws: InsufficientInstanceCapacity).",
        source="Eucalyptus facts, section 0.4",
        seen="Start is refused at once; nothing was made; trying again later works.",
        ends="Cleared: the next try works. A repeated RunInstances with a ClientToken that made an instance before is"
        " answered with that instance all the time.",
        scopes=(_A, _R, _Z),
    ),
    Kind(
        name="quota",
        title="A quota is used up",
        component="CLC (IAM policy with the effect Limit)",
        cause="The account may have so many instances or volumes and has them: often forgotten ones.",
        shown="Instances: HTTP 503 ServiceUnavailable `Quota exceeded while trying to create: instance by user: ...`"
        " (the front end hides the difference to missing room in the message). Volumes: 400 VolumeLimitExceeded.",
        source="Eucalyptus facts, section 0.5 and quotas in section 2",
        seen="Start or a new volume is refused at once; waiting does not help, deleting something does.",
        ends="Cleared: the next try works.",
        scopes=(_A, _R, _Z),
        parameters=(Parameter("what", "choice", "both", "Which quota.", choices=("instances", "volumes", "both")),),
    ),
    Kind(
        name="attach-drops",
        title="An attachment vanishes without a word",
        component="NC or SC (iSCSI or RBD login on the node)",
        cause="The node cannot reach the storage controller, or its credentials for the volume are stale.",
        shown="AttachVolume answers attaching; then the attachment is gone and the volume available again. No error"
        " anywhere.",
        source="Eucalyptus facts, section 2, AttachVolume",
        seen="The disk never appears in the machine, and the volume is available again.",
        ends="Each AttachVolume that it strikes is lost; cleared (or used up): the next one works.",
        scopes=(_A, _R, _Z),
    ),
    Kind(
        name="detach-sticks",
        title="A volume does not let go",
        component="NC (the guest did not release the disk) or CC (the node does not answer)",
        cause="The guest still has the disk mounted or in use, or its kernel does not answer the unplug request.",
        shown="Detaching for as long as it lasts; in other cases the failed detach goes back to attached without a"
        " word.",
        source="Eucalyptus facts, section 2, AttachVolume (a failed detach reverts to attached)",
        seen="The attachment says detaching and stays so, or says attached again.",
        ends="`stays`: cleared, the detach is carried out. `reverts`: ask for the detach again.",
        scopes=(_A, _R, _Z),
        parameters=(
            Parameter("outcome", "choice", "stays", "What becomes of the detach.", choices=("stays", "reverts")),
        ),
    ),
    Kind(
        name="volume-fails",
        title="A volume cannot be made",
        component="SC",
        cause="The storage controller's pool is full or its backend is down.",
        shown="CreateVolume answers creating; then the volume is failed.",
        source="Eucalyptus facts, section 2, Volumes",
        seen="A new volume goes from creating to failed. It holds nothing and can be deleted.",
        ends="A failed volume stays failed. Cleared: a new one works.",
        scopes=(_A, _R, _Z),
    ),
    Kind(
        name="image-does-not-boot",
        title="An image does not boot",
        component="Walrus (what was registered) and NC",
        cause="The image was registered without its ramdisk, or with a kernel for another architecture.",
        shown="Without the ramdisk: running, an address, and a kernel panic on the console, never more. With another"
        " architecture's kernel: the node refuses, and the instance ends with the reason FAILED.",
        source="Eucalyptus facts, section 2, RunInstances (kernel and ramdisk); section 3 (running but no console"
        " line of a boot)",
        seen="`ramdisk-forgotten`: state running, console ends in `Kernel panic - not syncing: VFS: Unable to mount"
        " root fs`, no SSH. `wrong-architecture`: pending, then terminated (or stopped, when it ran before).",
        ends="Cleared: a new instance boots; a panicked one boots after stop and start, never by itself (until then"
        " it keeps one core busy on real QEMU).",
        scopes=(_A, _R, _Z),
        parameters=(
            Parameter(
                "cause",
                "choice",
                "ramdisk-forgotten",
                "What is wrong.",
                choices=("ramdisk-forgotten", "wrong-architecture"),
            ),
        ),
    ),
    Kind(
        name="node-dies",
        title="A node dies",
        component="NC",
        cause="The host lost its power or its kernel; everything that machines had not written to a disk is lost.",
        shown="Its instances are shown running while nothing is reported; systemStatus is impaired after 5 minutes;"
        " then EXPIRED: EBS-backed ones stopped, instance-store ones terminated. The zone is not available and"
        " RunInstances finds no cluster controller.",
        source="Eucalyptus facts, sections 2 (DescribeInstanceStatus, states) and 3. There instance_timeout is 180"
        " days; here expire_s is shorter, so that a lesson sees it",
        seen="Terminals stop in the middle of a line; state still running; then stopped, and Start is refused while"
        " the node is away.",
        ends="Cleared: the node is back without its instances, which are found missing at once (EXPIRED); start them"
        " again. Volumes are as the machines last wrote them.",
        scopes=(_R, _Z),
        parameters=(
            Parameter("expire_s", "seconds", 600, "Seconds until its instances count as lost.", 1),
            Parameter("impaired_s", "seconds", 300, "Seconds until systemStatus is impaired.", 0),
        ),
        counted=False,
    ),
    Kind(
        name="stop-sticks",
        title="A stop does not end",
        component="NC (the guest ignores the power button)",
        cause="The guest's init system waits for something that never ends, or has no ACPI daemon.",
        shown="Stopping until stopping_time (10 minutes) is over, then stopped.",
        source="Eucalyptus facts, section 3 (stopping_time 10 min)",
        seen="State stopping for minutes.",
        ends="Cleared, or after give_up_s: it stops. StopInstances with Force, and TerminateInstances, get through.",
        scopes=(_A, _R, _Z),
        parameters=(Parameter("give_up_s", "seconds", 600, "Seconds after which it stops all the same.", 1),),
    ),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (*RESOURCE_KINDS, *REQUEST_KINDS)}
