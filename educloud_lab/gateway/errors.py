"""What can go wrong at the gateway: each message says what happened and what to do next."""

from __future__ import annotations


class GatewayError(Exception):
    """Base of every error that the gateway raises itself; its text is for an administrator."""


class GatewayConfigError(GatewayError):
    """The configuration, a key file or a folder is not usable; nothing was started or changed."""


class GatewayRunningError(GatewayError):
    """Another gateway already serves this configuration; it was left alone."""


class LinesError(GatewayError):
    """A lines text or a lines name was refused as a whole; the lines in force are unchanged."""


class RoutesError(GatewayError):
    """A routes text was refused as a whole; the routes in force are unchanged."""
