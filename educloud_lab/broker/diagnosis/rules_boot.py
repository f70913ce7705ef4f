"""Rules about a machine that runs and cannot be logged in to: its console, its door, the way to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from educloud_lab.broker.diagnosis.catalogue import CATALOGUE
from educloud_lab.broker.diagnosis.console import Reading, read
from educloud_lab.broker.diagnosis.console_marks import Boot
from educloud_lab.broker.diagnosis.entries import Sure, finding
from educloud_lab.broker.diagnosis.facts import Facts, Knock, ago
from educloud_lab.domain.finding import Evidence, Finding
from educloud_lab.domain.job import HostKeyStage, StepState
from educloud_lab.domain.lease import Status, Target
from educloud_lab.ports.cloud import InstanceState

_SLOW = 3.0  # a boot that takes this many times its limit is no longer called slow
_AHEAD = timedelta(seconds=60)
_BEHIND = timedelta(seconds=120)
_CODES: Final[dict[Boot, tuple[str, Sure, str]]] = {
    Boot.NO_ROOT: ("no-root-disk", "certain", "the kernel found no system disk"),
    Boot.PANIC: ("kernel-panic", "certain", "the kernel stopped"),
    Boot.EMERGENCY: ("emergency-mode", "certain", "the system waits for its administrator"),
    Boot.NO_BOOT: ("no-boot", "certain", "no kernel was started"),
    Boot.NO_ADDRESS: ("dhcp-failed", "likely", "nobody answered its request for an address"),
    Boot.NO_METADATA: ("metadata-silent", "likely", "it does not know whom to let in"),
    Boot.USER_DATA: ("user-data-failed", "likely", "it does not know whom to let in"),
    Boot.SSHD_DOWN: ("sshd-down", "likely", "the SSH server did not start"),
}
_AT_ONCE: Final = (Boot.NO_ROOT, Boot.PANIC, Boot.EMERGENCY, Boot.NO_BOOT)
_UNREACHED: Final = ("never-answered", "machine-unreachable", "login-refused", "host-key")


def _connected(facts: Facts) -> bool:
    step = facts.step("connect")
    return step is not None and step.state is StepState.DONE


def _concerns(facts: Facts) -> bool:
    """Whether somebody tries to reach a machine that runs and has an address."""
    if facts.state is not InstanceState.RUNNING or facts.instance is None or facts.instance.address is None:
        return False
    if facts.is_start and facts.lease.target is Target.RUNNING and facts.lease.status is not Status.RUNNING:
        step = facts.step("connect")
        return step is not None and step.started_at is not None and step.state is not StepState.DONE
    stuck = facts.problem_code in _UNREACHED and (facts.in_flight or facts.lease.status is Status.FAILED)
    ready = facts.lease.status is Status.RUNNING and facts.knock not in (None, Knock.OPEN)
    return stuck or ready


def _waits(facts: Facts) -> bool:
    return facts.lease.status is Status.RUNNING or facts.too_long("connect") or facts.problem_code in _UNREACHED


def other_key(facts: Facts) -> Finding | None:
    """Somebody else answers, or the machine was reinstalled."""
    shown = facts.knock is Knock.OTHER_KEY and _concerns(facts)
    if shown or (facts.problem_code == "host-key" and facts.lease.status is not Status.RUNNING):
        return finding(CATALOGUE["host-key-changed"], facts, "certain", _door(facts))
    return None


def way(facts: Facts) -> Finding | None:
    """Front end and security group, which are looked at from outside."""
    if not _concerns(facts) or facts.knock is Knock.OPEN:
        return None
    if facts.knock is Knock.GATEWAY_SILENT:
        return finding(CATALOGUE["gateway-silent"], facts, "certain", _door(facts))
    if facts.port_open is False:
        closed = Evidence("security group", "no rule lets TCP in at the SSH port")
        return finding(CATALOGUE["port-closed"], facts, "certain", closed, _door(facts))
    if facts.knock is Knock.GATEWAY_REFUSES:
        return finding(CATALOGUE["gateway-refuses"], facts, "likely", _door(facts))
    return None


def boot(facts: Facts) -> Finding | None:
    """What the console says of the boot."""
    if not _concerns(facts) or facts.console is None:
        return None
    if facts.knock is Knock.OPEN or facts.problem_code == "login-refused":
        return None  # it booted far enough to answer
    reading = read(facts.console)
    if reading.boot in _CODES and (reading.boot in _AT_ONCE or _waits(facts)):
        code, sure, means = _CODES[reading.boot]
        return finding(CATALOGUE[code], facts, sure, extra=_lines(reading, means))
    if not _waits(facts):
        return None
    if reading.boot is Boot.EMPTY:
        nothing = Evidence("console", "empty", f"nothing was written in {ago(facts.waited_s('connect'))}")
        return finding(CATALOGUE["no-boot"], facts, "likely", nothing)
    up = reading.boot in (Boot.SSHD_UP, Boot.BOOTED)
    if facts.knock is Knock.REFUSED and up:
        return finding(CATALOGUE["sshd-down"], facts, "likely", _door(facts), extra=_lines(reading, "the boot ended"))
    if up:
        return finding(CATALOGUE["way-blocked"], facts, "likely", _door(facts), extra=_lines(reading, "the boot ended"))
    if facts.waited_s("connect") < _SLOW * facts.limit_s("connect"):
        return finding(CATALOGUE["boots-slowly"], facts, "likely", extra=_lines(reading, "it got so far"))
    return finding(CATALOGUE["no-answer"], facts, "possible", _door(facts), extra=_lines(reading, "it got so far"))


def login(facts: Facts) -> Finding | None:
    """The machine answers and does not let us in."""
    if facts.lease.status is Status.RUNNING or _connected(facts):
        return None
    waits = facts.knock is Knock.OPEN and _concerns(facts) and facts.too_long("connect")
    if facts.problem_code != "login-refused" and not waits:
        return None
    reading = read(facts.console or "")
    launched = facts.instance.launched_at if facts.instance is not None else None
    booted = reading.booted_at
    first = facts.lease.host_key_stage is not HostKeyStage.PINNED
    ahead = booted is not None and booted > facts.now + _AHEAD
    behind = booted is not None and launched is not None and booted < launched - _BEHIND
    if ahead or behind or reading.certificate_times:
        told = f"booted at {booted:%Y-%m-%d %H:%M:%S} UTC by its own clock" if booted else "certificate times refused"
        means = f"launched at {launched:%Y-%m-%d %H:%M:%S} UTC by the cloud's" if launched else ""
        return finding(CATALOGUE["guest-clock-wrong"], facts, "likely", Evidence("machine's clock", told, means))
    if first and reading.boot in (Boot.NO_METADATA, Boot.USER_DATA):
        code, sure, means = _CODES[reading.boot]
        return finding(CATALOGUE[code], facts, sure, extra=_lines(reading, means))
    return finding(CATALOGUE["login-refused"], facts, "likely", _door(facts))


def unanswered(facts: Facts) -> Finding | None:
    """Nothing else is known."""
    if _concerns(facts) and _waits(facts) and facts.knock is not Knock.OPEN:
        return finding(CATALOGUE["no-answer"], facts, "possible", _door(facts))
    return None


def _door(facts: Facts) -> Evidence | None:
    if facts.knock is None:
        return None
    return Evidence("SSH", str(facts.knock), facts.knock_text)


def _lines(reading: Reading, means: str) -> list[Evidence]:
    return [Evidence("console", line, means if not number else "") for number, line in enumerate(reading.lines[-4:])]
