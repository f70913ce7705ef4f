"""The one table of errors to HTTP status, and how an exception becomes what a person reads.

Only our own tree is shown as it is: its sentences are written for people. A refusal by Jupyter Server or tornado
gets a sentence of ours, since its own text may hold addresses and headers; anything else is a 500 that says
nothing of our inside. The request id joins the reply to the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from tornado.web import HTTPError

from educloud_lab.domain import errors

STATUS: dict[type[errors.EducloudError], HTTPStatus] = {
    errors.EducloudError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.BadInputError: HTTPStatus.BAD_REQUEST,
    errors.ProfileError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.ConfirmationError: HTTPStatus.CONFLICT,
    errors.ProfileRetiredError: HTTPStatus.CONFLICT,
    errors.CloudError: HTTPStatus.BAD_GATEWAY,
    errors.CloudUnreachableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CloudAuthError: HTTPStatus.BAD_GATEWAY,
    errors.CloudBusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CapacityError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.QuotaError: HTTPStatus.CONFLICT,
    errors.CloudNotFoundError: HTTPStatus.BAD_GATEWAY,
    errors.CloudStateError: HTTPStatus.CONFLICT,
    errors.CloudRefusedError: HTTPStatus.BAD_GATEWAY,
    errors.CloudTakesNoTagsError: HTTPStatus.BAD_GATEWAY,
    errors.CannotGrowError: HTTPStatus.CONFLICT,
    errors.ShellError: HTTPStatus.BAD_GATEWAY,
    errors.MachineUnreachableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NeverAnsweredError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.HostKeyError: HTTPStatus.BAD_GATEWAY,
    errors.LoginRefusedError: HTTPStatus.BAD_GATEWAY,
    errors.CommandFailedError: HTTPStatus.BAD_GATEWAY,
    errors.CommandTimeoutError: HTTPStatus.GATEWAY_TIMEOUT,
    errors.VolumeError: HTTPStatus.CONFLICT,
    errors.VolumeNotBlankError: HTTPStatus.CONFLICT,
    errors.VolumeUnreadableError: HTTPStatus.CONFLICT,
    errors.VolumeMismatchError: HTTPStatus.CONFLICT,
    errors.VolumeBusyError: HTTPStatus.CONFLICT,
    errors.StoreError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.StaleClaimError: HTTPStatus.CONFLICT,
    errors.SchemaError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Every class of the tree by name; a test fails when one is missing. Children made elsewhere take their parent's."""

_HTTP_SENTENCES: dict[int, tuple[str, str]] = {
    400: ("The server could not read this request.", "Reload the page; if it stays, the two halves may differ."),
    401: ("You are not signed in to this Jupyter server.", "Sign in again, then reload the page."),
    403: ("This Jupyter server refused the request.", "Reload the page to sign in again."),
    404: ("There is no such thing here.", ""),
    405: ("This address does not know that method.", ""),
    413: ("The request is larger than this server reads.", ""),
    415: ("The request must be sent as application/json.", ""),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a reply says: an HTTP status, a code for programs and three sentences for people."""

    status: int
    code: str
    what: str
    kept: str = ""
    next_step: str = ""


def status_of(error: errors.EducloudError) -> HTTPStatus:
    """Return the status of an error of our tree, the nearest named ancestor's for classes made elsewhere."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def refusal_of(error: BaseException | None, status: int = 500) -> Refusal:
    """Return what may be said about an exception (None: only the status is known)."""
    if isinstance(error, errors.EducloudError):
        return Refusal(status_of(error).value, error.code, error.what, error.kept, error.next_step)
    if isinstance(error, HTTPError):
        status = error.status_code
    elif error is not None:
        status = 500
    if status >= 500:
        return Refusal(
            status,
            "internal",
            "Something went wrong inside the server.",
            "Nothing was decided by this request that is not shown.",
            "Try again; if it stays, give the request id to whoever looks after this server.",
        )
    what, next_step = _HTTP_SENTENCES.get(status, ("The server refused this request.", ""))
    return Refusal(status, f"http-{status}", what, "", next_step)
