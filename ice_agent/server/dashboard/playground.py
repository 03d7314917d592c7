"""One question to several at a time: `ice`, the base, two revisions, the base with what is remembered.

Nothing that is asked here is heard: no fact comes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fastapi import APIRouter, Request, Response

from ice_agent import recall, relations
from ice_agent.agent import said
from ice_agent.server.access import Visit
from ice_agent.server.dashboard import asking
from ice_agent.server.dashboard.asking import Asked
from ice_agent.server.dashboard.rendering import Page, page
from ice_agent.server.dashboard.visitors import Asking, Form
from ice_agent.server.refusals import Refused
from ice_agent.turns import Turn
from memory import Adapter, AdapterStatus

router = APIRouter(route_class=Page, include_in_schema=False)

NOTHING: Final = ""
LOADABLE: Final = (
    AdapterStatus.PROMOTED, AdapterStatus.CANDIDATE, AdapterStatus.RETIRED, AdapterStatus.REVERTED,
    AdapterStatus.REJECTED,
)  # fmt: skip


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
    answers = asking.answers(visit, _asked(visit, question, one, other))
    return _shown(request, visit, question, one, other, answers)


def _shown(
    request: Request, visit: Visit, question: str, one: str, other: str, answers: tuple[asking.Answer, ...]
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
    turns = [Turn(role="user", content=question)]
    bare = asking.agent(visit).bare(turns)
    yield asking.ice(visit, question)
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
