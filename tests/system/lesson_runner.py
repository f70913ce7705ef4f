"""Runs a lesson from top to bottom without a browser: its cells in a real kernel, against the machines of a bench."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.system.conftest import ROOT, JupyterLab

NOTEBOOKS = ROOT / "notebooks"
CELL_LIMIT_S = 600  # for what hangs: other computers are slower


@dataclass
class Run:
    """A lesson after its run.

    Parameters
    ----------
    notebook : with its outputs.
    failed : id of the cell that ended with an error; '' when none did.
    error : what that error was.
    seconds : by id of the cell, how long it took.
    """

    notebook: nbformat.NotebookNode
    failed: str = ""
    error: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def said(self, cell_id: str | None = None) -> str:
        """Return all text of one cell's outputs, or of all of them."""
        cells = [cell for cell in self.notebook.cells if cell.cell_type == "code" and cell_id in (None, cell.id)]
        return "\n".join(text_of(output) for cell in cells for output in cell.outputs)

    def source(self, cell_id: str) -> str:
        """Return what stands in a cell."""
        return next(str(cell.source) for cell in self.notebook.cells if cell.id == cell_id)


def text_of(output: Any) -> str:
    """Return an output as plain text."""
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return "\n".join(output.traceback)
    return str(output.data.get("text/plain", ""))


def lesson_names() -> list[str]:
    """Return the file names of all lessons, in their order."""
    return sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def run_lesson(
    name: str,
    server: JupyterLab,
    *,
    change: Callable[[nbformat.NotebookNode], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Run:
    """Run a copy of a lesson in the server's folder; the copy has the outputs afterwards.

    Parameters
    ----------
    name : file name of the lesson.
    change : spoils (or otherwise changes) the notebook before it runs.
    tell : is told each cell as it ends.
    """
    path = server.folder / name
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    if change is not None:
        change(notebook)
    # The kernel looks into its notebook's file for the lab that it is about.
    nbformat.write(notebook, path)
    env = os.environ | server.env | {"JPY_SESSION_NAME": str(path)}
    env |= {"EDUCLOUD_URL": server.url, "EDUCLOUD_TOKEN": server.token}
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_LIMIT_S,
        startup_timeout=CELL_LIMIT_S,
        # Its own limit is 4 s, after which the rest of a cell's output is dropped without a word.
        iopub_timeout=CELL_LIMIT_S,
        resources={"metadata": {"path": str(server.folder)}},
    )
    run = Run(notebook)
    with client.setup_kernel(env=env):
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                begun = time.monotonic()
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError as error:
                    run.failed, run.error = cell.id, str(error)
                    break
                finally:
                    run.seconds[cell.id] = time.monotonic() - begun
                    if tell is not None:
                        said = "\n".join(text_of(output) for output in cell.outputs)
                        tell(f"[{cell.id} {run.seconds[cell.id]:.1f} s]\n{cell.source}\n-->\n{said}")
    nbformat.write(notebook, path)
    return run


def metadata(name: str) -> dict[str, Any]:
    """Return what a lesson says that its lab needs."""
    loaded: dict[str, Any] = json.loads((NOTEBOOKS / name).read_text())["metadata"]["educloud"]
    return loaded
