"""Whether it is alive, whether it can serve, and its figures for Prometheus."""

from __future__ import annotations

import time
from typing import Final, Literal

from fastapi import APIRouter, Response
from fastapi.requests import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ice_agent import metrics, watch
from ice_agent.server.access import Reading, serving_of
from ice_agent.server.refusals import documented
from memory import StoreError

router = APIRouter(tags=["health"])

NOWHERE: Final = "(none)"
"""The route of a request that fits none: its path may be anything."""


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether requests can be served now."""

    ready: bool
    memory: bool
    """The database answers."""
    engine: bool
    """Answers are being written, or can be."""


@router.get("/healthz", responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}})
def health() -> Health:
    """The process answers; nothing else is looked at."""
    return Health()


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={
        200: {"content": {"application/json": {"example": {"ready": True, "memory": True, "engine": True}}}},
        503: {"model": Readiness},
    },
)
def readiness(request: Request) -> Response:
    """Memory and engine can serve; 503 otherwise, as while it is being stopped."""
    serving = serving_of(request)
    try:
        serving.archive.has_keys()
        is_there = True
    except StoreError:
        is_there = False
    found = Readiness(
        ready=is_there and serving.engine.is_open, memory=is_there, engine=serving.engine.is_open
    )
    return JSONResponse(found.model_dump(), 200 if found.ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses=documented()
    | {200: {"content": {metrics.CONTENT_TYPE: {"example": "ice_agent_pending_facts 3.0\n"}}}},
)
def figures(visit: Reading) -> Response:
    """The figures of this process and of the database, as Prometheus reads them.

    Of all tenants together: where keys are asked for, no tenant is a label.
    """
    serving = visit.serving
    settings = serving.config.metrics
    if not serving.is_open:
        settings = settings.model_copy(update={"per_tenant": False})
    found = metrics.exposition(serving.archive, settings, publishes=bool(serving.config.publish.engine))
    return Response(found, media_type=metrics.CONTENT_TYPE)


class Watched:
    """Counts each request by its route, method and status, and times it to the end of its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            route = getattr(scope.get("route"), "path", NOWHERE)
            watch.requested(route, scope["method"], status, time.perf_counter() - began)
