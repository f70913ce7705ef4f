"""Drives the cloud with the ``aws`` command; see test_clients.py for what is expected of a client."""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

AWS = str(Path(sys.executable).with_name("aws"))


def aws(*arguments):
    """Run ``aws ec2 …`` and return its answer; its own words are shown when it fails."""
    command = [AWS, "--endpoint-url", os.environ["ENDPOINT"], "--region", os.environ["REGION"], "--output", "json"]
    done = subprocess.run([*command, "ec2", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"aws ec2 {' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip() else {}


def until(what):
    end = time.monotonic() + 60
    while not what():
        if time.monotonic() > end:
            raise SystemExit("it never came about")
        time.sleep(1)  # each look is a process of its own


def ok(step):
    print("ok", step, flush=True)


def state(machine):
    return aws("describe-instances", "--instance-ids", machine)["Reservations"][0]["Instances"][0]["State"]["Name"]


def volume_of(volume_id):
    return aws("describe-volumes", "--volume-ids", volume_id)["Volumes"][0]


assert "PRIVATE KEY" in aws("create-key-pair", "--key-name", "awscli")["KeyMaterial"]
ok("key pair")
group = aws("create-security-group", "--group-name", "awscli", "--description", "by the aws command")["GroupId"]
aws("authorize-security-group-ingress", "--group-id", group, "--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0")
assert aws("describe-security-groups", "--group-ids", group)["SecurityGroups"][0]["IpPermissions"][0]["FromPort"] == 22
ok("group")
zone = os.environ["ZONE"]
machine = aws(
    "run-instances", "--image-id", os.environ["IMAGE"], "--instance-type", os.environ["TYPE"], "--count", "1",
    "--key-name", "awscli", "--security-group-ids", group, "--placement", f"AvailabilityZone={zone}",
)["Instances"][0]["InstanceId"]  # fmt: skip
ok("run")
until(lambda: state(machine) == "running")
ok("wait")
aws("create-tags", "--resources", machine, "--tags", "Key=Name,Value=awscli")
assert aws("describe-tags", "--filters", f"Name=resource-id,Values={machine}")["Tags"][0]["Value"] == "awscli"
ok("tag")
output = aws("get-console-output", "--instance-id", machine)["Output"]
assert "booted" in output or base64.b64decode(output)
ok("console")
volume = aws("create-volume", "--availability-zone", zone, "--size", "1")["VolumeId"]
until(lambda: volume_of(volume)["State"] == "available")
ok("volume")
aws("attach-volume", "--volume-id", volume, "--instance-id", machine, "--device", "/dev/sdf")
until(lambda: [a["State"] for a in volume_of(volume)["Attachments"]] == ["attached"])
ok("attach")
snapshot = aws("create-snapshot", "--volume-id", volume, "--description", "by the aws command")["SnapshotId"]
until(lambda: aws("describe-snapshots", "--snapshot-ids", snapshot)["Snapshots"][0]["State"] == "completed")
ok("snapshot")
second = aws("create-volume", "--availability-zone", zone, "--snapshot-id", snapshot)["VolumeId"]
until(lambda: volume_of(second)["State"] == "available")
ok("volume from snapshot")
aws("detach-volume", "--volume-id", volume)
until(lambda: volume_of(volume)["State"] == "available")
ok("detach")
aws("stop-instances", "--instance-ids", machine)
until(lambda: state(machine) == "stopped")
ok("stop")
aws("start-instances", "--instance-ids", machine)
until(lambda: state(machine) == "running")
ok("start")
aws("terminate-instances", "--instance-ids", machine)
until(lambda: state(machine) == "terminated")
ok("terminate")
for volume_id in (volume, second):
    aws("delete-volume", "--volume-id", volume_id)
aws("delete-snapshot", "--snapshot-id", snapshot)
aws("delete-security-group", "--group-id", group)
aws("delete-key-pair", "--key-name", "awscli")
ok("clean up")
