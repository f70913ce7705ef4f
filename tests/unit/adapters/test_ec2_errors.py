"""Every error of botocore becomes one of ours, and Eucalyptus's oddities are told apart."""

import inspect

import pytest
from botocore import exceptions as vendor
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from educloud_lab.adapters.ec2.errors import classify, translated
from educloud_lab.domain import errors


def client_error(code: str, message: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Operation"
    )


@pytest.mark.parametrize(
    ("code", "message", "status", "expected"),
    [
        ("ServiceUnavailable", "Not enough resources (0 in one < 1): vm instances.", 503, errors.CapacityError),
        ("ServiceUnavailable", "Quota exceeded while trying to create: x by user: y", 503, errors.QuotaError),
        (
            "ServiceUnavailable",
            "Not enough resources: Quota exceeded while trying to create: x by user: y",
            503,
            errors.QuotaError,
        ),
        ("ServiceUnavailable", "Service is down", 503, errors.CloudUnreachableError),
        ("InternalFailure", "Permission denied for vm", 500, errors.CloudUnreachableError),
        ("403 Forbidden", "Signature validation failed", 403, errors.CloudAuthError),
        ("400 Bad Request", "Failed to bind the following fields:\nX = y\n", 400, errors.CloudRefusedError),
        (" InvalidParameterValue", "bad", 400, errors.CloudRefusedError),
        ("InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist", 400, errors.CloudNotFoundError),
        ("InvalidAttachment.NotFound", "", 400, errors.CloudStateError),
        ("VolumeInUse", "Volume already attached: vol-1", 400, errors.CloudStateError),
        ("VolumeLimitExceeded", "", 400, errors.QuotaError),
        # a capacity sentence outside 503 proves nothing
        ("Whatever", "Not enough resources", 400, errors.CloudRefusedError),
    ],
)
def test_an_answer_of_the_cloud_is_classified(code, message, status, expected):
    assert classify(code, message, status) is expected
    with pytest.raises(expected) as caught, translated():
        raise client_error(code, message, status)
    assert type(caught.value) is expected
    assert caught.value.__cause__ is not None
    assert caught.value.what


def every_vendor_error() -> list[type[Exception]]:
    return [
        kind
        for _, kind in inspect.getmembers(vendor, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning) and kind.__module__ == vendor.__name__
    ]


@pytest.mark.parametrize("kind", every_vendor_error(), ids=lambda kind: kind.__name__)
def test_no_vendor_error_passes_untranslated(kind):
    error = kind.__new__(kind)
    Exception.__init__(error, "x")
    error.response = {"Error": {"Code": "X", "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    with pytest.raises(errors.CloudError), translated():
        raise error


def test_our_own_errors_pass_through_untouched():
    mine = errors.VolumeBusyError("busy")
    with pytest.raises(errors.VolumeBusyError) as caught, translated():
        raise mine
    assert caught.value is mine


def test_an_answer_that_is_cut_off_is_no_usable_answer():
    """``ResponseParserError`` stands outside botocore's own family."""
    with pytest.raises(errors.CloudUnreachableError), translated():
        raise ResponseParserError("invalid XML received")
