"""The promoted adapter as a chat model of LangChain. It recalls, and hears nothing: an `IceAgent` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, Field

from ice_agent.agent import BASE, ICE, REVISION
from ice_agent.errors import ModelError
from ice_agent.langchain import calls
from ice_agent.langchain.ice import Ice
from ice_agent.turns import Tools, Turn
from ice_agent.writing import Ask, Writing
from memory import Adapter, Fact

_FORCED = ("any", "required", True)
"""Which tool is the model's choice, and that it calls one is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A prompt, what the answer is to begin with, and what may be in it."""

    ask: Ask
    tools: Tools
    opening: str
    model: str
    memory_tokens: int = 0
    recalled: tuple[Fact, ...] = ()


class ChatIce(BaseChatModel):
    """A tenant's adapter that serves, with the facts that only the prompt can serve yet.

    `ChatIce(tenant="ann")` opens what config.toml names; several share an `ice`.
    """

    ice: Ice = Field(default_factory=Ice, exclude=True, repr=False)
    tenant: str = ""
    """Whose memory; empty is `agent.tenant` of the settings."""
    model: str = ICE
    """Or "base", without any adapter, or "ice@ID", of one that need not serve: neither recalls anything."""
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None
    """Of an answer; None is `agent.max_answer_tokens` of the settings."""
    stop: list[str] | None = None
    cache: bool = Field(default=False, exclude=True)
    """Not another's: an answer depends on what is remembered, which is no part of the question."""

    @property
    def _llm_type(self) -> str:
        return "ice-agent"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {"model": self.model, "tenant": self._tenant}

    @property
    def _tenant(self) -> str:
        return self.tenant or self.ice.config.agent.tenant

    # -- answers -----------------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        ready = self._ready(messages, stop, options)
        writing = self.ice.writer.write(ready.ask)
        message = _message(ready, ready.opening + writing.text(), writing)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> Iterator[ChatGenerationChunk]:
        ready = self._ready(messages, stop, options)
        writing = self.ice.writer.write(ready.ask)
        try:
            # What may become a call is held back: nobody can tell before it has ended.
            pieces = iter(()) if ready.tools else iter(writing)
            for piece in pieces:
                yield _told(AIMessageChunk(content=piece), piece, run_manager)
            whole = ready.opening + writing.text() if ready.tools else ""
            yield _told(_last(_message(ready, whole, writing)), whole, run_manager)
        finally:
            # Whoever stops listening frees its place.
            writing.cancel()

    def _ready(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]
    ) -> _Ready:
        """Raises ValueError for what cannot be answered, ModelError for tools without a template for them."""
        choice = options.get("tool_choice")
        tools: Tools = () if choice == "none" else options.get("tools") or ()
        turns = calls.turns(messages)
        if schema := options.get("json_schema"):
            turns = _asked_for_json(turns, schema)
        if tools or any(turn.role == "tool" or turn.calls for turn in turns):
            self._require_tools()
        opening = self._opening(tools, choice)
        model = str(options.get("model") or self.model)
        ids, adapter, memory_tokens, recalled = self._prompt(model, turns, tools)
        if opening:
            ids = [*ids, *self.ice.model.tokenizer(opening, add_special_tokens=False)["input_ids"]]
        limit = options.get("max_tokens") or self.max_tokens or self.ice.config.agent.max_answer_tokens
        ask = Ask(
            prompt=ids,
            adapter=adapter,
            max_tokens=limit,
            temperature=float(_given(options, "temperature", self.temperature)),
            top_p=float(_given(options, "top_p", self.top_p)),
            seed=_given(options, "seed", self.seed),
            stop=tuple(text for text in stop or self.stop or () if text),
        )
        return _Ready(
            ask=ask, tools=tools, opening=opening, model=model, memory_tokens=memory_tokens, recalled=recalled
        )

    def _prompt(
        self, model: str, turns: list[Turn], tools: Tools
    ) -> tuple[list[int], Adapter | None, int, tuple[Fact, ...]]:
        """Its tokens, the adapter, how many of the tokens are memory, and the facts that these state."""
        agent = self.ice.agent(self._tenant)
        if model == ICE:
            ready = agent.prepare(turns, tools)
            return ready.prompt, ready.adapter, ready.memory_tokens, ready.recalled
        if model != BASE and not model.startswith(REVISION):
            raise ValueError(f"no model {model!r}: there are ice, base and ice@ID (see `ice-agent adapters`)")
        adapter = None if model == BASE else agent.store.adapter(model.removeprefix(REVISION))
        return agent.bare(turns, tools), adapter, 0, ()

    # -- tools and structured output ---------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **options: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let it call tools. `tool_choice` is "auto", "none", "any" or a tool's name.

        Raises ModelError for a base whose chat template has no place for tools.
        """
        self._require_tools()
        described = [convert_to_openai_tool(tool) for tool in tools]
        names = [tool["function"]["name"] for tool in described]
        if isinstance(tool_choice, dict):
            tool_choice = str(tool_choice["function"]["name"])
        if isinstance(tool_choice, str) and tool_choice not in (*names, "auto", "none", *_FORCED):
            raise ValueError(f"no tool {tool_choice!r} to choose: there are {', '.join(names)}")
        options.pop("strict", None)
        return self.bind(tools=described, tool_choice=tool_choice, **options)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: str | None = None,
        strict: bool | None = None,
        **options: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Answers as objects: by a call of a tool or, without a template for tools, as the JSON asked for.

        What the model writes is parsed and not constrained: LangChain's parsers raise for what does not fit.
        """
        if method is None:
            method = "function_calling" if self.ice.takes_tools else "json_schema"
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **options)
        if method not in ("json_schema", "json_mode"):
            raise ValueError(f"no method {method!r}: there are function_calling, json_schema and json_mode")
        form = {"kwargs": {"method": method}, "schema": schema}
        described = {"json_schema": convert_to_json_schema(schema)} if method == "json_schema" else {}
        asked = self.bind(ls_structured_output_format=form, **described)
        parser: BaseOutputParser[Any] = JsonOutputParser()
        if isinstance(schema, type) and is_basemodel_subclass(schema):
            parser = PydanticOutputParser(pydantic_object=schema)
        if not include_raw:
            return asked | parser
        parsed = RunnablePassthrough.assign(
            parsed=lambda told: parser.invoke(told["raw"]), parsing_error=lambda _: None
        )
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=asked) | parsed.with_fallbacks([failed], exception_key="parsing_error")

    def _require_tools(self) -> None:
        if not self.ice.takes_tools:
            raise ModelError(
                f"the chat template of {self.ice.model.name!r} has no place for tools: leave them out, or "
                "set model.name in config.toml to a model that was taught to call them"
            )

    def _opening(self, tools: Tools, choice: Any) -> str:
        """A model that is to call a tool has its answer begun for it."""
        names = [str(tool["function"]["name"]) for tool in tools]
        if choice in _FORCED:
            return self.ice.call_opening(names[0] if len(names) == 1 else "") if names else ""
        return self.ice.call_opening(str(choice)) if choice in names else ""


def _given(options: Mapping[str, Any], name: str, default: Any) -> Any:
    found = options.get(name)
    return default if found is None else found


def _asked_for_json(turns: Sequence[Turn], schema: Mapping[str, Any]) -> list[Turn]:
    asked = f"Answer with one JSON object of this schema, and nothing else: {json.dumps(schema)}"
    if turns[0].role == "system":
        return [Turn(role="system", content=f"{turns[0].content}\n\n{asked}"), *turns[1:]]
    return [Turn(role="system", content=asked), *turns]


def _message(ready: _Ready, text: str, writing: Writing) -> AIMessage:
    """The whole answer, with what it cost and what it was made of."""
    names = {str(tool["function"]["name"]) for tool in ready.tools}
    content, called, invalid = calls.found(text, names) if names else (text, [], [])
    n_prompt, n_written = len(ready.ask.prompt), writing.ended.n_written
    adapter = ready.ask.adapter
    return AIMessage(
        content=content,
        tool_calls=called,
        invalid_tool_calls=invalid,
        usage_metadata=UsageMetadata(
            input_tokens=n_prompt, output_tokens=n_written, total_tokens=n_prompt + n_written
        ),
        response_metadata={
            "model_name": ready.model,
            "model_provider": "ice-agent",
            "finish_reason": "tool_calls" if called else writing.ended.finish.value,
            "adapter": adapter.id if adapter else BASE,
            "memory_tokens": ready.memory_tokens,
            "recalled": [fact.id for fact in ready.recalled],
        },
    )


def _last(message: AIMessage) -> AIMessageChunk:
    """The end of a stream: what is known only then."""
    called = [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=at)
        for at, call in enumerate(message.tool_calls)
    ]
    return AIMessageChunk(
        content=message.content,
        tool_call_chunks=called,
        usage_metadata=message.usage_metadata,
        response_metadata=message.response_metadata,
        chunk_position="last",
    )


def _told(
    chunk: AIMessageChunk, piece: str, run_manager: CallbackManagerForLLMRun | None
) -> ChatGenerationChunk:
    generation = ChatGenerationChunk(message=chunk)
    if run_manager is not None:
        run_manager.on_llm_new_token(piece, chunk=generation)
    return generation
