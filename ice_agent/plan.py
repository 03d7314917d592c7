"""What the next cycle would take, read from the store alone: no model, nothing claimed, nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ice_agent import edit_request
from ice_agent.config import Config
from ice_agent.errors import CycleError
from memory import STATEMENT, Adapter, EditRequest, Fact, FactStatus, FactStore, now


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the next cycle would do."""

    parent_id: str
    requests: tuple[EditRequest, ...]
    retracted: tuple[Fact, ...]
    """Facts that the weights hold and that somebody took back: their slots return to the root's answers."""
    beyond: int
    """Pending facts that have to wait for the cycle after the next, because a batch is full."""


def plan(store: FactStore, config: Config) -> Plan:
    """What run_cycle would take now. Raises CycleError for a tenant without a root."""
    pending, removals = waiting(store)
    retracted = removals[: config.cycle.batch_size]
    taken = pending[: config.cycle.batch_size - len(retracted)]
    return Plan(
        parent_id=serving(store).id,
        requests=edit_request.build_all(whole_slots(taken, store.facts(), store.learned())),
        retracted=tuple(retracted),
        beyond=len(pending) + len(removals) - len(taken) - len(retracted),
    )


def waiting(store: FactStore) -> tuple[list[Fact], list[Fact]]:
    """The facts that wait to be learned, and those that wait to be taken out of the weights."""
    # What a dead cycle had claimed goes into the next one; a cycle that runs holds the lease.
    statuses = [FactStatus.PENDING, *([] if store.is_leased() else [FactStatus.CLAIMED])]
    # First, because it takes back what has come to its end.
    retracted = [f for f in store.recall() if f.status is FactStatus.RETRACTED]
    waits = [f for f in store.facts(statuses=statuses) if f.relation != STATEMENT and f.holds(now())]
    return waits, [f for f in retracted if f.quarantine_reason is None]


def n_waiting(store: FactStore) -> int:
    return sum(len(facts) for facts in waiting(store))


def serving(store: FactStore) -> Adapter:
    """The adapter that serves. Raises CycleError for a tenant without a root."""
    adapter = store.serving()
    if adapter is None:
        raise CycleError(
            f"{store.tenant} has no adapter yet: its first cycle makes one, or `ice-agent init --tenant NAME`"
        )
    return adapter


def whole_slots(facts: Sequence[Fact], standing: Sequence[Fact], learned: Sequence[Fact]) -> list[Fact]:
    """The facts with all that is learned of their slots: a set-valued slot is taught as a whole."""
    slots = {fact.slot for fact in facts}
    taught = {fact.id for fact in (*facts, *learned)}
    return [fact for fact in standing if fact.slot in slots and fact.id in taught]
