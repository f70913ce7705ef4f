"""The second half of the lessons, so that two workers share them; see test_lessons.py."""

from __future__ import annotations

import pytest

from tests.system.conftest import Bench, JupyterLab
from tests.system.lesson_bench import Mistake, assert_noticed, assert_runs, left_by_hand
from tests.system.lesson_runner import lesson_names, run_lesson
from tests.system.test_lessons import HERE as THERE

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(1200)]

HERE = (
    "07-what-a-cloud-is-made-of.ipynb",
    "08-when-things-break.ipynb",
    "09-automating-with-boto3.ipynb",
    "10-what-it-costs.ipynb",
    "instructor-write-a-lab.ipynb",
)


@pytest.fixture(scope="module")
def server(module_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> JupyterLab:
    module_bench.educloud("cloud", "start")
    return module_bench.lab(tmp_path_factory.mktemp("lessons"))


MISTAKES = {
    "asked again with another token": Mistake(
        "09-automating-with-boto3.ipynb",
        (('again = run(1, f"{stamp}-third", client=once)', 'again = run(1, f"{stamp}-fourth", client=once)'),),
        "automating-14",
        "Asked twice, there should be one machine more, not two.",
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


def test_each_lesson_is_run_somewhere() -> None:
    assert sorted((*THERE, *HERE)) == lesson_names()


def test_two_machines_need_a_network_and_the_lesson_says_so(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bench.educloud("cloud", "start", "--network", "slirp")
    server = bench.lab(tmp_path_factory.mktemp("slirp"))
    run = run_lesson("06-two-machines-that-talk.ipynb", server)
    assert run.failed == "two-machines-02"
    assert "the network driver is 'slirp'" in run.error
    assert bench.qemu_processes() == []
