"""The named points at which a broker can be cut off, read from its own code.

Each call that changes the world goes through ``run.outside(label, ...)`` (or ``queue.ask``), each record through
``run.commit``, ``put_lease`` and ``put_volume``; the points are before and after each of them. A label that is put
together while it runs is expanded by the values that its parts can have; one that nobody has listed fails here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import educloud_lab.broker
from educloud_lab.domain.job import TITLES

BROKER = Path(educloud_lab.broker.__file__).parent
_LABELLED = {"outside": ("call", 0), "commit": ("commit", 0), "put_lease": ("commit", 0), "put_volume": ("commit", 0)}
_STEPS = sorted({step for steps in TITLES.values() for step in steps})
_VALUES: dict[tuple[str, str], Iterable[str]] = {
    # A step's record is put when it begins and while it waits; its end has a label of its own.
    ("run.py", "record.name"): _STEPS,
    ("run.py", "record.state"): ["doing"],
    ("run.py", "name"): _STEPS,
    # What a start and a stop can see of an instance.
    ("machine.py", "seen.state"): ["pending", "running", "stopping", "stopped", "shutting-down", "terminated"],
}
_GIVEN = {"label"}  # the label is the caller's: found there


def points() -> set[str]:
    """Return the names of all points, as ``parts.checkpoint`` is given them."""
    found: set[str] = set()
    for path in sorted(BROKER.glob("*.py")):
        tree = ast.parse(path.read_text())
        constants = _constants(tree)
        for node in ast.walk(tree):
            for name in _names(path.name, node, constants):
                found |= {f"{name}: before", f"{name}: after"}
    return found


def _constants(tree: ast.Module) -> dict[str, list[str]]:
    """Return local names that are only ever one of some texts."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            texts = list(_texts(node.value))
            if texts:
                found.setdefault(node.targets[0].id, []).extend(texts)
    return found


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def _names(file: str, node: ast.AST, constants: dict[str, list[str]]) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    function = node.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called == "checkpoint":
        for text in _expand(file, node.args[0], constants):
            name, _, when = text.rpartition(": ")
            assert when in ("before", "after"), (file, node.lineno, text)
            yield name
        return
    owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
    if called in _LABELLED and owner in ("run", "self"):
        kind, position = _LABELLED[called]
        yield from (f"{kind} {text}" for text in _expand(file, node.args[position], constants))
    elif (called, owner) == ("ask", "queue"):
        yield from (f"call {text}" for text in _expand(file, node.args[1], constants))
    elif (called, owner) in (("_put", ""), ("_record", "")) and file in ("snapshots.py", "making.py"):
        yield from (f"commit {text}" for text in _expand(file, node.args[1], constants))


def _expand(file: str, node: ast.expr, constants: dict[str, list[str]]) -> list[str]:
    """Return all texts that an expression can be."""
    texts = list(_texts(node))
    if texts:
        return texts
    if isinstance(node, ast.JoinedStr):
        parts = [_part(file, value, constants) for value in node.values]
        if [] in parts:
            return []  # the label is given by the caller
        return ["".join(choice) for choice in product(*parts)]
    if isinstance(node, ast.Name) and node.id in _GIVEN:
        return []
    msg = f"{file}:{node.lineno}: the values of '{ast.unparse(node)}' are not known; list them in kill_points.py"
    raise LookupError(msg)


def _part(file: str, value: ast.expr, constants: dict[str, list[str]]) -> list[str]:
    if isinstance(value, ast.Constant):
        return [str(value.value)]
    assert isinstance(value, ast.FormattedValue)
    expression = ast.unparse(value.value)
    if (file, expression) in _VALUES:
        return list(_VALUES[file, expression])
    if expression in constants:
        return constants[expression]
    if expression in _GIVEN:
        return []
    msg = f"{file}:{value.lineno}: the values of '{expression}' are not known; list them in kill_points.py"
    raise LookupError(msg)
