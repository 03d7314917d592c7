"""Counts over all tenants of a database, for whoever watches it: each from an index that has nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from memory.clocks import still_holds
from memory.records import FactStatus, HookEvent, Scores, Tally, now
from memory.tables import (
    AdapterRow,
    EntryRow,
    FactRow,
    OutboxRow,
    TenantRow,
    is_counted,
    is_waiting,
)


def tallies(tx: Session, *, by_tenant: bool) -> tuple[Tally, ...]:
    """One of all tenants together, or one of each that was not forgotten."""

    def grouped(tenant: InstrumentedAttribute[str], *columns: Any) -> sa.Select[Any]:
        owner: sa.ColumnElement[str] = tenant.expression if by_tenant else sa.literal("")
        asked: sa.Select[Any] = sa.select(owner, *columns)
        return asked.group_by(tenant) if by_tenant else asked

    named = sa.select(TenantRow.id).where(TenantRow.name.is_not(None)).order_by(TenantRow.id)
    found: dict[str, dict[str, Any]] = {id_: {} for id_ in (tx.scalars(named) if by_tenant else [""])}

    def put(rows: Iterable[Any], *names: str) -> None:
        for tenant, *values in rows:
            # A chain outlives a tenant that was forgotten.
            if tenant in found:
                found[tenant] |= dict(zip(names, values, strict=True))

    oldest = sa.func.min(FactRow.recorded_at)
    waiting = grouped(FactRow.tenant, FactRow.status, sa.func.count(), oldest).group_by(FactRow.status)
    for tenant, status, n, since in tx.execute(waiting.where(is_waiting, still_holds(now()))):
        is_pending = status is FactStatus.PENDING
        found[tenant] |= {"pending": n, "oldest_pending_at": since} if is_pending else {"quarantined": n}
    given_up = sa.func.count().filter(OutboxRow.due_at.is_(None))
    undelivered = grouped(OutboxRow.tenant, sa.func.count(OutboxRow.due_at), given_up)
    put(tx.execute(undelivered), "undelivered", "given_up")
    put(_last_scores(tx, by_tenant=by_tenant), "scores")
    chains = sa.func.count(EntryRow.tenant.distinct())
    counted = grouped(EntryRow.tenant, EntryRow.event, sa.func.count(), chains)
    for tenant, event, n, n_chains in tx.execute(counted.where(is_counted).group_by(EntryRow.event)):
        if tenant in found:
            # The first promotion in a chain is that of its root.
            happened = n - n_chains if event == HookEvent.PROMOTED else n
            found[tenant].setdefault("events", dict.fromkeys(HookEvent, 0))[HookEvent(event)] = happened
    return tuple(Tally(tenant_id=tenant, **counts) for tenant, counts in found.items())


def _last_scores(tx: Session, *, by_tenant: bool) -> Iterable[tuple[str, Scores | None]]:
    measured = AdapterRow.scores.is_not(None)
    if by_tenant:
        last = sa.select(sa.func.max(AdapterRow.number)).where(measured).group_by(AdapterRow.tenant)
        of_each = sa.select(AdapterRow.tenant, AdapterRow.scores).where(AdapterRow.number.in_(last))
        return [(tenant, scores) for tenant, scores in tx.execute(of_each)]
    newest = sa.select(AdapterRow.scores).where(measured).order_by(AdapterRow.number.desc()).limit(1)
    return [("", scores) for scores in tx.scalars(newest)]
