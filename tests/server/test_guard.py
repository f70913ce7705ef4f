"""Every route of the table is refused unless allowed, and nothing is served that is not in the table."""

from __future__ import annotations

import inspect
import re

import pytest
from jupyter_server.auth.authorizer import Authorizer
from tornado.web import RequestHandler

from educloud_lab.domain import errors
from educloud_lab.server import errors as server_errors
from educloud_lab.server.base import Guard
from educloud_lab.server.routes import PREFIX, ROUTES, below, rules
from educloud_lab.server.terminals import terminal_routes

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PROBES = [(route, method) for route in ROUTES for method in METHODS]


def path_of(route):
    return re.sub(r"\{\w+\}", "l-x-main", route.path)


def action_of(route):
    """What has to be allowed: a websocket that runs commands is opened by a GET and reads nothing."""
    return route.handler.auth_action or ("read" if route.method == "GET" else "write")


def ids(value):
    return value if isinstance(value, str) else value.path


class Recording(Authorizer):
    """Denies what it is told to."""

    asked: list[tuple[str, str]]
    denied: set[str]

    def is_authorized(self, handler, user, action, resource):
        self.asked.append((action, resource))
        return action not in self.denied


@pytest.fixture
def authorizer(server):
    made = Recording(parent=server, identity_provider=server.identity_provider)
    made.asked, made.denied = [], set()
    server.web_app.settings["authorizer"] = made
    return made


@pytest.mark.parametrize(("route", "method"), PROBES, ids=ids)
async def test_not_signed_in(call, broker, route, method):
    status, reply, _ = await call.raw(method, path_of(route), signed_in=False)
    assert status in {401, 403}
    assert broker.calls == []
    if method != "HEAD":
        assert reply["error"]["code"] == f"http-{status}"


@pytest.mark.parametrize(("route", "method"), [p for p in PROBES if p[1] not in {"GET", "HEAD", "OPTIONS"}], ids=ids)
async def test_a_cookie_without_the_right_xsrf_token(call, broker, route, method, monkeypatch, server):
    """The identity comes from a cookie, as in a browser: then XSRF is checked."""
    provider = server.identity_provider
    monkeypatch.setattr(type(provider), "is_token_authenticated", lambda *_: False)
    for headers in ({}, {"Cookie": "_xsrf=one", "X-XSRFToken": "two"}):
        status, _, _ = await call.raw(method, path_of(route), b"{}", headers=headers)
        assert status == 403, headers
    assert broker.calls == []


async def test_a_cookie_with_the_right_xsrf_token_is_served(call, monkeypatch, server):
    monkeypatch.setattr(type(server.identity_provider), "is_token_authenticated", lambda *_: False)
    status, _, _ = await call(
        "POST",
        "leases",
        {"lab": "x", "machine_profile": "tiny"},
        headers={"Cookie": "_xsrf=one", "X-XSRFToken": "one"},
    )
    assert status == 200


@pytest.mark.parametrize("route", ROUTES, ids=ids)
async def test_not_authorised(call, broker, authorizer, route):
    authorizer.denied = {"read", "write", "execute"}
    status, _, _ = await call.raw(route.method, path_of(route), b"{}" if route.method == "POST" else b"")
    assert status == 403
    assert authorizer.asked[-1] == (action_of(route), "educloud")
    assert broker.calls == []


@pytest.mark.parametrize("route", ROUTES, ids=ids)
async def test_a_reader_may_look_and_not_touch(call, broker, authorizer, route):
    authorizer.denied = {"write", "execute"}
    status, _, _ = await call.raw(route.method, path_of(route), b"{}" if route.method == "POST" else b"")
    assert (status == 403) == (action_of(route) != "read")


@pytest.mark.parametrize("route", ROUTES, ids=ids)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": "https://evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
async def test_a_request_made_by_another_sites_page(call, broker, route, headers):
    body = b"{}" if route.method == "POST" else b""
    status, _, _ = await call.raw(route.method, path_of(route), body, headers=headers)
    assert status in {403, 404}
    assert broker.calls == []


async def test_this_servers_own_page_is_served(call, http_server_client):
    own = http_server_client.get_url("")
    headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": own}
    assert (await call("GET", "hello", headers=headers))[0] == 200


OTHERS = [(r, m) for r, m in PROBES if m != r.method and (m != "OPTIONS" or r.websocket)]


@pytest.mark.parametrize(("route", "method"), OTHERS, ids=ids)
async def test_other_methods_do_not_exist(call, broker, route, method):
    status, _, _ = await call.raw(method, path_of(route))
    assert status == 405
    assert broker.calls == []


def registered(server):
    """All rules of the running application whose handler or address is ours."""
    found = []
    for outer in server.web_app.default_router.rules:
        for rule in getattr(outer.target, "rules", []):
            pattern = getattr(getattr(rule.matcher, "regex", None), "pattern", "")
            handler = rule.target
            if "educloud" in pattern or (inspect.isclass(handler) and handler.__module__.startswith("educloud_lab")):
                found.append((pattern.rstrip("$"), handler))
    return found


TERMINALS = terminal_routes(None)


async def test_nothing_is_registered_that_is_not_in_the_tables(server, base_url):
    declared = {(pattern, handler) for pattern, handler, _ in [*rules(base_url), *below(base_url, TERMINALS)]}
    assert set(registered(server)) == declared
    assert len(declared) == len(ROUTES) + len(TERMINALS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("route", TERMINALS, ids=lambda route: route[0])
async def test_terminals_not_signed_in(call, broker, route, method):
    path = re.sub(r"\(.*\)", "vm-x", route[0]).removeprefix("educloud/")
    status, _, _ = await call.raw(method, f"../../{path}", signed_in=False)
    # Stock handlers name their methods, and tornado refuses the others before anybody is asked for.
    assert status in ({401, 403} if method in route[1].SUPPORTED_METHODS else {405})
    assert broker.calls == []


def test_every_handler_of_the_table_is_guarded_first():
    for route in ROUTES:
        assert issubclass(route.handler, Guard), route
        assert route.handler.prepare is Guard.prepare, f"{route.path}: prepare() was replaced"
        assert route.handler.auth_resource == "educloud"
        verbs = {m for m in METHODS if getattr(route.handler, m.lower()) is not RequestHandler._unimplemented_method}
        assert verbs - {"OPTIONS"} == {route.method}, f"{route.path} answers to a method that is not in the table"


def test_addresses_begin_with_the_versioned_prefix():
    assert PREFIX == "educloud/api/v1/"
    assert rules("/a+b/")[0][0].startswith("/a\\+b/educloud/api/v1/")
    assert rules("/")[0][0].startswith("/educloud/api/v1/")


def tree(kind):
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def test_every_error_of_the_tree_has_a_status():
    ours = {kind for kind in tree(errors.EducloudError) if kind.__module__ == errors.__name__}
    assert ours == set(server_errors.STATUS)
    assert len(ours) > 20


def test_codes_of_errors_differ():
    codes = [kind.code for kind in server_errors.STATUS]
    assert len(codes) == len(set(codes))


def test_a_child_made_elsewhere_takes_its_parents_status():
    class Elsewhere(errors.VolumeBusyError):
        pass

    assert server_errors.status_of(Elsewhere("x")) == 409
