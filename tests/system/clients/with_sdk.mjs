// Drives the cloud with Amazon's SDK for JavaScript; see test_clients.py for what is expected of a client.
import assert from 'node:assert';
import { createRequire } from 'node:module';

// The SDK lies where the tests were set up, not beside this file.
const require = createRequire(`${process.env.CLIENT_MODULES}/`);
const sdk = require('@aws-sdk/client-ec2');

const { ENDPOINT: endpoint, REGION: region, ZONE: zone, IMAGE: image, TYPE: type } = process.env;
const ec2 = new sdk.EC2Client({ endpoint, region, maxAttempts: 1 });
const call = (name, input = {}) => ec2.send(new sdk[`${name}Command`](input));
const ok = step => console.log('ok', step);
const waiting = { client: ec2, maxWaitTime: 60, minDelay: 1, maxDelay: 1 };

async function until(what) {
  for (let tries = 0; tries < 600; tries++) {
    if (await what()) {
      return;
    }
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error('it never came about');
}

const key = await call('CreateKeyPair', { KeyName: 'sdk' });
assert.match(key.KeyMaterial, /PRIVATE KEY/);
ok('key pair');
const { GroupId: group } = await call('CreateSecurityGroup', { GroupName: 'sdk', Description: 'by the SDK' });
const IpPermissions = [{ IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: '0.0.0.0/0' }] }];
await call('AuthorizeSecurityGroupIngress', { GroupId: group, IpPermissions });
const groups = await call('DescribeSecurityGroups', { GroupIds: [group] });
assert.equal(groups.SecurityGroups[0].IpPermissions[0].IpRanges[0].CidrIp, '0.0.0.0/0');
ok('group');
const run = await call('RunInstances', {
  ImageId: image, InstanceType: type, MinCount: 1, MaxCount: 1, KeyName: 'sdk', SecurityGroupIds: [group],
  Placement: { AvailabilityZone: zone }
});
const InstanceIds = [run.Instances[0].InstanceId];
const InstanceId = InstanceIds[0];
ok('run');
await sdk.waitUntilInstanceRunning(waiting, { InstanceIds });
ok('wait');
await call('CreateTags', { Resources: InstanceIds, Tags: [{ Key: 'Name', Value: 'the SDK’s' }] });
const tags = await call('DescribeTags', { Filters: [{ Name: 'resource-id', Values: InstanceIds }] });
assert.equal(tags.Tags[0].Value, 'the SDK’s');
ok('tag');
const console64 = await call('GetConsoleOutput', { InstanceId });
assert.match(Buffer.from(console64.Output, 'base64').toString(), /booted/);
ok('console');
const { VolumeId } = await call('CreateVolume', { AvailabilityZone: zone, Size: 1 });
await sdk.waitUntilVolumeAvailable(waiting, { VolumeIds: [VolumeId] });
ok('volume');
await call('AttachVolume', { VolumeId, InstanceId, Device: '/dev/sdf' });
await until(async () => {
  const found = await call('DescribeVolumes', { VolumeIds: [VolumeId] });
  return found.Volumes[0].Attachments[0]?.State === 'attached';
});
ok('attach');
const { SnapshotId } = await call('CreateSnapshot', { VolumeId, Description: 'by the SDK' });
await sdk.waitUntilSnapshotCompleted(waiting, { SnapshotIds: [SnapshotId] });
ok('snapshot');
const second = await call('CreateVolume', { AvailabilityZone: zone, SnapshotId });
await sdk.waitUntilVolumeAvailable(waiting, { VolumeIds: [second.VolumeId] });
ok('volume from snapshot');
await call('DetachVolume', { VolumeId });
await sdk.waitUntilVolumeAvailable(waiting, { VolumeIds: [VolumeId] });
ok('detach');
await call('StopInstances', { InstanceIds });
await sdk.waitUntilInstanceStopped(waiting, { InstanceIds });
ok('stop');
await call('StartInstances', { InstanceIds });
await sdk.waitUntilInstanceRunning(waiting, { InstanceIds });
ok('start');
await call('TerminateInstances', { InstanceIds });
await sdk.waitUntilInstanceTerminated(waiting, { InstanceIds });
ok('terminate');
for (const id of [VolumeId, second.VolumeId]) {
  await call('DeleteVolume', { VolumeId: id });
}
await call('DeleteSnapshot', { SnapshotId });
await call('DeleteSecurityGroup', { GroupId: group });
await call('DeleteKeyPair', { KeyName: 'sdk' });
ok('clean up');
