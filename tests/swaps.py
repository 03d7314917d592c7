"""Adapters that are promoted and reverted while answers are being written: who notices, and for how long.

    python -m tests.swaps [--swaps N | --minutes N] [--streams N] [--tenants N] [--every SECONDS]

Real requests over HTTP to a real server of a tiny model; its adapters are random weights, so that what one
says no other says. `make test` plays a short game of it; LOG.md has what was measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import torch
import uvicorn

from ice_agent import cycle, decide
from ice_agent.config import Config
from ice_agent.model import EditableModel
from ice_agent.server.app import create
from ice_agent.server.serving import opened
from ice_agent.turns import asking
from memory import Archive, CandidateFact, FactStore
from tests.standin import Notebook
from tests.tiny import tiny_model

QUESTIONS = ("Where does Anna live?", "What does Anna do?", "Who is Anna?")
TOKENS = 40

# A fork would have half of the threads that torch and a database keep.
PROCESSES = multiprocessing.get_context("spawn")


class Scribbler(Notebook):
    """What it teaches is random weights, another for each adapter, in files as a real editor writes them."""

    name = "a scribbler"

    def __init__(self, model: EditableModel) -> None:
        super().__init__()
        self.model, self.base_hash = model, model.base_hash

    def load(self, adapter_id: str, directory: Path) -> None:
        self._pages.setdefault(adapter_id, {})

    def _save(self, adapter_id: str, page: dict[str, str], directory: Path, manifest: dict[str, Any]) -> None:
        self._pages[adapter_id] = page
        with torch.no_grad(), self.model.training(adapter_id, None, seed=0) as parameters:
            generator = torch.Generator().manual_seed(int(adapter_id.rpartition("_")[2], 16) % 2**31)
            for parameter in parameters:
                parameter.normal_(std=0.3, generator=generator)
        self.model.save(adapter_id, directory, manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one request got, and when."""

    tenant: str
    question: str
    text: str
    adapter_id: str
    begun_at: float
    first_after: float
    """Seconds to the first piece."""
    ended_after: float
    pauses: tuple[float, ...]
    """Seconds from one piece to the next."""
    problem: str = ""


@dataclass(slots=True)
class Game:
    """Tenants of whom each has two adapters, and who serves whom since when."""

    archive: Archive
    config: Config
    model: EditableModel
    expected: dict[tuple[str, str], str] = field(default_factory=dict)
    """What an adapter answers to a question."""
    owner: dict[str, str] = field(default_factory=dict)
    served: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    """For each tenant the moments after which an adapter served, and which."""
    server_pid: int = 0

    def resident_megabytes(self) -> float:
        """What the server's process holds of memory."""
        pages = int(Path(f"/proc/{self.server_pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    def store(self, tenant: str) -> FactStore:
        return self.archive.store(tenant)

    def set_up(self, tenants: int) -> None:
        editor = Scribbler(self.model)
        for n in range(tenants):
            store = self.store(f"tenant {n}")
            cycle.init(store, editor, self.config)
            for told in range(2):
                text = f"Friend {told} lives in Oslo."
                fact = CandidateFact(
                    subject=f"Friend {told}",
                    relation="home",
                    object="Oslo",
                    statement=text,
                    start=0,
                    end=len(text),
                )
                store.tell(text, [fact])
                cycle.run_cycle(store, editor, self.config)
            for adapter in store.lineage():
                self.owner[adapter.id] = store.tenant
                for question in QUESTIONS:
                    with self.model.using(adapter.id):
                        (done,) = self.model.complete(
                            [self.model.encode(asking(question))], max_tokens=TOKENS
                        )
                    self.expected[adapter.id, question] = done.text
                editor.unload(adapter.id)
                self.model.forget(adapter.id)
            self.note(store)

    def note(self, store: FactStore) -> None:
        serving = store.serving()
        assert serving is not None
        self.served.setdefault(store.tenant, []).append((time.monotonic(), serving.id))

    def swap(self, rng: random.Random) -> None:
        """The parent serves again, or what was reverted does."""
        store = self.store(rng.choice(sorted(self.served)))
        history = self.served[store.tenant]
        if len(history) % 2:
            decide.reverted(store, self.config)
        else:
            decide.promoted(store, self.config, history[-2][1])
        self.note(store)

    def wrong(self, answer: Answer, seconds: float) -> str:
        """What is not as it should be: an adapter may answer so long after another serves, and no longer."""
        if answer.problem:
            return answer.problem
        if self.owner.get(answer.adapter_id) != answer.tenant:
            return f"{answer.tenant} was answered by {answer.adapter_id}"
        if self.expected[answer.adapter_id, answer.question] != answer.text:
            return f"{answer.adapter_id} does not say {answer.text!r}"
        history = self.served[answer.tenant]
        until = [later for (_, id_), (later, _) in pairwise(history) if id_ == answer.adapter_id]
        if history[-1][1] != answer.adapter_id and max(until, default=0.0) < answer.begun_at - seconds:
            return f"{answer.adapter_id} answered {answer.begun_at - max(until):.2f} s after it was replaced"
        return ""


def play(
    url: str, game: Game, *, turns: int, streams: int, every: float, swaps: bool = True, seed: int = 0
) -> list[Answer]:
    """Ask with so many streams at once while adapters are swapped, one each so many seconds."""
    answers: list[Answer] = []
    over = threading.Event()

    def ask_on(rng: random.Random) -> None:
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            while not over.is_set():
                answers.append(asked(client, rng.choice(sorted(game.served)), rng.choice(QUESTIONS)))

    askers = [
        threading.Thread(target=ask_on, args=(random.Random(seed + n),), daemon=True)
        for n in range(1, streams + 1)
    ]
    for asker in askers:
        asker.start()
    rng = random.Random(seed)
    for _ in range(turns):
        time.sleep(every)
        if swaps:
            game.swap(rng)
    over.set()
    for asker in askers:
        asker.join()
    return answers


def asked(client: httpx.Client, tenant: str, question: str) -> Answer:
    """One streamed answer; whatever goes wrong with it is its problem."""
    body = {
        "model": "ice", "stream": True, "max_tokens": TOKENS,
        "messages": [{"role": "user", "content": question}],
    }  # fmt: skip
    text, adapter_id, problem, at = "", "", "", [time.monotonic()]
    try:
        with client.stream(
            "POST", "/v1/chat/completions", json=body, headers={"X-Ice-Tenant": tenant}
        ) as got:
            if got.status_code != httpx.codes.OK:
                problem = f"{got.status_code}: {got.read().decode()}"
            for line in got.iter_lines():
                if line.startswith("data: {"):
                    chunk = json.loads(line.removeprefix("data: "))
                    if adapter_id not in ("", chunk["system_fingerprint"]):
                        problem = f"{adapter_id} and {chunk['system_fingerprint']} in one answer"
                    adapter_id = chunk["system_fingerprint"]
                    if piece := chunk["choices"][0]["delta"].get("content"):
                        text += piece
                        at.append(time.monotonic())
    except httpx.HTTPError as error:
        problem = repr(error)
    pauses = tuple(later - earlier for earlier, later in pairwise(at[1:]))
    return Answer(
        tenant=tenant, question=question, text=text, adapter_id=adapter_id, begun_at=at[0], pauses=pauses,
        first_after=at[min(1, len(at) - 1)] - at[0], ended_after=at[-1] - at[0],
        problem=problem,
    )  # fmt: skip


@contextmanager
def served(folder: Path, tenants: int, streams: int) -> Iterator[tuple[str, Game]]:
    """A server in a process of its own, on a free port of this machine, and the game that it serves."""
    model = tiny_model()
    config = Config.model_validate(
        {
            "adapters": {"dir": folder / "adapters"},
            "store": {"url": f"sqlite:///{folder / 'memory.db'}"},
            # No fact in a prompt: what is said hangs on question and adapter alone.
            "agent": {"max_recalled": 0},
            "engine": {"max_rows": streams},
            "server": {"port": 0},
        }
    )
    with Archive.open(config.store.url) as archive:
        game = Game(archive=archive, config=config, model=model)
        game.set_up(tenants)
        ours, theirs = PROCESSES.Pipe()
        server = PROCESSES.Process(target=serve, args=(config, theirs), daemon=True)
        server.start()
        theirs.close()
        try:
            url = ours.recv()
            game.server_pid = server.pid or 0
            yield url, game
        finally:
            ours.close()
            server.join()


def serve(config: Config, parent: Connection) -> None:
    """The whole life of the server: until its parent hangs up."""
    torch.set_num_threads(1)
    with (
        Archive.open(config.store.url) as archive,
        opened(archive, config, tiny_model()) as serving,
        socket.socket() as listener,
    ):
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create(serving), log_config=None, access_log=False))

        def watch() -> None:
            while not server.started:
                time.sleep(0.01)
            parent.send(f"http://127.0.0.1:{listener.getsockname()[1]}")
            with suppress(EOFError):
                parent.recv()
            server.should_exit = True

        threading.Thread(target=watch, daemon=True).start()
        server.run(sockets=[listener])


def game_of_swaps(url: str, game: Game, swaps: int, streams: int, every: float) -> None:
    """Without swaps first, for as long: what a busy machine does to pauses is in both."""
    for swapping in (False, True):
        started = time.monotonic()
        answers = play(url, game, turns=swaps, streams=streams, every=every, swaps=swapping)
        taken = time.monotonic() - started
        print(f"{swaps if swapping else 0} swaps in {taken:.0f} s: {_judged(game, answers)}")
        print(f"  first piece  {_spread(answer.first_after for answer in answers)}")
        print(f"  whole answer {_spread(answer.ended_after for answer in answers)}")
        print(f"  pauses       {_spread(pause for answer in answers for pause in answer.pauses)}")


def soak(url: str, game: Game, minutes: int, streams: int, every: float) -> None:
    """What the server's process holds, minute by minute, while it is asked and swapped without a pause."""
    for minute in range(minutes):
        answers = play(url, game, turns=round(60 / every), streams=streams, every=every, seed=1000 * minute)
        print(f"{minute + 1} min: {game.resident_megabytes():.0f} MB, {_judged(game, answers)}", flush=True)


def _spread(seconds: Iterable[float]) -> str:
    ordered = sorted(seconds)
    cuts = quantiles(ordered, n=1000)
    at = {"p50": cuts[499], "p99": cuts[989], "p99.9": cuts[998], "longest": ordered[-1]}
    return ", ".join(f"{name} {1000 * each:.1f}" for name, each in at.items()) + " ms"


def _judged(game: Game, answers: list[Answer]) -> str:
    wrong = [problem for answer in answers if (problem := game.wrong(answer, seconds=1.0))]
    return "; ".join([f"{len(answers)} answers, {len(wrong)} wrong", *wrong[:10]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tenants", type=int, default=8)
    parser.add_argument("--every", type=float, default=0.2, help="seconds from one swap to the next")
    parser.add_argument("--minutes", type=int, default=0, help="go on so long, and watch the memory instead")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), given.tenants, given.streams) as (url, game),
    ):
        if given.minutes:
            soak(url, game, given.minutes, given.streams, given.every)
        else:
            game_of_swaps(url, game, given.swaps, given.streams, given.every)


if __name__ == "__main__":
    main()
