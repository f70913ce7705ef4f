"""``educloud lab check`` and ``educloud lab link``: for those who write labs. No network is needed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from traitlets import Bool, Unicode

from educloud_lab.app.command import NOT_UNDERSTOOD, StrictCommand, complain, out
from educloud_lab.domain.errors import BadInputError, EducloudError

if TYPE_CHECKING:
    from educloud_lab.domain.needs_rules import ProfileFacts

_JSON = "Print what was found as JSON."
_BINDER = "A link for a BinderHub, which builds the repository itself."


class LabCheckApp(StrictCommand):
    """Look through notebooks before they are handed out."""

    name = "educloud-lab-check"
    description = """Look through notebooks before they are handed out: what they need of a machine, their checks, and
    what should not be saved in them. Ends with 1 when something should be mended first."""
    examples = "educloud lab check lab-3.ipynb\neducloud lab check --json notebooks/*.ipynb"
    home = Unicode(help="Folder with machine profiles of your own (default: EDUCLOUD_HOME).").tag(config=True)
    as_json = Bool(False, help=_JSON).tag(config=True)
    aliases = {"home": "LabCheckApp.home"}  # noqa: RUF012 - traitlets' own name and kind of attribute
    flags = {"json": ({"LabCheckApp": {"as_json": True}}, _JSON)}  # noqa: RUF012 - likewise

    def start(self) -> None:
        """Read, tell, and end with 0, 1 (something to mend) or 2 (not understood)."""
        from educloud_lab.app.lab_author import Told, as_json, examine, load, passes

        if not self.extra_args:
            complain("educloud lab check takes one or more notebooks. Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        profiles, broken = self._profiles()
        results: list[tuple[Path, list[Told]]] = []
        for name in self.extra_args:
            try:
                told = examine(load(Path(name)), profiles, broken=broken)
            except BadInputError as error:
                told = [Told("no-notebook", "refusal", None, error.what, error.next_step)]
            results.append((Path(name), told))
        if self.as_json:
            out(json.dumps([as_json(path, told) for path, told in results], indent=2))
        else:
            for path, told in results:
                out(f"{path}: {'nothing to mend' if passes(told) else 'to be mended'}")
                for one in told:
                    where = f"cell {one.cell}" if one.cell is not None else "metadata"
                    mark = "-" if one.weight == "note" else "!"
                    out(f"  {mark} {where}: {one.what} {one.next_step}".rstrip())
        self.exit(0 if all(passes(told) for _, told in results) else 1)

    def _profiles(self) -> tuple[list[ProfileFacts], dict[str, str]]:
        from educloud_lab.app.machine_profiles import load_profiles
        from educloud_lab.domain.needs_rules import ProfileFacts
        from educloud_lab.localcloud.settings import default_home

        home = Path(self.home).expanduser() if self.home else default_home()
        found = load_profiles(home / "profiles")
        facts = [
            ProfileFacts(
                name=one.name,
                revision=one.revision,
                time_limit_s=one.time_limit_s,
                volume_gib=one.volume.size_gib if one.volume else None,
                mount_point=one.volume.mount_point if one.volume else None,
                ports=one.ports,
                retired=one.retired,
            )
            for one in found.profiles
        ]
        broken = {problem.what.split("'")[1]: problem.what for problem in found.problems}
        return facts, broken


class LabLinkApp(StrictCommand):
    """Make a link that opens a lab."""

    name = "educloud-lab-link"
    description = """Print a link that fetches a repository of notebooks (by nbgitpuller, which the server must have),
    opens NOTEBOOK in JupyterLab and shows its machine beside it. Nothing is asked of anybody: the link is only written.

    NOTEBOOK is a file inside a clone of the repository, or its path from the repository's top."""
    examples = (
        "educloud lab link labs/web.ipynb --repo=https://git.example.org/course.git --hub=https://hub.example.edu"
    )
    repo = Unicode(help="Public address of the repository.").tag(config=True)
    branch = Unicode(help="Its branch (default: the repository's own; for Binder HEAD).").tag(config=True)
    hub = Unicode(help="Address of the JupyterHub, of one Jupyter server, or of the BinderHub.").tag(config=True)
    folder = Unicode(help="Name of the folder that nbgitpuller fetches it into.").tag(config=True)
    binder = Bool(False, help=_BINDER).tag(config=True)
    aliases = {  # noqa: RUF012 - traitlets' own name and kind of attribute
        "repo": "LabLinkApp.repo",
        "branch": "LabLinkApp.branch",
        "hub": "LabLinkApp.hub",
        "folder": "LabLinkApp.folder",
    }
    flags = {"binder": ({"LabLinkApp": {"binder": True}}, _BINDER)}  # noqa: RUF012 - likewise

    def start(self) -> None:
        """Print the link; exits with 2 and one paragraph when it cannot be one."""
        from educloud_lab.app.lab_author import link

        if len(self.extra_args) != 1 or not self.repo:
            complain("educloud lab link takes one notebook and --repo=URL. Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        hub = self.hub or ("https://mybinder.org" if self.binder else "")
        try:
            path = path_in_repo(self.extra_args[0])
            address = link(path, self.repo, branch=self.branch, hub=hub, folder=self.folder, binder=self.binder)
        except EducloudError as error:
            complain(f"educloud lab link: {error}")
            self.exit(NOT_UNDERSTOOD)
        if not hub:
            complain("Put your server's address before it (or give it as --hub).")
        out(address)


def path_in_repo(given: str) -> str:
    """Return a notebook's path from its repository's top; what is no file here is taken as one already."""
    path = Path(given)
    if not path.exists():
        return given
    try:
        top = subprocess.run(
            ["git", "-C", str(path.resolve().parent), "rev-parse", "--show-toplevel"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return given if not path.is_absolute() else path.name
    return path.resolve().relative_to(Path(top).resolve()).as_posix()
