"""``binder/``: its steps, run as an ordinary user within Binder's limits, end with the first lesson done."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import BIN, ROOT

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(800)]

MEMORY_BYTES = 2_000_000_000  # mybinder.org's limit of a pod
UID = 48_215  # nobody's: what Binder runs as owns nothing but its home
PORT = 8888  # in a network namespace of its own everything is free
INSIDE = Path(__file__).with_name("binder_inside.py")


@pytest.fixture
def home(images: Path) -> Iterator[Path]:
    """A home as the image has it: the checkout's parts that are used at run time, the built image, nothing else."""
    folder = Path(tempfile.mkdtemp(prefix="educloud-binder-"))  # pytest's own folders are closed to other users
    try:
        checkout = folder / "educloud-lab"
        for part in ("binder", "notebooks"):
            shutil.copytree(ROOT / part, checkout / part)
        (checkout / ".venv").symlink_to(BIN.parent)
        shutil.copytree(images / "tiny", folder / ".local/share/educloud-lab/images/tiny")
        if os.geteuid() == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, UID, UID, follow_symlinks=False)
        yield folder
    finally:
        shutil.rmtree(folder)


def opened(path: Path, parking: Path) -> list[str]:
    """Return what makes a path readable that lies in somebody's closed home, in a mount namespace of our own."""
    closed = [parent for parent in reversed(path.parents) if not parent.stat().st_mode & stat.S_IXOTH]
    if not closed:
        return []
    quoted, parked, first = (shlex.quote(str(each)) for each in (path, parking, closed[0]))
    return [
        f"mkdir {parked}",
        f"mount --bind {quoted} {parked}",
        f"mount -t tmpfs -o mode=755 none {first}",
        f"mkdir -p {quoted}",
        f"mount --bind {parked} {quoted}",
    ]


def limited(command: list[str], home: Path) -> list[str]:
    """Return a command line that runs a command on one core, without a network, as a user without any right."""
    core = min(os.sched_getaffinity(0))
    inner = f"taskset -c {core} {shlex.join(command)}"
    steps = ["set -e", "ip link set lo up"]
    if os.geteuid() == 0:
        steps += opened(ROOT, home / "parking")
        user = f"setpriv --reuid={UID} --regid={UID} --clear-groups --no-new-privs --inh-caps=-all"
        isolate = ["unshare", "--net", "--mount"]
    else:
        user = "setpriv --no-new-privs --inh-caps=-all --ambient-caps=-all"
        isolate = ["unshare", "--user", "--map-current-user", "--keep-caps", "--net"]
    return [*isolate, "bash", "-c", "\n".join([*steps, f"exec {user} {inner}"])]


def test_the_first_lesson_within_binders_limits(home: Path, artifacts: Path) -> None:
    log = home / "jupyter.log"
    environment = {
        "HOME": str(home),
        "USER": "jovyan",
        "LOGNAME": "jovyan",
        "LANG": "C.UTF-8",
        "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        limited([sys.executable, str(INSIDE), str(PORT), str(log)], home),
        cwd=home / "educloud-lab",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=780,
    )
    said = log.read_text(errors="replace") if log.exists() else ""
    (artifacts / "binder.log").write_text(f"{done.stdout}\n{done.stderr}\n{said}")
    assert done.returncode == 0, done.stderr[-4000:] + said[-4000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert "error" not in report, report
    assert report["errors"] == [], report["errors"][0]["said"] + said[-3000:]
    assert report["phases"] == {"your-first-machine": "asleep"}
    # These really were the limits, and what was measured really was there.
    assert report["uid"] == (UID if os.geteuid() == 0 else os.getuid()) != 0
    assert report["cores"] == 1
    assert report["networks"] == ["lo"]
    assert report["peak_bytes"] > 300_000_000, report["at_peak"]
    assert report["peak_bytes"] <= MEMORY_BYTES, report["at_peak"]
    assert report["guests_mb"]
    assert max(report["guests_mb"]) <= 512
    assert not {name for name in report["commands"] if name.startswith(("sshd", "slirp4netns"))}


def test_the_image_is_made_by_the_same_scripts() -> None:
    """The Dockerfile holds no step that the test above does not know, and every package that the set-up wants."""
    lines = (ROOT / "binder/Dockerfile").read_text().replace("\\\n", " ").splitlines()
    runs = [line.removeprefix("RUN ") for line in lines if line.startswith("RUN ")]
    root, user = runs
    assert "apt-get install" in root
    assert user == "binder/build && binder/prepare"
    assert lines.index("USER ${NB_USER}") < lines.index(f"RUN {user}")
    assert not [line for line in lines if line.startswith("USER ") and line != "USER ${NB_USER}"]
    assert 'ENTRYPOINT ["binder/start"]' in lines
    listed = set(re.findall(r"^[a-z0-9].*$", (ROOT / "binder/packages.txt").read_text(), re.M))
    wanted = re.search(r"^packages=\((.*?)\)", (ROOT / "scripts/setup").read_text(), re.M)
    assert wanted is not None
    assert set(wanted[1].split()) <= listed
    for script in ("build", "prepare", "start"):
        path = ROOT / "binder" / script
        assert path.stat().st_mode & stat.S_IXUSR
        subprocess.run(["bash", "-n", str(path)], check=True)
