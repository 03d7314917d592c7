"""When a source is due: pure functions of its settings, its last run and the moment asked about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, tzinfo

from ice_agent import clocks
from ice_agent.errors import ConfigError
from ice_agent.settings import SourceSettings


def due(
    sources: Iterable[SourceSettings],
    ran_at: Mapping[str, datetime],
    at: datetime,
    zone: tzinfo | None = None,
) -> tuple[SourceSettings, ...]:
    """The sources to refresh at this moment, given by name when each was last tried.

    However many of its times were missed, a source is due once. Without a clock of its own it never is.
    """
    nexts = ((source, next_run(source, ran_at.get(source.name), at, zone)) for source in sources)
    return tuple(source for source, moment in nexts if moment is not None and moment <= at)


def next_run(
    source: SourceSettings, ran_at: datetime | None, at: datetime, zone: tzinfo | None = None
) -> datetime | None:
    """When the source is to be read next, `at` for one that never was; None for one that has no clock.

    A cron line is read in `zone`, the local one by default. Raises ConfigError for one that names no time.
    """
    if not source.every_minutes and not source.cron:
        return None
    if ran_at is None:
        return at
    if source.every_minutes:
        return ran_at + timedelta(minutes=source.every_minutes)
    try:
        return clocks.after(source.cron, ran_at, zone)
    except ValueError as error:
        raise ConfigError(f"cron = {source.cron!r} of {source.name} is not a time: {error}") from error
