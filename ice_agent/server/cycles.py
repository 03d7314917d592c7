"""Cycles: what the next one would do, asking for one, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter

from ice_agent import plan as planning
from ice_agent.errors import EmptyBatch
from ice_agent.plan import Plan
from ice_agent.schedule import NextCycle, next_cycle
from ice_agent.server.access import Operating, Reading
from ice_agent.server.refusals import Refused, documented, example
from ice_agent.server.runs import Run
from memory import Fact, FactStatus, now

router = APIRouter(prefix="/cycles", tags=["cycles"], responses=documented(409))

RUN = {
    "id": "c_1", "tenant": "tom", "state": "ended", "asked_at": "2026-11-22T12:00:00Z",
    "began_at": "2026-11-22T12:00:00Z", "ended_at": "2026-11-22T12:01:00Z", "ending": "promoted",
    "adapter_id": "a_2", "reasons": [],
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycles:
    next: NextCycle
    """When `ice-agent run` or `ice-agent worker` would start one, and why."""
    asked: tuple[Run, ...]
    """Those that were asked for here since the server was started, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    learn: tuple[Fact, ...]
    unlearn: tuple[Fact, ...]
    """Taken back, and still in the weights."""
    set_aside: tuple[Fact, ...]
    """Held or quarantined: in no cycle before they are released."""


@router.get("", responses=example({"next": {"at": None, "why": "nothing waits"}, "asked": [RUN]}))
def cycles(visit: Reading) -> Cycles:
    """When the next one is due, and those that were asked for."""
    backlog = visit.serving.archive.backlog(visit.tenant)
    following = next_cycle(backlog, visit.config.schedule, visit.config.cycle, now())
    return Cycles(next=following, asked=visit.serving.runs.of(visit.tenant))


@router.post("", status_code=202, responses=example(RUN | {"state": "waiting"}, 202))
def begin(visit: Operating) -> Run:
    """Ask for a cycle now. It runs in a process of its own, while answers are written as before.

    One that was asked for and has not ended is given back.
    """
    if planning.n_waiting(visit.store) == 0 and visit.store.awaiting() is None:
        raise EmptyBatch
    return visit.serving.runs.begin(visit.tenant)


@router.get("/plan")
def plan(visit: Reading) -> Plan:
    """What the next cycle would do; nothing is claimed."""
    return planning.plan(visit.store, visit.config)


@router.get("/pending")
def pending(visit: Reading) -> Pending:
    """What waits for a cycle, and what waits for a release."""
    learn, unlearn = planning.waiting(visit.store)
    aside = visit.store.facts(statuses=[FactStatus.HELD, FactStatus.QUARANTINED])
    return Pending(learn=tuple(learn), unlearn=tuple(unlearn), set_aside=aside)


@router.get("/{cycle_id}", responses=documented(404) | example(RUN))
def one(cycle_id: str, visit: Reading) -> Run:
    """One that was asked for here."""
    for run in visit.serving.runs.of(visit.tenant):
        if run.id == cycle_id:
            return run
    raise Refused(404, f"no cycle {cycle_id!r} was asked for here (see /cycles)")
