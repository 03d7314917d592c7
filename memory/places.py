"""Where facts are in the weights: what a batch moves, so that a revert can put every one back."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from memory import ledger
from memory.records import (
    AdapterStatus,
    BatchStatus,
    FactStatus,
    Verdict,
    now,
)
from memory.slots import displaced_by, resting_status, retract
from memory.tables import (
    ENDED,
    AdapterRow,
    BatchFactRow,
    BatchRow,
    FactRow,
    Role,
    is_claimed,
)
from memory.transaction import BY_NUMBER, Transaction

_MOVED = (Role.FACT, Role.REMOVAL, Role.OVERRIDE, Role.LOST)
"""The roles of facts whose place in the weights a promotion changes."""


OUTDONE = Verdict(promote=False, reasons=("another candidate of its batch was promoted",))
_MOVED = (Role.FACT, Role.REMOVAL, Role.OVERRIDE, Role.LOST)
"""The roles of facts whose place in the weights a promotion changes."""


def serving(tx: Transaction) -> AdapterRow | None:
    promoted = sa.select(AdapterRow).where(AdapterRow.status == AdapterStatus.PROMOTED)
    return tx.scalars(promoted).one_or_none()


def members(tx: Transaction, batch_id: str, role: Role) -> Sequence[FactRow]:
    with_role = (
        sa.select(FactRow)
        .join(BatchFactRow, BatchFactRow.fact_id == FactRow.id)
        .where(BatchFactRow.batch_id == batch_id, BatchFactRow.role == role)
    )
    return tx.scalars(with_role.order_by(FactRow.number), execution_options=BY_NUMBER).all()


def learn(tx: Transaction, adapter_id: str, batch_id: str) -> None:
    """The weights now hold the batch's facts, no longer its removals nor what stood in their places."""
    batch = tx.scalars(sa.select(BatchRow).where(BatchRow.id == batch_id)).one()
    facts, removals, overridden = (
        members(tx, batch_id, role) for role in (Role.FACT, Role.REMOVAL, Role.OVERRIDE)
    )
    _forget_overrides(tx, batch_id)
    for row in [*facts, *removals]:
        membership(tx, batch_id, row).previous_adapter_id = row.adapter_id
    for row in removals:
        row.adapter_id = None
    for row in facts:
        row.adapter_id, row.batch_id = adapter_id, batch_id
        row.attempts, row.is_held, row.quarantine_reason = 0, False, None
        if row.status not in ENDED:
            row.status = FactStatus.LEARNED
    tx.flush()
    if batch.replaces_id is not None:
        _leave_out(tx, adapter_id, batch_id)
    ids = {row.id for row in facts}
    for row in facts:
        _override(tx, row, batch_id, ids)
    for row in overridden:
        reopen(tx, row, batch_id)
    batch.status = BatchStatus.DONE
    for sibling in candidates_of(tx, batch_id):
        reject_one(tx, sibling, OUTDONE)
    tx.flush()


def _leave_out(tx: Transaction, adapter_id: str, batch_id: str) -> None:
    """Weights that were taught from a root hold nothing else."""
    others = sa.select(FactRow).where(FactRow.adapter_id.is_not(None), FactRow.adapter_id != adapter_id)
    for row in tx.scalars(others).all():
        reopen(tx, row, batch_id)
    tx.flush()


def _override(tx: Transaction, newer: FactRow, batch_id: str, taught: set[str]) -> None:
    """Teaching a value overwrote what the weights held in its place; what still stands waits again."""
    displaced = sa.select(FactRow).where(displaced_by(newer), FactRow.adapter_id.is_not(None))
    for row in tx.scalars(displaced).all():
        if row.id not in taught:
            reopen(tx, row, batch_id)
    tx.flush()


def reopen(tx: Transaction, row: FactRow, batch_id: str) -> None:
    """The weights no longer hold a fact since this batch; where it still stands it waits again."""
    if row.adapter_id is None:
        return
    moved = tx.get(BatchFactRow, (batch_id, row.id))
    if moved is None:
        moved = member(batch_id, row, Role.OVERRIDE, position=0)
        tx.add(moved)
    moved.previous_adapter_id = row.adapter_id
    row.adapter_id = None
    if row.status is FactStatus.LEARNED:
        row.status = FactStatus.PENDING
        ledger.append(tx, "fact.reopened", row.id, row.commitment)


def _forget_overrides(tx: Transaction, batch_id: str) -> None:
    """An adapter that is promoted a second time overrides the same again: where that was may be new."""
    tx.execute(
        sa.delete(BatchFactRow).where(BatchFactRow.batch_id == batch_id, BatchFactRow.role == Role.OVERRIDE)
    )


def unlearn(tx: Transaction, undone: Sequence[AdapterRow], becomes: FactStatus) -> None:
    """Put every fact back to where it was in the weights before; those that are in none then become this."""
    batches = [adapter.batch_id for adapter in undone if adapter.batch_id is not None]
    for batch_id in batches:
        _put_places_back(tx, batch_id)
    for batch_id in batches:
        _take_out(tx, batch_id, becomes)


def _put_places_back(tx: Transaction, batch_id: str) -> None:
    for role in _MOVED:
        for row in members(tx, batch_id, role):
            row.adapter_id = membership(tx, batch_id, row).previous_adapter_id
            if role in (Role.OVERRIDE, Role.LOST) and row.status is FactStatus.PENDING:
                row.status = resting_status(row)
    tx.flush()


def _take_out(tx: Transaction, batch_id: str, becomes: FactStatus) -> None:
    for row in members(tx, batch_id, Role.FACT):
        if row.adapter_id is not None:
            continue
        if becomes is FactStatus.HELD:
            hold(tx, row)
        elif row.status in ENDED:
            continue
        elif becomes is FactStatus.RETRACTED:
            retract(tx, row, now())
        elif row.status not in (FactStatus.QUARANTINED, FactStatus.HELD):
            # A rebuild that runs has taken what the weights held.
            row.status = FactStatus.CLAIMED if _is_being_taught(tx, row) else becomes


def _is_being_taught(tx: Transaction, row: FactRow) -> bool:
    running = (
        sa.select(BatchRow.id)
        .join(BatchFactRow, BatchFactRow.batch_id == BatchRow.id)
        .where(BatchFactRow.fact_id == row.id, BatchFactRow.role == Role.FACT, is_claimed)
    )
    return tx.scalar(running.limit(1)) is not None


def hold(tx: Transaction, row: FactRow) -> None:
    """Keep a fact out of edits; one that is superseded from when it stands again on."""
    if row.is_held or row.quarantine_reason is not None or row.status is FactStatus.RETRACTED:
        return
    row.is_held = True
    if row.status is not FactStatus.SUPERSEDED:
        row.status = FactStatus.HELD
    ledger.append(tx, "fact.held", row.id, row.commitment)


def membership(tx: Transaction, batch_id: str, row: FactRow) -> BatchFactRow:
    return tx.get_one(BatchFactRow, (batch_id, row.id))


def member(batch_id: str, row: FactRow, role: Role, *, position: int) -> BatchFactRow:
    return BatchFactRow(
        batch_id=batch_id, fact_id=row.id, position=position, role=role, commitment=row.commitment
    )


def candidates_of(tx: Transaction, batch_id: str) -> Sequence[AdapterRow]:
    of_batch = sa.select(AdapterRow).where(
        AdapterRow.batch_id == batch_id, AdapterRow.status == AdapterStatus.CANDIDATE
    )
    return tx.scalars(of_batch).all()


def reject_one(tx: Transaction, candidate: AdapterRow, verdict: Verdict) -> None:
    candidate.status, candidate.verdict = AdapterStatus.REJECTED, verdict
    tx.flush()
    ledger.append(tx, "adapter.rejected", candidate.id, ledger.commit_verdict(candidate))
