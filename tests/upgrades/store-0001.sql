BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE counter (
	id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	clock_offset_s FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "counter" VALUES(1,43,0.0);
CREATE TABLE durations (
	id INTEGER NOT NULL, 
	scope TEXT NOT NULL, 
	step VARCHAR(32) NOT NULL, 
	seconds FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "durations" VALUES(1,'start:first-steps:new','instance',1.31475411999872449086e-01);
INSERT INTO "durations" VALUES(2,'start:first-steps:new','volume',1.36495377000301232328e-01);
INSERT INTO "durations" VALUES(3,'start:first-steps:new','address',9.72680699987904517911e-03);
INSERT INTO "durations" VALUES(4,'start:first-steps:new','attach',1.48270566000064718537e-01);
INSERT INTO "durations" VALUES(5,'start:first-steps:new','connect',2.7488034699990748777e-01);
INSERT INTO "durations" VALUES(6,'start:first-steps:new','disk',2.6186567999957333086e-02);
INSERT INTO "durations" VALUES(7,'start:first-steps:new','format',1.85053620002690877299e-02);
INSERT INTO "durations" VALUES(8,'start:first-steps:new','mount',1.40466930001821310725e-02);
INSERT INTO "durations" VALUES(9,'start:first-steps:new','ready',4.02600100005656713619e-03);
INSERT INTO "durations" VALUES(10,'start:first-steps:new','',0.523);
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
INSERT INTO "job_steps" VALUES('2c98c1dc211c',0,'volume','done','','2026-11-22 14:10:23.797000','2026-11-22 14:10:23.933000');
INSERT INTO "job_steps" VALUES('2c98c1dc211c',1,'instance','done','','2026-11-22 14:10:23.797000','2026-11-22 14:10:23.928000');
INSERT INTO "job_steps" VALUES('2c98c1dc211c',2,'address','done','','2026-11-22 14:10:23.935000','2026-11-22 14:10:23.940000');
INSERT INTO "job_steps" VALUES('2c98c1dc211c',3,'connect','done','','2026-11-22 14:10:23.945000','2026-11-22 14:10:24.216000');
INSERT INTO "job_steps" VALUES('2c98c1dc211c',4,'attach','done','','2026-11-22 14:10:23.935000','2026-11-22 14:10:24.082000');
INSERT INTO "job_steps" VALUES('2c98c1dc211c',5,'disk','done','','2026-11-22 14:10:24.225000','2026-11-22 14:10:24.243000');
INSERT INTO "job_steps" VALUES('2c98c1dc211c',6,'format','done','','2026-11-22 14:10:24.254000','2026-11-22 14:10:24.268000');
INSERT INTO "job_steps" VALUES('2c98c1dc211c',7,'mount','done','','2026-11-22 14:10:24.271000','2026-11-22 14:10:24.283000');
INSERT INTO "job_steps" VALUES('2c98c1dc211c',8,'ready','done','','2026-11-22 14:10:24.286000','2026-11-22 14:10:24.288000');
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
	claimed_until DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(lease_id) REFERENCES leases (id), 
	FOREIGN KEY(volume_id) REFERENCES volumes (id)
);
INSERT INTO "jobs" VALUES('2c98c1dc211c','3f18023b0ede','01754291022c','start','start:first-steps:new','2026-11-22 14:10:23.768000','2026-11-22 14:10:23.768000','2026-11-22 14:10:24.291000','done',1,0,'','laptop:25283:97489b3d',1,'2026-11-22 14:10:33.787000');
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
	expires_at DATETIME, 
	PRIMARY KEY (id)
);
INSERT INTO "leases" VALUES('3f18023b0ede','local','01-first','Ann O''Neil','main','{"name": "first-steps", "revision": 1, "title": "First steps", "description": "", "image": "tiny", "instance_type": "t2.micro", "login_user": "student", "volume": {"size_gib": 1, "mount_point": "/data", "device": "/dev/vdf"}, "time_limit_s": 14400, "sha256": ""}','2026-11-22 14:10:23.768000','2026-11-22 14:10:24.291000',1,'running','running','',NULL,'i-00000001','running','10.0.0.2','one','emi-00000001','ebs','2026-11-22 14:10:23.809661','educloud-cb319c04aedec778a9715298b253044fa5263303048b15c15e6f091','2026-11-22 14:10:23.803000',1,'','ssh-ed25519 rzHYEbIDp/IgQMl4OLsd5FND7e2JiFe16cGHPSRB2WmZl4TzUOuhDy1J84yGC8PyxkG0','pinned','2026-11-22 14:10:24.291000','2026-11-22 18:10:24.291000');
CREATE TABLE meta (
	name VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('deployment','575c26891a94f8a8750a2388fb7ea533');
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
INSERT INTO "permits" VALUES('7c9890aef9dd4ca890a939593ed9a1db','3f18023b0ede','vol-00000002','euca-vol-00000002-de',1,'9a7292a8-749e-49a6-b9db-a675756c12ae','2026-11-22 14:10:24.075000','2026-11-22 14:10:24.259000');
CREATE TABLE secrets (
	name VARCHAR(64) NOT NULL, 
	public TEXT NOT NULL, 
	private TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "secrets" VALUES('user-ca','ssh-ed25519 IZd50eipETOP7wzYqDp4Hx6rkSkOIpgU4fxm6rYfxFCDOWuSdW59JT2B0UrpS48gWvfP','gAAAAABrAvfPDRgT1AhewKTTz0q_XObkhgn2994OYF0_nuG_6oEGyZbqW7bLD9Q5U-SQIn4aMvOOlYelZGNjNK8XwJIMlWGMvRjlHSw1zGvQ75q3QAX70lL8E9I_s-f3ZCv-_SsmjvfYzJODItil7xrAFFVZczcE9IqJTyUA4rVNsEQXzhah4SOYipXIje45ZCoAdYXSFPzH');
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
	quarantined TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(lease_id) REFERENCES leases (id), 
	UNIQUE (lease_id)
);
INSERT INTO "volumes" VALUES('01754291022c','3f18023b0ede',1073741824,'/data','/dev/vdf','vol-00000002','one','mounted',1,1,'9a7292a8-749e-49a6-b9db-a675756c12ae','2026-11-22 14:10:24.264000','2026-11-22 14:10:24.279000',1,'[]');
CREATE INDEX durations_of_scope ON durations (scope, step, id);
CREATE UNIQUE INDEX one_lease_per_key ON leases (course, lab, person, slot);
CREATE INDEX ix_permits_volume_id ON permits (volume_id);
CREATE INDEX jobs_of_lease ON jobs (lease_id, created_at);
CREATE UNIQUE INDEX one_job_per_lease ON jobs (lease_id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX one_job_per_volume ON jobs (volume_id) WHERE ended_at IS NULL;
COMMIT;
