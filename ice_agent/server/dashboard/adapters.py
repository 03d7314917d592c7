"""The adapters of a tenant: which came of which, how each was measured, what it answers, which serves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from ice_agent import decide, difference, promote, transcripts
from ice_agent.probes import BESIDE, EDIT_SUCCESS, LOCALITY_UNKNOWN
from ice_agent.server.access import Visit
from ice_agent.server.dashboard import drawn
from ice_agent.server.dashboard.rendering import Page, gone_to, is_as_wanted, page
from ice_agent.server.dashboard.visitors import Deciding, Form, Looking
from ice_agent.server.refusals import Refused
from memory import Adapter, AdapterStatus, Transcript

router = APIRouter(route_class=Page, include_in_schema=False)

KEPT: Final = 30
"""Adapters, the newest, whose kept answers are read for the table of what is still answered."""
PER_PAGE: Final = 100
EVERY: Final = "all"
"""Kinds of questions."""


@router.get("/ui/adapters")
def listed(request: Request, visit: Looking) -> Response:
    store, folder = visit.store, visit.config.adapters.dir
    adapters, batches, serving = store.adapters(), store.batches(), store.serving()
    asked = {each.id: transcripts.read(folder, each.id) or () for each in adapters[-KEPT:]}
    columns, kept = drawn.retention(adapters, batches, asked)
    return page(
        request,
        "adapters.html",
        adapters=adapters[::-1],
        graph=drawn.graph(adapters, serving),
        serving=serving,
        n_facts={batch.id: batch.size for batch in batches},
        measured=drawn.measured(adapters),
        metrics=drawn.SHOWN,
        columns=columns,
        kept=kept,
        comparable=[each for each in adapters[::-1] if each.status is not AdapterStatus.FORGOTTEN],
    )


@router.get("/ui/adapters/compare")
def compared(request: Request, visit: Looking, a: str, b: str) -> Response:
    found = difference.difference(visit.store, visit.config, a, b)
    figures = [drawn.figures(each.scores) for each in (found.first, found.second)]
    return page(
        request,
        "compare.html",
        found=found,
        metrics=list(dict.fromkeys(name for column in figures for name in column)),
        figures=figures,
    )


@router.get("/ui/adapters/{adapter_id}")
def shown(
    request: Request,
    visit: Looking,
    adapter_id: str,
    kind: str = EDIT_SUCCESS,
    number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
) -> Response:
    store, config = visit.store, visit.config
    adapter = store.adapter(adapter_id)
    kept = transcripts.read(config.adapters.dir, adapter.id)
    asked = [t for t in kept or () if kind in (EVERY, t.kind)]
    return page(
        request,
        "adapter.html",
        adapter=adapter,
        batch=store.batch(adapter.batch_id) if adapter.batch_id else None,
        children=[each for each in store.adapters() if each.parent_id == adapter.id],
        guards=_guards(visit, adapter),
        transcripts=sorted(asked, key=is_as_wanted)[(number - 1) * PER_PAGE : number * PER_PAGE],
        n_asked=len(asked),
        is_kept=kept is not None,
        kinds=_kinds(kept or ()),
        kind=kind,
        number=number,
        n_pages=max(1, -(-len(asked) // PER_PAGE)),
        beside=(*BESIDE, LOCALITY_UNKNOWN),
        n_held=len(store.held_by(adapter.id)),
        acts=acts(visit, adapter),
    )


@router.get("/ui/adapters/{adapter_id}/promote")
def may_promote(request: Request, visit: Deciding, adapter_id: str) -> Response:
    """Whether it would serve, by the guards as they are set now."""
    adapter = _may(visit, visit.store.adapter(adapter_id), "promote")
    return _asked_to_promote(request, visit, adapter)


@router.post("/ui/adapters/{adapter_id}/promote")
def promoted(request: Request, visit: Deciding, form: Form, adapter_id: str) -> Response:
    adapter, verdict = decide.promoted(visit.store, visit.config, adapter_id)
    if verdict.promote:
        return gone_to(f"/ui/adapters/{adapter.id}", done="promote")
    return _asked_to_promote(request, visit, adapter, refused=verdict.reasons)


@router.get("/ui/adapters/{adapter_id}/reject")
def may_reject(request: Request, visit: Deciding, adapter_id: str) -> Response:
    adapter = _may(visit, visit.store.adapter(adapter_id), "reject")
    batch = visit.store.batch(adapter.batch_id) if adapter.batch_id else None
    return page(request, "reject.html", adapter=adapter, batch=batch)


@router.post("/ui/adapters/{adapter_id}/reject")
def rejected(visit: Deciding, form: Form, adapter_id: str) -> Response:
    adapter = decide.rejected(visit.store, visit.config, adapter_id)
    return gone_to(f"/ui/adapters/{adapter.id}", done="reject")


@router.get("/ui/adapters/{adapter_id}/revert")
def may_revert(request: Request, visit: Deciding, adapter_id: str) -> Response:
    """What leaves the weights if this adapter, an ancestor of what serves, is put back."""
    target = _may(visit, visit.store.adapter(adapter_id), "revert")
    serving = visit.store.serving()
    stays = {fact.id for fact in visit.store.held_by(target.id)}
    leaving = [fact for fact in visit.store.held_by(serving.id) if fact.id not in stays] if serving else []
    ended = decide.no_longer_true(visit.store, target)
    return page(request, "revert.html", target=target, serving=serving, leaving=leaving, ended=ended)


@router.post("/ui/adapters/{adapter_id}/revert")
def reverted(visit: Deciding, form: Form, adapter_id: str) -> Response:
    to = visit.store.adapter(adapter_id).id
    decide.reverted(visit.store, visit.config, to=to, retract=form.get("retract") == "yes")
    return gone_to(f"/ui/adapters/{to}", done="revert")


def _asked_to_promote(
    request: Request, visit: Visit, adapter: Adapter, refused: Sequence[str] = ()
) -> Response:
    return page(
        request,
        "promote.html",
        status=409 if refused else 200,
        adapter=adapter,
        guards=_guards(visit, adapter),
        refused=refused,
        ended=decide.no_longer_true(visit.store, adapter),
    )


def acts(visit: Visit, adapter: Adapter) -> Sequence[str]:
    """What may be decided about an adapter: to put back is what the one that serves came of."""
    is_candidate = adapter.status is AdapterStatus.CANDIDATE and adapter.scores is not None
    may = {
        "promote": (is_candidate or adapter.status is AdapterStatus.REVERTED) and _fits(visit, adapter),
        "reject": is_candidate,
        "revert": adapter.id in {each.id for each in visit.store.way_back()[1:]} and not adapter.collected_at,
    }
    return [act for act, is_open in may.items() if is_open]


def _fits(visit: Visit, adapter: Adapter) -> bool:
    """Whether what serves is what it was measured against: its parent, or what a rebuild is to replace."""
    serving = visit.store.serving()
    batch = visit.store.batch(adapter.batch_id) if adapter.batch_id else None
    measured_against = (batch and batch.replaces_id) or adapter.parent_id
    return serving is not None and serving.id == measured_against and adapter.collected_at is None


def _may(visit: Visit, adapter: Adapter, act: str) -> Adapter:
    if act not in acts(visit, adapter):
        raise Refused(409, f"{adapter.id} is {adapter.status}: there is nothing to {act}")
    return adapter


def _guards(visit: Visit, adapter: Adapter) -> tuple[promote.Guard, ...]:
    if adapter.scores is None or adapter.parent_scores is None:
        return ()
    return promote.table(adapter.parent_scores, adapter.scores, visit.config.guards)


def _kinds(kept: Iterable[Transcript]) -> dict[str, int]:
    counts = dict[str, int]()
    for transcript in kept:
        counts[transcript.kind] = counts.get(transcript.kind, 0) + 1
    return counts
