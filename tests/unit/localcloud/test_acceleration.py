"""The verdict on KVM: kept for one boot, kernel and QEMU, and never believed beyond."""

import asyncio
import json
import os
import stat
import subprocess

import pytest

from educloud_lab.localcloud import acceleration
from educloud_lab.localcloud.hypervisor.qemu_acceleration import AccelerationChoice
from educloud_lab.localcloud.hypervisor.qemu_queue import StartQueue

KEY = "boot kernel qemu"


@pytest.mark.parametrize("works", [True, False])
async def test_the_kept_verdict_decides(tmp_path, works):
    cache = tmp_path / "acceleration.json"
    binary = script(tmp_path, "exit 1")
    key = acceleration.host_key(await acceleration.qemu_version(binary))
    cache.write_text(json.dumps({"works": works, "reason": "", "key": key}))
    chosen = await AccelerationChoice("auto", cache, StartQueue(1)).choose(tmp_path / "vmlinux", binary)
    assert chosen == ("kvm" if works else "tcg")


async def test_a_first_start_is_emulated_and_has_kvm_tried_in_a_place_of_the_queue(tmp_path):
    binary, cache, queue = script(tmp_path, "exit 1"), tmp_path / "acceleration.json", StartQueue(1)
    choice = AccelerationChoice("auto", cache, queue)
    await queue.enter()  # this machine's own start
    assert await choice.choose(tmp_path / "vmlinux", binary) == "tcg"
    assert not cache.exists()
    queue.leave()
    await asyncio.wait_for(choice._trial, 60)
    assert json.loads(cache.read_text())["works"] is False
    await choice.close()


async def test_a_wish_is_followed_without_a_trial(tmp_path):
    choice = AccelerationChoice("kvm", tmp_path / "acceleration.json", StartQueue(1))
    assert await choice.choose(tmp_path / "vmlinux", "none") == "kvm"
    assert choice._trial is None
    with pytest.raises(ValueError, match="auto, tcg or kvm"):
        AccelerationChoice("xen", tmp_path / "acceleration.json", StartQueue(1))


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", json.dumps({"works": True, "reason": "", "key": "another boot"})]
)
def test_a_verdict_for_another_boot_or_a_broken_one_is_none(tmp_path, text):
    cache = tmp_path / "acceleration.json"
    if text is not None:
        cache.write_text(text)
    assert acceleration.read_verdict(cache, KEY) is None


def test_the_key_changes_with_qemu():
    assert acceleration.host_key("a") != acceleration.host_key("b")


def test_the_probes_program_runs_on_this_very_kernel(tmp_path):
    """The hand-made init is a valid program: it prints the marker here too (and may not power this host off)."""
    program = tmp_path / "init"
    program.write_bytes(acceleration._probe_init())
    program.chmod(stat.S_IRWXU)
    # Never as it is when it might be allowed to power off: the system call is replaced by exit.
    code = program.read_bytes().replace(b"\xb8\xa9\x00\x00\x00", b"\xb8\x3c\x00\x00\x00")
    code = code.replace(b"\xbf\xad\xde\xe1\xfe", b"\xbf\x2a\x00\x00\x00")
    assert b"\xb8\xa9\x00\x00\x00" not in code
    program.write_bytes(code)
    result = subprocess.run([program], capture_output=True, timeout=60, check=False)
    assert result.stdout == b"PROBE-OK\n"
    assert result.returncode == 42


def test_the_probes_ramdisk_is_an_archive_that_cpio_reads(tmp_path):
    result = subprocess.run(
        ["cpio", "-idm", "--quiet"], input=acceleration.probe_ramdisk(), cwd=tmp_path, check=True, capture_output=True
    )
    assert result.stderr == b""
    assert (tmp_path / "init").read_bytes() == acceleration._probe_init()
    assert os.access(tmp_path / "init", os.X_OK)


def script(folder, text) -> str:
    program = folder / "qemu"
    program.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo 'QEMU emulator version 7' && exit\n{text}\n")
    program.chmod(stat.S_IRWXU)
    return str(program)


@pytest.mark.parametrize(
    ("behaviour", "works", "reason"),
    [
        ("echo BIOS; echo PROBE-OK; exec sleep 600", True, "booted"),
        ("echo BIOS; exec sleep 600", False, "did not boot under tcg within"),
        ("echo 'qemu: no such accelerator'; exit 1", False, "no such accelerator"),
        ("exit 0", False, "said nothing"),
    ],
)
async def test_only_a_kernel_that_spoke_has_booted(tmp_path, behaviour, works, reason):
    verdict = await acceleration.probe(
        tmp_path / "vmlinux",
        cache=tmp_path / "cache.json",
        binary=script(tmp_path, behaviour),
        accel="tcg",
        limit_s=0.5 if "within" in reason else 60,
    )
    assert verdict.works is works
    assert reason in verdict.reason
    assert "version 7" in verdict.key


async def test_a_host_without_kvm_is_told_and_the_verdict_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(acceleration.os, "access", lambda *_: False)
    cache = tmp_path / "cache.json"
    verdict = await acceleration.probe(tmp_path / "vmlinux", cache=cache, binary=script(tmp_path, "exit 1"))
    assert not verdict.works
    assert "/dev/kvm" in verdict.reason
    assert acceleration.read_verdict(cache, verdict.key) == verdict
