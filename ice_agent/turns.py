"""Turns of a conversation, and the text that a model reads of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2 import TemplateError


class ChatTokenizer(Protocol):
    """What is needed of a tokenizer here: to render a conversation by its chat template."""

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a conversation; role is "system", "user" or "assistant"."""

    role: str
    content: str


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


def templated(tokenizer: ChatTokenizer, turns: Sequence[Turn], add_generation_prompt: bool) -> str:
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    return str(
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
    )


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
