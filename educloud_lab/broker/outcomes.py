"""What becomes of a job when a step raises: one table from error class to outcome, the nearest class wins.

A start gives up where asking again would not help; a stop never does for the cloud's sake, since a machine that was
meant to stop and did not goes on costing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from educloud_lab.domain import errors
from educloud_lab.domain.job import JobKind


class Verdict(StrEnum):
    """What to do with the job."""

    RETRY = "retry"  # again and again, with growing pauses
    RETRY_LIMITED = "retry-limited"  # a few times, then fail
    FAIL = "fail"
    DROP = "drop"  # it is somebody else's now: write nothing


_R, _L, _F = Verdict.RETRY, Verdict.RETRY_LIMITED, Verdict.FAIL

VERDICTS: Final[dict[type[errors.EducloudError], tuple[Verdict, Verdict]]] = {
    errors.EducloudError: (_F, _F),
    errors.BadInputError: (_F, _F),
    errors.ProfileError: (_F, _F),
    errors.NotFoundError: (_F, _F),
    errors.ConflictError: (_F, _F),
    errors.ConfirmationError: (_F, _F),
    errors.ProfileRetiredError: (_F, _F),
    errors.CloudError: (_L, _R),
    errors.CloudUnreachableError: (_R, _R),
    errors.CloudAuthError: (_F, _R),
    errors.CloudBusyError: (_R, _R),
    errors.CapacityError: (_R, _R),
    errors.QuotaError: (_F, _R),
    errors.CloudNotFoundError: (_L, _R),
    errors.CloudStateError: (_L, _R),
    errors.CloudRefusedError: (_F, _R),
    errors.CloudTakesNoTagsError: (_L, _R),
    errors.CannotGrowError: (_F, _R),
    errors.ShellError: (_L, _L),
    errors.MachineUnreachableError: (_L, _L),
    errors.NeverAnsweredError: (_F, _F),
    errors.HostKeyError: (_F, _F),
    errors.LoginRefusedError: (_L, _L),
    errors.CommandFailedError: (_L, _L),
    errors.CommandTimeoutError: (_L, _L),
    errors.VolumeError: (_F, _F),
    errors.VolumeNotBlankError: (_F, _F),
    errors.VolumeUnreadableError: (_F, _F),
    errors.VolumeMismatchError: (_F, _F),
    errors.VolumeBusyError: (_F, _F),
    errors.StoreError: (_R, _R),
    errors.StaleClaimError: (Verdict.DROP, Verdict.DROP),
    errors.SchemaError: (_F, _F),
}
"""(for a start or a volume's own job, for a stop or delete). A test fails when a class of the tree is missing."""

WAITING_FOR: Final[dict[type[errors.EducloudError], str]] = {
    errors.CloudUnreachableError: "The cloud does not answer; asking again",
    errors.CloudBusyError: "The cloud asks us to slow down",
    errors.CapacityError: "The cloud has no room for another machine now; asking again",
    errors.MachineUnreachableError: "The machine does not answer; trying again",
    errors.LoginRefusedError: "The machine did not let us in yet; trying again",
}


def verdict_for(error: errors.EducloudError, kind: JobKind) -> Verdict:
    """Return what to do with a job of this kind after this error."""
    for cls in type(error).__mro__:
        if cls in VERDICTS:
            return VERDICTS[cls][1 if kind in (JobKind.STOP, JobKind.DELETE) else 0]
    return Verdict.FAIL


def waiting_text(error: errors.EducloudError) -> str:
    """Return what the job waits for after this error, for people."""
    for cls in type(error).__mro__:
        if cls in WAITING_FOR:
            return WAITING_FOR[cls]
    return error.what
