"""Messages of LangChain as the turns of a conversation, and an answer's text as the tool calls in it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from ice_agent.turns import Call, Turn

_BLOCK = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
_FENCE = re.compile(r"\A```(?:json)?\s*(.*?)\s*```\Z", re.DOTALL)


def turns(messages: Sequence[BaseMessage]) -> list[Turn]:
    """The conversation: one system turn at its head, and nobody twice in a row, as templates expect it.

    Raises ValueError for what a model cannot read, and for a conversation in which nobody asks anything.
    """
    system, spoken = list[str](), list[Turn]()
    for message in messages:
        if isinstance(message, SystemMessage):
            system.append(_text(message))
            continue
        turn = _turn(message)
        before = spoken[-1] if spoken else None
        if before and before.role == turn.role != "tool" and not (before.calls or turn.calls):
            spoken[-1] = Turn(role=turn.role, content=f"{before.content}\n\n{turn.content}")
        else:
            spoken.append(turn)
    if not any(turn.role == "user" for turn in spoken) or spoken[-1].role == "assistant":
        raise ValueError("nothing is asked: the last message has to be a human's, or a tool's")
    return [*([Turn(role="system", content="\n".join(system))] if system else []), *spoken]


def found(text: str, names: Collection[str]) -> tuple[str, list[ToolCall], list[InvalidToolCall]]:
    """What an answer says besides its calls of these tools, the calls, and what was meant to be one.

    As Hermes and Qwen write them, in <tool_call>; or, as Llama and Mistral do, as an answer that is JSON.
    """
    blocks = _BLOCK.findall(text)
    rest = _BLOCK.sub("", text).strip()
    if not blocks and (bare := _bare(text, names)):
        blocks, rest = [bare], ""
    calls, invalid = list[ToolCall](), list[InvalidToolCall]()
    for block in blocks:
        try:
            calls += list(_calls(json.loads(block), names))
        except (ValueError, TypeError, KeyError) as error:
            invalid.append(invalid_tool_call(args=block, id=_id(), error=f"no call of a tool: {error}"))
    return rest, calls, invalid


def _turn(message: BaseMessage) -> Turn:
    match message:
        case HumanMessage():
            return Turn(role="user", content=_text(message))
        case AIMessage():
            calls = (Call(name=c["name"], arguments=c["args"], id=c["id"] or "") for c in message.tool_calls)
            return Turn(role="assistant", content=_text(message), calls=tuple(calls))
        case ToolMessage():
            name, answered = message.name or "", message.tool_call_id
            return Turn(role="tool", content=_text(message), name=name, call_id=answered)
    raise ValueError(f"a message of type {message.type!r} is no turn of a conversation")


def _text(message: BaseMessage) -> str:
    """Raises ValueError for images, sounds and files."""
    if isinstance(message.content, str):
        return message.content
    for part in message.content:
        # A call stands among the message's calls, too.
        if isinstance(part, dict) and part.get("type") not in ("text", "tool_use", "tool_call"):
            raise ValueError(f"content of type {part.get('type')!r} cannot be read: send text")
    return message.text


def _bare(text: str, names: Collection[str]) -> str:
    """An answer that is nothing but JSON which names one of the tools."""
    plain = text.strip()
    if fenced := _FENCE.match(plain):
        plain = fenced[1]
    try:
        told = json.loads(plain)
        list(_calls(told, names))
    except (ValueError, TypeError, KeyError):
        return ""
    return plain


def _calls(told: Any, names: Collection[str]) -> Iterator[ToolCall]:
    """Raises ValueError, TypeError or KeyError for what is no call."""
    for each in told if isinstance(told, list) else [told]:
        name, given = each["name"], each["arguments"] if "arguments" in each else each["parameters"]
        arguments = json.loads(given) if isinstance(given, str) else given
        if name not in names:
            raise ValueError(f"there is no tool {name!r}")
        if not isinstance(arguments, dict):
            raise TypeError("its arguments are no object")
        yield tool_call(name=name, args=arguments, id=_id())


def _id() -> str:
    return f"call_{uuid4().hex[:24]}"
