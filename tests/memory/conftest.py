"""The databases that every test of the memory runs on, and a tenant to try things with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from memory import (
    Adapter,
    AdapterStatus,
    Archive,
    CandidateFact,
    Cardinality,
    Fact,
    FactStore,
    Lease,
    Recorded,
    Verdict,
    now,
)
from memory.tables import Table

GOOD = Verdict(promote=True)


class Tenant:
    """Tells facts as a person would, and plays the cycle that would learn them."""

    def __init__(self, store: FactStore) -> None:
        self.store = store
        self.name = store.tenant
        self._numbers = itertools.count(1)

    def tell(self, value: str, relation: str = "lives_in", **candidate: Any) -> Recorded:
        (recorded,) = self.record(_candidate(value, relation, **candidate))
        return recorded

    def take_back(self, value: str = "", relation: str = "lives_in", **candidate: Any) -> Recorded:
        return self.tell(value, relation, retracts=True, **candidate)

    def record(self, *candidates: CandidateFact) -> tuple[Recorded, ...]:
        return self.store.tell("I told you so.", candidates).recorded

    def likes(self, value: str) -> Recorded:
        return self.tell(value, "likes", cardinality=Cardinality.MANY)

    def root(self) -> Adapter:
        return self.store.root(self.adapter(f"{self.name}-root", parent=None))

    def lease(self, owner: str = "test", seconds: float = 600) -> Lease:
        return self.store.take_lease(owner, seconds)

    def candidate(self, lease: Lease, limit: int = 100) -> Adapter:
        """An adapter edited from the serving one with whatever is pending."""
        batch = self.store.claim_batch(limit, lease)
        assert batch is not None
        parent = self.store.serving()
        assert parent is not None
        made = self.adapter(f"{self.name}-a{next(self._numbers)}", parent=parent.id, batch_id=batch.id)
        return self.store.register(made, lease)

    def learn(self, limit: int = 100) -> Adapter:
        """One whole cycle that ends in a promotion."""
        self.root()
        lease = self.lease()
        promoted = self.store.promote(self.candidate(lease, limit).id, GOOD, lease)
        self.store.drop_lease(lease)
        return promoted

    def adapter(self, adapter_id: str, *, parent: str | None, batch_id: str | None = None) -> Adapter:
        return Adapter(
            id=adapter_id,
            parent_id=parent,
            batch_id=batch_id,
            status=AdapterStatus.CANDIDATE,
            base_hash="base",
            path=adapter_id,
            created_at=now(),
        )

    @property
    def prompt(self) -> list[str]:
        return values(self.store.recall())

    @property
    def standing(self) -> list[str]:
        return values(self.store.facts())

    @property
    def learned(self) -> list[str]:
        return values(self.store.learned())

    @property
    def weights(self) -> list[str]:
        return [fact.object for fact in self.store.taught()]


def values(facts: Sequence[Fact]) -> list[str]:
    """The objects of facts; one that was taken back is shown as its negation."""
    return [f"not {fact.object}" if fact.status == "retracted" else fact.object for fact in facts]


def _candidate(value: str, relation: str, **candidate: Any) -> CandidateFact:
    subject = candidate.pop("subject", "user")
    said: dict[str, Any] = {"statement": f"{subject} {relation} {value}", "start": 0, "end": 14}
    return CandidateFact(subject=subject, relation=relation, object=value, **(said | candidate))


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """One store per database for all tests: opening one compiles every statement anew."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('memory') / 'memory.db'}"
    else:
        url = request.getfixturevalue("postgresql")()
    with Archive.open(url) as archive:
        yield archive


@pytest.fixture
def archive(opened: Archive) -> Archive:
    """A database that knows nothing yet."""
    return emptied(opened)


def plans(archive: Archive, call: Callable[[], object]) -> list[str]:
    """Each query of a call on SQLite, followed by its plan."""
    ran: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        ran.append((statement, parameters))

    sa.event.listen(archive._reader, "before_cursor_execute", note)
    try:
        call()
    finally:
        sa.event.remove(archive._reader, "before_cursor_execute", note)
    with archive._reader.connect() as connection:
        return [
            f"{statement}: {row[-1]}"
            for statement, parameters in ran
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


def emptied(opened: Archive) -> Archive:
    with behind_its_back(opened) as connection:
        for table in reversed(Table.metadata.sorted_tables):
            if table.name != "archive":
                connection.execute(table.delete())
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("DELETE FROM facts_words; DELETE FROM prompt_words"))
        connection.execute(sa.text("UPDATE archive SET n_signed = 0, peaks = ''"))
    return opened


@contextmanager
def behind_its_back(archive: Archive) -> Iterator[sa.Connection]:
    """A connection of somebody who may do everything: no trigger, no foreign key is in the way."""
    if archive._engine.dialect.name == "postgresql":
        with archive._engine.begin() as connection:
            connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
            yield connection
        return
    with archive._engine.connect() as connection, _without_foreign_keys(connection), connection.begin():
        kept = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        for name in (name for name, _ in kept if "words" not in name):
            connection.execute(sa.text(f"DROP TRIGGER {name}"))
        yield connection
        for sql in (sql for name, sql in kept if "words" not in name):
            connection.exec_driver_sql(sql)


@contextmanager
def _without_foreign_keys(connection: sa.Connection) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys = OFF")
    yield
    driver.execute("PRAGMA foreign_keys = ON")


@pytest.fixture
def url(archive: Archive) -> str:
    """Where the database is, for those who come by another way."""
    return archive._engine.url.render_as_string(hide_password=False)


@pytest.fixture
def tom(archive: Archive) -> Tenant:
    return Tenant(archive.store("tom"))


@pytest.fixture
def tenant_named(archive: Archive) -> Callable[[str], Tenant]:
    return lambda name: Tenant(archive.store(name))


@pytest.fixture
def execute(archive: Archive) -> Callable[[str], None]:
    """Runs SQL behind the store's back."""

    def run(sql: str) -> None:
        with behind_its_back(archive) as connection:
            connection.execute(sa.text(sql))

    return run
