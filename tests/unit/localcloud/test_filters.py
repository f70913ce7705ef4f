"""Filters: any value of each, all of them, wildcards, tags."""

from __future__ import annotations

import pytest

from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.operations import filters

ITEMS = [
    {"name": "tiny", "public": True, "tags": {"course": "db", "week": "1"}},
    {"name": "tiny-store", "public": False, "tags": {"course": "os*"}},
    {"name": "big", "public": False, "tags": {}},
]
KNOWN = {"name": lambda item: [item["name"]], "public": lambda item: [item["public"]]}


def names(*entries):
    return [item["name"] for item in filters.apply(ITEMS, entries, KNOWN, lambda item: item["tags"])]


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("name", ["tiny"], ["tiny"]),
        ("name", ["tiny*"], ["tiny", "tiny-store"]),
        ("name", ["t?ny"], ["tiny"]),
        ("name", ["TINY"], []),
        ("name", ["big", "tiny"], ["tiny", "big"]),
        ("name", ["."], []),
        ("name", [], []),
        ("public", ["false"], ["tiny-store", "big"]),
        ("tag:course", ["db"], ["tiny"]),
        ("tag:course", ["os\\*"], ["tiny-store"]),
        ("tag:course", ["d\\*"], []),
        ("tag-key", ["week"], ["tiny"]),
        ("tag-value", ["*"], ["tiny", "tiny-store"]),
    ],
)
def test_one_filter(name, values, found):
    assert names({"Name": name, "Values": values}) == found


def test_all_filters_must_agree():
    assert names({"Name": "name", "Values": ["tiny*"]}, {"Name": "public", "Values": ["true"]}) == ["tiny"]


def test_a_filter_that_does_not_exist_is_refused():
    with pytest.raises(ApiError) as caught:
        names({"Name": "hypervisor", "Values": ["xen"]})
    assert (caught.value.status, caught.value.code) == (400, "InvalidParameterValue")
