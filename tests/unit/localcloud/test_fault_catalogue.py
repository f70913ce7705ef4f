"""The catalogue of faults is complete, and the reference page says what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from educloud_lab.localcloud.faults.catalogue import KINDS
from educloud_lab.localcloud.faults.reference import page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cloud-faults.md"


def test_the_reference_page_is_current():
    assert PAGE.read_text() == page(), "run scripts/generate_cloud_faults.py"


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_kind_says_everything(name):
    kind = KINDS[name]
    assert kind.name == name
    for text in (kind.title, kind.component, kind.cause, kind.shown, kind.source, kind.seen, kind.ends):
        assert text
        assert text == text.strip()
    for parameter in kind.parameters:
        assert parameter.read(str(parameter.default)) == parameter.default
        assert parameter.text.endswith(".")
