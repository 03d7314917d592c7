"""Which facts a question is about: by the words they share, and by meaning where an embedding model is set.

The model places a fact once; the store keeps and compares what it said. While it fails, words do alone.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from heapq import nlargest
from typing import Final, TypeVar

from langchain_core.embeddings import Embeddings

from ice_agent import relations
from ice_agent.errors import ConfigError
from memory import STATEMENT, USER, Among, Fact, FactStatus, FactStore, Meaning

logger = logging.getLogger(__name__)

PLACED_AT_ONCE: Final = 500
"""Texts that are embedded before a question is answered, newest first: what is older waits for the next."""

Ranked = TypeVar("Ranked", bound=Hashable)
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

NEAREST: Final = 200
"""Facts that are compared further, as many as the store finds by words."""

FIRST_PERSON: Final = frozenset({"i", "i'm", "i've", "i'd", "i'll", "me", "my", "mine", "myself"})
"""Words by which a question is about the user."""

BESIDE: Final = 5
"""Facts of the weights, at most, that are stated beside what only a prompt can serve."""

RANK_CONSTANT: Final = 60
"""Of reciprocal rank fusion, as in the paper: the first places of a ranking do not outweigh all others."""


class Meanings:
    """An embedding model in front of a store."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._is_failing = False

    def of(self, text: str, store: FactStore, among: Among) -> Meaning | None:
        """Where the model places a text, after what is new in the store; None while the model fails."""
        vector = self._asked(self._embeddings.embed_query, text)
        if vector is None:
            return None
        meaning = Meaning(model=self._name(len(vector)), vector=tuple(vector))
        lacking = store.vectors.lacking(meaning.model, among, PLACED_AT_ONCE)
        vectors = self._asked(self._embeddings.embed_documents, list(lacking.values())) if lacking else None
        if vectors is not None:
            store.vectors.place(meaning.model, dict(zip(lacking, vectors, strict=True)), among)
        return meaning

    def _name(self, dimensions: int) -> str:
        """What vectors are kept under. Two models of one name still differ in how long theirs are."""
        kind = type(self._embeddings)
        name = getattr(self._embeddings, "model", None) or getattr(self._embeddings, "model_name", "")
        return f"{kind.__module__}.{kind.__name__}:{name}/{dimensions}"

    def _asked(self, embed: Callable[[Asked], Answer], what: Asked) -> Answer | None:
        """What the model says, or None: that it fails, and that it answers again, is logged once each."""
        try:
            answer = embed(what)
        # A provider may raise anything at all, and no answer should wait until it is mended.
        except Exception as error:  # noqa: BLE001
            if not self._is_failing:
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                logger.warning("the embedding model fails, words alone find facts: %s", reason)
            self._is_failing = True
            return None
        if self._is_failing:
            logger.info("the embedding model answers again")
        self._is_failing = False
        return answer


def meanings(name: str, embeddings: Embeddings | Meanings | None = None) -> Meanings | None:
    """What finds facts by meaning: a model in hand, or the one that the settings name; none by default.

    Raises ConfigError for one that cannot be loaded.
    """
    if isinstance(embeddings, Meanings):
        return embeddings
    if embeddings is not None or not name:
        return Meanings(embeddings) if embeddings is not None else None
    if importlib.util.find_spec("langchain") is None:
        raise ConfigError(
            f"[recall] embeddings = {name!r} needs the package langchain and the provider's own"
            f' (pip install langchain langchain-{name.partition(":")[0]}), or set embeddings = ""'
        )
    from langchain.embeddings import init_embeddings

    try:
        model = init_embeddings(name)
    # Each provider refuses in its own way: a package that lacks, a key that is not there.
    except Exception as error:
        raise ConfigError(f"[recall] embeddings = {name!r} cannot be loaded: {error}") from error
    if not isinstance(model, Embeddings):
        raise ConfigError(f"[recall] embeddings = {name!r} is no embedding model")
    return Meanings(model)


def search(store: FactStore, text: str, limit: int, by_meaning: Meanings | None) -> dict[Fact, float]:
    """Standing facts that a text is about, learned ones included, best first.

    Each with how near it is, in 0-1: the share of the text's words it has, or its cosine if that is more.
    """
    meaning = by_meaning.of(text, store, Among.FACTS) if by_meaning else None
    if meaning is None:
        return store.ranked(text, limit)
    shares = store.ranked(text, max(NEAREST, limit))
    near = store.vectors.facts(meaning, Among.FACTS, max(NEAREST, limit))
    fused = fuse([list(shares), list(near)])
    return {
        fact: min(1.0, max(shares.get(fact, 0.0), near.get(fact, 0.0)))
        for fact in nlargest(limit, fused, key=fused.__getitem__)
    }


def fuse(rankings: Sequence[Sequence[Ranked]]) -> dict[Ranked, float]:
    """Reciprocal rank fusion: what stands high in several rankings comes before what one alone puts first."""
    score: dict[Ranked, float] = {}
    for ranking in rankings:
        for rank, one in enumerate(ranking, start=1):
            score[one] = score.get(one, 0.0) + 1 / (RANK_CONSTANT + rank)
    return score


# -- for a prompt ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The facts for one prompt, in its order, and those that were about the question and had no room."""

    facts: tuple[Fact, ...] = ()
    left_out: tuple[Fact, ...] = ()
    is_for_base: bool = False
    """The weights would say what was taken back: the base model is to answer, from these facts."""


def for_prompt(
    store: FactStore,
    question: str,
    by_meaning: Meanings | None,
    *,
    limit: int,
    room: int,
    length: Callable[[Fact], int],
    spoken: str = "",
) -> Recalled:
    """What a prompt has to say for this question, `limit` facts at most, of no more `length` than `room`.

    Beside other facts a model reads its prompt more than its weights. So where a prompt says anything, it
    says what the question may ask for as well, though the weights hold it; it says so last, so that the
    prompt before it stays the same from one question to the next.

    A model may not obey the sentence that something is no longer true. So where the weights hold what was
    taken back about those whom the question, or what was `spoken` before it, names, the base is to answer:
    it never heard of that, and the prompt does not mention it.
    """
    facts = {fact.id: fact for fact in store.recall(_cued(question), NEAREST)}
    meaning = by_meaning.of(question, store, Among.PROMPT) if by_meaning else None
    near = store.vectors.facts(meaning, Among.PROMPT, NEAREST) if meaning else {}
    # What was taken back is recalled by the store alone: it knows whether another value denies it already.
    facts |= {fact.id: fact for fact in near if fact.status is not FactStatus.RETRACTED}
    told = sorted(facts.values(), key=lambda fact: fact.recorded_at)
    overrides = store.contradicting(told)
    taken_back = [fact for fact in told if fact.status is FactStatus.RETRACTED]
    is_for_base = any(names(f"{spoken} {question}", fact) for fact in taken_back)
    # No more than half of the prompt: what waits there is known nowhere else.
    beside = limit // 2 if is_for_base else min(BESIDE, limit // 2)
    held = meant(_learned(store, question), question)[:beside] if told else []
    if is_for_base:
        told = [fact for fact in told if fact not in taken_back]
    best = [*held, *relevant(told, question, overrides, [fact.id for fact in near])][:limit]
    kept = fitting(best, overrides, room, length)
    in_order = sorted((fact for fact in told if fact.id in kept), key=lambda fact: fact.id not in overrides)
    return Recalled(
        facts=(*in_order, *(fact for fact in held[::-1] if fact.id in kept)),
        left_out=tuple(fact for fact in best if fact.id not in kept),
        is_for_base=is_for_base,
    )


def meant(learned: Sequence[Fact], question: str) -> list[Fact]:
    """What the weights hold about those whom a question names, nearest first."""
    words = words_of(question)
    return relevant([fact for fact in learned if is_named(fact.subject, words)], question)


def names(text: str, fact: Fact) -> bool:
    """Whether a text names the subject of a fact, or its value."""
    words = words_of(text)
    return is_named(fact.subject, words) or (bool(fact.object) and is_named(fact.object, words))


def is_named(name: str, words: Set[str]) -> bool:
    """Whether a name is among these words; the user is by a word of the first person, "user's sister" too."""
    of_name = words_of(name) - ({USER} if words & FIRST_PERSON else set())
    return of_name <= words


def _learned(store: FactStore, question: str) -> list[Fact]:
    """What the weights hold and shares words with a question, as it was told."""
    found = store.search(f"{_cued(question)} {USER}", NEAREST)
    learned = (fact for fact in found if fact.status is FactStatus.LEARNED)
    return sorted(learned, key=lambda fact: fact.recorded_at)


def relevant(
    told: Sequence[Fact], question: str, overrides: Collection[str] = (), near: Sequence[str] = ()
) -> list[Fact]:
    """Facts as they were told, put in the order in which a question asks for them.

    They rank by the words that they share with it, a rare one counting for more, and by how `near` they are
    in meaning. Of those that have nothing to do with it, overrides of the weights come first, then the new.
    """
    score = scores({fact.id: _about(fact) for fact in told}, question, near)
    newest = told[::-1]
    return sorted(newest, key=lambda fact: (-score[fact.id], fact.id not in overrides))


def scores(texts: Mapping[str, str], question: str, near: Sequence[str] = ()) -> dict[str, float]:
    """How well each text, by its name, goes with a question: by words, fused with meaning where it is known.

    0.0 is not at all. `near` are the names of those that are nearest in meaning, best first.
    """
    by_words = dict(zip(texts, Told(list(texts.values())).shared(question), strict=True))
    if not near:
        return by_words
    best = sorted(filter(by_words.__getitem__, by_words), key=by_words.__getitem__, reverse=True)
    return dict.fromkeys(texts, 0.0) | fuse([best, [name for name in near if name in texts]])


def fitting(
    best_first: Sequence[Fact], overrides: Collection[str], room: int, length: Callable[[Fact], int]
) -> set[str]:
    """The ids of the facts that a prompt has room for: what overrides the weights, then the best."""
    kept = set[str]()
    for fact in sorted(best_first, key=lambda fact: fact.id not in overrides):
        if (taken := length(fact)) <= room:
            room -= taken
            kept.add(fact.id)
    return kept


# -- by words ----------------------------------------------------------------------------------------------


class Told:
    """Texts that are found again by the words they share with a question; a rare word counts for more."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._n = len(texts)
        self._with: dict[str, list[int]] = {}
        for i, text in enumerate(texts):
            for word in words_of(text):
                self._with.setdefault(word, []).append(i)

    def nearest(self, text: str, limit: int) -> list[int]:
        """Which texts, `limit` at most, share most with this one, in their order; of equals, the later."""
        shared = self.shared(text)
        return sorted(nlargest(limit, range(self._n), key=lambda i: (shared[i], i)))

    def shared(self, text: str) -> list[float]:
        """How much each text shares with this one."""
        shared = [0.0] * self._n
        for word in sorted(words_of(text)):
            for i in self._with.get(word, ()):
                shared[i] += 1 / len(self._with[word])
        return shared


def _cued(text: str) -> str:
    """A question with the relations that it sounds like: "What do I do?" has no word of a job."""
    names, questions = _relations()
    return " ".join((text, *(names[i].replace("_", " ") for i in questions.nearest(text, 3))))


@cache
def _relations() -> tuple[tuple[str, ...], Told]:
    names = relations.named()
    return names, Told([" ".join(relations.asked(USER, name)) for name in names])


def _about(fact: Fact) -> str:
    """A fact and the questions that ask for it: "The user lives ..." has none of their words."""
    questions = () if fact.relation == STATEMENT else relations.asked(fact.subject, fact.relation)
    return " ".join((fact.statement, fact.relation, *questions))


def words_of(text: str) -> set[str]:
    """The words of a text, to be compared: no case, no mark at an end, no "'s"."""
    return {word.strip(".,!?").removesuffix("'s") for word in text.casefold().split()}
