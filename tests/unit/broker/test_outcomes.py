"""Every error of the tree has an outcome for a start and for a stop."""

import pytest

from educloud_lab.broker.outcomes import VERDICTS, Verdict, verdict_for, waiting_text
from educloud_lab.domain import errors
from educloud_lab.domain.job import JobKind


def tree(cls):
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


CLASSES = sorted(set(tree(errors.EducloudError)), key=lambda cls: cls.__name__)


def make(cls):
    if cls is errors.CommandFailedError:
        return cls("It failed.", exit_status=1)
    return cls("It failed.")


@pytest.mark.parametrize("cls", CLASSES)
def test_each_class_is_in_the_table(cls):
    assert cls in VERDICTS
    assert verdict_for(make(cls), JobKind.START) is VERDICTS[cls][0]
    assert verdict_for(make(cls), JobKind.STOP) is verdict_for(make(cls), JobKind.DELETE) is VERDICTS[cls][1]
    assert waiting_text(make(cls))


def test_the_table_names_nothing_else():
    assert set(VERDICTS) == set(CLASSES)


def test_a_child_that_is_unknown_takes_its_parents_outcome():
    class Odd(errors.CapacityError):
        pass

    assert verdict_for(Odd("x"), JobKind.START) is Verdict.RETRY


def test_a_stop_never_gives_up_for_the_clouds_sake():
    cloud = [cls for cls in CLASSES if issubclass(cls, errors.CloudError)]
    assert {verdict_for(make(cls), JobKind.STOP) for cls in cloud} == {Verdict.RETRY}


def test_nothing_is_repeated_after_another_host_key_or_a_doubtful_volume():
    for cls in (errors.HostKeyError, *tree(errors.VolumeError)):
        assert {verdict_for(make(cls), kind) for kind in JobKind} == {Verdict.FAIL}


def test_an_unknown_effect_is_always_looked_at_again():
    assert {verdict_for(make(errors.CloudUnreachableError), kind) for kind in JobKind} == {Verdict.RETRY}
