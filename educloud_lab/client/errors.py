"""What can go wrong between a client and its server. The server's own refusals come as the domain's errors."""

from __future__ import annotations

from collections.abc import Iterator

from educloud_lab.domain import errors


class ServerNotFoundError(errors.EducloudError):
    """No Jupyter server was found to ask."""

    code = "server-not-found"


class SeveralServersError(ServerNotFoundError):
    """Several Jupyter servers run, and it was not said which one is meant."""

    code = "several-servers"


class BrokerStartError(ServerNotFoundError):
    """No Jupyter server was found, and no broker for scripts could be started."""

    code = "broker-start"


class ServerUnreachableError(errors.EducloudError):
    """The Jupyter server gave no answer, or none of ours."""

    code = "server-unreachable"


class WaitTimeoutError(errors.EducloudError):
    """A lease did not come to the phase that was waited for in time, or ended up in another."""

    code = "wait-timeout"


class LabUnknownError(errors.EducloudError):
    """No lab was named, and neither the environment nor the notebook says which it is."""

    code = "lab-unknown"


def _tree(kind: type[errors.EducloudError]) -> Iterator[type[errors.EducloudError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def error_of(code: str, what: str, kept: str, next_step: str) -> errors.EducloudError:
    """Return the error of our tree that a reply names; the tree's root with that code when it is unknown here."""
    kind = next(
        (kind for kind in _tree(errors.EducloudError) if kind.code == code and kind is not errors.CommandFailedError),
        errors.EducloudError,
    )
    error = kind(what, kept=kept, next_step=next_step)
    if kind is errors.EducloudError:
        error.code = code
    return error
