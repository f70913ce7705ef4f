"""Who the person is: the one place where that is decided for an embedded broker."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping


def current_person(environ: Mapping[str, str] | None = None) -> str:
    """Return the broker's name for the person whose Jupyter server this is.

    Under JupyterHub that is the Hub's user (Jupyter's own name there may be a display name); otherwise the operating
    system's user, because Jupyter Server invents a new anonymous name at each sign-in.
    """
    environ = os.environ if environ is None else environ
    if name := environ.get("JUPYTERHUB_USER"):
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # containers run under numbers without a name
        return f"uid-{os.getuid()}"


def is_hub_spawned(environ: Mapping[str, str] | None = None) -> bool:
    """Whether JupyterHub started this server: then its owner can read whatever is in it."""
    environ = os.environ if environ is None else environ
    return bool(environ.get("JUPYTERHUB_USER") or environ.get("JUPYTERHUB_API_TOKEN"))
