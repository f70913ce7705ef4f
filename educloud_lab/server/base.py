"""What every route of ours inherits: refused unless allowed.

:class:`Guard` comes first in the bases of each handler and does all checks in ``prepare()``, before any verb, for
every method, whatever ``ServerApp.allow_unauthenticated_access`` says: signed in, from this site's own pages
(Host, Origin, Sec-Fetch, XSRF), authorised for ``auth_resource``, body small and JSON. The verbs carry
``@web.authenticated`` as well because Jupyter Server's own check of extensions looks for it.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from jupyter_core.utils import ensure_async
from jupyter_server.auth.utils import HTTP_METHOD_TO_AUTH_ACTION
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado import web

from educloud_lab.domain.errors import BadInputError, EducloudError
from educloud_lab.server.desk import SETTING, Desk
from educloud_lab.server.errors import refusal_of, status_of

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    Body = TypeVar("Body", bound=BaseModel)

MAX_BODY_BYTES = 64 * 1024
"""The largest request of ours is a few hundred bytes."""

LAST_ASKED = "educloud_last_activity"
"""Setting with the time of the latest request; Jupyter Server's own idle limit counts settings of such names."""

_MAX_LOGGED_CHARACTERS = 200


class Guard(JupyterHandler):
    """Mixin with all the checks; put it before the stock handler that it guards."""

    auth_resource = "educloud"
    auth_action: str | None = None
    """What is asked of the authorizer; None takes it from the method (read, write)."""

    _request_id: str | None = None

    @property
    def request_id(self) -> str:
        """A random name for this request, in the reply and in the log."""
        if self._request_id is None:
            self._request_id = secrets.token_hex(8)
        return self._request_id

    @property
    def desk(self) -> Desk:
        """Where the broker is."""
        desk: Desk = self.settings[SETTING]
        return desk

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        """Let only allowed requests through to the verbs."""
        self.settings[LAST_ASKED] = datetime.now(UTC)
        await super().prepare(*args, **kwargs)  # host, user, XSRF, origin: Jupyter Server's own checks
        if self._finished:  # an identity provider may have answered already (a redirect to its login page)
            return
        if self.current_user is None:
            raise web.HTTPError(403)
        self._check_exact_origin()
        self._check_fetch_metadata()
        self._check_body()
        action = self.auth_action or HTTP_METHOD_TO_AUTH_ACTION.get(str(self.request.method), "write")
        if not await ensure_async(self.authorizer.is_authorized(self, self.current_user, action, self.auth_resource)):
            raise web.HTTPError(403)

    def _check_exact_origin(self) -> None:
        """Refuse every foreign Origin that was not configured, also when a token came with it.

        Jupyter Server lets any Origin pass with a token; a token that leaked into an address would then serve
        every site.
        """
        origin = self.request.headers.get("Origin")
        if origin is None or self.allow_origin == "*":
            return
        origin = origin.lower()
        if urlsplit(origin).netloc == self.request.headers.get("Host", "").lower():
            return
        if self.allow_origin and origin == self.allow_origin.lower():
            return
        if self.allow_origin_pat and re.fullmatch(self.allow_origin_pat, origin):
            return
        raise web.HTTPError(403)

    def _check_fetch_metadata(self) -> None:
        """Refuse what a browser says comes from elsewhere, unless CORS was configured and allows its Origin.

        Programs send none of these headers. ``no-cors`` and navigations from other sites carry cookies but no
        readable Origin, which is how JupyterHub's CVE-2026-40864 got past the XSRF check.
        """
        site = self.request.headers.get("Sec-Fetch-Site", "").lower()
        if site in {"", "same-origin", "none"}:
            return
        mode = self.request.headers.get("Sec-Fetch-Mode", "").lower()
        if mode not in {"cors", "websocket"} or "Origin" not in self.request.headers:  # its value was checked above
            raise web.HTTPError(403)

    def _check_body(self) -> None:
        """Refuse bodies that are large or not JSON (a form of another site can send those without asking)."""
        if len(self.request.body) > MAX_BODY_BYTES:
            raise web.HTTPError(413)
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self.request.body and kind != "application/json":
            raise web.HTTPError(415)

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Log with the request id and without the address's query or the headers: those may hold tokens."""
        where = f"{self.request.method} {self.request.path[:_MAX_LOGGED_CHARACTERS]}"
        if isinstance(value, EducloudError):
            self.log.info("request %s: %s: %s: %s", self.request_id, where, value.code, value)
        elif isinstance(value, web.HTTPError):
            self.log.info("request %s: %s: refused with %d", self.request_id, where, value.status_code)
        else:
            self.log.error("request %s: %s failed", self.request_id, where, exc_info=value)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with the status of our table."""
        exc_info = kwargs.get("exc_info")
        if exc_info is not None and isinstance(exc_info[1], EducloudError):
            status_code = status_of(exc_info[1])
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write an ``ErrorReply``, never tornado's page."""
        from educloud_lab.wire.models import ErrorReply, Problem

        exc_info = kwargs.get("exc_info")
        refusal = refusal_of(exc_info[1] if exc_info else None, status_code)
        problem = Problem(code=refusal.code, what=refusal.what, kept=refusal.kept, next_step=refusal.next_step)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(ErrorReply(error=problem, request_id=self.request_id).model_dump_json())


class RestHandler(Guard, APIHandler):
    """A verb of ours: JSON in, JSON out."""

    def read_body(self, model: type[Body]) -> Body:
        """Return the request's body as one of the wire's shapes.

        Raises
        ------
        BadInputError
            It is not JSON, or a field is missing, unknown or out of bounds; says which.
        """
        from pydantic import ValidationError as Invalid

        try:
            return model.model_validate_json(self.request.body)
        except Invalid as error:
            raise BadInputError(
                f"The request is not a {model.__name__}: {faults_of(error)}.", kept="Nothing was changed."
            ) from error

    def reply(self, model: BaseModel) -> None:
        """Answer with one of the wire's shapes."""
        self.set_header("Cache-Control", "no-store")
        self.finish(model.model_dump_json())


def faults_of(error: ValidationError) -> str:
    """Return which fields are wrong and why, for people."""
    # The value itself is left out: it may be long, and it comes back to whoever sent it only.
    faults = "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'body'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)[:5]
    )
    return faults[:1000]
