"""What every image needs of what maintainer scripts would have made: own files, links, certificates, compiled Python.

Programs of the image are run on the building computer where they must be, by the image's own loader and libraries, so
that the result does not depend on what is installed here.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from educloud_lab.localcloud.images.tools import run
from educloud_lab.localcloud.images.tree import tree_path

STUDENT_UID = 1000


def link(tree: Path, name: str, target: str) -> None:
    """Make ``name`` a symbolic link, whatever is there now."""
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def copy_guest(guest: Path, tree: Path) -> None:
    """Add the image's own files."""
    for source in sorted(guest.rglob("*")):
        if source.is_dir():
            continue
        target = tree / tree_path(source.relative_to(guest).as_posix())
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        data = source.read_bytes()
        target.write_bytes(data)
        # Modes do not survive every way of packaging Python files, so a script is known by its first line.
        target.chmod(0o755 if data.startswith(b"#!") else 0o644)


def folders(tree: Path, modes: Mapping[str, int]) -> None:
    """Make folders with these modes, whether they are there or not."""
    for name, mode in modes.items():
        (tree / name).mkdir(parents=True, exist_ok=True)
        (tree / name).chmod(mode)


def write_accounts(tree: Path, passwd: str, group: str, ownership: dict[str, tuple[int, int]]) -> None:
    """Write the account files; nobody has a password, everybody may use keys."""
    names = [line.split(":")[0] for line in passwd.splitlines()]
    # "*" and not "!": without PAM, sshd takes "!" for a locked account and refuses keys too.
    shadow = "".join(f"{name}:*:19000:0:99999:7:::\n" for name in names)
    for name, text, mode in (
        ("passwd", passwd, 0o644),
        ("group", group, 0o644),
        ("shadow", shadow, 0o640),
        ("gshadow", "".join(f"{line.split(':')[0]}:*::{line.split(':')[3]}\n" for line in group.splitlines()), 0o640),
    ):
        path = tree / "etc" / name
        path.write_text(text)
        path.chmod(mode)
    ownership["etc/shadow"] = ownership["etc/gshadow"] = (0, 42)


def student_home(tree: Path, ownership: dict[str, tuple[int, int]]) -> None:
    """Make the student's home from /etc/skel, as adduser does."""
    home = tree / "home/student"
    home.mkdir(parents=True, exist_ok=True)
    for source in sorted((tree / "etc/skel").iterdir()):
        shutil.copyfile(source, home / source.name)
        ownership[f"home/student/{source.name}"] = (STUDENT_UID, STUDENT_UID)
    ownership["home/student"] = (STUDENT_UID, STUDENT_UID)


def certificates(tree: Path) -> None:
    """Join the certificate authorities into the one file that programs read."""
    sources = sorted((tree / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = tree / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(source.read_text() for source in sources))
    link(tree, "usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")


def run_inside(
    what: str, tree: Path, program: Path, arguments: Sequence[str | Path], *, env: Mapping[str, str] | None = None
) -> str:
    """Run one of the image's programs by the image's own loader and libraries.

    Raises
    ------
    ImageBuildError
        It ended with an error.
    """
    loader = tree / "usr/lib64/ld-linux-x86-64.so.2"
    if not loader.exists():
        loader = tree / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    # Many programs are one file under several names and look at their own name.
    command = [loader, "--argv0", program.name, "--library-path", libraries, own_file(tree, program), *arguments]
    return run(what, command, env=env)


def own_file(tree: Path, program: Path) -> Path:
    """Follow links as the image does: an absolute one leads to the image's own file, not to this computer's."""
    while program.is_symlink():
        target = program.readlink()
        program = tree / target.relative_to("/") if target.is_absolute() else program.parent / target
    return program


def library_cache(tree: Path) -> None:
    """Make the cache of shared libraries."""
    run("making the library cache", ["ldconfig", "-X", "-r", tree])


def compile_python(tree: Path, *libraries: Path) -> None:
    """Compile Python modules with the image's own interpreter: the first `import` in a machine is then quick."""
    # What compiling itself imports must not be written on the way, with this folder's name and time in it.
    library = next((tree / "usr/lib").glob("python3.[0-9]*"))
    run_inside(
        "compiling Python's library",
        tree,
        tree / "usr/bin" / library.name,
        ["-S", "-m", "compileall", "-q", "-f", "-s", tree, "-p", "/", "--invalidation-mode", "unchecked-hash",
         library, *libraries],
        env={"PYTHONHOME": str(tree / "usr"), "PYTHONHASHSEED": "0", "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
