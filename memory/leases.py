"""The right to run a tenant's one cycle: a row taken by one conditional UPDATE, on the database's clock.

The token grows with every lease, so that a worker that slept past its own is told from the one that runs now.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from memory.database import Clock
from memory.errors import LeaseHeld, StaleLease
from memory.records import Lease, now
from memory.tables import LeaseRow
from memory.transaction import Transaction


def take(tx: Transaction, name: str, owner: str, seconds: float, dead: str | None = None) -> Lease:
    """Take the tenant's lease if it is free, has expired, or belongs to `dead`; `name` is who it is for."""
    is_free = sa.or_(LeaseRow.owner.is_(None), LeaseRow.expires_at <= Clock(), LeaseRow.owner == dead)
    taken = tx.execute(
        sa.update(LeaseRow)
        .where(is_free)
        .values(owner=owner, token=LeaseRow.token + 1, expires_at=Clock() + seconds)
        .returning(LeaseRow.token, LeaseRow.expires_at)
    ).one_or_none()
    if taken is None:
        held = tx.get_one(LeaseRow, tx.tenant)
        raise LeaseHeld(held.owner or "somebody", _moment(held.expires_at))
    return Lease(tenant=name, owner=owner, token=taken.token, expires_at=_moment(taken.expires_at))


def is_held(tx: Transaction) -> bool:
    live = sa.select(LeaseRow.token).where(LeaseRow.owner.is_not(None), LeaseRow.expires_at > Clock())
    return tx.scalar(live) is not None


def renew(tx: Transaction, lease: Lease, seconds: float) -> Lease:
    expires_at = tx.execute(
        sa.update(LeaseRow)
        .where(_holds(lease))
        .values(expires_at=Clock() + seconds)
        .returning(LeaseRow.expires_at)
    ).scalar_one_or_none()
    if expires_at is None:
        raise StaleLease(lease.owner)
    return Lease(tenant=lease.tenant, owner=lease.owner, token=lease.token, expires_at=_moment(expires_at))


def drop(tx: Transaction, lease: Lease) -> None:
    tx.execute(sa.update(LeaseRow).where(LeaseRow.token == lease.token).values(owner=None))


def note_end(tx: Transaction, *, failed: bool) -> None:
    """A cycle ended: it promoted something, or it failed once more in a row."""
    failures = LeaseRow.failures + 1 if failed else 0
    tx.execute(sa.update(LeaseRow).values(ended_at=now(), failures=failures))


def require(tx: Transaction, name: str, lease: Lease) -> None:
    """The fence: a worker that slept past its lease changes nothing, even if nobody took the lease since."""
    if lease.tenant != name or tx.scalar(sa.select(LeaseRow.token).where(_holds(lease))) is None:
        raise StaleLease(lease.owner)


def _holds(lease: Lease) -> sa.ColumnElement[bool]:
    return sa.and_(
        LeaseRow.token == lease.token,
        LeaseRow.owner == lease.owner,
        LeaseRow.expires_at > Clock(),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
