"""One turn of an assistant that remembers: recall what the weights do not hold, answer, listen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from heapq import nlargest

from ice_agent import collect, cycle, plan, relations
from ice_agent.collect import Heard
from ice_agent.config import Config
from ice_agent.model import EditableModel
from ice_agent.turns import Turn
from memory import STATEMENT, USER, Adapter, Fact, FactStatus, FactStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, and what it cost: the facts in the prompt and the tokens that they took."""

    text: str
    adapter_id: str
    recalled: tuple[Fact, ...]
    prompt_tokens: int
    memory_tokens: int


class Agent:
    """An assistant of one tenant. It swaps to a newly promoted adapter between two answers."""

    def __init__(
        self,
        store: FactStore,
        model: EditableModel,
        config: Config,
        extractor: collect.Extractor | None = None,
    ) -> None:
        self.store, self.model, self.config = store, model, config
        self.extractor = extractor or collect.extractor_named(config.collect.extractor)

    def turn(self, text: str, history: Sequence[Turn] = ()) -> tuple[Reply, Heard]:
        """Answer what the user says, then keep the facts that it told."""
        reply = self.answer(text, history)
        return reply, self.hear(text)

    def answer(self, text: str, history: Sequence[Turn] = ()) -> Reply:
        """The model's answer, from its weights and from the facts that only the prompt can serve yet."""
        adapter = self._swap()
        recalled = self._recall(text)
        static = self.config.agent.system_prompt
        prompt = self.model.encode(
            self._turns(relations.system_message(static, said(recalled)), history, text)
        )
        bare = self.model.encode(self._turns(static, history, text)) if recalled else prompt
        with self.model.using(adapter.id):
            (completion,) = self.model.complete([prompt], max_tokens=self.config.agent.max_answer_tokens)
        return Reply(
            text=completion.text,
            adapter_id=adapter.id,
            recalled=recalled,
            prompt_tokens=len(prompt),
            memory_tokens=len(prompt) - len(bare),
        )

    def hear(self, text: str, speaker: str = USER) -> Heard:
        """Keep an utterance and the facts in it."""
        return collect.hear(self.store, self.config.collect, text, self.extractor, speaker)

    def _recall(self, text: str) -> tuple[Fact, ...]:
        """The facts that this prompt has room for: overrides of the weights first, the rest as told."""
        settings = self.config.agent
        near = relevant(self.store.recall(_cued(text)), text, settings.max_recalled)
        overrides_first = sorted(near, key=lambda fact: fact.status is not FactStatus.RETRACTED)
        room, kept = settings.max_recalled_tokens, set[str]()
        for fact in overrides_first:
            (statement,) = said([fact])
            room -= len(self.model.encode_text(statement))
            if room >= 0:
                kept.add(fact.id)
        return tuple(fact for fact in overrides_first if fact.id in kept)

    def _swap(self) -> Adapter:
        """The adapter that serves now; what another process promoted since the last answer is loaded here."""
        adapter = plan.serving(self.store)
        cycle.load(self.model, self.config, adapter)
        return adapter

    def _turns(self, system: str, history: Sequence[Turn], text: str) -> list[Turn]:
        opening = [Turn(role="system", content=system)] if system else []
        return [*opening, *history, Turn(role="user", content=text)]


def said(facts: Sequence[Fact]) -> list[str]:
    """How a prompt states these facts; one that was taken back is denied."""
    return [
        relations.negation(f.statement) if f.status is FactStatus.RETRACTED else f.statement for f in facts
    ]


def relevant(facts: Sequence[Fact], text: str, limit: int) -> tuple[Fact, ...]:
    """`limit` facts at most, in the order they were told: those that the text is about, then the newest.

    A word that few facts share says more than one that all of them have.
    """
    return tuple(facts[i] for i in Told([_about(fact) for fact in facts]).nearest(text, limit))


class Told:
    """Texts that are found again by the words they share with a question; a rare word counts for more."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._n = len(texts)
        self._with: dict[str, list[int]] = {}
        for i, text in enumerate(texts):
            for word in _words(text):
                self._with.setdefault(word, []).append(i)

    def nearest(self, text: str, limit: int) -> list[int]:
        """Which texts, `limit` at most, share most with this one, in their order; of equals, the later."""
        shared = [0.0] * self._n
        for word in sorted(_words(text)):
            for i in self._with.get(word, ()):
                shared[i] += 1 / len(self._with[word])
        return sorted(nlargest(limit, range(self._n), key=lambda i: (shared[i], i)))


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


def _words(text: str) -> set[str]:
    return {word.strip(".,!?").removesuffix("'s") for word in text.casefold().split()}
