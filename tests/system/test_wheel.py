"""One wheel carries the Python package, the built extension and the configuration that switches the server half on."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if not (ROOT / "educloud_lab/labextension/static/style.js").exists():
        pytest.fail("The extension is not built. Build it: scripts/setup test")
    out = tmp_path_factory.mktemp("wheel")
    result = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        env=os.environ | {"SKIP_JUPYTER_BUILDER": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_the_wheel_holds_all_three_parts_in_one_version(wheel):
    names = wheel.namelist()
    version = json.loads((ROOT / "labextension/package.json").read_text())["version"]
    data = f"educloud_lab-{version}.data/data"
    assert "educloud_lab/app/extension.py" in names
    shared = [name for name in names if name.startswith(f"{data}/share/jupyter/labextensions/educloud-lab/")]
    package = json.loads(wheel.read(f"{data}/share/jupyter/labextensions/educloud-lab/package.json"))
    assert package["version"] == version
    entry = package["jupyterlab"]["_build"]["load"]
    assert f"{data}/share/jupyter/labextensions/educloud-lab/{entry}" in shared
    assert any(name.endswith("install.json") for name in shared)
    assert any("/schemas/" in name and name.endswith("plugin.json") for name in shared)
    switch = json.loads(wheel.read(f"{data}/etc/jupyter/jupyter_server_config.d/educloud_lab.json"))
    assert switch["ServerApp"]["jpserver_extensions"] == {"educloud_lab": True}


def test_the_wheel_holds_what_runs_read_from_files(wheel):
    names = wheel.namelist()
    for wanted in (
        "educloud_lab/app/profiles/tiny.toml",
        "educloud_lab/localcloud/model/ec2.json",
        "educloud_lab/localcloud/model/eucalyptus-6.json",
    ):
        assert wanted in names
    for folder in (
        "educloud_lab/localcloud/state/migrations/",
        "educloud_lab/adapters/sqlstore/migrations/",
        "educloud_lab/localcloud/images/guest/root/",
        "educloud_lab/localcloud/images/guest_debian/root/",
    ):
        assert any(name.startswith(folder) for name in names), folder


def test_the_wheel_holds_nothing_else(wheel):
    strangers = [
        name
        for name in wheel.namelist()
        if not name.startswith(("educloud_lab/", "educloud_lab-")) or "node_modules" in name or "__pycache__" in name
    ]
    assert strangers == []
    # the built extension comes once, as shared data
    assert not any(name.startswith("educloud_lab/labextension/") for name in wheel.namelist())
