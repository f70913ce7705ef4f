"""The desk of one Jupyter server: builds the broker at first use, once, and says what stands in the way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from educloud_lab import __version__
from educloud_lab.domain.errors import CloudUnreachableError, EducloudError

if TYPE_CHECKING:
    from educloud_lab.broker.api import BrokerApi
    from educloud_lab.ports.shell import Grant
    from educloud_lab.wire import models as wire

RETRY_S = 10.0
"""After a failed attempt the same failure is told for so long, before the next attempt."""

SOON_S = 1.0
"""Opening a store takes a tenth of that, starting a cloud much more."""

log = logging.getLogger(__name__)


class BrokerDesk:
    """The server's :class:`~educloud_lab.server.desk.Desk`.

    Parameters
    ----------
    build : makes and opens a broker; raises an ``EducloudError`` that says what to do.
    person : whose server this is.
    cloud_kind, cloud_name : what the stand-in says of the cloud.
    retry_s : see :data:`RETRY_S`.
    """

    def __init__(
        self,
        build: Callable[[], Awaitable[BrokerApi]],
        *,
        person: str,
        cloud_kind: Callable[[], tuple[str, str]] = lambda: ("local", "local cloud"),
        retry_s: float = RETRY_S,
    ) -> None:
        self._build = build
        self._person = person
        self._cloud_kind = cloud_kind
        self._retry_s = retry_s
        self._broker: BrokerApi | None = None
        self._attempt: asyncio.Task[BrokerApi] | None = None
        self._failure: EducloudError | None = None
        self._failed_at = 0.0
        self._closed = False

    @property
    def person(self) -> str:
        """Whose server this is."""
        return self._person

    def ready(self) -> bool:
        """Whether :meth:`broker` answers at once."""
        return self._broker is not None

    async def broker(self) -> BrokerApi:
        """Return the open broker; see :class:`~educloud_lab.server.desk.Desk`."""
        if self._broker is not None:
            return self._broker
        if self._failure is not None and time.monotonic() - self._failed_at < self._retry_s:
            raise self._failure
        # Shielded: the page that asked first may go away while others wait for the same broker.
        return await asyncio.shield(self._start_attempt())

    async def soon(self) -> BrokerApi | None:
        """Return the broker when it can be had within :data:`SOON_S`, else None."""
        try:
            return await asyncio.wait_for(self.broker(), SOON_S)
        except (TimeoutError, EducloudError):
            return None

    def _start_attempt(self) -> asyncio.Task[BrokerApi]:
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._try(), name="educloud-wiring")
            self._attempt.add_done_callback(_retrieve)
        return self._attempt

    async def _try(self) -> BrokerApi:
        if self._closed:
            raise CloudUnreachableError("The Jupyter server is stopping.")
        try:
            broker = await self._build()
        except EducloudError as error:
            log.warning("No broker: %s", error)
            self._failure, self._failed_at = error, time.monotonic()
            raise
        except Exception as error:  # a defect in the wiring must not take the Jupyter server's page with it
            log.exception("The broker could not be built")
            self._failed_at = time.monotonic()
            self._failure = EducloudError(
                "The broker could not be started because of a defect in educloud-lab.",
                kept="Machines and volumes are as they were.",
                next_step="The Jupyter server's log holds the details. Run `educloud doctor`.",
            )
            raise self._failure from error
        self._failure = None
        self._broker = broker
        return broker

    def hello(self) -> wire.Hello:
        """Return versions and the last failure; an attempt begins in the background when none was made lately."""
        from educloud_lab.wire.models import API_VERSION, Hello

        stale = time.monotonic() - self._failed_at >= self._retry_s
        if self._broker is None and not self._closed and (self._failure is None or stale):
            self._start_attempt()
        problem = self._problem() if self._failure is not None else None
        return Hello(api_version=API_VERSION, package_version=__version__, problem=problem)

    def _problem(self) -> wire.Problem:
        from educloud_lab.wire.models import Problem

        if self._failure is None:
            return Problem(
                code="starting",
                what="The broker and its cloud are being started.",
                next_step="This takes a few seconds.",
            )
        error = self._failure
        return Problem(code=error.code, what=error.what, kept=error.kept, next_step=error.next_step)

    def stand_in(self) -> wire.Snapshot:
        """Return a snapshot of version 0 with the problem; an attempt begins when none was made lately."""
        from educloud_lab.wire.models import Cloud, Snapshot

        self.hello()
        kind, name = self._cloud_kind()
        return Snapshot(
            version=0,
            server_time=datetime.now(UTC),
            person=self._person,
            course="local",
            cloud=Cloud(
                kind="remote" if kind == "remote" else "local", name=name, reachable=False, problem=self._problem()
            ),
            profiles=[],
            leases=[],
        )

    async def close(self) -> None:
        """Close the broker, or give up building it. Repeatable."""
        self._closed = True
        attempt, self._attempt = self._attempt, None
        if attempt is not None and not attempt.done():
            attempt.cancel()
            with contextlib.suppress(asyncio.CancelledError, EducloudError):
                await attempt
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.close()


class DeskGrants:
    """Grants, and where leases stand, from a broker that is built when the first one is asked for."""

    def __init__(self, desk: BrokerDesk) -> None:
        self._desk = desk

    async def grant(self, person: str, lease_id: str) -> Grant:
        """See ``BrokerApi.grant``."""
        broker = await self._desk.broker()
        return await broker.grant(person, lease_id)

    async def snapshot(self, person: str) -> wire.Snapshot:
        """See ``BrokerApi.snapshot``."""
        broker = await self._desk.broker()
        return await broker.snapshot(person)

    async def activity(self, lease_id: str, kind: str) -> None:
        """Tell the broker that this server's person did something on their machine."""
        broker = await self._desk.broker()
        await broker.limits.activity(self._desk.person, lease_id, kind)


def _retrieve(task: asyncio.Task[BrokerApi]) -> None:
    """Mark the exception as seen: it was logged, and kept for whoever asks next."""
    if not task.cancelled():
        task.exception()
