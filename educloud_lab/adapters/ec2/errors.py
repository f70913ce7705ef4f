"""Vendor errors to ours, in one place.

Codes are matched, never prose, with one exception: Eucalyptus folds capacity, quota and disabled actions into
HTTP 503 ``ServiceUnavailable`` (``ComputeService.handleServiceException``), so there, and only there, anchored
patterns of its messages decide. Sources: EUCALYPTUS 6.0.0, ``VmControl.runInstances``, ``AdmissionControl``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as vendor
from botocore.parsers import ResponseParserError

from educloud_lab.domain import errors

_LATER = "It is tried again by itself."
_NOTHING_CHANGED = "Nothing was changed."

CODES: dict[str, type[errors.CloudError]] = {
    "AuthFailure": errors.CloudAuthError,
    "403 Forbidden": errors.CloudAuthError,
    "InvalidClientTokenId": errors.CloudAuthError,
    "ExpiredToken": errors.CloudAuthError,
    "IncompleteSignature": errors.CloudAuthError,
    "InvalidAccessKeyId": errors.CloudAuthError,
    "MissingAuthenticationToken": errors.CloudAuthError,
    "RequestExpired": errors.CloudAuthError,
    "SignatureDoesNotMatch": errors.CloudAuthError,
    "InsufficientFreeAddressesInSubnet": errors.CapacityError,
    "BandwidthLimitExceeded": errors.CloudBusyError,
    "EC2ThrottledException": errors.CloudBusyError,
    "PriorRequestNotComplete": errors.CloudUnreachableError,
    "RequestLimitExceeded": errors.CloudBusyError,
    "RequestThrottled": errors.CloudBusyError,
    "RequestTimeout": errors.CloudUnreachableError,
    "SlowDown": errors.CloudBusyError,
    "Throttling": errors.CloudBusyError,
    "ThrottlingException": errors.CloudBusyError,
    "DependencyViolation": errors.CloudStateError,
    "InvalidGroup.InUse": errors.CloudStateError,
    "IncorrectInstanceState": errors.CloudStateError,
    "IncorrectState": errors.CloudStateError,
    "InvalidAttachment.NotFound": errors.CloudStateError,
    "OperationNotPermitted": errors.CloudStateError,
    "UnsupportedOperation": errors.CloudStateError,
    "VolumeInUse": errors.CloudStateError,
}
"""Codes whose meaning does not follow from their form or HTTP status."""

_CAPACITY = re.compile(r"^Insufficient\w*Capacity$")  # ...Instance..., ...Address..., ...Volume..., ...Host...
_LIMIT = re.compile(r"^\w+LimitExceeded$")  # Instance..., Volume..., Snapshot..., Resource..., Vcpu..., Address...

MESSAGES_OF_503: tuple[tuple[re.Pattern[str], type[errors.CloudError]], ...] = (
    # NotEnoughResourcesException over AuthQuotaException, AdmissionControl
    (re.compile(r"^(?:Not enough resources: )?Quota exceeded while trying to create"), errors.QuotaError),
    # The zone has no cluster controller, or there is no such zone: nothing that room would mend.
    (re.compile(r"^Not enough resources: no cluster controller"), errors.CloudStateError),
    # VmControl.runInstances: "Not enough resources (0 in ZONE < 1)" and then what there is not enough of
    (re.compile(r"^Not enough resources"), errors.CapacityError),
    (re.compile(r"^Insufficient addresses"), errors.CapacityError),
)

_ADVICE: dict[type[errors.CloudError], tuple[str, str, str]] = {
    errors.CloudAuthError: (
        "The cloud refused our credentials or our clock",
        _NOTHING_CHANGED,
        "Check the access key and that this computer's clock is right (the cloud allows 20 seconds).",
    ),
    errors.CapacityError: ("The cloud has no room for another machine now", "Your volume is untouched.", _LATER),
    errors.QuotaError: (
        "A limit of the cloud account is reached",
        _NOTHING_CHANGED,
        "Delete a machine that is not needed, or ask the administrator for a larger quota.",
    ),
    errors.CloudBusyError: ("The cloud asks us to slow down", _NOTHING_CHANGED, _LATER),
    errors.CloudNotFoundError: ("The cloud does not know this id", _NOTHING_CHANGED, ""),
    errors.CloudStateError: ("The cloud says that this is not possible in the present state", _NOTHING_CHANGED, ""),
    errors.CloudRefusedError: (
        "The cloud refused the request",
        _NOTHING_CHANGED,
        "If this goes on, show this message to whoever runs the cloud.",
    ),
    errors.CloudUnreachableError: (
        "The cloud did not give an answer that can be used",
        "What was asked may or may not have happened; it is looked up before anything is repeated.",
        _LATER,
    ),
}


def classify(code: str, message: str, status: int) -> type[errors.CloudError]:
    """Return the error class for one answer of the cloud.

    Parameters
    ----------
    code : the answer's ``Code``; some carry a leading space (EUCALYPTUS.md section 2).
    message : the answer's ``Message``; read only for HTTP 503.
    status : HTTP status.
    """
    code = code.strip()
    if code in CODES:
        return CODES[code]
    if _CAPACITY.match(code):
        return errors.CapacityError
    if _LIMIT.match(code):
        return errors.QuotaError
    if status == 429:
        return errors.CloudBusyError
    if status == 503:
        for pattern, kind in MESSAGES_OF_503:
            if pattern.match(message.strip()):
                return kind
    if status >= 500 or status < 400 or status == 408:
        # InternalFailure and unexplained 503: EucalyptusCloudException arrives so; the effect is unknown (I5). So it is
        # when the request timed out, and when an error has no status that says whose it is.
        return errors.CloudUnreachableError
    if code.endswith(".NotFound"):
        return errors.CloudNotFoundError
    if status == 401:
        return errors.CloudAuthError
    return errors.CloudRefusedError


def code_of(error: errors.CloudError) -> str:
    """Return the cloud's code behind one of our errors; '' when the cloud did not give one."""
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Code", "")).strip() if isinstance(cause, vendor.ClientError) else ""


def does_not_bind(error: errors.CloudError, parameter: str) -> bool:
    """Whether the cloud refused the request because it does not know this parameter; then nothing happened.

    Eucalyptus's ``BaseQueryBinding`` names the fields in the message, and nowhere else.
    """
    cause = error.__cause__
    if not isinstance(cause, vendor.ClientError) or code_of(error) not in ("400 Bad Request", "UnknownParameter"):
        return False
    return parameter in str(cause.response.get("Error", {}).get("Message", ""))


def make(kind: type[errors.CloudError], detail: str) -> errors.CloudError:
    """Build an error with the sentences that belong to its kind; ``detail`` is the cloud's own word."""
    what, kept, next_step = _ADVICE[kind]
    detail = " ".join(detail.split())[:300].rstrip(".")
    return kind(f"{what}: {detail}." if detail else f"{what}.", kept=kept, next_step=next_step)


@contextmanager
def translated() -> Iterator[None]:
    """Turn every error of botocore into one of ours."""
    try:
        yield
    except vendor.ClientError as exc:
        answer = exc.response.get("Error", {})
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code, message = answer.get("Code", ""), answer.get("Message", "")
        raise make(classify(code, message, status), f"{code.strip()}, {message}" if code else message) from exc
    except (vendor.NoCredentialsError, vendor.PartialCredentialsError, vendor.CredentialRetrievalError) as exc:
        raise make(errors.CloudAuthError, str(exc)) from exc
    except (
        vendor.ParamValidationError,
        vendor.UnknownServiceError,
        vendor.DataNotFoundError,
        vendor.UndefinedModelAttributeError,
    ) as exc:
        raise make(errors.CloudRefusedError, str(exc)) from exc
    except (vendor.BotoCoreError, ResponseParserError) as exc:
        # Connections, time-outs, answers that cannot be parsed, checksums: no usable answer.
        raise make(errors.CloudUnreachableError, str(exc)) from exc
