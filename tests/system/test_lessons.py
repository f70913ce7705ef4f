"""Every lesson as it is handed out, from top to bottom against real machines; and with a mistake in it, where it fails.

The mistakes come first: a lesson that was broken off leaves things behind, and has to run well after that too.
"""

from __future__ import annotations

import pytest

from tests.system.conftest import Bench, JupyterLab
from tests.system.lesson_bench import Mistake, assert_noticed, assert_runs, left_by_hand

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(1200)]

HERE = (
    "01-your-first-machine.ipynb",
    "02-volumes-outlive-machines.ipynb",
    "03-images-kernels-ramdisks.ipynb",
    "04-keys-and-who-may-enter.ipynb",
    "05-security-groups-and-a-web-server.ipynb",
    "06-two-machines-that-talk.ipynb",
)
"""The others are run in test_lessons_more.py, beside this one."""


@pytest.fixture(scope="module")
def server(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> JupyterLab:
    module_bench.educloud("cloud", "start")
    return module_bench.lab(tmp_path_factory.mktemp("lessons"))


MISTAKES = {
    "the file is not written": Mistake(
        "01-your-first-machine.ipynb",
        (('echo "I was here on $(date)" > /data/hello.txt', "rm -f /data/hello.txt; touch /data/hello.txt"),),
        "first-machine-14",
        "/data/hello.txt",
    ),
    "more than SSH is let in": Mistake(
        "04-keys-and-who-may-enter.ipynb",
        (("FromPort=22, ToPort=22", "FromPort=0, ToPort=65535"),),
        "keys-08",
        'does not hold: the group "lesson-keys" allows only 22',
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_noticed(what: str, server: JupyterLab) -> None:
    assert_noticed(MISTAKES[what], server)


@pytest.mark.parametrize("name", HERE)
def test_it_runs_from_top_to_bottom(name: str, server: JupyterLab, module_bench: Bench) -> None:
    assert_runs(name, server, module_bench)


def test_nothing_is_left_behind(module_bench: Bench) -> None:
    assert left_by_hand(module_bench) == {}
