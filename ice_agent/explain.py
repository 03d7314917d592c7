"""Where a fact came from and where it went: sentence, batch, adapter, scores, ledger. Read from the store and the kept
transcripts alone; no model is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ice_agent import relations
from memory import (
    STATEMENT,
    Adapter,
    Batch,
    Fact,
    FactStatus,
    FactStore,
    LedgerEntry,
    Transcript,
    UnknownFact,
    Utterance,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that is known of one fact."""

    fact: Fact
    history: tuple[Fact, ...]
    """The fact with what it superseded and what superseded it, oldest first."""
    utterance: Utterance
    batch: Batch | None
    adapter: Adapter | None
    transcripts: tuple[Transcript, ...]
    """The questions that its adapter was measured by, with the answers before and after."""
    entries: tuple[LedgerEntry, ...]


def explain(store: FactStore, adapters_dir: Path, tenant: str, fact_or_question: str) -> Explanation:
    """The story of one fact, named by its id or by a question that it answers. Raises UnknownFact."""
    fact = find(store, tenant, fact_or_question)
    batch = store.batch(fact.batch_id) if fact.batch_id else None
    adapter_id = fact.adapter_id or (batch.adapter_id if batch else None)
    adapter = store.adapter(adapter_id) if adapter_id else None
    kept = transcripts(adapters_dir, adapter) if adapter else ()
    own = {fact.id, fact.utterance_id, fact.batch_id, adapter.id if adapter else None}
    return Explanation(
        fact=fact,
        history=store.history(fact.id),
        utterance=store.provenance(fact.id),
        batch=batch,
        adapter=adapter,
        transcripts=_about(fact, batch, kept),
        entries=tuple(entry for entry in store.ledger(tenant) if entry.subject_id in own),
    )


def find(store: FactStore, tenant: str, fact_or_question: str) -> Fact:
    """The fact with this id, else the one that this question asks for, else the one it shares most words with."""
    if fact_or_question.startswith("f_"):
        return store.fact(fact_or_question)
    facts = store.facts(tenant, statuses=FactStatus)
    # What stands comes before what has ended, and the newest first.
    ranked = sorted(facts[::-1], key=lambda fact: not fact.is_current)
    asked = relations.normal(fact_or_question).rstrip("?")
    for fact in ranked:
        if asked in {relations.normal(question).rstrip("?") for question in _questions(fact)}:
            return fact
    found = store.search(tenant, fact_or_question, limit=1)
    if not found:
        raise UnknownFact(fact_or_question)
    return found[0]


def transcripts(adapters_dir: Path, adapter: Adapter) -> tuple[Transcript, ...]:
    """The probes that an adapter was measured by; none when its cycle kept none, or somebody removed them."""
    path = adapters_dir / f"{adapter.id}.transcripts.jsonl"
    if not path.exists():
        return ()
    return tuple(Transcript(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())


def _questions(fact: Fact) -> Iterable[str]:
    if fact.relation == STATEMENT:
        return ()
    return (*relations.asked(fact.subject, fact.relation), *relations.probed(fact.subject, fact.relation))


def _about(fact: Fact, batch: Batch | None, kept: Iterable[Transcript]) -> tuple[Transcript, ...]:
    """The probes of a fact's slot: values of one slot that were taught together share their probes."""
    members = (*batch.facts, *batch.removals) if batch else ()
    ids = {fact.id} | {other.id for other in members if other.slot == fact.slot}
    return tuple(transcript for transcript in kept if transcript.fact_id in ids)
