"""What an author is told about a lab's notebook before it is handed out, and the link by which it is."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode, urlsplit

from educloud_lab.domain.errors import BadInputError
from educloud_lab.domain.needs import Needs, Remark, Weight, read
from educloud_lab.domain.needs_rules import ProfileFacts, judge

MOST_BYTES: Final = 50 * 1024**2
SHOW: Final = "educloud=show"
"""Asks the page to open with the sidebar in sight."""

_SECRETS: Final = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")),
    ("an access key", re.compile(r"\b(?:AKI|ASI)[A-Z0-9]{13,18}\b")),
    ("a secret key", re.compile(r"(?i)secret[_ ]?(?:access[_ ]?)?key[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9/+]{30,}")),
    ("a token", re.compile(r"(?i)(?:[?&]token=|\btoken[\"']?\s*[:=]\s*[\"'])[A-Za-z0-9_-]{16,}")),
)
_ADDRESS: Final = re.compile(r"(?<![\d.])(?:10|127|172\.(?:1[6-9]|2\d|3[01])|192\.168)(?:\.\d{1,3}){2,3}(?![\d.]|/\d)")
_HARMLESS: Final = re.compile(r"127\.0\.0\.1|\d+\.0\.0\.0|.*\.0")  # everybody's own, and networks in explanations
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\n`]*)\n(.*?)(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.M | re.S)
_COMMAND: Final = re.compile(
    r"^\s*(?:\$ |(?:sudo|cd|ls|cat|echo|mkdir|rm|cp|mv|curl|wget|apt|apt-get|ssh|scp|mount|umount|df|du|lsblk|mkfs\S*|"
    r"uname|hostname|ps|top|kill|python3?|pip|git|tar|chmod|chown|grep|ip|ping|systemctl|touch|aws|euca-\S+|educloud)"
    r"(?:\s|$))",
    re.M,
)


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that an author is told.

    Parameters
    ----------
    cell : number of the cell, from 1; None for the metadata.
    weight : ``note`` alone lets the notebook pass.
    """

    code: str
    weight: Literal["refusal", "warning", "note"]
    cell: int | None
    what: str
    next_step: str = ""


def load(path: Path) -> dict[str, Any]:
    """Return a notebook's JSON.

    Raises
    ------
    BadInputError
        It is not there, or no notebook.
    """
    if not path.is_file():
        raise BadInputError(f"There is no notebook {path}.", next_step="Check its name.")
    if path.stat().st_size > MOST_BYTES:
        raise BadInputError(f"{path} is larger than {MOST_BYTES // 1024**2} MiB.", next_step="Clear its outputs.")
    try:
        notebook = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInputError(f"{path} cannot be read as a notebook.", next_step="Open and save it again.") from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise BadInputError(f"{path} has no cells, so it is no notebook of version 4.", next_step="Save it anew.")
    return dict(notebook)


def examine(
    notebook: dict[str, Any], profiles: Sequence[ProfileFacts], *, broken: dict[str, str] | None = None
) -> list[Told]:
    """Return what is to be said of a notebook, metadata first, then cell by cell."""
    told: list[Told] = []
    metadata = notebook.get("metadata")
    data = metadata.get("educloud") if isinstance(metadata, dict) else None
    needs, remarks = read(data)
    if needs is not None:
        remarks += judge(needs, profiles, broken=broken)
        told += _lab_name(needs)
    told += [_of_remark(remark) for remark in remarks]
    for number, cell in enumerate(notebook["cells"], 1):
        source = _text(cell.get("source"))
        told += _saved(cell, number)
        if cell.get("cell_type") == "markdown":
            told += _blocks(source, number)
        elif cell.get("cell_type") == "code":
            told += _code(source, number, needs)
    told += _secrets(json.dumps(metadata, ensure_ascii=False), None)
    return told


def _text(source: object) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")


def _of_remark(remark: Remark) -> Told:
    return Told(remark.code, remark.weight.value, None, remark.what, remark.next_step)


def _lab_name(needs: Needs) -> Iterator[Told]:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", needs.lab):
        yield Told(
            "odd-lab-name",
            Weight.NOTE.value,
            None,
            f"The lab's name is '{needs.lab}': students type it to delete their machine, and on command lines.",
            "Letters, digits, blanks, '-', '.' and '_' are typed everywhere.",
        )


def _saved(cell: dict[str, Any], number: int) -> Iterator[Told]:
    if cell.get("outputs"):
        step = "Clear all outputs and save (Edit, Clear Outputs of All Cells)."
        yield Told("outputs-saved", "warning", number, "Outputs are saved in it: students would see yours.", step)
    whole = {key: value for key, value in cell.items() if key != "attachments"}
    yield from _secrets(json.dumps(whole, ensure_ascii=False), number)


def _secrets(text: str, number: int | None) -> Iterator[Told]:
    for what, pattern in _SECRETS:
        if pattern.search(text.replace('\\"', '"')):
            step = "Take it out, and make a new one: whoever has the file has it."
            yield Told("secret-saved", "refusal", number, f"It seems to hold {what}.", step)
    found = sorted({one for one in _ADDRESS.findall(text) if not _HARMLESS.fullmatch(one)})
    if found:
        what = f"It holds addresses of a private network: {', '.join(found[:4])}."
        yield Told("address-saved", "warning", number, what, "A student's machine has another one: ask for it in code.")


def _blocks(source: str, number: int) -> Iterator[Told]:
    for _, language, body in _FENCE.findall(source):
        if not language.strip() and _COMMAND.search(body):
            first = next(line.strip() for line in body.splitlines() if line.strip())
            yield Told(
                "block-untagged",
                "warning",
                number,
                f"A block of commands has no language ('{first[:50]}'): students get no button to type it.",
                "Begin it with ```bash, or ```console where it shows prompts and answers.",
            )


def _code(source: str, number: int, needs: Needs | None) -> Iterator[Told]:
    lines = source.lstrip().splitlines()
    words = lines[0].split() if lines else []
    if words[:1] == ["%%check"]:
        yield from _checks(lines[1:], number)
    elif words[:1] in (["%%vm"], ["%vm"]):
        yield from _magic(lines[0], number)
    elif not words[:1] or not words[0].startswith("%%"):
        yield from _panels(source, number, needs)


def _checks(lines: Sequence[str], number: int) -> Iterator[Told]:
    from educloud_lab.domain.checks import Unclear, parse

    written = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not written:
        yield Told("check-empty", "warning", number, "There is no check in it.", "Write one assertion a line.")
    for line in written:
        said = parse(line)
        if isinstance(said, Unclear):
            step = f"Perhaps: {said.nearest}" if said.nearest else "See the reference of checks."
            yield Told("check-unclear", "refusal", number, f"'{line[:100]}' is not understood: {said.why}", step)


def _magic(line: str, number: int) -> Iterator[Told]:
    try:
        shlex.split(line)
    except ValueError as error:
        yield Told("magic-unclear", "refusal", number, f"'{line[:100]}' cannot be split into words: {error}.")


def _panels(source: str, number: int, needs: Needs | None) -> Iterator[Told]:
    plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())
    try:
        tree = ast.parse(plain)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # a zero byte; brackets or signs without end
        return  # the cell's own affair: what is wrong with Python is seen when it runs
    for node in ast.walk(tree):
        name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        if not isinstance(node, ast.Call) or name not in ("CloudPanel", "machine", "ensure"):
            continue
        given: dict[str, Any] = {
            key.arg: key.value.value for key in node.keywords if key.arg and isinstance(key.value, ast.Constant)
        }
        order = ("lab", "machine_profile", "slot")
        given |= {word: one.value for word, one in zip(order, node.args, strict=False) if isinstance(one, ast.Constant)}
        for word in ("lab", "machine_profile"):
            meant = getattr(needs, word, None)
            if needs is not None and given.get(word) not in (None, "", meant):
                yield Told(
                    "names-differ",
                    "warning",
                    number,
                    f"{name} names the {word.replace('_', ' ')} '{given[word]!s}'; the metadata says '{meant}'.",
                    "Leave the names out of the code: they are taken from the metadata.",
                )


def as_json(path: Path, told: Sequence[Told]) -> dict[str, Any]:
    """Return what was told of one notebook, for programs."""
    return {"notebook": str(path), "passed": passes(told), "told": [asdict(one) for one in told]}


def passes(told: Sequence[Told]) -> bool:
    """Say whether a notebook can be handed out: nothing but notes."""
    return all(one.weight == Weight.NOTE.value for one in told)


# The link


def link(
    path_in_repo: str, repo: str, *, branch: str = "", hub: str = "", folder: str = "", binder: bool = False
) -> str:
    """Return an address that fetches a repository of notebooks and opens one of them with its machine in sight.

    Parameters
    ----------
    path_in_repo : with slashes, from the repository's top.
    repo : address of the repository, for ``git clone``.
    hub : address of a JupyterHub or of one Jupyter server; '' gives what comes after it.
    folder : the name under which nbgitpuller keeps the repository; '' as git names it.
    binder : the repository itself is built and opened by a BinderHub (``hub``) instead.

    Raises
    ------
    BadInputError
        An address or path is of no use.
    """
    split = urlsplit(repo)
    if split.scheme not in ("https", "http", "git", "ssh") or not split.netloc or split.password or "@" in split.netloc:
        raise BadInputError(
            f"--repo takes the repository's public address, such as https://git.example.org/course; it is '{repo}'.",
            next_step="Leave out user names and passwords: students fetch it without.",
        )
    parts = path_in_repo.split("/")
    if ".." in parts or path_in_repo.startswith("/") or not parts[-1]:
        raise BadInputError(f"'{path_in_repo}' is no path inside a repository.", next_step="Name it as git does.")
    inside = "/".join(quote(part, safe="") for part in parts)
    base = hub.rstrip("/") + "/" if hub else ""
    if base and urlsplit(base).scheme not in ("https", "http"):
        raise BadInputError(f"--hub takes an address that begins with https://; it is '{hub}'.")
    if binder:
        query = urlencode({"urlpath": f"lab/tree/{inside}?{SHOW}"}, quote_via=quote, safe="")
        return f"{base}v2/{_binder_repo(repo)}/{quote(branch or 'HEAD', safe='')}?{query}"
    kept = folder or split.path.rstrip("/").rpartition("/")[2].removesuffix(".git")
    values = {"repo": repo} | ({"branch": branch} if branch else {})
    if folder:
        values["targetPath"] = folder
    # The path is quoted once for the page's address, and once more with everything as a value of the link's.
    values["urlpath"] = f"lab/tree/{quote(kept, safe='')}/{inside}?{SHOW}"
    where = f"{base}hub/user-redirect/" if base and not _is_server(base) else base
    return f"{where}git-pull?{urlencode(values, quote_via=quote, safe='')}"


def _is_server(base: str) -> bool:
    """Say whether an address is one server's own: a port on this computer, or below a hub's ``/user/``."""
    split = urlsplit(base)
    return split.hostname in ("localhost", "127.0.0.1", "::1") or "/user/" in split.path


def _binder_repo(repo: str) -> str:
    split = urlsplit(repo)
    path = split.path.strip("/").removesuffix(".git")
    providers = {"github.com": "gh", "gitlab.com": "gl"}
    if split.hostname in providers and path.count("/") == 1:
        name = path if split.hostname == "github.com" else quote(path, safe="")
        return f"{providers[split.hostname]}/{name}"
    return f"git/{quote(repo, safe='')}"
