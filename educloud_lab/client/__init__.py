"""The typed HTTP client over wire: what a kernel or a script uses.

``connect()`` finds the Jupyter server by itself. httpx and pydantic are loaded by the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from educloud_lab.client.client import Client as Client
    from educloud_lab.client.client import connect as connect

__all__ = ["Client", "connect"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from educloud_lab.client import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
