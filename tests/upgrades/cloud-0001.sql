BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE attachment (
	volume_id VARCHAR(32) NOT NULL, 
	instance_id VARCHAR(32) NOT NULL, 
	device VARCHAR(32) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	is_root BOOLEAN NOT NULL, 
	delete_on_termination BOOLEAN NOT NULL, 
	attached_at DATETIME NOT NULL, 
	PRIMARY KEY (volume_id)
);
INSERT INTO "attachment" VALUES('vol-e41568b9047f3fade','i-401d195064cd1e7a8','/dev/sda','attached',1,1,'2026-11-22 12:00:00.000000');
INSERT INTO "attachment" VALUES('vol-f0be2a7f1053fbda5','i-c1a24ce712957b335','/dev/sda','attached',1,1,'2026-11-22 12:00:00.000000');
INSERT INTO "attachment" VALUES('vol-33d022720281409ea','i-64751b76205719f16','/dev/sda','attached',1,1,'2026-11-22 12:00:00.000000');
INSERT INTO "attachment" VALUES('vol-e81b8bd3037b28fbd','i-bd35e98442bec4a6e','/dev/sda','attached',1,1,'2026-11-22 12:00:00.000000');
INSERT INTO "attachment" VALUES('vol-af917d02883f16ee1','i-401d195064cd1e7a8','/dev/sdf','attached',0,0,'2026-11-22 12:00:00.000000');
INSERT INTO "attachment" VALUES('vol-8b7e83905ee36d58e','i-c1a24ce712957b335','/dev/sdg','attached',0,0,'2026-11-22 12:00:00.000000');
INSERT INTO "attachment" VALUES('vol-91602630453873712','i-7bba7de22f400fc48','/dev/sda','attaching',1,1,'2026-11-22 12:00:00.000000');
CREATE TABLE image (
	id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	version VARCHAR(64) NOT NULL, 
	description TEXT NOT NULL, 
	owner VARCHAR(12) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	message TEXT NOT NULL, 
	architecture VARCHAR(16) NOT NULL, 
	virtualization_type VARCHAR(16) NOT NULL, 
	root_device_type VARCHAR(16) NOT NULL, 
	kernel_id VARCHAR(32) NOT NULL, 
	ramdisk_id VARCHAR(32) NOT NULL, 
	snapshot_id VARCHAR(32) NOT NULL, 
	root_size_bytes INTEGER NOT NULL, 
	min_memory_bytes INTEGER NOT NULL, 
	kernel_args TEXT NOT NULL, 
	folder TEXT NOT NULL, 
	files JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE ("key")
);
INSERT INTO "image" VALUES('emi-5da9efdcb53390d5f','tiny:2026.11.22-4813494d:machine','machine','tiny','2026.11.22-4813494d','The tiny image','000100000000','available','','x86_64','hvm','ebs','','','snap-9adb886b5bba6306d',1073741824,134217728,'console=ttyS0','images/tiny/2026.11.22-4813494d','{"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"}','2026-11-22 12:00:00.000000');
INSERT INTO "image" VALUES('eki-b390840535b056b48','tiny-store:2026.11.22-4813494d:kernel','kernel','tiny-store','2026.11.22-4813494d','The tiny-store image','000100000000','available','','x86_64','hvm','instance-store','','','',0,0,'','images/tiny-store/2026.11.22-4813494d','{}','2026-11-22 12:00:00.000000');
INSERT INTO "image" VALUES('eri-8dc7a21e02efd20a1','tiny-store:2026.11.22-4813494d:ramdisk','ramdisk','tiny-store','2026.11.22-4813494d','The tiny-store image','000100000000','available','','x86_64','hvm','instance-store','','','',0,0,'','images/tiny-store/2026.11.22-4813494d','{}','2026-11-22 12:00:00.000000');
INSERT INTO "image" VALUES('emi-97d1873edeb9ab33a','tiny-store:2026.11.22-4813494d:machine','machine','tiny-store','2026.11.22-4813494d','The tiny-store image','000100000000','available','','x86_64','hvm','instance-store','eki-b390840535b056b48','eri-8dc7a21e02efd20a1','',1073741824,134217728,'console=ttyS0','images/tiny-store/2026.11.22-4813494d','{"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"}','2026-11-22 12:00:00.000000');
CREATE TABLE instance (
	id VARCHAR(32) NOT NULL, 
	reservation_id VARCHAR(32) NOT NULL, 
	launch_index INTEGER NOT NULL, 
	owner VARCHAR(12) NOT NULL, 
	node VARCHAR(64) NOT NULL, 
	zone VARCHAR(64) NOT NULL, 
	image_id VARCHAR(32) NOT NULL, 
	kernel_id VARCHAR(32) NOT NULL, 
	ramdisk_id VARCHAR(32) NOT NULL, 
	instance_type VARCHAR(32) NOT NULL, 
	root_device_type VARCHAR(16) NOT NULL, 
	key_name VARCHAR(255) NOT NULL, 
	key_material TEXT NOT NULL, 
	groups JSON NOT NULL, 
	user_data TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	force_stop BOOLEAN NOT NULL, 
	resume BOOLEAN NOT NULL, 
	address VARCHAR(15) NOT NULL, 
	address_shown BOOLEAN NOT NULL, 
	mac VARCHAR(17) NOT NULL, 
	client_token VARCHAR(255) NOT NULL, 
	disable_termination BOOLEAN NOT NULL, 
	ever_ran BOOLEAN NOT NULL, 
	launched_at DATETIME NOT NULL, 
	started_at DATETIME, 
	ended_at DATETIME, 
	PRIMARY KEY (id)
);
INSERT INTO "instance" VALUES('i-401d195064cd1e7a8','r-bb012e3223d87b80f',0,'000100000001','node-1','one','emi-5da9efdcb53390d5f','','','t2.micro','ebs','ann''s key','ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDapjHuMTnQorGa2/ZWyJ+SObopTczexQjT2K/pehQCeovkUJ56OjVTZ1gMoRMzXsMKiNks9adKOvAAB9ttGV5Q8NVCvR6pMVGxCFahaBv39sxg46f02hIH/Z5BJxQOY8RGwDRmJoyFtRzVxiqDBzaEd5Y3D+l61R+OCFEWuQKW9N1ZBuSgsAA8yqXzwpd/cKPAOjVvT3vGoZUnXKbpSJqCXFUYQVn4Zs2TitQhqpOSjN92F3vd+v6s+AFpV1U2t4e1PqUSgcAqi2YrqeFRHa4c/479cYK+G9/Z3TxemmqYOhtQptC4nsAjWZHh0LGzswAxPdIe+zx71G6f8iCGk/Xn','[["sg-86ee57c398c3d7670", "default"]]','IyEvYmluL3NoCmVjaG8gJ2hlbGxvJwo=','running','NORMAL:  -- []',0,0,'172.16.64.16',1,'d0:0d:4c:d1:e7:a8','token-1',0,1,'2026-11-22 12:00:00.000000','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "instance" VALUES('i-c1a24ce712957b335','r-e8f0686ae3f001978',0,'000100000001','node-1','one','emi-5da9efdcb53390d5f','','','t2.micro','ebs','','','[["sg-031e922f30bcc55bd", "web"]]','','stopped','USER_STOPPED:  -- []',0,0,'',0,'d0:0d:29:57:b3:35','',1,1,'2026-11-22 12:00:00.000000',NULL,'2026-11-22 12:00:00.000000');
INSERT INTO "instance" VALUES('i-bb14de2f32256db3a','r-683bc4275fc95fc94',0,'000100000001','node-1','one','emi-97d1873edeb9ab33a','eki-b390840535b056b48','eri-8dc7a21e02efd20a1','t2.micro','instance-store','','','[["sg-86ee57c398c3d7670", "default"]]','','running','NORMAL:  -- []',0,0,'172.16.64.18',1,'d0:0d:22:56:db:3a','',0,1,'2026-11-22 12:00:00.000000','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "instance" VALUES('i-a22fec8cf53f5879d','r-03155bf41ae424135',0,'000100000001','node-1','one','emi-5da9efdcb53390d5f','','','t2.micro','ebs','','','[["sg-86ee57c398c3d7670", "default"]]','','terminated','USER_TERMINATED:  -- []',0,0,'',0,'d0:0d:53:f5:87:9d','token-2',0,1,'2026-11-22 12:00:00.000000','2026-11-22 12:00:00.000000','2026-11-22 12:00:00.000000');
INSERT INTO "instance" VALUES('i-64751b76205719f16','r-360442628327b70c2',0,'000100000001','node-1','one','emi-5da9efdcb53390d5f','','','t2.micro','ebs','','','[["sg-86ee57c398c3d7670", "default"]]','','running','NORMAL:  -- []',0,0,'172.16.64.20',1,'d0:0d:05:71:9f:16','token-3',0,1,'2026-11-22 12:00:00.000000','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "instance" VALUES('i-bd35e98442bec4a6e','r-360442628327b70c2',1,'000100000001','node-1','one','emi-5da9efdcb53390d5f','','','t2.micro','ebs','','','[["sg-86ee57c398c3d7670", "default"]]','','running','NORMAL:  -- []',0,0,'172.16.64.21',1,'d0:0d:2b:ec:4a:6e','token-3',0,1,'2026-11-22 12:00:00.000000','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "instance" VALUES('i-7bba7de22f400fc48','r-754f6a687a1f0dc96',0,'000100000001','node-1','one','emi-5da9efdcb53390d5f','','','t2.micro','ebs','','','[["sg-86ee57c398c3d7670", "default"]]','','pending','NORMAL:  -- []',0,0,'172.16.64.22',0,'d0:0d:f4:00:fc:48','token-4',0,0,'2026-11-22 12:00:00.000000',NULL,NULL);
CREATE TABLE key_pair (
	owner VARCHAR(12) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	public_key TEXT NOT NULL, 
	PRIMARY KEY (owner, name)
);
INSERT INTO "key_pair" VALUES('000100000001','ann''s key','4d:69:77:d9:fc:af:be:88:be:fd:82:c0:4e:e9:3e:41:e9:08:4c:ad','ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDapjHuMTnQorGa2/ZWyJ+SObopTczexQjT2K/pehQCeovkUJ56OjVTZ1gMoRMzXsMKiNks9adKOvAAB9ttGV5Q8NVCvR6pMVGxCFahaBv39sxg46f02hIH/Z5BJxQOY8RGwDRmJoyFtRzVxiqDBzaEd5Y3D+l61R+OCFEWuQKW9N1ZBuSgsAA8yqXzwpd/cKPAOjVvT3vGoZUnXKbpSJqCXFUYQVn4Zs2TitQhqpOSjN92F3vd+v6s+AFpV1U2t4e1PqUSgcAqi2YrqeFRHa4c/479cYK+G9/Z3TxemmqYOhtQptC4nsAjWZHh0LGzswAxPdIe+zx71G6f8iCGk/Xn');
CREATE TABLE meta (
	"key" VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('next_address','7');
CREATE TABLE node (
	name VARCHAR(64) NOT NULL, 
	zone VARCHAR(64) NOT NULL, 
	hypervisor VARCHAR(32) NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "node" VALUES('node-1','one','simulated',1);
CREATE TABLE security_group (
	id VARCHAR(32) NOT NULL, 
	owner VARCHAR(12) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	description TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "security_group" VALUES('sg-86ee57c398c3d7670','000100000001','default','default group');
INSERT INTO "security_group" VALUES('sg-031e922f30bcc55bd','000100000001','web','pages');
INSERT INTO "security_group" VALUES('sg-c4989c00173554c3a','000100000000','default','default group');
CREATE TABLE snapshot (
	id VARCHAR(32) NOT NULL, 
	owner VARCHAR(12) NOT NULL, 
	volume_id VARCHAR(32) NOT NULL, 
	size_gib INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	description TEXT NOT NULL, 
	file TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "snapshot" VALUES('snap-9adb886b5bba6306d','000100000000','',1,'completed','tiny 2026.11.22-4813494d','images/tiny/2026.11.22-4813494d/root.qcow2','2026-11-22 12:00:00.000000');
CREATE TABLE tag (
	owner VARCHAR(12) NOT NULL, 
	resource_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(127) NOT NULL, 
	resource_type VARCHAR(32) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (owner, resource_id, "key")
);
INSERT INTO "tag" VALUES('000100000001','i-401d195064cd1e7a8','Name','instance','Ann''s machine');
INSERT INTO "tag" VALUES('000100000001','vol-85856114609c44236','course','volume','local');
CREATE TABLE volume (
	id VARCHAR(32) NOT NULL, 
	owner VARCHAR(12) NOT NULL, 
	zone VARCHAR(64) NOT NULL, 
	size_gib INTEGER NOT NULL, 
	snapshot_id VARCHAR(32) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	created_at DATETIME NOT NULL, 
	deleted_at DATETIME, 
	PRIMARY KEY (id)
);
INSERT INTO "volume" VALUES('vol-e41568b9047f3fade','000100000001','one',1,'snap-9adb886b5bba6306d','in-use','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "volume" VALUES('vol-f0be2a7f1053fbda5','000100000001','one',1,'snap-9adb886b5bba6306d','in-use','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "volume" VALUES('vol-011caadce86de4c1a','000100000001','one',1,'snap-9adb886b5bba6306d','deleted','2026-11-22 12:00:00.000000','2026-11-22 12:00:00.000000');
INSERT INTO "volume" VALUES('vol-33d022720281409ea','000100000001','one',1,'snap-9adb886b5bba6306d','in-use','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "volume" VALUES('vol-e81b8bd3037b28fbd','000100000001','one',1,'snap-9adb886b5bba6306d','in-use','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "volume" VALUES('vol-af917d02883f16ee1','000100000001','one',2,'','in-use','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "volume" VALUES('vol-8b7e83905ee36d58e','000100000001','one',1,'','in-use','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "volume" VALUES('vol-85856114609c44236','000100000001','one',3,'','available','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "volume" VALUES('vol-2aead205a243d997d','000100000001','one',1,'','deleted','2026-11-22 12:00:00.000000','2026-11-22 12:00:00.000000');
INSERT INTO "volume" VALUES('vol-91602630453873712','000100000001','one',1,'snap-9adb886b5bba6306d','creating','2026-11-22 12:00:00.000000',NULL);
INSERT INTO "volume" VALUES('vol-c4ac1323ab8ef7210','000100000001','one',1,'','creating','2026-11-22 12:00:00.000000',NULL);
CREATE INDEX ix_attachment_instance_id ON attachment (instance_id);
CREATE INDEX instance_state ON instance (state);
CREATE INDEX instance_token ON instance (owner, client_token);
CREATE INDEX ix_instance_reservation_id ON instance (reservation_id);
CREATE INDEX ix_security_group_owner ON security_group (owner);
COMMIT;
