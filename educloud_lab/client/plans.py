"""What a client does, apart from how it waits: each rule is written once, for the synchronous and the async client.

A *plan* is a generator: it yields what it wants (a request, or a pause) and is sent the answer; what it returns is the
result. :func:`drive` and :func:`adrive` carry a plan out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

Reply = TypeVar("Reply")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask(Generic[Reply]):
    """One request.

    Parameters
    ----------
    method, path : of the route, below the API's prefix.
    reply : the wire model of the answer; None when the answer has no body.
    body : the wire model that is sent; None for none.
    """

    method: str
    path: str
    reply: type[Reply]
    body: BaseModel | None = None

    def sent(self) -> Plan[Reply]:
        """Return the plan that consists of this request."""
        answer: Reply = yield self
        return answer


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float


Plan = Generator[Ask[Any] | Pause, Any, T]


def drive(plan: Plan[T], ask: Callable[[Ask[Any]], Any]) -> T:
    """Carry a plan out, blocking; ``ask`` sends a request and returns the answer. What it raises, the plan sees."""
    answer: Any = None
    failed: BaseException | None = None
    while True:
        try:
            wanted = plan.throw(failed) if failed is not None else plan.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        answer, failed = None, None
        try:
            if isinstance(wanted, Pause):
                time.sleep(wanted.seconds)
            else:
                answer = ask(wanted)
        except BaseException as error:  # noqa: BLE001 - handed to the plan, which raises what it does not handle
            failed = error


async def adrive(plan: Plan[T], ask: Callable[[Ask[Any]], Awaitable[Any]]) -> T:
    """Do the same without blocking the loop."""
    answer: Any = None
    failed: BaseException | None = None
    while True:
        try:
            wanted = plan.throw(failed) if failed is not None else plan.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        answer, failed = None, None
        try:
            if isinstance(wanted, Pause):
                await asyncio.sleep(wanted.seconds)
            else:
                answer = await ask(wanted)
        except BaseException as error:  # noqa: BLE001 - handed to the plan, which raises what it does not handle
            failed = error
