"""OpenAI's /v1/models and /v1/chat/completions. A model is `ice`, one revision of it, or the base.

`ice` is the tenant's adapter that serves, with the facts that only the prompt has yet; what its user says is
heard. `ice@ID` is one adapter, `base` the model without any: neither recalls or hears, so that they compare.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Response
from jinja2 import TemplateError
from pydantic import BaseModel, Field

from ice_agent.agent import Agent
from ice_agent.model import Ids
from ice_agent.server.access import Chatting, Visit
from ice_agent.server.completion import Completion, Streamed, Whole
from ice_agent.server.refusals import OpenAIProblem, Refused, documented
from ice_agent.turns import Turn
from ice_agent.writing import Ask
from memory import (
    Adapter,
    AdapterStatus,
    AmbiguousId,
    UnknownAdapter,
    UnstorableText,
    is_storable,
)

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/v1", tags=["openai"], responses=documented(400, form=OpenAIProblem))

ICE: Final = "ice"
BASE: Final = "base"
REVISION: Final = "ice@"

SEEDS: Final = 2**63


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class OtherPart(BaseModel):
    """An image, a sound, a file: read, so that it can be refused by its name."""

    type: str


class Message(BaseModel):
    role: str = Field(examples=["user"])
    content: str | list[TextPart | OtherPart] | None = Field(default=None, examples=["Where do I live?"])

    @property
    def text(self) -> str:
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        for part in self.content:
            if not isinstance(part, TextPart):
                raise Refused(400, f"content of type {part.type!r} is not read: send text", param="messages")
        return "".join(part.text for part in self.content if isinstance(part, TextPart))


class StreamOptions(BaseModel):
    include_usage: bool = False


class ResponseFormat(BaseModel):
    type: str = "text"


class ChatRequest(BaseModel):
    """What is understood of OpenAI's request. Fields that are not here are left out, as clients send many."""

    model: str = Field(default=ICE, examples=[ICE])
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-SEEDS, lt=SEEDS)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    n: int | None = 1
    user: str | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = False

    @property
    def stops(self) -> tuple[str, ...]:
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        # An empty one would end each answer before its first letter.
        return tuple(text for text in given if text)

    def require_possible(self) -> None:
        """Raise Refused for what this service does not do, by the name of the field."""
        for name, is_asked, instead in (
            ("n", (self.n or 1) != 1, "one answer a request: ask n times"),
            ("tools", self.tools or self.functions, "this model calls no tools: leave them out"),
            ("logprobs", self.logprobs, "probabilities are not told"),
            (
                "response_format",
                self.response_format and self.response_format.type != "text",
                "answers are text: ask for the format in words",
            ),
        ):
            if is_asked:
                raise Refused(400, f"{name}: {instead}", param=name, code="unsupported_parameter")


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A conversation made ready for whichever model was named."""

    ids: Ids
    adapter: Adapter | None
    memory_tokens: int = 0


@router.get("/models")
def models(visit: Chatting) -> Models:
    """`ice`, `base`, and each revision that can still be asked, newest first."""
    kept = [adapter for adapter in visit.store.adapters() if _is_askable(adapter)]
    began = int(kept[0].created_at.timestamp()) if kept else 0
    return Models(
        data=[
            Model(id=ICE, created=began, owned_by="ice-agent"),
            Model(id=BASE, created=began, owned_by="ice-agent"),
            *(
                Model(id=f"{REVISION}{a.id}", created=int(a.created_at.timestamp()), owned_by="ice-agent")
                for a in kept[::-1]
            ),
        ]
    )


@router.get("/models/{model}", responses=documented(404, 409, form=OpenAIProblem))
def model(model: str, visit: Chatting) -> Model:
    """One of them."""
    adapter = _revision(visit, model) if model not in (ICE, BASE) else None
    created = int(adapter.created_at.timestamp()) if adapter else 0
    return Model(id=model, created=created, owned_by="ice-agent")


@router.post(
    "/chat/completions",
    response_model=None,
    responses=documented(404, 409, form=OpenAIProblem)
    | {
        200: {
            "description": "The answer, whole, or in pieces where `stream` is set.",
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {
                        "id": "chatcmpl-1",
                        "object": "chat.completion",
                        "created": 1,
                        "model": "ice",
                        "system_fingerprint": "a_1",
                        "choices": [
                            {
                                "index": 0,
                                "message": {"role": "assistant", "content": "You live in Lisbon."},
                                "finish_reason": "stop",
                            }
                        ],
                        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
                    },
                },
                "text/event-stream": {"schema": {"type": "string"}},
            },
        }
    },
)
def complete(asked: ChatRequest, visit: Chatting) -> Response:
    """Answer a conversation.

    When the answer has ended, what its user said last is kept: the next request is answered by it.
    """
    asked.require_possible()
    visit = visit.named(asked.user, "user")
    turns = _turns(asked.messages)
    agent = Agent(
        visit.store, visit.serving.model, visit.config, visit.serving.extractor, visit.serving.meanings
    )
    try:
        prompt = _prompt(visit, agent, asked.model, turns)
    except TemplateError as error:
        raise Refused(
            400, f"the model's chat template does not take these turns: {error}", param="messages"
        ) from error
    writing = visit.serving.engine.write(
        Ask(
            prompt=prompt.ids,
            adapter=prompt.adapter,
            max_tokens=_max_tokens(visit, asked),
            temperature=asked.temperature or 0.0,
            top_p=asked.top_p or 1.0,
            seed=asked.seed,
            stop=asked.stops,
        )
    )
    completion = Completion(
        model=asked.model,
        fingerprint=prompt.adapter.id if prompt.adapter else BASE,
        created=int(time.time()),
        prompt_tokens=len(prompt.ids),
        memory_tokens=prompt.memory_tokens,
    )

    def hear() -> None:
        if asked.model == ICE and turns[-1].content.strip():
            agent.hear(turns[-1].content)

    if asked.stream:
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        return Streamed(writing, completion, hear, with_usage=with_usage)
    return Whole(writing, completion, hear)


def _turns(messages: Sequence[Message]) -> list[Turn]:
    """The conversation: a system turn if there is any, then what was spoken. Raises Refused."""
    system, spoken = list[str](), list[Turn]()
    for message in messages:
        match message.role:
            case "system" | "developer":
                system.append(message.text)
            case "user" | "assistant":
                spoken.append(Turn(role=message.role, content=message.text))
            case other:
                raise Refused(
                    400, f"turns are of system, user and assistant, not {other!r}", param="messages"
                )
    if not spoken or spoken[-1].role != "user":
        raise Refused(400, "the last turn has to be the user's", param="messages")
    if not all(is_storable(turn.content) for turn in spoken) or not all(map(is_storable, system)):
        raise UnstorableText("a message")
    return [*([Turn(role="system", content="\n".join(system))] if system else []), *spoken]


def _prompt(visit: Visit, agent: Agent, name: str, turns: Sequence[Turn]) -> Prompt:
    if name == ICE:
        ready = agent.prepare(turns)
        return Prompt(ids=ready.prompt, adapter=ready.adapter, memory_tokens=ready.memory_tokens)
    static = visit.config.agent.system_prompt
    if static and turns[0].role != "system":
        turns = [Turn(role="system", content=static), *turns]
    adapter = None if name == BASE else _revision(visit, name)
    return Prompt(ids=visit.serving.model.encode(turns), adapter=adapter)


def _revision(visit: Visit, name: str) -> Adapter:
    """The adapter that `ice@ID` names. Raises Refused for another name, and for one that is not kept."""
    try:
        if name.startswith(REVISION):
            adapter = visit.store.adapter(name.removeprefix(REVISION))
            if _is_askable(adapter):
                return adapter
            raise Refused(
                409,
                f"the files of {adapter.id} are gone ({adapter.status})",
                param="model",
                code="model_gone",
            )
    except AmbiguousId as several:
        raise Refused(409, str(several), param="model", code="model_ambiguous") from None
    except UnknownAdapter:
        pass
    raise Refused(
        404, f"no model {name!r}: there are ice, base and ice@ID (see /v1/models)", param="model",
        code="model_not_found",
    )  # fmt: skip


def _is_askable(adapter: Adapter) -> bool:
    return adapter.collected_at is None and adapter.status is not AdapterStatus.FORGOTTEN


def _max_tokens(visit: Visit, asked: ChatRequest) -> int:
    limit = visit.config.server.max_answer_tokens
    wanted = asked.max_completion_tokens or asked.max_tokens
    if wanted is None:
        return min(visit.config.agent.max_answer_tokens, limit)
    if wanted > limit:
        param = "max_completion_tokens" if asked.max_completion_tokens else "max_tokens"
        raise Refused(400, f"{param} is over {limit} ([server] max_answer_tokens)", param=param)
    return wanted
