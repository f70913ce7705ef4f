"""A lab's needs: whatever stands in a notebook is read or explained, and judged by what there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from educloud_lab.domain.needs import FIELDS, Needs, VolumeNeed, Weight, read
from educloud_lab.domain.needs_rules import LeaseFacts, ProfileFacts, judge

LAB = {"lab": "first", "machine_profile": "tiny"}
TINY = ProfileFacts("tiny", 2, 7200, 1.0, "/data")
NEEDS = Needs("first", "tiny")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=10,
)
CLOSE = st.dictionaries(st.sampled_from([*FIELDS, "mount_point"]), JSON, max_size=9)


def told(remarks):
    return [(remark.code, remark.field) for remark in remarks]


def test_all_of_it_is_read():
    needs, remarks = read(
        {
            "course": " cs101 ",
            "lab": "web server",
            "machine_profile": "tiny-web",
            "revision": 3,
            "slot": "second",
            "volumes": [{"mount_point": "/data", "size_gib": 2}, {"mount_point": "/srv/more"}],
            "ports": [80, 443, 80],
            "minutes": 90.0,
            "show_calls": True,
        }
    )
    assert remarks == []
    volumes = (VolumeNeed("/data", 2), VolumeNeed("/srv/more", 1))
    assert needs == Needs("web server", "tiny-web", "cs101", 3, "second", volumes, (80, 443), 90, show_calls=True)


@pytest.mark.parametrize("data", [None, "tiny", ["tiny"], 3, True])
def test_what_is_no_table_is_said(data):
    needs, remarks = read(data)
    assert needs is None
    assert told(remarks) == [("not-a-table", "")]


@pytest.mark.parametrize("field", ["lab", "machine_profile"])
@pytest.mark.parametrize("value", [None, "", "  ", 3, "x" * 65, ["tiny"], "a\nb"])
def test_without_lab_or_profile_nothing_is_offered(field, value):
    needs, remarks = read({**LAB, field: value})
    assert needs is None
    assert told(remarks) == [("field-needed", field)]
    assert remarks[0].weight is Weight.REFUSAL


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"course": 5}, "course"),
        ({"revision": 0}, "revision"),
        ({"revision": True}, "revision"),
        ({"revision": "3"}, "revision"),
        ({"slot": {}}, "slot"),
        ({"ports": 80}, "ports"),
        ({"ports": [70000]}, "ports.0"),
        ({"ports": list(range(1, 40))}, "ports"),
        ({"volumes": "2"}, "volumes"),
        ({"volumes": [3]}, "volumes.0"),
        ({"volumes": [{"mount_point": "data"}]}, "volumes.0.mount_point"),
        ({"volumes": [{"mount_point": "/a/../etc"}]}, "volumes.0.mount_point"),
        ({"volumes": [{"size_gib": 0}]}, "volumes.0.size_gib"),
        ({"volumes": [{"size": 3}]}, "volumes.0"),
        ({"minutes": 1e9}, "minutes"),
        ({"minutes": float("nan")}, "minutes"),
        ({"show_calls": "yes"}, "show_calls"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_explained_and_the_rest_is_used(more, field):
    needs, remarks = read({**LAB, **more})
    assert needs is not None
    assert (needs.lab, needs.machine_profile) == ("first", "tiny")
    assert [remark.field for remark in remarks] == [field]
    assert remarks[0].weight is Weight.WARNING
    assert remarks[0].what
    assert remarks[0].next_step


@given(JSON | CLOSE | CLOSE.map(lambda data: {**data, **LAB}))
def test_nothing_that_stands_there_raises(data):
    needs, remarks = read(data)
    assert needs is not None or any(remark.weight is Weight.REFUSAL for remark in remarks)
    assert all(remark.what and remark.next_step and len(remark.what) < 500 for remark in remarks)
    if needs is not None:
        judge(needs, [TINY], course="local", lease=LeaseFacts("other", 1, exists=True))


def test_what_is_here_is_not_spoken_of():
    needs = Needs("first", "tiny", "local", 2, "main", (VolumeNeed("/data", 1),), (22,), 120)
    assert judge(needs, [TINY], course="local") == []


@pytest.mark.parametrize(
    ("wants", "here", "weights"),
    [("", "cs1", []), ("cs1", "cs1", []), ("cs1", None, []), ("local", "cs1", []), ("cs1", "local", [Weight.NOTE]),
     ("cs1", "cs2", [Weight.REFUSAL])],
)  # fmt: skip
def test_courses(wants, here, weights):
    remarks = judge(Needs("first", "tiny", wants), [TINY], course=here)
    assert [remark.weight for remark in remarks] == weights
    assert {remark.code for remark in remarks} <= {"other-course"}


def test_a_profile_that_is_missing_names_those_that_are_here_and_in_use():
    others = [ProfileFacts("b", 1, 60), ProfileFacts("a", 1, 60), ProfileFacts("old", 1, 60, retired="gone")]
    (remark,) = judge(NEEDS, others)
    assert (remark.code, remark.weight) == ("no-such-profile", Weight.REFUSAL)
    assert "there is: a, b)" in remark.what
    (broken,) = judge(NEEDS, others, broken={"tiny": "tiny.toml is wrong."})
    assert (broken.code, broken.what) == ("bad-profile", "tiny.toml is wrong.")
    (kept,) = judge(NEEDS, others, lease=LeaseFacts("tiny", 1, exists=True))
    assert (kept.code, kept.weight) == ("no-such-profile", Weight.WARNING)


def test_a_retired_profile_says_why_and_what_instead():
    old = ProfileFacts("tiny", 2, 7200, 1.0, "/data", retired="Use tiny-2.")
    (remark,) = judge(NEEDS, [old])
    assert (remark.code, remark.weight) == ("profile-retired", Weight.REFUSAL)
    assert "Use tiny-2." in remark.what
    (kept,) = judge(NEEDS, [old], lease=LeaseFacts("tiny", 2, exists=True))
    assert kept.weight is Weight.WARNING


def judged(more, profile=TINY, **named):
    return [(remark.code, remark.weight.value) for remark in judge(Needs("first", "tiny", **more), [profile], **named)]


@pytest.mark.parametrize(
    ("more", "remarks"),
    [
        ({"revision": 3}, [("profile-too-old", "refusal")]),
        ({"volumes": (VolumeNeed("/data", 2),)}, [("volume-too-small", "warning")]),
        ({"volumes": (VolumeNeed("/srv", 1),)}, [("no-volume-there", "refusal")]),
        ({"volumes": (VolumeNeed("/data", 1), VolumeNeed("/srv", 1))}, [("no-volume-there", "refusal")]),
        ({"ports": (80,)}, [("port-closed", "warning")]),
        ({"minutes": 121}, [("time-too-short", "warning")]),
        (
            {"minutes": 121, "revision": 3, "ports": (80,)},
            [("profile-too-old", "refusal"), ("port-closed", "warning"), ("time-too-short", "warning")],
        ),
    ],
)
def test_what_the_profile_does_not_give(more, remarks):
    assert judged(more) == remarks


def test_a_profile_without_a_volume():
    bare = ProfileFacts("tiny", 2, 7200)
    assert judged({"volumes": (VolumeNeed(),)}, bare) == [("no-volume-there", "refusal")]


def test_a_volume_that_was_enlarged_is_large_enough():
    lease = LeaseFacts("tiny", 2, exists=True, volumes=(VolumeNeed("/data", 4),))
    assert judged({"volumes": (VolumeNeed("/data", 4),)}, lease=lease) == []


def test_a_port_that_is_open():
    assert judged({"ports": (80, 443)}, ProfileFacts("tiny", 2, 7200, 1.0, "/data", ports=(80, 443))) == []


@pytest.mark.parametrize(
    ("lease", "more", "remarks"),
    [
        (LeaseFacts("tiny", 2, exists=True), {}, []),
        (LeaseFacts("tiny", 1, exists=False), {"revision": 2}, []),
        (LeaseFacts("tiny", 1, exists=True), {}, [("machine-of-another-revision", "note")]),
        (
            LeaseFacts("tiny", 1, exists=True),
            {"revision": 2},
            [("machine-too-old", "warning"), ("machine-of-another-revision", "note")],
        ),
        (LeaseFacts("other", 1, exists=True), {}, [("machine-of-another-profile", "warning")]),
        (LeaseFacts("other", 1, exists=False), {}, [("machine-of-another-profile", "warning")]),
    ],
)
def test_a_machine_that_was_made_before(lease, more, remarks):
    assert judged(more, lease=lease) == remarks
