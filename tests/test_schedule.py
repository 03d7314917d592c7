"""When a cycle is due: what starts one, what keeps it back, and that changes of clocks change neither."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ice_agent import clocks
from ice_agent.errors import ConfigError
from ice_agent.schedule import NextCycle, check, described, next_cycle, pause
from ice_agent.settings import CycleSettings, ScheduleSettings
from memory import Backlog

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOURLY = ScheduleSettings(every_minutes=60, batch_trigger=5, timezone="UTC")
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def ago(**since: float) -> datetime:
    return NOON - timedelta(**since)


def backlog(n_waiting=3, waits_since=None, **state):
    return Backlog(tenant="ann", n_waiting=n_waiting, waits_since=waits_since or ago(minutes=10), **state)


def following(settings=HOURLY, state=None, at=NOON, **limits) -> NextCycle:
    return next_cycle(state or backlog(), settings, CycleSettings(**limits), at)


def schedule(**settings) -> ScheduleSettings:
    quiet = {"every_minutes": 0, "batch_trigger": 0, "timezone": "UTC"}
    return ScheduleSettings.model_validate(quiet | settings)


# -- what starts a cycle -------------------------------------------------------------------------------------


def test_nothing_is_due_where_nothing_waits():
    found = following(state=Backlog(tenant="ann", ended_at=ago(days=9)))
    assert (found.at, found.why) == (None, "nothing waits")


def test_an_interval_runs_from_the_oldest_fact_that_waits():
    found = following()
    assert (found.at, found.why) == (NOON + timedelta(minutes=50), "every_minutes = 60")
    assert not found.is_due(NOON)
    assert found.is_due(NOON + timedelta(minutes=50))


def test_what_a_cycle_left_over_waits_for_an_interval_after_its_end():
    state = backlog(waits_since=ago(hours=5), ended_at=ago(minutes=5))
    assert following(state=state).at == NOON + timedelta(minutes=55)


def test_a_time_that_was_missed_while_nothing_ran_is_due_still():
    found = following(state=backlog(waits_since=ago(days=3)))
    assert found.is_due(NOON)
    assert found.at == ago(days=3) + timedelta(hours=1)


def test_a_cron_line_strikes_after_the_oldest_fact_that_waits():
    nightly = schedule(cron="0 3 * * *")
    assert following(nightly).at == datetime(2026, 1, 6, 3, tzinfo=UTC)
    assert following(nightly, backlog(waits_since=ago(hours=10))).at == datetime(2026, 1, 5, 3, tzinfo=UTC)


def test_one_cycle_follows_a_strike_and_not_a_second():
    nightly = schedule(cron="0 3 * * *")
    state = backlog(waits_since=ago(hours=10), ended_at=ago(hours=8))
    assert following(nightly, state).at == datetime(2026, 1, 6, 3, tzinfo=UTC)


def test_a_full_batch_does_not_wait_for_the_clock():
    assert following(state=backlog(5)).is_due(NOON)
    assert not following(state=backlog(4)).is_due(NOON)
    assert following(state=backlog(5)).why == "5 facts wait (batch_trigger = 5)"


def test_without_a_batch_trigger_only_the_clock_counts():
    assert not following(ScheduleSettings(batch_trigger=0, timezone="UTC"), backlog(500)).is_due(NOON)


def test_fewer_facts_than_min_batch_wait_for_company():
    old = backlog(2, waits_since=ago(days=1))
    assert following(state=old, min_batch=3).at is None
    assert "min_batch = 3" in following(state=old, min_batch=3).why
    assert following(state=old, min_batch=2).is_due(NOON)


def test_no_fact_waits_longer_than_the_maximum_age_even_alone():
    weekly = schedule(cron="0 3 * * sun", max_age_minutes=120)
    alone = backlog(1, waits_since=ago(minutes=119))
    assert following(weekly, alone, min_batch=9).at == NOON + timedelta(minutes=1)
    assert following(weekly, alone, NOON + timedelta(minutes=1), min_batch=9).is_due(
        NOON + timedelta(minutes=1)
    )


def test_where_only_a_full_batch_starts_a_cycle_it_is_said_how_many_that_are():
    assert "batch_trigger = 50" in following(schedule(batch_trigger=50)).why


def test_what_starts_first_is_what_is_named():
    both = schedule(cron="30 12 * * *", max_age_minutes=15)
    assert following(both).at == NOON + timedelta(minutes=5)
    assert "max_age_minutes = 15" in following(both).why


def test_a_batch_that_a_dead_cycle_left_is_gone_on_with_at_once():
    left = following(state=backlog(1, waits_since=ago(minutes=1), is_claimed=True), min_batch=5)
    assert left.is_due(NOON)


def test_while_a_cycle_runs_none_starts():
    found = following(state=backlog(500, is_claimed=True, owner="host/1"))
    assert found.at is None
    assert "host/1" in found.why


def test_a_candidate_that_waits_for_a_person_starts_nothing():
    waits = backlog(500, is_claimed=True, is_measured=True)
    assert following(state=waits, approval="manual").at is None
    assert following(state=waits).is_due(NOON)


# -- what keeps it back --------------------------------------------------------------------------------------


def test_after_a_rejection_no_trigger_starts_the_next_one_before_the_pause_is_over():
    rejected = backlog(500, waits_since=ago(days=1), ended_at=ago(minutes=14), failures=1)
    assert following(state=rejected).at == NOON + timedelta(minutes=1)
    assert "backoff_minutes = 15" in following(state=rejected).why
    assert following(state=rejected).is_due(NOON + timedelta(minutes=1))


@pytest.mark.parametrize(("failures", "minutes"), [(0, 0), (1, 15), (2, 30), (3, 60), (7, 960), (8, 1440)])
def test_the_pause_doubles_up_to_the_longest(failures, minutes):
    assert pause(failures, ScheduleSettings()) == timedelta(minutes=minutes)


@given(st.integers(min_value=1, max_value=10**9))
def test_a_pause_is_bounded_however_often_cycles_fail(failures):
    assert pause(failures, ScheduleSettings()) <= timedelta(days=1)


def test_without_back_off_a_failure_keeps_nothing_back():
    rejected = backlog(500, ended_at=NOON, failures=9)
    assert following(ScheduleSettings(backoff_minutes=0, timezone="UTC"), rejected).is_due(NOON)


def test_outside_the_window_what_is_due_waits_for_it_to_open():
    night = schedule(batch_trigger=1, window="22:00-06:00")
    found = following(night)
    assert (found.at, found.is_due(NOON)) == (datetime(2026, 1, 5, 22, tzinfo=UTC), False)
    assert 'window = "22:00-06:00"' in found.why
    late = datetime(2026, 1, 5, 23, tzinfo=UTC)
    assert following(night, at=late).is_due(late)


@pytest.mark.parametrize(
    ("window", "at", "inside"),
    [
        ("", time(12), True),
        ("09:00-17:00", time(9), True),
        ("09:00-17:00", time(17), False),
        ("09:00-17:00", time(8, 59), False),
        ("22:00-06:00", time(22), True),
        ("22:00-06:00", time(0), True),
        ("22:00-06:00", time(5, 59, 59), True),
        ("22:00-06:00", time(6), False),
        ("22:00-06:00", time(12), False),
        ("08:00-08:00", time(3), True),
    ],
)
def test_a_window_may_reach_over_midnight(window, at, inside):
    assert clocks.is_inside(window, at) is inside


# -- where clocks are put forward and back -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "cron", "start", "strikes"),
    [
        # Clocks go from 2:00 to 3:00: what would be at 2:30 is at 3:30, as long after midnight as ever.
        (BERLIN, "30 2 * * *", "2026-03-28 12:00", ["29 03:30+0200", "30 02:30+0200"]),
        (NEW_YORK, "30 2 * * *", "2026-03-07 12:00", ["08 03:30-0400", "09 02:30-0400"]),
        # From 3:00 back to 2:00, and from 2:00 back to 1:00: once, the first time.
        (BERLIN, "30 2 * * *", "2026-10-24 12:00", ["25 02:30+0200", "26 02:30+0100"]),
        (NEW_YORK, "30 1 * * *", "2026-10-31 12:00", ["01 01:30-0400", "02 01:30-0500"]),
        # What strikes every hour strikes in every hour that there is, and no other.
        (BERLIN, "0 * * * *", "2026-03-29 00:30", ["29 01:00+0100", "29 03:00+0200", "29 04:00+0200"]),
        (BERLIN, "0 * * * *", "2026-10-25 01:30", ["25 02:00+0200", "25 02:00+0100", "25 03:00+0100"]),
        (NEW_YORK, "0 * * * *", "2026-11-01 00:30", ["01 01:00-0400", "01 01:00-0500", "01 02:00-0500"]),
        # Other days and hours know of no change.
        (BERLIN, "0 3 * * *", "2026-03-28 12:00", ["29 03:00+0200", "30 03:00+0200"]),
        (NEW_YORK, "0 3 * * *", "2026-10-31 12:00", ["01 03:00-0500", "02 03:00-0500"]),
    ],
)
def test_a_cron_line_strikes_once_a_night_whatever_clocks_do(zone, cron, start, strikes):
    moment, seen = datetime.fromisoformat(start).replace(tzinfo=zone), []
    for _ in strikes:
        found = clocks.after(cron, moment, zone)
        assert found is not None
        moment = found
        seen.append(f"{moment.astimezone(zone):%d %H:%M%z}")
    assert seen == strikes


def test_a_cycle_at_a_time_that_is_shown_twice_runs_once():
    """The facts of the first 2:30 are learned at once; what is told then waits for the next night."""
    nightly = schedule(cron="30 2 * * *", timezone="Europe/Berlin")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert following(nightly, backlog(waits_since=first - timedelta(hours=3)), first).is_due(first)
    again = first + timedelta(hours=1)
    told_since = backlog(waits_since=first + timedelta(minutes=5), ended_at=first + timedelta(minutes=9))
    assert not following(nightly, told_since, again).is_due(again)


@pytest.mark.parametrize(
    ("window", "from_", "opens"),
    [
        ("22:00-06:00", "2026-03-28 12:00", "28 22:00+0100"),
        ("02:30-05:00", "2026-03-29 00:00", "29 03:00+0200"),
        # The hour that is left out opens nothing on that day.
        ("02:15-02:45", "2026-03-29 00:00", "30 02:15+0200"),
        ("02:30-05:00", "2026-10-25 00:00", "25 02:30+0200"),
        # Put back to 2:00, clocks show a time again that is before the window.
        ("02:30-05:00", "2026-10-25 02:10+01:00", "25 02:30+0100"),
        ("05:00-05:30", "2026-10-25 00:00", "25 05:00+0100"),
    ],
)
def test_a_window_opens_when_the_clocks_show_it(window, from_, opens):
    moment = datetime.fromisoformat(from_)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=BERLIN)
    assert f"{clocks.opening(window, moment, BERLIN).astimezone(BERLIN):%d %H:%M%z}" == opens


def test_an_interval_is_as_long_as_ever_while_clocks_are_changed():
    settings = ScheduleSettings(every_minutes=180, timezone="Europe/Berlin")
    for midnight in (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)):
        assert following(settings, backlog(waits_since=midnight), midnight).at == midnight + timedelta(
            hours=3
        )


@given(
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 11, 30), timezones=st.just(UTC)),
    st.sampled_from(["", "22:00-06:00", "02:30-02:45", "09:00-17:00"]),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_whatever_is_due_is_due_inside_the_window(told_at, window, zone):
    settings = schedule(batch_trigger=1, window=window, timezone=zone)
    found = following(settings, backlog(waits_since=told_at), told_at)
    assert found.at is not None
    assert found.at >= told_at
    assert clocks.is_inside(window, found.at.astimezone(ZoneInfo(zone)).time())


# -- in words ------------------------------------------------------------------------------------------------


def test_a_cron_line_that_names_no_time_is_refused_by_name():
    with pytest.raises(ConfigError, match="99 3"):
        check(schedule(cron="99 3 * * *"))


def test_a_schedule_is_said_in_words():
    assert described(ScheduleSettings()) == "every 60 minutes, or when 50 facts wait"
    night = schedule(cron="0 3 * * *", max_age_minutes=90, window="22:00-06:00", timezone="Europe/Berlin")
    assert described(night) == (
        'at "0 3 * * *", or when one has waited for 90 minutes, between 22:00 and 06:00 (Europe/Berlin)'
    )
