"""Reading an image: each thing that can be wrong with a manifest is refused with words that help."""

import hashlib
import json

import pytest

from educloud_lab.localcloud.images import (
    ImageFilesError,
    ImageManifestError,
    ImageUnsuitableError,
    load_all,
    load_manifest,
)


@pytest.fixture
def folder(tmp_path):
    target = tmp_path / "tiny"
    target.mkdir()
    files = {"vmlinux": b"kernel", "ramdisk.img": b"ramdisk", "root.qcow2": b"root"}
    for name, data in files.items():
        (target / name).write_bytes(data)
    manifest = {
        "schema": 1,
        "name": "tiny",
        "version": "2026.11.22-00000000",
        "title": "Tiny",
        "description": "Small.",
        "architecture": "x86_64",
        "virtualization_type": "hvm",
        "root_device_type": "ebs",
        "files": {"kernel": "vmlinux", "ramdisk": "ramdisk.img", "root": "root.qcow2"},
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "root_size_bytes": 1 << 30,
        "min_memory_bytes": 1 << 27,
        "kernel_args": "console=ttyS0",
        "login_user": "student",
    }
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


def change(folder, **fields):
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    for key, value in fields.items():
        if value is None:
            del data[key]
        else:
            data[key] = value
    path.write_text(json.dumps(data))


def test_a_sound_image_loads_from_its_folder_or_its_manifest(folder):
    by_folder = load_manifest(folder, verify=True)
    assert by_folder == load_manifest(folder / "manifest.json")
    assert (by_folder.name, by_folder.root_device_type, by_folder.login_user) == ("tiny", "ebs", "student")
    assert by_folder.kernel == folder / "vmlinux"
    assert by_folder.ramdisk == folder / "ramdisk.img"
    assert by_folder.root.read_bytes() == b"root"


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"schema": 2}, ImageUnsuitableError, "schema 2"),
        ({"architecture": "aarch64"}, ImageUnsuitableError, "made for aarch64"),
        ({"virtualization_type": "paravirtual"}, ImageUnsuitableError, "paravirtual"),
        ({"root_device_type": "floppy"}, ImageManifestError, "floppy"),
        ({"name": "../up"}, ImageManifestError, "name has an unusable value"),
        ({"login_user": "a b"}, ImageManifestError, "login_user"),
        ({"kernel_args": None}, ImageManifestError, "kernel_args is missing"),
        ({"title": 7}, ImageManifestError, "title must be text"),
        ({"root_size_bytes": 0}, ImageManifestError, "root_size_bytes"),
        ({"root_size_bytes": True}, ImageManifestError, "root_size_bytes"),
        ({"files": None}, ImageManifestError, "files must be an object"),
        ({"files": {"kernel": "../../etc/passwd", "ramdisk": "r", "root": "q"}}, ImageManifestError, "files.kernel"),
        ({"files": {"kernel": "vmlinux", "root": "root.qcow2"}}, ImageManifestError, "files.ramdisk is missing"),
        ({"sha256": {}}, ImageManifestError, "sha256.vmlinux is missing"),
    ],
)
def test_what_is_wrong_is_named(folder, fields, error, words):
    change(folder, **fields)
    with pytest.raises(error) as caught:
        load_manifest(folder)
    assert words in str(caught.value)


def test_no_manifest_says_how_to_build(tmp_path):
    with pytest.raises(ImageManifestError, match="educloud cloud image build"):
        load_manifest(tmp_path / "tiny" / "manifest.json")


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_what_is_not_a_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ImageManifestError):
        load_manifest(folder)


@pytest.mark.parametrize("spoil", ["remove", "empty"])
def test_a_missing_or_empty_file_is_noticed_without_reading_everything(folder, spoil):
    path = folder / "root.qcow2"
    path.unlink() if spoil == "remove" else path.write_bytes(b"")
    with pytest.raises(ImageFilesError, match=r"root\.qcow2"):
        load_manifest(folder)


def test_a_damaged_file_is_noticed_when_verified(folder):
    (folder / "vmlinux").write_bytes(b"KERNEL")
    image = load_manifest(folder)
    with pytest.raises(ImageFilesError, match="not the file that was built"):
        image.verify()


def test_all_images_of_a_home_are_found_but_not_half_built_ones(folder):
    (folder.parent / ".build-x").mkdir()
    (folder.parent / ".build-x" / "manifest.json").write_text("{")
    (folder.parent / "notes").mkdir()
    assert [image.name for image in load_all(folder.parent)] == ["tiny"]
