"""The local cloud's own errors.

::

    LocalCloudError                 something a person starting or stopping the cloud reads
    ├── AlreadyRunningError
    ├── NotRunningError
    ├── PortTakenError
    ├── SchemaTooNewError
    └── StartFailedError
    ApiError                        an answer to a signed request (400, 403, 503 with a service's code)
    BindError                       unknown or unreadable parameters (400 in plain text, as Eucalyptus sends it)
    AuthError                       a refused signature (403 in plain text, as Eucalyptus sends it)
"""

from __future__ import annotations

from collections.abc import Sequence


class LocalCloudError(Exception):
    """Something that a person who starts or stops the local cloud has to know."""


class AlreadyRunningError(LocalCloudError):
    """The local cloud runs already; nothing was started."""


class NotRunningError(LocalCloudError):
    """The local cloud does not run."""


class PortTakenError(LocalCloudError):
    """The port asked for is in use; nothing was started."""


class SchemaTooNewError(LocalCloudError):
    """The state was written by a newer version; it was left alone."""


class StartFailedError(LocalCloudError):
    """The local cloud's process ended or did not answer in time."""


class ApiError(Exception):
    """A service error, sent as Eucalyptus's compute service sends it.

    Parameters
    ----------
    code : the error code, with the leading space that some of Eucalyptus's codes carry.
    message : the text that the caller sees.
    status : the HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class BindError(Exception):
    """Parameters that the operation does not have, or whose values cannot be read."""

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        # Values are cut: the answer goes back to the caller, but may also be read in somebody's log.
        lines = "".join(f"{name} = {value[:200]}\n" for name, value in fields)
        self.message = f"Failed to bind the following fields:\n{lines}"
        self.names = tuple(name for name, _ in fields)
        super().__init__(f"Failed to bind {', '.join(self.names)}")


class AuthError(Exception):
    """A request whose signature, key or time is refused.

    Parameters
    ----------
    message : Eucalyptus's own words.
    kind : ``signature``, ``key`` or ``time``: AWS has a code for each.
    """

    def __init__(self, message: str, kind: str = "signature") -> None:
        super().__init__(message)
        self.kind = kind


def missing(name: str) -> ApiError:
    """Error for a parameter that the operation needs (Eucalyptus's code has a leading space)."""
    return ApiError(" MissingParameter", f"The request must contain the parameter {name}")


def invalid(message: str) -> ApiError:
    """Error for a parameter whose value is not acceptable."""
    return ApiError("InvalidParameterValue", message)
