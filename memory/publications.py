"""Which adapter an outside engine has of each tenant, beside which it should have: the one that serves.

What is to be published is nowhere written down for itself. It is what serves, so that it is committed with
every promotion, revert and forgetting, and of these only the last counts. A row says what the engine was told
and what it confirmed, and when to try again what failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from memory import database, ledger
from memory.database import Clock
from memory.records import AdapterStatus, Publication, now
from memory.tables import AdapterRow, PublicationRow, TenantRow
from memory.transaction import Transaction


class Publications:
    """What is published of all tenants, and what waits for it. An `Archive` has it."""

    def __init__(self, engine: sa.Engine, reader: sa.Engine, turns: AbstractContextManager[Any]) -> None:
        self._engine, self._reader, self._turns = engine, reader, turns

    def claim(self, engine: str, name_of: Callable[[Publication], str], seconds: float) -> Publication | None:
        """A tenant whose adapter is to be brought to this engine, or taken from it: claimed for so long.

        It counts as an attempt; another adapter, and another engine, are counted anew. The new name is
        written down before anything is tried, so that what is half done can be undone; the record has the
        old one.
        """
        while True:
            with self._writing() as tx:
                row = next((row for asked in _behind(engine) if (row := tx.execute(asked).first())), None)
                if row is None:
                    return None
                seen = _record(row)
                is_again = row.engine == engine and row.tried_id == seen.wanted_id
                attempts = seen.attempts + 1 if is_again else 1
                values = {
                    "engine": engine,
                    "name": name_of(seen) if seen.wanted_id is not None else seen.name,
                    # What another engine confirmed says nothing of this one.
                    "adapter_id": seen.adapter_id if row.engine == engine else None,
                    "wanted_id": seen.wanted_id,
                    "attempts": attempts,
                    "due_at": Clock() + seconds,
                    "problem": "",
                }
                if _taken(tx, row, values):
                    return replace(seen, engine=engine, attempts=attempts)

    def confirm(self, claimed: Publication, *, name: str, path: str) -> None:
        """The engine has it, or has it no longer: the ledger says so, unless the tenant was forgotten."""
        with (
            database.clear_errors(self._engine),
            self._turns,
            Transaction(self._engine, expire_on_commit=False) as tx,
            tx.begin(),
        ):
            is_known = claimed.tenant is not None and ledger.enter(tx, claimed.tenant)
            if is_known and tx.tenant == claimed.tenant_id:
                _enter(tx, claimed, name)
            # Past the session, which sees nothing of a tenant that was forgotten meanwhile.
            if claimed.wanted_id is None:
                tx.connection().execute(sa.delete(PublicationRow).where(_is_of(claimed)))
                return
            there = {"engine": claimed.engine, "name": name, "adapter_id": claimed.wanted_id, "path": path}
            settled = {"wanted_id": claimed.wanted_id, "attempts": 0, "due_at": Clock(), "problem": ""}
            values = {**there, **settled, "published_at": now()}
            # Made anew where it was taken away while this was on its way, so that it is taken away again.
            made = _insert(tx).values(tenant=claimed.tenant_id, **values)
            tx.connection().execute(made.on_conflict_do_update(index_elements=["tenant"], set_=values))

    def put_back(self, claimed: Publication, *, problem: str, seconds: float | None) -> None:
        """Let it be tried again in so long, or with None by nobody.

        Nothing is changed when somebody else has claimed it since.
        """
        due_at = None if seconds is None else Clock() + seconds
        with self._writing() as tx:
            tx.execute(
                sa.update(PublicationRow)
                .where(_is_of(claimed), PublicationRow.attempts == claimed.attempts)
                .values(due_at=due_at, problem=problem)
            )

    def is_replaced(self, claimed: Publication) -> bool:
        """Whether the engine has confirmed another tenant's adapter by the name of this one.

        So it is where somebody was forgotten, and is known by the same name again.
        """
        other = sa.select(PublicationRow.tenant).where(
            PublicationRow.name == claimed.name,
            PublicationRow.engine == claimed.engine,
            PublicationRow.adapter_id.is_not(None),
            PublicationRow.tenant != claimed.tenant_id,
        )
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            return tx.scalar(other.limit(1)) is not None

    def lost(self, engine: str, there: Mapping[str, str]) -> int:
        """Note what the engine confirmed and no longer has, by its names and paths; says how much that is."""
        confirmed = sa.select(PublicationRow).where(
            PublicationRow.engine == engine, PublicationRow.adapter_id.is_not(None)
        )
        with self._writing() as tx:
            gone = [row for row in tx.scalars(confirmed) if there.get(row.name) != row.path]
            for row in gone:
                row.adapter_id, row.published_at, row.attempts, row.due_at = None, None, 0, 0.0
            return len(gone)

    def retry(self) -> None:
        """Let all that waits be tried at once, as if nobody had tried yet."""
        with self._writing() as tx:
            tx.execute(sa.update(PublicationRow).values(due_at=Clock(), attempts=0))

    def every(self) -> tuple[Publication, ...]:
        """Of all tenants of which anything is, or should be, published."""
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            return tuple(_record(row) for asked in (_WANTED, _LEFT) for row in tx.execute(asked))

    def of(self, tenant: str) -> Publication | None:
        """Of one tenant; None where nothing is, or should be, published."""
        asked = (asked.where(TenantRow.name == tenant) for asked in (_WANTED, _LEFT))
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            row = next((row for each in asked if (row := tx.execute(each).one_or_none())), None)
            return _record(row) if row else None

    def serving(self, adapter_id: str) -> Publication | None:
        """Of the tenant that this adapter serves; None where it serves nobody, or is a root."""
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            row = tx.execute(_WANTED.where(AdapterRow.id == adapter_id)).one_or_none()
            return _record(row) if row else None

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with database.clear_errors(self._engine), self._turns, Session(self._engine) as tx, tx.begin():
            yield tx


# A root adds nothing to the base, which every engine has. As the partial index of what serves has it.
_SERVES: Final = sa.and_(
    AdapterRow.status == sa.bindparam("serves", AdapterStatus.PROMOTED, literal_execute=True),
    AdapterRow.parent_id.is_not(None),
)
_COLUMNS: Final[tuple[sa.ColumnElement[Any] | InstrumentedAttribute[Any], ...]] = (
    TenantRow.id.label("tenant_id"),
    TenantRow.name.label("tenant"),
    AdapterRow.id.label("serving_id"),
    AdapterRow.path.label("serving_path"),
    PublicationRow.engine,
    PublicationRow.name,
    PublicationRow.adapter_id,
    PublicationRow.published_at,
    PublicationRow.wanted_id.label("tried_id"),
    PublicationRow.attempts,
    PublicationRow.due_at,
    PublicationRow.problem,
)
_WANTED: Final[sa.Select[Any]] = (
    sa.select(*_COLUMNS)
    .select_from(AdapterRow)
    .join(TenantRow, TenantRow.id == AdapterRow.tenant)
    .outerjoin(PublicationRow, PublicationRow.tenant == AdapterRow.tenant)
    .where(_SERVES)
    .order_by(PublicationRow.due_at, AdapterRow.tenant)
)
"""What is published beside what serves, where anything but a root does."""
_LEFT: Final[sa.Select[Any]] = (
    sa.select(*_COLUMNS)
    .select_from(PublicationRow)
    .join(TenantRow, TenantRow.id == PublicationRow.tenant)
    .outerjoin(AdapterRow, sa.and_(AdapterRow.tenant == PublicationRow.tenant, _SERVES))
    .where(AdapterRow.id.is_(None))
    .order_by(PublicationRow.due_at, PublicationRow.tenant)
)
"""What is published where nothing serves any more, or a root."""


def _behind(engine: str) -> tuple[sa.Select[Any], ...]:
    """What this engine does not have, and what it has and should not, that is due."""
    is_due = PublicationRow.due_at <= Clock()
    is_elsewhere = sa.or_(PublicationRow.tenant.is_(None), PublicationRow.engine != engine)
    is_another = PublicationRow.adapter_id.is_distinct_from(AdapterRow.id)
    is_new = PublicationRow.wanted_id.is_distinct_from(AdapterRow.id)
    missing = sa.or_(is_elsewhere, sa.and_(is_another, sa.or_(is_new, is_due)))
    left = sa.and_(PublicationRow.engine == engine, sa.or_(PublicationRow.wanted_id.is_not(None), is_due))
    return _WANTED.where(missing).limit(1), _LEFT.where(left).limit(1)


def _taken(tx: Session, row: sa.Row[Any], values: dict[str, Any]) -> bool:
    """Write the attempt down, unless somebody else did so since the row was read."""
    if row.engine is not None:
        unchanged = sa.and_(
            PublicationRow.tenant == row.tenant_id,
            PublicationRow.attempts == row.attempts,
            PublicationRow.wanted_id.is_not_distinct_from(row.tried_id),
            PublicationRow.engine == row.engine,
        )
        taken = sa.update(PublicationRow).where(unchanged).values(**values).returning(PublicationRow.tenant)
        return tx.scalar(taken) is not None
    new = {"tenant": row.tenant_id, "path": "", **values}
    made = _insert(tx).values(**new).on_conflict_do_nothing().returning(PublicationRow.tenant)
    return tx.scalar(made) is not None


def _insert(tx: Session) -> sqlite.Insert | postgresql.Insert:
    is_postgresql = tx.get_bind().dialect.name == "postgresql"
    return postgresql.insert(PublicationRow) if is_postgresql else sqlite.insert(PublicationRow)


def _enter(tx: Transaction, claimed: Publication, name: str) -> None:
    """Of what was taken away the ledger names the adapter, if the engine ever confirmed that it had it."""
    event = "adapter.unpublished" if claimed.wanted_id is None else "adapter.published"
    adapter_id = claimed.wanted_id or claimed.adapter_id
    row = tx.scalars(sa.select(AdapterRow).where(AdapterRow.id == adapter_id)).one_or_none()
    if row is not None:
        ledger.append(tx, event, row.id, ledger.commit_publication(row, claimed.engine, name))


def _is_of(claimed: Publication) -> sa.ColumnElement[bool]:
    return PublicationRow.tenant == claimed.tenant_id


def _record(row: sa.Row[Any]) -> Publication:
    return Publication(
        tenant_id=row.tenant_id,
        tenant=row.tenant,
        engine=row.engine or "",
        name=row.name or "",
        adapter_id=row.adapter_id,
        published_at=row.published_at,
        wanted_id=row.serving_id,
        wanted_path=row.serving_path or "",
        attempts=row.attempts or 0,
        due_at=None if row.due_at is None else datetime.fromtimestamp(row.due_at, UTC),
        problem=row.problem or "",
    )
