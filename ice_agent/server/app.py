"""The app: its routes, what a request may cost, and how errors are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread
from fastapi import FastAPI

import ice_agent
from ice_agent.server import (
    adapters,
    audit,
    cycles,
    dashboard,
    facts,
    health,
    memories,
    openai,
    refusals,
)
from ice_agent.server.limits import Limits
from ice_agent.server.serving import Serving

BESIDE: Final = 32
"""Requests at a time, besides those whose answers are written or wait for it."""

DESCRIPTION: Final = """\
A language model's memory that ends up in its weights. What is said is answered from at once, through the
prompt; a cycle teaches it to an adapter, which serves if its guards hold, and can be taken back.
"""


def create(serving: Serving) -> FastAPI:
    """All routes over these parts, which whoever opened them closes."""
    engine, server = serving.config.engine, serving.config.server
    n_at_once = engine.max_rows + engine.max_waiting + BESIDE

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # An answer that is being written holds a thread; so many must not keep others waiting.
        anyio.to_thread.current_default_thread_limiter().total_tokens = n_at_once
        yield

    # The pages that FastAPI has for its documentation load scripts from elsewhere.
    app = FastAPI(
        title="ice-agent", version=ice_agent.__version__, description=DESCRIPTION,
        docs_url=None, redoc_url=None, lifespan=lifespan,
    )  # fmt: skip
    app.state.serving = serving
    for routes in (health, openai, memories, facts, cycles, adapters, audit):
        app.include_router(routes.router)
    dashboard.install(app)
    refusals.install(app)
    app.add_middleware(Limits, max_body_bytes=server.max_body_kilobytes * 1024, max_requests=n_at_once)
    app.add_middleware(health.Watched)
    return app
