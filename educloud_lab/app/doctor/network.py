"""The doctor on the machines' network: which driver is used, why, and what another one would need."""

from __future__ import annotations

from educloud_lab.app.doctor.findings import Finding, Surroundings, note, ok

_NAME = "Network"
_ALONE = "each machine alone, reached through the gateway"
_TOGETHER = "machines reach each other as their security groups say"


async def check_network(where: Surroundings) -> Finding:
    """Try what the better driver needs; say what is in use, and why."""
    from educloud_lab.localcloud.network.choice import AUTO, NETNS, SLIRP, choose, missing_packages, recall
    from educloud_lab.localcloud.settings import Folders

    used = recall(Folders(where.home).cloud / "network.json")
    outbound = used.outbound if used else False
    possible = await choose(AUTO, outbound=outbound)
    driver, reason = (used.driver, used.reason) if used else (possible.driver, f"at the next start; {possible.reason}")
    outside = "the outside is reached" if outbound else "nothing outside is reached"
    said = f"driver {driver} ({reason}): {_TOGETHER if driver == NETNS else _ALONE}; {outside}"
    if driver == NETNS:
        return ok(_NAME, said) if possible.driver == NETNS else note(_NAME, said, f"New here: {possible.reason}.")
    if used is not None and used.setting == SLIRP:
        return ok(_NAME, said)
    if possible.driver == NETNS:
        todo = "netns works here now: it is taken at the next start of the cloud when no machine runs."
        return ok(_NAME, said) if used is None else note(_NAME, said, todo)
    missing = missing_packages(outbound=outbound)
    if missing:
        return note(_NAME, said, f"For machines that reach each other: sudo apt-get install {' '.join(missing)}")
    return note(_NAME, f"{said}. netns: {possible.reason}", _advice(possible.reason))


def _advice(reason: str) -> str:
    if "/dev/net/tun" in reason or "tuntap" in reason:
        return "For machines that reach each other your user has to open /dev/net/tun (chmod 0666, as udev has it)."
    return (
        "For machines that reach each other user namespaces have to be allowed: in a container usually by its seccomp"
        " profile, on Ubuntu 24.04 by sysctl kernel.apparmor_restrict_unprivileged_userns=0. A lab needs none of it."
    )
