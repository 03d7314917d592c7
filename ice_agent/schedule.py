"""When a cycle starts: a clock, a batch that has grown, and the hours in which it may. One cycle at a time.

What is due is a pure function. APScheduler keeps the time and no jobs: those are made from the settings anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, time
from threading import Event

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from ice_agent.config import CycleSettings, ScheduleSettings
from ice_agent.errors import ConfigError, EmptyBatch, IceError
from memory import LeaseHeld, StoreError

logger = logging.getLogger(__name__)

POLL_SECONDS = 15.0


class Schedule:
    """Starts cycles until it is stopped. `cycle` runs one and says if it promoted; `waiting` counts facts."""

    def __init__(
        self,
        settings: ScheduleSettings,
        limits: CycleSettings,
        *,
        waiting: Callable[[], int],
        cycle: Callable[[], bool],
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._settings, self._limits = settings, limits
        self._waiting, self._cycle, self._clock = waiting, cycle, clock
        self._is_owed = False
        self._tried = 0

    def serve(self, stop: Event, poll_seconds: float = POLL_SECONDS) -> None:
        """Start cycles when they are due, until `stop` is set. Raises ConfigError for a wrong cron line."""
        # One worker: the clock and the poll can never run two cycles side by side.
        scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)}, job_defaults={"coalesce": True, "max_instances": 1}
        )
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        if (trigger := clock_trigger(self._settings)) is not None:
            scheduler.add_job(self.strike, trigger)
        scheduler.add_job(
            self.look, IntervalTrigger(seconds=poll_seconds), next_run_time=datetime.now().astimezone()
        )
        scheduler.start()
        logger.info("cycles start %s", described(self._settings))
        try:
            stop.wait()
        finally:
            scheduler.shutdown(wait=True)
            logger.info("stopped")

    def strike(self) -> None:
        """The clock asks for a cycle: now, or as soon as the window opens."""
        self._is_owed = True
        self.look()

    def look(self) -> None:
        """Run a cycle if one is due. What goes wrong is logged, and the next one tries again."""
        try:
            waiting = self._waiting()
        except StoreError as error:
            logger.error("cannot look for facts: %s", error)
            return
        reason = due(
            self._settings, self._limits.min_batch, waiting=waiting, tried=self._tried, is_owed=self._is_owed,
            at=self._clock().time(),
        )  # fmt: skip
        if not reason:
            return
        self._is_owed = False
        self._tried = waiting
        logger.info("starting a cycle: %s", reason)
        try:
            if self._cycle():
                self._tried = 0
        except LeaseHeld as held:
            logger.info("a cycle runs already: %s has the lease until %s", held.owner, held.until)
        except EmptyBatch:
            logger.info("nothing is pending any more")
        except (IceError, StoreError) as error:
            logger.error("no cycle: %s", error)
        except KeyboardInterrupt:
            logger.info("interrupted: nothing was promoted, the facts are pending again")


def until(stop: Event) -> Callable[[str, int, int, str], None]:
    """A progress callback that interrupts a cycle, which then puts everything back, once `stop` is set."""

    def check(stage: str, done: int, total: int, note: str) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    return check


def due(
    settings: ScheduleSettings, min_batch: int, *, waiting: int, tried: int, is_owed: bool, at: time
) -> str:
    """Why a cycle should start at this local time; empty when it should not.

    `tried` is how many facts waited at the last cycle that did not promote: only a batch that has grown since
    starts one early, or a batch that keeps failing would be trained on without a pause.
    """
    if waiting < max(min_batch, 1) or not is_inside(settings.window, at):
        return ""
    if is_owed:
        return f"it is time, and facts wait ({waiting})"
    if settings.batch_trigger and waiting >= settings.batch_trigger and waiting > tried:
        return f"{waiting} facts wait (batch_trigger = {settings.batch_trigger})"
    return ""


def is_inside(window: str, at: time) -> bool:
    """Whether a local time lies in "22:00-06:00": the start does, the end does not."""
    if not window:
        return True
    start, end = (time.fromisoformat(hour) for hour in window.split("-"))
    if start <= end:
        # From an hour to the same hour is the whole day.
        return start == end or start <= at < end
    return at >= start or at < end


def clock_trigger(settings: ScheduleSettings) -> IntervalTrigger | CronTrigger | None:
    """APScheduler's trigger for the clock of the settings. Raises ConfigError."""
    if settings.every_minutes:
        return IntervalTrigger(minutes=settings.every_minutes)
    if not settings.cron:
        return None
    try:
        return CronTrigger.from_crontab(settings.cron)
    except ValueError as error:
        raise ConfigError(f"[schedule] cron = {settings.cron!r} is not a time: {error}") from error


def described(settings: ScheduleSettings) -> str:
    """ "every 60 minutes, or when 50 facts wait, between 22:00 and 06:00"."""
    clocks = []
    if settings.every_minutes:
        clocks.append(
            "every minute" if settings.every_minutes == 1 else f"every {settings.every_minutes} minutes"
        )
    if settings.cron:
        clocks.append(f'at "{settings.cron}"')
    if settings.batch_trigger:
        clocks.append(f"when {settings.batch_trigger} facts wait")
    window = f", between {settings.window.replace('-', ' and ')}" if settings.window else ""
    return ", or ".join(clocks) + window
