"""How patient the broker is: every period and limit in one place, in seconds unless the name says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from educloud_lab.ports.store import Rate

# Nothing throttles a client on Eucalyptus (SAFETY.md, E5), whose front end serves everybody: so we do.
REMOTE_RATES: Final[Mapping[str, Rate]] = {
    "all": Rate(8.0, 16.0),
    "other": Rate(2.0, 4.0),
    "DescribeInstances": Rate(2.0, 4.0),
    "DescribeVolumes": Rate(2.0, 4.0),
    "RunInstances": Rate(2.0, 5.0),
    "StartInstances": Rate(2.0, 5.0),
    "StopInstances": Rate(3.0, 6.0),
    "TerminateInstances": Rate(3.0, 6.0),
    "CreateVolume": Rate(2.0, 5.0),
    "AttachVolume": Rate(2.0, 5.0),
    "DetachVolume": Rate(3.0, 6.0),
    "CreateTags": Rate(4.0, 8.0),
}
_FAST = Rate(10.0, 20.0)
LOCAL_RATES: Final[Mapping[str, Rate]] = {"all": Rate(40.0, 80.0), "other": _FAST}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """Periods and limits of one broker.

    ``claim_s`` must be well above ``heartbeat_s``, or a healthy broker loses its own jobs.
    """

    cloud_kind: Literal["local", "remote"] = "local"
    cloud_name: str = "local cloud"
    tick_s: float = 1.0  # how often due jobs are looked for; claims of a dead broker are found this fast
    busy_poll_s: float = 0.3  # between looks at the cloud while something is in flight
    watched_poll_s: float = 15.0  # while somebody watches
    idle_poll_s: float = 60.0  # otherwise
    unseen_poll_s: float = 5.0  # looking again while the cloud cannot be seen
    version_poll_s: float = 0.4  # how soon changes by another process are seen
    claim_s: float = 10.0
    heartbeat_s: float = 3.0
    backoff_first_s: float = 1.0
    backoff_most_s: float = 30.0
    limited_retries: int = 6  # for errors that may pass but should not be repeated for ever
    workers: int = 32
    connect_retry_s: float = 0.25
    connect_hedge_s: float = 8.0  # an attempt that takes longer is joined by another one
    connect_attempts: int = 3  # at once
    connect_timeout_s: float = 20.0
    launch_limit_s: float = 600.0  # pending for ever is said after this
    contact_limit_s: float = 300.0  # from the address to the first SSH connection
    attach_limit_s: float = 120.0
    volume_limit_s: float = 300.0
    stop_limit_s: float = 300.0
    stop_contact_limit_s: float = 60.0  # an unreachable machine is then stopped by its power button
    login_refused_limit_s: float = 30.0  # a guest corrects its clock every 10 s
    silent_attach_looks: int = 3  # looks without the attachment before it is asked for again
    silent_attach_s: float = 5.0
    absences: int = 3  # consistent looks before "not seen" is believed (I5)
    absence_s: float = 90.0  # and over at least so long: a cloud may lag by a minute
    create_absence_s: float = 6.0  # the same for a volume whose create call had no answer
    token_lifetime_s: float = 1800.0  # an older ClientToken is looked up, never sent
    orphan_first_s: float = 10.0  # between sweeps for orphans after a start of the broker, and while one is ended
    orphan_first_sweeps: int = 20
    orphan_s: float = 120.0  # afterwards
    orphan_looks: int = 3  # consistent looks before something counts as nobody's
    orphan_age_s: float = 30.0  # and over at least so long: what is being made is recorded by then
    orphan_grace_s: float = 1800.0  # from the first report to the end (instances) or the quarantine (volumes)
    orphans_at_once: int = 5  # instances that are being ended at the same time
    orphans_halt: int = 10  # more than this in a day, and more than the next share of what is known: a person decides
    orphans_halt_share: float = 0.2
    rates: Mapping[str, Rate] | None = None  # calls to the cloud by operation, "all" for all; None: by cloud_kind
    say_pace_s: float = 2.0  # a call that waits longer for its turn says so
    room_s: float = 30.0  # between two questions whether there is room again, for each zone and instance type
    room_jitter_s: float = 6.0  # added to it at random
    park_s: float = 600.0  # those behind the head of a queue look again after this, though nobody called them
    sweep_s: float = 15.0  # the records are gone through at least so often, though nothing in them changed
    activity_s: float = 30.0  # a lease's row is written at most so often for activity alone
    load_probe_s: float = 60.0  # between questions to a machine whether it works, when an idle warning comes near
    load_per_core: float = 0.5  # load average from which on a machine works
    processor_share: float = 0.05  # of one core, used by its people's programs between two questions
    guard_grace_s: float = 900.0  # a machine's own timer fires so long after the hard limit
    guard_slack_s: float = 120.0  # a smaller difference is not worth arming it anew
    bin_s: float = 7 * 86400.0  # a discarded data volume is kept for so long
    freeze_s: float = 10.0  # a file system that is frozen for a snapshot thaws by itself after this
    freeze_contact_limit_s: float = 20.0  # a machine that does not answer for so long is not waited for
    restore_limit_s: float = 3600.0  # a volume is copied from a snapshot
    upkeep_s: float = 15.0  # between looks through bin and snapshots
    record_calls: bool = True  # what jobs call is kept for "What just happened"
    keep_calls: int = 20  # of so many of a lease's latest jobs
    forget_calls_s: float = 600.0  # between two times that older ones are forgotten
    grant_s: float = 600.0
    grant_skew_s: float = 60.0
    ssh_port: int = 22

    def rate_of(self, operation: str) -> Rate:
        """Return how fast an operation may be called; "all" is what holds for all together."""
        rates = self.rates or (LOCAL_RATES if self.cloud_kind == "local" else REMOTE_RATES)
        return rates.get(operation) or rates.get("other") or _FAST

    def __post_init__(self) -> None:
        """Refuse combinations that cannot work."""
        if self.claim_s < 2 * self.heartbeat_s:
            msg = "claim_s must be at least twice heartbeat_s"
            raise ValueError(msg)
