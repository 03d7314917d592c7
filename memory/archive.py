"""One database with the facts of many tenants: opens it, names its tenants, and hands out their stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from memory import database, ledger
from memory.errors import StoreError
from memory.records import Verification
from memory.store import FactStore
from memory.tables import TenantRow
from memory.transaction import Transaction


class Archive:
    """A database on SQLite or PostgreSQL. What belongs to a tenant is reached through its `store` alone."""

    def __init__(self, url: str) -> None:
        self._engine = database.connect(url)
        self._reader = database.reader(self._engine)

    @classmethod
    def open(cls, url: str, migrate: bool = True) -> Self:
        """Connect, and bring the schema up to date.

        Raises StoreTooNew for a database that a newer version wrote, and StoreOutdated for an older one that
        may not be migrated.
        """
        archive = cls(url)
        try:
            if migrate:
                database.upgrade(archive._engine)
            else:
                database.require_head(archive._engine)
        except StoreError:
            archive.close()
            raise
        return archive

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def store(self, tenant: str) -> FactStore:
        """What one tenant knows. Nothing is written: a tenant is made by the first thing it is told."""
        return FactStore(self._engine, self._reader, tenant)

    def tenants(self) -> tuple[str, ...]:
        named = sa.select(TenantRow.name).where(TenantRow.name.is_not(None)).order_by(TenantRow.name)
        with self._reading() as tx:
            return tuple(name for name in tx.scalars(named) if name is not None)

    def verify(self) -> Verification:
        """Check the chains of all tenants, and the rows they vouch for."""
        with self._reading() as tx:
            found = []
            for tenant in tx.scalars(sa.select(TenantRow).order_by(TenantRow.name, TenantRow.id)).all():
                tx.tenant = tenant.id
                found.append(ledger.verify(tx, tenant.name or tenant.id))
        return Verification(
            n_entries=sum(each.n_entries for each in found),
            problems=tuple(problem for each in found for problem in each.problems),
        )

    @contextmanager
    def _reading(self) -> Iterator[Transaction]:
        with database.clear_errors(self._engine), Transaction(self._reader) as tx:
            yield tx
