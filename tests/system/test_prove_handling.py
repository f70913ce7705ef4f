"""Every fault's handling is proved: taken out of the code, it turns its tests red. The page about them is current."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys

import pytest

from tests.system.conftest import ROOT

SCRIPT = ROOT / "scripts" / "prove-handling"


@pytest.mark.timeout(2400)  # some forty faults, two at a time, each a run of pytest
def test_tests_go_red_when_a_faults_handling_is_taken_out() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        pytest.fail(f"scripts/prove-handling: {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}")


def test_the_reference_of_faults_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = importlib.machinery.SourceFileLoader("prove_handling", str(SCRIPT))
    spec = importlib.util.spec_from_loader("prove_handling", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "prove_handling", module)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    faults = [module.read(path) for path in sorted(module.FAULTS.glob("*.patch"))]
    assert len(faults) >= 40
    current = module.TABLE.read_text("utf-8")
    assert current == module.table(faults), "run: scripts/prove-handling --table"
