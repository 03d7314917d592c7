"""One question to several at a time: `ice`, the base, two revisions, the base with what is remembered.

Nothing that is asked here is heard: no fact comes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request, Response

from ice_agent import recall, relations
from ice_agent.agent import Agent, said
from ice_agent.errors import AdapterError, EngineError
from ice_agent.model import Ids
from ice_agent.server.access import Visit
from ice_agent.server.dashboard.rendering import Page, page
from ice_agent.server.dashboard.visitors import Asking, Form
from ice_agent.server.refusals import Refused
from ice_agent.turns import Turn
from ice_agent.writing import Ask, Writing
from memory import Adapter, AdapterStatus

router = APIRouter(route_class=Page, include_in_schema=False)

NOTHING: Final = ""
LOADABLE: Final = (
    AdapterStatus.PROMOTED, AdapterStatus.CANDIDATE, AdapterStatus.RETIRED, AdapterStatus.REVERTED,
    AdapterStatus.REJECTED,
)  # fmt: skip


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


@router.get("/ui/playground")
def empty(request: Request, visit: Asking) -> Response:
    one, other = _suggested(visit)
    return _shown(request, visit, "", one, other, ())


@router.post("/ui/playground")
def answered(request: Request, visit: Asking, form: Form) -> Response:
    question = form.get("question", "").strip()
    one, other = form.get("one", NOTHING), form.get("other", NOTHING)
    if not question:
        raise Refused(400, "ask something")
    answers = _answers(visit, _asked(visit, question, one, other))
    return _shown(request, visit, question, one, other, answers)


def _shown(
    request: Request, visit: Visit, question: str, one: str, other: str, answers: tuple[Answer, ...]
) -> Response:
    return page(
        request,
        "playground.html",
        question=question,
        one=one,
        other=other,
        answers=answers,
        adapters=_loadable(visit),
        serving=visit.store.serving(),
        max_tokens=visit.config.agent.max_answer_tokens,
    )


def _suggested(visit: Visit) -> tuple[str, str]:
    """What serves, and what it was edited from."""
    serving = visit.store.serving()
    if serving is None:
        return NOTHING, NOTHING
    ids = {adapter.id for adapter in _loadable(visit)}
    return serving.id, serving.parent_id if serving.parent_id in ids else NOTHING


def _loadable(visit: Visit) -> list[Adapter]:
    """Adapters whose files are there, newest first."""
    found = visit.store.adapters()[::-1]
    return [each for each in found if each.status in LOADABLE and each.collected_at is None]


def _asked(visit: Visit, question: str, one: str, other: str) -> Iterator[Asked]:
    store, model = visit.store, visit.serving.model
    agent = Agent(store, model, visit.config, visit.serving.extractor, visit.serving.meanings)
    turns = [Turn(role="user", content=question)]
    bare, ready = agent.bare(turns), agent.prepare(turns)
    yield Asked(
        name="ice", about=_served_by(ready.adapter, store.serving()), adapter=ready.adapter,
        prompt=ready.prompt, memory_tokens=ready.memory_tokens, told=said(ready.recalled),
    )  # fmt: skip
    yield Asked(name="base", about="the model as it was, nothing recalled", adapter=None, prompt=bare)
    for id_ in dict.fromkeys(filter(None, (one, other))):
        adapter = store.adapter(id_)
        about = f"{adapter.status}, from its weights alone"
        yield Asked(name=adapter.id, about=about, adapter=adapter, prompt=bare)
    told = said(list(recall.search(store, question, visit.config.agent.max_recalled, visit.serving.meanings)))
    system = relations.system_message(visit.config.agent.system_prompt, told)
    prompt = model.encode([Turn(role="system", content=system), *turns]) if told else bare
    yield Asked(
        name="prompt + base", about="the model as it was, told what is remembered", adapter=None,
        prompt=prompt, memory_tokens=len(prompt) - len(bare), told=told,
    )  # fmt: skip


def _served_by(adapter: Adapter | None, serving: Adapter | None) -> str:
    if adapter is None or serving is None:
        return "as an agent hears it: nothing serves yet, so the base answers"
    if adapter.id != serving.id:
        return f"as an agent hears it: the base answers, since {serving.id} would say what was taken back"
    return f"as an agent hears it: {serving.id}, and what its prompt recalls"


def _answers(visit: Visit, asked: Iterable[Asked]) -> tuple[Answer, ...]:
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
