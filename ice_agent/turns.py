"""Turns of a conversation, and the text that a model reads of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

from jinja2 import TemplateError


class ChatTokenizer(Protocol):
    """What is needed of a tokenizer here: to render a conversation by its chat template."""

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...


Tools = Sequence[Mapping[str, Any]]
"""What a model may call, as OpenAI describes functions: {"type": "function", "function": {...}}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool that the assistant calls, or called."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a conversation; role is "system", "user", "assistant" or "tool"."""

    role: str
    content: str
    calls: tuple[Call, ...] = ()
    """Of the assistant's."""
    name: str = ""
    """Of a tool's: which tool says this,"""
    call_id: str = ""
    """and what it answers."""


def fewest_tokens(tokenizer: Any, turns: Sequence[Turn]) -> int:
    """As many tokens as the users' words take in any case, told from their number alone.

    Space is not counted, for templates and tokenizers may drop it; 0 where a token may stand for any number
    of letters.
    """
    longest = _longest_token(tokenizer)
    if longest == 0:
        return 0
    words = (unicodedata.normalize("NFC", turn.content).split() for turn in turns if turn.role == "user")
    return sum(sum(map(len, each)) for each in words) // longest


@lru_cache(maxsize=4)
def _longest_token(tokenizer: Any) -> int:
    """Letters in NFC that one token stands for, at most; 0 where that is not known.

    It is of pieces of bytes alone: others have a token for all that they do not know, or pass over it.
    """
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None or type(inner.normalizer).__name__ not in ("NoneType", "NFC"):
        return 0
    pieces = tokenizer.get_vocab()
    has_all_bytes = "ByteLevel(" in str(inner.pre_tokenizer) and sum(len(each) == 1 for each in pieces) >= 256
    return max(map(len, pieces)) if has_all_bytes else 0


def asking(question: str, context: str = "") -> list[Turn]:
    """The conversation of one question, after a system message where there is one."""
    system = [Turn(role="system", content=context)] if context else []
    return [*system, Turn(role="user", content=question)]


def takes_system(tokenizer: ChatTokenizer) -> bool:
    """Whether the chat template renders a system turn: Gemma's refuses it, some drop it without a word."""
    told = [Turn(role="system", content="SYSTEM WORDS"), Turn(role="user", content="QUESTION")]
    try:
        return "SYSTEM WORDS" in templated(tokenizer, told, add_generation_prompt=True)
    except TemplateError:
        return False


def takes_tools(tokenizer: ChatTokenizer) -> bool:
    """Whether the chat template tells a model of its tools."""
    tool = {"type": "function", "function": {"name": _TOOL, "description": "-", "parameters": _NO_PARAMETERS}}
    try:
        return _TOOL in templated(tokenizer, asking("QUESTION"), add_generation_prompt=True, tools=[tool])
    except TemplateError:
        return False


def call_opening(tokenizer: ChatTokenizer, name: str = "") -> str:
    """How an answer begins that is a call: up to the tool's arguments, or without a name up to that.

    Read off the template. Empty where it writes no calls, or not as the answers that follow its prompt.
    """
    asked, called = asking("QUESTION"), name or _TOOL
    call = Turn(role="assistant", content="", calls=(Call(name=called, arguments={_TOOL: "-"}, id="1"),))
    try:
        prompt = templated(tokenizer, asked, add_generation_prompt=True)
        whole = templated(tokenizer, [*asked, call], add_generation_prompt=False)
    except TemplateError:
        return ""
    before, found, after = whole.removeprefix(prompt).partition(called)
    if not whole.startswith(prompt) or not found:
        return ""
    return before + called + after.partition("{")[0] if name and "{" in after else before


_TOOL: Final = "A_TOOL_OF_THAT_NAME"
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}


def templated(
    tokenizer: ChatTokenizer, turns: Sequence[Turn], add_generation_prompt: bool, tools: Tools = ()
) -> str:
    return str(
        tokenizer.apply_chat_template(
            [_message(turn) for turn in turns],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            # None, and not an empty list, which some templates take for tools.
            tools=[dict(tool) for tool in tools] or None,
        )
    )


def _message(turn: Turn) -> dict[str, Any]:
    """A turn as chat templates expect it."""
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": dict(call.arguments)},
            }
            for call in turn.calls
        ]
    if turn.role == "tool":
        message |= {"name": turn.name, "tool_call_id": turn.call_id}
    return message


def folded(turns: Sequence[Turn]) -> list[Turn]:
    """The conversation without a system turn: its words stand at the head of the first user turn."""
    system = "\n".join(turn.content for turn in turns if turn.role == "system")
    spoken = [turn for turn in turns if turn.role != "system"]
    if not system:
        return spoken
    if spoken and spoken[0].role == "user":
        return [Turn(role="user", content=f"{system}\n\n{spoken[0].content}"), *spoken[1:]]
    return [Turn(role="user", content=system), *spoken]


def plain_prompt(turns: Sequence[Turn]) -> str:
    """A conversation for a model without chat template: facts first, then questions and answers."""
    words = {"system": "{}\n", "user": "Question: {}\n", "assistant": "Answer: {}\n"}
    return "".join(words[turn.role].format(turn.content) for turn in turns) + "Answer:"
