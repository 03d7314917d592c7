"""Access keys: what a caller shows to be let into one tenant's memory. Shown once; only a hash is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import sqlalchemy as sa
from sqlalchemy.orm import Session

from memory import ledger
from memory.errors import WrongState
from memory.records import AccessKey, AccessRole, now
from memory.tables import AccessKeyRow, TenantRow
from memory.tenancy import Door
from memory.text import new_id, require_storable


class AccessKeys:
    """One tenant's access keys. A `FactStore` has them."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def issue(self, label: str, role: AccessRole = AccessRole.OPERATE) -> tuple[AccessKey, str]:
        """A new key, and what opens with it: its id and 32 random bytes, which need no salt."""
        require_storable(label=label)
        id_, secret = new_id("k"), secrets.token_urlsafe(32)
        with self._door.writing() as tx:
            row = AccessKeyRow(
                id=id_,
                tenant=tx.tenant,
                label=label,
                role=role,
                digest=_digest(secret),
                issued_at=now(),
                salt=secrets.token_hex(16),
            )
            tx.add(row)
            tx.flush()
            ledger.append(tx, "key.issued", row.id, ledger.commit_access_key(row))
            return _record(row), f"{id_}.{secret}"

    def revoke(self, key_id: str) -> AccessKey:
        """The key opens nothing any more. Raises WrongState when it was revoked before."""
        with self._door.writing() as tx:
            row = tx.named(AccessKeyRow, key_id)
            if row.revoked_at is not None:
                raise WrongState(f"key {row.id} is revoked already")
            row.revoked_at = now()
            ledger.append(tx, "key.revoked", row.id, ledger.commit_access_key(row))
            return _record(row)

    def every(self) -> tuple[AccessKey, ...]:
        """Oldest first, those revoked included."""
        issued = sa.select(AccessKeyRow).order_by(AccessKeyRow.issued_at, AccessKeyRow.id)
        with self._door.reading() as tx:
            return tuple(map(_record, tx.scalars(issued)))


def opened(tx: Session, key: str) -> tuple[str, AccessKey] | None:
    """The name of the tenant whose key this is, and what it may; None for one never issued, or revoked."""
    id_, _, secret = key.partition(".")
    issued = (
        sa.select(AccessKeyRow, TenantRow.name)
        .join(TenantRow, TenantRow.id == AccessKeyRow.tenant)
        .where(AccessKeyRow.id == id_, AccessKeyRow.revoked_at.is_(None))
    )
    row, name = tx.execute(issued).one_or_none() or (None, None)
    is_right = hmac.compare_digest(row.digest if row else "", _digest(secret))
    return (name, _record(row)) if row is not None and name is not None and is_right else None


def is_any(tx: Session) -> bool:
    """Whether a key was ever issued, to whomever; one that is revoked counts."""
    return tx.scalar(sa.select(AccessKeyRow.id).limit(1)) is not None


def _record(row: AccessKeyRow) -> AccessKey:
    return AccessKey(
        id=row.id, label=row.label, issued_at=row.issued_at, role=row.role, revoked_at=row.revoked_at
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
