"""What a notebook imports. No rules, no credentials. The panel (and ipywidgets) is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from educloud_lab.notebook.panel import CloudPanel as CloudPanel

__all__ = ["CloudPanel"]


def __getattr__(name: str) -> Any:
    if name == "CloudPanel":
        from educloud_lab.notebook.panel import CloudPanel

        return CloudPanel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
