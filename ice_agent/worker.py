"""Serves the queue of tenants whose cycle is due. The queue is the database: any number of workers share it.

A worker needs no more than the settings. It takes the tenant that is most overdue and that nobody works for,
runs its cycle, and goes on; a tenant that is new, or whose worker died, comes up like any other.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from threading import Event, Lock, Thread
from typing import Final

from ice_agent import leasing, logs, schedule
from ice_agent.config import Config
from ice_agent.executors import Ending, Outcome, Place
from memory import Archive, Backlog, StoreError, now

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 15.0

_JUDGED = (Ending.PROMOTED, Ending.REJECTED, Ending.AWAITING)


class Queue:
    """The due tenants of a database, or a single one, each handed out to one place of this worker at a time.

    Raises ConfigError for a cron line that is none.
    """

    def __init__(
        self,
        archive: Archive,
        config: Config,
        *,
        only: str | None = None,
        poll_seconds: float = POLL_SECONDS,
        clock: Callable[[], datetime] = now,
    ) -> None:
        schedule.check(config.schedule)
        self._archive, self._config, self._only = archive, config, only
        self._poll_seconds, self._clock = poll_seconds, clock
        self._lock = Lock()
        self._due = deque[str]()
        self._at_work = set[str]()
        self._empty = dict[str, Backlog]()
        """What a cycle found nothing in: it is left alone until it changes."""
        self._looked_at = -poll_seconds
        self._has_moved = False
        """Since the last look a cycle came to an end that may leave more to do."""

    @property
    def times(self) -> str:
        return schedule.described(self._config.schedule)

    def take(self) -> tuple[Backlog, str] | None:
        """The most overdue tenant that nobody works for, and why its cycle is due; None when none is."""
        with self._lock:
            if self._is_stale():
                self._look()
            if (found := self._first()) is None and self._has_moved:
                self._look()
                found = self._first()
            return found

    def _first(self) -> tuple[Backlog, str] | None:
        while self._due:
            if (found := self._still_due(self._due.popleft())) is not None:
                self._at_work.add(found[0].tenant)
                return found
        return None

    def done(self, backlog: Backlog, outcome: Outcome) -> None:
        """The cycle of a tenant that was taken has ended."""
        with self._lock:
            self._at_work.discard(backlog.tenant)
            self._has_moved |= outcome.ending in _JUDGED
            if outcome.ending is Ending.NOTHING:
                self._empty[backlog.tenant] = backlog

    def _is_stale(self) -> bool:
        return time.monotonic() - self._looked_at >= self._poll_seconds

    def _look(self) -> None:
        backlogs = self._archive.backlogs() if self._only is None else [self._archive.backlog(self._only)]
        # Not before it was answered: a database that does not answer is asked again by the next take.
        self._looked_at, self._has_moved = time.monotonic(), False
        self._empty = {b.tenant: self._empty[b.tenant] for b in backlogs if b.tenant in self._empty}
        starts = [(self._next(backlog).at, backlog.tenant) for backlog in backlogs]
        moment = self._clock()
        due = sorted((at, tenant) for at, tenant in starts if at is not None and at <= moment)
        self._due = deque(tenant for _, tenant in due)

    def _still_due(self, tenant: str) -> tuple[Backlog, str] | None:
        """Looked at again, alone: since the queue was read, somebody else may have worked for it."""
        if tenant in self._at_work:
            return None
        backlog = self._archive.backlog(tenant)
        cycle = self._next(backlog)
        if not cycle.is_due(self._clock()) or self._empty.get(tenant) == backlog:
            return None
        return backlog, cycle.why

    def _next(self, backlog: Backlog) -> schedule.NextCycle:
        if backlog.owner is not None and leasing.is_gone(backlog.owner):
            backlog = replace(backlog, owner=None)
        return schedule.next_cycle(backlog, self._config.schedule, self._config.cycle, self._clock())


def serve(
    queue: Queue,
    places: Sequence[Place],
    stop: Event,
    *,
    once: bool = False,
    poll_seconds: float = POLL_SECONDS,
    report: Callable[[Outcome], None] = lambda _: None,
) -> None:
    """Run the cycles that are due, one a time in each place, until `stop` is set, or with `once` none is."""

    def work(place: Place) -> None:
        while not stop.is_set():
            try:
                taken = queue.take()
            except StoreError as error:
                logger.error("cannot look for what is due: %s", error)
                taken = None
            if taken is not None:
                _run(queue, place, *taken, report)
            elif once:
                return
            else:
                stop.wait(poll_seconds)

    logger.info("cycles start %s", queue.times)
    *others, first = places
    threads = [Thread(target=work, args=(place,), daemon=True) for place in others]
    for thread in threads:
        thread.start()
    work(first)
    for thread in threads:
        thread.join()
    logger.info("stopped")


def _run(queue: Queue, place: Place, backlog: Backlog, why: str, report: Callable[[Outcome], None]) -> None:
    with logs.about(tenant=backlog.tenant_id):
        logger.info("starting a cycle: %s", why)
        outcome = place.run(backlog.tenant)
        queue.done(backlog, outcome)
        _log(outcome)
    report(outcome)


def _log(outcome: Outcome) -> None:
    if outcome.adapter is not None:
        logger.info("%s %s in %.1f s", outcome.ending, outcome.adapter.id, outcome.seconds)
    elif outcome.ending is Ending.DIED:
        logger.error("a cycle died, the next one goes on with what it left: %s", outcome.problem)
    elif outcome.ending is Ending.FAILED:
        logger.error("no cycle: %s", outcome.problem)
    else:
        logger.info("no cycle: %s", outcome.problem)
