"""``%vm_put`` and ``%vm_get``: names, folders, wildcards, one line as the result."""

from pathlib import Path

import pytest
from IPython.core.error import UsageError

from educloud_lab.domain.errors import ConflictError
from educloud_lab.notebook import magics_copy


@pytest.fixture
def files(notebook):
    for name in ("a.csv", "b.csv", "c d.txt"):
        Path(name).write_bytes(b"x" * 100)
    Path("data").mkdir()
    return Path.cwd()


@pytest.mark.parametrize(
    ("line", "copied"),
    [
        ("%vm_put a.csv", [("a.csv", "a.csv")]),
        ("%vm_put a.csv /data/there.csv", [("a.csv", "/data/there.csv")]),
        ("%vm_put a.csv /data/", [("a.csv", "/data/")]),
        ("%vm_put *.csv", [("a.csv", "a.csv"), ("b.csv", "b.csv")]),
        (
            "%vm_put *.csv 'c d.txt' /data",
            [("a.csv", "/data/"), ("b.csv", "/data/"), ("c d.txt", "/data/")],
        ),
        ("%vm_put a.csv /", [("a.csv", "/")]),
        ("%vm_put {name} /data/", [("b.csv", "/data/")]),
    ],
)
def test_put(notebook, files, line, copied):
    notebook.shell.user_ns["name"] = "b.csv"
    done = notebook.run(line)
    assert done.error is None
    assert notebook.machine.copied == copied
    lines = done.stdout.splitlines()
    assert len(lines) == len(copied)
    for (source, target), said in zip(copied, lines, strict=True):
        assert said.startswith(f"{source} -> /home/student/{target}: 100 bytes in ")


@pytest.mark.parametrize(
    ("line", "copied"),
    [
        ("%vm_get /data/x.txt", [("/data/x.txt", ".")]),
        ("%vm_get /data/x.txt mine.txt", [("/data/x.txt", "mine.txt")]),
        ("%vm_get /data/x.txt data", [("/data/x.txt", "data")]),
        ("%vm_get x y data/", [("x", "data/"), ("y", "data/")]),
    ],
)
def test_get(notebook, files, line, copied):
    done = notebook.run(line)
    assert done.error is None
    assert notebook.machine.copied == copied
    assert "2.0 kB" in done.stdout


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%vm_put", "FROM"),
        ("%vm_put none.txt", "no file none.txt"),
        ("%vm_put *.none /data/", "no file *.none"),
        ("%vm_put data", "no file data"),
        ("%vm_get /data/*.txt", "tar"),
        ("%vm_get x y a.csv", "a.csv is none"),
        ("%vm_get x nowhere/", "no folder nowhere/"),
    ],
)
def test_a_slip_is_told_in_one_line(notebook, files, line, says):
    done = notebook.run(line)
    assert type(done.error) is UsageError
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert notebook.machine.copied == []


def test_a_machine_that_is_not_ready(notebook, files, monkeypatch):
    def refuse(*_, **__):
        raise ConflictError("Not running.")

    monkeypatch.setattr(type(notebook.machine), "upload", refuse)
    notebook.machine.state = "asleep"
    assert "Press Start" in str(notebook.run("%vm_put a.csv").error)


def test_progress_is_drawn_now_and_then_in_one_place(notebook, files, monkeypatch):
    monkeypatch.setattr(notebook.shell, "kernel", object(), raising=False)
    sent = []
    monkeypatch.setattr(notebook.shell.display_pub, "publish", lambda **message: sent.append(message))
    notebook.shell.run_cell("%vm_put a.csv")
    texts = [message["data"]["text/plain"] for message in sent]
    assert texts[0].startswith("a.csv: [....................] 0%, 0 bytes of 100 bytes")
    assert texts[-1].startswith("a.csv -> /home/student/a.csv: 100 bytes")
    assert len({str(message["transient"]) for message in sent}) == 1


def test_what_came_is_told_as_near_as_it_lies(tmp_path, monkeypatch):
    """Whose folders they are is not saved with the notebook."""
    home, course = tmp_path / "ann", tmp_path / "ann/course"
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.setattr(Path, "cwd", lambda: course)
    near = [str(course / "sub/back.txt"), str(home / "other.txt"), "/srv/back.txt"]
    assert [magics_copy._near(path) for path in near] == ["sub/back.txt", "~/other.txt", "/srv/back.txt"]
