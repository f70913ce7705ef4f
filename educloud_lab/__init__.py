"""The lab bench beside the notebook: a course's virtual machine, one press away.

``from educloud_lab import CloudPanel`` shows a machine in a cell; ``from educloud_lab import connect`` gives the
same machine to Python. Everything is loaded when it is first used: Jupyter Server imports this module at each start.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from educloud_lab.client import connect as connect
    from educloud_lab.client import connect_async as connect_async
    from educloud_lab.notebook import CloudPanel as CloudPanel

try:
    from educloud_lab._version import __version__ as __version__  # type: ignore[import-not-found,unused-ignore]  # the build makes it
except ImportError:  # a source tree that was never built or installed
    __version__ = "0.0.0.dev0"

__all__ = ["CloudPanel", "__version__", "connect", "connect_async"]


def __getattr__(name: str) -> Any:
    if name == "CloudPanel":
        from educloud_lab.notebook import CloudPanel

        _show_in_cells()
        return CloudPanel
    if name in {"connect", "connect_async"}:
        from educloud_lab import client

        _show_in_cells()
        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def _show_in_cells() -> None:
    """In a notebook's kernel, let cells show what the client returns, and what it refuses, for people."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        from educloud_lab.notebook import accounts, errors_in_cells

        accounts.register(shell)
        errors_in_cells.install()


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext educloud_lab``: give a kernel the magics ``%%vm``, ``%%check`` and their friends."""
    from educloud_lab.notebook.magics import load

    load(shell)
    _show_in_cells()


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext educloud_lab``: take them away again."""
    from educloud_lab.notebook.magics import unload

    unload(shell)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "educloud-lab"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from educloud_lab.app.extension import EducloudExtension

    return [{"module": "educloud_lab.app.extension", "app": EducloudExtension}]
