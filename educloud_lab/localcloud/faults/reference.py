"""The page ``docs/reference/cloud-faults.md``, made from the catalogue."""

from __future__ import annotations

from educloud_lab.localcloud.faults.admin import NAMESPACE, PATH
from educloud_lab.localcloud.faults.catalogue import KINDS
from educloud_lab.localcloud.faults.faults import MAX_FAULTS
from educloud_lab.localcloud.faults.kinds import Kind

_HEAD = f"""# Faults on demand

The local cloud fails as clouds fail when its administrator asks for it: for lessons about what to do then, and for
tests of what is built on it. Made from `educloud_lab/localcloud/faults/catalogue*.py` by
`scripts/generate_cloud_faults.py`; do not edit. How to use it in a lesson:
[Make the cloud fail](../how-to/make-the-cloud-fail.md).

## Commands

```
educloud cloud fault kinds [KIND...]         what there is, and what it is on a real cloud
educloud cloud fault add KIND [--account A] [--operation OP] [--resource ID|tag:KEY=VALUE] [--zone Z]
                              [--count N] [--for SECONDS] [--set NAME=VALUE]...
educloud cloud fault list                    what is set, how often it struck, what it keeps in its grip
educloud cloud fault clear ID... | --all
```

`educloud cloud status` and `educloud doctor` say when the cloud fails on purpose. Faults survive a restart of the
cloud; at most {MAX_FAULTS} may be set (used-up ones make room). A fault that keeps resources (pending,
no address, stopping, detaching) counts each of them once and keeps it until the fault ends.

## The administrator's call

`{PATH}`, GET or POST, in query form, signed with version 4 by the account `eucalyptus`; anybody else gets 403
`UnauthorizedOperation` and learns nothing. No fault strikes this path. Answers are XML in the namespace `{NAMESPACE}`.

| action | parameters | answer |
|---|---|---|
| `CreateFault` | `Kind`; see below | `fault` |
| `DescribeFaults` | `FaultId.N` | `faultSet` |
| `DescribeFaultKinds` | | `kindSet` |
| `DeleteFaults` | `FaultId.N`, or `All=true` | `faultSet` with the `faultId` of those that were there |

`CreateFault` takes `Account` (name or id), `Operation`, `Resource`, `Zone`, `Count`, `ForSeconds`, and for the
kind's own parameters `Parameter.N.Name` and `Parameter.N.Value`.

A `fault` has `faultId`, `kind`, `title`, `state` (`active` or `spent`), `account`, `operation`, `resource`, `zone`,
`remaining`, `struck`, `createTime`, `until`, `parameterSet` and `heldSet`; what is empty is left out.

From Python: `educloud_lab.localcloud.faults.client.FaultClient.of_home()` with `add`, `faults`, `kinds`, `clear`, and
`with client.fault("capacity", for_s=60):`. In a test with the cloud in its own process:
`await cloud.faults.create(Wanted("capacity", count=1))`, `await cloud.faults.delete()`; times are by the
cloud's clock, so a virtual clock moves them.

## Kinds

| kind | what happens | where on a real cloud |
|---|---|---|
"""


def page() -> str:
    """Return the page's text."""
    rows = [f"| [`{kind.name}`](#{kind.name}) | {kind.title} | {kind.component} |\n" for kind in KINDS.values()]
    return _HEAD + "".join(rows) + "".join(_section(kind) for kind in KINDS.values())


def _section(kind: Kind) -> str:
    scopes = ", ".join(scope.value for scope in kind.scopes) or "nothing: it strikes everybody"
    lines = [
        f"\n### {kind.name}\n",
        f"{kind.title}.\n",
        f"- **On a real cloud:** {kind.component}. {kind.cause}",
        f"- **How Eucalyptus shows it:** {kind.shown}",
        f"- **What a student sees:** {kind.seen}",
        f"- **How it ends:** {kind.ends}",
        f"- **Narrowed by:** {scopes}. {'Can be counted.' if kind.counted else 'Not counted.'}",
        f"- **Source:** {kind.source}.",
    ]
    if kind.parameters:
        lines += ["", "| parameter | values | default | |", "|---|---|---|---|"]
        for parameter in kind.parameters:
            default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
            lines.append(f"| `{parameter.name}` | {parameter.limits} | {default} | {parameter.text} |")
    return "\n".join(lines) + "\n"
