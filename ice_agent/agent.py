"""One turn of an assistant that remembers: recall what the weights do not hold, answer, listen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from langchain_core.embeddings import Embeddings

from ice_agent import collect, explain, plan, recall, relations
from ice_agent.collect import Heard
from ice_agent.collect.denials import Denial
from ice_agent.collect.rejoinders import Rejoinder, rejoinder
from ice_agent.config import Config
from ice_agent.model import EditableModel, Ids
from ice_agent.recall import Meanings, Recalled
from ice_agent.turns import Tools, Turn
from ice_agent.writing import Ask, Writer
from memory import USER, Adapter, Fact, FactStatus, FactStore, UnknownFact

logger = logging.getLogger(__name__)

ICE: Final = "ice"
"""What clients call the adapter that serves, with the facts that only the prompt has yet."""
BASE: Final = "base"
REVISION: Final = "ice@"
"""And, before its id, one adapter by itself."""

WITH_OPINIONS: Final = frozenset({"name", "person", "company"})
"""Kinds of values that may be wrong about something themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, and what it cost: the facts in the prompt and the tokens that they took."""

    text: str
    adapter_id: str
    recalled: tuple[Fact, ...]
    prompt_tokens: int
    memory_tokens: int
    left_out: tuple[Fact, ...] = ()
    """Facts that the question is about too, and that `agent.max_recalled_tokens` had no room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A prompt in tokens, the facts in it, and the adapter that is to answer it."""

    prompt: Ids
    adapter: Adapter | None
    """None is the base model: nothing was taught yet."""
    recalled: tuple[Fact, ...]
    left_out: tuple[Fact, ...]
    """Facts that the question is about too, and that `agent.max_recalled_tokens` had no room for."""
    memory_tokens: int
    """What the facts take of the prompt."""


class Agent:
    """An assistant of one tenant. It swaps to a newly promoted adapter between two answers."""

    def __init__(
        self,
        store: FactStore,
        model: EditableModel,
        config: Config,
        extractor: collect.Extractor | None = None,
        embeddings: Embeddings | Meanings | None = None,
        writer: Writer | None = None,
    ) -> None:
        """`writer` writes the answers in the place of the model."""
        self.store, self.model, self.config = store, model, config
        self.extractor = extractor or collect.extractor_named(config.collect.extractor)
        self._meanings = recall.meanings(config.recall.embeddings, embeddings)
        self._writer = writer

    def turn(self, text: str, history: Sequence[Turn] = ()) -> tuple[Reply, Heard]:
        """Answer what the user says, then keep the facts that it told."""
        reply = self.answer(text, history)
        return reply, self.hear(text, history)

    def answer(self, text: str, history: Sequence[Turn] = ()) -> Reply:
        """The model's answer, from its weights and from the facts that only the prompt can serve yet.

        Raises CycleError for a tenant without a root.
        """
        ready = self.prepare([*history, Turn(role="user", content=text)])
        adapter = ready.adapter or plan.serving(self.store)
        return Reply(
            text=self._written(ready.prompt, adapter),
            adapter_id=adapter.id,
            recalled=ready.recalled,
            left_out=ready.left_out,
            prompt_tokens=len(ready.prompt),
            memory_tokens=ready.memory_tokens,
        )

    def prepare(self, turns: Sequence[Turn], tools: Tools = ()) -> Prepared:
        """What answers a conversation: a prompt, and the adapter that serves.

        A system turn at its head stands in the place of `agent.system_prompt`. Recalled is what is about the
        words that the user said last, also where a tool has the last turn. The root answers, which is the
        base, where what serves would say what was taken back.
        """
        adapter = self.store.serving()
        static, spoken = self.config.agent.system_prompt, list(turns)
        if spoken[0].role == "system":
            static = spoken.pop(0).content
        recalled = self._recall(
            next(turn.content for turn in reversed(spoken) if turn.role == "user"),
            " ".join(turn.content for turn in spoken),
        )
        if recalled.is_for_base:
            *_, adapter = self.store.lineage()
        facts = recalled.facts
        prompt = self.model.encode(_opened(relations.system_message(static, said(facts)), spoken), tools)
        bare = self.model.encode(_opened(static, spoken), tools) if facts else prompt
        return Prepared(
            prompt=prompt,
            adapter=adapter,
            recalled=facts,
            left_out=recalled.left_out,
            memory_tokens=len(prompt) - len(bare),
        )

    def bare(self, turns: Sequence[Turn], tools: Tools = ()) -> Ids:
        """The prompt of a conversation without anything recalled, under the same system turn as with it."""
        static = self.config.agent.system_prompt
        spoken = list(turns) if turns[0].role == "system" else _opened(static, turns)
        return self.model.encode(spoken, tools)

    def hear(self, text: str, before: Sequence[Turn] = (), speaker: str = USER) -> Heard:
        """Keep an utterance and the facts in it.

        One that does nothing but deny what was just said ("That is no longer true.") takes back the facts
        that the turns `before` it told, or were answered from; "Bergen was wrong" the one that it names.
        """
        extractor, denied = self.extractor, rejoinder(text)
        if denied is not None:
            is_over = denied.denial is Denial.OVER
            meant = self._named(denied) if denied.topic else self._meant(before)
            changes = [collect.taking_back(fact, text, is_over=is_over) for fact in meant]
            extractor = (lambda _: tuple(changes)) if changes else extractor
        return collect.hear(self.store, self.config.collect, text, extractor, speaker)

    def _named(self, denied: Rejoinder) -> Sequence[Fact]:
        """The one fact that has this value, or is the user's "my age"; of a subject all, if all is meant.

        Who or what has opinions may be wrong without being a wrong value: "Olga was wrong."
        """
        topic = relations.normal(denied.topic)
        of_user = (USER, relations.canonical(topic.removeprefix("my ")) if topic.startswith("my ") else None)
        named = [
            fact
            for fact in self.store.facts()
            if (denied.is_all and relations.normal(fact.subject) == topic)
            or (
                (relations.normal(fact.object) == topic or fact.slot == of_user)
                and relations.relation(fact.relation).object_kind not in WITH_OPINIONS
            )
        ]
        return named if denied.is_all or len(named) == 1 else ()

    def _meant(self, before: Sequence[Turn]) -> Sequence[Fact]:
        """What the user told in the turn before, or else what the answer to it came from."""
        said = next((n for n in range(len(before) - 1, -1, -1) if before[n].role == "user"), None)
        if said is None:
            return ()
        words = collect.kept_words(before[said].content, self.config.collect)
        if heard := self.store.utterances(saying=words):
            told = self.store.foresee(utterance_ids=[heard[-1].id]).bereft
            if standing := [fact for fact in told if fact.is_current]:
                return standing
        answer = " ".join(turn.content for turn in before[said + 1 :])
        with suppress(UnknownFact):
            fact, _ = explain.find(self.store, before[said].content, answer)
            if fact.is_current and fact.object and recall.is_named(fact.object, recall.words_of(answer)):
                return (fact,)
        return ()

    def _written(self, prompt: Ids, adapter: Adapter) -> str:
        max_tokens = self.config.agent.max_answer_tokens
        if self._writer is not None:
            return self._writer.write(Ask(prompt=prompt, adapter=adapter, max_tokens=max_tokens)).text()
        # What another process promoted since the last answer is loaded here.
        self.model.load_adapter(adapter.id, self.config.adapters.dir / adapter.path)
        with self.model.using(adapter.id):
            (completion,) = self.model.complete([prompt], max_tokens=max_tokens)
        return completion.text

    def _recall(self, text: str, spoken: str) -> Recalled:
        """The facts that this prompt has room for."""
        settings = self.config.agent
        recalled = recall.for_prompt(
            self.store,
            text,
            self._meanings,
            limit=settings.max_recalled,
            room=settings.max_recalled_tokens,
            length=lambda fact: len(self.model.encode_text(*said([fact]))),
            spoken=spoken,
        )
        if recalled.left_out:
            ids = " ".join(fact.id for fact in recalled.left_out)
            logger.info("agent.max_recalled_tokens = %d left out %s", settings.max_recalled_tokens, ids)
        return recalled


def said(facts: Sequence[Fact]) -> list[str]:
    """How a prompt states these facts; one that was taken back is denied."""
    return [
        relations.negation(f.statement) if f.status is FactStatus.RETRACTED else f.statement for f in facts
    ]


def _opened(system: str, spoken: Sequence[Turn]) -> list[Turn]:
    return [*([Turn(role="system", content=system)] if system else []), *spoken]
