"""What faults do to a request before it is carried out, and to its answer."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from educloud_lab.localcloud.errors import ApiError
from educloud_lab.localcloud.faults.active import Active, Target

if TYPE_CHECKING:
    from educloud_lab.localcloud.cloud import Caller
    from educloud_lab.localcloud.faults.faults import Faults

log = logging.getLogger("educloud.cloud.faults")

REQUEST_FAULTS = frozenset(
    {"slow-answers", "lost-request", "throttling", "internal-error", "lost-reply", "truncated-xml"}
)
_ID = re.compile(r"[a-z]{1,6}-[0-9a-f]{8,17}", re.IGNORECASE)
_TAG_KEY = re.compile(r"(TagSpecification\.\d+\.)?Tag\.\d+\.Key")


class ConnectionCut(Exception):  # noqa: N818 (nothing is wrong with the cloud: it is what was asked for)
    """The connection is to be ended without an answer."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One request that a fault may still strike on its way out."""

    faults: Faults
    target: Target
    request_id: str

    async def leave(self, text: str) -> str:
        """Return the answer as it arrives; raises :class:`ConnectionCut` when it does not."""
        if self._struck("lost-reply"):
            await self.faults.flush()
            raise ConnectionCut
        if fault := self._struck("truncated-xml"):
            await self.faults.flush()
            return text[: int(len(text) * fault.number("keep_percent") / 100)]
        return text

    async def enter(self) -> None:
        """Wait, or raise what the request meets instead of being carried out."""
        if fault := self._struck("slow-answers"):
            await self.faults.cloud.clock.sleep(fault.number("delay_s"))
        try:
            if self._struck("lost-request"):
                raise ConnectionCut
            if self._throttled():
                aws = self.faults.cloud.model.profile == "aws"
                raise ApiError("RequestLimitExceeded" if aws else "ServiceUnavailable", "Request limit exceeded.", 503)
            if self._struck("internal-error"):
                error = ApiError("InternalFailure", "An internal error occurred", 500)
                raise self.faults.cloud.model.behaviour.spoken(error)
        finally:
            await self.faults.flush()

    def _struck(self, kind: str) -> Active | None:
        for fault in self.faults.of(kind):
            looks = self.target.operation.startswith(("Describe", "Get"))
            if looks and not fault.parameters.get("describes", True) and not fault.operation:
                continue
            if self.faults.strikes(fault, self.target):
                log.info("%s struck by %s (%s)", self.request_id, fault.id, fault.kind.name)
                return fault
        return None

    def _throttled(self) -> bool:
        now = self.faults.cloud.now()
        for fault in self.faults.of("throttling"):
            if not fault.concerns(self.target) or fault.remaining == 0:
                continue
            while fault.let_through and fault.let_through[0] <= now - timedelta(minutes=1):
                fault.let_through.popleft()
            if len(fault.let_through) < fault.number("calls_per_minute"):
                fault.let_through.append(now)
            elif self.faults.strikes(fault, self.target):
                log.info("%s struck by %s (throttling)", self.request_id, fault.id)
                return True
        return False


def target_of(caller: Caller, action: str, parameters: Mapping[str, str]) -> Target:
    """Return what a request is about: every id in it, and the tags that it brings."""
    ids = frozenset(value.lower() for value in parameters.values() if _ID.fullmatch(value))
    tags = frozenset(
        f"{value}={parameters.get(name.removesuffix('Key') + 'Value', '')}"
        for name, value in parameters.items()
        if _TAG_KEY.fullmatch(name)
    )
    return Target(caller.account.account_id, action, "", ids, tags)
