"""The adapters of a tenant: what they were taught, how they were measured, and which of them serves."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from pydantic import BaseModel

from ice_agent import card, decide, difference, promote
from ice_agent.difference import Difference
from ice_agent.promote import Guard
from ice_agent.server.access import Operating, Reading, Visit
from ice_agent.server.refusals import Refused, documented, example
from memory import Adapter, Fact

router = APIRouter(prefix="/adapters", tags=["adapters"], responses=documented(409))

ADAPTER = {
    "id": "a_2", "parent_id": "a_1", "status": "promoted", "base_hash": "b1946ac9", "path": "a_2",
    "created_at": "2026-11-22T12:00:00Z", "batch_id": "b_2", "promoted_at": "2026-11-22T12:01:00Z",
    "scores": {"edit_success": {"hits": 20, "asked": 20}}, "verdict": {"promote": True, "reasons": []},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    serving: str | None
    """The id of the one that serves; none where nothing was taught yet."""
    adapters: tuple[Adapter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """An adapter, its scores against the guards as they are now, its batch, the card beside its weights."""

    adapter: Adapter
    guards: tuple[Guard, ...]
    taught: tuple[Fact, ...]
    taken_out: tuple[Fact, ...]
    card: str | None
    """None where its files are gone."""


class Revert(BaseModel):
    to: str | None = None
    """An ancestor; else the parent."""
    retract: bool = False
    """Take the facts back, too: the prompt does not serve them either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverted:
    reverted: Adapter
    serving: Adapter


@router.get("", responses=example({"serving": "a_2", "adapters": [ADAPTER]}))
def adapters(visit: Reading) -> Adapters:
    """All of them, oldest first."""
    serving = visit.store.serving()
    return Adapters(serving=serving.id if serving else None, adapters=visit.store.adapters())


@router.get("/compare", responses=documented(404))
def compare(first: str, second: str, visit: Reading) -> Difference:
    """Two of them: the facts that one holds and the other does not, and the kept answers that differ."""
    return difference.difference(visit.store, visit.config, first, second)


@router.post("/revert", responses=documented(404) | example({"reverted": ADAPTER, "serving": ADAPTER}))
def revert(asked: Revert, visit: Operating) -> Reverted:
    """Put the parent, or another ancestor, back: its answers are exactly those it gave before."""
    undone, serving = decide.reverted(visit.store, visit.config, to=asked.to, retract=asked.retract)
    return Reverted(reverted=undone, serving=serving)


@router.get("/{adapter_id}", responses=documented(404) | example({"adapter": ADAPTER}))
def one(adapter_id: str, visit: Reading) -> Card:
    """One of them, with its scores against the guards, and what it was taught."""
    adapter = visit.store.adapter(adapter_id)
    batch = visit.store.batch(adapter.batch_id) if adapter.batch_id else None
    is_measured = adapter.scores is not None and adapter.parent_scores is not None
    return Card(
        adapter=adapter,
        guards=_guards(visit, adapter) if is_measured else (),
        taught=batch.facts if batch else (),
        taken_out=batch.removals if batch else (),
        card=_card(visit, adapter),
    )


@router.post("/{adapter_id}/promote", responses=documented(404) | example(ADAPTER))
def promote_one(adapter_id: str, visit: Operating) -> Adapter:
    """Make a candidate, or a reverted one, serve, if its kept scores pass the guards as they are set now."""
    adapter, verdict = decide.promoted(visit.store, visit.config, adapter_id)
    if not verdict.promote:
        raise Refused(409, f"{adapter.id} was not promoted: {'; '.join(verdict.reasons)}")
    return adapter


@router.post("/{adapter_id}/reject", responses=documented(404) | example(ADAPTER))
def reject(adapter_id: str, visit: Operating) -> Adapter:
    """Refuse a candidate that waits for approval: its facts wait for the next cycle."""
    return decide.rejected(visit.store, visit.config, adapter_id)


def _guards(visit: Visit, adapter: Adapter) -> tuple[Guard, ...]:
    assert adapter.scores is not None
    assert adapter.parent_scores is not None
    return promote.table(adapter.parent_scores, adapter.scores, visit.config.guards)


def _card(visit: Visit, adapter: Adapter) -> str | None:
    try:
        return (visit.config.adapters.dir / adapter.path / card.FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
