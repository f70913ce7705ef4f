"""The HTTP front of the local cloud: one handler for every service path."""

from __future__ import annotations

import logging
import re
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

from aiohttp import web

from educloud_lab.localcloud import metrics
from educloud_lab.localcloud.accounts import Accounts
from educloud_lab.localcloud.api import identity
from educloud_lab.localcloud.api.sigv4 import SignedRequest, verify
from educloud_lab.localcloud.cloud import Caller, Cloud, system_now
from educloud_lab.localcloud.errors import ApiError, AuthError, BindError
from educloud_lab.localcloud.faults import admin
from educloud_lab.localcloud.faults.door import ConnectionCut
from educloud_lab.localcloud.model.scalars import escape
from educloud_lab.localcloud.operations.perform import perform
from educloud_lab.localcloud.tracing import on_behalf_of

log = logging.getLogger("educloud.cloud.api")

MAX_BODY_BYTES = 512 << 10
COMPUTE_PATHS = ("/services/compute", "/services/Eucalyptus", "/")
IAM_PATH = "/services/Euare"
STS_PATH = "/services/Tokens"
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
PING_PATH = "/services/ping"


@dataclass(slots=True)
class _Watched:
    """What is counted of a request."""

    request_id: str
    action: str = "?"
    outcome: str = "InternalFailure"


class Api:
    """Answers signed requests for one cloud.

    Parameters
    ----------
    now : the time by which signatures are checked; default the computer's, whatever the cloud's own clock says.
    """

    def __init__(self, cloud: Cloud, accounts: Accounts, now: Callable[[], datetime] | None = None) -> None:
        self.cloud = cloud
        self.accounts = accounts
        self.metrics = metrics.Metrics(cloud)
        self._now = now or system_now
        # A starter asks for this to be sure that it reached the process that it started, not another cloud.
        self.boot_id = secrets.token_hex(8)

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_get(PING_PATH, self._ping)
        for path in COMPUTE_PATHS:
            self._route(application, path, self._compute)
        self._route(application, IAM_PATH, self._iam)
        self._route(application, STS_PATH, self._sts)
        self._route(application, admin.PATH, self._faults)
        self._route(application, metrics.PATH, self._metrics)
        application.router.add_route("*", "/{rest:.*}", self._nowhere)
        return application

    def _route(
        self, application: web.Application, path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> None:
        for variant in {path, path.rstrip("/") + "/"}:
            application.router.add_post(variant, handler)
            application.router.add_get(variant, handler, allow_head=False)

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.json_response({"cloud": "educloud", "boot_id": self.boot_id})

    async def _nowhere(self, request: web.Request) -> web.Response:
        return _plain(404, "404 Not Found", f"No service at {request.path[:200]}")

    async def _compute(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "compute")

    async def _iam(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "iam")

    async def _sts(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "sts")

    async def _faults(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "faults")

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "metrics")

    async def _answer(self, request: web.Request, service: str) -> web.Response:
        """Answer one request, and see to it that all that it causes names it."""
        begun_s, watched = time.perf_counter(), _Watched(str(uuid.uuid4()))
        with on_behalf_of(watched.request_id):
            try:
                return await self._answered(request, service, watched)
            finally:
                self.metrics.request(
                    self._label(service, watched.action), watched.outcome, time.perf_counter() - begun_s
                )

    def _label(self, service: str, action: str) -> str:
        """Return the action where there is one of that name: callers must not make up labels."""
        known = action in self.cloud.model.operations or action in identity.ACTIONS or action in admin.ACTIONS
        return service if service == "metrics" else action if known else "unknown"

    async def _answered(self, request: web.Request, service: str, watched: _Watched) -> web.Response:
        request_id, action = watched.request_id, "?"
        try:
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                watched.outcome = "TooLarge"
                return _plain(413, "413 Request Entity Too Large", "The request is too large")
            except (web.RequestPayloadError, ConnectionError):
                watched.outcome = "BadRequest"
                return _plain(400, "400 Bad Request", "The request cannot be read")
            query = tuple(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True, max_num_fields=2000))
            form = tuple(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=2000))
            signed = SignedRequest(request.method, request.rel_url.raw_path, query, _headers(request), body)
            account = verify(signed, self.accounts, self._time(service), self.cloud.model.behaviour.skew_s)
            caller = Caller(account, request_id, f"{request.scheme}://{request.host}")
            parameters = dict((*query, *form))
            action = watched.action = parameters.get("Action", "")
            if service == "metrics":
                response = await self._exposed(caller)
                watched.outcome = "ok"
                return response
            text = await self._perform(service, action, caller, parameters)
            # Brokers look every few seconds: that they did is not news.
            level = logging.DEBUG if action.startswith("Describe") else logging.INFO
            log.log(level, "%s %s %s: ok", request_id, account.name, _safe(action))
            watched.outcome = "ok"
            return web.Response(text=text, content_type="application/xml", charset="utf-8")
        except ConnectionCut:
            watched.outcome = "cut"
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)  # nobody gets it
        except AuthError as error:
            log.info("%s refused: %s", request_id, error)
            watched.outcome = "AuthFailure"
            if service == "metrics":
                return _plain(403, "403 Forbidden", str(error))
            if (refusal := self.cloud.model.behaviour.refusal(error)) is not None:
                return _service_error(refusal, request_id)
            return _plain(403, "403 Forbidden", str(error))
        except BindError as error:
            watched.outcome = "BadRequest"
            # Names only: values may be user data.
            log.info("%s %s: cannot bind %s", request_id, _safe(action), _safe(", ".join(error.names)))
            return _plain(400, "400 Bad Request", error.message)
        except (UnicodeDecodeError, ValueError) as error:
            watched.outcome = "BadRequest"
            log.info("%s %s: unreadable request (%s)", request_id, _safe(action), type(error).__name__)
            return _plain(400, "400 Bad Request", "The request cannot be read")
        except ApiError as error:
            watched.outcome = error.code.strip()
            log.info("%s %s: %d %s", request_id, _safe(action), error.status, error.code.strip())
            return _service_error(error, request_id)
        except Exception:  # a bug of ours: the caller gets no internals, the log gets everything
            log.exception("%s %s failed", request_id, _safe(action))
            return _service_error(ApiError("InternalFailure", "An internal error occurred", 500), request_id)

    async def _exposed(self, caller: Caller) -> web.Response:
        if not caller.account.is_administrator:
            raise ApiError("UnauthorizedOperation", "You are not authorized to perform this operation.", 403)
        return web.Response(body=await self.metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _perform(self, service: str, action: str, caller: Caller, parameters: dict[str, str]) -> str:
        """Carry out a request, with what faults do to it on its way in and out."""
        if service == "faults":
            return await admin.answer(self.cloud.faults, self.accounts, caller, parameters)
        passage = await self.cloud.faults.enter(caller, action, parameters)
        text = await self._dispatch(service, action, caller, parameters)
        return text if passage is None else await passage.leave(text)

    def _time(self, service: str) -> datetime:
        """Return the time that signatures are checked by; no fault locks the administrator out of ending it."""
        now = self._now()
        return now if service in ("faults", "metrics") else self.cloud.faults.api_now(now)

    async def _dispatch(self, service: str, action: str, caller: Caller, parameters: dict[str, str]) -> str:
        if service in ("iam", "sts") or action in identity.ACTIONS:
            return identity.answer(action, caller, parameters)
        cloud = self.cloud.faults.seen_by(caller, action)
        operation, answer = await perform(cloud, caller, action, parameters)
        version = parameters.get("Version", "")
        if not _VERSION.fullmatch(version):  # it becomes part of a namespace, which not every text may be
            version = self.cloud.model.default_version
        return self.cloud.model.render(operation, answer, version, caller.request_id)


def _headers(request: web.Request) -> dict[str, tuple[str, ...]]:
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    return {name: tuple(values) for name, values in headers.items()}


def _safe(text: str) -> str:
    """Keep a caller's text from forging log lines."""
    return "".join(c if c.isprintable() else "?" for c in text[:120])


def error_xml(code: str, message: str, request_id: str) -> str:
    """Return Eucalyptus's error document, in no namespace."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Response><Errors><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error></Errors>"
        f"<RequestID>{escape(request_id)}</RequestID></Response>"
    )


def _service_error(error: ApiError, request_id: str) -> web.Response:
    return web.Response(
        status=error.status, text=error_xml(error.code, error.message, request_id), content_type="application/xml"
    )


def _plain(status: int, code: str, message: str) -> web.Response:
    # Eucalyptus's transport layer repeats the message as the request's id and calls XML plain text.
    return web.Response(status=status, text=error_xml(code, message, message), content_type="text/plain")
