"""What a kernel loads for us: nothing that ipywidgets has not loaded, until something is asked."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "aiohttp", "alembic", "asyncssh", "boto3", "botocore", "cryptography", "httpx", "jupyter_server", "jsonschema",
    "prometheus_client", "pydantic", "qemu", "rich", "sqlalchemy", "websockets",
}  # fmt: skip
SCRIPT = """
import json, sys, time
import ipykernel.ipkernel, ipykernel.zmqshell, IPython.core.interactiveshell
shell = IPython.core.interactiveshell.InteractiveShell.instance()
{before}
known, begun = set(sys.modules), time.process_time()
{what}
print(json.dumps({{"new": sorted(set(sys.modules) - known), "cpu_ms": 1000 * (time.process_time() - begun)}}))
"""
WIDGETS = "import ipywidgets"
CASES = {
    "import educloud_lab": ("", "import educloud_lab"),
    "from educloud_lab import connect": ("", "import educloud_lab; educloud_lab.__all__"),
    "from educloud_lab import CloudPanel": (WIDGETS, "from educloud_lab import CloudPanel"),
    "CloudPanel('lab', 'tiny')": (WIDGETS, "from educloud_lab import CloudPanel; CloudPanel('lab', 'tiny')"),
    "%load_ext educloud_lab": ("", "shell.run_line_magic('load_ext', 'educloud_lab')"),
}


def loaded(before, what):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before, what=what)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CASES)
def test_nothing_heavier_than_ipywidgets(name):
    new = loaded(*CASES[name])["new"]
    assert "educloud_lab" in new
    others = {module.partition(".")[0] for module in new} - sys.stdlib_module_names - {"educloud_lab", "IPython"}
    assert not others & HEAVY
    assert not others, "nothing of others at all that a kernel has not loaded by itself"


def test_what_a_first_question_costs_is_told_by_the_same_means():
    """That the lists above could be wrong: the client does load what they name."""
    new = loaded("", "from educloud_lab import connect; connect")["new"]
    assert {"httpx", "pydantic"} <= {module.partition(".")[0] for module in new}
