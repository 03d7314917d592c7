"""From what was said to candidate facts, through an extractor that is chosen by name.

An extractor only reads. What must not be kept (secrets, what the settings call sensitive, what is said off
the record) is refused here, around every extractor alike, and our own voice is never learned from.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ice_agent import admission
from ice_agent.admission import is_off_record, secret_spans
from ice_agent.collect import kin
from ice_agent.collect.rules import rules
from ice_agent.errors import CollectError
from ice_agent.settings import Collect
from memory import (
    STATEMENT,
    USER,
    CandidateFact,
    Cardinality,
    Fact,
    FactStore,
    Proposal,
    Recorded,
    Utterance,
    now,
)

logger = logging.getLogger(__name__)

Extractor = Callable[[Utterance], tuple[CandidateFact, ...]]
"""Reads one utterance and returns every fact it finds there, in the order of the text."""

KIN = kin.RELATIONS
"""The relations of people and animals that the user may speak of by them: "my sister"."""

LONGEST_UTTERANCE = 50_000
"""Characters that are read as one: seconds of the rules, half a minute of the oddest; a book takes hours."""

MASK = "\u2588"
OFF_RECORD = "(off the record)"

# These speakers may repeat what we recalled for them: learning from them is learning from ourselves.
_OUR_OWN_VOICES = frozenset({"assistant", "ai", "system", "tool", "function", "developer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What collecting one utterance did."""

    utterance: Utterance
    recorded: tuple[Recorded, ...]
    proposed: tuple[Proposal, ...] = ()
    """What a person has to approve before it is a fact."""
    refused: int = 0
    """Facts that were forgotten once, and are not learned again."""
    is_masked: bool = False
    """Something was said that must not be kept: the utterance does not have it."""

    @property
    def learned(self) -> tuple[Fact, ...]:
        """The facts that are new because of it."""
        return tuple(r.fact for r in self.recorded if r.fact is not None and r.is_new)

    @property
    def retracted(self) -> tuple[Fact, ...]:
        return tuple(fact for r in self.recorded for fact in r.retracted)


def hear(
    store: FactStore,
    settings: Collect,
    text: str,
    extractor: Extractor,
    speaker: str = USER,
    details: Mapping[str, str] | None = None,
) -> Heard:
    """Keep an utterance and the facts in it; of secrets and of what is off the record not even the words."""
    kept = kept_words(text, settings)
    _require_words(text)
    candidates = of_known_subjects(store, extract(_unheard(text, speaker), extractor, settings))
    told = store.tell(
        kept,
        [c for c in candidates if not admission.needs_review(c, settings)],
        proposed=[c for c in candidates if admission.needs_review(c, settings)],
        set_aside={
            c: reason
            for c in candidates
            if (reason := admission.kept_from_weights(store, c, settings, candidates))
        },
        speaker=speaker,
        details=details,
    )
    return Heard(
        utterance=told.utterance,
        recorded=told.recorded,
        proposed=told.proposed,
        refused=told.refused,
        is_masked=kept != text,
    )


def of_known_subjects(store: FactStore, candidates: tuple[CandidateFact, ...]) -> tuple[CandidateFact, ...]:
    """The candidates with the names of those whom the user has named before: "my sister" is Anna."""
    if not any(kin.is_about_kin(candidate) for candidate in candidates):
        return candidates
    return kin.resolved(candidates, store.facts(subject=USER, relation=KIN))


def names_of(store: FactStore, subject: str) -> tuple[str, ...]:
    """All that a subject goes by, its name first: ("Anna", "the user's sister")."""
    return kin.names_of(subject, store.facts(subject=USER, relation=KIN))


def _require_words(text: str) -> None:
    if not text.strip():
        raise CollectError('nothing was said: give it words, as "I live in Lisbon."')
    if len(text) > LONGEST_UTTERANCE:
        raise CollectError(
            f"the utterance has {len(text):,} characters, and one has {LONGEST_UTTERANCE:,} at most: tell it "
            "in parts (`ice-agent add -` takes a line as one)"
        )


def _unheard(text: str, speaker: str = USER) -> Utterance:
    """An utterance before it is kept: extraction comes first, so that what must not be kept never is."""
    return Utterance(id="", text=text, said_at=now(), speaker=speaker)


def kept_words(text: str, settings: Collect) -> str:
    """The text with every secret masked, letter for letter, so that spans in it still hold."""
    if is_off_record(text):
        return OFF_RECORD
    for start, end in secret_spans(text, settings.sensitive):
        text = text[:start] + MASK * (end - start) + text[end:]
    return text


def tried(text: str, settings: Collect, extractor: Extractor | None = None) -> tuple[CandidateFact, ...]:
    """What hearing this from the user would find; nothing is kept."""
    _require_words(text)
    return extract_from(text, extractor or extractor_named(settings.extractor), settings)


def extract_from(text: str, extractor: Extractor, settings: Collect) -> tuple[CandidateFact, ...]:
    """The facts in what the user says now that may be kept."""
    return extract(_unheard(text), extractor, settings)


def extract(utterance: Utterance, extractor: Extractor, settings: Collect) -> tuple[CandidateFact, ...]:
    """The facts of an utterance that may be kept.

    Only the user is the first person: from any other speaker, facts about `user` are dropped.
    """
    if utterance.speaker.lower() in _OUR_OWN_VOICES:
        return ()
    if is_off_record(utterance.text):
        logger.info("an utterance is off the record: nothing kept")
        return ()
    secrets = secret_spans(utterance.text, settings.sensitive)
    return tuple(
        candidate
        for candidate in (admission.canonical(found, settings) for found in extractor(utterance))
        if (candidate.subject != USER or utterance.speaker == USER)
        and not admission.is_refused(candidate, secrets, settings)
    )


def as_it_is(utterance: Utterance) -> tuple[CandidateFact, ...]:
    """An extractor that looks for nothing: what is said is a statement."""
    said = utterance.text
    return (
        CandidateFact(subject=USER, relation=STATEMENT, object="", statement=said, start=0, end=len(said)),
    )


def or_as_it_is(extractor: Extractor) -> Extractor:
    """An extractor for what somebody found worth keeping: without a fact in it, it is a statement."""
    return lambda utterance: extractor(utterance) or as_it_is(utterance)


def replacing(
    facts: Sequence[Fact], text: str, extractor: Extractor, settings: Collect
) -> tuple[CandidateFact, ...]:
    """What a text tells that is put in the place of these facts: those that it does not tell are taken back.

    What it tells of the same one-valued slot supersedes, without being taken back first.
    """
    found = extract_from(text, extractor, settings)
    told = {(new.subject, new.relation, new.object) for new in found}
    taken = {(new.subject, new.relation) for new in found if new.cardinality is Cardinality.ONE}
    gone = (f for f in facts if f.is_current and (*f.slot, f.object) not in told and f.slot not in taken)
    return (*(taking_back(fact, text, is_over=True) for fact in gone), *found)


def taking_back(fact: Fact, text: str, *, is_over: bool) -> CandidateFact:
    """What takes this very fact back, said by the whole of a text."""
    return CandidateFact(
        subject=fact.subject, relation=fact.relation, object=fact.object, statement=fact.statement,
        start=0, end=len(text), cardinality=fact.cardinality, retracts=True, is_over=is_over,
    )  # fmt: skip


def extractor_named(name: str) -> Extractor:
    """The extractor that the settings name: "rules", or a chat model as "provider:model"."""
    if name == "rules":
        return rules
    if importlib.util.find_spec("langchain") is None:
        raise CollectError(
            f"the extractor {name!r} needs the package langchain and the provider's own"
            f' (pip install langchain langchain-{name.partition(":")[0]}), or set extractor = "rules"'
        )
    # Both are imported here, because the rules need neither and a command line should start fast.
    from langchain.chat_models import init_chat_model

    from ice_agent.collect.llm import LlmExtractor

    try:
        return LlmExtractor(init_chat_model(name, temperature=0))
    # Each provider refuses in its own way: a package that lacks, a key that is not there.
    except Exception as error:
        raise CollectError(f"the extractor {name!r} cannot be loaded: {error}") from error
