"""The SSH front end: the one door to the machines' private network, open only where an authorisation line says so.

It knows nothing of courses, leases or people. The broker supplies OpenSSH ``authorized_keys`` lines; the gateway
checks certificates and destinations against them and cuts live connections when they go. The local cloud and a
campus's front-end host run the same program.
"""

from __future__ import annotations

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
