"""An answer on its way to the client, whole or in pieces, exactly as OpenAI's clients read it.

A client that goes away gives its place in the engine back at once.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import anyio.to_thread
from fastapi.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from ice_agent.errors import IceError
from ice_agent.langchain.calls import found
from ice_agent.server import refusals
from ice_agent.writing import Ended, Writing
from memory import StoreError

logger = logging.getLogger(__name__)

ENDED: Final = object()

Hear = Callable[[], None]
"""Keeps what the user said; called once the answer is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What is known of an answer before it is written."""

    model: str
    fingerprint: str
    created: int
    prompt_tokens: int
    memory_tokens: int
    tools: frozenset[str] = frozenset()
    """Names of those that it may call; what calls one is no text."""
    opening: str = ""
    """The beginning of the answer, where it was written for it."""
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")

    def whole(self, text: str, ended: Ended) -> dict[str, Any]:
        content, calls = self.read(text)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        finish = _finish(ended, calls)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return self._head("chat.completion") | {"choices": [choice], "usage": self.usage(ended)}

    def read(self, text: str) -> tuple[str | None, list[dict[str, Any]]]:
        """What an answer says, and the calls in it; one that is no proper call stays text."""
        if not self.tools:
            return text, []
        rest, called, _ = found(self.opening + text, self.tools)
        calls = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
            }
            for call in called
        ]
        return (rest or None, calls) if calls else (self.opening + text, [])

    def chunk(
        self, delta: dict[str, Any], ended: Ended | None = None, calls: Sequence[object] = ()
    ) -> dict[str, Any]:
        finish = _finish(ended, calls) if ended else None
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._head("chat.completion.chunk") | {"choices": [choice]}

    def last(self, ended: Ended) -> dict[str, Any]:
        """The chunk that has the usage and nothing else."""
        return self._head("chat.completion.chunk") | {"choices": [], "usage": self.usage(ended)}

    def usage(self, ended: Ended) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": ended.n_written,
            "total_tokens": self.prompt_tokens + ended.n_written,
            # What recalled facts take of the prompt: none, once the weights have them.
            "prompt_tokens_details": {"memory_tokens": self.memory_tokens},
        }

    def _head(self, kind: str) -> dict[str, Any]:
        own = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return own | {"system_fingerprint": self.fingerprint}


class _Answer(Response):
    """Sent as it is written, unless the client leaves before its end."""

    def __init__(self, writing: Writing, completion: Completion, hear: Hear) -> None:
        super().__init__()
        self._writing, self._completion, self._hear = writing, completion, hear
        self._is_heard = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with anyio.create_task_group() as both:
                both.start_soon(_cancelled_when_gone, receive, both.cancel_scope)
                await self._send(scope, receive, send)
                both.cancel_scope.cancel()
        finally:
            self._writing.cancel()
            # Also of who left, or whose answer broke off: it was said.
            await self._heard()

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    async def _heard(self) -> None:
        """What was said is kept, once, whether or not the client is still there, and whatever comes of it."""
        if self._is_heard:
            return
        self._is_heard = True
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_logged, self._hear)


class Whole(_Answer):
    """The answer as one JSON object."""

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        response: Response
        try:
            text = await anyio.to_thread.run_sync(self._writing.text, abandon_on_cancel=True)
            response = JSONResponse(self._completion.whole(text, self._writing.ended))
        except IceError as error:
            response = refusals.answer(scope, error)
        await self._heard()
        await response(scope, receive, send)


class Streamed(_Answer):
    """The answer as server-sent events."""

    def __init__(self, writing: Writing, completion: Completion, hear: Hear, *, with_usage: bool) -> None:
        super().__init__(writing, completion, hear)
        self._with_usage = with_usage

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What stands between would else hold pieces back until there are many.
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for event in self._events(scope):
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self, scope: Scope) -> AsyncIterator[bytes]:
        completion, pieces, calls = self._completion, iter(self._writing), list[dict[str, Any]]()
        yield self._event(completion.chunk({"role": "assistant", "content": ""}))
        try:
            # What may become a call is held back: nobody can tell before it has ended.
            if completion.tools:
                text = await anyio.to_thread.run_sync(self._writing.text, abandon_on_cancel=True)
                content, calls = completion.read(text)
                if content:
                    yield self._event(completion.chunk({"content": content}))
                for index, call in enumerate(calls):
                    yield self._event(completion.chunk({"tool_calls": [{"index": index, **call}]}))
            while not completion.tools:
                piece = await anyio.to_thread.run_sync(next, pieces, ENDED, abandon_on_cancel=True)
                if not isinstance(piece, str):
                    break
                yield self._event(completion.chunk({"content": piece}))
        except IceError as error:
            # The status has long been sent: clients take this for an error.
            yield b"data: " + bytes(refusals.answer(scope, error).body) + b"\n\n"
            return
        ended = self._writing.ended
        await self._heard()
        yield self._event(completion.chunk({}, ended, calls))
        if self._with_usage:
            yield _data(completion.last(ended))
        yield b"data: [DONE]\n\n"

    def _event(self, chunk: dict[str, Any]) -> bytes:
        return _data(chunk | ({"usage": None} if self._with_usage else {}))


def _finish(ended: Ended, calls: Sequence[object]) -> str:
    return "tool_calls" if calls else ended.finish.value


async def _cancelled_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _logged(hear: Hear) -> None:
    """The answer is written: that its question could not be kept is no reason to lose it."""
    try:
        hear()
    except (IceError, StoreError) as error:
        logger.error("what a user said could not be kept: %s", error)


def _data(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
