"""The copy socket: one file after the other to and from one machine, for a kernel."""

from __future__ import annotations

from educloud_lab.domain.errors import BadInputError
from educloud_lab.server.base import faults_of
from educloud_lab.server.copying import Copy, failed
from educloud_lab.server.run import WorkSocket


class CopySocket(WorkSocket):
    """``GET leases/<id>/copy`` (websocket); see `wire.copying`."""

    _copy: Copy | None = None

    async def on_message(self, message: str | bytes) -> None:
        """Take a request, content or an acknowledgement."""
        from pydantic import ValidationError

        from educloud_lab.wire.copying import FROM_KERNEL, CopyAck

        if isinstance(message, bytes):
            # After a failure it may still be on its way: then it is of no use to anybody.
            if self._copy is None or (self.at_work and not self._copy.take(message)):
                self.refuse("No such content was asked for.")
            return
        try:
            asked = FROM_KERNEL.validate_json(message)
        except ValidationError as error:
            if not await self.is_free():
                self.refuse("One copy at a time.")
                return
            self.begin(self.send_text(failed(BadInputError(f"This cannot be copied: {faults_of(error)}."))))
            return
        if isinstance(asked, CopyAck):
            if self._copy is not None:
                self._copy.acknowledge(asked.size_bytes)
        elif not await self.is_free():
            self.refuse("One copy at a time.")
        else:
            self._copy = Copy(self.service, self._lease_id, self.send_text, self.send_bytes)
            self.begin(self._copy.copy(asked))
