"""Stuck cases in a world in memory: what goes wrong inside machines, on the way to them, and on volumes."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from educloud_lab.adapters.memory.machines import fake_key
from educloud_lab.adapters.memory.world import MemoryWorld
from educloud_lab.domain.errors import (
    CapacityError,
    CloudBusyError,
    CloudUnreachableError,
    LoginRefusedError,
    MachineUnreachableError,
)
from educloud_lab.ports.cloud import AttachmentSeen, VolumeSeen, VolumeState
from educloud_lab.wire import models as wire
from tests.contracts.console_corpus import KINDS, NOISE, UP

ANN = "ann"
START = wire.LeaseRequest(lab="01-first", machine_profile="first-steps", start=True)
HEALTHY = ""
Case = Callable[[MemoryWorld, random.Random], Awaitable[None]]


class Knocked:
    """A shell whose connections fail in one way, as the SSH adapter tells it."""

    def __init__(self, shell, error) -> None:
        self._shell, self._error = shell, error

    async def connect(self, grant, *, timeout_s=15.0):
        raise self._error()

    async def check_host_key(self, grant, *, timeout_s=15.0):
        raise self._error()


def unreachable(side: str, cause: str):
    def make():
        error = MachineUnreachableError(f"There is no SSH connection to the {side}.")
        error.side, error.cause = side, cause
        return error

    return make


async def begin(world: MemoryWorld, **overrides):
    broker = await world.broker(**overrides)
    await broker.ensure_lease(ANN, START)
    return broker


async def running(world: MemoryWorld) -> None:
    await world.clock.drive(lambda: world.lease().instance_state == "running", limit_s=900)


async def silent(world: MemoryWorld, rng: random.Random, console: str, *, seconds: float = 190.0) -> None:
    """SSH never comes up, and the console says this."""
    world.cloud.pace.boot_s = 1e9
    world.shell_for_case = Knocked(world.shell, unreachable("machine", "silent"))
    await begin(world, shell=world.shell_for_case)
    await running(world)
    before = rng.choice(("", "", rng.choice(KINDS["kernel-panic"]), UP[0] * 2))
    lines = console.splitlines(keepends=True)
    for _ in range(rng.randrange(3) if lines else 0):
        lines.insert(rng.randrange(1, len(lines)) if len(lines) > 1 else 0, rng.choice(NOISE))
    # An earlier boot stands before this one, where this one begins in a way that can be told.
    begins = console.startswith(("[    0.000000] Linux", "[boot] kernel", "SeaBIOS"))
    world.machine().console = (before if begins else "") + "".join(lines)
    await world.clock.advance(seconds)


def by_console(kind: str) -> Case:
    async def case(world: MemoryWorld, rng: random.Random) -> None:
        seconds = rng.choice((150.0, 190.0, 240.0))
        await silent(world, rng, rng.choice(KINDS[kind]), seconds=seconds)

    return case


def knocked(side: str, cause: str, *, console: bool = True) -> Case:
    async def case(world: MemoryWorld, rng: random.Random) -> None:
        shell = Knocked(world.shell, unreachable(side, cause))
        await begin(world, shell=shell)
        await running(world)
        world.machine().console = rng.choice(UP) if console else ""
        await world.clock.advance(rng.choice((150.0, 200.0)))

    return case


async def gateway_refuses(world: MemoryWorld, rng: random.Random) -> None:
    def refuse():
        error = LoginRefusedError("The way to the machine is not permitted.")
        error.side, error.cause = "gateway", "not-permitted"
        return error

    await begin(world, shell=Knocked(world.shell, refuse))
    await running(world)
    world.machine().console = rng.choice(UP)
    await world.clock.advance(20.0)


async def port_closed(world: MemoryWorld, rng: random.Random) -> None:
    world.cloud.faults.closed_port = True
    await silent(world, rng, rng.choice(UP))


async def other_key(world: MemoryWorld, rng: random.Random) -> None:
    world.cloud.pace.boot_s = 20.0
    await begin(world)
    await running(world)
    world.machine().served_key = fake_key(f"another {rng.random()}")
    await world.clock.advance(60.0)


async def login_refused(world: MemoryWorld, rng: random.Random) -> None:
    await begin(world)
    await running(world)
    world.machine().refuses_login = True
    world.machine().console = rng.choice(UP[1:])
    await world.clock.advance(rng.choice((170.0, 400.0)))


def clock_off(hours: int) -> Case:
    async def case(world: MemoryWorld, rng: random.Random) -> None:
        await begin(world)
        await running(world)
        world.machine().refuses_login = True
        told = world.clock.now().replace(hour=(world.clock.now().hour + hours) % 24)
        world.machine().console = (
            "[    0.000000] Linux version 6.1.0-28-cloud-amd64\n"
            f"[    1.100000] rtc_cmos 00:05: setting system clock to {told:%Y-%m-%dT%H:%M:%S} UTC (1)\n" + UP[0][-400:]
        )
        await world.clock.advance(170.0)

    return case


async def pending(world: MemoryWorld, rng: random.Random) -> None:
    world.cloud.faults.pending_for_ever = True
    await begin(world)
    await world.clock.advance(rng.choice((90.0, 200.0, 500.0)))


async def pending_with_address(world: MemoryWorld, rng: random.Random) -> None:
    await pending(world, rng)
    row = world.cloud._row(world.lease().instance_id)
    row.seen = replace(row.seen, address="10.0.0.9")
    await world.clock.advance(5.0)


def root_disk(state: VolumeState) -> Case:
    async def case(world: MemoryWorld, rng: random.Random) -> None:
        await pending(world, rng)
        row = world.cloud._row(world.lease().instance_id)
        disk = await world.cloud.create_volume(size_gib=2, zone="one", tags={})
        row.seen = replace(row.seen, root_volume_id=disk.volume_id)
        volume = world.cloud.volume_row(disk.volume_id)
        volume.seen, volume.next_seen = replace(disk, state=state, snapshot_id="snap-00000001"), None
        await world.clock.advance(5.0)

    return case


async def no_address(world: MemoryWorld, rng: random.Random) -> None:
    world.cloud.faults.no_address = True
    await begin(world)
    await world.clock.advance(rng.choice((90.0, 300.0)))


async def not_listed(world: MemoryWorld, rng: random.Random) -> None:
    world.cloud.faults.lag_s = 88.0
    await begin(world)
    await world.clock.advance(rng.choice((82.0, 86.0)))


async def node_silent(world: MemoryWorld, rng: random.Random) -> None:
    world.cloud.faults.system_status = "impaired"
    await silent(world, rng, rng.choice(UP))


def refused(error: Callable[[], Exception]) -> Case:
    async def case(world: MemoryWorld, rng: random.Random) -> None:
        world.cloud.faults.errors["run_instance"] = [error() for _ in range(2000)]
        await begin(world)
        await world.clock.advance(rng.choice((100.0, 200.0)))

    return case


def by_volume(change: Callable[[MemoryWorld], None], *, first_ready: bool = True) -> Case:
    """The volume is changed while the machine sleeps, and then it is started again."""

    async def case(world: MemoryWorld, rng: random.Random) -> None:
        broker = await begin(world)
        await world.until(broker, "ready")
        await broker.stop(ANN, world.lease().id)
        await world.until(broker, "asleep")
        change(world)
        await broker.start(ANN, world.lease().id)
        await world.clock.advance(rng.choice((150.0, 200.0)))

    return case


def seen_as(**changes) -> Callable[[MemoryWorld], None]:
    def change(world: MemoryWorld) -> None:
        row = world.cloud.volume_row(world.volume().cloud_id)
        made: VolumeSeen = replace(row.seen, **changes)
        row.seen, row.next_seen = made, None

    return change


def on_disk(**changes) -> Callable[[MemoryWorld], None]:
    def change(world: MemoryWorld) -> None:
        for name, value in changes.items():
            setattr(world.disk(), name, value)

    return change


def elsewhere(world: MemoryWorld) -> None:
    there = AttachmentSeen(world.volume().cloud_id, "i-0badcafe", "/dev/vdf", "attached")
    seen_as(state=VolumeState.IN_USE, attachments=(there,))(world)


def in_another_zone(world: MemoryWorld) -> None:
    seen_as(zone="two")(world)
    # Eucalyptus answers an attachment across zones with its generic error.
    wrong = [
        CloudUnreachableError("No usable answer: InternalFailure, An internal error occurred.") for _ in range(999)
    ]
    world.cloud.faults.errors["attach_volume"] = list(wrong)


async def not_blank(world: MemoryWorld, rng: random.Random) -> None:
    await begin(world)
    await world.clock.drive(lambda: bool(world.cloud.disks), limit_s=60)
    next(iter(world.cloud.disks.values())).type = rng.choice(("ext4", "xfs", "swap"))
    await world.clock.advance(60.0)


async def busy(world: MemoryWorld, rng: random.Random) -> None:
    broker = await begin(world)
    await world.until(broker, "ready")
    world.machine().holders.append("bash")
    await broker.stop(ANN, world.lease().id)
    await world.clock.advance(60.0)


async def dropped(world: MemoryWorld, rng: random.Random) -> None:
    world.cloud.faults.silent_attaches = 10_000
    await begin(world)
    await world.clock.advance(rng.choice((120.0, 240.0)))


async def attach_sticks(world: MemoryWorld, rng: random.Random) -> None:
    world.cloud.pace.attach_s = 1e9
    await begin(world)
    await world.clock.advance(rng.choice((70.0, 110.0)))


async def died(world: MemoryWorld, rng: random.Random) -> None:
    broker = await begin(world)
    await world.until(broker, "ready")
    world.cloud.kill(world.lease().instance_id)
    await world.clock.drive(lambda: world.lease().reason == "died")
    await world.clock.advance(rng.choice((1.0, 60.0)))


async def healthy(world: MemoryWorld, rng: random.Random) -> None:
    """Slow, throttled on top, seen late: and nothing is wrong."""
    world.cloud.pace.boot_s = rng.choice((4.0, 60.0, 100.0))
    world.cloud.pace.pending_s = rng.choice((0.5, 40.0))
    world.cloud.faults.lag_s = rng.choice((0.0, 20.0))
    noise = [CloudBusyError("Slow down."), CloudUnreachableError("The answer was cut off.")]
    world.cloud.faults.errors["observe"] = [rng.choice(noise) for _ in range(rng.randrange(4))]
    await begin(world)
    await running(world)
    world.machine().console = rng.choice(KINDS["boots-slowly"])
    await world.clock.advance(rng.choice((5.0, 30.0, 90.0)))


_FULL = "The cloud has no room for another machine now: ServiceUnavailable, "
MEMORY: dict[str, tuple[str, str, Case]] = {
    **{
        f"console {kind}": (kind, component, by_console(kind))
        for kind, component in (
            ("no-root-disk", "image"), ("kernel-panic", "machine"), ("no-boot", "image"), ("emergency-mode", "machine"),
            ("dhcp-failed", "network"), ("metadata-silent", "network"), ("user-data-failed", "image"),
            ("sshd-down", "machine"), ("boots-slowly", "machine"), ("way-blocked", "network"),
        )
    },
    "sshd refuses": ("sshd-down", "machine", knocked("machine", "refused")),
    "gateway silent": ("gateway-silent", "network", knocked("gateway", "silent")),
    "gateway refuses": ("gateway-refuses", "network", gateway_refuses),
    "port closed": ("port-closed", "network", port_closed),
    "another host key": ("host-key-changed", "machine", other_key),
    "login refused": ("login-refused", "machine", login_refused),
    "guest clock behind": ("guest-clock-wrong", "machine", clock_off(-3)),
    "guest clock ahead": ("guest-clock-wrong", "machine", clock_off(5)),
    "pending": ("pending-no-address", "network", pending),
    "pending with address": ("pending-with-address", "NC", pending_with_address),
    "root disk copied": ("root-volume-creating", "SC", root_disk(VolumeState.CREATING)),
    "root disk failed": ("root-volume-failed", "SC", root_disk(VolumeState.FAILED)),
    "no address": ("running-no-address", "network", no_address),
    "not listed": ("not-listed-yet", "CLC", not_listed),
    "node silent": ("node-silent", "NC", node_silent),
    "addresses": (
        "addresses-empty", "network", refused(lambda: CapacityError(_FULL + "Insufficient addresses (0 < 1).")),
    ),
    "volume lost": ("volume-lost", "SC", by_volume(lambda world: world.cloud.lose_volume(world.volume().cloud_id))),
    "volume in error": ("volume-failed", "SC", by_volume(seen_as(state=VolumeState.ERROR))),
    "volume unavailable": ("volume-unavailable", "SC", by_volume(seen_as(state=VolumeState.UNAVAILABLE))),
    "volume elsewhere": ("volume-elsewhere", "unknown", by_volume(elsewhere)),
    "other zone": ("other-zone", "CLC", by_volume(in_another_zone)),
    "exchanged": ("volume-exchanged", "SC", by_volume(on_disk(uuid="00000000-1111-2222-3333-444444444444"))),
    "unreadable": ("volume-unreadable", "SC", by_volume(on_disk(unreadable=True))),
    "dirty": ("file-system-dirty", "machine", by_volume(on_disk(dirty="beyond"))),
    "not blank": ("volume-not-blank", "unknown", not_blank),
    "busy": ("volume-busy", "machine", busy),
    "dropped": ("attach-dropped", "NC", dropped),
    "attach sticks": ("attach-sticks", "NC", attach_sticks),
    "died": ("powered-off", "machine", died),
    "healthy": (HEALTHY, "", healthy),
}  # fmt: skip
