"""``educloud image``: what it prints and how it ends."""

import pytest

from educloud_lab.app import image_app
from educloud_lab.app.image_app import ImageApp, ImageBuildApp, ImageListApp
from educloud_lab.localcloud.images import ImageBuildError


@pytest.fixture(autouse=True)
def fresh():
    yield
    # traitlets keeps the application that ran as the only one of its kind.
    for kind in (ImageBuildApp, ImageListApp, ImageApp):
        kind.clear_instance()


def run(*arguments):
    app = ImageApp.instance()
    app.initialize(list(arguments))
    app.start()


@pytest.fixture
def asked(monkeypatch, tmp_path):
    calls = []

    def build(home, names, *, progress, force):
        calls.append((home, tuple(names), force))
        progress("working", 12)
        return []

    monkeypatch.setattr(image_app, "build", build)
    monkeypatch.setenv("EDUCLOUD_HOME", str(tmp_path / "home"))
    return calls


@pytest.mark.parametrize(
    ("arguments", "names", "force"),
    [
        ([], ("tiny", "tiny-store"), False),
        (["all"], ("tiny", "tiny-store"), False),
        (["tiny-store"], ("tiny-store",), False),
        (["tiny", "tiny", "--force"], ("tiny",), True),
    ],
)
def test_build_builds_what_is_asked(asked, tmp_path, capsys, arguments, names, force):
    run("build", *arguments)
    assert asked == [(tmp_path / "home", names, force)]
    assert "working (about 12 s left)" in capsys.readouterr().err


def test_home_can_be_given(asked, tmp_path):
    run("build", "tiny", f"--home={tmp_path / 'other'}")
    assert asked[0][0] == tmp_path / "other"


def test_a_failure_is_one_paragraph_and_status_1(monkeypatch, capsys):
    def build(*_, **__):
        raise ImageBuildError("The disk is full.")

    monkeypatch.setattr(image_app, "build", build)
    with pytest.raises(SystemExit) as ended:
        run("build")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "educloud image build: The disk is full.\n"


def test_list_without_images_says_how_to_build_them(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run("list", f"--home={tmp_path}")
    assert ended.value.code == 1
    assert "educloud image build all" in capsys.readouterr().err


def test_list_names_the_image_that_is_not_sound(tmp_path, capsys):
    folder = tmp_path / "images" / "tiny"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(SystemExit) as ended:
        run("list", f"--home={tmp_path}")
    assert ended.value.code == 1
    assert "not JSON" in capsys.readouterr().err
