"""OpenAI's /v1/models and /v1/chat/completions. A model is `ice`, one revision of it, or the base.

`ice` is the tenant's adapter that serves, with the facts that only the prompt has yet; what its user says is
heard. `ice@ID` is one adapter, `base` the model without any: neither recalls or hears, so that they compare.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Response
from jinja2 import TemplateError
from pydantic import BaseModel, ConfigDict, Field

from ice_agent import forget
from ice_agent.agent import BASE, ICE, REVISION, Agent
from ice_agent.model import Ids
from ice_agent.server.access import Chatting, Visit
from ice_agent.server.completion import Completion, Hear, Streamed, Whole
from ice_agent.server.refusals import OpenAIProblem, Refused, documented
from ice_agent.turns import Call, Tools, Turn, call_opening, fewest_tokens
from ice_agent.writing import Ask, Finish, Writing
from memory import (
    AccessRole,
    Adapter,
    AdapterStatus,
    AmbiguousId,
    UnknownAdapter,
    UnstorableText,
    is_storable,
)

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/v1", tags=["openai"], responses=documented(form=OpenAIProblem))


SEEDS: Final = 2**63


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class OtherPart(BaseModel):
    """An image, a sound, a file: read, so that it can be refused by its name."""

    type: str


class CalledFunction(BaseModel):
    name: str
    arguments: str
    """JSON."""


class ToolCall(BaseModel):
    id: str = ""
    function: CalledFunction

    @property
    def call(self) -> Call:
        try:
            arguments = json.loads(self.function.arguments or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise Refused(400, "the arguments of a call are a JSON object", param="messages")
        return Call(name=self.function.name, arguments=arguments, id=self.id)


class Function(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str = Field(min_length=1)
    parameters: dict[str, Any] = Field(default={"type": "object", "properties": {}})


class Tool(BaseModel):
    type: Literal["function"]
    function: Function


class Message(BaseModel):
    role: str = Field(examples=["user"])
    content: str | list[TextPart | OtherPart] | None = Field(default=None, examples=["Where do I live?"])
    tool_calls: list[ToolCall] | None = None
    """Of the assistant's."""
    tool_call_id: str | None = None
    """Of a tool's: what it answers."""
    name: str | None = None

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
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[Any] | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = False

    @property
    def stops(self) -> tuple[str, ...]:
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        # An empty one would end each answer before its first letter.
        return tuple(text for text in given if text)

    @property
    def callable_tools(self) -> Tools:
        """The tools that it may call, as chat templates read them."""
        told = [] if self.tool_choice == "none" else [tool.model_dump() for tool in self.tools or ()]
        if not is_storable(json.dumps(told, ensure_ascii=False)):
            raise UnstorableText("a tool")
        return told

    @property
    def required_tool(self) -> str | None:
        """The tool that has to be called, empty for whichever; None where that is the model's choice."""
        names = [tool.function.name for tool in self.tools or ()]
        match self.tool_choice:
            case None | "none" | "auto":
                return None
            case "required" if names:
                return names[0] if len(names) == 1 else ""
            case {"function": {"name": str(name)}} if name in names:
                return name
        raise Refused(
            400, f"tool_choice is none, auto, required or one of the tools ({', '.join(names) or 'none'})",
            param="tool_choice",
        )  # fmt: skip

    def require_possible(self) -> None:
        """Raise Refused for what this service does not do, by the name of the field."""
        for name, is_asked, instead in (
            ("n", (self.n or 1) != 1, "one answer a request: ask n times"),
            ("functions", self.functions, "write them as tools"),
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

    When the answer has ended, what its user said last is kept: the next request is answered by it. A request
    to forget is granted, and the answer says what went.
    """
    asked.require_possible()
    visit = visit.named(asked.user, "user")
    turns, tools, opening = _turns(asked.messages), asked.callable_tools, ""
    model = visit.serving.model
    if (tools or any(turn.role == "tool" or turn.calls for turn in turns)) and not visit.serving.takes_tools:
        raise Refused(
            400, "tools: the chat template of this model has no place for them: leave them out",
            param="tools", code="unsupported_parameter",
        )  # fmt: skip
    if (required := asked.required_tool) is not None:
        # A model that is to call a tool has its answer begun for it.
        opening = call_opening(model.tokenizer, required)
    agent = Agent(
        visit.store, visit.serving.model, visit.config, visit.serving.extractor, visit.serving.meanings
    )
    _require_readable(visit, turns)
    if (told := _forgotten(visit, agent, asked.model, turns)) is not None:
        return _answer(asked, told, _unread(visit, asked), lambda: None)
    try:
        prompt = _prompt(visit, agent, asked.model, turns, tools)
    except TemplateError as error:
        raise Refused(
            400, f"the model's chat template does not take these turns: {error}", param="messages"
        ) from error
    ids = prompt.ids
    if opening:
        ids = [*ids, *model.tokenizer(opening, add_special_tokens=False)["input_ids"]]
    writing = visit.serving.engine.write(
        Ask(
            prompt=ids,
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
        prompt_tokens=len(ids),
        memory_tokens=prompt.memory_tokens,
        tools=frozenset(str(tool["function"]["name"]) for tool in tools),
        opening=opening,
    )

    def hear() -> None:
        if asked.model == ICE and turns[-1].role == "user":
            agent.hear(turns[-1].content, turns[:-1])

    return _answer(asked, writing, completion, hear)


def _require_readable(visit: Visit, turns: Sequence[Turn]) -> None:
    """Refuse what is too long beyond doubt before anything reads it. An outside engine has its own limit."""
    model, at_least = visit.serving.model, fewest_tokens(visit.serving.model.tokenizer, turns)
    if at_least >= model.room and not visit.config.publish.generate:
        n = f"{at_least} tokens or more"
        too_long = f"the prompt has {n}, and the model reads {model.room} with its answer"
        raise Refused(400, too_long, param="messages", code="context_length_exceeded")


def _answer(asked: ChatRequest, writing: Writing, completion: Completion, hear: Hear) -> Response:
    if asked.stream:
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        return Streamed(writing, completion, hear, with_usage=with_usage)
    return Whole(writing, completion, hear)


def _forgotten(visit: Visit, agent: Agent, model: str, turns: Sequence[Turn]) -> Writing | None:
    """The answer to a request to forget, which is granted by then; None where nobody asks for that."""
    if model != ICE or turns[-1].role != "user":
        return None
    said = [turn.content for turn in turns if turn.role == "user"]
    may_name = visit.role is AccessRole.OPERATE
    text = forget.answered(
        visit.serving.archive, visit.store, visit.config, agent.extractor, said, by_name=may_name
    )
    if text is None:
        return None
    visit.serving.engine.forget()
    writing = Writing(Ask(prompt=(), adapter=None, max_tokens=0))
    writing.add(text)
    writing.end(Finish.STOP, 0)
    return writing


def _unread(visit: Visit, asked: ChatRequest) -> Completion:
    """Of an answer that no model was asked for: no token was read or written."""
    serving = visit.store.serving()
    return Completion(
        model=asked.model,
        fingerprint=serving.id if serving else BASE,
        created=int(time.time()),
        prompt_tokens=0,
        memory_tokens=0,
    )


def _turns(messages: Sequence[Message]) -> list[Turn]:
    """The conversation: a system turn if there is any, then what was spoken. Raises Refused."""
    system, spoken = list[str](), list[Turn]()
    for message in messages:
        match message.role:
            case "system" | "developer":
                system.append(message.text)
            case "user":
                spoken.append(Turn(role="user", content=message.text))
            case "assistant":
                calls = tuple(each.call for each in message.tool_calls or ())
                spoken.append(Turn(role="assistant", content=message.text, calls=calls))
            case "tool":
                name, answered = message.name or "", message.tool_call_id or ""
                spoken.append(Turn(role="tool", content=message.text, name=name, call_id=answered))
            case other:
                raise Refused(
                    400, f"turns are of system, user, assistant and tool, not {other!r}", param="messages"
                )
    if not any(turn.role == "user" for turn in spoken) or spoken[-1].role == "assistant":
        raise Refused(400, "the last turn has to be the user's, or a tool's", param="messages")
    if spoken[-1].role == "user" and not spoken[-1].content.strip():
        raise Refused(400, "the user's last turn says nothing: give it words", param="messages")
    if not all(map(is_storable, (*system, *(words for turn in spoken for words in _words(turn))))):
        raise UnstorableText("a message")
    return [*([Turn(role="system", content="\n".join(system))] if system else []), *spoken]


def _words(turn: Turn) -> Iterator[str]:
    """All that a template may write of a turn."""
    yield from (turn.content, turn.name, turn.call_id)
    for call in turn.calls:
        yield from (call.name, call.id, json.dumps(call.arguments, ensure_ascii=False))


def _prompt(visit: Visit, agent: Agent, name: str, turns: Sequence[Turn], tools: Tools) -> Prompt:
    if name == ICE:
        ready = agent.prepare(turns, tools)
        return Prompt(ids=ready.prompt, adapter=ready.adapter, memory_tokens=ready.memory_tokens)
    adapter = None if name == BASE else _revision(visit, name)
    return Prompt(ids=agent.bare(turns, tools), adapter=adapter)


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
