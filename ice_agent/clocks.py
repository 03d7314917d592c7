"""Times as people write them, in a zone whose clocks are put forward and back: cron lines and hours of a day.

Pure functions of moments. Whatever is asked or answered is a moment in UTC; a zone of None is the machine's.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

MINUTE = timedelta(minutes=1)


def zone(name: str) -> tzinfo | None:
    """The zone of this name; without one, the machine's own."""
    return ZoneInfo(name) if name else None


def after(line: str, moment: datetime, within: tzinfo | None) -> datetime | None:
    """When a cron line strikes next after a moment; None if it never does. Raises ValueError.

    A time that a change of clocks leaves out strikes an hour later by the clock, one that it shows twice
    strikes once, and what strikes every hour strikes every hour.
    """
    whole = moment.astimezone(UTC).replace(second=0, microsecond=0)
    return _strikes(line, whole + MINUTE, within)


@lru_cache(maxsize=4096)
def _strikes(line: str, minute: datetime, within: tzinfo | None) -> datetime | None:
    """From this minute on. Many tenants ask for the same ones."""
    trigger = CronTrigger.from_crontab(line, timezone=within)
    # In UTC, because adding to a local time forgets which of two equal hours it was in.
    found = trigger.get_next_fire_time(None, minute)
    if found is not None and found.fold and "*" not in line.split()[1]:
        # Clocks that are put back show its hour a second time.
        found = trigger.get_next_fire_time(None, found.astimezone(UTC) + timedelta(hours=1))
    return found.astimezone(UTC) if found is not None else None


def is_inside(window: str, at: time) -> bool:
    """Whether a local time lies in "22:00-06:00": the start does, the end does not."""
    if not window:
        return True
    start, end = (time.fromisoformat(hour) for hour in window.split("-"))
    if start <= end:
        # From an hour to the same hour is the whole day.
        return start == end or start <= at < end
    return at >= start or at < end


def opening(window: str, moment: datetime, within: tzinfo | None) -> datetime:
    """The first moment from this one on that lies in the window, by the clocks of the zone."""
    if is_inside(window, moment.astimezone(within).time()):
        return moment
    minute = moment.astimezone(UTC).replace(second=0, microsecond=0)
    # Minute by minute: whatever clocks do meanwhile, the first that shows such a time is the first.
    while not is_inside(window, minute.astimezone(within).time()):
        minute += MINUTE
    return minute
