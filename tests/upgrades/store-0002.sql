BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
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
INSERT INTO "audits" VALUES(1,'2026-11-22 20:32:43.711000','Ann O''Neil','lease.start','local','37b968343ad7','Ann O''Neil','','ok','');
INSERT INTO "audits" VALUES(2,'2026-11-22 20:32:45.600000','Ann O''Neil','permit.granted','local','37b968343ad7','Ann O''Neil','vol-00000001','ok','');
INSERT INTO "audits" VALUES(3,'2026-11-22 20:32:45.724000','Ann O''Neil','permit.spent','local','37b968343ad7','Ann O''Neil','vol-00000001','ok','');
INSERT INTO "audits" VALUES(4,'2026-11-22 20:32:46.065000','Ann O''Neil','job.start.done','local','37b968343ad7','Ann O''Neil','i-00000002','ok','attempts: 1');
INSERT INTO "audits" VALUES(5,'2026-11-22 20:32:46.142000','Ann O''Neil','grant.given','local','37b968343ad7','Ann O''Neil','i-00000002','ok','');
CREATE TABLE buckets (
	name VARCHAR(200) NOT NULL, 
	tokens FLOAT NOT NULL, 
	at DATETIME NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "buckets" VALUES('DescribeInstances',19.0,'2026-11-22 20:32:45.588000');
INSERT INTO "buckets" VALUES('DescribeVolumes',19.0,'2026-11-22 20:32:45.588000');
INSERT INTO "buckets" VALUES('all',78.0,'2026-11-22 20:32:45.588000');
INSERT INTO "buckets" VALUES('DescribeAvailabilityZones',19.0,'2026-11-22 20:32:44.003000');
INSERT INTO "buckets" VALUES('DescribeImages',19.0,'2026-11-22 20:32:44.094000');
INSERT INTO "buckets" VALUES('CreateVolume',19.0,'2026-11-22 20:32:44.147000');
INSERT INTO "buckets" VALUES('DescribeSecurityGroups',19.0,'2026-11-22 20:32:44.200000');
INSERT INTO "buckets" VALUES('RunInstances',19.0,'2026-11-22 20:32:44.311000');
INSERT INTO "buckets" VALUES('AttachVolume',19.0,'2026-11-22 20:32:45.191000');
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
INSERT INTO "durations" VALUES(1,'start:first-steps:new','volume',0.643713089000812);
INSERT INTO "durations" VALUES(2,'start:first-steps:new','instance',9.40791353998065460473e-01);
INSERT INTO "durations" VALUES(3,'start:first-steps:new','address',1.19581681999989086762e-01);
INSERT INTO "durations" VALUES(4,'start:first-steps:new','connect',1.06165247998433187603e-01);
INSERT INTO "durations" VALUES(5,'start:first-steps:new','attach',6.40907663000689353793e-01);
INSERT INTO "durations" VALUES(6,'start:first-steps:new','disk',3.17259539988299366086e-02);
INSERT INTO "durations" VALUES(7,'start:first-steps:new','format',1.05194398998719407245e-01);
INSERT INTO "durations" VALUES(8,'start:first-steps:new','mount',1.30397708999225869774e-01);
INSERT INTO "durations" VALUES(9,'start:first-steps:new','ready',7.0725596000556834042e-02);
INSERT INTO "durations" VALUES(10,'start:first-steps:new','',2.354);
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
INSERT INTO "job_steps" VALUES('5450b47cfb93',0,'volume','done','','2026-11-22 20:32:44.056000','2026-11-22 20:32:44.689000');
INSERT INTO "job_steps" VALUES('5450b47cfb93',1,'instance','done','','2026-11-22 20:32:44.056000','2026-11-22 20:32:44.994000');
INSERT INTO "job_steps" VALUES('5450b47cfb93',2,'address','done','','2026-11-22 20:32:45.030000','2026-11-22 20:32:45.121000');
INSERT INTO "job_steps" VALUES('5450b47cfb93',3,'connect','done','','2026-11-22 20:32:45.190000','2026-11-22 20:32:45.263000');
INSERT INTO "job_steps" VALUES('5450b47cfb93',4,'attach','done','','2026-11-22 20:32:45.047000','2026-11-22 20:32:45.642000');
INSERT INTO "job_steps" VALUES('5450b47cfb93',5,'disk','done','','2026-11-22 20:32:45.672000','2026-11-22 20:32:45.686000');
INSERT INTO "job_steps" VALUES('5450b47cfb93',6,'format','done','','2026-11-22 20:32:45.706000','2026-11-22 20:32:45.810000');
INSERT INTO "job_steps" VALUES('5450b47cfb93',7,'mount','done','','2026-11-22 20:32:45.850000','2026-11-22 20:32:45.959000');
INSERT INTO "job_steps" VALUES('5450b47cfb93',8,'ready','done','','2026-11-22 20:32:45.994000','2026-11-22 20:32:46.051000');
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
INSERT INTO "jobs" VALUES('5450b47cfb93','37b968343ad7','6daea11e3648','start','start:first-steps:new','2026-11-22 20:32:43.711000','2026-11-22 20:32:43.711000','2026-11-22 20:32:46.065000','done',1,0,'','a-computer:2331:2d54f25e',1,'2026-11-22 20:32:56.031000','Ann O''Neil','{}','',NULL);
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
INSERT INTO "leases" VALUES('37b968343ad7','local','lab é "x"','Ann O''Neil','main','{"name": "first-steps", "revision": 1, "title": "First steps", "description": "", "image": "tiny", "instance_type": "t2.micro", "login_user": "student", "volume": {"size_gib": 1, "mount_point": "/data", "device": "/dev/vdf"}, "time_limit_s": 14400, "idle_limit_s": 0, "first_connection_limit_s": 0, "warn_before_s": [900, 300, 60], "sha256": ""}','2026-11-22 20:32:43.711000','2026-11-22 20:32:46.143000',1,'running','running','',NULL,'i-00000002','running','10.0.0.3','one','emi-00000001','ebs','2026-11-22 20:32:44.317961','educloud-1f89eb78c95fd76d12f5709df31cbb56f66f633adac8a4ffe8dee29','2026-11-22 20:32:44.063000',1,'','ssh-ed25519 68eFl+fJ4Qd2p4EIvvuGTsa+IbQ64cwucPYgB5TE/spxxwqHO93KiIVPmX+FMLxF9loV','pinned','2026-11-22 20:32:46.065000','2026-11-23 00:32:46.065000',NULL,'2026-03-02 09:30:00.123000','',NULL,'','2026-11-23 00:47:46.000000',NULL,'2026-03-02 09:30:00.123000','exam','','{"code": "no-address", "what": "It has no address.", "component": "CC", "sure": "likely", "at": "2026-03-02T09:30:00.123000+00:00", "evidence": [{"what": "address", "seen": "0.0.0.0", "means": ""}], "by_itself": "", "student_can": "", "instructor_can": "", "hidden": ""}');
CREATE TABLE meta (
	name VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('deployment','38afe15be3a0302f5f5632ee617a7cab');
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
INSERT INTO "permits" VALUES('6f82b0083184434dbba8e3eb46ac3f50','37b968343ad7','vol-00000001','euca-vol-00000001-de',1,'168e0740-857a-4edb-8ea0-815ea7c0a121','2026-11-22 20:32:45.600000','2026-11-22 20:32:45.724000');
CREATE TABLE secrets (
	name VARCHAR(64) NOT NULL, 
	public TEXT NOT NULL, 
	private TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "secrets" VALUES('user-ca','ssh-ed25519 DnDz3tE1mgDbi2wASnZ97YqsHHYm44ZsQtl0O2gbrixC1KwbKUIrGMODsluJlcbmcNBN','gAAAAABrA1FrwDxbYAWoc8NQa3O-wBzQsorf3gn5t2F8Lt0-7rW40T43pAebfdJQbQy9TvBwe9ubSZ850VRKDuemk3U9PWrG3AGE8xIupLL1iRKJzUb-iu16Ho5t3eULXITy9QcfLvJ6wb918avzYGclGDP2zKpb9yDpuIbsP6VwROHYHI5YIvlnS3I75zPsCvsD2WWdV5VQ');
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
INSERT INTO "shelf" VALUES('b0','bin','vol-0','local','lab é "x"','37b968343ad7','Ann O''Neil',0,'',NULL,'2026-03-02 09:30:00.123000',NULL,'x',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'');
INSERT INTO "shelf" VALUES('b1','quarantine','vol-1','local','lab é "x"','37b968343ad7','Ann O''Neil',0,'',NULL,'2026-03-03 09:30:00.123000',NULL,'x',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'');
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
INSERT INTO "snapshots" VALUES('s1','37b968343ad7','local','lab é "x"','Ann O''Neil','before é','vol-1',1073741824,'2026-03-02 09:30:00.123000','Ann O''Neil','snap-1',1,0,'completed','frozen',0,NULL,NULL,NULL,0);
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
INSERT INTO "volumes" VALUES('6daea11e3648','37b968343ad7',1073741824,'/data','/dev/vdf','vol-00000001','one','mounted',1,1,'168e0740-857a-4edb-8ea0-815ea7c0a121','2026-11-22 20:32:45.788000','2026-11-22 20:32:45.947000',1,'[]',NULL,NULL,NULL,NULL,'','2026-11-22 20:32:45.947000');
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audits',5);
COMMIT;
