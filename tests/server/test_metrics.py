"""What is left over is among the Jupyter server's figures."""

import re

import pytest

from educloud_lab.broker.oversight import Figures
from educloud_lab.server.metrics import show


@pytest.fixture
def base_url():
    return "/user/ann/"  # Jupyter Server's own routes do not take every sign that is possible there


async def test_figures_stand_beside_the_servers_own(server, http_server_client, base_url, call):
    figures = []
    show(lambda: figures[-1] if figures else None)

    async def read():
        reply = await http_server_client.fetch(
            base_url + "metrics", headers={"Authorization": f"token {call.token}"}, raise_error=False
        )
        assert reply.code == 200
        return dict(re.findall(r"^(educloud_\w+) (\S+)$", reply.body.decode(), re.M))

    assert set((await read()).values()) == {"NaN"}
    figures.append(Figures(orphans=3, ended=2, quarantined=1, halted=True, oldest_intent_s=61.5, swept_at=None))
    assert await read() == {
        "educloud_orphans": "3.0",
        "educloud_orphans_ended": "2.0",
        "educloud_orphans_quarantined": "1.0",
        "educloud_orphans_halted": "1.0",
        "educloud_oldest_intent_seconds": "61.5",
    }
