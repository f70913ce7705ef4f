"""The builder with real packages: the same packages give the same bytes, wherever they are put together."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from educloud_lab.localcloud.images import build, load_manifest
from tests.system.conftest import ROOT

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize("name", ["tiny", "debian"])
def test_an_image_built_again_from_its_manifest_is_the_same(
    images: Path, debian_image: Path, tmp_path: Path, name: str
) -> None:
    home, cache = tmp_path / "another home", images / ".cache/debs"
    if cache.is_dir():
        # The packages as they were fetched; hard links, since the builder clears from its cache what it does not need.
        copied = home / "images/.cache/debs"
        copied.mkdir(parents=True)
        for deb in cache.iterdir():
            try:
                os.link(deb, copied / deb.name)
            except OSError:  # another file system
                shutil.copyfile(deb, copied / deb.name)
    said: list[tuple[str, float | None]] = []
    (made,) = build(home, [name], progress=lambda *step: said.append(step), from_manifest=images / name)
    assert any(left_s for _, left_s in said)
    again, before = json.loads(made.read_text()), json.loads((images / name / "manifest.json").read_text())
    told = f"{images / name} was built by another state of {ROOT}: educloud cloud image build {name}"
    assert again["packages"] == before["packages"]
    assert again == before, told
    load_manifest(made, verify=True)
    # Nothing is left of the work.
    assert sorted(path.name for path in (home / "images").iterdir()) == [".cache", ".lock", name]
