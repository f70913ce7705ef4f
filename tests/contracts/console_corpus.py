"""Console lines as kernels, initial ramdisks, cloud-init, systemd, sshd and our own images write them."""

# Lines of consoles are as long as they are, and are put together by hand:
# ruff: noqa: E501, ISC003

from __future__ import annotations

KERNEL = """\
[    0.000000] Linux version 6.1.0-28-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0)
[    0.000000] Command line: BOOT_IMAGE=/boot/vmlinuz-6.1.0-28-cloud-amd64 root=PARTUUID=3f1e ro console=ttyS0,115200
[    0.000000] BIOS-provided physical RAM map:
[    0.000000] Hypervisor detected: KVM
[    0.004000] tsc: Detected 2399.998 MHz processor
[    0.712345] Memory: 1002340K/1048180K available
[    1.001223] rtc_cmos 00:05: registered as rtc0
[    1.104412] virtio_blk virtio1: [vda] 4194304 512-byte logical blocks (2.15 GB/2.00 GiB)
[    1.220000] virtio_net virtio0 ens3: renamed from eth0
"""
TINY = """\
[boot] kernel is up, loading drivers
[boot] network: asking for an address
[boot] network: eth0 has address 172.16.64.16
[boot] metadata: i-e153603ec32206896, first start
[boot] user data: running
[boot] user data: done
[boot] ssh: listening on port 22, 3.70 s after the kernel's start
-----BEGIN SSH HOST KEY FINGERPRINTS-----
256 SHA256:Pmlduy8p19oisMk/vMQzzmHi0hKFH+/Gbe1cCF1QDsk lab (ED25519)
-----END SSH HOST KEY FINGERPRINTS-----
[boot] ready
"""
SYSTEMD = """\
[    1.900000] EXT4-fs (vda1): mounted filesystem with ordered data mode. Quota mode: none.
[    2.212121] systemd[1]: systemd 252.31-1~deb12u1 running in system mode (+PAM +AUDIT +SELINUX)
[    2.300000] systemd[1]: Detected virtualization kvm.
[    2.310000] systemd[1]: Hostname set to <lab>.
[\x1b[0;32m  OK  \x1b[0m] Created slice system-getty.slice - Slice /system/getty.
[\x1b[0;32m  OK  \x1b[0m] Mounted dev-hugepages.mount - Huge Pages File System.
[\x1b[0;32m  OK  \x1b[0m] Reached target local-fs.target - Local File Systems.
"""
NETWORK = """\
[\x1b[0;32m  OK  \x1b[0m] Finished networking.service - Raise network interfaces.
[    6.100000] cloud-init[431]: Cloud-init v. 22.4.2 running 'init' at Mon, 02 Mar 2026 09:00:07 +0000. Up 6.10 seconds.
[    6.150000] cloud-init[431]: ci-info: |  ens3  | True |  172.16.77.5  | 255.255.240.0 | global | d0:0d:1c:2a:00:01 |
"""
SSHD = "[\x1b[0;32m  OK  \x1b[0m] Started ssh.service - OpenBSD Secure Shell server.\n"
END = """\
[\x1b[0;32m  OK  \x1b[0m] Reached target multi-user.target - Multi-User System.
[    9.000000] cloud-init[602]: Cloud-init v. 22.4.2 finished at Mon, 02 Mar 2026 09:00:10 +0000. Datasource DataSourceEc2Local.  Up 9.02 seconds

Debian GNU/Linux 12 lab ttyS0

lab login: """
NOISE = (
    "[    3.141592] random: crng init done\n",
    "[    2.718281] EXT4-fs (vda1): re-mounted. Quota mode: none.\n",
    "[    4.000000] systemd-journald[201]: Received client request to flush runtime journal.\n",
    "[    1.500000] ACPI: button: Power Button [PWRF]\n",
    '[    5.500000] audit: type=1400 audit(1772442001.120:2): apparmor="STATUS" operation="profile_load"\n',
    "[   12.700000] hrtimer: interrupt took 4123456 ns\n",
    "[   31.000000] clocksource: timekeeping watchdog on CPU0: Marking clocksource 'tsc' as unstable\n",
)
UP = (KERNEL + SYSTEMD + NETWORK + SSHD + END, TINY)

KINDS: dict[str, tuple[str, ...]] = {
    "no-root-disk": (
        KERNEL
        + '[    1.402211] VFS: Cannot open root device "LABEL=root" or unknown-block(0,0): error -6\n'
        + '[    1.402300] Please append a correct "root=" boot option; here are the available partitions:\n'
        + "[    1.402900] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"
        + "[    1.403100] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.1.0-28-cloud-amd64 #1  Debian 6.1.119-1\n"
        + "[    1.404000] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---\n",
        KERNEL
        + "Begin: Running /scripts/local-block ... done.\nGave up waiting for root file system device.  Common problems:\n"
        + " - Boot args (cat /proc/cmdline)\nALERT!  PARTUUID=3f1e does not exist.  Dropping to a shell!\n\n"
        + "BusyBox v1.35.0 (Debian 1:1.35.0-4+b3) built-in shell (ash)\n(initramfs) ",
        KERNEL
        + "[  190.442130] dracut-initqueue[312]: Warning: dracut-initqueue timeout - starting timeout scripts\n"
        + '[  190.942130] dracut-initqueue[312]: Warning: Could not boot.\nGenerating "/run/initramfs/rdsosreport.txt"\n'
        + "Entering emergency mode. Exit the shell to continue.\n",
        "[boot] kernel is up, loading drivers\n[boot] FAILED: the root disk /dev/vda cannot be mounted; powering off\n",
    ),
    "kernel-panic": (
        KERNEL
        + SYSTEMD
        + "[    4.812121] Out of memory: Killed process 311 (python3) total-vm:912340kB, anon-rss:720112kB\n"
        + "[    4.912000] Kernel panic - not syncing: System is deadlocked on memory\n",
        KERNEL
        + "[    2.002211] Run /sbin/init as init process\n"
        + "[    2.112211] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00\n"
        + "[    2.113000] Rebooting in 10 seconds..\n",
        KERNEL
        + SYSTEMD
        + "[   88.100000] BUG: unable to handle page fault for address: ffffffffc0a11000\n"
        + "[   88.120000] Kernel panic - not syncing: Fatal exception in interrupt\n",
    ),
    "no-boot": (
        "",
        "SeaBIOS (version 1.16.2-debian-1.16.2-1)\nMachine UUID 5a1d\niPXE (http://ipxe.org) 00:03.0 CA00 PCI2.10 PnP PMM\n"
        + "Booting from Hard Disk...\n",
        "SeaBIOS (version 1.16.2-debian-1.16.2-1)\nBooting from Hard Disk...\n"
        + "Boot failed: not a bootable disk\n\nNo bootable device.\n",
        "GRUB loading.\nWelcome to GRUB!\n\nerror: no such device: 7a1f3c22.\nEntering rescue mode...\ngrub rescue> ",
    ),
    "emergency-mode": (
        KERNEL
        + SYSTEMD.replace("Reached target local-fs.target - Local File Systems.", "Mounted sys-kernel-debug.mount.")
        + "[\x1b[0;1;38;5;185mDEPEND\x1b[0m] Dependency failed for local-fs.target - Local File Systems.\n"
        + 'You are in emergency mode. After logging in, type "journalctl -xb" to view\nsystem logs.\n'
        + "Cannot open access to console, the root account is locked.\nSee sulogin(8) man page for more details.\n",
        KERNEL
        + "[    3.200000] systemd-fsck[190]: /dev/vda1: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n"
        + "Give root password for maintenance\n(or press Control-D to continue): ",
    ),
    "dhcp-failed": (
        KERNEL
        + SYSTEMD
        + "[   66.012345] dhclient[233]: DHCPDISCOVER on ens3 to 255.255.255.255 port 67 interval 11\n"
        + "[   66.112345] dhclient[233]: No DHCPOFFERS received.\n"
        + "[   66.212345] dhclient[233]: No working leases in persistent database - sleeping.\n"
        + "[\x1b[0;1;31mFAILED\x1b[0m] Failed to start networking.service - Raise network interfaces.\n"
        + SSHD
        + "Debian GNU/Linux 12 lab ttyS0\n\nlab login: ",
        "[boot] kernel is up, loading drivers\n[boot] network: asking for an address\n"
        + "[boot] network: NO ADDRESS on eth0; this machine cannot be reached (it keeps asking)\n"
        + "[boot] metadata: NO ANSWER from 169.254.169.254; going on with what this disk knows\n"
        + "[boot] ssh: listening on port 22, 91 s after the kernel's start\n[boot] ready\n",
        KERNEL
        + SYSTEMD
        + "[  121.800000] cloud-init[431]: ci-info: |  ens3  | False |     .     |     .     |   .   | d0:0d:1c:2a:00:01 |\n"
        + "[  121.900000] cloud-init[431]: Timeout occurred while waiting for network connectivity.\n"
        + END.replace("DataSourceEc2Local", "DataSourceNone"),
    ),
    "metadata-silent": (
        KERNEL
        + SYSTEMD
        + NETWORK
        + "[   58.1] cloud-init[431]: url_helper.py[WARNING]: Calling 'http://169.254.169.254/2009-04-04/meta-data/instance-id'"
        + " failed [50/120s]: request error [timed out]\n"
        + "[  126.1] cloud-init[431]: DataSourceEc2.py[CRITICAL]: Giving up on md from ['http://169.254.169.254/2009-04-04/"
        + "meta-data/instance-id'] after 121 seconds\n"
        + SSHD
        + "lab login: ",
        "[boot] kernel is up, loading drivers\n[boot] network: asking for an address\n"
        + "[boot] network: eth0 has address 172.16.64.16\n"
        + "[boot] metadata: NO ANSWER from 169.254.169.254; going on with what this disk knows\n"
        + "[boot] ssh: making this machine's host key\n[boot] ready\n",
    ),
    "user-data-failed": (
        "[boot] kernel is up, loading drivers\n[boot] network: asking for an address\n"
        + "[boot] network: eth0 has address 172.16.64.16\n[boot] metadata: i-e1, first start\n[boot] user data: running\n"
        + "[boot] user data: FAILED with status 127\n[boot] ssh: making this machine's host key\n",
        KERNEL
        + SYSTEMD
        + NETWORK
        + "[    8.2] cloud-init[602]: Failed running /var/lib/cloud/instance/scripts/part-001 [126]\n"
        + "[    8.3] cloud-init[602]: cc_scripts_user.py[WARNING]: Failed to run module scripts-user (scripts in "
        + "/var/lib/cloud/instance/scripts)\n",
    ),
    "sshd-down": (
        KERNEL
        + SYSTEMD
        + NETWORK
        + "[\x1b[0;1;31mFAILED\x1b[0m] Failed to start ssh.service - OpenBSD Secure Shell server.\n"
        + "See 'systemctl status ssh.service' for details.\n"
        + END,
        "[boot] kernel is up, loading drivers\n[boot] network: asking for an address\n"
        + "[boot] network: eth0 has address 172.16.64.16\n[boot] metadata: i-e1, first start\n"
        + "[sshd] ended with an error; see: sudo sshd -t. Trying again in 3 s\n"
        + "[sshd] ended with an error; see: sudo sshd -t. Trying again in 3 s\n"
        + "[boot] ssh: FAILED, nothing listens on port 22 after 60 s\n[boot] ready\n",
        KERNEL
        + SYSTEMD
        + NETWORK
        + "[    7.1] sshd[610]: /etc/ssh/sshd_config.d/50-educloud.conf: line 3: Bad configuration option: HostKeys\n"
        + "[    7.2] sshd[610]: sshd: no hostkeys available -- exiting.\n"
        + END,
    ),
    "boots-slowly": (
        KERNEL + SYSTEMD,
        KERNEL,
        "[boot] kernel is up, loading drivers\n[boot] network: asking for an address\n",
    ),
    "way-blocked": UP,
}
