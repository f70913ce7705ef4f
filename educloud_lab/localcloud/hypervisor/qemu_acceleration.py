"""Which acceleration the next machine gets, and having KVM tried once when nobody knows."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from educloud_lab.localcloud import acceleration
from educloud_lab.localcloud.hypervisor.qemu_queue import StartQueue

log = logging.getLogger(__name__)


class AccelerationChoice:
    """Chooses by a setting and by the kept verdict.

    Parameters
    ----------
    wish : ``auto``, ``tcg`` or ``kvm``.
    verdict_file : where the verdict is kept.
    queue : a trial takes a place in it, so that it does not slow machines that boot.
    """

    def __init__(self, wish: str, verdict_file: Path, queue: StartQueue) -> None:
        if wish not in {"auto", "tcg", "kvm"}:
            raise ValueError(f"accel is {wish!r}; it must be auto, tcg or kvm")
        self._wish = wish
        self._verdict_file = verdict_file
        self._queue = queue
        self._trial: asyncio.Task[None] | None = None

    async def choose(self, kernel: Path | None, binary: str) -> str:
        """``tcg`` or ``kvm`` for a machine that starts now; never waits for a trial."""
        if self._wish != "auto":
            return self._wish
        key = acceleration.host_key(await acceleration.qemu_version(binary))
        verdict = acceleration.read_verdict(self._verdict_file, key)
        if verdict is not None:
            return "kvm" if verdict.works else "tcg"
        if kernel is not None and self._trial is None:
            self._trial = asyncio.create_task(self._try(kernel, binary), name="trial of KVM")
        return "tcg"

    async def close(self) -> None:
        """End a trial under way; its verdict is left open."""
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.gather(self._trial, return_exceptions=True)
            self._trial = None

    async def _try(self, kernel: Path, binary: str) -> None:
        await self._queue.enter()
        try:
            verdict = await acceleration.probe(kernel, cache=self._verdict_file, binary=binary)
            log.info("KVM %s: %s", "is used from now on" if verdict.works else "is not used", verdict.reason)
        except OSError as error:
            log.warning("KVM could not be tried: %s", error)
        finally:
            self._queue.leave()
