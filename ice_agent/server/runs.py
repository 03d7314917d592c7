"""Cycles that were asked for over HTTP: one after the other, in a process beside the one that serves."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from threading import Condition, Event, Thread
from typing import Final

from ice_agent.errors import CycleError, IceError
from ice_agent.executors import Ending, Outcome, Place, Stop
from memory import StoreError, now

logger = logging.getLogger(__name__)

KEPT: Final = 200
"""Cycles that have ended and are still told of; the adapters say what came of all."""

MOST_WAITING: Final = 100

IDLE_SECONDS: Final = 300.0
"""How long the process, with a base model in its memory, waits for another cycle before it ends."""

OpenPlace = Callable[[Stop], AbstractContextManager[Place]]


class State(StrEnum):
    WAITING = "waiting"  # another cycle runs
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One cycle that was asked for."""

    id: str
    tenant: str
    state: State
    asked_at: datetime
    began_at: datetime | None = None
    ended_at: datetime | None = None
    ending: Ending | None = None
    adapter_id: str | None = None
    reasons: tuple[str, ...] = ()
    """Why its adapter was not promoted, or what went wrong."""


class Runs:
    """The queue of cycles.

    The process that runs them, with its own base model, starts with the first one, and again after it had
    nothing to do for so long that it ended.
    """

    def __init__(self, open_place: OpenPlace, idle_seconds: float = IDLE_SECONDS) -> None:
        self._open_place, self._idle_seconds = open_place, idle_seconds
        self._turn, self._stop = Condition(), Event()
        self._runs = dict[str, Run]()
        self._waiting = deque[str]()
        self._thread: Thread | None = None

    def begin(self, tenant: str) -> Run:
        """Ask for a cycle of a tenant; one that is asked for already is given back.

        Raises CycleError when too many wait, or it is being stopped.
        """
        with self._turn:
            if self._stop.is_set():
                raise CycleError("no more cycles are begun: the server is being stopped")
            for run in self._runs.values():
                if run.tenant == tenant and run.state is not State.ENDED:
                    return run
            if len(self._waiting) >= MOST_WAITING:
                raise CycleError(f"{MOST_WAITING} cycles are waiting: `ice-agent worker` runs more at a time")
            run = Run(id=f"c_{secrets.token_hex(8)}", tenant=tenant, state=State.WAITING, asked_at=now())
            self._runs[run.id] = run
            self._waiting.append(run.id)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="cycles", daemon=True)
                self._thread.start()
            self._turn.notify_all()
            return run

    def of(self, tenant: str) -> tuple[Run, ...]:
        """Newest first."""
        with self._turn:
            return tuple(run for run in reversed(self._runs.values()) if run.tenant == tenant)

    def close(self) -> None:
        """Interrupt what runs: nothing is promoted then, and its facts wait again."""
        with self._turn:
            self._stop.set()
            self._turn.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            with self._open_place(self._stop) as place:
                while (run := self._next()) is not None:
                    self._end(run, place.run(run.tenant))
        except (IceError, StoreError, OSError) as error:
            logger.error("no place to run cycles: %s", error)
            self._give_up(str(error))

    def _next(self) -> Run | None:
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._stop.is_set(), self._idle_seconds)
            if self._stop.is_set():
                return None
            if not self._waiting:
                # Whoever asks from here on has another process begun, while this one ends.
                self._thread = None
                return None
            run = self._runs[self._waiting.popleft()]
            self._runs[run.id] = run = replace(run, state=State.RUNNING, began_at=now())
            return run

    def _end(self, run: Run, outcome: Outcome) -> None:
        reasons = outcome.verdict.reasons if outcome.verdict else ()
        logger.info("cycle %s of %s: %s", run.id, outcome.tenant, outcome.ending)
        with self._turn:
            self._runs[run.id] = replace(
                run,
                state=State.ENDED,
                ended_at=now(),
                ending=outcome.ending,
                adapter_id=outcome.adapter.id if outcome.adapter else None,
                reasons=(*reasons, *([outcome.problem] if outcome.problem else ())),
            )
            ended = [each.id for each in self._runs.values() if each.state is State.ENDED]
            for old in ended[:-KEPT]:
                del self._runs[old]

    def _give_up(self, problem: str) -> None:
        """There is no process, so that all who wait hear why; the next who asks has another one tried."""
        with self._turn:
            self._thread = None
            for id_ in (run.id for run in self._runs.values() if run.state is not State.ENDED):
                self._runs[id_] = replace(
                    self._runs[id_],
                    state=State.ENDED,
                    ended_at=now(),
                    ending=Ending.FAILED,
                    reasons=(problem,),
                )
            self._waiting.clear()
