"""The SSH front end: the one door to the machines' private network, open only where an authorisation line says so.

It knows nothing of courses, leases or people. The broker supplies OpenSSH ``authorized_keys`` lines; the gateway
checks certificates and destinations against them and cuts live connections when they go. The local cloud and a
campus's front-end host run the same program.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from educloud_lab.gateway.config import GatewayConfig, GatewayLimits
    from educloud_lab.gateway.errors import (
        GatewayConfigError,
        GatewayError,
        GatewayRunningError,
        LinesError,
        RoutesError,
    )
    from educloud_lab.gateway.server import Gateway, run

__all__ = [
    "Gateway",
    "GatewayConfig",
    "GatewayConfigError",
    "GatewayError",
    "GatewayLimits",
    "GatewayRunningError",
    "LinesError",
    "RoutesError",
    "run",
]

_ROOMS = {"Gateway": "server", "run": "server", "GatewayConfig": "config", "GatewayLimits": "config"}


def __getattr__(name: str) -> Any:
    """Load what is asked for: the local cloud needs a few words of the gateway's, and not the whole SSH library."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS.get(name, 'errors')}"), name)
