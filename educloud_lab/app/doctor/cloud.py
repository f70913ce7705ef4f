"""The doctor at the local cloud: ports, the signed API, the gateway."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from educloud_lab.app.doctor.findings import Finding, Surroundings, fail, note, ok

_START = "Start it: educloud cloud start"
_LIMIT_S = 5.0


def _announcement(where: Surroundings) -> dict[str, Any] | None:
    path = where.home / "cloud" / "cloud.json"
    try:
        loaded = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return loaded if isinstance(loaded, dict) else None


async def check_cloud(where: Surroundings) -> Finding:
    """The local cloud answers a signed request; when it is not running, its port is free."""
    from educloud_lab.adapters.ec2.cloud import Ec2Cloud
    from educloud_lab.adapters.ec2.session import Endpoint
    from educloud_lab.domain.errors import CloudError
    from educloud_lab.localcloud.settings import DEFAULT_PORT

    announced = _announcement(where)
    if announced is None:
        with socket.socket() as probe:
            # As the cloud itself binds: connections that have just ended do not make a port taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", DEFAULT_PORT))
                probe.listen()
            except OSError:
                return note(
                    "Local cloud",
                    f"not started, and port {DEFAULT_PORT} is taken by another program; another port will be used",
                    _START,
                )
        return note("Local cloud", f"not started; port {DEFAULT_PORT} is free", _START)
    try:
        keys = json.loads((where.home / "cloud" / "credentials.json").read_text("utf-8"))["accounts"]["educloud"]
        endpoint = Endpoint(announced["endpoint_url"], keys["access_key"], keys["secret_key"])
    except (OSError, ValueError, KeyError) as exc:
        return fail("Local cloud", f"its files under {where.home / 'cloud'} are incomplete ({exc})", _START)
    cloud = Ec2Cloud(endpoint)
    try:
        images = await cloud.images()
    except CloudError as exc:
        return fail("Local cloud", f"{endpoint.url} does not answer as it should: {exc.what}", _START)
    finally:
        cloud.close()
    if not images:
        return fail(
            "Local cloud", f"{endpoint.url} answers but has no image", "educloud cloud image build, then start it again"
        )
    return ok("Local cloud", f"{endpoint.url} answers signed requests; images: " + ", ".join(i.name for i in images))


async def check_faults(where: Surroundings) -> Finding:
    """Nothing fails on purpose."""
    from educloud_lab.localcloud.faults.warning import active_faults, warning
    from educloud_lab.localcloud.settings import Folders

    on_purpose = warning(active_faults(Folders(where.home).state))
    if on_purpose:
        return note("Faults", on_purpose, "educloud cloud fault clear --all")
    return ok("Faults", "none are set on purpose")


async def check_gateway(where: Surroundings) -> Finding:
    """The gateway speaks SSH and is the one that was announced."""
    announced = _announcement(where)
    gateway = (announced or {}).get("gateway")
    if not isinstance(gateway, dict) or not gateway.get("port"):
        return note("Gateway", "not started (it starts with the local cloud)", _START)
    host, port = str(gateway.get("host", "127.0.0.1")), int(gateway["port"])
    try:
        async with asyncio.timeout(_LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            banner = await reader.readline()
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError) as exc:
        return fail("Gateway", f"{host}:{port} does not answer ({str(exc) or 'no greeting in time'})", _START)
    if not banner.startswith(b"SSH-2.0"):
        return fail("Gateway", f"something else than the gateway answers at {host}:{port}", _START)
    return ok("Gateway", f"{host}:{port} speaks SSH")
