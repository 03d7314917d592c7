"""When a tenant's next cycle starts, and why: a pure function of what waits for it, by the settings.

All that is decided by stands in the database, so that a restart forgets nothing, and whoever asks, on
whatever machine, gets the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from ice_agent import clocks
from ice_agent.errors import ConfigError
from ice_agent.settings import CycleSettings, ScheduleSettings
from memory import Backlog, now


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCycle:
    """When a tenant's next cycle is to start, and what starts it."""

    at: datetime | None
    """None: nothing that is known now will start one."""
    why: str

    def is_due(self, at: datetime) -> bool:
        return self.at is not None and self.at <= at


def next_cycle(
    backlog: Backlog, settings: ScheduleSettings, limits: CycleSettings, at: datetime
) -> NextCycle:
    """What would start the next cycle first, less what keeps it back. Raises ConfigError for a cron line.

    Due is due: a time that was missed while nothing ran starts a cycle late, and once.
    """
    if backlog.owner is not None:
        return NextCycle(at=None, why=f"one runs now ({backlog.owner})")
    if limits.approval == "manual" and backlog.is_measured:
        return NextCycle(at=None, why="a candidate waits for approval (`ice-agent adapters`)")
    if backlog.waits_since is None:
        return NextCycle(at=None, why="nothing waits")
    starts = list(_starts(backlog, backlog.waits_since, settings, limits))
    if not starts:
        return NextCycle(at=None, why=_too_few(backlog, settings, limits))
    first, why = min(starts)
    return _kept_back(first, why, backlog, settings, at)


def _starts(
    backlog: Backlog, since: datetime, settings: ScheduleSettings, limits: CycleSettings
) -> Iterator[tuple[datetime, str]]:
    """Each thing that starts a cycle, and when: of these the first one does."""
    if backlog.is_claimed:
        yield since, "a cycle ended in the middle of it"
    if settings.max_age_minutes:
        oldest = since + timedelta(minutes=settings.max_age_minutes)
        yield oldest, f"a fact waits no longer than that (max_age_minutes = {settings.max_age_minutes})"
    if backlog.n_waiting < limits.min_batch:
        return
    if settings.batch_trigger and backlog.n_waiting >= settings.batch_trigger:
        yield since, f"{backlog.n_waiting} facts wait (batch_trigger = {settings.batch_trigger})"
    # What was told after the last cycle began to wait for the clock then; what it left over, when it ended.
    waits_from = max(since, backlog.ended_at or since)
    if settings.every_minutes:
        yield (
            waits_from + timedelta(minutes=settings.every_minutes),
            f"every_minutes = {settings.every_minutes}",
        )
    if settings.cron and (strikes := _strikes(settings, waits_from)) is not None:
        yield strikes, f'cron = "{settings.cron}"'


def _strikes(settings: ScheduleSettings, moment: datetime) -> datetime | None:
    try:
        return clocks.after(settings.cron, moment, clocks.zone(settings.timezone))
    except ValueError as error:
        raise ConfigError(f"[schedule] cron = {settings.cron!r} is not a time: {error}") from error


def _kept_back(
    first: datetime, why: str, backlog: Backlog, settings: ScheduleSettings, at: datetime
) -> NextCycle:
    """Not before the pause after a failure is over, and not outside the window."""
    again = backlog.ended_at + pause(backlog.failures, settings) if backlog.ended_at else first
    if again > first:
        times = "once" if backlog.failures == 1 else f"{backlog.failures} times in a row"
        first, why = (
            again,
            f"{why}; it promoted nothing {times} (backoff_minutes = {settings.backoff_minutes})",
        )
    # What is due already waits for the window to open from now on.
    opens = clocks.opening(settings.window, max(first, at), clocks.zone(settings.timezone))
    if opens > max(first, at):
        return NextCycle(at=opens, why=f'{why}; the window opens (window = "{settings.window}")')
    return NextCycle(at=first, why=why)


def _too_few(backlog: Backlog, settings: ScheduleSettings, limits: CycleSettings) -> str:
    if backlog.n_waiting < limits.min_batch:
        return f"{backlog.n_waiting} wait for company (min_batch = {limits.min_batch})"
    return f"{backlog.n_waiting} wait for company (batch_trigger = {settings.batch_trigger})"


def pause(failures: int, settings: ScheduleSettings) -> timedelta:
    """After so many cycles in a row that promoted nothing: twice as long after each, up to the longest."""
    if not failures:
        return timedelta()
    # No power of any number of failures: it would be no number of minutes.
    doubled = settings.backoff_minutes * 2 ** min(failures - 1, 30)
    return timedelta(minutes=min(doubled, settings.max_backoff_minutes))


def check(settings: ScheduleSettings) -> None:
    """Raises ConfigError for a cron line that names no time."""
    if settings.cron:
        _strikes(settings, now())


def described(settings: ScheduleSettings) -> str:
    """ "every 60 minutes, or when 50 facts wait, between 22:00 and 06:00"."""
    starts = []
    if settings.every_minutes:
        starts.append(
            "every minute" if settings.every_minutes == 1 else f"every {settings.every_minutes} minutes"
        )
    if settings.cron:
        starts.append(f'at "{settings.cron}"')
    if settings.batch_trigger:
        starts.append(f"when {settings.batch_trigger} facts wait")
    if settings.max_age_minutes:
        starts.append(f"when one has waited for {settings.max_age_minutes} minutes")
    window = f", between {settings.window.replace('-', ' and ')}" if settings.window else ""
    return ", or ".join(starts) + window + (f" ({settings.timezone})" if settings.timezone else "")
