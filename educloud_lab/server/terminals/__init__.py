"""Terminals on machines, for JupyterLab's own terminal widget. docs/explanation/terminals.md says how they work."""

from __future__ import annotations

from educloud_lab.server.terminals.routes import terminal_routes
from educloud_lab.server.terminals.service import TerminalService

__all__ = ["TerminalService", "terminal_routes"]
