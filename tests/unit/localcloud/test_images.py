"""Registering built images: ids that stay, bad images that say why, old files kept while something needs them."""

from __future__ import annotations

import json

import pytest

from educloud_lab.localcloud.errors import ApiError


async def shown(bench):
    return {i["Name"]: i for i in (await bench.call("DescribeImages"))["Images"]}


async def test_tiny_is_one_image_with_a_snapshot_and_tiny_store_is_three(bench):
    images = await shown(bench)
    assert set(images) == {"tiny", "tiny-store", "tiny-store-kernel", "tiny-store-ramdisk"}
    tiny, store = images["tiny"], images["tiny-store"]
    assert (tiny["RootDeviceType"], "KernelId" in tiny) == ("ebs", False)
    assert tiny["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"].startswith("snap-")
    assert store["RootDeviceType"] == "instance-store"
    assert store["KernelId"] == images["tiny-store-kernel"]["ImageId"]
    assert store["RamdiskId"] == images["tiny-store-ramdisk"]["ImageId"]
    assert [images[n]["ImageId"][:4] for n in ("tiny", "tiny-store-kernel", "tiny-store-ramdisk")] == [
        "ami-", "aki-", "ari-",
    ]  # fmt: skip


async def test_ids_stay_over_restarts(bench):
    before = await shown(bench)
    await bench.restart()
    assert await shown(bench) == before


async def test_a_new_version_is_a_new_image_and_the_old_files_stay_while_a_disk_needs_them(bench):
    old = await bench.image()
    machine = await bench.run()
    store = bench.home / "cloud" / "images" / "tiny"
    (first,) = store.iterdir()
    bench.write_image("tiny", content=b"another root")
    await bench.restart()
    assert await bench.image() != old
    assert (first / "root.qcow2").read_bytes() == b"root"
    with pytest.raises(ApiError, match=r"InvalidAMIID\.NotFound"):
        await bench.run(ImageId=old)
    await bench.call("TerminateInstances", InstanceId__1=machine)
    await bench.settle()
    await bench.restart()
    assert [folder for folder in store.iterdir() if folder == first] == []


async def test_a_kept_version_is_offered_by_its_own_name_under_its_old_id(bench):
    old = await bench.image()
    folder = bench.home / "images" / "tiny"
    version = json.loads((folder / "manifest.json").read_text())["version"]
    folder.rename(folder.with_name(f"tiny@{version}"))
    bench.write_image("tiny", content=b"another root")
    await bench.restart()
    images = await shown(bench)
    assert images[f"tiny@{version}"]["ImageId"] == old
    assert images["tiny"]["ImageId"] != old
    await bench.run(f"tiny@{version}")


async def test_building_in_place_does_not_change_kept_files(bench):
    (kept,) = (bench.home / "cloud" / "images" / "tiny").iterdir()
    bench.write_image("tiny", content=b"written anew by the builder")
    assert (kept / "root.qcow2").read_bytes() == b"root"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "aarch64"}, "aarch64"),
        ({"virtualization_type": "paravirtual"}, "paravirtual"),
        ({"sha256": {"vmlinux": "0" * 64, "ramdisk.img": "0" * 64, "root.qcow2": "0" * 64}}, "SHA-256"),
        ({"files": {"kernel": "gone", "ramdisk": "ramdisk.img", "root": "root.qcow2"}}, "gone"),
        ({"schema": 99}, "schema"),
    ],
)
async def test_a_bad_image_is_listed_as_failed_cannot_be_run_and_harms_no_other(bench, changes, said):
    bench.write_image("bad", **changes)
    await bench.restart()
    images = await shown(bench)
    assert images["bad"]["State"] == "failed"
    assert images["tiny"]["State"] == "available"
    with pytest.raises(ApiError) as caught:
        await bench.run("bad")
    assert caught.value.code == "InvalidAMIID.Unavailable"
    assert said in caught.value.message


async def test_a_manifest_that_is_not_json_is_failed_too_and_cured_by_a_new_one(bench):
    bench.write_image("odd")
    manifest = bench.home / "images" / "odd" / "manifest.json"
    good = manifest.read_text()
    manifest.write_text("{")
    await bench.restart()
    assert (await shown(bench))["odd"]["State"] == "failed"
    manifest.write_text(good)
    await bench.restart()
    assert (await shown(bench))["odd"]["State"] == "available"


async def test_an_image_whose_folder_went_is_not_listed(bench):
    (bench.home / "images" / "tiny" / "manifest.json").unlink()
    await bench.restart()
    assert "tiny" not in await shown(bench)


async def test_too_little_memory_for_the_image(bench):
    bench.write_image("fat", min_memory_bytes=1 << 30)
    await bench.restart()
    with pytest.raises(ApiError, match="at least 1024 MB"):
        await bench.run("fat")


async def test_kernel_images_do_not_boot(bench):
    with pytest.raises(ApiError, match="is a kernel"):
        await bench.run("tiny-store-kernel")


async def test_filters_and_owners(bench):
    found = await bench.call("DescribeImages", Filter__1__Name="root-device-type", Filter__1__Value__1="ebs")
    assert [i["Name"] for i in found["Images"]] == ["tiny"]
    assert (await bench.call("DescribeImages", Owner__1="self"))["Images"] == []
    assert len((await bench.call("DescribeImages", Owner__1="eucalyptus"))["Images"]) == 4
    json.dumps(found, default=str)
