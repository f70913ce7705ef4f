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
        # EUCALYPTUS.md section 0, items 1, 4, 5, 6
        ("ServiceUnavailable", " Not enough resources (0 in one < 1): vm instances.", 503, errors.CapacityError),
        ("ServiceUnavailable", "Insufficient addresses", 503, errors.CapacityError),
        (
            "ServiceUnavailable",
            "Not enough resources: no cluster controller is currently available to run instances.",
            503,
            errors.CloudStateError,
        ),
        ("ServiceUnavailable", "", 503, errors.CloudUnreachableError),  # a disabled action, a service that starts
        ("403 Forbidden", "Invalid access key or token", 403, errors.CloudAuthError),
        ("403 Forbidden", "Message has expired (times in UTC)", 403, errors.CloudAuthError),
        ("403 Forbidden", "Message was generated in the future", 403, errors.CloudAuthError),
        ("UnauthorizedOperation", "Not authorized to allocate vm type m5.large", 403, errors.CloudRefusedError),
        ("UnauthorizedOperation", "You are not authorized to perform this operation.", 403, errors.CloudRefusedError),
        # section 2: errors of the backend arrive as 500, codes may begin with a space, quotas have codes of their own
        ("InternalError", "", 500, errors.CloudUnreachableError),
        (" MissingParameter", "", 400, errors.CloudRefusedError),
        (" VolumeLimitExceeded", "", 400, errors.QuotaError),
        ("ResourceLimitExceeded", "Request would exceed quota for type: vm", 400, errors.QuotaError),
        ("SnapshotLimitExceeded", "", 400, errors.QuotaError),
        ("InsufficientFreeAddressesInSubnet", "", 400, errors.CapacityError),
        ("IncorrectState", "Instance 'i-1' is not 'running'", 400, errors.CloudStateError),
        ("IncorrectInstanceState", "", 400, errors.CloudStateError),
        ("OperationNotPermitted", "", 400, errors.CloudStateError),  # it migrates
        ("UnsupportedOperation", "", 400, errors.CloudStateError),  # StopInstances of instance-store
        ("InvalidInstanceID.Malformed", 'Invalid id: "x"', 400, errors.CloudRefusedError),
        ("InvalidVolume.NotFound", "", 400, errors.CloudNotFoundError),
        ("InvalidGroup.InUse", "", 400, errors.CloudStateError),
        # AWS, where the same adapter works
        ("InsufficientInstanceCapacity", "", 500, errors.CapacityError),
        ("InsufficientHostCapacity", "", 400, errors.CapacityError),
        ("VcpuLimitExceeded", "", 400, errors.QuotaError),
        ("InstanceLimitExceeded", "", 400, errors.QuotaError),
        ("RequestLimitExceeded", "Request limit exceeded.", 503, errors.CloudBusyError),
        ("Throttling", "Rate exceeded", 400, errors.CloudBusyError),
        ("AnythingElse", "", 429, errors.CloudBusyError),
        ("AuthFailure", "", 401, errors.CloudAuthError),
        ("AnythingElse", "", 401, errors.CloudAuthError),
        ("ExpiredToken", "", 400, errors.CloudAuthError),
        # nobody can say what happened
        ("RequestTimeout", "", 400, errors.CloudUnreachableError),
        ("AnythingElse", "", 408, errors.CloudUnreachableError),
        ("502", "Bad Gateway", 502, errors.CloudUnreachableError),
        ("AnythingElse", "", 0, errors.CloudUnreachableError),
        ("AnythingElse", "", 200, errors.CloudUnreachableError),
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


@pytest.mark.parametrize("status", [*range(400, 408), *range(409, 429), *range(430, 451)])
def test_a_refusal_changed_nothing_and_an_unknown_code_is_a_refusal(status):
    kind = classify("NobodyKnowsThisCode", "", status)
    assert kind is (errors.CloudAuthError if status == 401 else errors.CloudRefusedError)


@pytest.mark.parametrize("status", range(500, 512))
def test_an_error_of_the_server_leaves_the_effect_unknown(status):
    assert classify("NobodyKnowsThisCode", "Not enough of something", status) is errors.CloudUnreachableError


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
