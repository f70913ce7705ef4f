"""The local cloud for work by hand: what is set, what is taken out of the way, what is said when there is none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from IPython.core.ultratb import VerboseTB

from educloud_lab.domain.errors import CloudUnreachableError
from educloud_lab.notebook.local_cloud import use_local_cloud

SECRET = "a secret key that nobody shows"
TOLD: dict[str, Any] = {
    "environment": {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eucalyptus",
        "AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:4711/services/compute",
    },
    "gateway": {"host": "127.0.0.1", "port": 4712, "host_key": "ssh-ed25519 AAAA"},
    "network": "netns",
    "hypervisor": "qemu",
}


@pytest.fixture
def python(tmp_path: Path) -> Callable[[str], str]:
    """An interpreter of which only the answer matters."""

    def make(script: str) -> str:
        path = tmp_path / "bin" / "python"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test an environment of its own, which the code under test may change."""
    monkeypatch.setattr(os, "environ", {"PATH": "/usr/bin:/bin", "AWS_PROFILE": "another", "NO_PROXY": "example.org"})


def answer(told: object) -> str:
    return f"cat <<'END'\n{json.dumps(told)}\nEND"


def test_boto3_and_the_command_follow_it(python: Callable[[str], str]) -> None:
    where = python(answer(TOLD))
    cloud = use_local_cloud(python=where)
    use_local_cloud(python=where)  # again does no harm
    assert {name: os.environ[name] for name in TOLD["environment"]} == TOLD["environment"]
    assert "AWS_PROFILE" not in os.environ
    assert os.environ["NO_PROXY"] == "example.org,127.0.0.1"
    assert os.environ["no_proxy"] == "127.0.0.1"
    assert os.environ["PATH"] == f"{Path(where).parent}:/usr/bin:/bin"
    assert (cloud.gateway_host, cloud.gateway_port, cloud.gateway_key) == ("127.0.0.1", 4712, "ssh-ed25519 AAAA")
    assert cloud.machines_talk


def test_what_a_cell_shows_of_it_names_no_address(
    python: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = use_local_cloud(python=python(answer(TOLD | {"network": "slirp"})))
    assert repr(cloud) == "LocalCloud(network='slirp', hypervisor='qemu')"
    assert not cloud.machines_talk
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'educloud: cloud env: The local cloud does not run.' >&2; exit 1", "The local cloud does not run"),
        ("exit 1", "it said nothing"),
        ("echo '{}'", "none of its answers"),
        ("echo Hello", "none of its answers"),
    ],
)
def test_without_one_it_says_what_to_do(python: Callable[[str], str], script: str, said: str) -> None:
    with pytest.raises(CloudUnreachableError, match=said) as caught:
        use_local_cloud(python=python(script))
    assert "only the broker has" in caught.value.next_step
    assert os.environ["AWS_PROFILE"] == "another"  # nothing was changed


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CloudUnreachableError, match="FileNotFoundError"):
        use_local_cloud(python=str(tmp_path / "none"))


@pytest.mark.parametrize("odd", [{**TOLD, "gateway": {}}, {"environment": TOLD["environment"]}, [TOLD]])
def test_a_verbose_traceback_of_an_odd_answer_shows_no_key(python: Callable[[str], str], odd: object) -> None:
    """`%xmode Verbose` shows the values of the variables in each line."""
    with pytest.raises(CloudUnreachableError) as caught:
        use_local_cloud(python=python(answer(odd)))
    assert caught.value.__suppress_context__
    ours = caught.value.__traceback__
    while ours is not None and ours.tb_frame.f_code.co_filename == __file__:  # this test knows the key
        ours = ours.tb_next
    shown = VerboseTB(theme_name="nocolor").text(CloudUnreachableError, caught.value, ours)
    assert "none of its answers" in shown
    assert SECRET not in shown
    assert "AKIAEXAMPLE" not in shown
