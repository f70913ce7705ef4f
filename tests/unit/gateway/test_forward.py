"""A forward whose machine takes a client's data in small portions."""

from __future__ import annotations

from collections import deque

from educloud_lab.gateway.addresses import Destination
from educloud_lab.gateway.forward import Forward

PACKET_BYTES = 32768


class Channel:
    """The client's channel, paused and let go on as asyncssh does it (2.24.1, `channel.py`)."""

    def __init__(self, window_bytes: int) -> None:
        self.window_bytes = window_bytes
        self.room_bytes = window_bytes
        self.waiting: deque[bytes] = deque()
        self.paused = False
        self.forward: Forward | None = None

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        while self.waiting and not self.paused:
            self._deliver(self.waiting.popleft())

    def pour(self) -> None:
        """Send what the window allows, as a client does that has no end of data."""
        while self.room_bytes >= PACKET_BYTES:
            self.room_bytes -= PACKET_BYTES
            if self.paused:
                self.waiting.append(bytes(PACKET_BYTES))
            else:
                self._deliver(bytes(PACKET_BYTES))

    def _deliver(self, data: bytes) -> None:
        if self.room_bytes < self.window_bytes / 2:
            self.room_bytes = self.window_bytes
        assert self.forward is not None
        self.forward.data_received(data, None)


class Machine:
    """A transport that holds its writer up from the second packet on."""

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self.held_bytes = 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.held_bytes += len(data)
        if self.held_bytes >= 2 * PACKET_BYTES:
            self.forward.target_paused(True)

    def take(self) -> None:
        """Take all that is held, and want more."""
        self.held_bytes = 0
        self.forward.target_paused(False)


def test_a_machine_that_takes_little_at_a_time_holds_its_client_back():
    window_bytes = 32 * PACKET_BYTES
    forward = Forward("alice", Destination("172.16.77.5", 22), lambda: 0, lambda forward: None)
    channel, machine = Channel(window_bytes), Machine(forward)
    channel.forward = forward
    forward.target_made(machine)
    forward.connection_made(channel)
    channel.pour()
    for _ in range(50):
        machine.take()
        channel.pour()
        waiting_bytes = sum(map(len, channel.waiting)) + machine.held_bytes
        assert waiting_bytes <= 2 * window_bytes + 2 * PACKET_BYTES
