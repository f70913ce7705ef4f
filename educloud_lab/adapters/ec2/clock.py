"""How far the cloud's clock is from this computer's: Eucalyptus refuses requests that are 20 s in its future."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client


class CloudClock:
    """How far the cloud's clock is from this computer's, by the ``Date`` of its answers, refusals too."""

    def __init__(self) -> None:
        self._watched: set[int] = set()
        self._lock = threading.Lock()
        self.offset_s: float | None = None

    def watch(self, ec2: EC2Client) -> EC2Client:
        """Read the time of this client's answers from now on; repeatable."""
        with self._lock:
            if id(ec2) not in self._watched:
                self._watched.add(id(ec2))
                ec2.meta.events.register("after-call.ec2", self._answered)
        return ec2

    def _answered(self, http_response: Any = None, **_kwargs: object) -> None:
        text = http_response.headers.get("Date", "") if http_response is not None else ""
        try:
            told = parsedate_to_datetime(text) if text else None
        except ValueError:
            return
        if told is not None and told.tzinfo is not None:
            self.offset_s = (told - datetime.now(UTC)).total_seconds()
