"""What a notebook imports. No rules, no credentials."""

from __future__ import annotations

from educloud_lab.notebook.panel import CloudPanel

__all__ = ["CloudPanel"]
