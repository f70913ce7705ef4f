"""Why a machine ended, from events as QEMU 7.2 writes them."""

import pytest

from educloud_lab.localcloud.hypervisor.qemu_journal import end_reason, is_primed, note_kill

GREETING = '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\n'
PRIMED = '{"return": {}}\n'
RESET = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {"guest": true}}\n'


def shutdown(reason: str) -> str:
    return f'{{"timestamp": {{"seconds": 1}}, "event": "SHUTDOWN", "data": {{"guest": true, "reason": "{reason}"}}}}\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (shutdown("guest-shutdown"), "guest-shutdown"),
        (shutdown("guest-reset"), "guest-reset"),
        (shutdown("guest-panic"), "guest-reset"),
        (shutdown("host-qmp-quit"), "host-stop"),
        (shutdown("host-signal"), "killed"),
        ("", "killed"),
        (RESET, "killed"),
        (shutdown("guest-shutdown") + RESET, "killed"),  # a clean restart, then SIGKILL
        (shutdown("something-new"), "unknown"),
        (RESET + '{"timestamp": {"seconds": 1}, "eve', "killed"),
    ],
)
def test_the_reason(tmp_path, text, reason):
    journal = tmp_path / "journal"
    journal.write_text(GREETING + PRIMED + text)
    assert end_reason(journal) == reason


def test_our_own_signal_is_told_apart_from_a_strangers(tmp_path):
    journal = tmp_path / "journal"
    journal.write_text(GREETING + PRIMED)
    note_kill(journal)
    assert end_reason(journal) == "host-stop"


def test_without_a_journal_nothing_is_claimed(tmp_path):
    assert end_reason(tmp_path / "journal") == "unknown"


def test_a_journal_is_primed_once_its_monitor_answered(tmp_path):
    journal = tmp_path / "journal"
    assert not is_primed(journal)
    journal.write_text(GREETING)
    assert not is_primed(journal)
    journal.write_text(GREETING + PRIMED)
    assert is_primed(journal)
