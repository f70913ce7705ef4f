"""What is generated from wire is current, and complete."""

import json
import subprocess
import sys
from pathlib import Path

from educloud_lab.server.errors import STATUS
from educloud_lab.server.routes import ROUTES
from educloud_lab.wire import models as wire

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts/generate_wire.py"


def generate(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_reference_is_current():
    result = generate("--check", "--python-only")
    assert result.returncode == 0, result.stderr


def test_the_typescript_names_every_shape_of_this_version():
    """``scripts/check`` compares it whole, where Node.js is."""
    text = (ROOT / "labextension/src/wire.ts").read_text()
    assert f"export const API_VERSION = {wire.API_VERSION};" in text
    document = json.loads((ROOT / "docs/reference/openapi.json").read_text())
    for name, schema in document["components"]["schemas"].items():
        assert f"export type {name} = components['schemas']['{name}'];" in text
        for field in schema.get("properties", {}):
            assert f"readonly {field}" in text, (name, field)


def test_the_document_has_every_route_and_every_error():
    document = json.loads((ROOT / "docs/reference/openapi.json").read_text())
    assert {(path, method) for path, verbs in document["paths"].items() for method in verbs} == {
        (f"/{route.path}", route.method.lower()) for route in ROUTES
    }
    page = (ROOT / "docs/reference/rest-api.md").read_text()
    for kind, status in STATUS.items():
        assert f"| `{kind.code}` | {status.value} |" in page


def test_a_missing_generator_is_said(tmp_path):
    result = generate("--check", f"--node-modules={tmp_path}")
    assert result.returncode != 0
    assert "jlpm install" in result.stderr
