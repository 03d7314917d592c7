"""A shared lineage, sources for it in a folder, and a feed that answers as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ice_agent.config import Config
from ice_agent.refresh import Report, refresh_all
from memory import Archive, FactStore

CAPITALS = {"France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Peru": "Lima"}


def rows_of(capitals: dict[str, str]) -> list[dict[str, Any]]:
    return [{"country": country, "capital": capital} for country, capital in capitals.items()]


@dataclass
class World:
    """The source "atlas", read as its settings say, and what came of it."""

    archive: Archive
    tenant: str
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    collect: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> FactStore:
        return self.archive.store(self.tenant)

    @property
    def config(self) -> Config:
        source = {
            "name": "atlas", "tenant": self.tenant,
            "kind": "jsonl", "location": str(self.folder / "atlas.jsonl"),
            "subject": "{country}", "relation": "capital", "object": "{capital}",
        }  # fmt: skip
        return Config.model_validate(
            {"collect": self.collect, "refresh": {"sources": [source | self.settings]}}
        )

    def write(self, text: str | bytes, name: str = "atlas.jsonl") -> None:
        (self.folder / name).write_bytes(text.encode() if isinstance(text, str) else text)

    def say(self, capitals: dict[str, str] | list[dict[str, Any]]) -> None:
        """What the file says from now on."""
        rows = rows_of(capitals) if isinstance(capitals, dict) else capitals
        self.write("".join(f"{json.dumps(row)}\n" for row in rows))

    def refresh(self, *, dry_run: bool = False, progress: Any = None) -> Report:
        (report,) = refresh_all(self.archive, self.config, dry_run=dry_run, progress=progress)
        return report

    def told(self, capitals: dict[str, str] | list[dict[str, Any]], **settings: Any) -> Report:
        """The report of a run over a file that says so."""
        self.settings |= settings
        self.say(capitals)
        return self.refresh()

    @property
    def facts(self) -> dict[str, str]:
        return {fact.subject: fact.object for fact in self.store.facts()}

    @property
    def problems(self) -> dict[str, str]:
        return {problem.place: problem.reason for problem in self.refresh().problems}


def a_world(archive: Archive, folder: Path, **settings: Any) -> World:
    """A shared lineage of its own, with one source."""
    tenant = f"world {len(archive.tenants())}"
    archive.store(tenant).declare(shared=True)
    return World(archive, tenant, folder, settings=settings)


def in_the_database(archive: Archive) -> bytes:
    """All that its files hold."""
    folder = Path(archive._engine.url.database or "").parent
    return b"".join(path.read_bytes() for path in folder.iterdir())


@dataclass
class Server:
    """A feed on this machine. `answers` are given in turn, the last one again and again."""

    url: str
    answers: list[Any] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)

    def next_answer(self) -> Any:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def says(self, document: Any, status: int = 200, **headers: str) -> None:
        """Answer so from now on."""
        self.answers = [answer(document, status, **headers)]


def answer(document: Any, status: int = 200, **headers: str) -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    def write(handler: BaseHTTPRequestHandler) -> None:
        etag = headers.get("ETag")
        is_same = etag is not None and handler.headers.get("If-None-Match") == etag
        handler.send_response(304 if is_same else status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0" if is_same else str(len(body)))
        handler.end_headers()
        if not is_same:
            handler.wfile.write(body)

    return write


@contextmanager
def serving() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            feed.asked.append({"path": self.path, **dict(self.headers)})
            with suppress(BrokenPipeError, ConnectionResetError):
                feed.next_answer()(self)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        feed = Server(url=f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield feed
        server.shutdown()
        thread.join()
