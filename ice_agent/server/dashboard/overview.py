"""The first page: what serves, what waits for a person or for a cycle, and how the last cycles ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request, Response

from ice_agent import plan, schedule
from ice_agent.server.access import Visit
from ice_agent.server.dashboard.facts import SET_ASIDE
from ice_agent.server.dashboard.rendering import Page, gone_to, page
from ice_agent.server.dashboard.visitors import Deciding, Form, Looking
from ice_agent.server.runs import Run, State
from memory import Adapter, Batch, Fact, FactStatus, FactStore, newest, now

router = APIRouter(route_class=Page, include_in_schema=False)

LATEST: Final = 8
"""Cycles that are shown, and facts."""
FEW: Final = 200
IN_PROMPT: Final = (FactStatus.PENDING, FactStatus.CLAIMED, *SET_ASIDE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A cycle, by what it left: its batch, and the candidates that came of it, newest first."""

    batch: Batch
    candidates: tuple[Adapter, ...]

    @property
    def adapter(self) -> Adapter | None:
        """The one that its end was about: what served of it, else what was tried last."""
        served = (a for a in self.candidates if a.id == self.batch.adapter_id)
        return next(served, self.candidates[0] if self.candidates else None)


@router.get("/")
def overview(request: Request, visit: Looking) -> Response:
    store, serving = visit.store, visit.serving
    backlog = serving.archive.backlog(visit.tenant)
    settings = visit.config
    adapters, counts = store.adapters(), store.counts()
    n_written, n_waiting = serving.engine.load
    learn, unlearn = _next(store, backlog.n_waiting)
    return page(
        request,
        "overview.html",
        adapter=store.serving(),
        candidate=store.awaiting(),
        counts=counts,
        n_in_prompt=sum(counts[status] for status in IN_PROMPT),
        proposals=store.proposals(),
        aside=store.facts(statuses=SET_ASIDE),
        learn=learn,
        unlearn=unlearn,
        backlog=backlog,
        following=schedule.next_cycle(backlog, settings.schedule, settings.cycle, now()),
        runs=schedule.described(settings.schedule),
        run=asked_for(visit),
        cycles=latest(store.batches(), adapters),
        n_adapters=len(adapters),
        engine={"is_open": serving.engine.is_open, "n_written": n_written, "n_waiting": n_waiting},
        base=settings.model.name,
        tip=store.tip(),
        signed_at=_signed_at(visit),
        is_new=is_new(visit),
    )


@router.post("/ui/cycles")
def learn_now(visit: Deciding, form: Form) -> Response:
    """Ask for a cycle, which runs beside the server."""
    visit.serving.runs.begin(visit.tenant)
    return gone_to("/", done="cycle")


def asked_for(visit: Visit) -> Run | None:
    """The cycle that somebody asked for here, while it waits or runs, or when it came to no verdict."""
    newest_first = visit.serving.runs.of(visit.tenant)
    run = newest_first[0] if newest_first else None
    return run if run and (run.state is not State.ENDED or run.adapter_id is None) else None


def latest(batches: tuple[Batch, ...], adapters: tuple[Adapter, ...]) -> list[Ran]:
    """The last cycles, newest first, each with what came of it."""
    came_of = dict[str, list[Adapter]]()
    for adapter in adapters[::-1]:
        if adapter.batch_id is not None:
            came_of.setdefault(adapter.batch_id, []).append(adapter)
    newest_first = sorted(batches, key=lambda batch: batch.created_at, reverse=True)
    return [Ran(batch=batch, candidates=tuple(came_of.get(batch.id, ()))) for batch in newest_first[:LATEST]]


def _next(store: FactStore, n_waiting: int) -> tuple[Sequence[Fact], Sequence[Fact]]:
    """What the next cycle teaches and unteaches; of very many, the newest that it teaches."""
    if n_waiting <= FEW:
        return plan.waiting(store)
    return store.facts(statuses=[FactStatus.PENDING], newest=LATEST)[::-1], ()


def _signed_at(visit: Visit) -> datetime | None:
    path = newest(visit.config.ledger.checkpoints)
    return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path else None


def is_new(visit: Visit) -> bool:
    """Nothing was told yet."""
    return not visit.store.facts(statuses=FactStatus, newest=1)
