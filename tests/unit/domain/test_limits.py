"""The rules of limits: never early, never without notice, never without end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from educloud_lab.domain import limits
from educloud_lab.domain.limits import LimitKind, Session

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = 3600
WARN = (900, 300, 60)


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def session(**changes):
    made = Session(time_limit_s=4 * HOUR, warn_before_s=WARN, started_at=T0, expires_at=at(4 * HOUR))
    return replace(made, **changes)


def keeper(state, times):
    """Judge at these times as the broker does, and return what was said and when it was stopped."""
    said = []
    for second in times:
        state = limits.mended(state, at(second))
        verdict = limits.judge(state, at(second))
        if verdict.stop is not None:
            return state, said, (second, verdict.stop)
        if verdict.warn is not None:
            said.append((second, verdict.warn))
            state = replace(state, told=verdict.told)
    return state, said, None


def test_the_hard_limit_is_warned_of_at_the_set_times_and_kept_to_the_second():
    _, said, stopped = keeper(session(), range(4 * HOUR + 10))
    assert [second for second, _ in said] == [4 * HOUR - before for before in WARN]
    assert [warning.urgent for _, warning in said] == [False, False, True]
    assert len({warning.id for _, warning in said}) == 3
    assert all(warning.ends_at == at(4 * HOUR) for _, warning in said)
    assert stopped == (4 * HOUR, LimitKind.HARD)


@pytest.mark.parametrize("off_s", [-1, 0, 1])
def test_a_renewal_at_the_limit_counts_in_full(off_s):
    end = 4 * HOUR
    state, _, stopped = keeper(session(), range(end))
    assert stopped is None
    renewed = limits.renewed(state, at(end + off_s))
    assert renewed.expires_at == at(end + off_s + 4 * HOUR)
    _, said, stopped = keeper(renewed, range(end + off_s, end + off_s + 5 * HOUR))
    assert stopped == (end + off_s + 4 * HOUR, LimitKind.HARD)
    assert said[0][0] == end + off_s + 4 * HOUR - 900


def test_idle_counts_from_the_last_activity_and_a_declared_end_moves_only_that():
    quiet = session(idle_limit_s=HOUR)
    assert keeper(quiet, range(2 * HOUR))[2] == (HOUR, LimitKind.IDLE)
    active = replace(quiet, active_at=at(1800))
    assert keeper(active, range(1800, 2 * HOUR))[2] == (1800 + HOUR, LimitKind.IDLE)
    busy = replace(active, busy_until=at(2 * HOUR))
    assert keeper(busy, range(1800, 4 * HOUR))[2] == (3 * HOUR, LimitKind.IDLE)
    forever = limits.mended(replace(busy, busy_until=at(100 * HOUR)), at(1800))
    assert keeper(forever, range(1800, 5 * HOUR))[2] == (4 * HOUR, LimitKind.HARD)


def test_activity_before_this_session_does_not_count():
    old = session(idle_limit_s=HOUR, active_at=at(-5 * HOUR))
    assert keeper(old, range(2 * HOUR))[2] == (HOUR, LimitKind.IDLE)


def test_who_never_connects_is_noticed_and_keep_counts_as_somebody():
    alone = session(first_connection_limit_s=1800)
    assert keeper(alone, range(HOUR))[2] == (1800, LimitKind.FIRST_CONNECTION)
    assert keeper(replace(alone, first_connected_at=at(100)), range(0, 3 * HOUR, 7))[2] is None
    kept = limits.renewed(alone, at(1700))
    assert keeper(kept, range(1700, 2 * HOUR))[2] == (1700 + 1800, LimitKind.FIRST_CONNECTION)
    at_work = replace(kept, active_at=at(3000), active_by="load")  # what the machine does by itself takes nothing away
    assert keeper(at_work, range(3000, 2 * HOUR))[2] == (1700 + 1800, LimitKind.FIRST_CONNECTION)


def test_an_exemption_turns_all_off_and_the_full_time_counts_from_its_end():
    exempt = session(idle_limit_s=HOUR, exempt_until=at(10 * HOUR), expires_at=at(14 * HOUR))
    assert limits.limits(exempt, at(9 * HOUR)) == []
    assert limits.keep_until(exempt, at(9 * HOUR)) is None
    assert keeper(exempt, range(0, 10 * HOUR, 60))[1:] == ([], None)
    assert keeper(exempt, range(10 * HOUR, 12 * HOUR))[2] == (11 * HOUR, LimitKind.IDLE)
    busy = replace(exempt, active_at=at(13 * HOUR), idle_limit_s=2 * HOUR)
    assert keeper(busy, range(13 * HOUR, 15 * HOUR))[2] == (14 * HOUR, LimitKind.HARD)


def test_days_of_downtime_end_with_one_warning_and_a_minute():
    _, said, stopped = keeper(session(), range(3 * 24 * HOUR, 3 * 24 * HOUR + 100))
    assert [(second, warning.urgent) for second, warning in said] == [(3 * 24 * HOUR, True)]
    assert said[0][1].ends_at == at(3 * 24 * HOUR + 60)
    assert stopped == (3 * 24 * HOUR + 60, LimitKind.HARD)


def test_sleep_behind_the_last_warning_warns_once_more_and_only_once():
    awake = [*range(4 * HOUR - 1000, 4 * HOUR - 30), *range(9 * HOUR, 9 * HOUR + 30)]
    state, said, stopped = keeper(session(), awake)
    assert stopped is None
    assert said[-1][0] == 9 * HOUR
    assert said[-1][1].id != said[-2][1].id
    assert keeper(state, range(12 * HOUR, 12 * HOUR + 5))[2] == (12 * HOUR, LimitKind.HARD)


def test_a_clock_that_was_put_back_an_hour_makes_no_session_longer_than_its_full_time():
    state, _, _ = keeper(session(idle_limit_s=HOUR, active_at=at(3000)), range(3300))
    back = limits.mended(replace(state, active_at=at(3000)), at(-300))
    assert back.active_at == at(-300)
    assert back.expires_at == at(4 * HOUR - 300)
    assert keeper(back, range(-300, 5 * HOUR))[2] == (HOUR - 300, LimitKind.IDLE)


def test_a_running_machine_without_an_end_gets_one():
    lost = limits.mended(session(expires_at=None), at(50))
    assert lost.expires_at == at(50 + 4 * HOUR)


def test_a_warning_longer_than_its_limit_is_not_given_and_without_any_it_ends_at_its_end():
    short = session(time_limit_s=120, expires_at=at(120))
    _, said, stopped = keeper(short, range(200))
    assert [second for second, _ in said] == [60]
    assert stopped == (120, LimitKind.HARD)
    assert keeper(replace(short, warn_before_s=()), range(200)) == (
        replace(short, warn_before_s=()), [], (120, LimitKind.HARD)
    )  # fmt: skip


def test_what_was_told_survives_its_text():
    told = limits.Warned(LimitKind.FIRST_CONNECTION, at(1.5) + timedelta(days=36500), 86400, at(0.123456))
    assert limits.read_told(told.text()) == told
    assert len(told.text()) <= 64
    for text in ("", "hard", "hard x 60 1", "soft 1 60 1", "hard 1 60 1 1", f"hard {10**30} 60 1"):
        assert limits.read_told(text) is None


seconds = st.integers(0, 12 * HOUR)
sessions = st.builds(
    Session,
    time_limit_s=st.integers(60, 6 * HOUR),
    idle_limit_s=st.one_of(st.just(0), st.integers(30, 3 * HOUR)),
    first_connection_limit_s=st.one_of(st.just(0), st.integers(30, 3 * HOUR)),
    warn_before_s=st.lists(st.integers(1, 1800), max_size=4).map(tuple),
    started_at=st.just(T0),
    expires_at=st.one_of(st.none(), seconds.map(at)),
    first_connected_at=st.one_of(st.none(), seconds.map(at)),
    active_at=st.one_of(st.none(), seconds.map(at)),
    active_by=st.sampled_from(["", "terminal", "keep"]),
    busy_until=st.one_of(st.none(), seconds.map(at)),
    exempt_until=st.one_of(st.none(), seconds.map(at)),
    told=st.sampled_from(["", "hard 1 60 1", "nonsense"]),
)
# Moments at which a broker looks: steps of a second now and then broken by sleep, downtime and clocks put back.
steps = st.lists(st.one_of(st.integers(1, 2), st.integers(3, 5 * HOUR), st.integers(-HOUR, -1)), max_size=60)


@settings(max_examples=300, deadline=None)
@given(state=sessions, moves=steps, keeps=st.sets(st.integers(0, 59), max_size=3))
def test_never_early_and_never_without_notice_whatever_the_clock_does(state, moves, keeps):
    second, said = 0, {}
    for number, move in enumerate(moves):
        second += move
        now = at(second)
        state = limits.mended(state, now)
        if number in keeps:
            before = state.expires_at
            state = limits.renewed(state, now)
            assert state.expires_at >= before
            assert state.expires_at >= now + timedelta(seconds=state.time_limit_s)
        found = limits.limits(state, now)
        verdict = limits.judge(state, now)
        if verdict.stop is not None:
            limit = found[0]
            assert limit.kind is verdict.stop
            assert now >= limit.ends_at, "ended early"
            assert not limits.is_exempt(state, now), "ended while exempt"
            times = limits.warning_times(state, limit)
            if times:
                told_at = said[limit.kind, limit.ends_at]
                assert now - told_at >= timedelta(seconds=times[-1]), "ended with less notice than the last warning's"
            return
        if verdict.warn is not None:
            state = replace(state, told=verdict.told)
            assert not verdict.warn.urgent or verdict.warn.ends_at >= now + timedelta(seconds=verdict.warn.before_s)
            if verdict.warn.urgent:
                said[found[0].kind, found[0].ends_at] = now


@settings(max_examples=100, deadline=None)
@given(state=sessions, begin=st.integers(0, 20 * HOUR))
def test_a_broker_that_runs_ends_every_session_within_two_periods_and_the_last_warning(state, begin):
    """From any record, however it came about: what is left to its nearest end, then at most one late warning."""
    state = limits.mended(state, at(begin))
    if limits.is_exempt(state, at(begin)):
        begin = round((state.exempt_until - T0).total_seconds())
    nearest = limits.limits(state, at(begin))[0]
    last = (limits.warning_times(state, nearest) or [0])[-1]
    left = max(0, (nearest.ends_at - at(begin)).total_seconds())
    quick = min(left, 2000)  # far ends are looked at from shortly before
    begin += int(left - quick)
    _, _, stopped = keeper(state, range(begin, begin + int(quick) + last + 3))
    assert stopped is not None
    assert at(stopped[0]) <= max(nearest.ends_at, at(begin) + timedelta(seconds=last)) + timedelta(seconds=2)


@settings(max_examples=200, deadline=None)
@given(state=sessions, second=seconds)
def test_what_is_shown_agrees_with_what_will_happen(state, second):
    now = at(second)
    state = limits.mended(state, now)
    shown = limits.current_warning(state, now)
    verdict = limits.judge(state, now)
    found = limits.limits(state, now)
    assert [limit.ends_at for limit in found] == sorted(limit.ends_at for limit in found)
    if verdict.warn is not None:
        assert shown == verdict.warn
        again = replace(state, told=verdict.told)
        assert limits.current_warning(again, now) == verdict.warn
        assert limits.judge(again, now).warn is None, "a warning is said once"
    following = limits.next_warning_at(state, now)
    assert following is None or (following > now and following < found[0].ends_at)
    until = limits.keep_until(state, now)
    assert until is None or limits.renewed(state, now).expires_at == until
