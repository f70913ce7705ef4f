"""What the doctor says of the network, for each way that it may have been chosen."""

import pytest

from educloud_lab.app.doctor.findings import Surroundings, Verdict
from educloud_lab.app.doctor.network import check_network
from educloud_lab.localcloud.network import choice
from educloud_lab.localcloud.network.choice import Choice

WORKS = Choice("netns", "tried: a packet went through")
FORBIDDEN = Choice("slirp", "tried: unshare failed: Operation not permitted")
NO_TUN = Choice("slirp", "tried: ip tuntap add dev euac104014 mode tap: open: Permission denied")
MISSING = Choice("slirp", "nftables not installed", missing=("nftables",))


@pytest.mark.parametrize(
    ("used", "possible", "verdict", "said"),
    [
        (None, WORKS, Verdict.OK, "netns (at the next start"),
        (WORKS, WORKS, Verdict.OK, "reach each other as their security groups say"),
        (WORKS, FORBIDDEN, Verdict.NOTE, "New here: tried: unshare failed"),
        (FORBIDDEN, FORBIDDEN, Verdict.NOTE, "seccomp"),
        (NO_TUN, NO_TUN, Verdict.NOTE, "chmod 0666"),
        (MISSING, MISSING, Verdict.NOTE, "sudo apt-get install nftables"),
        (MISSING, WORKS, Verdict.NOTE, "it is taken at the next start"),
        (Choice("slirp", "as set", "slirp"), WORKS, Verdict.OK, "each machine alone"),
        (Choice("netns", "tried", outbound=True), WORKS, Verdict.OK, "the outside is reached"),
    ],
)
async def test_the_choice_is_explained(tmp_path, monkeypatch, used, possible, verdict, said):
    async def choose(setting, *, outbound, living=frozenset()):
        assert (setting, outbound) == ("auto", used.outbound if used else False)
        return possible

    monkeypatch.setattr(choice, "choose", choose)
    monkeypatch.setattr(choice, "missing_packages", lambda *, outbound: possible.missing)
    if used is not None:
        (tmp_path / "cloud").mkdir()
        choice.remember(tmp_path / "cloud" / "network.json", used)
    found = await check_network(Surroundings(tmp_path))
    assert (found.name, found.verdict) == ("Network", verdict)
    assert said in f"{found.what} -> {found.todo}"
