"""The dashboard: pages made on the server, over the same functions as the command line and the JSON routes.

Every page works without JavaScript; htmx and uPlot, which travel in the wheel, make them quick and draw.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from ice_agent.server.dashboard import adapters, audit, entrance, facts, overview, playground

ROUTERS: Final = tuple(pages.router for pages in (overview, facts, adapters, audit, playground, entrance))


def install(app: FastAPI) -> None:
    """Add the pages, and the files that they load."""
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/ui/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
