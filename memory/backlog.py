"""What waits for the next cycles, asked once for all tenants: from indexes that have nothing else.

A tenant for which nothing waits is in none of them, so that any number of idle tenants costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from memory.clocks import holds, is_over
from memory.columns import UtcDateTime
from memory.database import Clock
from memory.records import AdapterStatus, Cardinality, FactStatus, now
from memory.tables import (
    AdapterRow,
    BatchFactRow,
    BatchRow,
    FactRow,
    LeaseRow,
    Role,
    TenantRow,
    is_claimed,
    is_taken_back,
    is_waiting,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits for a tenant's next cycle, and how its last ones ended: all that a schedule decides by."""

    tenant: str
    tenant_id: str = ""
    """Its random id, for logs; empty for a tenant that is not there."""
    n_waiting: int = 0
    """Facts to be learned, or to be taken out of the weights."""
    waits_since: datetime | None = None
    """Since when the oldest of them waits."""
    is_claimed: bool = False
    """A batch is being worked on; where nobody runs a cycle, one died and left it."""
    is_measured: bool = False
    """A candidate of that batch has its scores: with approval by hand, it waits for a person."""
    ended_at: datetime | None = None
    """When the last cycle ended, however it did."""
    failures: int = 0
    """Cycles in a row that promoted nothing."""
    owner: str | None = None
    """Who runs the tenant's cycle now."""


def backlogs(tx: Session) -> tuple[Backlog, ...]:
    """Of each tenant for which something waits, the longest waiting first."""
    return tuple(_record(row) for row in tx.execute(of_all(), {"moment": now()}))


def backlog(tx: Session, tenant: str) -> Backlog:
    row = tx.execute(_of_one(), {"moment": now(), "name": tenant}).one_or_none()
    return Backlog(tenant=tenant) if row is None else _record(row)


# Both are made once: that takes longer than to ask them.


@cache
def of_all() -> sa.Select[Any]:
    waits = _waits()
    return _asked(waits).join(waits, waits.c.tenant == TenantRow.id).order_by(waits.c.since)


@cache
def _of_one() -> sa.Select[Any]:
    name = sa.bindparam("name", type_=sa.Text())
    waits = _waits(sa.select(TenantRow.id).where(TenantRow.name == name).scalar_subquery())
    return _asked(waits).outerjoin(waits, waits.c.tenant == TenantRow.id).where(TenantRow.name == name)


def _asked(waits: sa.Subquery) -> sa.Select[Any]:
    totals = (waits.c.n, waits.c.since, waits.c.claimed, waits.c.measured)
    owner = sa.case((LeaseRow.expires_at > Clock(), LeaseRow.owner))
    return (
        sa.select(
            TenantRow.name, TenantRow.id, LeaseRow.ended_at, LeaseRow.failures, owner.label("owner"), *totals
        )
        .select_from(TenantRow)
        .join(LeaseRow, LeaseRow.tenant == TenantRow.id)
    )


def _record(row: sa.Row[Any]) -> Backlog:
    return Backlog(
        tenant=row.name,
        tenant_id=row.id,
        # PostgreSQL's sum is a number of any length.
        n_waiting=int(row.n or 0),
        waits_since=row.since,
        is_claimed=bool(row.claimed),
        is_measured=bool(row.measured),
        ended_at=row.ended_at,
        failures=row.failures,
        owner=row.owner,
    )


def _waits(owner: sa.ScalarSelect[str] | None = None) -> sa.Subquery:
    """What waits, by tenant: pending facts, what the weights hold and should not, and a claimed batch."""
    moment: Any = sa.bindparam("moment", type_=UtcDateTime())
    none = sa.literal(0)
    is_pending = sa.and_(is_waiting, FactRow.status == FactStatus.PENDING, holds(moment))
    to_be_removed = sa.and_(is_taken_back, FactRow.valid_until <= moment, *_undenied(moment))
    # It counts as taken back, once somebody looks.
    has_ended = sa.and_(
        is_over(moment),
        FactRow.valid_until.is_not(None),
        # An expression, or the index of what is in weights would be read, which is most facts there are.
        FactRow.adapter_id.concat("").is_not(None),
        FactRow.quarantine_reason.is_(None),
    )
    one, measured = sa.literal(1), AdapterRow.scores.is_not(None)
    candidates = sa.select(AdapterRow.id).where(
        AdapterRow.batch_id == BatchRow.id, AdapterRow.status == AdapterStatus.CANDIDATE, measured
    )
    claimed = sa.select(sa.func.count()).where(
        BatchFactRow.batch_id == BatchRow.id, BatchFactRow.role == Role.FACT
    )
    parts: list[sa.Select[Any]] = [
        _of(FactRow, FactRow.recorded_at, one, none, none).where(is_pending),
        _of(FactRow, FactRow.valid_until, one, none, none).where(to_be_removed),
        _of(FactRow, FactRow.valid_until, one, none, none).where(has_ended),
        _of(
            BatchRow,
            BatchRow.created_at,
            claimed.scalar_subquery(),
            one,
            sa.case((candidates.exists(), 1), else_=0),
        ).where(is_claimed),
    ]
    if owner is not None:
        parts = [part.where(part.selected_columns.tenant == owner) for part in parts]
    every = sa.union_all(*parts).subquery()
    totals = (
        sa.func.sum(every.c.n).label("n"),
        sa.func.min(every.c.since).label("since"),
        sa.func.max(every.c.claimed).label("claimed"),
        sa.func.max(every.c.measured).label("measured"),
    )
    return sa.select(every.c.tenant, *totals).group_by(every.c.tenant).subquery()


def _of(
    table: type[FactRow] | type[BatchRow],
    since: Any,
    n: sa.ColumnElement[int] | sa.ScalarSelect[int],
    claimed: sa.ColumnElement[int],
    measured: sa.ColumnElement[int],
) -> sa.Select[Any]:
    return sa.select(
        table.tenant,
        since.label("since"),
        n.label("n"),
        claimed.label("claimed"),
        measured.label("measured"),
    )


def _undenied(moment: Any) -> list[sa.ColumnElement[bool]]:
    """No value that holds now says otherwise of the slot. Two questions, each of an index."""
    beside = aliased(FactRow)
    return [
        ~sa.exists().where(
            beside.tenant == FactRow.tenant,
            beside.subject_key == FactRow.subject_key,
            beside.relation == FactRow.relation,
            beside.id != FactRow.id,
            beside.status.not_in((FactStatus.SUPERSEDED, FactStatus.RETRACTED)),
            beside.valid_from <= moment,
            sa.or_(beside.valid_until.is_(None), beside.valid_until > moment),
            takes_its_place,
        )
        for takes_its_place in (beside.value_key == FactRow.value_key, beside.cardinality == Cardinality.ONE)
    ]
