"""``educloud keep``, ``busy`` and ``exempt``: limits on time, from a terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from traitlets import Bool, Unicode

from educloud_lab.app.asking import AskingCommand, find_lease
from educloud_lab.app.command import NOT_UNDERSTOOD, complain, out

if TYPE_CHECKING:
    from educloud_lab.client.client import Client
    from educloud_lab.wire import models as wire

_SPAN = re.compile(r"(?:(?P<d>\d{1,3})d)?(?:(?P<h>\d{1,4})h)?(?:(?P<m>\d{1,5})m(?:in)?)?", re.ASCII)


def when(text: str, now: datetime) -> datetime | None:
    """Read a time span (``90m``, ``2h30m``, ``3d``), a time of day or a date with a time, in the computer's own zone.

    Returns None when it is none of these. A time of day that is over today is tomorrow's.
    """
    text = text.strip()
    found = _SPAN.fullmatch(text)
    if found is not None and text:
        days, hours, minutes = (int(found[name] or 0) for name in "dhm")
        return now + timedelta(days=days, hours=hours, minutes=minutes)
    here = now.astimezone()
    if re.fullmatch(r"\d{1,2}:\d{2}", text, re.ASCII):
        hour, minute = (int(part) for part in text.split(":"))
        if hour > 23 or minute > 59:
            return None
        at = here.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return (at if at > here else at + timedelta(days=1)).astimezone(UTC)
    try:
        # Without a zone it is meant as the computer's own.
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class LeaseCommand(AskingCommand):
    """What the commands on leases share: they name machines, and ask the Jupyter server for each."""

    def do(self, client: Client, lease: wire.Lease, now: datetime) -> wire.Lease:
        """Ask for it."""
        raise NotImplementedError

    def told(self, lease: wire.Lease) -> str:
        """Return what is so now, for people."""
        raise NotImplementedError

    def check(self, now: datetime) -> str:
        """Return what is wrong with the options, '' when nothing is."""
        del now
        return ""

    def start(self) -> None:
        """Do it for each machine that was named; exits with 1 when one of them could not be done."""
        wrong = "" if self.extra_args else "name a machine: its lab, or the id that `educloud status --json` shows."
        wrong = wrong or self.check(datetime.now(UTC))
        if wrong:
            complain(f"{self.typed}: {wrong} Nothing was done. See --help.")
            self.exit(NOT_UNDERSTOOD)
        super().start()

    def ask(self, client: Client) -> None:
        """Do it for each; what one is refused does not keep the others from it."""
        from educloud_lab.domain.errors import EducloudError

        failed = False
        snapshot = client.settled()
        for lease in [find_lease(snapshot, wanted) for wanted in self.extra_args]:
            try:
                lease = self.do(client, lease, snapshot.server_time)
                out(f"{lease.lab}: {self.told(lease)}")
            except EducloudError as error:
                complain(f"{self.typed}: {lease.lab}: {error}")
                failed = True
        if failed:
            self.exit(1)


def _clock(at: datetime) -> str:
    here = at.astimezone()
    today = here.date() == datetime.now(UTC).astimezone().date()
    return f"{here:%H:%M}" if today else f"{here:%Y-%m-%d %H:%M}"


class KeepApp(LeaseCommand):
    """Give machines their full time again."""

    name = "educloud-keep"
    description = """Give running machines their full time again, from now.

    LEASE is a lab's name, or an id of `educloud status --json`."""
    examples = "educloud keep 01-your-first-machine"

    def do(self, client: Client, lease: wire.Lease, now: datetime) -> wire.Lease:
        """Keep it."""
        return client.extend(lease.id)

    def told(self, lease: wire.Lease) -> str:
        """Say until when."""
        return f"kept until {_clock(lease.expires_at)}" if lease.expires_at is not None else lease.headline


class BusyApp(LeaseCommand):
    """Declare machines busy."""

    name = "educloud-busy"
    description = """Declare machines busy until a time: they are not put to sleep because nobody types.

    The hard limit stays: the time is at most that. LEASE is a lab's name, or an id of `educloud status --json`."""
    examples = "educloud busy 01-your-first-machine --until 90m\neducloud busy 01-your-first-machine --end"
    until = Unicode("", help="For how long (90m, 2h30m) or until when (18:30, 2026-03-02T18:30).").tag(config=True)
    end = Bool(False, help="No longer busy.").tag(config=True)
    aliases = {"until": "BusyApp.until"}  # noqa: RUF012 - traitlets' own name and kind of attribute
    flags = {"end": ({"BusyApp": {"end": True}}, "No longer busy.")}  # noqa: RUF012 - traitlets' own

    def check(self, now: datetime) -> str:
        """Want exactly one of the two, and a time that can be read."""
        return _one_of(self.until, self.end, now)

    def do(self, client: Client, lease: wire.Lease, now: datetime) -> wire.Lease:
        """Declare it."""
        return client.busy(lease.id, None if self.end else when(self.until, now))

    def told(self, lease: wire.Lease) -> str:
        """Say until when."""
        until = lease.limits.busy_until if lease.limits is not None else None
        return f"busy until {_clock(until)}" if until is not None else "not busy any longer"


class ExemptApp(LeaseCommand):
    """Turn the limits of machines off."""

    name = "educloud-exempt"
    description = """Turn the limits of machines off until a time, with a reason; both are kept. For instructors.

    At the end the full time counts. LEASE is a lab's name, or an id of `educloud status --json`."""
    examples = (
        'educloud exempt 01-your-first-machine --until 3d --reason "long computation"\n'
        "educloud exempt 01-your-first-machine --end"
    )
    until = Unicode("", help="For how long (12h, 3d) or until when (18:30, 2026-03-02T18:30).").tag(config=True)
    reason = Unicode("", help="Why; kept on record.").tag(config=True)
    end = Bool(False, help="Turn the limits on again.").tag(config=True)
    aliases = {"until": "ExemptApp.until", "reason": "ExemptApp.reason"}  # noqa: RUF012 - traitlets' own
    flags = {"end": ({"ExemptApp": {"end": True}}, "Turn the limits on again.")}  # noqa: RUF012 - traitlets' own

    def check(self, now: datetime) -> str:
        """Want a reason and an end, or the end of the exemption."""
        wrong = _one_of(self.until, self.end, now)
        if not wrong and not self.end and len(self.reason.strip()) < 3:
            return "--reason says why the limits are off; it is kept."
        return wrong

    def do(self, client: Client, lease: wire.Lease, now: datetime) -> wire.Lease:
        """Turn them off or on."""
        if self.end:
            return client.end_exemption(lease.id)
        until = when(self.until, now)
        assert until is not None  # `check` has read it
        return client.exempt(lease.id, reason=self.reason.strip(), until=until)

    def told(self, lease: wire.Lease) -> str:
        """Say until when, or that they are on."""
        exemption = lease.limits.exemption if lease.limits is not None else None
        if exemption is not None:
            return f"its limits are off until {_clock(exemption.until)}"
        if self.end:
            until = f", it runs until {_clock(lease.expires_at)}" if lease.expires_at is not None else ""
            return f"its limits are on{until}"
        return "its limits are off once it runs"


def _one_of(until: str, end: bool, now: datetime) -> str:
    if bool(until) == end:
        return "give either --until or --end."
    if until and (when(until, now) or now) <= now:
        return f"--until takes a span such as 90m, 2h30m or 3d, or a time to come such as 18:30; not {until!r}."
    return ""
