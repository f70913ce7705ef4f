#!/usr/bin/env python3
"""Extract from botocore's EC2 service model what the local cloud needs.

Writes ``educloud_lab/localcloud/model/ec2.json``: the shapes of the operations that the profiles' overlays
name, cut down to the members that the overlays accept and write. With ``--check`` nothing is written and the
exit status says whether the committed file is current.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from botocore.loaders import Loader

from educloud_lab.localcloud.model.profile import PROFILES, load_overlay

FOLDER = Path(__file__).resolve().parent.parent / "educloud_lab" / "localcloud" / "model"
API_VERSION = "2016-11-15"
KEPT = ("shape", "locationName", "queryName")


def compile_model(overlays: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the small model for these overlays."""
    service = Loader().load_service_model("ec2", "service-2", API_VERSION)
    shapes: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    members: dict[str, set[str]] = {}
    for overlay in overlays:
        for shape, names in overlay["members"].items():
            members.setdefault(shape, set()).update(names)

    def walk(name: str, keep: set[str] | None) -> None:
        if name in shapes:
            return
        shape = service["shapes"][name]
        kind = shape["type"]
        entry: dict[str, Any] = {"type": kind}
        shapes[name] = entry
        if kind == "structure":
            keep = keep if keep is not None else members.get(name)
            entry["members"] = {
                key: {k: v for k, v in value.items() if k in KEPT}
                for key, value in shape["members"].items()
                if keep is None or key in keep
            }
            for value in entry["members"].values():
                walk(value["shape"], None)
        elif kind == "list":
            entry["member"] = {k: v for k, v in shape["member"].items() if k in KEPT}
            walk(shape["member"]["shape"], None)

    for operation in sorted({op for overlay in overlays for op in overlay["accepts"]}):
        source = service["operations"][operation]
        entry: dict[str, str] = {}
        if "input" in source:
            accepted = {name for overlay in overlays for name in overlay["accepts"].get(operation, ())}
            entry["input"] = source["input"]["shape"]
            walk(entry["input"], accepted)
        if "output" in source:
            entry["output"] = source["output"]["shape"]
            walk(entry["output"], None)
        operations[operation] = entry
    return {"api_version": API_VERSION, "operations": operations, "shapes": dict(sorted(shapes.items()))}


def render(model: dict[str, Any]) -> str:
    """Return the file's text: one shape a line, so that changes read well."""
    lines = ["{", f' "api_version": {json.dumps(model["api_version"])},', ' "operations": {']
    lines.append(",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in model["operations"].items()))
    lines += [" },", ' "shapes": {']
    lines.append(",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in model["shapes"].items()))
    lines += [" }", "}"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the committed file is current")
    arguments = parser.parse_args()
    overlays = [load_overlay(profile) for profile in PROFILES]
    text = render(compile_model(overlays))
    target = FOLDER / "ec2.json"
    if arguments.check:
        if target.exists() and target.read_text() == text:
            return 0
        print(f"{target} is not current: run scripts/compile_cloud_model.py", file=sys.stderr)
        return 1
    target.write_text(text)
    print(f"{target}: {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
