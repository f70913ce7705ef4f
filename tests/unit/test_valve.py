"""A channel that is paused and let go on: what waited goes through whole, and only then does a new pause begin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from educloud_lab.valve import Valve


class Channel:
    """A paused list of packets, as asyncssh keeps it."""

    def __init__(self, on_packet: Callable[[int], None]) -> None:
        self.on_packet = on_packet
        self.waiting: list[int] = []
        self.paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        while self.waiting and not self.paused:
            self.on_packet(self.waiting.pop(0))


def test_a_pause_during_the_letting_through_begins_after_it():
    seen = []

    def take(packet):
        seen.append(packet)
        valve.pause()

    channel = Channel(take)
    valve = Valve(channel)
    valve.pause()
    assert channel.paused
    assert valve.paused
    channel.waiting = [1, 2, 3]
    valve.resume()
    assert seen == [1, 2, 3]
    assert channel.paused
    assert valve.paused
    valve.resume()
    assert not channel.paused


def test_what_changes_its_mind_while_it_is_let_through_is_not_paused():
    def take(packet):
        valve.pause()
        valve.resume()

    channel = Channel(take)
    valve = Valve(channel)
    valve.pause()
    channel.waiting = [1, 2]
    valve.resume()
    assert not channel.waiting
    assert not channel.paused


def test_twice_is_once_and_nothing_is_let_go_on_that_was_not_paused():
    channel = Channel(lambda packet: None)
    valve = Valve(channel)
    channel.paused = True  # by somebody else, as before its start
    valve.resume()
    assert channel.paused
    valve.pause()
    valve.pause()
    valve.resume()
    assert not channel.paused


def test_a_channel_that_fails_leaves_the_valve_usable():
    def take(packet):
        raise OSError("gone")

    channel = Channel(take)
    valve = Valve(channel)
    valve.pause()
    channel.waiting = [1, 2]
    with pytest.raises(OSError, match="gone"):
        valve.resume()
    valve.pause()
    assert channel.paused
