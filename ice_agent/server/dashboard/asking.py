"""Questions that a page asks the model: whom, with what in the prompt, and what came of it.

Nothing that is asked here is heard: no fact comes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ice_agent.agent import Agent, Prepared, said
from ice_agent.errors import AdapterError, EngineError
from ice_agent.model import Ids
from ice_agent.server.access import Visit
from ice_agent.turns import Turn
from ice_agent.writing import Ask, Writing
from memory import Adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who is asked, and with what in the prompt."""

    name: str
    about: str
    adapter: Adapter | None
    prompt: Ids
    memory_tokens: int = 0
    """Of the prompt, what the facts take."""
    told: Sequence[str] = ()
    """The facts in it, as it states them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A question on its way."""

    asked: Asked
    writing: Writing | EngineError | AdapterError
    """Or why there is none: one that cannot answer leaves the others theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of it."""

    begun: Begun
    text: str = ""
    written_tokens: int = 0
    problem: str = ""


def agent(visit: Visit) -> Agent:
    serving = visit.serving
    return Agent(visit.store, serving.model, visit.config, serving.extractor, serving.meanings)


def ice(visit: Visit, question: str) -> Asked:
    """What a client hears who asks `ice`: what serves, with what its prompt recalls."""
    ready = agent(visit).prepare([Turn(role="user", content=question)])
    return Asked(
        name="ice", about=_served_by(ready, visit.store.serving()), adapter=ready.adapter,
        prompt=ready.prompt, memory_tokens=ready.memory_tokens, told=said(ready.recalled),
    )  # fmt: skip


def _served_by(ready: Prepared, serving: Adapter | None) -> str:
    if ready.adapter is None or serving is None:
        return "as an agent hears it: nothing serves yet, so the base answers"
    if ready.adapter.id != serving.id:
        return f"as an agent hears it: the base answers, since {serving.id} would say what was taken back"
    recalled = "and what its prompt recalls" if ready.recalled else "its prompt recalls nothing"
    return f"as an agent hears it: {serving.id}, {recalled}"


def answers(visit: Visit, asked: Iterable[Asked]) -> tuple[Answer, ...]:
    """All are begun before the first is waited for: they share their steps."""
    begun = [_begun(visit, each) for each in asked]
    return tuple(_answer(each) for each in begun)


def _begun(visit: Visit, asked: Asked) -> Begun:
    max_tokens = visit.config.agent.max_answer_tokens
    ask = Ask(prompt=asked.prompt, adapter=asked.adapter, max_tokens=max_tokens)
    writing: Writing | EngineError | AdapterError
    try:
        writing = visit.serving.engine.write(ask)
    except (EngineError, AdapterError) as error:
        writing = error
    return Begun(asked=asked, writing=writing)


def _answer(begun: Begun) -> Answer:
    if not isinstance(begun.writing, Writing):
        return Answer(begun=begun, problem=str(begun.writing))
    try:
        text = begun.writing.text()
    except EngineError as error:
        return Answer(begun=begun, problem=str(error))
    return Answer(begun=begun, text=text, written_tokens=begun.writing.ended.n_written)
