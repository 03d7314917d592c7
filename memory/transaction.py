"""A transaction of one tenant. Whatever a query in it says, it sees and changes that tenant's rows alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapper, ORMExecuteState, Session, with_loader_criteria

from memory.errors import (
    AmbiguousId,
    UnknownAdapter,
    UnknownBatch,
    UnknownFact,
    UnknownKey,
    UnknownProposal,
    UnknownUtterance,
)
from memory.records import HookEvent
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
"""The options of a query for rows of given numbers or ids. Their tenant is seen to and not looked up: SQLite
would read all rows of the tenant instead of those few."""

_OWNER: Final = sa.select(TenantRow).where(TenantRow.name == sa.bindparam("name"))

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
        # The tenant's row, read once however often it is asked for.
        self.owner: Any = None
        self.chain: Chain | None = None
        self.announced: Collection[HookEvent] = ()

    def enter(self, name: str, found_by: sa.Executable = _OWNER) -> bool:
        """Belong to the tenant of this name from here on; False when there is none."""
        self.owner = self.connection().execute(found_by, {"name": name}).one_or_none()
        self.tenant = self.owner.id if self.owner else NOBODY
        return self.owner is not None

    def ask(self, statement: sa.Select[Any], **parameters: Any) -> sa.CursorResult[Any]:
        """Ask past the session, which takes longer than the database does for one row or none.

        The session adds no condition here: the statement has the parameter `tenant` itself.
        """
        self.flush()
        return self.connection().execute(statement, {"tenant": self.tenant, **parameters})

    def insert(self, row: Owned) -> None:
        """Write a new row at once, past the session, which does not write what is changed in it later."""
        insert, names = _insert(sa.inspect(row).mapper)
        values = ((column, getattr(row, name)) for column, name in names)
        self.connection().execute(insert, {column: value for column, value in values if value is not None})

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


@cache
def _insert(mapper: Mapper[Any]) -> tuple[sa.Insert, list[tuple[str, str]]]:
    """The statement, and each column with the attribute it is written from."""
    names = [(column.key, mapper.get_property_by_column(column).key) for column in mapper.columns]
    table: Any = mapper.local_table
    return sa.insert(table).inline(), names


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
