"""How facts move into the weights of a tenant's adapters and out again: claim, fail, promote, reject, revert.

A fact's adapter_id says whose weights hold its value, whatever became of the fact since. Each batch notes
where its facts were before, so that a revert can put every one of them back.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from memory import ledger
from memory.clocks import still_holds
from memory.errors import CannotRevert, StaleParent, WrongState
from memory.records import (
    SENSITIVE,
    STATEMENT,
    Adapter,
    AdapterStatus,
    Batch,
    BatchStatus,
    Cardinality,
    FactStatus,
    Verdict,
    now,
)
from memory.slots import displaced_by, fact_records, is_displaced, resting_status, retract
from memory.tables import (
    ENDED,
    UNLEARNED,
    AdapterRow,
    BatchFactRow,
    BatchRow,
    FactRow,
    Role,
)
from memory.text import new_id
from memory.transaction import Transaction

ABANDONED = Verdict(promote=False, reasons=("its cycle ended before it was judged",))
FORGOTTEN = Verdict(promote=False, reasons=("a fact of its batch was forgotten",))
OUTDONE = Verdict(promote=False, reasons=("another candidate of its batch was promoted",))
_TAUGHT = (Role.FACT, Role.REMOVAL, Role.OVERRIDE)


def keep_out(tx: Transaction, sensitive: Collection[str]) -> None:
    """Quarantine what waits for an edit and is of one of these relations, however it came to wait."""
    waits = sa.select(FactRow).where(FactRow.status == FactStatus.PENDING, FactRow.relation.in_(sensitive))
    for row in tx.scalars(waits).all() if sensitive else ():
        _keep_out(tx, row, SENSITIVE)
    tx.flush()


def claim(tx: Transaction, limit: int) -> BatchRow | None:
    """Make a batch of the oldest removals and pending facts, at most `limit` together."""
    removals = [row for row in negated(tx) if row.quarantine_reason is None][:limit]
    # A statement fits no slot: no question could tell whether it was learned.
    is_pending = sa.and_(FactRow.status == FactStatus.PENDING, FactRow.relation != STATEMENT)
    is_valid = still_holds(now())
    oldest = sa.select(FactRow).where(is_pending, is_valid).order_by(FactRow.number)
    facts = tx.scalars(oldest.limit(limit - len(removals))).all()
    if not facts and not removals:
        return None
    batch = BatchRow(
        id=new_id("b"),
        tenant=tx.tenant,
        status=BatchStatus.CLAIMED,
        created_at=now(),
        salt=secrets.token_hex(16),
    )
    tx.add(batch)
    tx.flush()
    for fact in facts:
        fact.status, fact.batch_id = FactStatus.CLAIMED, batch.id
    taken = [*((row, Role.FACT) for row in facts), *((row, Role.REMOVAL) for row in removals)]
    for position, (row, role) in enumerate(taken):
        tx.add(_member(batch.id, row, role, position=position))
    tx.flush()
    ledger.append(tx, "batch.claimed", batch.id, ledger.commit_batch(tx, batch))
    return batch


def negated(tx: Transaction) -> list[FactRow]:
    """Retracted facts that weights still hold, less those whose place a current value takes anyway."""
    unsaid = sa.select(FactRow).where(FactRow.status == FactStatus.RETRACTED, FactRow.adapter_id.is_not(None))
    rows = tx.scalars(unsaid.order_by(FactRow.number)).all()
    return [row for row in rows if not is_displaced(tx, row)]


def contradicting(tx: Transaction, fact_ids: Sequence[str]) -> frozenset[str]:
    """Of these facts, those that override what the weights hold of their slot."""
    # By their numbers, and these without the session's word for the tenant, which comes below: a query that
    # has both ids and tenant makes SQLite read all of the tenant's facts.
    numbers = tx.connection().scalars(sa.select(FactRow.number).where(FactRow.id.in_(fact_ids))).all()
    held = aliased(FactRow)
    holds_another = sa.exists().where(
        held.tenant == FactRow.tenant,
        held.subject_key == FactRow.subject_key,
        held.relation == FactRow.relation,
        held.value_key != FactRow.value_key,
        held.adapter_id.is_not(None),
    )
    is_past = FactRow.status == FactStatus.RETRACTED
    overrides = sa.select(FactRow.id).where(
        FactRow.number.in_(numbers),
        FactRow.status.in_((FactStatus.RETRACTED, *UNLEARNED)),
        sa.or_(
            sa.and_(is_past, FactRow.adapter_id.is_not(None)),
            sa.and_(~is_past, FactRow.cardinality == Cardinality.ONE, holds_another),
        ),
    )
    return frozenset(tx.scalars(overrides))


def fail_abandoned(tx: Transaction) -> None:
    """Give back what a dead cycle had claimed: whoever holds the lease is the only cycle there is."""
    left = sa.select(BatchRow).where(BatchRow.status == BatchStatus.CLAIMED)
    for batch in tx.scalars(left.order_by(BatchRow.number)).all():
        fail(tx, batch, count_attempt=False, quarantine_after=0, verdict=ABANDONED)


def fail(
    tx: Transaction, batch: BatchRow, *, count_attempt: bool, quarantine_after: int, verdict: Verdict
) -> None:
    """Give a batch's facts back, quarantine those that failed too often, and reject its candidates."""
    if batch.status is not BatchStatus.CLAIMED:
        raise WrongState(f"batch {batch.id} is {batch.status}: only a claimed one can fail")
    batch.status = BatchStatus.FAILED
    ledger.append(tx, "batch.failed", batch.id, ledger.commit_batch(tx, batch))
    for fact in [*members(tx, batch.id, Role.FACT), *members(tx, batch.id, Role.REMOVAL)]:
        if fact.status is FactStatus.CLAIMED:
            fact.status = resting_status(fact)
        if fact.batch_id == batch.id:
            fact.batch_id = None
        fact.attempts += count_attempt
        if count_attempt and fact.attempts >= quarantine_after:
            _keep_out(tx, fact, f"its batch failed {fact.attempts} times")
    for candidate in _candidates_of(tx, batch.id):
        _reject(tx, candidate, verdict)


def quarantine(tx: Transaction, fact: FactRow, reason: str) -> None:
    """Keep a fact out of edits, and out of the batch that is being edited."""
    is_removal = fact.status is FactStatus.RETRACTED and fact.adapter_id is not None
    if fact.status not in UNLEARNED and not is_removal:
        raise WrongState(
            f"fact {fact.id} is {fact.status}: only one that waits for an edit can be quarantined"
        )
    _keep_out(tx, fact, reason)
    running = (
        sa.select(BatchFactRow)
        .join(BatchRow, BatchRow.id == BatchFactRow.batch_id)
        .where(BatchFactRow.fact_id == fact.id, BatchRow.status == BatchStatus.CLAIMED)
    )
    for member in tx.scalars(running):
        member.role = Role.SET_ASIDE
    fact.batch_id = None if fact.status is FactStatus.QUARANTINED else fact.batch_id


def release(tx: Transaction, fact: FactRow) -> None:
    is_removal = fact.status is FactStatus.RETRACTED and fact.quarantine_reason is not None
    if fact.status not in (FactStatus.HELD, FactStatus.QUARANTINED) and not is_removal:
        raise WrongState(f"fact {fact.id} is {fact.status}: only a held or quarantined one can be released")
    if not is_removal:
        fact.status = resting_status(fact)
    fact.attempts, fact.quarantine_reason = 0, None
    ledger.append(tx, "fact.released", fact.id, fact.commitment)


def create(tx: Transaction, adapter: Adapter) -> AdapterRow:
    """Write a candidate down. A retry that made the same adapter again (ids are hashes) takes its place."""
    row = tx.scalars(sa.select(AdapterRow).where(AdapterRow.id == adapter.id)).one_or_none()
    if row is None:
        row = AdapterRow(id=adapter.id, tenant=tx.tenant, salt=secrets.token_hex(16))
        tx.add(row)
    elif row.status in (AdapterStatus.PROMOTED, AdapterStatus.RETIRED, AdapterStatus.FORGOTTEN):
        raise WrongState(f"adapter {adapter.id} exists already and is {row.status}")
    row.parent_id, row.batch_id, row.base_hash = adapter.parent_id, adapter.batch_id, adapter.base_hash
    row.path, row.created_at, row.status = adapter.path, adapter.created_at, AdapterStatus.CANDIDATE
    row.scores, row.parent_scores, row.verdict = adapter.scores, adapter.parent_scores, None
    tx.flush()
    ledger.append(tx, "adapter.created", row.id, ledger.commit_adapter(row))
    if row.scores is not None:
        ledger.append(tx, "adapter.scored", row.id, ledger.commit_scores(row))
    return row


def promote(tx: Transaction, candidate: AdapterRow, verdict: Verdict, lost: Sequence[FactRow] = ()) -> None:
    """Make a candidate the serving adapter, retire its parent, and move its batch into the weights.

    Learned facts that it lost wait again; a revert finds them learned, as they were.
    """
    parent = serving(tx)
    _require_promotable(candidate, parent, verdict)
    if parent is not None:
        parent.status = AdapterStatus.RETIRED
        # The parent leaves the unique index before the candidate enters it.
        tx.flush()
    candidate.status, candidate.promoted_at, candidate.verdict = AdapterStatus.PROMOTED, now(), verdict
    tx.flush()
    ledger.append(tx, "adapter.promoted", candidate.id, ledger.commit_verdict(candidate))
    if candidate.batch_id is not None:
        _learn(tx, candidate.id, candidate.batch_id)
        for row in lost:
            _reopen(tx, row, candidate.batch_id)
        tx.flush()


def reject(tx: Transaction, candidate: AdapterRow, verdict: Verdict, quarantine_after: int) -> None:
    """The parent still serves; the batch's facts wait again, or are quarantined after so many tries."""
    if candidate.status is not AdapterStatus.CANDIDATE:
        raise WrongState(f"adapter {candidate.id} is {candidate.status}: only a candidate can be rejected")
    _reject(tx, candidate, verdict)
    batch = tx.scalars(sa.select(BatchRow).where(BatchRow.id == candidate.batch_id)).one_or_none()
    if batch is not None and batch.status is BatchStatus.CLAIMED:
        fail(tx, batch, count_attempt=True, quarantine_after=quarantine_after, verdict=verdict)


def revert(tx: Transaction, to: AdapterRow | None, *, also_retract: bool) -> tuple[AdapterRow, AdapterRow]:
    """Put an ancestor back. Newest first, each adapter on the way gives its batch back."""
    undone, ancestor = _way_back(tx, to)
    for adapter in undone:
        adapter.status = AdapterStatus.REVERTED
        ledger.append(tx, "adapter.reverted", adapter.id, ledger.commit_adapter(adapter))
        if adapter.batch_id is not None:
            _unlearn(tx, adapter.batch_id, FactStatus.RETRACTED if also_retract else FactStatus.HELD)
    _restore(tx, ancestor)
    return undone[0], ancestor


def holding(tx: Transaction, fact_ids: Sequence[str]) -> list[AdapterRow]:
    """The adapters that were taught one of these facts, and all that were edited from one; oldest first."""
    batches = sa.select(BatchFactRow.batch_id).where(BatchFactRow.fact_id.in_(fact_ids))
    held: dict[str, AdapterRow] = {}
    found = tx.scalars(sa.select(AdapterRow).where(AdapterRow.batch_id.in_(batches))).all()
    while found:
        held |= {row.id: row for row in found}
        children = sa.select(AdapterRow).where(AdapterRow.parent_id.in_([row.id for row in found]))
        found = [row for row in tx.scalars(children) if row.id not in held]
    return sorted(held.values(), key=lambda row: row.number)


def clean_ancestor(tx: Transaction, held: Sequence[AdapterRow]) -> tuple[list[AdapterRow], AdapterRow | None]:
    """What serves and would no longer, newest first, and the last ancestor of it that is not among `held`."""
    ids, undone, adapter = {row.id for row in held}, list[AdapterRow](), serving(tx)
    while adapter is not None and adapter.id in ids:
        undone.append(adapter)
        adapter = tx.scalars(sa.select(AdapterRow).where(AdapterRow.id == adapter.parent_id)).one_or_none()
    return undone, adapter


def forget(tx: Transaction, fact_ids: Sequence[str]) -> None:
    """Retire every version that holds one of these for good; what else they had learned is pending again.

    A batch that one of them is being edited in comes to nothing, also before its adapter has a row.
    """
    held = holding(tx, fact_ids)
    undone, ancestor = clean_ancestor(tx, held)
    touched = sa.or_(
        BatchRow.id.in_([adapter.batch_id for adapter in held]),
        BatchRow.id.in_(sa.select(BatchFactRow.batch_id).where(BatchFactRow.fact_id.in_(fact_ids))),
    )
    running = sa.select(BatchRow).where(BatchRow.status == BatchStatus.CLAIMED, touched)
    for batch in tx.scalars(running).all():
        fail(tx, batch, count_attempt=False, quarantine_after=0, verdict=FORGOTTEN)
    for adapter in undone:
        if adapter.batch_id is not None:
            _unlearn(tx, adapter.batch_id, FactStatus.PENDING)
    for adapter in held:
        adapter.status = AdapterStatus.FORGOTTEN
        ledger.append(tx, "adapter.forgotten", adapter.id, ledger.commit_adapter(adapter))
    tx.flush()
    if undone and ancestor is not None:
        _restore(tx, ancestor)


def _restore(tx: Transaction, ancestor: AdapterRow) -> None:
    # What served leaves the unique index before the ancestor enters it.
    tx.flush()
    ancestor.status = AdapterStatus.PROMOTED
    tx.flush()
    ledger.append(tx, "adapter.restored", ancestor.id, ledger.commit_adapter(ancestor))


def serving(tx: Transaction) -> AdapterRow | None:
    promoted = sa.select(AdapterRow).where(AdapterRow.status == AdapterStatus.PROMOTED)
    return tx.scalars(promoted).one_or_none()


def members(tx: Transaction, batch_id: str, role: Role) -> Sequence[FactRow]:
    with_role = (
        sa.select(FactRow)
        .join(BatchFactRow, BatchFactRow.fact_id == FactRow.id)
        .where(BatchFactRow.batch_id == batch_id, BatchFactRow.role == role)
    )
    return tx.scalars(with_role.order_by(FactRow.number)).all()


def batch_record(tx: Transaction, row: BatchRow) -> Batch:
    """The batch with its facts; its adapter is the one that was promoted, or else the last one tried."""
    tried = sa.select(AdapterRow.id).where(AdapterRow.batch_id == row.id)
    last = tried.order_by(AdapterRow.promoted_at.is_(None), AdapterRow.number.desc()).limit(1)
    return Batch(
        id=row.id,
        status=row.status,
        created_at=row.created_at,
        facts=fact_records(members(tx, row.id, Role.FACT)),
        removals=fact_records(members(tx, row.id, Role.REMOVAL)),
        adapter_id=tx.scalar(last),
    )


def adapter_record(row: AdapterRow) -> Adapter:
    return Adapter(
        id=row.id,
        parent_id=row.parent_id,
        status=row.status,
        base_hash=row.base_hash,
        path=row.path,
        created_at=row.created_at,
        batch_id=row.batch_id,
        promoted_at=row.promoted_at,
        scores=row.scores,
        parent_scores=row.parent_scores,
        verdict=row.verdict,
    )


def _require_promotable(candidate: AdapterRow, parent: AdapterRow | None, verdict: Verdict) -> None:
    if not verdict.promote:
        raise ValueError(f"the verdict on adapter {candidate.id} is not to promote it: {verdict.reasons}")
    if candidate.status not in (AdapterStatus.CANDIDATE, AdapterStatus.REVERTED):
        raise WrongState(
            f"adapter {candidate.id} is {candidate.status}: only candidates and reverted ones can be promoted"
        )
    if (parent.id if parent else None) != candidate.parent_id:
        raise StaleParent(candidate.id, candidate.parent_id, parent.id if parent else None)


def _learn(tx: Transaction, adapter_id: str, batch_id: str) -> None:
    """The weights now hold the batch's facts, no longer its removals nor what stood in their places."""
    facts, removals, overridden = (members(tx, batch_id, role) for role in _TAUGHT)
    _forget_overrides(tx, batch_id)
    for row in [*facts, *removals]:
        _membership(tx, batch_id, row).previous_adapter_id = row.adapter_id
    for row in removals:
        row.adapter_id = None
    for row in facts:
        row.adapter_id, row.batch_id, row.attempts, row.quarantine_reason = adapter_id, batch_id, 0, None
        if row.status not in ENDED:
            row.status = FactStatus.LEARNED
    ids = {row.id for row in facts}
    for row in facts:
        _override(tx, row, batch_id, ids)
    for row in overridden:
        _reopen(tx, row, batch_id)
    batch = tx.scalars(sa.select(BatchRow).where(BatchRow.id == batch_id)).one()
    batch.status = BatchStatus.DONE
    for sibling in _candidates_of(tx, batch_id):
        _reject(tx, sibling, OUTDONE)
    tx.flush()


def _override(tx: Transaction, newer: FactRow, batch_id: str, taught: set[str]) -> None:
    """Teaching a value overwrote what the weights held in its place; what still stands waits again."""
    displaced = sa.select(FactRow).where(displaced_by(newer), FactRow.adapter_id.is_not(None))
    for row in tx.scalars(displaced).all():
        if row.id not in taught:
            _reopen(tx, row, batch_id)
    tx.flush()


def _reopen(tx: Transaction, row: FactRow, batch_id: str) -> None:
    """The weights no longer hold a fact since this batch; where it still stands it waits again."""
    if row.adapter_id is None:
        return
    member = _member(batch_id, row, Role.OVERRIDE, position=0)
    member.previous_adapter_id = row.adapter_id
    tx.add(member)
    row.adapter_id = None
    if row.status is FactStatus.LEARNED:
        row.status = FactStatus.PENDING
        ledger.append(tx, "fact.reopened", row.id, row.commitment)


def _forget_overrides(tx: Transaction, batch_id: str) -> None:
    """An adapter that is promoted a second time overrides the same again: where that was may be new."""
    tx.execute(
        sa.delete(BatchFactRow).where(BatchFactRow.batch_id == batch_id, BatchFactRow.role == Role.OVERRIDE)
    )


def _unlearn(tx: Transaction, batch_id: str, becomes: FactStatus) -> None:
    """Put every fact back to where it was in the weights before the batch; those it taught become this."""
    for role in _TAUGHT:
        for row in members(tx, batch_id, role):
            row.adapter_id = _membership(tx, batch_id, row).previous_adapter_id
            if role is Role.OVERRIDE and row.status is FactStatus.PENDING:
                row.status = resting_status(row)
    tx.flush()
    for row in members(tx, batch_id, Role.FACT):
        if row.status in ENDED or row.adapter_id is not None:
            continue
        if becomes is FactStatus.RETRACTED:
            retract(tx, row, now())
        elif row.status not in (FactStatus.QUARANTINED, FactStatus.HELD):
            row.status = becomes
            if becomes is FactStatus.HELD:
                ledger.append(tx, "fact.held", row.id, row.commitment)


def _way_back(tx: Transaction, to: AdapterRow | None) -> tuple[list[AdapterRow], AdapterRow]:
    """The adapters to undo, newest first, and the ancestor that will serve."""
    adapter = serving(tx)
    if adapter is None:
        raise CannotRevert("nothing serves yet; `ice-agent init` makes the root")
    undone: list[AdapterRow] = []
    start = adapter.id
    while not undone or (to is not None and adapter.id != to.id):
        if adapter.parent_id is None:
            target = f"{to.id} is no ancestor of {start}" if to else f"{start} is the root: it has no parent"
            raise CannotRevert(f"cannot revert: {target} (see `ice-agent adapters`)")
        undone.append(adapter)
        adapter = tx.scalars(sa.select(AdapterRow).where(AdapterRow.id == adapter.parent_id)).one()
    return undone, adapter


def _membership(tx: Transaction, batch_id: str, row: FactRow) -> BatchFactRow:
    return tx.get_one(BatchFactRow, (batch_id, row.id))


def _member(batch_id: str, row: FactRow, role: Role, *, position: int) -> BatchFactRow:
    return BatchFactRow(
        batch_id=batch_id, fact_id=row.id, position=position, role=role, commitment=row.commitment
    )


def _candidates_of(tx: Transaction, batch_id: str) -> Sequence[AdapterRow]:
    of_batch = sa.select(AdapterRow).where(
        AdapterRow.batch_id == batch_id, AdapterRow.status == AdapterStatus.CANDIDATE
    )
    return tx.scalars(of_batch).all()


def _reject(tx: Transaction, candidate: AdapterRow, verdict: Verdict) -> None:
    candidate.status, candidate.verdict = AdapterStatus.REJECTED, verdict
    tx.flush()
    ledger.append(tx, "adapter.rejected", candidate.id, ledger.commit_verdict(candidate))


def _keep_out(tx: Transaction, fact: FactRow, reason: str) -> None:
    """A retracted fact stays retracted: only the edit that would remove it from the weights waits."""
    if fact.status in UNLEARNED:
        fact.status = FactStatus.QUARANTINED
    elif fact.status is not FactStatus.RETRACTED:
        return
    fact.quarantine_reason = reason
    ledger.append(tx, "fact.quarantined", fact.id, ledger.commit_reason(fact))
