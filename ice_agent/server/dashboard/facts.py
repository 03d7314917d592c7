"""What was told, where each fact is served from, why it is believed, and what a person decides about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response

from ice_agent import decide, explain, forget, relations
from ice_agent.server.access import Visit
from ice_agent.server.dashboard import asking
from ice_agent.server.dashboard.rendering import Page, gone_to, page
from ice_agent.server.dashboard.visitors import Deciding, Form, Looking
from ice_agent.server.facts import places
from ice_agent.server.refusals import Refused
from memory import (
    STATEMENT,
    AccessRole,
    Adapter,
    BatchStatus,
    Fact,
    FactStatus,
    FactStore,
    Forgetting,
    UnknownFact,
)

router = APIRouter(route_class=Page, include_in_schema=False)

PER_PAGE: Final = 50
STANDING: Final = "standing"
EVERY: Final = "all"
SUGGESTED: Final = 6
"""Questions that are offered where nothing was asked yet."""

SET_ASIDE: Final = (FactStatus.HELD, FactStatus.QUARANTINED)

Act = Literal["quarantine", "release", "retract"]


@router.get("/ui/facts")
def listed(
    request: Request,
    visit: Looking,
    q: str = "",
    state: str = STANDING,
    number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
) -> Response:
    store = visit.store
    found = [fact for fact in reversed(_in_state(store, state)) if _has(fact, q)]
    shown = found[(number - 1) * PER_PAGE : number * PER_PAGE]
    proposals = store.proposals()
    return page(
        request,
        "facts.html",
        facts=shown,
        places=places(store, shown),
        n_found=len(found),
        number=number,
        n_pages=max(1, -(-len(found) // PER_PAGE)),
        q=q,
        state=state,
        states=(STANDING, *FactStatus, EVERY),
        counts=store.counts(),
        may_release=state in SET_ASIDE and bool(found),
        proposals=proposals,
        heard={each.id: store.utterance(each.utterance_id) for each in proposals},
    )


@router.get("/ui/facts/{fact_id}")
def shown(request: Request, visit: Looking, fact_id: str) -> Response:
    store = visit.store
    story = explain.explain(store, visit.config.adapters.dir, store.fact(fact_id).id)
    return page(
        request,
        "fact.html",
        story=story,
        places=places(store, story.history),
        acts=acts(visit, story.fact),
        serving=store.serving(),
    )


@router.get("/ui/facts/{fact_id}/{act}")
def confirm(request: Request, visit: Deciding, fact_id: str, act: Act) -> Response:
    """What a decision would do, before it is taken."""
    fact = _may(visit, visit.store.fact(fact_id), act)
    return page(
        request,
        "decide_fact.html",
        fact=fact,
        act=act,
        before=_superseded(visit.store, fact),
        is_running=visit.store.is_leased(),
    )


@router.post("/ui/facts/{fact_id}/{act}")
def act_on(request: Request, visit: Deciding, form: Form, fact_id: str, act: Act) -> Response:
    store = visit.store
    fact = _may(visit, store.fact(fact_id), act)
    match act:
        case "quarantine":
            store.quarantine(fact.id, form.get("reason", "").strip() or "somebody set it aside by hand")
        case "release":
            decide.released(store, visit.config, [fact.id])
        case "retract":
            decide.taken_back(store, [fact.id], is_over=form.get("why") == "over")
    return gone_to(f"/ui/facts/{fact.id}", done=act)


@router.get("/ui/release")
def may_release(request: Request, visit: Deciding, q: str = "", state: str = EVERY) -> Response:
    """What would be released together: all that was set aside, or those of a search."""
    found = [fact for fact in _in_state(visit.store, state) if fact.status in SET_ASIDE and _has(fact, q)]
    released = [fact for fact in found if "release" in acts(visit, fact)]
    return page(request, "release.html", facts=released, n_kept=len(found) - len(released))


@router.post("/ui/release")
def released(visit: Deciding, form: Form) -> Response:
    """Let go of those that were shown, and that nobody let go of meanwhile."""
    ids = set(form.get("facts", "").split())
    found = [fact for fact in visit.store.facts(statuses=SET_ASIDE) if fact.id in ids]
    decide.released(visit.store, visit.config, [f.id for f in found if "release" in acts(visit, f)])
    return gone_to("/ui/facts", state=FactStatus.PENDING, done="released")


@router.get("/ui/forget")
def foreseen(request: Request, visit: Deciding, fact: str = "", subject: str = "") -> Response:
    """What forgetting would take away."""
    ids = [visit.store.fact(fact).id] if fact else []
    _require_one(fact, subject)
    taken = visit.store.foresee(ids, subject or None)
    serving = visit.store.serving()
    run = _run(visit.store, taken, serving) if visit.store.is_leased() else ""
    return page(request, "forget.html", taken=taken, fact=fact, subject=subject, serving=serving, run=run)


@router.post("/ui/forget")
def forgotten(request: Request, visit: Deciding, form: Form) -> Response:
    store, config, archive = visit.store, visit.config, visit.serving.archive
    fact, subject = form.get("fact", ""), form.get("subject", "")
    _require_one(fact, subject)
    ids = [store.fact(fact).id] if fact else []
    if store.foresee(ids, subject or None).is_nothing:
        return gone_to("/ui/audit", done="nothing")
    forget.attested(archive, store, config, lambda: forget.forget(store, config, ids, subject or None))
    visit.serving.engine.forget()
    return gone_to("/ui/audit", done="forgotten")


@router.post("/ui/proposals/{proposal_id}/{verdict}")
def reviewed(
    visit: Deciding, form: Form, proposal_id: str, verdict: Literal["approve", "decline"]
) -> Response:
    if verdict == "approve":
        visit.store.approve(proposal_id)
    else:
        visit.store.decline(proposal_id)
    return gone_to("/ui/facts", done=verdict)


@router.get("/ui/explain")
def explained(request: Request, visit: Looking, q: str = "") -> Response:
    store, story, q = visit.store, None, q.strip()
    # Who may only look is not to make the model write.
    is_asked = q and not q.startswith("f_") and visit.role is AccessRole.OPERATE
    (answer,) = asking.answers(visit, [asking.ice(visit, q)]) if is_asked else (None,)
    if q:
        with suppress(UnknownFact):
            story = explain.explain(store, visit.config.adapters.dir, q, answer.text if answer else "")
    return page(
        request,
        "explain.html",
        q=q,
        answer=answer,
        story=story,
        places=places(store, [story.fact]) if story else {},
        acts=acts(visit, story.fact) if story else (),
        serving=store.serving(),
        before=_before(store, story.adapter) if story and story.adapter else None,
        suggested=_questions(store),
    )


def acts(visit: Visit, fact: Fact) -> Sequence[Act]:
    """What may be decided about a fact in its state."""
    may: Mapping[Act, bool] = {
        "release": fact.status in SET_ASIDE and not decide.is_sensitive(fact, visit.config),
        "quarantine": fact.status in (FactStatus.PENDING, FactStatus.CLAIMED),
        "retract": fact.is_current,
    }
    return [act for act, is_open in may.items() if is_open]


def _may(visit: Visit, fact: Fact, act: Act) -> Fact:
    if act not in acts(visit, fact):
        raise Refused(409, f"{fact.id} is {fact.status}: there is nothing to {act}")
    return fact


def _superseded(store: FactStore, fact: Fact) -> Fact | None:
    """What would stand again if this were taken back."""
    return store.fact(fact.supersedes_id) if fact.supersedes_id else None


def _in_state(store: FactStore, state: str) -> tuple[Fact, ...]:
    if state == STANDING:
        return store.facts()
    known = [each for each in FactStatus if state in (each, EVERY)]
    if not known:
        raise Refused(404, f"no fact is ever {state!r}: choose one of {', '.join(FactStatus)}")
    return store.facts(statuses=known)


def _has(fact: Fact, q: str) -> bool:
    """Whether every word stands somewhere in the fact: the beginning of one is enough, for it is typed."""
    text = f"{fact.id} {fact.statement} {fact.subject} {fact.relation.replace('_', ' ')} {fact.object}"
    folded = text.casefold()
    return all(word in folded for word in q.casefold().split())


def _require_one(fact: str, subject: str) -> None:
    if bool(fact) == bool(subject):
        raise Refused(400, "name a fact, or a subject, to forget")


def _run(store: FactStore, taken: Forgetting, serving: Adapter | None) -> Literal["ends", "goes on"]:
    """What becomes of the cycle that runs: it ends where it teaches what goes, or on such weights."""
    gone = {fact.id for fact in taken.facts}
    claimed = (batch for batch in store.batches() if batch.status is BatchStatus.CLAIMED)
    taught = {fact.id for batch in claimed for fact in (*batch.facts, *batch.removals)}
    return "ends" if serving != taken.serving or gone & taught else "goes on"


def _before(store: FactStore, adapter: Adapter) -> Adapter | None:
    """What a revert would put back, that did not know yet what this adapter was taught."""
    way = [each for each in store.way_back() if each.collected_at is None]
    return next((each for each in way if each.id == adapter.parent_id), None)


def _questions(store: FactStore) -> list[str]:
    """What the newest facts answer."""
    newest = store.facts(newest=4 * SUGGESTED)[::-1]
    asked = (relations.asked(*fact.slot) for fact in newest if fact.relation != STATEMENT)
    return list(dict.fromkeys(questions[0] for questions in asked if questions))[:SUGGESTED]
