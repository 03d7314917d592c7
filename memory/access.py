"""Access keys: what a caller shows to be let into one tenant's memory. Shown once; only a hash is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import sqlalchemy as sa
from sqlalchemy.orm import Session

from memory import ledger
from memory.errors import WrongState
from memory.records import AccessKey, now
from memory.tables import AccessKeyRow, TenantRow
from memory.transaction import Transaction


def issue(tx: Transaction, label: str) -> tuple[AccessKeyRow, str]:
    """A new key, and what opens with it: its id and 32 random bytes. No salt: random bytes need none."""
    id_, secret = f"k_{secrets.token_hex(6)}", secrets.token_urlsafe(32)
    row = AccessKeyRow(
        id=id_,
        tenant=tx.tenant,
        label=label,
        digest=_digest(secret),
        issued_at=now(),
        salt=secrets.token_hex(16),
    )
    tx.add(row)
    tx.flush()
    ledger.append(tx, "key.issued", row.id, ledger.commit_access_key(row))
    return row, f"{id_}.{secret}"


def revoke(tx: Transaction, row: AccessKeyRow) -> None:
    if row.revoked_at is not None:
        raise WrongState(f"key {row.id} is revoked already")
    row.revoked_at = now()
    ledger.append(tx, "key.revoked", row.id, ledger.commit_access_key(row))


def owner(tx: Session, key: str) -> str | None:
    """The name of the tenant whose key this is; None for one that was never issued, or is revoked."""
    id_, _, secret = key.partition(".")
    issued = (
        sa.select(AccessKeyRow.digest, TenantRow.name)
        .join(TenantRow, TenantRow.id == AccessKeyRow.tenant)
        .where(AccessKeyRow.id == id_, AccessKeyRow.revoked_at.is_(None))
    )
    digest, name = tx.execute(issued).one_or_none() or ("", None)
    return name if hmac.compare_digest(digest, _digest(secret)) else None


def record_of(row: AccessKeyRow) -> AccessKey:
    return AccessKey(id=row.id, label=row.label, issued_at=row.issued_at, revoked_at=row.revoked_at)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
