"""A larger data volume. It never shrinks.

Eucalyptus enlarges volumes that nothing has, so it is done while the machine sleeps, on every cloud; the next Start
extends the file system, mounted, which ext4 does safely also when it is cut off.
"""

from __future__ import annotations

from educloud_lab.broker.making import GIB
from educloud_lab.broker.run import Run
from educloud_lab.domain.errors import CannotGrowError, CloudRefusedError, QuotaError, VolumeError

_KEPT = "Your data volume is as it was."


async def enlarge(run: Run) -> None:
    """Have the cloud enlarge the volume, and see that it did."""
    wanted = int(run.job.arguments["size_bytes"])
    parts, began_s = run.parts, run.parts.clock.monotonic_s()
    volume_id = run.volume.cloud_id
    if wanted <= run.volume.size_bytes:
        return
    if volume_id is None:
        raise VolumeError("There is no data volume any more.", next_step="Press Start: a new one is made then.")
    asked, earlier = False, run.volume.growing_to_bytes
    while True:
        seen = (await run.look()).volumes.get(volume_id)
        if seen is not None and seen.size_bytes == earlier and earlier != wanted:
            # A wish that was given up came true after all.
            await run.put_volume("volume grown", size_bytes=earlier, growing_to_bytes=None)
            if wanted <= earlier:
                return
            earlier = None
        if seen is not None and seen.size_bytes == wanted:
            await run.put_volume("volume grown", size_bytes=wanted, growing_to_bytes=None)
            return
        if seen is not None and not asked:
            asked = True
            await run.put_volume("grow intent", growing_to_bytes=wanted)
            try:
                await run.outside("grow-volume", lambda: parts.cloud.grow_volume(volume_id, wanted // GIB))
            except (CannotGrowError, CloudRefusedError, QuotaError):
                # What was asked for before may still come true: a size that no record knows would bar every Start.
                await run.put_volume("not grown", growing_to_bytes=earlier)
                raise
        elif parts.clock.monotonic_s() - began_s > parts.config.volume_limit_s:
            raise VolumeError(
                "The cloud does not show the data volume with its new size.",
                kept=_KEPT,
                next_step="Try again; if this repeats, ask whoever runs the cloud.",
            )
        await run.say("The cloud is enlarging the volume")
