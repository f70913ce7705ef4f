"""The one place that imports asyncssh: at first use, and off the event loop when a loop runs.

The modules that need asyncssh at their top (``errors``, ``options``, ``connection``, ``pty``, ``keys``) are imported
only through here.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from educloud_lab.adapters.ssh import connection as connection_module
    from educloud_lab.adapters.ssh import keys as keys_module
    from educloud_lab.ports.shell import Knocked

_ROOM = "educloud_lab.adapters.ssh"


async def load_connection() -> type[connection_module.AsyncsshConnection]:
    """Return the connection class; the first call imports asyncssh in a worker thread."""
    module = await _load(f"{_ROOM}.connection")
    return cast("type[connection_module.AsyncsshConnection]", module.AsyncsshConnection)


async def load_knocking() -> Callable[..., Awaitable[Knocked]]:
    """Return the function that knocks at a machine's ports; the first call imports asyncssh in a worker thread."""
    module = await _load(f"{_ROOM}.knocking")
    return cast("Callable[..., Awaitable[Knocked]]", module.knock)


def load_keys() -> type[keys_module.Keys]:
    """Return the class that makes keys. Blocks for 0.2 s at the first call: call it in a worker thread."""
    module = importlib.import_module(f"{_ROOM}.keys")
    return cast("type[keys_module.Keys]", module.Keys)


async def _load(name: str) -> ModuleType:
    loaded = sys.modules.get(name)
    # A module that another thread is still importing is already in sys.modules, without its classes.
    if loaded is not None and not getattr(loaded.__spec__, "_initializing", False):
        return loaded
    return await asyncio.to_thread(importlib.import_module, name)
