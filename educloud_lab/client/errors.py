"""What can go wrong between a client and its server. The server's own refusals come as the domain's errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from educloud_lab.domain import errors

if TYPE_CHECKING:
    from educloud_lab.client.find import Server


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
    """The Jupyter server gave no answer, or none of ours.

    Its words name no address, and it is raised without a cause, whose words often do: what a cell shows of an error is
    saved with the notebook. ``server.url`` says who was asked, ``__context__`` why it failed.

    Parameters
    ----------
    server : who was asked.
    """

    code = "server-unreachable"

    def __init__(self, what: str, *, kept: str = "", next_step: str = "", server: Server | None = None) -> None:
        super().__init__(what, kept=kept, next_step=next_step)
        self.server = server

    @classmethod
    def silent(cls, server: Server, error: Exception) -> ServerUnreachableError:
        """Return what is said when there was no answer."""
        what = f"{server.name[0].upper()}{server.name[1:]} does not answer ({type(error).__name__})."
        see = (
            "See that it runs (`jupyter server list`; EDUCLOUD_URL, where it is set, has to be its address)"
            if server.log is None
            else f"Its log, {server.log}, may say why"
        )
        kept = "Machines and volumes do not depend on it."
        return cls(what, kept=kept, next_step=f"{see}, then try again.", server=server)


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
