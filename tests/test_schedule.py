"""When a cycle is due: the clock, the batch that has grown, the window of hours; and when one fails."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, time

import pytest

from ice_agent.config import CycleSettings, ScheduleSettings
from ice_agent.errors import ConfigError, CycleError, EmptyBatch
from ice_agent.schedule import Schedule, clock_trigger, described, due, is_inside, until
from memory import LeaseHeld

HOURLY = ScheduleSettings(every_minutes=60, batch_trigger=5)
NOON = time(12)


def is_due(settings=HOURLY, *, waiting=3, tried=0, is_owed=False, at=NOON, min_batch=1):
    return bool(due(settings, min_batch, waiting=waiting, tried=tried, is_owed=is_owed, at=at))


def test_the_clock_starts_a_cycle_when_facts_wait():
    assert is_due(is_owed=True)


def test_the_clock_starts_nothing_when_nothing_waits():
    assert not is_due(is_owed=True, waiting=0)


def test_fewer_facts_than_min_batch_wait_for_company():
    assert not is_due(is_owed=True, waiting=2, min_batch=3)
    assert is_due(is_owed=True, waiting=3, min_batch=3)


def test_a_full_batch_does_not_wait_for_the_clock():
    assert is_due(waiting=5)
    assert not is_due(waiting=4)


def test_without_a_batch_trigger_only_the_clock_counts():
    assert not is_due(ScheduleSettings(every_minutes=60, batch_trigger=0), waiting=500)


def test_a_batch_that_was_not_promoted_is_not_tried_again_before_it_has_grown():
    assert not is_due(waiting=5, tried=5)
    assert is_due(waiting=6, tried=5)
    assert is_due(waiting=5, tried=5, is_owed=True)


def test_outside_the_window_nothing_starts():
    night = ScheduleSettings(window="22:00-06:00", batch_trigger=5)
    assert not is_due(night, waiting=500, is_owed=True, at=NOON)
    assert is_due(night, waiting=500, at=time(23))


@pytest.mark.parametrize(
    ("window", "at", "inside"),
    [
        ("", NOON, True),
        ("09:00-17:00", time(9), True),
        ("09:00-17:00", time(17), False),
        ("09:00-17:00", time(8, 59), False),
        ("22:00-06:00", time(22), True),
        ("22:00-06:00", time(0), True),
        ("22:00-06:00", time(5, 59, 59), True),
        ("22:00-06:00", time(6), False),
        ("22:00-06:00", NOON, False),
        ("08:00-08:00", time(3), True),
    ],
)
def test_a_window_may_reach_over_midnight(window, at, inside):
    assert is_inside(window, at) is inside


def test_a_clock_that_struck_outside_the_window_is_kept_until_it_opens():
    hours = iter([12, 21, 23])
    ran: list[str] = []
    settings = ScheduleSettings(every_minutes=1440, window="22:00-06:00")
    schedule = _schedule(settings, ran, clock=lambda: datetime(2026, 1, 5, next(hours), tzinfo=UTC))
    schedule.strike()
    schedule.look()
    assert ran == []
    schedule.look()
    assert ran == ["cycle"]


def test_after_a_promotion_the_same_number_of_facts_starts_the_next_cycle():
    ran: list[str] = []
    schedule = _schedule(HOURLY, ran, waiting=5)
    schedule.look()
    schedule.look()
    assert ran == ["cycle", "cycle"]


def test_after_a_rejection_the_same_facts_wait_for_the_clock():
    ran: list[str] = []
    schedule = _schedule(HOURLY, ran, waiting=5, promotes=False)
    schedule.look()
    schedule.look()
    assert ran == ["cycle"]
    schedule.strike()
    assert ran == ["cycle", "cycle"]


@pytest.mark.parametrize(
    ("refusal", "level", "line"),
    [
        (LeaseHeld("other/1", datetime(2026, 1, 1, tzinfo=UTC)), "INFO", "other/1"),
        (EmptyBatch(), "INFO", "nothing is pending"),
        (CycleError("no adapter yet: run `ice-agent init`"), "ERROR", "no adapter yet: run"),
    ],
)
def test_a_refused_cycle_is_a_line_in_the_log_and_the_schedule_goes_on(refusal, level, line, caplog):
    caplog.set_level(logging.INFO, logger="ice_agent.schedule")

    def refuse():
        raise refusal

    Schedule(HOURLY, CycleSettings(), waiting=lambda: 5, cycle=refuse).look()
    assert (caplog.records[-1].levelname, line in caplog.text, "ann" in caplog.text) == (level, True, False)


def test_serving_starts_a_due_cycle_and_stops_when_asked():
    stop, ran = threading.Event(), threading.Event()

    def cycle():
        ran.set()
        return True

    schedule = Schedule(HOURLY, CycleSettings(), waiting=lambda: 5, cycle=cycle)
    served = threading.Thread(target=schedule.serve, args=(stop,), kwargs={"poll_seconds": 60})
    served.start()
    assert ran.wait(timeout=20)
    stop.set()
    served.join(timeout=20)
    assert not served.is_alive()


def test_a_running_cycle_is_interrupted_by_its_own_progress():
    stop = threading.Event()
    progress = until(stop)
    progress("editing", 1, 10, "")
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        progress("editing", 2, 10, "")


def test_an_interrupted_cycle_ends_the_schedule_quietly(caplog):
    caplog.set_level(logging.INFO, logger="ice_agent.schedule")

    def interrupted():
        raise KeyboardInterrupt

    Schedule(HOURLY, CycleSettings(), waiting=lambda: 5, cycle=interrupted).look()
    assert "nothing was promoted" in caplog.text


def test_a_cron_line_that_names_no_time_is_refused_by_name():
    with pytest.raises(ConfigError, match="99 3"):
        clock_trigger(ScheduleSettings(every_minutes=0, cron="99 3 * * *"))


def test_every_kind_of_clock_has_its_trigger():
    assert clock_trigger(ScheduleSettings(every_minutes=0, cron="0 3 * * *")) is not None
    assert clock_trigger(ScheduleSettings(every_minutes=5)) is not None
    assert clock_trigger(ScheduleSettings(every_minutes=0, batch_trigger=5)) is None


def test_a_schedule_is_said_in_words():
    assert described(ScheduleSettings()) == "every 60 minutes, or when 50 facts wait"
    night = ScheduleSettings(every_minutes=0, cron="0 3 * * *", batch_trigger=0, window="22:00-06:00")
    assert described(night) == 'at "0 3 * * *", between 22:00 and 06:00'


def _schedule(settings, ran, *, waiting=3, promotes=True, clock=lambda: datetime(2026, 1, 5, 12, tzinfo=UTC)):
    def cycle():
        ran.append("cycle")
        return promotes

    return Schedule(settings, CycleSettings(), waiting=lambda: waiting, cycle=cycle, clock=clock)
