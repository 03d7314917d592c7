"""Transactions of one tenant, and how a tenant comes to be: by the first thing that is written for it."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from memory import database, leases, ledger
from memory.audit import GENESIS
from memory.records import HookEvent, Lease, now
from memory.tables import LeaseRow, TenantRow, TipRow
from memory.text import new_id, require_storable
from memory.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Door:
    """The way to one tenant: there is no other, so that nothing is read or written of none or of two."""

    engine: sa.Engine
    reader: sa.Engine
    turns: AbstractContextManager[Any]
    tenant: str
    announced: Collection[HookEvent] = ()
    """What is written to the outbox, too, for hooks to be told of."""

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """One moment of a tenant; of one that is not there, nothing."""
        with database.clear_errors(self.reader), Transaction(self.reader) as tx:
            tx.enter(self.tenant)
            yield tx

    @contextmanager
    def writing(self, lease: Lease | None = None, *, shared: bool = False) -> Iterator[Transaction]:
        """A transaction that is alone in its tenant: it holds the end of the chain from start to finish."""
        with (
            database.clear_errors(self.engine),
            self.turns,
            Transaction(self.engine, expire_on_commit=False) as tx,
            tx.begin(),
        ):
            tx.announced = self.announced
            if not ledger.enter(tx, self.tenant):
                _create_tenant(tx, self.tenant, is_shared=shared)
            if lease is not None:
                leases.require(tx, self.tenant, lease)
            yield tx


def _create_tenant(tx: Transaction, name: str, *, is_shared: bool) -> None:
    """Make the tenant's rows, unless somebody else does so at the same moment."""
    require_storable(tenant=name)
    insert = postgresql.insert if tx.get_bind().dialect.name == "postgresql" else sqlite.insert
    tenant = {
        "id": new_id("t"),
        "name": name,
        "is_shared": is_shared,
        "created_at": now(),
        "salt": secrets.token_hex(16),
        "tombstone_salt": secrets.token_hex(16),
    }
    made = insert(TenantRow).values(**tenant).on_conflict_do_nothing().returning(TenantRow.id)
    is_new = tx.connection().scalar(made) is not None
    if is_new:
        tx.insert(LeaseRow(tenant=tenant["id"], token=0, expires_at=0.0))
        tx.insert(TipRow(tenant=tenant["id"], position=0, hash=GENESIS, peaks=""))
    ledger.enter(tx, name)
    if is_new:
        ledger.append(tx, "tenant.registered", tx.tenant, ledger.commit_tenant(tx.owner))
