"""``educloud cloud image``: what it prints and how it ends."""

import hashlib
import json
from pathlib import Path

import pytest

from educloud_lab.app import image_app
from educloud_lab.app.image_app import ImageApp, ImageBuildApp, ImageListApp, ImageRemoveApp, ImageVerifyApp
from educloud_lab.localcloud.images import ImageBuildError


@pytest.fixture(autouse=True)
def fresh():
    yield
    # traitlets keeps the application that ran as the only one of its kind.
    for kind in (ImageBuildApp, ImageListApp, ImageRemoveApp, ImageVerifyApp, ImageApp):
        kind.clear_instance()


def run(*arguments):
    app = ImageApp.instance()
    app.initialize(list(arguments))
    app.start()


@pytest.fixture
def asked(monkeypatch, tmp_path):
    calls = []

    def build(home, names, *, progress, force, keep, from_manifest):
        calls.append((home, tuple(names), force, keep, from_manifest))
        progress("working", 12)
        return []

    monkeypatch.setattr(image_app, "build", build)
    monkeypatch.setenv("EDUCLOUD_HOME", str(tmp_path / "home"))
    return calls


@pytest.mark.parametrize(
    ("arguments", "names", "force"),
    [
        ([], ("tiny", "tiny-store"), False),
        (["all"], ("tiny", "tiny-store", "debian"), False),
        (["debian"], ("debian",), False),
        (["tiny-store"], ("tiny-store",), False),
        (["tiny", "tiny", "--force"], ("tiny",), True),
    ],
)
def test_build_builds_what_is_asked(asked, tmp_path, capsys, arguments, names, force):
    run("build", *arguments)
    assert asked == [(tmp_path / "home", names, force, False, None)]
    assert "working (about 12 s left)" in capsys.readouterr().err


def test_home_can_be_given(asked, tmp_path):
    run("build", "tiny", f"--home={tmp_path / 'other'}")
    assert asked[0][0] == tmp_path / "other"


def test_a_failure_is_one_paragraph_and_status_1(monkeypatch, capsys):
    def build(*_, **__):
        raise ImageBuildError("The disk is full.")

    monkeypatch.setattr(image_app, "build", build)
    with pytest.raises(SystemExit) as ended:
        run("build")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "educloud cloud image build: The disk is full.\n"


def test_list_without_images_says_how_to_build_them(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run("list", f"--home={tmp_path}")
    assert ended.value.code == 1
    assert "educloud cloud image build" in capsys.readouterr().err


def test_list_names_the_image_that_is_not_sound(tmp_path, capsys):
    folder = tmp_path / "images" / "tiny"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(SystemExit) as ended:
        run("list", f"--home={tmp_path}")
    assert ended.value.code == 1
    assert "not JSON" in capsys.readouterr().err


def test_a_manifest_can_be_given_and_the_earlier_version_kept(asked, tmp_path):
    run("build", "tiny", "--keep", "--from-manifest=x/manifest.json")
    assert asked == [(tmp_path / "home", ("tiny",), False, True, Path("x/manifest.json"))]


def test_locked_builds_each_image_from_its_own_manifest(asked, tmp_path):
    run("build", "tiny", "debian", "--locked")
    home = tmp_path / "home"
    assert asked == [(home, (name,), False, False, home / "images" / name) for name in ("tiny", "debian")]


def image_at(folder):
    folder.mkdir(parents=True)
    names = {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"}
    for name in names.values():
        (folder / name).write_bytes(name.encode())
    manifest = {
        "schema": 1, "name": folder.name.partition("@")[0], "version": "1", "title": "T", "description": "D",
        "architecture": "x86_64", "virtualization_type": "hvm", "root_device_type": "ebs", "files": names,
        "sha256": {name: hashlib.sha256(name.encode()).hexdigest() for name in names.values()},
        "root_size_bytes": 1, "min_memory_bytes": 1, "kernel_args": "x", "login_user": "student",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_list_says_what_could_be_built_and_what_was_kept(tmp_path, capsys):
    image_at(tmp_path / "images" / "tiny")
    image_at(tmp_path / "images" / "tiny@1")
    run("list", f"--home={tmp_path}")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert "kept: T" in said[1]
    assert said[3].endswith("not built; build it with: educloud cloud image build debian")


def test_verify_finds_the_image_that_was_changed(tmp_path, capsys):
    image_at(tmp_path / "images" / "tiny")
    damaged = image_at(tmp_path / "images" / "debian")
    run("verify", f"--home={tmp_path}", "tiny")
    assert capsys.readouterr().out == "tiny: 1 is the image that was built\n"
    (damaged / "vmlinux").write_bytes(b"kernel!")
    with pytest.raises(SystemExit) as ended:
        run("verify", f"--home={tmp_path}")
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "is not the file that was built" in said.err
    assert "tiny: 1 is" in said.out


def test_remove_takes_what_is_named_and_nothing_else(tmp_path, capsys):
    image_at(tmp_path / "images" / "tiny")
    image_at(tmp_path / "images" / "debian")
    run("remove", f"--home={tmp_path}", "debian")
    assert sorted(path.name for path in (tmp_path / "images").glob("[!.]*")) == ["tiny"]
    for arguments, status, words in ((["debian"], 1, "There is no image 'debian'"), ([], 2, "there are: tiny")):
        with pytest.raises(SystemExit) as ended:
            run("remove", f"--home={tmp_path}", *arguments)
        assert ended.value.code == status
        assert words in capsys.readouterr().err
