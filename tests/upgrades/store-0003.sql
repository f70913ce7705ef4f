BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE audits (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at DATETIME NOT NULL, 
	who VARCHAR(255) NOT NULL, 
	what VARCHAR(64) NOT NULL, 
	course VARCHAR(64) NOT NULL, 
	lease_id VARCHAR(32), 
	whose VARCHAR(255) NOT NULL, 
	subject VARCHAR(64) NOT NULL, 
	result VARCHAR(64) NOT NULL, 
	detail TEXT NOT NULL
);
INSERT INTO "audits" VALUES(1,'2026-11-22 23:09:39.689000','Ann O''Neil','lease.start','local','b4d0106a0c52','Ann O''Neil','','ok','');
INSERT INTO "audits" VALUES(2,'2026-11-22 23:09:41.204000','Ann O''Neil','permit.granted','local','b4d0106a0c52','Ann O''Neil','vol-00000002','ok','');
INSERT INTO "audits" VALUES(3,'2026-11-22 23:09:41.227000','Ann O''Neil','permit.spent','local','b4d0106a0c52','Ann O''Neil','vol-00000002','ok','');
INSERT INTO "audits" VALUES(4,'2026-11-22 23:09:41.268000','Ann O''Neil','job.start.done','local','b4d0106a0c52','Ann O''Neil','i-00000001','ok','attempts: 1');
INSERT INTO "audits" VALUES(5,'2026-11-22 23:09:41.276000','Ann O''Neil','grant.given','local','b4d0106a0c52','Ann O''Neil','i-00000001','ok','');
CREATE TABLE buckets (
	name VARCHAR(200) NOT NULL, 
	tokens FLOAT NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "buckets" VALUES('DescribeInstances',19.0,'2026-11-22 23:09:41.200000');
INSERT INTO "buckets" VALUES('DescribeVolumes',19.0,'2026-11-22 23:09:41.200000');
INSERT INTO "buckets" VALUES('all',78.0,'2026-11-22 23:09:41.200000');
INSERT INTO "buckets" VALUES('DescribeAvailabilityZones',19.0,'2026-11-22 23:09:39.725000');
INSERT INTO "buckets" VALUES('DescribeImages',19.0,'2026-11-22 23:09:39.749000');
INSERT INTO "buckets" VALUES('DescribeSecurityGroups',19.0,'2026-11-22 23:09:39.752000');
INSERT INTO "buckets" VALUES('RunInstances',19.0,'2026-11-22 23:09:39.761000');
INSERT INTO "buckets" VALUES('CreateVolume',19.0,'2026-11-22 23:09:40.003000');
INSERT INTO "buckets" VALUES('AttachVolume',19.0,'2026-11-22 23:09:40.617000');
CREATE TABLE calls (
	job_id VARCHAR(32) NOT NULL, 
	number INTEGER NOT NULL, 
	lease_id VARCHAR(32) NOT NULL, 
	at DATETIME NOT NULL, 
	last_at DATETIME NOT NULL, 
	times INTEGER NOT NULL, 
	left_out INTEGER NOT NULL, 
	step VARCHAR(32) NOT NULL, 
	operation VARCHAR(64) NOT NULL, 
	parameters TEXT NOT NULL, 
	duration_ms INTEGER NOT NULL, 
	outcome VARCHAR(32) NOT NULL, 
	answer TEXT NOT NULL, 
	error_code VARCHAR(160) NOT NULL, 
	error TEXT NOT NULL, 
	request_id VARCHAR(64) NOT NULL, 
	PRIMARY KEY (job_id, number), 
	FOREIGN KEY(job_id) REFERENCES jobs (id), 
	FOREIGN KEY(lease_id) REFERENCES leases (id)
);
INSERT INTO "calls" VALUES('f5a6db3b720f',0,'b4d0106a0c52','2026-11-22 23:09:39.725766','2026-11-22 23:09:39.725766',1,0,'','DescribeAvailabilityZones','{}',0,'ok','{"AvailabilityZones.1.ZoneName": "one", "AvailabilityZones.1.State": "available"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',1,'b4d0106a0c52','2026-11-22 23:09:39.750506','2026-11-22 23:09:39.750506',1,0,'instance','DescribeImages','{}',0,'ok','{"Images.1.ImageId": "emi-00000001", "Images.1.Name": "tiny", "Images.1.State": "available", "Images.1.Architecture": "x86_64", "Images.1.RootDeviceType": "ebs"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',2,'b4d0106a0c52','2026-11-22 23:09:39.753223','2026-11-22 23:09:39.753223',1,0,'instance','DescribeSecurityGroups','{"Filter.1.Name": "group-name", "Filter.1.Value.1": "educloud-2c90eb765349037c77e8bd0b27af7eaf-first-steps"}',0,'ok','{"SecurityGroups": "[none of this machine''s]"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',3,'b4d0106a0c52','2026-11-22 23:09:39.753223','2026-11-22 23:09:39.753223',1,0,'instance','CreateSecurityGroup','{"GroupName": "educloud-2c90eb765349037c77e8bd0b27af7eaf-first-steps"}',0,'ok','{"GroupId": "sg-educloud-2c90eb765349037c77e8bd0b27af7eaf-first-steps"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',4,'b4d0106a0c52','2026-11-22 23:09:39.761761','2026-11-22 23:09:39.761761',1,0,'instance','RunInstances','{"ImageId": "emi-00000001", "MinCount": "1", "MaxCount": "1", "InstanceType": "t2.micro", "Placement.AvailabilityZone": "one", "UserData": "[user data, 1040 bytes]", "ClientToken": "educloud-e25ca3e3b20028769e7c1ea64234d362682458c99e52b8ca05a09bd", "SecurityGroup.1": "educloud-2c90eb765349037c77e8bd0b27af7eaf-first-steps", "TagSpecification.1.ResourceType": "instance", "TagSpecification.1.Tag.1.Key": "Name", "TagSpecification.1.Tag.1.Value": "lab \u00e9 \"x\" (Ann O''Neil)", "TagSpecification.1.Tag.2.Key": "educloud-deployment", "TagSpecification.1.Tag.2.Value": "2c90eb765349037c77e8bd0b27af7eaf", "TagSpecification.1.Tag.3.Key": "educloud-course", "TagSpecification.1.Tag.3.Value": "local", "TagSpecification.1.Tag.4.Key": "educloud-owner", "TagSpecification.1.Tag.4.Value": "Ann O''Neil", "TagSpecification.1.Tag.5.Key": "educloud-lease", "TagSpecification.1.Tag.5.Value": "b4d0106a0c52", "TagSpecification.1.Tag.6.Key": "educloud-generation", "TagSpecification.1.Tag.6.Value": "1", "TagSpecification.1.Tag.7.Key": "educloud-nonce", "TagSpecification.1.Tag.7.Value": "educloud-e25ca3e3b20028769e7c1ea64234d362682458c99e52b8ca05a09bd"}',0,'ok','{"Instances.1.InstanceId": "i-00000001", "Instances.1.State.Name": "pending", "Instances.1.ImageId": "emi-00000001", "Instances.1.InstanceType": "t2.micro", "Instances.1.Placement.AvailabilityZone": "one", "Instances.1.PrivateIpAddress": "0.0.0.0", "Instances.1.RootDeviceType": "ebs"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',5,'b4d0106a0c52','2026-11-22 23:09:39.996059','2026-11-22 23:09:39.996059',1,0,'volume','DescribeInstances','{}',0,'ok','{"Instances.1.InstanceId": "i-00000001", "Instances.1.State.Name": "pending", "Instances.1.ImageId": "emi-00000001", "Instances.1.InstanceType": "t2.micro", "Instances.1.Placement.AvailabilityZone": "one", "Instances.1.PrivateIpAddress": "0.0.0.0", "Instances.1.RootDeviceType": "ebs"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',6,'b4d0106a0c52','2026-11-22 23:09:39.996059','2026-11-22 23:09:39.996059',1,0,'volume','DescribeVolumes','{}',0,'ok','{"Volumes": "[none of this machine''s]"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',7,'b4d0106a0c52','2026-11-22 23:09:40.003635','2026-11-22 23:09:40.003635',1,0,'volume','CreateVolume','{"Size": "1", "AvailabilityZone": "one", "TagSpecification.1.ResourceType": "volume", "TagSpecification.1.Tag.1.Key": "Name", "TagSpecification.1.Tag.1.Value": "lab \u00e9 \"x\" data (Ann O''Neil)", "TagSpecification.1.Tag.2.Key": "educloud-deployment", "TagSpecification.1.Tag.2.Value": "2c90eb765349037c77e8bd0b27af7eaf", "TagSpecification.1.Tag.3.Key": "educloud-course", "TagSpecification.1.Tag.3.Value": "local", "TagSpecification.1.Tag.4.Key": "educloud-owner", "TagSpecification.1.Tag.4.Value": "Ann O''Neil", "TagSpecification.1.Tag.5.Key": "educloud-lease", "TagSpecification.1.Tag.5.Value": "b4d0106a0c52", "TagSpecification.1.Tag.6.Key": "educloud-volume", "TagSpecification.1.Tag.6.Value": "4c87810c3d64", "TagSpecification.1.Tag.7.Key": "educloud-nonce", "TagSpecification.1.Tag.7.Value": "4c87810c3d64-1"}',0,'ok','{"VolumeId": "vol-00000002", "State": "creating", "Size": "1", "AvailabilityZone": "one"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',8,'b4d0106a0c52','2026-11-22 23:09:40.298105','2026-11-22 23:09:40.298105',1,0,'instance','DescribeInstances','{}',0,'ok','{"Instances.1.InstanceId": "i-00000001", "Instances.1.State.Name": "running", "Instances.1.ImageId": "emi-00000001", "Instances.1.InstanceType": "t2.micro", "Instances.1.Placement.AvailabilityZone": "one", "Instances.1.PrivateIpAddress": "10.0.0.2", "Instances.1.RootDeviceType": "ebs"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',9,'b4d0106a0c52','2026-11-22 23:09:40.298105','2026-11-22 23:09:40.298105',1,0,'instance','DescribeVolumes','{}',0,'ok','{"Volumes.1.VolumeId": "vol-00000002", "Volumes.1.State": "creating", "Volumes.1.Size": "1", "Volumes.1.AvailabilityZone": "one"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',10,'b4d0106a0c52','2026-11-22 23:09:40.598950','2026-11-22 23:09:40.598950',1,0,'volume','DescribeInstances','{}',0,'ok','{"Instances.1.InstanceId": "i-00000001", "Instances.1.State.Name": "running", "Instances.1.ImageId": "emi-00000001", "Instances.1.InstanceType": "t2.micro", "Instances.1.Placement.AvailabilityZone": "one", "Instances.1.PrivateIpAddress": "10.0.0.2", "Instances.1.RootDeviceType": "ebs"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',11,'b4d0106a0c52','2026-11-22 23:09:40.598950','2026-11-22 23:09:40.598950',1,0,'volume','DescribeVolumes','{}',0,'ok','{"Volumes.1.VolumeId": "vol-00000002", "Volumes.1.State": "available", "Volumes.1.Size": "1", "Volumes.1.AvailabilityZone": "one"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',12,'b4d0106a0c52','2026-11-22 23:09:40.617948','2026-11-22 23:09:40.617948',1,0,'attach','AttachVolume','{"VolumeId": "vol-00000002", "InstanceId": "i-00000001", "Device": "/dev/vdf"}',0,'ok','{"VolumeId": "vol-00000002", "InstanceId": "i-00000001", "Device": "/dev/vdf", "State": "attaching"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',13,'b4d0106a0c52','2026-11-22 23:09:40.899666','2026-11-22 23:09:41.201790',2,0,'attach','DescribeInstances','{}',0,'ok','{"Instances.1.InstanceId": "i-00000001", "Instances.1.State.Name": "running", "Instances.1.ImageId": "emi-00000001", "Instances.1.InstanceType": "t2.micro", "Instances.1.Placement.AvailabilityZone": "one", "Instances.1.PrivateIpAddress": "10.0.0.2", "Instances.1.RootDeviceType": "ebs"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',14,'b4d0106a0c52','2026-11-22 23:09:40.899666','2026-11-22 23:09:40.899666',1,0,'attach','DescribeVolumes','{}',0,'ok','{"Volumes.1.VolumeId": "vol-00000002", "Volumes.1.State": "in-use", "Volumes.1.Size": "1", "Volumes.1.AvailabilityZone": "one", "Volumes.1.Attachments.1.InstanceId": "i-00000001", "Volumes.1.Attachments.1.Device": "/dev/vdf", "Volumes.1.Attachments.1.State": "attaching"}','','','');
INSERT INTO "calls" VALUES('f5a6db3b720f',15,'b4d0106a0c52','2026-11-22 23:09:41.201790','2026-11-22 23:09:41.201790',1,0,'attach','DescribeVolumes','{}',0,'ok','{"Volumes.1.VolumeId": "vol-00000002", "Volumes.1.State": "in-use", "Volumes.1.Size": "1", "Volumes.1.AvailabilityZone": "one", "Volumes.1.Attachments.1.InstanceId": "i-00000001", "Volumes.1.Attachments.1.Device": "/dev/vdf", "Volumes.1.Attachments.1.State": "attached"}','','','');
CREATE TABLE counter (
	id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	clock_offset_s FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "counter" VALUES(1,45,0.0);
CREATE TABLE durations (
	id INTEGER NOT NULL, 
	scope TEXT NOT NULL, 
	step VARCHAR(32) NOT NULL, 
	seconds FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "durations" VALUES(1,'start:first-steps:new','instance',5.7036403199890628457e-01);
INSERT INTO "durations" VALUES(2,'start:first-steps:new','address',1.23823949979851022362e-02);
INSERT INTO "durations" VALUES(3,'start:first-steps:new','connect',2.59188114003336522728e-01);
INSERT INTO "durations" VALUES(4,'start:first-steps:new','volume',8.68583465002302546054e-01);
INSERT INTO "durations" VALUES(5,'start:first-steps:new','attach',6.04544036003062501549e-01);
INSERT INTO "durations" VALUES(6,'start:first-steps:new','disk',8.31003500206861644983e-03);
INSERT INTO "durations" VALUES(7,'start:first-steps:new','format',1.93650009969132952392e-02);
INSERT INTO "durations" VALUES(8,'start:first-steps:new','mount',1.4766330998099874705e-02);
INSERT INTO "durations" VALUES(9,'start:first-steps:new','ready',1.0057275998406112194e-02);
INSERT INTO "durations" VALUES(10,'start:first-steps:new','',1.579);
CREATE TABLE job_steps (
	job_id VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	name VARCHAR(32) NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	waiting_for TEXT NOT NULL, 
	started_at DATETIME, 
	ended_at DATETIME, 
	PRIMARY KEY (job_id, position), 
	FOREIGN KEY(job_id) REFERENCES jobs (id)
);
INSERT INTO "job_steps" VALUES('f5a6db3b720f',0,'volume','done','','2026-11-22 23:09:39.736000','2026-11-22 23:09:40.602000');
INSERT INTO "job_steps" VALUES('f5a6db3b720f',1,'instance','done','','2026-11-22 23:09:39.737000','2026-11-22 23:09:40.303000');
INSERT INTO "job_steps" VALUES('f5a6db3b720f',2,'address','done','','2026-11-22 23:09:40.312000','2026-11-22 23:09:40.318000');
INSERT INTO "job_steps" VALUES('f5a6db3b720f',3,'connect','done','','2026-11-22 23:09:40.322000','2026-11-22 23:09:40.578000');
INSERT INTO "job_steps" VALUES('f5a6db3b720f',4,'attach','done','','2026-11-22 23:09:40.608000','2026-11-22 23:09:41.208000');
INSERT INTO "job_steps" VALUES('f5a6db3b720f',5,'disk','done','','2026-11-22 23:09:41.216000','2026-11-22 23:09:41.218000');
INSERT INTO "job_steps" VALUES('f5a6db3b720f',6,'format','done','','2026-11-22 23:09:41.221000','2026-11-22 23:09:41.238000');
INSERT INTO "job_steps" VALUES('f5a6db3b720f',7,'mount','done','','2026-11-22 23:09:41.241000','2026-11-22 23:09:41.254000');
INSERT INTO "job_steps" VALUES('f5a6db3b720f',8,'ready','done','','2026-11-22 23:09:41.257000','2026-11-22 23:09:41.265000');
CREATE TABLE jobs (
	id VARCHAR(32) NOT NULL, 
	lease_id VARCHAR(32) NOT NULL, 
	volume_id VARCHAR(32), 
	kind VARCHAR(32) NOT NULL, 
	scope TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	next_attempt_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	outcome VARCHAR(32), 
	attempts INTEGER NOT NULL, 
	strikes INTEGER NOT NULL, 
	waiting_for TEXT NOT NULL, 
	holder VARCHAR(128), 
	epoch INTEGER NOT NULL, 
	claimed_until DATETIME, asked_by VARCHAR(255) DEFAULT '' NOT NULL, arguments TEXT DEFAULT '{}' NOT NULL, queue VARCHAR(160) DEFAULT '' NOT NULL, queued_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(lease_id) REFERENCES leases (id), 
	FOREIGN KEY(volume_id) REFERENCES volumes (id)
);
INSERT INTO "jobs" VALUES('f5a6db3b720f','b4d0106a0c52','4c87810c3d64','start','start:first-steps:new','2026-11-22 23:09:39.689000','2026-11-22 23:09:39.689000','2026-11-22 23:09:41.268000','done',1,0,'','a-computer:30027:5b919759',1,'2026-11-22 23:09:51.261000','Ann O''Neil','{}','',NULL);
CREATE TABLE leases (
	id VARCHAR(32) NOT NULL, 
	course VARCHAR(64) NOT NULL, 
	lab VARCHAR(64) NOT NULL, 
	person VARCHAR(255) NOT NULL, 
	slot VARCHAR(64) NOT NULL, 
	profile TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	generation INTEGER NOT NULL, 
	target VARCHAR(32) NOT NULL, 
	status VARCHAR(32) NOT NULL, 
	reason VARCHAR(32) NOT NULL, 
	problem TEXT, 
	instance_id VARCHAR(64), 
	instance_state VARCHAR(32) NOT NULL, 
	address VARCHAR(64), 
	zone VARCHAR(64) NOT NULL, 
	image_id VARCHAR(64) NOT NULL, 
	root_device_type VARCHAR(32) NOT NULL, 
	launched_at DATETIME, 
	client_token VARCHAR(64) NOT NULL, 
	token_at DATETIME, 
	token_sent BOOLEAN NOT NULL, 
	bootstrap_key TEXT NOT NULL, 
	host_key TEXT NOT NULL, 
	host_key_stage VARCHAR(32) NOT NULL, 
	started_at DATETIME, 
	expires_at DATETIME, first_connected_at DATETIME, active_at DATETIME, active_by VARCHAR(32) DEFAULT '' NOT NULL, busy_until DATETIME, told VARCHAR(64) DEFAULT '' NOT NULL, guard_until DATETIME, exempt_since DATETIME, exempt_until DATETIME, exempt_reason TEXT DEFAULT '' NOT NULL, exempt_by VARCHAR(255) DEFAULT '' NOT NULL, finding TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "leases" VALUES('b4d0106a0c52','local','lab é "x"','Ann O''Neil','main','{"name": "first-steps", "revision": 1, "title": "First steps", "description": "", "image": "tiny", "instance_type": "t2.micro", "login_user": "student", "volume": {"size_gib": 1, "mount_point": "/data", "device": "/dev/vdf"}, "time_limit_s": 14400, "idle_limit_s": 0, "first_connection_limit_s": 0, "warn_before_s": [900, 300, 60], "ports": [], "retired": "", "sha256": ""}','2026-11-22 23:09:39.689000','2026-11-22 23:09:41.278000',1,'running','running','',NULL,'i-00000001','running','10.0.0.2','one','emi-00000001','ebs','2026-11-22 23:09:39.761781','educloud-e25ca3e3b20028769e7c1ea64234d362682458c99e52b8ca05a09bd','2026-11-22 23:09:39.744000',1,'','ssh-ed25519 rzHYEbIDp/IgQMl4OLsd5FND7e2JiFe16cGHPSRB2WmZl4TzUOuhDy1J84yGC8PyxkG0','pinned','2026-11-22 23:09:41.268000','2026-11-23 03:09:41.268000',NULL,'2026-03-02 09:30:00.123000','',NULL,'','2026-11-23 03:24:41.000000',NULL,'2026-03-02 09:30:00.123000','exam','','{"code": "no-address", "what": "It has no address.", "component": "CC", "sure": "likely", "at": "2026-03-02T09:30:00.123000+00:00", "evidence": [{"what": "address", "seen": "0.0.0.0", "means": ""}], "by_itself": "", "student_can": "", "instructor_can": "", "hidden": ""}');
CREATE TABLE meta (
	name VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('deployment','2c90eb765349037c77e8bd0b27af7eaf');
CREATE TABLE orphans (
	cloud_id VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	first_seen_at DATETIME NOT NULL, 
	last_seen_at DATETIME NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	reason TEXT NOT NULL, 
	person VARCHAR(255) NOT NULL, 
	lab VARCHAR(255) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	acted_at DATETIME, 
	PRIMARY KEY (cloud_id)
);
INSERT INTO "orphans" VALUES('i-9','instance','2026-03-02 09:30:00.123000','2026-03-02 09:30:00.123000','reaped','','','',0,NULL);
CREATE TABLE permits (
	id VARCHAR(32) NOT NULL, 
	lease_id VARCHAR(32) NOT NULL, 
	volume_id VARCHAR(64) NOT NULL, 
	serial VARCHAR(32) NOT NULL, 
	generation INTEGER NOT NULL, 
	file_system_uuid VARCHAR(36) NOT NULL, 
	granted_at DATETIME NOT NULL, 
	spent_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(lease_id) REFERENCES leases (id)
);
INSERT INTO "permits" VALUES('7b7283138d8547378549c6a00c0914dc','b4d0106a0c52','vol-00000002','euca-vol-00000002-de',1,'4e87ee60-51e8-4059-8a06-9c41c021eb3f','2026-11-22 23:09:41.204000','2026-11-22 23:09:41.227000');
CREATE TABLE secrets (
	name VARCHAR(64) NOT NULL, 
	public TEXT NOT NULL, 
	private TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "secrets" VALUES('user-ca','ssh-ed25519 dxu40oRBwJTkkM++sS1Q6o8XJh7DZVn7oKqj9zkkly8k6TKR4i0r9nP+BuJ8HwRlcPus','gAAAAABrA3YzZeV5FLpNiezMgTqUbO9d_v5a91t85yWiEgKoHIXmvwgR5G7P8xG4McpgThiL5uD2VYrxgsvJeE3G_jHYz-m_u5rz60N7Ps2WBGOiI2OuaAeCzZEA7DeZrWCOla_90Iit3yBd4iCL7iODsvTF5zqVzG2EsOFASOl8itAp-qXIPB-2rLrmmep5sOZZfqjlWyuG');
CREATE TABLE shelf (
	id VARCHAR(32) NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	cloud_id VARCHAR(64) NOT NULL, 
	course VARCHAR(64) NOT NULL, 
	lab VARCHAR(64) NOT NULL, 
	lease_id VARCHAR(32), 
	person VARCHAR(255) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	zone VARCHAR(64) NOT NULL, 
	created_at DATETIME, 
	shelved_at DATETIME NOT NULL, 
	delete_after DATETIME, 
	reason VARCHAR(32) NOT NULL, 
	file_system_uuid VARCHAR(36), 
	formatted_at DATETIME, 
	last_mounted_at DATETIME, 
	last_written_at DATETIME, 
	mount_count INTEGER, 
	from_snapshot VARCHAR(32), 
	ended_at DATETIME, 
	"end" VARCHAR(32) NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(lease_id) REFERENCES leases (id)
);
INSERT INTO "shelf" VALUES('b0','bin','vol-0','local','lab é "x"','b4d0106a0c52','Ann O''Neil',0,'',NULL,'2026-03-02 09:30:00.123000',NULL,'x',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'');
INSERT INTO "shelf" VALUES('b1','quarantine','vol-1','local','lab é "x"','b4d0106a0c52','Ann O''Neil',0,'',NULL,'2026-03-03 09:30:00.123000',NULL,'x',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'');
CREATE TABLE snapshots (
	id VARCHAR(32) NOT NULL, 
	lease_id VARCHAR(32) NOT NULL, 
	course VARCHAR(64) NOT NULL, 
	lab VARCHAR(64) NOT NULL, 
	person VARCHAR(255) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	volume_cloud_id VARCHAR(64) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	created_by VARCHAR(255) NOT NULL, 
	cloud_id VARCHAR(64), 
	nonce INTEGER NOT NULL, 
	create_sent BOOLEAN NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	consistency VARCHAR(32) NOT NULL, 
	progress_percent INTEGER NOT NULL, 
	completed_at DATETIME, 
	file_system_uuid VARCHAR(36), 
	formatted_at DATETIME, 
	published BOOLEAN NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(lease_id) REFERENCES leases (id)
);
INSERT INTO "snapshots" VALUES('s1','b4d0106a0c52','local','lab é "x"','Ann O''Neil','before é','vol-1',1073741824,'2026-03-02 09:30:00.123000','Ann O''Neil','snap-1',1,0,'completed','frozen',0,NULL,NULL,NULL,0);
CREATE TABLE volumes (
	id VARCHAR(32) NOT NULL, 
	lease_id VARCHAR(32) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	mount_point TEXT NOT NULL, 
	device VARCHAR(32) NOT NULL, 
	cloud_id VARCHAR(64), 
	zone VARCHAR(64) NOT NULL, 
	stage VARCHAR(32) NOT NULL, 
	nonce INTEGER NOT NULL, 
	create_sent BOOLEAN NOT NULL, 
	file_system_uuid VARCHAR(36), 
	formatted_at DATETIME, 
	last_mounted_at DATETIME, 
	may_be_mounted BOOLEAN NOT NULL, 
	quarantined TEXT NOT NULL, from_snapshot VARCHAR(32), last_written_at DATETIME, mount_count INTEGER, growing_to_bytes BIGINT, proof VARCHAR(32) DEFAULT '' NOT NULL, proved_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(lease_id) REFERENCES leases (id), 
	UNIQUE (lease_id)
);
INSERT INTO "volumes" VALUES('4c87810c3d64','b4d0106a0c52',1073741824,'/data','/dev/vdf','vol-00000002','one','mounted',1,1,'4e87ee60-51e8-4059-8a06-9c41c021eb3f','2026-11-22 23:09:41.234000','2026-11-22 23:09:41.252000',1,'[]',NULL,NULL,NULL,NULL,'','2026-11-22 23:09:41.252000');
CREATE INDEX durations_of_scope ON durations (scope, step, id);
CREATE UNIQUE INDEX one_lease_per_key ON leases (course, lab, person, slot);
CREATE INDEX ix_permits_volume_id ON permits (volume_id);
CREATE INDEX jobs_of_lease ON jobs (lease_id, created_at);
CREATE UNIQUE INDEX one_job_per_lease ON jobs (lease_id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX one_job_per_volume ON jobs (volume_id) WHERE ended_at IS NULL;
CREATE INDEX ix_snapshots_lease_id ON snapshots (lease_id);
CREATE INDEX ix_shelf_cloud_id ON shelf (cloud_id);
CREATE INDEX ix_shelf_lease_id ON shelf (lease_id);
CREATE INDEX audits_of_course ON audits (course, id);
CREATE INDEX audits_of_lease ON audits (lease_id, id);
CREATE TRIGGER audits_no_update BEFORE UPDATE ON audits
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;
CREATE TRIGGER audits_no_delete BEFORE DELETE ON audits
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;
CREATE INDEX ix_calls_lease_id ON calls (lease_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audits',5);
COMMIT;
