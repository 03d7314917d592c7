"""Where a fact came from and where it went: sentence, batch, adapter, scores, ledger.

Read from the store, the kept transcripts and the adapters' manifests; no model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ice_agent import relations, transcripts
from ice_agent.errors import AdapterError, CycleError
from ice_agent.manifest import read_manifest
from ice_agent.probes import EDIT_SUCCESS
from memory import (
    STATEMENT,
    Adapter,
    AdapterStatus,
    Batch,
    Entry,
    Fact,
    FactStatus,
    FactStore,
    Mention,
    Transcript,
    UnknownAdapter,
    UnknownBatch,
    UnknownFact,
    UnknownUtterance,
    Utterance,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that is known of one fact."""

    fact: Fact
    history: tuple[Fact, ...]
    """The fact with what it superseded and what superseded it, oldest first."""
    mentions: tuple[Mention, ...]
    """Every time that it was said or taken back, first to last."""
    batch: Batch | None
    adapter: Adapter | None
    transcripts: tuple[Transcript, ...]
    """The questions that its adapter was measured by, with the answers before and after."""
    entries: tuple[Entry, ...]
    is_asked: bool = True
    """Whether the question asks for this very slot, or for what follows from it: else it is the nearest."""


def explain(store: FactStore, adapters_dir: Path, about: str, answer: str = "") -> Explanation:
    """The story of one fact, named by its id or by a question, and by the `answer` that was given to it.

    Raises UnknownFact.
    """
    fact, is_asked = find(store, about, answer)
    batch = store.batch(fact.batch_id) if fact.batch_id else None
    adapter_id = fact.adapter_id or (batch.adapter_id if batch else None)
    held_by = store.adapter(adapter_id) if adapter_id else None
    kept = (transcripts.read(adapters_dir, held_by.id) if held_by else None) or ()
    own = {fact.id, fact.utterance_id, fact.batch_id, held_by.id if held_by else None}
    return Explanation(
        fact=fact,
        history=store.history(fact.id),
        mentions=store.mentions(fact.id),
        batch=batch,
        adapter=held_by,
        transcripts=_about(fact, batch, kept),
        entries=tuple(entry for entry in store.ledger() if entry.subject_id in own),
        is_asked=is_asked,
    )


def find(store: FactStore, about: str, answer: str = "") -> tuple[Fact, bool]:
    """The fact with this id, or else the best reason for an answer; and whether the question asks for it.

    The best reason is a fact that the question asks for, or whose consequence it asks for; else one about
    somebody whom the question names, whose value is in the answer, or which shares most words with the
    question; else one whose subject or value it names. What stands comes before what has ended, and the
    newest first. Of a question about the user, a fact about anybody else is no reason.
    """
    if about.startswith("f_"):
        return store.fact(about), True
    facts = store.facts(statuses=FactStatus)[::-1]
    facts = (*(fact for fact in facts if fact.is_current), *(fact for fact in facts if not fact.is_current))
    asked = relations.normal(about).rstrip("?")
    for questions in (_questions, _consequences):
        for fact in facts:
            if asked in {relations.normal(question).rstrip("?") for question in questions(fact)}:
                return fact, True
    reason = _reason(facts, about, answer)
    if reason is None:
        raise UnknownFact(about)
    return reason, False


def _reason(facts: Sequence[Fact], about: str, answer: str) -> Fact | None:
    # Here, because LangChain takes its time to be imported.
    from ice_agent import recall

    words, answered = recall.words_of(about), recall.words_of(answer)
    # What a statement is about, its words alone say.
    named = [f for f in facts if f.relation == STATEMENT or recall.is_named(f.subject, words)]
    for fact in named:
        if fact.object and recall.is_named(fact.object, answered):
            return fact
    asked = words | {relations.canonical(word) for word in words}
    shared = {fact.id: len((asked & recall.words_of(_told(fact))) - _SAY_NOTHING) for fact in named}
    best = max(named, key=lambda fact: shared[fact.id], default=None)
    if best is not None and shared[best.id]:
        return best
    others = facts if words.isdisjoint(recall.FIRST_PERSON) else ()
    return next((fact for fact in others if recall.names(about, fact)), None)


def _told(fact: Fact) -> str:
    """A fact, and what is asked for it, without whom it is about: that is known already."""
    told = (fact.statement, fact.object, fact.relation.replace("_", " "))
    return " ".join((*told, *_questions(fact), *_consequences(fact))).replace(fact.subject, "")


_SAY_NOTHING: Final = frozenset((
    "a", "an", "the", "of", "in", "on", "at", "to", "by", "for", "from", "with", "under", "and", "or", "not",
    "is", "are", "was", "were", "be", "do", "does", "did", "has", "have", "i", "me", "my", "you", "your",
    "he", "she", "it", "we", "they", "who", "what", "which", "where", "when", "why", "how",
))  # fmt: skip


def named(store: FactStore, id_: str) -> Adapter | Batch | Fact | Utterance:
    """What this tenant has of this id. Raises AmbiguousId, or CycleError when it has nothing."""
    readers: tuple[Callable[[str], Adapter | Batch | Fact | Utterance], ...]
    readers = (store.adapter, store.fact, store.batch, store.utterance)
    for read in readers:
        with suppress(UnknownAdapter, UnknownFact, UnknownBatch, UnknownUtterance):
            return read(id_)
    raise CycleError(f"nothing is called {id_!r} (see `ice-agent facts`, `ice-agent adapters`)")


def loadable(store: FactStore, adapters_dir: Path, id_: str) -> Adapter:
    """The tenant's adapter with this id, whose files are whole: what a pointer may move to.

    Raises AdapterError for one whose files are missing or damaged.
    """
    found = store.adapter(id_)
    if found.status is AdapterStatus.FORGOTTEN:
        raise AdapterError(
            f"{found.id} is forgotten: what it was taught was erased, and its files with it "
            "(`ice-agent adapters` lists what is left)"
        )
    if found.collected_at is not None:
        raise AdapterError(
            f"the files of {found.id} were collected to save space: `ice-agent replay {found.id} --restore` "
            "makes it again, `ice-agent rebuild` a new one of what is known now"
        )
    read_manifest(adapters_dir / found.path)
    return found


def answers(asked: Iterable[Transcript]) -> tuple[Transcript, ...]:
    """The one question of each fact that its slot is known by; rephrases and neighbours are left out."""
    return tuple(transcript for transcript in asked if transcript.kind == EDIT_SUCCESS)


def _questions(fact: Fact) -> Iterable[str]:
    if fact.relation == STATEMENT:
        return ()
    return (*relations.asked(fact.subject, fact.relation), *relations.probed(fact.subject, fact.relation))


def _consequences(fact: Fact) -> Iterable[str]:
    """Questions whose answers follow from a fact."""
    asked, probed = relations.asked_further, relations.probed_further
    return (*asked(fact.subject, fact.relation), *probed(fact.subject, fact.relation))


def _about(fact: Fact, batch: Batch | None, kept: Iterable[Transcript]) -> tuple[Transcript, ...]:
    """The probes of a fact's slot: values of one slot that were taught together share their probes."""
    members = (*batch.facts, *batch.removals) if batch else ()
    ids = {fact.id} | {other.id for other in members if other.slot == fact.slot}
    return tuple(transcript for transcript in kept if transcript.fact_id in ids)


def damaged(store: FactStore, adapters_dir: Path) -> tuple[str, ...]:
    """What is wrong with the files of a tenant's adapters; those that never served may be gone."""
    problems = []
    for adapter in store.adapters():
        if adapter.status is AdapterStatus.REJECTED:
            continue
        if adapter.status is AdapterStatus.FORGOTTEN:
            if (adapters_dir / adapter.path).exists():
                problems.append(f"{adapters_dir / adapter.path} still holds what was forgotten: delete it")
            continue
        if adapter.collected_at is not None:
            continue
        try:
            manifest = read_manifest(adapters_dir / adapter.path)
        except AdapterError as error:
            problems.append(str(error))
            continue
        if (manifest.get("id"), manifest["base_hash"]) != (adapter.id, adapter.base_hash):
            problems.append(
                f"{adapters_dir / adapter.path} is not the adapter {adapter.id} that the store knows"
            )
    return tuple(problems)
