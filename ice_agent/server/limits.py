"""What a request may cost before anything looks at it: how large and deep its body is, how many at a time."""

from __future__ import annotations

import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ice_agent.server import refusals
from ice_agent.server.refusals import Refused

MAX_DEPTH: Final = 64
"""Of lists and objects within each other. Requests have less than ten."""

RETRY_SECONDS: Final = 1

_MARK = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


class Limits:
    """Reads the body of each request whole, or refuses it."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_requests: int) -> None:
        self._app = app
        self._max_body_bytes, self._max_requests = max_body_bytes, max_requests
        self._n_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._n_requests += 1
            if self._n_requests > self._max_requests:
                raise Refused(
                    429, f"{self._max_requests} requests are at work: try again", retry_after=RETRY_SECONDS
                )
            body = await self._body(scope, receive)
        except Refused as refused:
            self._n_requests -= 1
            await refusals.answer(scope, refused)(scope, receive, send)
            return
        try:
            await self._app(scope, _once(body, receive), send)
        finally:
            self._n_requests -= 1

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        if int(dict(scope["headers"]).get(b"content-length", b"0")) > self._max_body_bytes:
            self._too_large()
        body, is_more = bytearray(), True
        while is_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            is_more = message.get("more_body", False)
            if len(body) > self._max_body_bytes:
                self._too_large()
        if depth(body) > MAX_DEPTH:
            raise Refused(400, f"the body has lists and objects more than {MAX_DEPTH} deep within each other")
        return bytes(body)

    def _too_large(self) -> None:
        raise Refused(
            413,
            f"the body is over {self._max_body_bytes // 1024} kB ([server] max_body_kilobytes): send less",
        )


def depth(body: bytes | bytearray) -> int:
    """How deep lists and objects stand within each other, whether or not it is JSON."""
    # Nearly every body has fewer brackets than it may be deep.
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return 0
    now = deepest = 0
    for mark in _MARK.finditer(body):
        if (first := mark[0][:1]) in b"[{":
            now += 1
            deepest = max(deepest, now)
        elif first in b"]}":
            now -= 1
    return deepest


def _once(body: bytes, receive: Receive) -> Receive:
    """Hands out what was read; after that, whatever comes, such as that the client is gone."""
    is_read = False

    async def read() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return read
