"""Reads the sources that are due, one after the other, beside whatever else a process does.

What goes wrong with one stops neither the others nor a cycle: it is said once, and tried again later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from ice_agent import clocks
from ice_agent.background import repeated
from ice_agent.config import Config
from ice_agent.errors import IceError
from ice_agent.refresh import Outcome, due, refresh_all, standing
from ice_agent.settings import SourceSettings
from memory import Archive, StoreError, now

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 15.0

AGAIN: Final = timedelta(minutes=5)
"""After which a source is tried again that nothing can be written down of: its tenant is not there."""


@contextmanager
def reading(archive: Archive, config: Config, poll_seconds: float = POLL_SECONDS) -> Iterator[None]:
    """Read what is due beside whatever this block does. Raises ConfigError for a cron line that is none."""
    if not config.refresh.sources:
        yield
        return
    rounds = Rounds(archive, config)
    rounds.due()
    # A feed that hangs is no reason to stay: what was taken over stays, the next run goes on from there.
    with repeated("sources", rounds.make, poll_seconds, leave_after=poll_seconds):
        yield


class Rounds:
    """One round after the other. What was read, and when, stands in the database."""

    def __init__(self, archive: Archive, config: Config, clock: Callable[[], datetime] = now) -> None:
        self._archive, self._config, self._clock = archive, config, clock
        self._again_at = dict[str, datetime]()
        self._problems = dict[str, str]()
        """What was said last of each source that fails."""

    def make(self) -> None:
        """Read the sources that are due."""
        try:
            sources = self.due()
        except StoreError as error:
            logger.error("cannot look for sources: %s", error)
            return
        for source in sources:
            self._again_at[source.name] = self._clock() + AGAIN
            try:
                (report,) = refresh_all(self._archive, self._config, [source.name])
                failed = report.reason if report.outcome is Outcome.FAILED else ""
            except (IceError, StoreError, OSError) as error:
                failed = str(error)
            except Exception as error:  # noqa: BLE001 - the other sources are read whatever is in this one
                failed = f"{source.name}: {type(error).__name__}: {error}"
            self._say(source.name, failed)

    def due(self) -> tuple[SourceSettings, ...]:
        at, zone = self._clock(), clocks.zone(self._config.schedule.timezone)
        rows = standing(self._archive, self._config, at)
        ran_at = {row.source: row.last_run for row in rows if row.last_run is not None}
        found = due(self._config.refresh.sources, ran_at, at, zone)
        return tuple(source for source in found if self._again_at.get(source.name, at) <= at)

    def _say(self, name: str, failed: str) -> None:
        """A problem once, and that it is over."""
        before = self._problems.get(name, "")
        if failed and failed != before:
            logger.error("not refreshed, and tried again later: %s", failed)
        elif before and not failed:
            logger.info("%s can be read again", name)
        self._problems[name] = failed
