"""The rooms of the package hold: each import rule is planted against and seen to report."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

PLANTS = {
    "layers": ("educloud_lab/domain/planted.py", "import educloud_lab.broker.api"),
    "layers, siblings": ("educloud_lab/notebook/planted.py", "import educloud_lab.server"),
    "layers, a stray room": ("educloud_lab/utils/__init__.py", ""),
    "cloud-by-http": ("educloud_lab/broker/planted.py", "import educloud_lab.localcloud"),
    "adapters-apart": ("educloud_lab/adapters/ssh/planted.py", "import educloud_lab.adapters.ec2"),
    "plain-domain": ("educloud_lab/domain/planted.py", "import pydantic"),
    "boto3": ("educloud_lab/broker/planted.py", "import boto3"),
    "asyncssh": ("educloud_lab/server/planted.py", "import asyncssh"),
    "sqlalchemy": ("educloud_lab/server/planted.py", "import sqlalchemy"),
    "tornado": ("educloud_lab/client/planted.py", "import tornado.web"),
}


def contracts() -> list[dict[str, str]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def lint(folder: Path, contract: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT, "--config", str(folder / "pyproject.toml"), "--contract", contract, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rooms")
    shutil.copytree(
        ROOT / "educloud_lab", folder / "educloud_lab", ignore=shutil.ignore_patterns("labextension", "__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_every_rule_has_a_plant():
    assert {contract["id"] for contract in contracts()} == {name.split(",")[0] for name in PLANTS}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_import_is_reported(copied, name):
    contract = name.split(",")[0]
    path, statement = PLANTS[name]
    target = copied / path
    made_folder = not target.parent.exists()
    target.parent.mkdir(exist_ok=True)
    target.write_text(f'"""Planted."""\n\n{statement}\n')
    try:
        result = lint(copied, contract)
    finally:
        target.unlink()
        if made_folder:
            target.parent.rmdir()
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout or "not listed as layers" in result.stdout + result.stderr


def test_without_a_plant_all_rules_hold():
    result = subprocess.run([LINT, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
