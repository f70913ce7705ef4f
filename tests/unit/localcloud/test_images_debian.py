"""The debian image's parts that need no packages: records for dpkg and apt, what is left out, scripts and units."""

import configparser
import os
import re
import subprocess

import pytest

from educloud_lab.localcloud.images import debian_system, disk, dpkg_database, recipes, shared, tools, tree
from educloud_lab.localcloud.images.errors import ImageBuildError
from educloud_lab.localcloud.images.packages import parse_wanted

ROOT = recipes.GUEST_DEBIAN / "root"
CONTROL = """\
Package: {name}
Version: 1.2-3
Architecture: {architecture}
Maintainer: x <x@example.org>
{more}Description: words
 more words
"""


@pytest.fixture
def make_deb(tmp_path):
    def make(name, files, *, architecture="amd64", more="", control=()):
        package = tmp_path / f"package-{name}"
        for path, text in {
            "DEBIAN/control": CONTROL.format(name=name, architecture=architecture, more=more),
            **{f"DEBIAN/{part}": text for part, text in control},
            **files,
        }.items():
            (package / path).parent.mkdir(parents=True, exist_ok=True)
            (package / path).write_text(text)
            if path in ("DEBIAN/postinst", "DEBIAN/prerm"):
                (package / path).chmod(0o755)
        deb = tmp_path / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", package, deb], check=True, capture_output=True)
        return deb

    return make


@pytest.fixture
def installed(make_deb, tmp_path):
    """Give a tree with three packages and their records."""
    debs = [
        make_deb(
            "tool",
            {"bin/tool": "tool", "etc/tool.conf": "x=1\n", "usr/share/doc/tool/README": "words"},
            more="Depends: libtool\n",
            control=[("conffiles", "/etc/tool.conf\n"), ("postinst", "#!/bin/sh\nexit 0\n")],
        ),
        make_deb(
            "libtool",
            {"lib/libtool.so": "so"},
            more="Multi-Arch: same\n",
            control=[("triggers", "# why\ninterest-noawait ldconfig\ninterest /usr/share/tools\nactivate x\n")],
        ),
        make_deb("data", {"usr/share/data/x": "x"}, architecture="all"),
    ]
    root, contents = tmp_path / "root", {}
    left_out = recipes.path_filter("path-exclude=/usr/share/doc/*\n")
    tree.unpack(debs, root, {}, left_out=left_out, contents=contents)
    dpkg_database.write(root, contents, {"tool"})
    return root


def dpkg(root, *arguments):
    environment = {**os.environ, "PATH": tools.search_path(), "LC_ALL": "C"}
    command = ["dpkg", f"--root={root}", f"--admindir={root}/var/lib/dpkg", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_dpkg_itself_reads_the_records_and_misses_nothing(installed):
    audit = dpkg(installed, "--audit")
    assert (audit.returncode, audit.stdout, audit.stderr) == (0, "", "")
    listed = [line.split()[:3] for line in dpkg(installed, "-l").stdout.splitlines() if line.startswith("ii")]
    assert listed == [["ii", "data", "1.2-3"], ["ii", "libtool:amd64", "1.2-3"], ["ii", "tool", "1.2-3"]]
    assert dpkg(installed, "-S", "/bin/tool").stdout == "tool: /bin/tool\n"
    assert "/usr/share/doc/tool/README" in dpkg(installed, "-L", "tool").stdout
    assert "/etc/tool.conf" in dpkg(installed, "-s", "tool").stdout


def test_dpkg_finds_what_was_changed_afterwards(installed):
    before = dpkg(installed, "--verify", "tool").stdout.splitlines()
    assert all(line.startswith("missing     /usr/share/doc/tool") for line in before)
    (installed / "etc/tool.conf").write_text("x=2\n")
    (installed / "usr/bin/tool").write_text("other")
    said = dpkg(installed, "--verify", "tool").stdout
    assert "??5?????? c /etc/tool.conf" in said
    assert "??5??????   /bin/tool" in said


def test_scripts_triggers_and_who_asked_for_what_are_recorded(installed):
    info = installed / "var/lib/dpkg/info"
    assert os.access(info / "tool.postinst", os.X_OK)
    assert not os.access(info / "tool.conffiles", os.X_OK)
    assert (info / "libtool:amd64.list").is_file()
    triggers = installed / "var/lib/dpkg/triggers"
    assert (triggers / "ldconfig").read_text() == "libtool:amd64/noawait\n"
    assert (triggers / "File").read_text() == "/usr/share/tools libtool:amd64\n"
    states = (installed / "var/lib/apt/extended_states").read_text()
    assert re.findall("Package: (.*)\nArchitecture: (.*)", states) == [("data", "amd64"), ("libtool", "amd64")]


def test_what_dpkg_leaves_out_later_the_builder_leaves_out_too():
    text = "# a\npath-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\npath-exclude=/boot/*\n"
    left_out = recipes.path_filter(text)
    assert left_out("usr/share/doc/bash/README")
    assert left_out("boot/vmlinuz")
    assert not left_out("usr/share/doc/bash/copyright")
    assert not left_out("usr/bin/bash")
    # The image's own list is the one that is used, in both places.
    assert recipes.DEBIAN.left_out("usr/share/man/man1/ls.1.gz")
    assert "path-exclude=/usr/share/man/*" in (ROOT / "etc/dpkg/dpkg.cfg.d/educloud").read_text()


def test_the_package_list_names_what_a_course_uses():
    wanted, left_out = parse_wanted((recipes.GUEST_DEBIAN / "packages.txt").read_text())
    assert {"systemd", "apt", "python3", "git", "openssh-server", "sudo", "nano", "curl", "ca-certificates"} <= {
        *wanted
    }
    assert {"less", "e2fsprogs", "iproute2", "dpkg", "perl-base"} <= {*wanted}
    assert not {*wanted} & left_out


def test_units_name_programs_and_units_that_exist():
    units = sorted(path for path in (ROOT / "etc/systemd/system").rglob("*") if path.is_file())
    own = {path.name for path in units if path.suffix == ".service"}
    assert {"educloud-boot.service", "educloud-hold.service", "educloud-started.service"} <= own
    for path in units:
        text = path.read_text()
        parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=["="])
        parser.optionxform = str
        parser.read_string(text)
        assert "Unit" in parser, path
        for program in re.findall(r"^ExecStart=(/usr/lib/educloud/\S+)", text, re.MULTILINE):
            assert (ROOT / program.lstrip("/")).read_text().startswith("#!/usr/lib/educloud/busybox sh\n")
        for named in re.findall(r"educloud-[a-z-]+\.service", text):
            assert named in own, (path, named)


def test_ssh_waits_for_the_first_start_and_the_rest_waits_for_ssh_but_not_for_ever(tmp_path):
    drop_in = (ROOT / "etc/systemd/system/ssh.service.d/50-educloud.conf").read_text()
    assert "After=educloud-boot.service" in drop_in
    (tmp_path / "etc/systemd").mkdir(parents=True)
    debian_system._systemd(tmp_path)
    held = tmp_path / "etc/systemd/system/systemd-udev-trigger.service.d/50-educloud.conf"
    assert held.read_text() == "[Unit]\nAfter=educloud-hold.service\n"
    masked = tmp_path / "etc/systemd/system/getty@tty1.service"
    assert str(masked.readlink()) == "/dev/null"
    # Services that user data installs and starts need the rest of the system before user data has ended.
    hold = (ROOT / "usr/lib/educloud/hold").read_text()
    assert "After=" not in (ROOT / "etc/systemd/system/educloud-hold.service").read_text()
    assert "user-data-began" in hold
    assert "user-data-began" in (ROOT / "usr/lib/educloud/first-boot").read_text()


def test_nobody_gets_a_password_and_everybody_has_one_line(tmp_path):
    masters = tmp_path / "usr/share/base-passwd"
    masters.mkdir(parents=True)
    (masters / "passwd.master").write_text("root:*:0:0:root:/root:/bin/bash\n_apt:*:42:65534::/nonexistent:/bin/no\n")
    (masters / "group.master").write_text("root:*:0:\nadm:*:4:\nsudo:*:27:\nshadow:*:42:\n")
    for place in ("etc/skel/.profile", "usr/bin/ssh-agent", "usr/lib/dbus-1.0/dbus-daemon-launch-helper"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("x")
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    owners = {}
    debian_system._accounts(tmp_path, owners)
    shadow = [line.split(":")[:2] for line in (tmp_path / "etc/shadow").read_text().splitlines()]
    assert {password for _, password in shadow} == {"*"}
    names = [name for name, _ in shadow]
    assert len(names) == len({*names})
    assert {"root", "_apt", "sshd", "messagebus", "student"} <= {*names}
    assert "sudo:x:27:student\n" in (tmp_path / "etc/group").read_text()
    assert owners["usr/bin/ssh-agent"] == (0, 101)
    assert (tmp_path / "usr/bin/ssh-agent").stat().st_mode & 0o7777 == 0o2755


def test_a_disk_holds_links_names_and_modes_whatever_the_order_of_the_folder(tmp_path):
    made = []
    for turn, names in (("one", ["b", "a", "c d", 'e"f']), ("two", ['e"f', "c d", "a", "b"])):
        root = tmp_path / turn / "tree"
        (root / "sub").mkdir(parents=True)
        for name in names:
            (root / "sub" / name).write_text(name)
        (root / "sub/b").chmod(0o4755)
        (root / "sub/twin").hardlink_to(root / "sub/a")
        (root / "link").symlink_to("sub/c d")
        made.append(disk.make_disk(root, {}, 16 << 20, 1_700_000_000, tmp_path / turn).read_bytes())
    assert made[0] == made[1]
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", tmp_path / "one/root.qcow2", raw], check=True)

    def debugfs(request):
        return subprocess.run(
            ["debugfs", "-R", request, raw], capture_output=True, text=True, check=True,
            env={**os.environ, "PATH": tools.search_path()},
        ).stdout  # fmt: skip

    assert "Mode:  04755" in debugfs("stat /sub/b")
    assert "Links: 2" in debugfs("stat /sub/twin")
    assert debugfs('cat "/sub/e""f"') == 'e"f'
    assert 'Fast link dest: "sub/c d"' in debugfs("stat /link")


def test_a_file_system_that_could_not_be_filled_is_no_image(tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    (root / "big").write_bytes(os.urandom(20 << 20))
    with pytest.raises(ImageBuildError, match="failed"):
        disk.make_disk(root, {}, 16 << 20, 1_700_000_000, tmp_path)
    (root / "big").unlink()
    (root / "two\nlines").write_text("x")
    with pytest.raises(ImageBuildError, match="unusable path"):
        disk.make_disk(root, {}, 16 << 20, 1_700_000_000, tmp_path)


def test_links_lead_to_the_images_own_files(tmp_path):
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/sbin").mkdir()
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "usr/bin/kmod").write_text("")
    (tmp_path / "usr/sbin/depmod").symlink_to("/bin/kmod")
    (tmp_path / "usr/sbin/modinfo").symlink_to("depmod")
    found = shared.own_file(tmp_path, tmp_path / "usr/sbin/modinfo")
    assert found == tmp_path / "bin/kmod"
