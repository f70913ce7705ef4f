"""What a kernel may ask about itself: what the notebook that it runs for says that its lab needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from tornado import web

from educloud_lab.domain.errors import BadInputError, ConflictError, NotFoundError
from educloud_lab.server.base import RestHandler

if TYPE_CHECKING:
    from educloud_lab.wire import models as wire

METADATA = "educloud"
_NAME_IT = "Or name the lab from Python."


class KernelNeedsHandler(RestHandler):
    """``GET kernels/<id>/needs``.

    The session says which notebook it is, also after a rename; the contents manager reads it, whatever it is kept in.
    """

    @web.authenticated
    async def get(self, kernel_id: str) -> None:
        """Answer with the notebook's ``metadata.educloud``, as it was last saved."""
        self.reply(self._agreed([await self._needs_in(path) for path in await self._notebooks_of(kernel_id)]))

    async def _notebooks_of(self, kernel_id: str) -> list[str]:
        manager: Any = self.session_manager  # Jupyter Server's own managers have no types
        sessions: list[dict[str, Any]] = await ensure_async(manager.list_sessions())
        paths = {
            str(session["path"])
            for session in sessions
            if session.get("type") == "notebook" and (session.get("kernel") or {}).get("id") == kernel_id
        }
        if not paths:
            raise NotFoundError(
                "No notebook of this Jupyter server uses that kernel.", next_step=f"Run this in a notebook. {_NAME_IT}"
            )
        return sorted(paths)

    async def _needs_in(self, path: str) -> wire.LabNeeds:
        from pydantic import ValidationError

        from educloud_lab.wire.models import LabNeeds

        manager: Any = self.contents_manager
        try:
            found = await ensure_async(manager.get(path, type="notebook", content=True))
            said = found["content"]["metadata"].get(METADATA)
        except (web.HTTPError, OSError, KeyError, TypeError, AttributeError) as error:
            raise NotFoundError(
                "The notebook of that kernel cannot be read.", next_step=f"Save it, then try again. {_NAME_IT}"
            ) from error
        if said is None:
            raise BadInputError(
                "This notebook does not say which lab it is about.",
                next_step=f"Its metadata says so under 'educloud'; save it after it was written there. {_NAME_IT}",
            )
        try:
            return LabNeeds.model_validate(said)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(str(part) for part in fault['loc']) or METADATA}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_context=False, include_input=False)[:5]
            )
            raise BadInputError(
                f"What this notebook says about its lab cannot be understood: {faults[:1000]}.",
                next_step=f"`educloud lab check` says what is wrong. {_NAME_IT}",
            ) from error

    def _agreed(self, found: list[wire.LabNeeds]) -> wire.LabNeeds:
        first, *others = found
        if any(other != first for other in others):
            raise ConflictError("Several notebooks of different labs use this kernel.", next_step=_NAME_IT)
        return first
