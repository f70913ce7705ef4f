"""The finished debian system in its folder: the image's own files, and what maintainer scripts would have done.

Those scripts need root and a running system, so they are not run; what they make for these packages was compared, file
by file, with an installation in which they were. Later installations in a machine run theirs as on any Debian.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from educloud_lab.localcloud.images import dpkg_database
from educloud_lab.localcloud.images.shared import (
    STUDENT_UID,
    certificates,
    compile_python,
    copy_guest,
    folders,
    library_cache,
    link,
    run_inside,
    student_home,
    write_accounts,
)
from educloud_lab.localcloud.images.tools import run

_UNITS = "/lib/systemd/system"
_LINKS = {
    "etc/mtab": "../proc/self/mounts",
    "etc/resolv.conf": "../run/resolv.conf",
    "etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
    "etc/dpkg/origins/default": "debian",
    "usr/local/man": "share/man",
    "var/run": "../run",
    "var/lock": "../run/lock",
    "var/spool/mail": "../mail",
    "var/lib/dbus/machine-id": "/etc/machine-id",
    "etc/systemd/system/default.target": f"{_UNITS}/multi-user.target",
    "etc/systemd/system/sshd.service": f"{_UNITS}/ssh.service",
    "etc/systemd/system/multi-user.target.wants/ssh.service": f"{_UNITS}/ssh.service",
    "etc/systemd/system/multi-user.target.wants/remote-fs.target": f"{_UNITS}/remote-fs.target",
    "etc/systemd/system/multi-user.target.wants/educloud-clock.service": "../educloud-clock.service",
    "etc/systemd/system/multi-user.target.wants/educloud-power-button.service": "../educloud-power-button.service",
}
# Alternatives by (link, name, program, priority), as the packages' own scripts register them; pages of the manual are
# not in the image.
_ALTERNATIVES: tuple[tuple[str, str, str, int, Mapping[str, tuple[str, str]]], ...] = (
    ("/usr/bin/awk", "awk", "/usr/bin/mawk", 5, {"nawk": ("/usr/bin/nawk", "/usr/bin/mawk")}),
    ("/usr/bin/editor", "editor", "/bin/nano", 40, {}),
    ("/usr/bin/pico", "pico", "/bin/nano", 10, {}),
    ("/usr/bin/pager", "pager", "/bin/more", 50, {}),
    ("/usr/bin/pager", "pager", "/usr/bin/less", 77, {}),
    ("/usr/bin/which", "which", "/usr/bin/which.debianutils", 0, {}),
    ("/usr/sbin/rmt", "rmt", "/usr/sbin/rmt-tar", 50, {}),
    ("/usr/bin/lzma", "lzma", "/usr/bin/xz", 20, {
        name: (f"/usr/bin/{name}", f"/usr/bin/{name.replace('lz', 'xz', 1) if name != 'unlzma' else 'unxz'}")
        for name in ("lzcat", "lzcmp", "lzdiff", "lzegrep", "lzfgrep", "lzgrep", "lzless", "lzmore", "unlzma")
    }),
)  # fmt: skip
# Units that nobody in a lab machine waits for and whose start costs seconds in software emulation.
_MASKED_UNITS = (
    *("getty-static.service", "getty@tty1.service", "systemd-pcrphase.service", "systemd-pcrphase-sysinit.service"),
    *("systemd-repart.service", "systemd-firstboot.service", "systemd-boot-system-token.service"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount", "dev-hugepages.mount"),
    *("systemd-ask-password-console.path", "systemd-ask-password-wall.path", "systemd-binfmt.service"),
    *("proc-sys-fs-binfmt_misc.automount", "systemd-journal-flush.service", "systemd-machine-id-commit.service"),
    *("systemd-networkd-wait-online.service", "systemd-update-utmp-runlevel.service", "systemd-update-utmp.service"),
    *("systemd-random-seed.service", "systemd-pstore.service", "hwclock.service", "e2scrub_reap.service"),
)
# Looked for at every start; only fstab and scripts of old services (sysv) are read here.
_MASKED_GENERATORS = (
    *("cryptsetup", "debug", "getty", "gpt-auto", "hibernate-resume", "integritysetup", "rc-local", "run"),
    *("system-update", "veritysetup"),
)
# They wait until somebody can log in (educloud-hold.service).
_HELD_UNITS = (
    *("systemd-udevd.service", "systemd-udev-trigger.service", "systemd-tmpfiles-setup.service"),
    *("systemd-tmpfiles-setup-dev.service", "kmod-static-nodes.service", "systemd-modules-load.service"),
    *("systemd-sysctl.service", "dev-mqueue.mount", "sys-fs-fuse-connections.mount", "systemd-sysusers.service"),
    *("systemd-remount-fs.service",),
)
_LOG = "/var/log/alternatives.log"
_SYSTEM_USERS = f"""\
messagebus:x:100:106::/nonexistent:/usr/sbin/nologin
sshd:x:101:65534::/run/sshd:/usr/sbin/nologin
systemd-network:x:998:998:systemd Network Management:/:/usr/sbin/nologin
student:x:{STUDENT_UID}:{STUDENT_UID}:Student:/home/student:/bin/bash
"""
_SYSTEM_GROUPS = f"""\
_ssh:x:101:
input:x:102:
sgx:x:103:
kvm:x:104:
render:x:105:
messagebus:x:106:
systemd-journal:x:999:student
systemd-network:x:998:
student:x:{STUDENT_UID}:
"""


def finish(
    tree: Path,
    guest: Path,
    ownership: dict[str, tuple[int, int]],
    contents: Mapping[Path, list[str]],
    asked_for: Collection[str],
) -> None:
    """Write the package records, add the image's own files, and do what maintainer scripts would have done.

    Parameters
    ----------
    contents : the paths that each installed package ships.
    asked_for : names of the packages that were asked for.

    Raises
    ------
    ImageBuildError
        A program failed.
    """
    dpkg_database.write(tree, contents, asked_for)
    _copies(tree)
    copy_guest(guest, tree)
    for name, target in _LINKS.items():
        link(tree, name, target)
    _systemd(tree)
    _accounts(tree, ownership)
    _alternatives(tree)
    folders(tree, {
        "dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "data": 0o755, "mnt": 0o755, "media": 0o755,
        "opt": 0o755, "srv": 0o755, "tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700, "root/.ssh": 0o700,
        "home/student": 0o755, "var/lib/educloud": 0o700, "var/log": 0o755, "var/log/apt": 0o755,
        "etc/ssh/sshd_config.d": 0o755, "etc/opt": 0o755, "var/opt": 0o755, "var/mail": 0o2775, "var/local": 0o2775,
        "var/cache/debconf": 0o755, "var/lib/private": 0o700, "var/log/private": 0o700, "var/cache/private": 0o700,
        **{f"usr/local/{name}": 0o755 for name in (
            "bin", "etc", "games", "include", "lib/python3.11/dist-packages", "sbin", "share/ca-certificates",
            "share/man", "src",
        )},
    })  # fmt: skip
    for name in ("etc/machine-id", "var/log/wtmp", "var/log/btmp", "var/log/lastlog", "var/log/faillog",
                 "etc/.updated", "var/.updated", "etc/environment"):  # fmt: skip
        (tree / name).write_bytes(b"")
    for name, mode in (("wtmp", 0o664), ("btmp", 0o660), ("lastlog", 0o664)):
        (tree / "var/log" / name).chmod(mode)
        ownership[f"var/log/{name}"] = (0, 43)
    for name in ("etc/sudoers", "etc/sudoers.d/student"):
        (tree / name).chmod(0o440)
    _certificates(tree)
    library_cache(tree)
    shutil.rmtree(tree / "var/cache/ldconfig", ignore_errors=True)  # times and inode numbers of this computer
    compile_python(tree, tree / "usr/lib/python3", tree / "usr/share/python3")


def _copies(tree: Path) -> None:
    """Put templates in place, as base-files, libc-bin and readline-common do."""
    for source, target in {
        "usr/share/base-files/dot.bashrc": "root/.bashrc",
        "usr/share/base-files/dot.profile": "root/.profile",
        "usr/share/base-files/profile": "etc/profile",
        "usr/share/base-files/motd": "etc/motd",
        "usr/share/libc-bin/nsswitch.conf": "etc/nsswitch.conf",
        "usr/share/readline/inputrc": "etc/inputrc",
    }.items():
        if (tree / source).is_file() and not (tree / target).exists():
            (tree / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree / source, tree / target)
    (tree / "etc/timezone").write_text("Etc/UTC\n")
    (tree / "etc/modules").write_text("# Kernel modules to load at boot time, one a line.\n")
    (tree / "etc/subuid").write_text("student:100000:65536\n")
    (tree / "etc/subgid").write_text("student:100000:65536\n")


def _systemd(tree: Path) -> None:
    system = tree / "etc/systemd/system"
    for unit in _MASKED_UNITS:
        link(tree, f"etc/systemd/system/{unit}", "/dev/null")
    for generator in _MASKED_GENERATORS:
        link(tree, f"etc/systemd/system-generators/systemd-{generator}-generator", "/dev/null")
    for unit in _HELD_UNITS:
        folder = system / f"{unit}.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "50-educloud.conf").write_text("[Unit]\nAfter=educloud-hold.service\n")
    # Started when somebody asks for it over D-Bus, not before.
    link(tree, "etc/systemd/system/multi-user.target.wants/systemd-logind.service", "/dev/null")
    link(tree, "etc/systemd/system/multi-user.target.wants/dbus.service", "/dev/null")


def _accounts(tree: Path, ownership: dict[str, tuple[int, int]]) -> None:
    masters = tree / "usr/share/base-passwd"
    passwd = (masters / "passwd.master").read_text().replace(":*:", ":x:") + _SYSTEM_USERS
    group = (masters / "group.master").read_text().replace(":*:", ":x:") + _SYSTEM_GROUPS
    group = re.sub(r"^((?:sudo|adm):x:\d+:)$", r"\1student", group, flags=re.MULTILINE)
    write_accounts(tree, passwd, group, ownership)
    student_home(tree, ownership)
    for partial in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        folders(tree, {partial: 0o700})
        ownership[partial] = (42, 0)
    ownership["var/mail"], ownership["var/local"] = (0, 8), (0, 50)
    ownership["usr/bin/ssh-agent"] = (0, 101)
    (tree / "usr/bin/ssh-agent").chmod(0o2755)
    helper = "usr/lib/dbus-1.0/dbus-daemon-launch-helper"
    ownership[helper] = (0, 106)
    (tree / helper).chmod(0o4754)
    (tree / "var/lib/dpkg/statoverride").write_text(f"root messagebus 4754 /{helper}\n")


def _alternatives(tree: Path) -> None:
    (tree / "var/log").mkdir(parents=True, exist_ok=True)
    for place, name, program, priority, others in _ALTERNATIVES:
        followers = [part for other, (where, to) in others.items() for part in ("--slave", where, other, to)]
        run(
            "setting alternatives",
            ["update-alternatives", "--root", tree, "--quiet", "--force", "--log", _LOG,
             "--install", place, name, program, str(priority), *followers],
        )  # fmt: skip
    # It holds the time of the build.
    (tree / _LOG.lstrip("/")).unlink(missing_ok=True)


def _certificates(tree: Path) -> None:
    """Do what update-ca-certificates does: the bundle, a link by name and a link by hash for each authority."""
    certificates(tree)
    folder = tree / "etc/ssl/certs"
    shipped = tree / "usr/share/ca-certificates"
    sources = sorted(shipped.rglob("*.crt"))
    (tree / "etc/ca-certificates.conf").write_text(
        "".join(f"{path.relative_to(shipped).as_posix()}\n" for path in sources)
    )
    with tempfile.TemporaryDirectory() as temporary:
        hashed = Path(temporary)
        for source in sources:
            shutil.copyfile(source, hashed / f"{source.stem}.pem")
            link(tree, f"etc/ssl/certs/{source.stem}.pem", f"/usr/share/ca-certificates/{source.relative_to(shipped)}")
        run_inside("hashing certificates", tree, tree / "usr/bin/openssl", ["rehash", hashed],
                   env={"OPENSSL_CONF": "/dev/null"})  # fmt: skip
        for found in sorted(path for path in hashed.iterdir() if path.is_symlink()):
            link(tree, (folder / found.name).relative_to(tree).as_posix(), str(found.readlink()))
