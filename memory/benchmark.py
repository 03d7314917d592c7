"""How fast the store is: `python -m memory.benchmark [URL]` prints one line a size, as JSON.

It fills a database of its own with made-up facts, a hundred a tenant but a tenth of all one tenant's, does
what an agent does, fills it up to the next size, and does so again. Without a URL the database is a SQLite
file in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from memory import audit, ledger
from memory.archive import Archive
from memory.records import CHAT, USER, CandidateFact, Cardinality, FactStatus, now
from memory.store import FactStore
from memory.tables import EntryRow, FactRow, UtteranceRow
from memory.text import key, new_id

PLACES = ("Lisbon", "Oslo", "Quito", "Rome", "Lyon", "Nice", "Kyoto", "Lima", "Accra", "Hanoi")
THINGS = ("tea", "jazz", "chess", "rum", "rain", "maps", "trains", "figs", "snow", "clocks")
LARGE = "tenant 0"
"""The tenant that has a tenth of all facts."""
FACTS_A_TENANT = 100
WRITERS = 4
WRITES_A_SECOND = 50

SMALL = 1_000
"""Rows of a table that may be read from end to end: no index is faster."""

# On SQLite the words are virtual tables, searched by their own index.
SCAN = re.compile(r"\b(?:SCAN (?!CONSTANT|\(|prompt_words|facts_words)(\w+)$|Seq Scan on (\w+))")


def main(arguments: Sequence[str] | None = None) -> None:
    words = argparse.ArgumentParser(description="Measure the store.")
    words.add_argument("url", nargs="?", help="an empty database [default: a temporary SQLite file]")
    words.add_argument("--facts", type=int, nargs="+", default=[10_000, 1_000_000], help="sizes, growing")
    words.add_argument("--seconds", type=float, default=20, help="of writing, at 50 writes a second")
    words.add_argument("--entries", type=int, default=100_000, help="of the ledger that is verified")
    asked = words.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        url = asked.url or f"sqlite:///{Path(folder) / 'memory.db'}"
        with Archive.open(url) as archive:
            figures, filled = list[dict[str, Any]](), 0
            for n_facts in asked.facts:
                fill(archive, filled, n_facts)
                filled = n_facts
                figures.append({"facts": n_facts, **measure(archive, n_facts, asked.seconds)})
                print(json.dumps(figures[-1]), flush=True)  # noqa: T201
            grown = {name: figures[-1][name] / figures[0][name] for name in figures[0] if " p50" in name}
            print(json.dumps({"grown": grown, **_ledger(archive, asked.entries)}))  # noqa: T201


def measure(archive: Archive, n_facts: int, seconds: float) -> dict[str, Any]:
    """Every figure is milliseconds of single calls."""
    rng = random.Random(n_facts)
    names = [f"tenant {n}" for n in range(n_facts // FACTS_A_TENANT)]
    large = archive.store(LARGE)
    asking: dict[str, Callable[[], object]] = {
        "recall": lambda: _recall(archive.store(rng.choice(names)), rng),
        "recall, large tenant": lambda: _recall(large, rng),
        "search, large tenant": lambda: large.search(f"{rng.choice(THINGS)} in {rng.choice(PLACES)}"),
    }
    with _plans(archive) as scans:
        # Once to learn the plans, and so that what is made once is not measured.
        _tell(archive, names, rng)
        for call in asking.values():
            call()
        _claimed(large, 1)
    taken = {"bare insert": _milliseconds(200, lambda: _bare_insert(archive))}
    taken["record"] = _told_at_a_pace(archive, names, seconds)
    taken |= {name: _milliseconds(500, call) for name, call in asking.items()}
    taken["claim of 100, large tenant"] = _claimed(large, 100)
    to_bare = statistics.median(taken["record"]) / statistics.median(taken["bare insert"])
    return {
        "synchronous": _synchronous(archive),
        **{f"{name} {figure}": of(each) for name, each in taken.items() for figure, of in FIGURES.items()},
        "record to a bare insert": to_bare,
        "scans": sorted(scans),
    }


def fill(archive: Archive, n_before: int, n_facts: int) -> None:
    """Facts as if they had been told, in one transaction a tenant, up to so many."""
    new = range(n_before // FACTS_A_TENANT, n_facts // FACTS_A_TENANT)
    small = dict.fromkeys((f"tenant {n}" for n in new if n), FACTS_A_TENANT * 9 // 10)
    for name, size in {LARGE: (n_facts - n_before) // 10, **small}.items():
        with archive.store(name)._writing() as tx:
            for first in range(n_before, n_before + size, 10_000):
                heard, facts = _rows(tx.tenant, first, min(10_000, n_before + size - first))
                tx.execute(sa.insert(UtteranceRow), [_values(row) for row in heard])
                for row in heard:
                    ledger.append(tx, "utterance.heard", row.id, ledger.commit_utterance(row))
                tx.execute(sa.insert(FactRow), [_values(row) for row in facts])
                for fact in facts:
                    ledger.append(tx, "fact.recorded", fact.id, fact.commitment)
    with archive._engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE IF NOT EXISTS bare (text TEXT)"))
        connection.execute(sa.text("ANALYZE"))


def _rows(tenant: str, first: int, n: int) -> tuple[list[UtteranceRow], list[FactRow]]:
    at, heard, facts = now() - timedelta(days=1), [], []
    for number in range(first, first + n):
        value = f"{THINGS[number % 10]} {number} in {PLACES[number // 10 % 10]}"
        said = UtteranceRow(
            id=new_id("u"), tenant=tenant, speaker=USER, text=f"I like {value}.", source=CHAT,
            said_at=at, details={}, salt=secrets.token_hex(16),
        )  # fmt: skip
        fact = FactRow(
            id=new_id("f"), tenant=tenant, subject=USER, relation="likes", object=value,
            statement=f"The user likes {value}.", subject_key=USER, value_key=key(value),
            cardinality=Cardinality.MANY, status=FactStatus.PENDING, recorded_at=at, valid_from=at,
            stated_from=at, utterance_id=said.id, start=0, end=9, is_held=False, attempts=0, confidence=1.0,
            source=CHAT, salt=secrets.token_hex(16),
        )  # fmt: skip
        fact.commitment = ledger.commit_fact(fact)
        heard.append(said)
        facts.append(fact)
    return heard, facts


def _values(row: UtteranceRow | FactRow) -> dict[str, Any]:
    keys = [column.key for column in row.__mapper__.column_attrs]
    return {name: getattr(row, name) for name in keys if name != "number"}


def _told_at_a_pace(archive: Archive, names: Sequence[str], seconds: float) -> list[float]:
    """Milliseconds of each call, by writers that tell at random moments, so many a second together."""

    def write(writer: int) -> list[float]:
        rng, taken, due = random.Random(writer), list[float](), time.perf_counter()
        end = due + seconds
        while (due := due + rng.expovariate(WRITES_A_SECOND / WRITERS)) < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            taken += _milliseconds(1, lambda: _tell(archive, names, rng))
        return taken

    with ThreadPoolExecutor(WRITERS) as pool:
        return [each for taken in pool.map(write, range(WRITERS)) for each in taken]


def _tell(archive: Archive, names: Sequence[str], rng: random.Random) -> None:
    store = archive.store(LARGE if rng.random() < 0.1 else rng.choice(names))
    # What an earlier run has not told either: that would be another mention.
    store.tell("I like it.", [_liked(f"{rng.choice(THINGS)} {secrets.token_hex(8)}")])


def _liked(value: str) -> CandidateFact:
    return CandidateFact(
        subject=USER, relation="likes", object=value, statement=f"The user likes {value}.", start=0, end=9,
        cardinality=Cardinality.MANY,
    )  # fmt: skip


def _recall(store: FactStore, rng: random.Random) -> None:
    store.recall(f"Do I like {rng.choice(THINGS)} {rng.randrange(1000)} in {rng.choice(PLACES)}?")


def _claimed(store: FactStore, times: int) -> list[float]:
    """Milliseconds of each claim; that the batch goes back is not part of it."""
    taken, lease = list[float](), store.take_lease("benchmark", 600)
    for _ in range(times):
        began = time.perf_counter()
        batch = store.claim_batch(100, lease)
        taken.append((time.perf_counter() - began) * 1e3)
        if batch is not None:
            store.fail_batch(batch.id, lease, count_attempt=False, quarantine_after=0)
    store.drop_lease(lease)
    return taken


def _bare_insert(archive: Archive) -> None:
    """What the database itself needs for a transaction with one small row."""
    with archive._engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO bare VALUES ('I like it.')"))


def _synchronous(archive: Archive) -> str:
    """What the database waits for before a transaction counts as written."""
    asked = "PRAGMA synchronous" if archive._engine.dialect.name == "sqlite" else "SHOW synchronous_commit"
    with archive._engine.connect() as connection:
        said = connection.execute(sa.text(asked)).scalar_one()
    return {0: "off", 1: "normal", 2: "full"}.get(said, str(said))


def _ledger(archive: Archive, n_entries: int) -> dict[str, float | list[str]]:
    store = archive.store("a ledger")
    began = time.perf_counter()
    with store._writing() as tx:
        for number in range(n_entries):
            ledger.append(tx, "fact.recorded", f"f_{number:012x}", "0" * 64)
    added = time.perf_counter() - began
    began = time.perf_counter()
    with store._reading() as tx:
        chain = ledger.entries(tx)
        problems = list(audit.broken_chain(chain, ledger.tip(tx)))
    verified = time.perf_counter() - began
    if problems:
        raise RuntimeError(f"the ledger does not verify: {problems[:3]}")
    return {
        "ledger entries a second": len(chain) / added,
        "seconds to verify 100,000 entries": verified / len(chain) * 1e5,
        "bytes an entry": _bytes_an_entry(archive),
    }


def _bytes_an_entry(archive: Archive) -> float:
    with archive._engine.connect() as connection:
        n = connection.execute(sa.select(sa.func.count()).select_from(EntryRow)).scalar_one()
        if connection.dialect.name == "postgresql":
            size = connection.execute(sa.text("SELECT pg_total_relation_size('ledger_entries')")).scalar_one()
        else:
            pages = "SELECT sum(pgsize) FROM dbstat WHERE name = 'ledger_entries'"
            try:
                size = connection.execute(sa.text(pages)).scalar_one()
            except sa.exc.OperationalError:
                return float("nan")
    return float(size) / n


@contextmanager
def _plans(archive: Archive) -> Iterator[set[str]]:
    """The statements, of those that ran, whose plan reads a table from end to end."""
    ran: dict[str, Any] = {}

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if not many and re.match(r"\s*(SELECT|UPDATE|DELETE)", statement):
            ran[statement] = parameters

    engines, scans = (archive._engine, archive._reader), set[str]()
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield scans
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if archive._engine.dialect.name == "sqlite" else "EXPLAIN "
    with archive._engine.connect() as connection:
        for statement, parameters in ran.items():
            for row in connection.exec_driver_sql(explain + statement, parameters):
                found = SCAN.search(str(row[-1]))
                if found and _n_rows(connection, found[1] or found[2]) > SMALL:
                    scans.add(f"{row[-1]}: {' '.join(statement.split())[:100]}")


def _n_rows(connection: sa.Connection, table: str) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(sa.table(table))).scalar_one())


def _milliseconds(times: int, call: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1e3)
    return taken


def _p99(taken: Sequence[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]


FIGURES: Mapping[str, Callable[[Sequence[float]], float]] = {"p50": statistics.median, "p99": _p99}


if __name__ == "__main__":
    main()
