"""The guest follows its real-time clock: a host that slept locks nobody out of certificates that live for minutes."""

import os
import subprocess

import pytest

from educloud_lab.localcloud.images import builder

SCRIPT = builder.GUEST / "root/usr/lib/educloud/keep-clock"
# Stands for busybox: two periods pass, the system says 1000, and what is done to the clock is written down.
BUSYBOX = """#!/bin/sh
case $1 in
  sleep) echo "$2" >>periods; [ "$(wc -l <periods)" -le 2 ] ;;
  date) echo 1000 ;;
  hwclock) shift; echo "$*" >>steps ;;
esac
"""


def run(folder, hardware):
    text = SCRIPT.read_text()
    for place, name in (("/sys/class/rtc/rtc0/since_epoch", "hardware"), ("/dev/console", "console")):
        assert place in text
        text = text.replace(place, str(folder / name))
    (folder / "hardware").write_text(f"{hardware}\n")
    program = folder / "busybox"
    program.write_text(BUSYBOX)
    program.chmod(0o700)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run(["/bin/sh", "-c", text], cwd=folder, env=environment, check=False)
    steps = folder / "steps"
    return steps.read_text().splitlines() if steps.exists() else []


@pytest.mark.parametrize("hardware", [4600, 400, 1002])
def test_a_clock_that_is_off_is_set_from_the_hardware_clock(tmp_path, hardware):
    assert run(tmp_path, hardware) == ["-s -u", "-s -u"]
    assert (tmp_path / "periods").read_text().split() == ["10"] * 3


@pytest.mark.parametrize("hardware", [999, 1000, 1001])
def test_a_clock_that_is_right_runs_on_steadily(tmp_path, hardware):
    assert run(tmp_path, hardware) == []
