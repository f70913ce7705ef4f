"""Every error of the product, as one tree.

::

    EducloudError
    |- BadInputError                  the request itself is wrong; nothing was changed
    |  '- ProfileError                a machine profile file is wrong
    |- NotFoundError                  no such thing, or none of yours: the two look alike (I6)
    |- ConflictError                  the thing is not in a state that allows this
    |  |- ConfirmationError           a destructive action without its typed confirmation
    |  '- ProfileRetiredError         no new machines are made from this machine profile
    |- CloudError                     the cloud did not do it
    |  |- CloudUnreachableError       no answer, or none that can be read: the effect is UNKNOWN (I5)
    |  |- CloudAuthError              credentials or clock refused
    |  |- CloudBusyError              the cloud asks us to slow down
    |  |- CapacityError               no room for another machine now
    |  |- QuotaError                  a limit of the account is reached
    |  |- CloudNotFoundError          the cloud does not know this id (which is not proof of absence, I5)
    |  |- CloudStateError             the cloud says the thing is in the wrong state for this
    |  '- CloudRefusedError           any other refusal; asking again would not help
    |     |- CloudTakesNoTagsError    it takes no tags when it creates something
    |     '- CannotGrowError          it knows no way to enlarge a volume
    |- ShellError                     the machine did not do it
    |  |- MachineUnreachableError     no SSH connection (yet)
    |  |  '- NeverAnsweredError       nobody answered for as long as we were ready to wait
    |  |- HostKeyError                the machine showed a host key that was not expected (I8)
    |  |- LoginRefusedError           our certificate was refused
    |  |- CommandFailedError          a command ended with another status than 0
    |  '- CommandTimeoutError         a command did not end in time
    |- VolumeError                    the data volume needs a person's eyes; it was left untouched
    |  |- VolumeNotBlankError         it holds something that we did not make (I3)
    |  |- VolumeUnreadableError       it cannot be read, so nobody may say that it is blank (I3)
    |  |- VolumeMismatchError         serial, size or file system UUID differ from the record
    |  '- VolumeBusyError             something keeps it mounted (I4)
    '- StoreError                     our own records
       |- StaleClaimError             another broker holds this row now; what we were about to write is dropped
       '- SchemaError                 the database has another schema revision than this program

Each carries the three sentences a person needs: what happened, what was kept safe, what to do next.
"""

from __future__ import annotations


class EducloudError(Exception):
    """Base of all errors that a person can meet.

    Parameters
    ----------
    what : what happened, one sentence.
    kept : what was kept safe ('' when nothing was at risk).
    next_step : what to do next ('' when there is nothing to do).
    """

    code = "error"

    def __init__(self, what: str, *, kept: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.kept = kept
        self.next_step = next_step

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.kept, self.next_step) if part)


class BadInputError(EducloudError):
    """The request itself is wrong; nothing was changed."""

    code = "bad-input"


class ProfileError(BadInputError):
    """A machine profile file is wrong; names the file and the field."""

    code = "bad-profile"


class NotFoundError(EducloudError):
    """No such thing, or none of yours."""

    code = "not-found"


class ConflictError(EducloudError):
    """The thing is not in a state that allows this."""

    code = "conflict"


class ConfirmationError(ConflictError):
    """A destructive action came without its typed confirmation."""

    code = "confirmation-needed"


class ProfileRetiredError(ConflictError):
    """No new machines are made from this machine profile; those that exist stay."""

    code = "profile-retired"


class CloudError(EducloudError):
    """The cloud did not do it."""

    code = "cloud"


class CloudUnreachableError(CloudError):
    """No answer from the cloud, or none that can be read; the effect of the call is unknown."""

    code = "cloud-unreachable"


class CloudAuthError(CloudError):
    """The cloud refused our credentials, or our clock differs from its own."""

    code = "cloud-auth"


class CloudBusyError(CloudError):
    """The cloud asks us to slow down."""

    code = "cloud-busy"


class CapacityError(CloudError):
    """The cloud has no room for another machine now."""

    code = "capacity"


class QuotaError(CloudError):
    """A limit of the cloud account is reached."""

    code = "quota"


class CloudNotFoundError(CloudError):
    """The cloud does not know this id; a lagging answer looks the same (I5)."""

    code = "cloud-not-found"


class CloudStateError(CloudError):
    """The cloud says the thing is in the wrong state for this call."""

    code = "cloud-state"


class CloudRefusedError(CloudError):
    """The cloud refused for another reason; asking again would not help."""

    code = "cloud-refused"


class CloudTakesNoTagsError(CloudRefusedError):
    """The cloud takes no tags when it creates something; nothing was created."""

    code = "cloud-no-tags"


class CannotGrowError(CloudRefusedError):
    """The cloud knows no way to enlarge a volume; nothing was changed."""

    code = "cannot-grow"


class ShellError(EducloudError):
    """The machine did not do what was asked over SSH.

    ``side`` says where it went wrong ("machine", "gateway", "" when unknown), ``cause`` how, in one word of
    ``CAUSES``, for the doctor.
    """

    code = "shell"
    CAUSES = ("", "refused", "silent", "lost", "not-permitted")
    side = ""
    cause = ""


class MachineUnreachableError(ShellError):
    """No SSH connection to the machine (yet)."""

    code = "machine-unreachable"


class NeverAnsweredError(MachineUnreachableError):
    """Nobody answered for as long as we were ready to wait; a person should look."""

    code = "never-answered"


class HostKeyError(ShellError):
    """The machine showed a host key that was not expected; nothing was sent to it (I8)."""

    code = "host-key"


class LoginRefusedError(ShellError):
    """The machine or the gateway refused our certificate."""

    code = "login-refused"


class CommandFailedError(ShellError):
    """A command on the machine ended with another status than 0."""

    code = "command-failed"

    def __init__(self, what: str, *, exit_status: int, output: str = "", kept: str = "", next_step: str = "") -> None:
        super().__init__(what, kept=kept, next_step=next_step)
        self.exit_status = exit_status
        self.output = output


class CommandTimeoutError(ShellError):
    """A command on the machine did not end in time."""

    code = "command-timeout"


class VolumeError(EducloudError):
    """The data volume needs a person's eyes; it was left untouched."""

    code = "volume"


class VolumeNotBlankError(VolumeError):
    """The volume holds something that we did not make; it is never formatted (I3)."""

    code = "volume-not-blank"


class VolumeUnreadableError(VolumeError):
    """The volume cannot be read, so nobody may say that it is blank (I3)."""

    code = "volume-unreadable"


class VolumeMismatchError(VolumeError):
    """Serial, size or file system UUID differ from the record; it is not mounted."""

    code = "volume-mismatch"


class VolumeBusyError(VolumeError):
    """Something keeps the volume mounted, so it is not detached (I4)."""

    code = "volume-busy"


class StoreError(EducloudError):
    """Our own records could not be read or written."""

    code = "store"


class StaleClaimError(StoreError):
    """Another broker holds this row now; what we were about to write is dropped."""

    code = "stale-claim"


class SchemaError(StoreError):
    """The database has another schema revision than this program."""

    code = "schema"
