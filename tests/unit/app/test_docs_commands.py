"""Commands in the documentation exist with their options, and each option of each command is in the reference."""

import re
import shlex
from pathlib import Path

import pytest
from traitlets.utils.importstring import import_item

from educloud_lab.app.command import CommandGroup
from educloud_lab.app.main import EducloudApp

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = ROOT / "docs/reference/commands.md"
EVERYWHERE = {"home", "log-level", "debug", "show-config", "show-config-json", "h", "help", "help-all", "version", "V"}
FENCE = re.compile(r"^ *```(?:sh|bash|console)?\n(.*?)^ *```$", re.M | re.S)
COMMAND = re.compile(r"(?:^|[\s(`/|&])educloud +([^\n`]*)")
ENDS = re.compile(r"\s(?:#|&&|\|\||[|;>]).*|[)\"`].*")


def commands(app=EducloudApp, name="educloud"):
    """Yield every command that does something, with its class."""
    for word, (where, _) in dict(app().subcommands).items():
        found = import_item(where) if isinstance(where, str) else where
        below = f"{name} {word}"
        if getattr(found, "subcommands", None) and dict(found().subcommands):
            yield from commands(found, below)
        if not issubclass(found, CommandGroup):
            yield below, found


KNOWN = dict(commands())


def options(app):
    """Return the names of a command's options."""
    made = app()
    return {name for keys in [*made.aliases, *made.flags] for name in ([keys] if isinstance(keys, str) else keys)}


def written():
    """Yield each command line of a fenced block, and of text between backquotes, with where it stands."""
    for page in PAGES:
        text = page.read_text()
        for block in FENCE.findall(text):
            for line in block.replace("\\\n", " ").splitlines():
                for found in COMMAND.findall(" " + line):
                    yield page.relative_to(ROOT), found
        for found in re.findall(r"`educloud +([^`\n]+)`", FENCE.sub("", text)):
            yield page.relative_to(ROOT), found


def problem(given):
    """Return what is wrong with a command line, None when nothing is."""
    text = ENDS.sub("", given).replace("[", " ").replace("]", " ").replace("...", "")
    words = shlex.split(text, comments=True)
    if not words or words[0] == "COMMAND" or words[0][0] in "-1":  # "educloud 1 ..." is said on a machine's port
        return None
    name, rest = "educloud", list(words)
    while rest and (f"{name} {rest[0]}" in KNOWN or any(known.startswith(f"{name} {rest[0]} ") for known in KNOWN)):
        name += f" {rest.pop(0)}"
    if name not in KNOWN:
        return None if not rest and name != "educloud" else f"there is no command {name} {' '.join(rest)}"
    own = rest[: rest.index("--")] if "--" in rest else rest
    named = {word.lstrip("-").partition("=")[0] for word in own if re.match(r"--?[A-Za-z]", word)}
    unknown = {word for word in named - EVERYWHERE - options(KNOWN[name]) if "." not in word}
    return f"{name} has no option {', '.join(sorted(unknown))}" if unknown else None


def test_every_command_in_the_documentation_exists_with_its_options():
    found = list(written())
    assert len(found) > 60
    wrong = [f"{page}: {line}: {told}" for page, line in found if (told := problem(line))]
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("cloud strat", "no command"),
        ("cloud start --perfil=aws", "no option perfil"),
        ("cloud fault add capacity --times 3", "no option times"),
        ("images build", "no command"),
    ],
)
def test_what_does_not_exist_is_noticed(line, told):
    assert told in problem(line)


# One line of the reference says that `educloud image` is another name of `educloud cloud image`.
@pytest.mark.parametrize("name", sorted(name for name in KNOWN if not name.startswith("educloud image ")))
def test_every_command_and_option_is_in_the_reference(name):
    text = REFERENCE.read_text().partition("## In JupyterLab")[0]
    row = next((line for line in text.splitlines() if line.startswith(f"| `{name}")), None)
    assert row is not None
    part = text if "(#educloud-cloud-start)" in row else row
    missing = [option for option in options(KNOWN[name]) - EVERYWHERE if f"--{option}" not in part]
    assert missing == []


def test_the_index_names_every_page_and_every_link_leads_somewhere():
    index = (ROOT / "docs/README.md").read_text()
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]
    absent = [
        str(page) for page in pages if page.parts[0] not in ("decisions", "README.md") and f"({page})" not in index
    ]
    assert absent == []
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", FENCE.sub("", page.read_text()))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
