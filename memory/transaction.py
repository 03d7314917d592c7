"""A transaction of one tenant. Whatever a query in it says, it sees and changes that tenant's rows alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, ORMExecuteState, Session, with_loader_criteria

from memory.errors import (
    AmbiguousId,
    UnknownAdapter,
    UnknownBatch,
    UnknownFact,
    UnknownKey,
    UnknownProposal,
    UnknownUtterance,
)
from memory.tables import (
    AccessKeyRow,
    AdapterRow,
    BatchRow,
    FactRow,
    Owned,
    ProposalRow,
    TenantRow,
    UtteranceRow,
)
from memory.text import is_storable

BY_NUMBER: Final = {"by_number": True}
"""The options of a query for rows of given numbers. Their tenant is seen to and not looked up: SQLite would
read all rows of the tenant instead of those few."""

NOBODY = ""
"""The tenant of a name that nothing was written for yet: it owns no rows."""

Row = TypeVar("Row", AccessKeyRow, FactRow, UtteranceRow, ProposalRow, BatchRow, AdapterRow)


@dataclass(slots=True, kw_only=True)
class Chain:
    """The end of a tenant's chain, from the lock on it to the commit, with the entries that wait for that."""

    position: int
    hash: str
    peaks: tuple[bytes, ...]
    added: list[dict[str, Any]] = field(default_factory=list)


class Transaction(Session):
    """Belongs to the tenant that it is `entered` for; until then it sees no tenant's rows."""

    def __init__(self, engine: sa.Engine, **options: Any) -> None:
        super().__init__(engine, **options)
        self.tenant = NOBODY
        self.owner: TenantRow | None = None
        self.chain: Chain | None = None

    def enter(self, name: str) -> bool:
        """Belong to the tenant of this name from here on; False when there is none."""
        # Held here, the row is read once in a transaction however often it is asked for.
        self.owner = self.scalar(sa.select(TenantRow).where(TenantRow.name == name))
        self.tenant = self.owner.id if self.owner else NOBODY
        return self.owner is not None

    def named(self, table: type[Row], row_id: str) -> Row:
        """The tenant's row with this id, or with the only one that begins so. Another tenant's is unknown."""
        if not row_id or not is_storable(row_id):
            raise _UNKNOWN[table](row_id)
        exact = self.scalars(sa.select(table).where(table.id == row_id)).one_or_none()
        if exact is not None:
            return exact
        alike = (
            sa.select(table).where(table.id.startswith(row_id, autoescape=True)).order_by(table.id).limit(3)
        )
        rows = self.scalars(alike).all()
        if not rows:
            raise _UNKNOWN[table](row_id)
        if len(rows) > 1:
            raise AmbiguousId(row_id, tuple(row.id for row in rows))
        return rows[0]


@sa.event.listens_for(Transaction, "do_orm_execute")
def _see_one_tenant(state: ORMExecuteState) -> None:
    session = state.session
    if isinstance(session, Transaction) and not state.is_column_load and not state.is_relationship_load:
        tenant = session.tenant
        if state.execution_options.get("by_number", False):
            # An expression, which no index serves.
            owned = with_loader_criteria(
                Owned, lambda table: table.tenant.concat("") == tenant, include_aliases=True
            )
        else:
            owned = with_loader_criteria(Owned, lambda table: table.tenant == tenant, include_aliases=True)
        state.statement = state.statement.options(owned)


_UNKNOWN: dict[
    type[DeclarativeBase],
    type[UnknownKey | UnknownFact | UnknownUtterance | UnknownProposal | UnknownBatch | UnknownAdapter],
] = {
    AccessKeyRow: UnknownKey,
    FactRow: UnknownFact,
    UtteranceRow: UnknownUtterance,
    ProposalRow: UnknownProposal,
    BatchRow: UnknownBatch,
    AdapterRow: UnknownAdapter,
}
