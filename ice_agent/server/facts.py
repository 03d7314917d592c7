"""What is known, where each fact is served from, and what a person decides about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from ice_agent import decide, recall
from ice_agent import forget as erasing
from ice_agent.collect import LONGEST_UTTERANCE
from ice_agent.server.access import Operating, Reading
from ice_agent.server.refusals import Refused, documented, example
from memory import (
    CandidateFact,
    Fact,
    FactStatus,
    FactStore,
    Forgetting,
    Mention,
    Proposal,
    ProposalStatus,
    Recorded,
    UnstorableText,
    is_storable,
    now,
)

router = APIRouter(prefix="/facts", tags=["facts"], responses=documented(409))

FACT = {
    "id": "f_1", "subject": "user", "relation": "lives_in", "object": "Lisbon",
    "statement": "The user lives in Lisbon.", "cardinality": "one", "status": "learned",
    "recorded_at": "2026-11-22T12:00:00Z", "valid_from": "2026-11-22T12:00:00Z", "utterance_id": "u_1",
    "start": 0, "end": 17, "adapter_id": "a_1", "batch_id": "b_1",
}  # fmt: skip


class Place(StrEnum):
    """Where a fact is served from."""

    PROMPT = "prompt"
    WEIGHTS = "weights"
    OVERRIDDEN = "overridden"  # weights still hold it; the prompt says what stands in its place
    DENIED = "denied"  # it ended, and weights may still say it: who names it is answered by the base
    NOWHERE = "nowhere"  # it ended, or has not begun


def _moment(text: object) -> datetime:
    """By the letter: a number, which might be seconds or milliseconds, is no moment."""
    moment = datetime.fromisoformat(str(text))
    try:
        return moment if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("no calendar has this moment") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
"""As "2026-11-22T12:00:00Z"."""


class Asked(BaseModel):
    """Which facts: without a status those that stand."""

    status: list[FactStatus] | None = None
    subject: str | None = None
    relation: list[str] | None = None
    as_of: Moment | None = None
    """What was true then, by all that is known now."""
    recorded_as_of: Moment | None = None
    """What was held true then."""
    limit: int = Field(default=100, ge=1, le=1000)
    """The newest so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    fact: Fact
    score: float
    """The share of the query's words in it, or its cosine if that is more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A fact with what became of its slot, and each time it was said."""

    fact: Fact
    served_from: Place
    history: tuple[Fact, ...]
    mentions: tuple[Mention, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    proposals: tuple[Proposal, ...]


class Reason(BaseModel):
    reason: str = Field(min_length=1, examples=["nobody said so"])


class TakenBack(BaseModel):
    is_over: bool = False
    """It was true until now: nothing that it superseded stands again. Otherwise it was wrong."""


_WRONG = TakenBack()


class Forgotten(BaseModel):
    """What is to be forgotten: facts by their ids, or all about a subject."""

    ids: list[str] = Field(default=[], examples=[["f_1"]])
    subject: str | None = None
    dry_run: bool = False
    """Say what would go, and change nothing."""


class Words(BaseModel):
    text: str = Field(max_length=LONGEST_UTTERANCE, examples=["I live in Lisbon."])
    """What was forgotten, as it would be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What may be learned again; nothing where nothing of it was forgotten."""

    allowed: tuple[CandidateFact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    dry_run: bool
    forgotten: Forgetting
    receipt: str | None
    """What /audit/receipts has it under; none where nothing went."""


@router.get("", responses=example({"facts": [FACT]}))
def facts(visit: Reading, asked: Annotated[Asked, Query()]) -> Facts:
    """The facts that stand, or those of a status or a moment; oldest first."""
    found = visit.store.facts(
        statuses=asked.status, subject=asked.subject, relation=asked.relation,
        as_of=asked.as_of, recorded_as_of=asked.recorded_as_of, newest=asked.limit,
    )  # fmt: skip
    return Facts(facts=found)


@router.get("/search", responses=example([{"fact": FACT, "score": 0.67}]))
def search(
    visit: Reading,
    q: Annotated[str, Query(examples=["Where does he live?"])],
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
) -> list[Found]:
    """The facts that a text is about, learned ones included, best first."""
    found = recall.search(visit.store, q, limit, visit.serving.meanings)
    return [Found(fact=fact, score=score) for fact, score in found.items()]


@router.get("/proposals")
def proposals(visit: Reading, status: Annotated[list[ProposalStatus] | None, Query()] = None) -> Proposals:
    """What waits for a person's approval, oldest first."""
    return Proposals(proposals=visit.store.proposals(*(status or ())))


@router.post("/proposals/{proposal_id}/approve", responses=documented(404))
def approve(proposal_id: str, visit: Operating) -> Recorded:
    """Make it a fact, as if it had just been said."""
    return visit.store.approve(proposal_id)


@router.post("/proposals/{proposal_id}/decline", responses=documented(404))
def decline(proposal_id: str, visit: Operating) -> Proposal:
    """It never becomes a fact."""
    return visit.store.decline(proposal_id)


@router.post("/forget", responses=documented(404))
def forget(asked: Forgotten, visit: Operating) -> Erased:
    """Erase facts: rows, words, and every adapter that was taught one; the last clean one serves at once.

    What stays is taught to the weights again by the next cycle. There is a signed receipt.
    """
    if not asked.ids and not (asked.subject or "").strip():
        raise Refused(400, "what shall be forgotten? give ids, or a subject")
    foreseen = visit.store.foresee(asked.ids, asked.subject)
    if asked.dry_run:
        return Erased(dry_run=True, forgotten=foreseen, receipt=None)
    # A name that was mistyped leaves no receipt that looks as if it had been forgotten.
    if foreseen.is_nothing:
        raise Refused(404, "nothing of that is known here (GET /facts?status=... lists what is)")
    taken, receipt = erasing.attested(
        visit.serving.archive,
        visit.store,
        visit.config,
        lambda: erasing.forget(visit.store, visit.config, asked.ids, asked.subject),
    )
    visit.serving.engine.forget()
    return Erased(dry_run=False, forgotten=taken, receipt=_name(receipt))


@router.post("/allow", responses=example({"allowed": [{"statement": "The user lives in Lisbon."}]}))
def allow(asked: Words, visit: Operating) -> Allowed:
    """Let something that was forgotten be learned again, when it is said again."""
    if not asked.text.strip():
        raise Refused(400, "what may be learned again? give text")
    if not is_storable(asked.text):
        raise UnstorableText("text")
    found = erasing.allowed(visit.store, visit.config, asked.text, visit.serving.extractor)
    return Allowed(allowed=found)


@router.get("/{fact_id}", responses=documented(404) | example({"fact": FACT, "served_from": "weights"}))
def one(fact_id: str, visit: Reading) -> Story:
    """A fact, where it is served from, what it superseded and was superseded by, and the words it is from."""
    fact = visit.store.fact(fact_id)
    return Story(
        fact=fact,
        served_from=places(visit.store, [fact])[fact.id],
        history=visit.store.history(fact.id),
        mentions=visit.store.mentions(fact.id),
    )


@router.post("/{fact_id}/quarantine", responses=documented(404) | example(FACT))
def quarantine(fact_id: str, why: Reason, visit: Operating) -> Fact:
    """Keep it out of the weights until it is released; the prompt serves it."""
    return visit.store.quarantine(fact_id, why.reason)


@router.post("/{fact_id}/release", responses=documented(404) | example(FACT))
def release(fact_id: str, visit: Operating) -> Fact:
    """Let it be learned again."""
    (released,) = decide.released(visit.store, visit.config, [fact_id])
    return released


@router.post("/{fact_id}/retract", responses=documented(404) | example(FACT))
def retract(fact_id: str, visit: Operating, asked: TakenBack = _WRONG) -> Fact:
    """Say that it is not true; weights that hold it are not asked. What it superseded stands again, or with
    `is_over`, which says that it was true until now, stays over."""
    decide.taken_back(visit.store, [fact_id], is_over=asked.is_over)
    return visit.store.fact(fact_id)


def places(store: FactStore, facts: Iterable[Fact]) -> dict[str, Place]:
    """Where answers get each of these facts from, by its id: what the store says, and no guess."""
    asked = list(facts)
    # Read only where it decides something: it may be thousands.
    is_any_in_doubt = any(fact.adapter_id is not None and not fact.is_current for fact in asked)
    denied = {fact.id for fact in store.recall() if not fact.is_current} if is_any_in_doubt else set[str]()
    return {fact.id: _place(fact, fact.id in denied) for fact in asked}


def _place(fact: Fact, is_denied: bool) -> Place:
    if fact.status is FactStatus.LEARNED:
        return Place.WEIGHTS
    if fact.is_current and fact.holds(now()):
        return Place.PROMPT
    if is_denied:
        return Place.DENIED
    is_in_weights = fact.adapter_id is not None and not fact.is_current
    return Place.OVERRIDDEN if is_in_weights else Place.NOWHERE


def _name(receipt: Path | None) -> str | None:
    return receipt.name if receipt else None
