"""One turn of an assistant that remembers: recall what the weights do not hold, answer, listen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.embeddings import Embeddings

from ice_agent import collect, plan, recall, relations
from ice_agent.collect import Heard
from ice_agent.config import Config
from ice_agent.model import EditableModel
from ice_agent.recall import Recalled
from ice_agent.turns import Turn
from memory import USER, Adapter, Fact, FactStatus, FactStore

logger = logging.getLogger(__name__)


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


class Agent:
    """An assistant of one tenant. It swaps to a newly promoted adapter between two answers."""

    def __init__(
        self,
        store: FactStore,
        model: EditableModel,
        config: Config,
        extractor: collect.Extractor | None = None,
        embeddings: Embeddings | None = None,
    ) -> None:
        self.store, self.model, self.config = store, model, config
        self.extractor = extractor or collect.extractor_named(config.collect.extractor)
        self._meanings = recall.meanings(config.recall.embeddings, embeddings)

    def turn(self, text: str, history: Sequence[Turn] = ()) -> tuple[Reply, Heard]:
        """Answer what the user says, then keep the facts that it told."""
        reply = self.answer(text, history)
        return reply, self.hear(text)

    def answer(self, text: str, history: Sequence[Turn] = ()) -> Reply:
        """The model's answer, from its weights and from the facts that only the prompt can serve yet."""
        adapter = self._swap()
        recalled = self._recall(text)
        facts = recalled.facts
        static = self.config.agent.system_prompt
        prompt = self.model.encode(self._turns(relations.system_message(static, said(facts)), history, text))
        bare = self.model.encode(self._turns(static, history, text)) if facts else prompt
        with self.model.using(adapter.id):
            (completion,) = self.model.complete([prompt], max_tokens=self.config.agent.max_answer_tokens)
        return Reply(
            text=completion.text,
            adapter_id=adapter.id,
            recalled=facts,
            left_out=recalled.left_out,
            prompt_tokens=len(prompt),
            memory_tokens=len(prompt) - len(bare),
        )

    def hear(self, text: str, speaker: str = USER) -> Heard:
        """Keep an utterance and the facts in it."""
        return collect.hear(self.store, self.config.collect, text, self.extractor, speaker)

    def _recall(self, text: str) -> Recalled:
        """The facts that this prompt has room for."""
        settings = self.config.agent
        recalled = recall.for_prompt(
            self.store,
            text,
            self._meanings,
            limit=settings.max_recalled,
            room=settings.max_recalled_tokens,
            length=lambda fact: len(self.model.encode_text(*said([fact]))),
        )
        if recalled.left_out:
            ids = " ".join(fact.id for fact in recalled.left_out)
            logger.info("agent.max_recalled_tokens = %d left out %s", settings.max_recalled_tokens, ids)
        return recalled

    def _swap(self) -> Adapter:
        """The adapter that serves now; what another process promoted since the last answer is loaded here."""
        adapter = plan.serving(self.store)
        self.model.load_adapter(adapter.id, self.config.adapters.dir / adapter.path)
        return adapter

    def _turns(self, system: str, history: Sequence[Turn], text: str) -> list[Turn]:
        opening = [Turn(role="system", content=system)] if system else []
        return [*opening, *history, Turn(role="user", content=text)]


def said(facts: Sequence[Fact]) -> list[str]:
    """How a prompt states these facts; one that was taken back is denied."""
    return [
        relations.negation(f.statement) if f.status is FactStatus.RETRACTED else f.statement for f in facts
    ]
