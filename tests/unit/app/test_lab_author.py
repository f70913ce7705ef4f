"""What authors are told about a lab's notebook, and the links by which labs are handed out."""

import json
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from educloud_lab.app.lab_author import examine, link, load, passes
from educloud_lab.app.lab_author_app import LabCheckApp, LabLinkApp, path_in_repo
from educloud_lab.domain.errors import BadInputError
from educloud_lab.domain.needs_rules import ProfileFacts

NEEDS = {"lab": "first", "machine_profile": "tiny"}
TINY = ProfileFacts("tiny", 2, 7200, 1.0, "/data")
REPO = "https://git.example.org/a/course.git"


def notebook(*cells, needs=NEEDS, **metadata):
    return {"cells": list(cells), "metadata": {"educloud": needs, **metadata}, "nbformat": 4, "nbformat_minor": 5}


def code(source, **more):
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None, **more}


def text(source):
    return {"cell_type": "markdown", "source": source.splitlines(keepends=True), "metadata": {}}


def codes(*cells, **named):
    return [(one.code, one.cell) for one in examine(notebook(*cells, **named), [TINY])]


def test_a_good_lab():
    good = (
        text("# First\n\n```bash\nls /data\n```\n\n```python\nls = 3\n```\n\n```\nSome answer\n```"),
        code("%load_ext educloud_lab"),
        code("%%check\n# first\nport 80 answers\n/data is mounted from your volume"),
        code("%%vm --folder /data\nls 'here\n"),
        code("from educloud_lab import CloudPanel\nCloudPanel()\n!ls\nlab.machine('first', 'tiny')"),
        code("this is no Python"),
    )
    assert codes(*good) == []


def test_the_metadata_is_read_and_judged():
    assert codes(needs=None) == [("not-a-table", None)]
    assert codes(needs={**NEEDS, "machine_profile": "nowhere"}) == [("no-such-profile", None)]
    assert codes(needs={**NEEDS, "revision": 9, "ports": "80"}) == [("wrong-field", None), ("profile-too-old", None)]
    assert codes(needs={**NEEDS, "lab": "größe/1"}) == [("odd-lab-name", None)]
    assert passes(examine(notebook(needs={**NEEDS, "lab": "größe/1"}), [TINY]))
    retired = ProfileFacts("tiny", 2, 7200, 1.0, "/data", retired="Use tiny-2.")
    (told,) = examine(notebook(), [retired])
    assert (told.code, passes([told])) == ("profile-retired", False)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (code("1", outputs=[{"output_type": "stream", "name": "stdout", "text": "1"}]), "outputs-saved"),
        (code("key = '''-----BEGIN OPENSSH PRIVATE KEY-----'''"), "secret-saved"),
        (code("access = 'AKIA0123456789ABCDEF'"), "secret-saved"),
        (code("secret_key = 'abcdefghijklmnopqrstuvwxyz0123456789ABCD'"), "secret-saved"),
        (text("http://localhost:8888/lab?token=0123456789abcdef0123"), "secret-saved"),
        (text("ssh student@172.16.77.5"), "address-saved"),
        (code("%%check\n"), "check-empty"),
        (code("%%check\nthe moon is full"), "check-unclear"),
        (code("%%vm --folder '/data\nls"), "magic-unclear"),
        (code("CloudPanel(lab='second')"), "names-differ"),
        (code("lab.machine('first', 'big')"), "names-differ"),
        (text("```\n$ ls -l\ntotal 3\n```"), "block-untagged"),
        (text("~~~\nsudo mount /dev/vdb /data\n~~~"), "block-untagged"),
    ],
)
def test_what_is_to_be_mended_is_told_with_its_cell(cell, told):
    found = examine(notebook(text("# First"), cell), [TINY])
    assert [(one.code, one.cell) for one in found] == [(told, 2)]
    assert found[0].what
    assert not passes(found)


@pytest.mark.parametrize("harmless", ["http://127.0.0.1:8888", "169.254.169.254", "10.0.0.0/8", "192.0.2.7", "1.2.3"])
def test_addresses_that_are_everybodys(harmless):
    assert codes(text(harmless)) == []


@pytest.mark.parametrize("source", ["x = 1\0", "-" * 100_000 + "1", "(" * 500])
def test_code_that_no_parser_takes_is_the_cells_own_affair(source):
    assert codes(code(source)) == []


def test_files_that_are_no_notebooks(tmp_path):
    for name, content in (
        ("a.ipynb", "no"),
        ("b.ipynb", "[]"),
        ("c.ipynb", '{"cells": [1]}'),
        ("d.ipynb", "{}"),
        ("e.ipynb", "[" * 10**5),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(BadInputError):
            load(tmp_path / name)
    with pytest.raises(BadInputError):
        load(tmp_path / "absent.ipynb")


def run(app, arguments):
    app = app()
    app.parse_command_line(arguments)
    with pytest.raises(SystemExit) as ended:
        app.start()
    return ended.value.code


def test_the_command_ends_with_what_it_found(tmp_path, capsys):
    good, bad = tmp_path / "good.ipynb", tmp_path / "bad.ipynb"
    good.write_text(json.dumps(notebook()))
    bad.write_text(json.dumps(notebook(code("%%check\nthe moon is full"))))
    home = f"--home={tmp_path}"
    assert run(LabCheckApp, [home, str(good)]) == 0
    assert "nothing to mend" in capsys.readouterr().out
    assert run(LabCheckApp, [home, str(good), str(bad), str(tmp_path / "absent.ipynb")]) == 1
    said = capsys.readouterr().out
    assert "! cell 1: 'the moon is full' is not understood" in said
    assert "absent.ipynb: to be mended" in said
    assert run(LabCheckApp, [home, "--json", str(bad)]) == 1
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["passed"], one["told"][0]["code"], one["told"][0]["cell"]) == (False, "check-unclear", 1)
    assert run(LabCheckApp, [home]) == 2


def test_profiles_of_ones_own_are_known_and_broken_ones_explained(tmp_path, capsys):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.toml").write_text("title = 3")
    path = tmp_path / "lab.ipynb"
    path.write_text(json.dumps(notebook(needs={**NEEDS, "machine_profile": "mine"})))
    assert run(LabCheckApp, [f"--home={tmp_path}", str(path)]) == 1
    assert "mine.toml" in capsys.readouterr().out


def opened(address):
    """Return where a link comes to, and the path that JupyterLab is given there."""
    split = urlsplit(address)
    values = {name: one for name, (one,) in parse_qs(split.query).items()}
    path, _, query = values.pop("urlpath").partition("?")
    assert query == "educloud=show"
    return split._replace(query="").geturl(), values, unquote(path)


def test_a_link_to_a_hub():
    address = link("labs 1/über.ipynb", REPO, hub="https://hub.example.edu/base", branch="fall 1")
    where, values, path = opened(address)
    assert where == "https://hub.example.edu/base/hub/user-redirect/git-pull"
    assert values == {"repo": REPO, "branch": "fall 1"}
    assert path == "lab/tree/course/labs 1/über.ipynb"
    assert "labs%25201" in address  # quoted twice: once for the page, once as a value


@pytest.mark.parametrize(
    ("hub", "where"),
    [
        ("", "git-pull"),
        ("http://localhost:8888/", "http://localhost:8888/git-pull"),
        ("https://hub.example.edu/user/ada/", "https://hub.example.edu/user/ada/git-pull"),
    ],
)
def test_a_link_to_one_server(hub, where):
    assert opened(link("a.ipynb", REPO, hub=hub))[0] == where


def test_a_link_into_a_folder_of_another_name():
    _, values, path = opened(link("a.ipynb", REPO, folder="this year"))
    assert values["targetPath"] == "this year"
    assert path == "lab/tree/this year/a.ipynb"


@pytest.mark.parametrize(
    ("repo", "where"),
    [
        ("https://github.com/a/course.git", "gh/a/course/HEAD"),
        ("https://gitlab.com/a/course", "gl/a%2Fcourse/HEAD"),
        (REPO, "git/https%3A%2F%2Fgit.example.org%2Fa%2Fcourse.git/HEAD"),
    ],
)
def test_a_link_to_binder(repo, where):
    address, _, path = opened(link("a.ipynb", repo, hub="https://binder.example.org", binder=True))
    assert address == f"https://binder.example.org/v2/{where}"
    assert path == "lab/tree/a.ipynb"


@pytest.mark.parametrize(
    ("path", "repo", "hub"),
    [
        ("a.ipynb", "course", ""),
        ("a.ipynb", "https://ada:secret@git.example.org/course", ""),
        ("../a.ipynb", REPO, ""),
        ("/a.ipynb", REPO, ""),
        ("a.ipynb", REPO, "hub.example.edu"),
    ],
)
def test_links_that_lead_nowhere_are_refused(path, repo, hub):
    with pytest.raises(BadInputError):
        link(path, repo, hub=hub)


def test_the_command_prints_the_link(capsys):
    app = LabLinkApp()
    app.parse_command_line(["a.ipynb", f"--repo={REPO}", "--hub=https://hub.example.edu"])
    app.start()
    assert capsys.readouterr().out.startswith("https://hub.example.edu/hub/user-redirect/git-pull?repo=https%3A%2F%2F")
    assert run(LabLinkApp, ["a.ipynb"]) == 2
    assert run(LabLinkApp, ["a.ipynb", "--repo=course"]) == 2


def test_a_path_that_is_no_file_here_is_one_in_the_repository(tmp_path):
    assert path_in_repo("labs/absent.ipynb") == "labs/absent.ipynb"
    (tmp_path / "x.ipynb").write_text("{}")
    assert path_in_repo(str(tmp_path / "x.ipynb")) == "x.ipynb"
