"""Parsers of query parameters and writers of XML, compiled once from the model and a profile's overlay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from educloud_lab.localcloud.model.profile import Behaviour
from educloud_lab.localcloud.model.scalars import READERS, escape, write_scalar

Writer = Callable[[Any, list[str]], None]

# Parameters that every request may carry.
COMMON = frozenset(
    {
        "Action", "Version", "AWSAccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "Timestamp",
        "Expires", "SecurityToken", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
        "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token",
    }
)  # fmt: skip


class Kept(dict[str, Any]):
    """A structure that is answered more than once and never changed; how it is written is kept with it."""

    __slots__ = ("xml",)

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.xml = ""


@dataclass(slots=True)
class InputNode:
    """One place in an operation's parameters: a structure, a list or a scalar."""

    kind: str
    children: dict[str, tuple[str, InputNode]] = field(default_factory=dict)
    item: InputNode | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: what it takes and how its answer is written."""

    name: str
    parameters: InputNode
    write: Writer | None
    aliases: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A profile, ready to parse requests and to write answers."""

    profile: str
    namespace: str
    default_version: str
    id_prefixes: Mapping[str, str]
    behaviour: Behaviour
    ignored: Mapping[str, Mapping[str, str]]  # operation to the parameters that change nothing, each with the reason
    operations: Mapping[str, Operation]

    def parse(self, operation: Operation, query: Mapping[str, str], *, ignore_unknown: bool = False) -> dict[str, Any]:
        """Return the parameters as nested dictionaries and lists by the model's member names.

        Parameters
        ----------
        ignore_unknown : pass over parameters that the operation does not have; values that cannot be read are
            refused all the same.

        Raises
        ------
        BindError, ApiError
            The operation has no such parameter in this profile, or a value cannot be read (see
            :meth:`Behaviour.unbound`).
        """
        result: dict[str, Any] = {}
        unbound: list[tuple[str, str]] = []
        for name, value in query.items():
            if name in COMMON or (name == "DryRun" and self.behaviour.dry_run):
                continue
            path = operation.aliases.get(name, name).split(".")
            if ignore_unknown and path[0] not in operation.parameters.children:
                continue
            if not _bind(operation.parameters, path, value, result):
                unbound.append((name, value))
        if unbound:
            raise self.behaviour.unbound(unbound, known=unbound[0][0].split(".")[0] in operation.parameters.children)
        return {key: _settle(value) for key, value in result.items()}

    def render(self, operation: Operation, answer: Mapping[str, Any], version: str, request_id: str) -> str:
        """Return the XML of a successful answer."""
        namespace = escape(self.namespace.format(version=version))
        out = [f'<{operation.name}Response xmlns="{namespace}"><requestId>{escape(request_id)}</requestId>']
        if operation.write is None:
            out.append("<return>true</return>")
        else:
            operation.write(answer, out)
        out.append(f"</{operation.name}Response>")
        return "".join(out)


class _Indexed(dict[int, Any]):
    """A list while its members still arrive in any order."""


def _bind(node: InputNode, path: list[str], value: str, target: dict[str, Any]) -> bool:
    """Put one parameter in its place; False when there is none for it."""
    holder: dict[Any, Any] = target
    for depth, part in enumerate(path):
        key: Any
        if node.kind == "list":
            if not part.isascii() or not part.isdigit() or len(part) > 5 or node.item is None:
                return False
            key, node = int(part), node.item
        else:
            found = node.children.get(part)
            if found is None:
                return False
            key, node = found
        if depth == len(path) - 1:
            reader = READERS.get(node.kind)
            if reader is None:
                return False
            try:
                holder[key] = reader(value)
            except ValueError:
                return False
            return True
        if node.kind not in ("list", "structure"):
            return False
        holder = holder.setdefault(key, _Indexed() if node.kind == "list" else {})
    return False


def _settle(value: Any) -> Any:
    if isinstance(value, _Indexed):
        return [_settle(value[index]) for index in sorted(value)]
    if isinstance(value, dict):
        return {key: _settle(inner) for key, inner in value.items()}
    return value


class _Compiler:
    def __init__(self, model: Mapping[str, Any], overlay: Mapping[str, Any]) -> None:
        self.shapes: dict[str, Any] = {**model["shapes"], **overlay.get("shapes", {})}
        self.own = frozenset(overlay.get("shapes", {}))
        self.members: Mapping[str, list[str]] = overlay["members"]
        self.hidden: Mapping[str, Mapping[str, list[Any]]] = overlay.get("hidden", {})
        self.when_empty = frozenset(overlay["written_when_empty"])
        self.inputs: dict[str, InputNode] = {}
        self.writers: dict[str, Writer] = {}

    def input(self, name: str, only: frozenset[str] | None = None, wires: Mapping[str, str] | None = None) -> InputNode:
        if only is None and name in self.inputs:
            return self.inputs[name]
        shape = self.shapes[name]
        node = InputNode(shape["type"])
        if only is None:
            self.inputs[name] = node
        if node.kind == "structure":
            own = None if name in self.own else self.members.get(name)
            for member, details in shape["members"].items():
                if (only is not None and member not in only) or (
                    only is None and own is not None and member not in own
                ):
                    continue
                wire = (
                    (wires or {}).get(member)
                    or details.get("queryName")
                    or _capitalised(details.get("locationName") or member)
                )
                node.children[wire] = (member, self.input(details["shape"]))
        elif node.kind == "list":
            node.item = self.input(shape["member"]["shape"])
        return node

    def output(self, name: str) -> Writer:
        if name not in self.writers:
            # A shape may contain itself: the table is filled before its members are compiled.
            self.writers[name] = lambda value, out: self.writers[name](value, out)
            self.writers[name] = self._writer(name)
        return self.writers[name]

    def _writer(self, name: str) -> Writer:
        shape = self.shapes[name]
        if shape["type"] == "structure":
            return self._structure(name, shape)
        if shape["type"] == "list":
            tag = shape["member"].get("locationName", "item")
            inner = self.output(shape["member"]["shape"])
            start, end = f"<{tag}>", f"</{tag}>"

            def write_list(value: Any, out: list[str]) -> None:
                for item in value:
                    out.append(start)
                    inner(item, out)
                    out.append(end)

            return write_list
        return write_scalar

    def _structure(self, name: str, shape: Mapping[str, Any]) -> Writer:
        order = list(shape["members"]) if name in self.own else self.members.get(name, list(shape["members"]))
        hidden = self.hidden.get(name, {})
        fields: list[tuple[str, str, str, str, Writer, bool]] = []
        for member in order:
            details = shape["members"][member]
            tag = details.get("locationName", member)
            fields.append(
                (member, f"<{tag}>", f"</{tag}>", f"<{tag}/>", self.output(details["shape"]), member in self.when_empty)
            )

        def write_structure(value: Any, out: list[str]) -> None:
            if type(value) is Kept:
                if not value.xml:
                    part: list[str] = []
                    write_structure(dict(value), part)
                    value.xml = "".join(part)
                out.append(value.xml)
                return
            for member, start, end, empty, inner, when_empty in fields:
                content = value.get(member)
                if content is None or (hidden and content in hidden.get(member, ())):
                    continue
                if content in ([], {}):
                    if when_empty:
                        out.append(empty)
                    continue
                out.append(start)
                inner(content, out)
                out.append(end)

        return write_structure


def compile_profile(model: Mapping[str, Any], overlay: Mapping[str, Any]) -> CompiledModel:
    """Compile the model with one overlay."""
    compiler = _Compiler(model, overlay)
    operations: dict[str, Operation] = {}
    for name, accepted in overlay["accepts"].items():
        entry = model["operations"][name]
        request = entry.get("input")
        only = frozenset(accepted)
        response = entry.get("output")
        operations[name] = Operation(
            name=name,
            parameters=(
                compiler.input(request, only, overlay.get("wire", {}).get(name)) if request else InputNode("structure")
            ),
            write=compiler.output(response) if response else None,
            aliases=overlay["aliases"].get(name, {}),
        )
    return CompiledModel(
        profile=overlay["profile"],
        namespace=overlay["namespace"],
        default_version=overlay["default_version"],
        id_prefixes=overlay["id_prefixes"],
        behaviour=Behaviour.of(overlay["behaviour"]),
        ignored=overlay["ignored"],
        operations=operations,
    )


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
