"""What a person decides about adapters and facts: promote, reject, revert, release, take back.

The files of an adapter are looked at before a pointer moves to it: one that is damaged never serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ice_agent import collect, cycle, explain, plan, promote, relations
from ice_agent.config import Config
from ice_agent.errors import CycleError
from memory import (
    SENSITIVE,
    Adapter,
    AdapterStatus,
    Fact,
    FactStore,
    Recorded,
    Told,
    Verdict,
    WrongState,
)

OPERATOR: Final = "operator"
"""Who speaks where a fact is taken back by hand."""

BY_HAND: Final = Verdict(promote=False, reasons=("somebody rejected it by hand",))


def promoted(store: FactStore, config: Config, adapter_id: str) -> tuple[Adapter, Verdict]:
    """Make a candidate, or a reverted adapter, serve, if its kept scores pass the guards as they are now.

    With a verdict against it nothing changes. Raises CycleError for one that was never measured.
    """
    adapter = store.adapter(adapter_id)
    if adapter.scores is None or adapter.parent_scores is None:
        raise CycleError(f"adapter {adapter.id} was never measured (run `ice-agent cycle`)")
    verdict = promote.judge(adapter.parent_scores, adapter.scores, config.guards)
    if not verdict.promote:
        return adapter, verdict
    whole = explain.loadable(store, config.adapters.dir, adapter.id)
    if whole.status is AdapterStatus.CANDIDATE:
        # What it does not answer stays in the prompt; a reverted one is put back as it was.
        return cycle.approve(store, config, whole, verdict), verdict
    return store.promote(whole.id, verdict), verdict


def no_longer_true(store: FactStore, adapter: Adapter) -> list[Fact]:
    """What an adapter's weights hold and was taken back, or superseded, since they learned it.

    While it serves, the prompt says what stands, or the base answers, until a cycle takes that out of it.
    """
    return [fact for fact in store.held_by(adapter.id) if not fact.is_current]


def rejected(store: FactStore, config: Config, adapter_id: str) -> Adapter:
    """Refuse a candidate that waits for approval: its facts wait for the next cycle."""
    found = store.adapter(adapter_id)
    return store.reject(found.id, BY_HAND, quarantine_after=config.cycle.quarantine_after)


def reverted(
    store: FactStore, config: Config, *, to: str | None = None, retract: bool = False
) -> tuple[Adapter, Adapter]:
    """Put the parent, or another ancestor, back; what served until then, and what serves now."""
    target = to if to is not None else plan.serving(store).parent_id
    if target is not None:
        explain.loadable(store, config.adapters.dir, target)
    return store.revert(to=to, retract=retract)


def released(store: FactStore, config: Config, fact_ids: Sequence[str]) -> list[Fact]:
    """Let facts that were set aside be learned again: none of them when one is sensitive (CycleError)."""
    for fact in map(store.fact, fact_ids):
        if is_sensitive(fact, config):
            raise CycleError(f"{fact.id} is {SENSITIVE} (see [collect] sensitive_relations)")
    return [store.release(id_) for id_ in fact_ids]


def is_sensitive(fact: Fact, config: Config) -> bool:
    """Whether no weights may ever learn it."""
    return fact.relation in relations.sensitive(config.collect.sensitive_relations)


def taken_back(store: FactStore, fact_ids: Sequence[str], *, is_over: bool = False) -> list[Recorded]:
    """Say of facts that they are not true: what they superseded stands again.

    With `is_over` they were true until now, and nothing that they superseded stands again. Raises WrongState
    where one of them stands no more, and takes none back then.
    """
    facts = [store.fact(id_) for id_ in dict.fromkeys(fact_ids)]
    for fact in facts:
        if not fact.is_current:
            raise WrongState(f"{fact.id} is {fact.status}: there is nothing to take back")
    return [recorded for fact in facts for recorded in _taken_back(store, fact, is_over).recorded]


def _taken_back(store: FactStore, fact: Fact, is_over: bool) -> Told:
    said = relations.negation(fact.statement)
    return store.tell(said, [collect.taking_back(fact, said, is_over=is_over)], speaker=OPERATOR)
