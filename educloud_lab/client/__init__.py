"""The typed HTTP client over wire: what a kernel or a script uses.

``connect()`` finds the Jupyter server by itself. httpx and pydantic are loaded by the first call.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from educloud_lab.client.aio import AsyncClient as AsyncClient
    from educloud_lab.client.aio import connect_async as connect_async
    from educloud_lab.client.amachine import AsyncMachine as AsyncMachine
    from educloud_lab.client.client import Client as Client
    from educloud_lab.client.client import connect as connect
    from educloud_lab.client.machine import Machine as Machine

_WHERE = {
    "AsyncClient": "aio",
    "AsyncMachine": "amachine",
    "Client": "client",
    "Machine": "machine",
    "connect": "client",
    "connect_async": "aio",
}
__all__ = ["AsyncClient", "AsyncMachine", "Client", "Machine", "connect", "connect_async"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"educloud_lab.client.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
