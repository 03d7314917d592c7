"""What the server's tests serve with: a model that only counts letters, and an engine that recites.

    python -m tests.serving overhead [--requests N]

measures what HTTP adds to a request: to the same functions, called in the same run, by an engine that answers
at once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from threading import Thread
from typing import Any, cast
from urllib.parse import urlsplit

from ice_agent import collect
from ice_agent.agent import Agent
from ice_agent.config import Config
from ice_agent.engine import Engine
from ice_agent.errors import EngineClosed, EngineError
from ice_agent.executors import Here
from ice_agent.model import EditableModel
from ice_agent.server.listening import Listener
from ice_agent.server.runs import Runs
from ice_agent.server.serving import Serving
from ice_agent.turns import Tools, Turn
from ice_agent.writing import Ask, Finish, Writing
from memory import Archive
from tests.standin import Notebook

LOCAL = "http://127.0.0.1"


class Letters:
    """Where the model stands: a token is a letter, and a prompt is its turns one after the other."""

    name, base_hash, room, prompts = "letters", "b" * 64, 4096, "plain"
    tokenizer = None

    def encode(self, turns: Sequence[Turn], tools: Tools = ()) -> list[int]:
        return [ord(letter) for turn in turns for letter in f"<{turn.role}>{turn.content}"]

    def encode_text(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


class Reciter:
    """Where the engine stands: says what it is told to say, a word a piece, and keeps what it was asked."""

    def __init__(self, text: str = "It is so.") -> None:
        self.text = text
        self.asked: list[Ask] = []
        self.writings: list[Writing] = []
        self.refusal: EngineError | None = None
        """Raised by the next, and all others."""
        self.breaks: EngineError | None = None
        """Ends each answer after its first word."""
        self.is_paused = False
        """It begins what it is asked, and leaves it to the test to `recite` it."""
        self.is_open = True
        self.load = (0, 0)
        self.n_forgotten = 0

    def write(self, ask: Ask) -> Writing:
        if not self.is_open:
            raise EngineClosed
        if self.refusal is not None:
            raise self.refusal
        writing = Writing(ask)
        self.asked.append(ask)
        self.writings.append(writing)
        if not self.is_paused:
            self.recite(writing)
        return writing

    def recite(self, writing: Writing) -> None:
        words = self.text.split(" ")[: writing.ask.max_tokens]
        if self.breaks is not None:
            writing.add(words[0])
            writing.fail(self.breaks)
            return
        for i, word in enumerate(words):
            writing.add(f" {word}" if i else word)
        is_cut = len(words) < len(self.text.split(" "))
        writing.end(Finish.LENGTH if is_cut else Finish.STOP, len(words))

    def forget(self) -> None:
        self.n_forgotten += 1

    def close(self, seconds: float) -> None:
        self.is_open = False

    @property
    def prompt(self) -> str:
        """The last one, as text."""
        return "".join(map(chr, self.asked[-1].prompt))


@contextmanager
def opened(folder: Path, **sections: Any) -> Iterator[Serving]:
    """A memory of its own, served by the stand-ins."""
    own = {
        "store": {"url": f"sqlite:///{folder / 'ice.db'}"},
        "adapters": {"dir": str(folder / "adapters")},
        "ledger": {"key": str(folder / "ledger.key"), "checkpoints": str(folder / "checkpoints")},
    }
    config = Config.model_validate(own | sections)
    runs = Runs(lambda stop: Here(config, notebook, stop))
    with Archive.open(config.store.url, announced=config.hooks.of.keys()) as archive, closing(runs):
        yield Serving(
            config, archive, cast(EditableModel, Letters()), cast(Engine, Reciter()),
            extractor=collect.extractor_named("rules"), meanings=None, runs=runs,
        )  # fmt: skip


def notebook(config: Config) -> Notebook:
    """Where the editor of cycles stands."""
    return Notebook()


def reciter(serving: Serving) -> Reciter:
    return cast(Reciter, serving.engine)


# -- what HTTP costs -----------------------------------------------------------------------------------------

QUESTION = "Where do I live, and what do I like?"
LIKED = [f"I like {what}." for what in ("tea", "jazz", "chess", "rain", "Oslo", "maps", "figs", "owls")]


def overhead(n: int) -> None:
    """Print the median and the 99th percentile of requests, and of what they do without HTTP."""
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as serving:
        store = serving.archive.store("tom")
        for text in LIKED:
            collect.hear(store, serving.config.collect, text, serving.extractor)
        _, key = store.keys.issue("overhead")
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        server = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(folder, theirs), daemon=True
        )
        server.start()
        at = urlsplit(ours.recv())
        connection = http.client.HTTPConnection(at.hostname or "", at.port)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

        def post(**asked: Any) -> Callable[[], None]:
            body = json.dumps({"messages": [{"role": "user", "content": QUESTION}]} | asked)

            def ask() -> None:
                connection.request("POST", "/v1/chat/completions", body, headers)
                answer = connection.getresponse()
                assert (answer.status, b"It is so" in answer.read() or asked.get("stream")) != (200, False)

            return ask

        def direct() -> None:
            agent = Agent(store, serving.model, serving.config.of("tom"), serving.extractor, serving.meanings)
            ready = agent.prepare([Turn(role="user", content=QUESTION)])
            serving.engine.write(Ask(prompt=ready.prompt, adapter=ready.adapter, max_tokens=64)).text()
            agent.hear(QUESTION)

        def without_memory() -> None:
            prompt = serving.model.encode([Turn(role="user", content=QUESTION)])
            serving.engine.write(Ask(prompt=prompt, adapter=None, max_tokens=64)).text()

        calls = {
            "ice, without HTTP": direct,
            "ice": post(),
            "ice, in pieces": post(stream=True),
            "base, without HTTP": without_memory,
            "base": post(model="base"),
        }
        # In turns, so that whatever else the machine does meets all alike.
        took: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(n + WARM):
            for name, call in calls.items():
                began = time.perf_counter()
                call()
                if number >= WARM:
                    took[name].append(1000 * (time.perf_counter() - began))
        server.kill()
    print(f"{n} requests each, milliseconds; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, each in took.items():
        parts = quantiles(each, n=100)
        print(f"  {name:<20} median {parts[49]:6.2f}   p10 {parts[9]:6.2f}   p99 {parts[98]:7.2f}")
    for name in ("ice", "base"):
        with_http, without = (quantiles(took[each], n=10) for each in (name, f"{name}, without HTTP"))
        # The fastest tenth says what a machine adds that does nothing else.
        added = f"median {with_http[4] - without[4]:6.2f}   p10 {with_http[0] - without[0]:6.2f}"
        print(f"  HTTP adds to {name:<7} {added}")


WARM = 20
"""Requests that are not counted: the first ones compile statements."""


def _serve(folder: str, connection: Connection) -> None:
    with opened(Path(folder), server={"port": 0}) as serving, Listener(serving) as listener:
        Thread(target=lambda: connection.send(listener.url), daemon=True).start()
        listener.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["overhead"])
    parser.add_argument("--requests", type=int, default=500)
    overhead(parser.parse_args().requests)
