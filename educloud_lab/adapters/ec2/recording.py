"""Tells whoever listens (:data:`educloud_lab.ports.calls.CALLS`) of every request, by botocore's own events.

``before-call`` has the parameters as they are sent, ``after-call`` the parsed answer whether it is an error or not,
``after-call-error`` what had no answer. The handlers return None: botocore takes any other value of a ``before-call``
handler for the answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from educloud_lab.ports.calls import CALLS, CallOutcome, CallSeen, Recorder

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client

_KEY: Final = "educloud_lab"
_REQUEST_ID: Final = re.compile(r"[\w-]{1,64}")  # Eucalyptus may put an error's whole message there
_NOT_PARAMETERS: Final = ("Action", "Version")


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A request that was not answered yet."""

    recorder: Recorder
    operation: str
    at: datetime
    began_s: float
    body: Mapping[str, Any]

    def ended(self, outcome: CallOutcome, **more: Any) -> None:
        """Tell of it."""
        self.recorder(
            CallSeen(
                at=self.at,
                operation=self.operation,
                parameters={name: str(value) for name, value in self.body.items() if name not in _NOT_PARAMETERS},
                duration_ms=round(1000 * (time.perf_counter() - self.began_s)),
                outcome=outcome,
                **more,
            )
        )


def watch(client: EC2Client) -> None:
    """Tell of this client's requests from now on."""
    events = client.meta.events
    events.register("before-call.ec2", _begins)
    events.register("after-call.ec2", _answered)
    events.register("after-call-error.ec2", _lost)


def _begins(model: Any, params: dict[str, Any], context: dict[str, Any], **_kwargs: object) -> None:
    recorder = CALLS.get()
    if recorder is not None:
        context[_KEY] = _UnderWay(recorder, model.name, datetime.now(UTC), time.perf_counter(), params["body"])


def _answered(parsed: Mapping[str, Any], context: dict[str, Any], **_kwargs: object) -> None:
    call: _UnderWay | None = context.pop(_KEY, None)
    if call is None:
        return
    about = parsed.get("ResponseMetadata", {})
    found = str(about.get("RequestId", ""))
    request_id = found if _REQUEST_ID.fullmatch(found) else ""
    error = parsed.get("Error")
    if error is None and about.get("HTTPStatusCode", 200) < 300:
        call.ended(CallOutcome.OK, answer=parsed, request_id=request_id)
        return
    error = error or {}
    code, message = str(error.get("Code", "")).strip(), str(error.get("Message", ""))
    call.ended(CallOutcome.REFUSED, error_code=code, error=message, request_id=request_id)


def _lost(exception: Exception, context: dict[str, Any], **_kwargs: object) -> None:
    call: _UnderWay | None = context.pop(_KEY, None)
    if call is not None:
        # Its class alone: the text of botocore's errors holds the endpoint's address.
        call.ended(CallOutcome.LOST, error=f"No answer ({type(exception).__name__}).")
