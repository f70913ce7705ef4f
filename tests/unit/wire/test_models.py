"""Wire shapes: they survive a round trip, refuse what they do not know, and match the domain's words."""

import inspect
import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from educloud_lab.domain.lease import Phase, Status, Target
from educloud_lab.wire import models as wire

SHAPES = [
    shape
    for _, shape in inspect.getmembers(wire, inspect.isclass)
    if issubclass(shape, wire.Wire) and shape is not wire.Wire
]
TIMES = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=64)
st.register_type_strategy(datetime, TIMES)
st.register_type_strategy(str, TEXTS)
st.register_type_strategy(float, NUMBERS)

names = {"lab": NAMES, "machine_profile": NAMES, "slot": NAMES}
st.register_type_strategy(wire.LeaseRequest, st.builds(wire.LeaseRequest, **names, start=st.booleans()))
volumes = st.builds(wire.VolumeNeed, mount_point=st.sampled_from(["/data", "/srv/a.b"]), size_gib=st.integers(1, 1024))
st.register_type_strategy(wire.VolumeNeed, volumes)
st.register_type_strategy(
    wire.LabNeeds, st.builds(wire.LabNeeds, **names, course=TEXTS, volumes=st.lists(volumes, max_size=2))
)
paths = st.sampled_from(["/data/x", "~/a b", "é'$", "-n"])
st.register_type_strategy(
    wire.RunRequest,
    st.builds(
        wire.RunRequest,
        script=st.sampled_from(["true", "echo 'é'\nexit 3"]),
        shell=st.sampled_from(["bash", "sh"]),
        folder=st.none() | paths,
        environment=st.dictionaries(st.sampled_from(["A", "_b1"]), TEXTS.filter(lambda text: "\0" not in text)),
        keep=st.none() | st.just("lesson-1"),
        background=st.booleans(),
        limit_s=st.none() | st.floats(0.1, 99),
    ),
)
sums = st.text("0123456789abcdef", min_size=64, max_size=64)
modes, sizes = st.integers(0, 0o777), st.integers(0, 2**60)
st.register_type_strategy(
    wire.UploadRequest,
    st.builds(wire.UploadRequest, path=paths, name=st.just("a b"), size_bytes=sizes, sha256=sums, mode=modes),
)
st.register_type_strategy(wire.DownloadRequest, st.builds(wire.DownloadRequest, path=paths))
JSON = st.none() | st.booleans() | st.integers(-99, 99) | TEXTS
st.register_type_strategy(
    wire.NeedsRequest,
    st.builds(wire.NeedsRequest, metadata=JSON | st.lists(JSON, max_size=2) | st.dictionaries(TEXTS, JSON, max_size=2)),
)
st.register_type_strategy(
    wire.Job, st.builds(wire.Job, progress=st.floats(0, 1), steps=st.lists(st.builds(wire.Step), max_size=2))
)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_shape_survives_the_way_there_and_back(shape, data):
    value = data.draw(st.from_type(shape))
    text = value.model_dump_json()
    assert shape.model_validate_json(text) == value
    with pytest.raises(ValidationError, match="extra_forbidden"):
        shape.model_validate_json(json.dumps(json.loads(text) | {"surprise": 1}))


def test_phases_are_the_domains():
    assert {p.value for p in wire.Phase} == {p.value for p in Phase}


def test_targets_and_statuses_are_the_domains():
    fields = wire.Lease.model_fields
    assert set(fields["target"].annotation.__args__) == {t.value for t in Target}
    assert set(fields["status"].annotation.__args__) == {s.value for s in Status}


@pytest.mark.parametrize("name", ["", "   ", "x" * 65])
def test_names_have_bounds(name):
    with pytest.raises(ValidationError):
        wire.LeaseRequest(lab=name, machine_profile="tiny")


def test_times_carry_their_zone():
    text = wire.Console(lease_id="x", text="", read_at=datetime(2026, 1, 2, tzinfo=UTC)).model_dump_json()
    assert json.loads(text)["read_at"] == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    "changes",
    [
        {"script": ""},
        {"script": "a\0b"},
        {"script": "é" * (128 * 1024 + 1)},
        {"folder": "a\nb"},
        {"folder": ""},
        {"keep": "../x"},
        {"keep": ".x"},
        {"environment": {"A-B": "x"}},
        {"environment": {"A": "\0"}},
        {"environment": {"A": "x" * 70_000}},
        {"limit_s": 0},
        {"shell": "zsh"},
    ],
    ids=lambda changes: f"{next(iter(changes))} {str(changes)[:40]!a}",
)
def test_what_can_be_run_has_bounds(changes):
    with pytest.raises(ValidationError):
        wire.RunRequest.model_validate({"script": "true"} | changes)
