"""The way to a server: what httpx is given, and what its answers mean. The same for both clients."""

from __future__ import annotations

from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from educloud_lab.client import headless
from educloud_lab.client.errors import ServerUnreachableError, error_of
from educloud_lab.client.find import Server
from educloud_lab.client.plans import Ask
from educloud_lab.wire import models as wire

PREFIX = "educloud/api/v1/"


def options(server: Server, timeout_s: float) -> dict[str, Any]:
    """Return what an httpx client is made with, but its transport."""
    headers = {"Authorization": f"token {server.token}"} if server.token else {}
    # trust_env=False: a proxy of the environment knows nothing of our loopback, and must not see tokens.
    return {"base_url": server.url + PREFIX, "headers": headers, "timeout": timeout_s, "trust_env": False}


def sent(ask: Ask[Any]) -> dict[str, Any]:
    """Return a request as httpx takes it."""
    request: dict[str, Any] = {"method": ask.method, "url": ask.path}
    if ask.body is not None:
        request |= {"content": ask.body.model_dump_json(), "headers": {"Content-Type": "application/json"}}
    return request


def read(server: Server, ask: Ask[Any], answer: httpx.Response) -> BaseModel | None:
    """Return the answer as the wire model that belongs to the request.

    Raises
    ------
    EducloudError
        The server refused, or the answer is none of ours.
    """
    if not answer.is_success:
        try:
            problem = wire.ErrorReply.model_validate_json(answer.content).error
        except ValidationError:
            raise _not_ours(server, answer) from None  # its words quote the answer
        raise error_of(problem.code, problem.what, problem.kept, problem.next_step)
    if ask.reply is type(None):
        return None
    try:
        found: BaseModel = ask.reply.model_validate_json(answer.content)
    except ValidationError:
        raise _not_ours(server, answer) from None
    return found


def started_again(server: Server, ask: Ask[Any], error: httpx.HTTPError) -> Server | None:
    """Return a broker for scripts in place of one that has ended, as it does when it was not asked for a while.

    None where nothing of the kind helps: it is a Jupyter server's, or the request may have been received and is not
    only a question.
    """
    lost = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) and ask.method == "GET"
    if server.log is None or not (lost or isinstance(error, httpx.ConnectError)):
        return None
    return headless.ensure()


def in_its_place(server: Server, answer: httpx.Response) -> Server | None:
    """Return the broker for scripts that refused in place of the one that was meant; None when it is still that one.

    It listens on the same socket and knows another token: another script started it when the first one had ended.
    """
    if server.log is None or answer.status_code not in {401, 403}:
        return None
    found = headless.find_running()
    return found if found != server else None


def _not_ours(server: Server, answer: httpx.Response) -> ServerUnreachableError:
    return ServerUnreachableError(
        f"What {server.name} answered is none of our answers (HTTP {answer.status_code}).",
        next_step="Install the same version of educloud-lab beside the server and beside the kernel, then"
        " restart the server, not the kernel.",
        server=server,
    )
