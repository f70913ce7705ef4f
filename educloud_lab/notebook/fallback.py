"""What a panel is where the page cannot draw it: words, for nbconvert, VS Code, Colab and pages without our extension.

Neither an address nor a token is in them, since they are saved with the notebook.
"""

from __future__ import annotations

import os
import sys
from html import escape

INSTALL = (
    "The panel of your machine is not shown, because this page lacks the educloud-lab extension. Install it where"
    " JupyterLab runs (pip install educloud-lab), restart the server, not the kernel, and reload the page."
    " Python has the same machine all the while: give the panel a name (panel = CloudPanel(…)), then panel.start()."
)
FROM_PYTHON = "panel.start(); panel.wait(); panel.stop(); panel.keep()"
HOW = "This program cannot show the panel. Use it from Python: give it a name (panel = CloudPanel(…)), then"

WORDS = {
    "unknown": "it is not known where it stands",
    "off": "off, Start makes it",
    "starting": "starting",
    "ready": "ready",
    "stopping": "being put to sleep, your files are being saved",
    "asleep": "asleep, your files are kept",
    "deleting": "being deleted, your files are kept",
    "waiting": "waiting for the cloud",
    "trouble": "in trouble: panel.headline says what happened",
}


def front_end() -> str:
    """Return which program shows this kernel's outputs: 'vscode', 'colab', or 'jupyter' for all others.

    Notes
    -----
    Colab has its package loaded in every kernel. VS Code's Jupyter extension puts the notebook's path into the
    kernel's namespace; its environment variables say less, since a JupyterLab started from its terminal inherits them.
    """
    if "google.colab" in sys.modules:
        return "colab"
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and "__vsc_ipynb_file__" in getattr(shell, "user_ns", {}):
        return "vscode"
    # Its kernels have no Jupyter server that told them which notebook they are for.
    if "VSCODE_PID" in os.environ and "JPY_SESSION_NAME" not in os.environ and "JPY_PARENT_PID" not in os.environ:
        return "vscode"
    return "jupyter"


def texts(lab: str | None, state: str | None, at: str) -> dict[str, str]:
    """Return the texts of the MIME bundle.

    Parameters
    ----------
    lab : the lab's name; None when the notebook names it.
    state : where the machine stood when this was shown; None where that was not asked, since a page draws it.
    at : when that was, to be read.
    """
    what = f"the lab '{lab}'" if lab else "this notebook's lab"
    if state is None:
        return {"text/plain": f"The machine of {what}. {INSTALL}", "text/html": f"<p>{escape(INSTALL)}</p>"}
    said = f"The machine of {what}, at {at}: {WORDS.get(state, state)}."
    how = f"{HOW}: {FROM_PYTHON}"
    return {
        "text/plain": f"{said}\n{how}",
        "text/html": f"<p>{escape(said)}</p><p>{escape(HOW)}: <code>{escape(FROM_PYTHON)}</code></p>",
    }
