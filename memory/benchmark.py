"""How fast the store is: `python -m memory.benchmark [URL] --facts 1000000 --tenants 10000` prints one table.

It fills a database of its own with made-up facts, a tenth of them one tenant's, and then does what an agent
does. Without a URL the database is a SQLite file in a temporary folder.
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
from collections.abc import Callable, Iterator, Sequence
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
from memory.text import key

PLACES = ("Lisbon", "Oslo", "Quito", "Rome", "Lyon", "Nice", "Kyoto", "Lima", "Accra", "Hanoi")
THINGS = ("tea", "jazz", "chess", "rum", "rain", "maps", "trains", "figs", "snow", "clocks")
LARGE = "tenant 0"
"""The tenant that has a tenth of all facts."""

# A virtual table is searched by its own index, and the archive has one row.
SCAN = re.compile(r"\bSCAN (?!CONSTANT|\(|prompt_words|facts_words|archive)\w+$|Seq Scan on (?!archive)")


def main(arguments: Sequence[str] | None = None) -> None:
    words = argparse.ArgumentParser(description="Measure the store.")
    words.add_argument("url", nargs="?", help="an empty database [default: a temporary SQLite file]")
    words.add_argument("--facts", type=int, default=1_000_000)
    words.add_argument("--tenants", type=int, default=10_000)
    words.add_argument("--seconds", type=float, default=20, help="of writing, at 50 writes a second")
    words.add_argument("--entries", type=int, default=100_000, help="of the ledger that is verified")
    asked = words.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        url = asked.url or f"sqlite:///{Path(folder) / 'memory.db'}"
        with Archive.open(url) as archive:
            figures = {"facts": asked.facts, "tenants": asked.tenants}
            figures |= measure(archive, asked.facts, asked.tenants, asked.seconds, asked.entries)
    print(json.dumps(figures, indent=2))  # noqa: T201


def measure(
    archive: Archive, n_facts: int, n_tenants: int, seconds: float, n_entries: int
) -> dict[str, float | list[str]]:
    """Every figure in milliseconds unless its name says otherwise; p99 is of single calls."""
    rng = random.Random(0)
    fill(archive, n_facts, n_tenants)
    with archive._engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE bare (text TEXT)"))
    with _plans(archive) as plans:
        bare = _milliseconds(200, lambda n: _bare_insert(archive))
        told = _told_at_a_pace(archive, n_tenants, seconds)
        any_tenant = [archive.store(f"tenant {rng.randrange(n_tenants)}") for _ in range(500)]
        recalled = _milliseconds(500, lambda n: _recall(any_tenant[n], rng))
        large = archive.store(LARGE)
        recalled_large = _milliseconds(500, lambda n: _recall(large, rng))
        searched = _milliseconds(100, lambda n: large.search(f"{rng.choice(THINGS)} in {rng.choice(PLACES)}"))
        claimed = _milliseconds(20, lambda n: _claim(large))
    return {
        "bare insert p50": statistics.median(bare),
        "record p50": statistics.median(told),
        "record p99": _p99(told),
        "record p50 to a bare insert": statistics.median(told) / statistics.median(bare),
        "recall p99": _p99(recalled),
        "recall p99, large tenant": _p99(recalled_large),
        "search p99, large tenant": _p99(searched),
        "claim of 100 p99, large tenant": _p99(claimed),
        "scans": sorted(plans),
        **_ledger(archive, n_entries),
    }


def fill(archive: Archive, n_facts: int, n_tenants: int) -> None:
    """Facts as if they had been told, in one transaction a tenant; a tenth of them are the first tenant's."""
    sizes = [n_facts // 10, *[n_facts * 9 // 10 // max(n_tenants - 1, 1)] * (n_tenants - 1)]
    for number, size in enumerate(sizes):
        store = archive.store(f"tenant {number}")
        with store._writing() as tx:
            for first in range(0, size, 10_000):
                heard, facts = _rows(tx.tenant, first, min(10_000, size - first))
                tx.execute(sa.insert(UtteranceRow), [_values(row) for row in heard])
                for row in heard:
                    ledger.append(tx, "utterance.heard", row.id, ledger.commit_utterance(row))
                tx.execute(sa.insert(FactRow), [_values(row) for row in facts])
                for fact in facts:
                    ledger.append(tx, "fact.recorded", fact.id, fact.commitment)


def _rows(tenant: str, first: int, n: int) -> tuple[list[UtteranceRow], list[FactRow]]:
    at, heard, facts = now() - timedelta(days=1), [], []
    for number in range(first, first + n):
        value = f"{THINGS[number % 10]} {number} in {PLACES[number // 10 % 10]}"
        said = UtteranceRow(
            id=f"u_{secrets.token_hex(6)}", tenant=tenant, speaker=USER, text=f"I like {value}.", source=CHAT,
            said_at=at, details={}, salt=secrets.token_hex(16),
        )  # fmt: skip
        fact = FactRow(
            id=f"f_{secrets.token_hex(6)}", tenant=tenant, subject=USER, relation="likes", object=value,
            statement=f"The user likes {value}.", subject_key=USER, value_key=key(value),
            cardinality=Cardinality.MANY, status=FactStatus.PENDING, recorded_at=at, valid_from=at,
            utterance_id=said.id, start=0, end=9, attempts=0, confidence=1.0, source=CHAT,
            salt=secrets.token_hex(16),
        )  # fmt: skip
        fact.commitment = ledger.commit_fact(fact)
        heard.append(said)
        facts.append(fact)
    return heard, facts


def _values(row: UtteranceRow | FactRow) -> dict[str, Any]:
    keys = [column.key for column in row.__mapper__.column_attrs]
    return {name: getattr(row, name) for name in keys if name != "number"}


def _told_at_a_pace(archive: Archive, n_tenants: int, seconds: float) -> list[float]:
    """Milliseconds of each call, by four writers that together tell 50 facts a second."""

    def write(writer: int) -> list[float]:
        rng, taken, due = random.Random(writer), list[float](), time.perf_counter()
        end = due + seconds
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            store = archive.store(LARGE if rng.random() < 0.1 else f"tenant {rng.randrange(n_tenants)}")
            began = time.perf_counter()
            store.tell("I like it.", [_liked(f"{rng.choice(THINGS)} {rng.random()}")])
            taken.append((time.perf_counter() - began) * 1e3)
            due += 4 / 50
        return taken

    with ThreadPoolExecutor(4) as pool:
        return [each for taken in pool.map(write, range(4)) for each in taken]


def _liked(value: str) -> CandidateFact:
    return CandidateFact(
        subject=USER, relation="likes", object=value, statement=f"The user likes {value}.", start=0, end=9,
        cardinality=Cardinality.MANY,
    )  # fmt: skip


def _recall(store: FactStore, rng: random.Random) -> None:
    store.recall(f"Do I like {rng.choice(THINGS)} {rng.randrange(1000)} in {rng.choice(PLACES)}?")


def _claim(store: FactStore) -> None:
    lease = store.take_lease("benchmark", 60)
    store.claim_batch(100, lease)
    store.drop_lease(lease)


def _bare_insert(archive: Archive, text: str = "I like it.") -> None:
    """What the database itself needs for a transaction with one small row."""
    with archive._engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO bare VALUES (:text)"), {"text": text})


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
    scans, seen = set[str](), set[str]()

    def look(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if many or statement in seen or not re.match(r"\s*(SELECT|UPDATE|DELETE)", statement):
            return
        seen.add(statement)
        explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        other = cursor.connection.cursor()
        other.execute(explain + statement, parameters)
        for row in other.fetchall():
            if SCAN.search(str(row[-1])):
                scans.add(f"{row[-1]}: {' '.join(statement.split())[:100]}")
        other.close()

    for engine in (archive._engine, archive._reader):
        sa.event.listen(engine, "before_cursor_execute", look)
    try:
        yield scans
    finally:
        for engine in (archive._engine, archive._reader):
            sa.event.remove(engine, "before_cursor_execute", look)


def _milliseconds(times: int, call: Callable[[int], object]) -> list[float]:
    taken = []
    for n in range(times):
        began = time.perf_counter()
        call(n)
        taken.append((time.perf_counter() - began) * 1e3)
    return taken


def _p99(taken: Sequence[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]


if __name__ == "__main__":
    main()
