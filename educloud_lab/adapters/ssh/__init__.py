"""SSH by asyncssh: connections to machines, terminals on them, the authority, and control of the gateway.

Importing this package is cheap. asyncssh itself (0.2 s) is imported at first use, in a worker thread.
"""

from __future__ import annotations

from educloud_lab.adapters.ssh.authority import AsyncsshAuthority
from educloud_lab.adapters.ssh.frontend import ControlCredentials, GatewayControl
from educloud_lab.adapters.ssh.shell import AsyncsshShell

__all__ = ["AsyncsshAuthority", "AsyncsshShell", "ControlCredentials", "GatewayControl"]
