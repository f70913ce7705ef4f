"""A kernel asks which lab its notebook is about: by its session, from what was saved, for its own notebook only."""

import nbformat
import pytest

KERNEL = "0b8f2a1c-0000-4000-8000-000000000001"
PATH = f"kernels/{KERNEL}/needs"
NEEDS = {"lab": "web-server", "machine_profile": "tiny", "ports": [80], "minutes": 45}


@pytest.fixture
def sessions(server, monkeypatch):
    known = []

    async def list_sessions():
        return known

    monkeypatch.setattr(server.session_manager, "list_sessions", list_sessions)
    return known


@pytest.fixture
def notebook(jp_root_dir, sessions):
    def save(path, said, kernel=KERNEL):
        made = nbformat.v4.new_notebook()
        if said is not None:
            made.metadata["educloud"] = said
        (jp_root_dir / path).parent.mkdir(exist_ok=True)
        nbformat.write(made, jp_root_dir / path)
        sessions.append({"id": "s", "type": "notebook", "path": path, "kernel": {"id": kernel}})

    return save


async def test_the_notebook_of_a_kernel(call, notebook, broker):
    notebook("another.ipynb", NEEDS | {"lab": "another"}, kernel="another")
    notebook("a folder/lab é.ipynb", NEEDS)
    status, reply, headers = await call("GET", PATH)
    assert status == 200
    assert (reply["lab"], reply["machine_profile"], reply["ports"]) == ("web-server", "tiny", [80])
    assert headers["Cache-Control"] == "no-store"
    assert broker.calls == [], "no broker is built for this"


async def test_after_a_rename(call, notebook, sessions, jp_root_dir):
    notebook("before.ipynb", NEEDS)
    (jp_root_dir / "before.ipynb").rename(jp_root_dir / "after.ipynb")
    sessions[0]["path"] = "after.ipynb"  # as the page tells its server
    status, reply, _ = await call("GET", PATH)
    assert (status, reply["lab"]) == (200, "web-server")


async def test_a_kernel_of_another_server(call, notebook, sessions):
    notebook("lab.ipynb", NEEDS, kernel="another")
    sessions.append({"id": "c", "type": "console", "path": "lab.ipynb", "kernel": {"id": KERNEL}})
    sessions.append({"id": "p", "type": "notebook", "path": "lab.ipynb", "kernel": None})
    status, reply, _ = await call("GET", PATH)
    assert (status, reply["error"]["code"]) == (404, "not-found")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, "does not say which lab"),
        ({"lab": "x"}, "machine_profile: Field required"),
        (NEEDS | {"minutes": -1}, "minutes"),
        ("web-server", "cannot be understood"),
        (NEEDS | {"surprise": "<script>"}, "surprise"),
    ],
)
async def test_a_notebook_that_says_nothing_or_nonsense(call, notebook, said, words):
    notebook("lab.ipynb", said)
    status, reply, _ = await call("GET", PATH)
    assert (status, reply["error"]["code"]) == (400, "bad-input")
    assert words in reply["error"]["what"]
    assert reply["error"]["next_step"]


async def test_a_notebook_that_is_gone_or_broken(call, notebook, jp_root_dir):
    notebook("lab.ipynb", NEEDS)
    for change in (lambda path: path.write_text("{"), lambda path: path.unlink()):
        change(jp_root_dir / "lab.ipynb")
        status, reply, _ = await call("GET", PATH)
        assert (status, reply["error"]["code"]) == (404, "not-found")
        assert str(jp_root_dir) not in str(reply)


async def test_several_notebooks_at_one_kernel(call, notebook):
    notebook("one.ipynb", NEEDS)
    notebook("copy.ipynb", NEEDS)
    assert (await call("GET", PATH))[0] == 200
    notebook("two.ipynb", NEEDS | {"lab": "two"})
    status, reply, _ = await call("GET", PATH)
    assert (status, reply["error"]["code"]) == (409, "conflict")
