#!/usr/bin/env python3
"""Write what is generated from ``educloud_lab/wire`` and the table of routes.

- ``docs/reference/openapi.json``, ``docs/reference/rest-api.md`` and ``docs/reference/configuration.md``
- ``labextension/src/wire.ts``, by openapi-typescript and prettier from ``labextension/node_modules`` (another
  folder with them: ``--node-modules``)

``--check`` writes nothing and fails when a file is not current; ``--python-only`` leaves the TypeScript alone
(where there is no Node.js).
"""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pydantic.json_schema import models_json_schema  # noqa: E402  # after the path to this very tree

from educloud_lab.app.config import Educloud  # noqa: E402  # likewise
from educloud_lab.app.machine_profiles import SHIPPED  # noqa: E402  # likewise
from educloud_lab.server.errors import STATUS  # noqa: E402  # likewise
from educloud_lab.server.routes import PREFIX, ROUTES, Route  # noqa: E402  # likewise
from educloud_lab.wire import models  # noqa: E402  # likewise

OPENAPI = ROOT / "docs/reference/openapi.json"
PAGE = ROOT / "docs/reference/rest-api.md"
SETTINGS = ROOT / "docs/reference/configuration.md"
TYPES = ROOT / "labextension/src/wire.ts"
UPWARDS = {"LeaseRequest", "DeleteRequest", "PingMessage"}
"""Shapes that the browser sends: their defaults may be left out."""

HEADER = """\
// Generated from educloud_lab/wire by scripts/generate_wire.py: change that, then run the script.
/* eslint-disable */

/** Counts incompatible changes; compared with the server's at the first meeting. */
export const API_VERSION = {version};

"""


def schemas() -> dict[str, Any]:
    """Return the JSON schemas of all wire shapes by name."""
    shapes = [
        shape
        for _, shape in inspect.getmembers(models, inspect.isclass)
        if issubclass(shape, models.Wire) and shape is not models.Wire
    ]
    _, document = models_json_schema(
        [(shape, "validation" if shape.__name__ in UPWARDS else "serialization") for shape in shapes],
        ref_template="#/components/schemas/{model}",
    )
    return {name: without_titles(schema) for name, schema in sorted(document["$defs"].items())}


def without_titles(value: Any) -> Any:
    """Drop pydantic's titles, which only repeat the names; a property called ``title`` stays."""
    if isinstance(value, dict):
        return {
            key: without_titles(inner)
            for key, inner in value.items()
            if not (key == "title" and isinstance(inner, str))
        }
    if isinstance(value, list):
        return [without_titles(inner) for inner in value]
    return value


def refusals() -> dict[str, Any]:
    """Return the replies that every route may give."""
    by_status: dict[int, set[str]] = {}
    for kind, status in STATUS.items():
        by_status.setdefault(status.value, set()).add(kind.code)
    by_status.setdefault(403, set()).add("http-403")
    return {
        str(status): {
            "description": ", ".join(sorted(codes)),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorReply"}}},
        }
        for status, codes in sorted(by_status.items())
    }


def operation(route: Route) -> dict[str, Any]:
    """Return OpenAPI's description of one route."""
    found: dict[str, Any] = {
        "operationId": route.handler.__name__.removesuffix("Handler").lower(),
        "summary": route.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.parameters
        ],
        "responses": {},
    }
    if route.request:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{route.request}"}}},
        }
    if route.websocket:
        found["responses"]["101"] = {"description": "Upgraded to a websocket"}
    elif route.reply is None:
        found["responses"]["204"] = {"description": "Done"}
    else:
        found["responses"]["200"] = {
            "description": route.reply,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{route.reply}"}}},
        }
    found["responses"] |= {status: {"$ref": f"#/components/responses/{status}"} for status in refusals()}
    return found


def openapi() -> str:
    """Return the OpenAPI document."""
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "educloud-lab",
            "version": str(models.API_VERSION),
            "description": "What the browser, the notebook and the command line ask of the Jupyter server.",
        },
        "servers": [{"url": f"/{PREFIX}", "description": "Below the Jupyter server's base URL"}],
        "security": [{"token": []}],
        "paths": {f"/{route.path}": {route.method.lower(): operation(route)} for route in ROUTES},
        "components": {
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "Authorization"}},
            "responses": refusals(),
            "schemas": schemas(),
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def page() -> str:
    """Return the reference page."""
    rows = "\n".join(
        f"| `{route.method} {route.path}`{' (websocket)' if route.websocket else ''} | {route.summary} "
        f"| {f'`{route.request}`' if route.request else ''} | {f'`{route.reply}`' if route.reply else ''} |"
        for route in ROUTES
    )
    codes = "\n".join(
        f"| `{kind.code}` | {status.value} | {(inspect.getdoc(kind) or '').splitlines()[0]} |"
        for kind, status in STATUS.items()
    )
    return f"""\
# REST interface

Generated by `scripts/generate_wire.py`; the shapes are in [openapi.json](openapi.json). All addresses are below
`<base URL of the Jupyter server>/{PREFIX}`. Every one asks for a signed-in, authorised user (resource `educloud`);
requests that change something need Jupyter's XSRF token or a token in `Authorization`, and a JSON body or none.
Present interface version: {models.API_VERSION}.

| route | what it does | request | reply |
|---|---|---|---|
{rows}

Terminals speak Jupyter Server's own terminal protocol below `<base URL>/educloud/`.

## Refusals

A refusal is an `ErrorReply`: the error's code, what happened, what was kept safe, what to do next, and the id under
which the server's log has it. A lease of somebody else looks like one that does not exist.

| code | status | meaning |
|---|---|---|
{codes}
| `http-403` | 403 | Not signed in, not authorised, or a request that another site's page made |
| `http-405` | 405 | The address does not know the method |
| `http-413` | 413 | The body is too large |
| `http-415` | 415 | The body is not sent as `application/json` |
| `internal` | 500 | A defect of ours; the log has it under the request id |
"""


MADE_FROM_HOME = {
    "home": "`~/.local/share/educloud-lab`",
    "profiles_path": "`<home>/profiles`",
    "store_url": "`sqlite:///<home>/store.sqlite`",
    "secret_key_file": "`<home>/secret.key`",
}


def settings_page() -> str:
    """Return the page of settings."""
    rows = "\n".join(
        f"| `{name}` | {trait.info()} | {MADE_FROM_HOME.get(name) or f'`{trait.default_value!r}`'} | {trait.help} |"
        for name, trait in sorted(Educloud.class_own_traits(config=True).items())
    )
    return f"""\
# Configuration

Generated by `scripts/generate_wire.py` from `educloud_lab/app/config.py`.

Without any setting, a Jupyter server with educloud-lab uses the local cloud of this computer and starts it when it is
needed. Settings are Jupyter's: in `jupyter_server_config.py` (`jupyter --paths` lists where it is looked for) write

```python
c.Educloud.cloud_endpoint = "https://cloud.example.edu:8773/services/compute/"
c.Educloud.credentials_file = "~/.educloud/credentials"
```

or give `--Educloud.autostart_cloud=False` on the command line of `jupyter lab`. A wrong or unsafe setting does not stop
the Jupyter server; the sidebar says what is wrong and how to correct it.

| setting of `c.Educloud` | kind | default | meaning |
|---|---|---|---|
{rows}

## Whose credentials may be where

A person can read whatever is in their own Jupyter server. So the broker inside it refuses

- credentials of an institution (`credentials_owner = "institution"`), always: these belong into a broker that runs as a
  service;
- personal credentials in a server that JupyterHub started, unless `allow_credentials_under_hub` says otherwise;
- a credentials file that anybody else may read, plain http to another computer, and a gateway without its host key.

The local cloud is always allowed: its account was made on this computer, for this person.

The person is JupyterHub's user (`JUPYTERHUB_USER`), otherwise the operating system's user.

## Environment variables

| variable | meaning |
|---|---|
| `EDUCLOUD_HOME` | the folder for images, the local cloud, the store and keys (`c.Educloud.home`) |
| `EDUCLOUD_WARM` | `auto`: the local cloud's machines [start from a saved memory](local-cloud.md#warm-starts) \
where there is one; `off`: each one boots; on Binder `off` unless said |
| `EDUCLOUD_URL`, `EDUCLOUD_TOKEN` | which Jupyter server `educloud_lab.connect()` and `educloud status` ask |
| `EDUCLOUD_LAB`, `EDUCLOUD_MACHINE_PROFILE` | which lab Python is about when nothing is said, \
before what the notebook says |
| `EDUCLOUD_BROKER_IDLE_S` | seconds without a request after which the broker for scripts ends (300) |

## Machine profiles

A machine profile is a TOML file whose name is the profile's name (small letters, digits, `-`). Those that come with the
package are `{"`, `".join(sorted(path.stem for path in SHIPPED.glob("*.toml")))}`; a file in `profiles_path` of the same
name replaces one of them. A wrong file is named in the sidebar by file and field and hides no other.

```toml
{(SHIPPED / "tiny.toml").read_text().strip()}
```

| field | allowed |
|---|---|
| `title` | 1 to 100 characters |
| `description` | at most 2000 characters; optional |
| `revision` | a whole number from 1; raise it with every change |
| `image` | the image's name in the cloud, or its id |
| `instance_type` | for example `t2.micro` |
| `login_user` | a user name on the machine; default `student` |
| `time_limit_h` | hours that one session may last; more than 0, at most 720 and at most `time_limit_s` above |
| `idle_limit_min` | minutes without activity until it is put to sleep; at most the time limit; 0 or left out: none |
| `first_connection_limit_min` | minutes within which somebody must connect; at most the time limit; 0: none |
| `warn_before_min` | minutes before a limit at which people are warned, at most eight; default `[15, 5, 1]` |
| `ports` | TCP ports that the front end lets in besides 22, at most 16; default none ([more](lab-metadata.md)) |
| `retired` | why no new machines are made from it, and what instead; left out: it is in use |
| `[volume] size_gib` | 1 to 1024 |
| `[volume] mount_point` | an absolute path of plain characters; default `/data` |
| `[volume] device` | the device name that the cloud is given; default `/dev/vdf` |
"""


def typescript(document: str, node_modules: Path) -> str:
    """Return the TypeScript types.

    Raises
    ------
    SystemExit
        The generator is not installed.
    """
    generator = node_modules / ".bin/openapi-typescript"
    prettier = node_modules / ".bin/prettier"
    for tool in (generator, prettier):
        if not tool.exists():
            raise SystemExit(f"{tool} is missing: run `jlpm install` in labextension/, or give --node-modules.")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "openapi.json", Path(folder) / "wire.ts"
        source.write_text(document)
        options = ["--root-types", "--root-types-no-schema-prefix", "--default-non-nullable=false", "--immutable"]
        subprocess.run([generator, source, "-o", target, *options], check=True, stdout=subprocess.DEVNULL)
        text = HEADER.format(version=models.API_VERSION) + target.read_text()
    formatted = subprocess.run(
        [prettier, "--stdin-filepath", TYPES], input=text, text=True, check=True, capture_output=True, cwd=TYPES.parent
    )
    return formatted.stdout


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    parser.add_argument("--python-only", action="store_true", help="leave the TypeScript alone")
    parser.add_argument("--node-modules", type=Path, default=ROOT / "labextension/node_modules")
    arguments = parser.parse_args()
    document = openapi()
    wanted = {OPENAPI: document, PAGE: page(), SETTINGS: settings_page()}
    if not arguments.python_only:
        # The shapes alone: the extension's own request module knows the addresses.
        wanted[TYPES] = typescript(
            json.dumps(
                {
                    "openapi": "3.1.0",
                    "info": {"title": "wire", "version": "1"},
                    "paths": {},
                    "components": {"schemas": schemas()},
                }
            ),
            arguments.node_modules.absolute(),
        )
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if arguments.check:
            print(f"{path.relative_to(ROOT)} is not current: run scripts/generate_wire.py", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
