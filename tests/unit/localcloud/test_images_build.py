"""The builder's parts that need no packages: what goes where, what is skipped, what is said when it cannot go on."""

import dataclasses
import errno
import fcntl
import io
import json
import os
import struct
import subprocess
import tarfile
from typing import ClassVar

import pytest

from educloud_lab.localcloud.images import (
    ImageBuildError,
    ImageManifestError,
    assembly,
    bootfiles,
    build,
    builder,
    disk,
    packages,
    recipes,
    records,
    system,
    tools,
    tree,
)
from educloud_lab.localcloud.images.manifest import load_manifest
from educloud_lab.localcloud.images.packages import Package, parse_uris, parse_wanted


def quiet(what, left_s):
    pass


# -- packages ---------------------------------------------------------------------------------------------------


def test_package_lists_hold_names_comments_and_names_to_leave_out():
    assert parse_wanted("# why\nbash\n\n-perl\n nano \n") == (("bash", "nano"), frozenset({"perl"}))


def test_apt_answers_are_read_with_epochs_and_sorted():
    answer = (
        "Reading package lists...\n"
        "'http://mirror/pool/t/tar_1.34_amd64.deb' tar_1.34_amd64.deb 836288 MD5Sum:aa\n"
        "'http://mirror/pool/k/k_2.deb' kernel_1%3a6.1+x~1-2_amd64.deb 12 \n"
    )
    assert parse_uris(answer) == (
        Package("kernel", "1:6.1+x~1-2", "kernel_1%3a6.1+x~1-2_amd64.deb", 12),
        Package("tar", "1.34", "tar_1.34_amd64.deb", 836288),
    )


def test_the_cache_keeps_what_other_images_need_and_gives_back_exact_versions(tmp_path):
    apt = packages.Apt(tmp_path)
    apt._prepare()
    files = ["kernel_1%3a6.1+x~1-2_amd64.deb", "bash_5.2_amd64.deb", "bash_5.2.15_amd64.deb", "old_1_all.deb"]
    for name in files:
        (tmp_path / "debs" / name).write_bytes(b"x")
    found = apt.locked(["kernel=1:6.1+x~1-2", "bash=5.2"], quiet)
    assert [package.file_name for package in found] == ["bash_5.2_amd64.deb", "kernel_1%3a6.1+x~1-2_amd64.deb"]
    apt.fetch(found[:1], quiet, keep={packages.file_stem("kernel=1:6.1+x~1-2")})
    assert sorted(path.name for path in (tmp_path / "debs").iterdir()) == sorted(files[:2])


def test_the_guest_package_list_names_what_a_student_and_the_broker_use():
    wanted, left_out = parse_wanted((builder.GUEST / "packages.txt").read_text())
    assert {"openssh-server", "bash", "python3", "e2fsprogs", "util-linux", "psmisc", "nano", "curl", "sudo"} <= {
        *wanted
    }
    assert "perl-base" in left_out


# -- files into a tree ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shipped", "place"),
    [
        ("./bin/ls", "usr/bin/ls"),
        ("./lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("./usr/bin/env", "usr/bin/env"),
        ("./etc/passwd", "etc/passwd"),
        ("./sbin", ""),
        ("./", ""),
    ],
)
def test_paths_go_where_merged_usr_has_them(shipped, place):
    assert tree.tree_path(shipped) == place


def test_a_package_may_not_climb_out_of_the_tree():
    with pytest.raises(ImageBuildError, match="unusable path"):
        tree.tree_path("./usr/../../etc/shadow")


@pytest.fixture
def deb(tmp_path):
    """A real package file: a program, a link, a hard link, documentation, a setgid program of another group."""
    package = tmp_path / "package"
    for name, text in {
        "DEBIAN/control": "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n",
        "bin/tool": "tool",
        "usr/share/doc/x/README": "words",
        "usr/share/locale/de/x.mo": "Worte",
        "usr/lib/x86_64-linux-gnu/gconv/gconv-modules": "many",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    (package / "bin/tool").chmod(0o2755)
    (package / "bin/same").hardlink_to(package / "bin/tool")
    (package / "bin/link").symlink_to("tool")
    path = tmp_path / "x.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", package, path], check=True, capture_output=True)
    return path


def test_a_package_is_unpacked_without_what_nobody_reads(deb, tmp_path):
    root = tmp_path / "root"
    tree.unpack([deb], root, {})
    assert (root / "bin/tool").read_text() == "tool"
    assert (root / "usr/bin/tool").stat().st_mode & 0o7777 == 0o2755
    assert (root / "usr/bin/same").samefile(root / "usr/bin/tool")
    assert (root / "usr/bin/link").readlink().as_posix() == "tool"
    names = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert not [name for name in names if name.startswith(("usr/share/doc", "usr/share/locale"))]
    assert not [name for name in names if "gconv" in name]


def test_a_damaged_package_is_named(deb, tmp_path):
    deb.write_bytes(deb.read_bytes()[:200])
    with pytest.raises(ImageBuildError, match=r"x\.deb"):
        tree.unpack([deb], tmp_path / "root", {})


def test_accounts_can_use_keys_but_no_password(tmp_path):
    masters = tmp_path / "usr/share/base-passwd"
    masters.mkdir(parents=True)
    (masters / "passwd.master").write_text("root:*:0:0:root:/root:/bin/bash\n")
    (masters / "group.master").write_text("root:*:0:\nsudo:*:27:\n")
    (tmp_path / "etc/skel").mkdir(parents=True)
    (tmp_path / "etc/skel/.profile").write_text("x")
    (tmp_path / "root").mkdir()
    owners = {}
    system._accounts(tmp_path, owners)
    shadow = dict(line.split(":")[:2] for line in (tmp_path / "etc/shadow").read_text().splitlines())
    # sshd without PAM takes "!" for a locked account, and an empty field would be an open door.
    assert shadow == {"root": "*", "sshd": "*", "student": "*"}
    assert "sudo:x:27:student" in (tmp_path / "etc/group").read_text()
    assert owners["home/student"] == owners["home/student/.profile"] == (1000, 1000)
    assert owners["etc/shadow"] == (0, 42)


# -- kernel, modules, ramdisk -------------------------------------------------------------------------------------


def test_a_modules_signature_is_cut_off_and_nothing_else():
    body = b"\x7fELF" + bytes(range(256))
    signature = b"s" * 77
    signed = body + signature + struct.pack(">8xI", len(signature)) + b"~Module signature appended~\n"
    assert bootfiles.without_signature(signed) == body
    assert bootfiles.without_signature(body) == body


def test_a_module_that_the_kernel_lacks_is_named():
    with pytest.raises(ImageBuildError, match="virtio_net"):
        bootfiles.pick_modules({"lib/modules/6/kernel/virtio.ko": b"x"}, ("virtio", "virtio_net"))


def test_the_ramdisk_is_a_cpio_archive_that_cpio_reads(tmp_path):
    data = bootfiles.ramdisk(b"#!init", b"busybox", {"virtio": b"one", "virtio_net": b"two"})
    listing = subprocess.run(
        ["cpio", "-t", "-v", "--quiet"], input=data, capture_output=True, check=True
    ).stdout.decode()
    lines = {line.split()[-1]: line for line in listing.splitlines()}
    assert lines["init"].startswith("-rwxr-xr-x")
    assert lines["dev/console"].startswith("crw-------")
    got = subprocess.run(
        ["cpio", "-i", "--quiet", "--to-stdout", "modules/order", "modules/virtio_net.ko"],
        input=data, capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert got == b"virtio\nvirtio_net\ntwo"
    assert data == bootfiles.ramdisk(b"#!init", b"busybox", {"virtio": b"one", "virtio_net": b"two"})


def test_a_kernel_in_another_compression_is_refused(tmp_path):
    with pytest.raises(ImageBuildError, match="LZ4"):
        bootfiles.uncompressed_kernel(b"MZ" + bytes(1000), tmp_path)


def test_the_modules_of_the_ramdisk_come_in_an_order_that_loads():
    order = bootfiles.RAMDISK_MODULES
    for first, then in [
        ("virtio_ring", "virtio"),
        ("virtio", "virtio_pci"),
        ("virtio_pci_modern_dev", "virtio_pci"),
        ("failover", "net_failover"),
        ("net_failover", "virtio_net"),
        ("virtio_pci", "virtio_blk"),
    ]:
        assert order.index(first) < order.index(then)


# -- the disk ---------------------------------------------------------------------------------------------------


def test_the_same_tree_gives_the_same_disk_with_the_owners_asked_for(tmp_path):
    digests = []
    for turn in ("one", "two"):
        root = tmp_path / turn / "tree"
        (root / "home/student").mkdir(parents=True)
        (root / 'home/student/a "b" c').write_text("text")
        (root / "bin").symlink_to("usr/bin")
        made = disk.make_disk(root, {"home/student": (1000, 1000)}, 16 << 20, 1_700_000_000, tmp_path / turn)
        digests.append(records.sha256(made))
    assert digests[0] == digests[1]
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", made, raw], check=True)
    said = subprocess.run(
        ["debugfs", "-R", "stat /home/student", raw], capture_output=True, text=True, check=True, env=_path()
    ).stdout
    assert "User:  1000   Group:  1000" in said
    said = subprocess.run(
        ["debugfs", "-R", "stat /", raw], capture_output=True, text=True, check=True, env=_path()
    ).stdout
    assert "User:     0   Group:     0" in said


def _path():
    return {**os.environ, "PATH": tools.search_path()}


# -- the whole --------------------------------------------------------------------------------------------------


def test_missing_programs_are_named_with_the_command_that_installs_them():
    with pytest.raises(ImageBuildError, match=r"mke2fs, debugfs not found.*apt-get install e2fsprogs$"):
        tools.check_tools(lambda program: None if program in ("mke2fs", "debugfs") else program)


def test_a_full_disk_is_said_plainly():
    words = str(tools.build_error("unpacking", OSError(errno.ENOSPC, "No space left on device", "/x")))
    assert "disk is full" in words
    assert "Earlier images are as they were" in words


def test_too_little_room_stops_before_anything_is_fetched(tmp_path, monkeypatch):
    greedy = dataclasses.replace(recipes.DEBIAN, free_bytes_needed=10**18)
    with pytest.raises(
        ImageBuildError, match=r"Too little room in .*: \d+ MB free, building debian needs about \d+ MB"
    ):
        builder._require_space(tmp_path, greedy)


def test_a_failing_tool_is_quoted():
    with pytest.raises(ImageBuildError, match=r"(?s)Doing it failed.*cannot access"):
        tools.run("doing it", ["ls", "/does/not/exist"])


def test_an_unknown_image_is_refused_before_anything_happens(tmp_path):
    with pytest.raises(ImageBuildError, match=r"no image called huge.*tiny, tiny-store, debian"):
        build(tmp_path / "home", ["tiny", "huge"], progress=quiet)
    assert not (tmp_path / "home").exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageBuildError, match="Building images failed"):
        build(tmp_path / "file", progress=quiet)


class FakeApt:
    """Package resolution without apt: counts what is asked of it."""

    instances: ClassVar[list["FakeApt"]] = []

    def __init__(self, cache):
        self.calls = []
        FakeApt.instances.append(self)

    lists_stamp = "lists-1"
    versions = "1"

    def stamp(self):
        return self.lists_stamp

    def resolve(self, wanted, left_out, progress):
        self.calls.append("resolve")
        return (Package("bash", self.versions, "bash.deb", 1),)

    def locked(self, names, progress):
        self.calls.append(names)
        return tuple(Package(*name.split("="), "x.deb", 1) for name in names)

    def fetch(self, resolved, progress, keep=()):
        self.calls.append("fetch")
        return []


@pytest.fixture
def fake_world(monkeypatch):
    """Everything but apt and the making itself is the real builder; gives the systems that were made."""
    made = []

    def make(work, recipe, resolved, debs, progress):
        files = work / "files"
        files.mkdir()
        for name in ("vmlinux", "ramdisk.img", "root.qcow2"):
            (files / name).write_bytes(f"{recipe.name} {name} {len(made)}".encode())
        made.append(recipe.name)
        return files, 1_700_000_000

    FakeApt.instances = []
    monkeypatch.setattr(FakeApt, "lists_stamp", "lists-1")
    monkeypatch.setattr(FakeApt, "versions", "1")
    monkeypatch.setattr(builder, "Apt", FakeApt)
    monkeypatch.setattr(builder, "check_tools", lambda: None)
    monkeypatch.setattr(builder, "_require_space", lambda *_: None)
    monkeypatch.setattr(assembly, "make", make)
    return made


def version(manifest):
    return json.loads(manifest.read_text())["version"]


def test_a_second_build_does_nothing_and_asks_nobody(tmp_path, fake_world):
    first = build(tmp_path, progress=quiet)
    assert [path.parent.name for path in first] == ["tiny", "tiny-store"]
    assert json.loads(first[1].read_text())["root_device_type"] == "instance-store"
    assert build(tmp_path, progress=quiet) == first
    assert fake_world == ["tiny"]
    assert FakeApt.instances[-1].calls == []


def test_both_images_share_their_files(tmp_path, fake_world):
    tiny, store = build(tmp_path, progress=quiet)
    assert (tiny.parent / "root.qcow2").samefile(store.parent / "root.qcow2")


def test_images_of_two_systems_are_built_in_turn(tmp_path, fake_world):
    built = build(tmp_path, ["debian", "tiny"], progress=quiet)
    assert [path.parent.name for path in built] == ["debian", "tiny"]
    assert fake_world == ["debian", "tiny"]
    assert json.loads(built[0].read_text())["packages"] == ["bash=1"]


def test_the_earlier_version_stays_beside_the_new_one_when_asked(tmp_path, fake_world):
    first = build(tmp_path, ["tiny"], progress=quiet)[0]
    before = version(first)
    assert build(tmp_path, ["tiny"], progress=quiet, force=True, keep=True) == [first]
    kept = tmp_path / "images" / f"tiny@{before}"
    assert load_manifest(kept, verify=True).version == before
    assert version(first) != before
    assert [path.name for path in records.folders(tmp_path / "images")] == ["tiny", kept.name]


def test_a_version_is_there_once(tmp_path, fake_world, monkeypatch):
    first = build(tmp_path, ["tiny"], progress=quiet)[0]
    before = version(first)
    build(tmp_path, ["tiny"], progress=quiet, force=True, keep=True)
    fake_world.clear()  # what is made now is what was made first
    build(tmp_path, ["tiny"], progress=quiet, force=True)
    assert version(first) == before
    assert [path.name for path in records.folders(tmp_path / "images")] == ["tiny"]


def test_without_asking_the_earlier_version_goes(tmp_path, fake_world):
    build(tmp_path, ["tiny"], progress=quiet)
    build(tmp_path, ["tiny"], progress=quiet, force=True)
    assert [path.name for path in records.folders(tmp_path / "images")] == ["tiny"]


def test_an_image_is_built_again_from_the_packages_of_its_manifest(tmp_path, fake_world, monkeypatch):
    first = build(tmp_path, ["tiny"], progress=quiet)[0]
    monkeypatch.setattr(FakeApt, "versions", "2")
    build(tmp_path, ["tiny"], progress=quiet, from_manifest=first)
    assert FakeApt.instances[-1].calls == [("bash=1",), "fetch"]
    assert json.loads(first.read_text())["packages"] == ["bash=1"]


def test_a_manifest_of_another_system_or_without_packages_is_refused(tmp_path, fake_world):
    first = build(tmp_path, ["tiny"], progress=quiet)[0]
    with pytest.raises(ImageBuildError, match="package versions of tiny, which debian is not made of"):
        build(tmp_path, ["debian"], progress=quiet, from_manifest=first)
    data = json.loads(first.read_text())
    old = tmp_path / "manifest.json"
    for packages_ in (None, [], ["--option=x"], ["bash=1 evil"]):
        old.write_text(json.dumps(data | {"packages": packages_}))
        with pytest.raises(ImageManifestError, match="does not say which package versions"):
            build(tmp_path, ["tiny"], progress=quiet, from_manifest=old)


def test_an_image_and_a_kept_version_can_be_removed(tmp_path, fake_world):
    images = tmp_path / "images"
    first = build(tmp_path, ["tiny"], progress=quiet)[0]
    before = version(first)
    build(tmp_path, ["tiny"], progress=quiet, force=True, keep=True)
    records.remove(images, f"tiny@{before}", quiet)
    assert [path.name for path in records.folders(images)] == ["tiny"]
    records.remove(images, "tiny", quiet)
    assert records.folders(images) == []
    for name in ("tiny", "../images", ".cache", ""):
        with pytest.raises(ImageBuildError, match="There is no image"):
            records.remove(images, name, quiet)


def test_new_package_lists_with_the_same_versions_build_nothing(tmp_path, fake_world, monkeypatch):
    build(tmp_path, progress=quiet)
    monkeypatch.setattr(FakeApt, "lists_stamp", "lists-2")
    build(tmp_path, progress=quiet)
    assert len(fake_world) == 1
    assert FakeApt.instances[-1].calls == ["resolve"]
    build(tmp_path, progress=quiet)
    assert FakeApt.instances[-1].calls == []


@pytest.mark.parametrize("cause", ["versions", "guest", "lost file", "short file", "force"])
def test_what_changed_is_built_again(tmp_path, fake_world, monkeypatch, cause):
    first, _ = build(tmp_path, progress=quiet)
    before = version(first)
    if cause == "versions":
        monkeypatch.setattr(FakeApt, "lists_stamp", "lists-2")
        monkeypatch.setattr(FakeApt, "versions", "2")
    elif cause == "guest":
        monkeypatch.setattr(builder, "guest_fingerprint", lambda guest: "other")
    elif cause == "lost file":
        (first.parent / "vmlinux").unlink()
    elif cause == "short file":
        (first.parent / "vmlinux").unlink()
        (first.parent / "vmlinux").write_bytes(b"k")
    build(tmp_path, ["tiny"], progress=quiet, force=cause == "force")
    assert fake_world == ["tiny", "tiny"]
    assert version(first) != before


def test_a_failed_build_leaves_the_old_image_and_no_litter(tmp_path, fake_world, monkeypatch):
    first, _ = build(tmp_path, progress=quiet)
    before = first.read_bytes()

    def fail(work, *rest):
        (work / "half").write_text("done")
        raise ImageBuildError("no")

    monkeypatch.setattr(assembly, "make", fail)
    with pytest.raises(ImageBuildError):
        build(tmp_path, progress=quiet, force=True)
    assert first.read_bytes() == before
    assert not list((tmp_path / "images").glob(".build-*"))


def test_a_second_builder_waits_and_finds_the_work_done(tmp_path, fake_world):
    build(tmp_path, progress=quiet)
    said = []
    # A lock belongs to the open file, so this stands for another process.
    holder = (tmp_path / "images" / ".lock").open("a")
    fcntl.flock(holder, fcntl.LOCK_EX)

    def progress(what, left_s):
        said.append(what)
        if "another builder" in what:
            holder.close()

    build(tmp_path, progress=progress)
    assert "another builder" in said[0]
    assert said[-1] == "images are up to date"


def test_the_newer_package_lists_are_used(tmp_path, monkeypatch):
    host = tmp_path / "host"
    host.mkdir()
    monkeypatch.setattr(packages, "_HOST_LISTS", host)
    apt = packages.Apt(tmp_path / "cache")
    assert apt.lists == host
    before = apt.stamp()
    own = tmp_path / "cache/apt/lists"
    own.mkdir(parents=True)
    (own / "mirror_Packages.lz4").write_text("x")
    os.utime(own / "mirror_Packages.lz4", (100, 100))
    assert apt.lists == own
    assert apt.stamp() != before
    (host / "mirror_Packages").write_text("x")
    os.utime(host / "mirror_Packages", (200, 200))
    assert apt.lists == host


def test_what_a_killed_build_left_is_cleared(tmp_path, fake_world):
    litter = tmp_path / "images" / ".build-dead"
    litter.mkdir(parents=True)
    (litter / "x").write_text("x")
    build(tmp_path, progress=quiet)
    assert not litter.exists()


def test_guest_scripts_are_sound_shell_and_name_no_host():
    for path in sorted([*recipes.GUEST.rglob("*"), *recipes.GUEST_DEBIAN.rglob("*")]):
        if not path.is_file():
            continue
        text = path.read_text()
        # Debian's public name of its mirrors is the one address that an image may name.
        assert "http://" not in text.replace("http://169.254.169.254", "").replace("http://deb.debian.org/", ""), path
        if text.splitlines()[:1] in (["#!/bin/busybox sh"], ["#!/usr/lib/educloud/busybox sh"]):
            done = subprocess.run(["sh", "-n", path], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{path}: {done.stderr}"


def test_newest_time_is_the_packages_own(tmp_path, deb):
    archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        assert tree.newest_time_s(deb) == max(member.mtime for member in members)


def test_a_home_that_the_builder_makes_is_its_owners_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "_build_locked", lambda *_: [])
    home = tmp_path / "new" / "home"
    builder.build(home, progress=lambda *_: None)
    assert home.stat().st_mode & 0o777 == 0o700
