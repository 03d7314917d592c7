"""How facts move into the weights of a tenant's adapters and out again: claim, fail, promote, reject, revert.

A fact's adapter_id says whose weights hold its value, whatever became of the fact since. Each batch notes
where its facts were before, so that a revert can put every one of them back.

An adapter takes the place of its parent. Only a rebuild branches off at a root: its batch names the adapter
that it replaces, which is what a revert of it puts back.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from memory import leases, ledger
from memory.clocks import holds
from memory.errors import CannotRevert, StaleParent, WrongState
from memory.places import (
    candidates_of,
    learn,
    member,
    members,
    membership,
    reject_one,
    reopen,
    serving,
    unlearn,
)
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
from memory.slots import fact_records, is_denied, resting_status
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

DEADLY = Verdict(promote=False, reasons=("every cycle that took up its batch died before it was judged",))
FATAL = "every cycle that was to learn it died: it stays in the prompt (try again with `ice-agent release`)"
ABANDONED = Verdict(promote=False, reasons=("its cycle ended before it was judged",))
FORGOTTEN = Verdict(promote=False, reasons=("a fact of its batch was forgotten",))
COLLECTED = (
    "its files were collected to save space; `ice-agent replay --restore` makes it again, "
    "`ice-agent rebuild` a new one of what is known now"
)


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
    oldest = sa.select(FactRow).where(is_pending, holds(now())).order_by(FactRow.number)
    facts = tx.scalars(oldest.limit(limit - len(removals))).all()
    return _batch(tx, facts, removals, replaces_id=None) if facts or removals else None


def claim_all(tx: Transaction, sensitive: Collection[str]) -> BatchRow | None:
    """Make a batch of all that weights should know, to replace what serves; what they know is not waiting.

    A rebuild that died is gone on with, if it was of the very same facts.
    """
    should_know = sa.select(FactRow).where(
        FactRow.status.in_((FactStatus.LEARNED, FactStatus.CLAIMED, FactStatus.PENDING)),
        FactRow.relation.not_in((STATEMENT, *sensitive)),
        holds(now()),
    )
    facts = tx.scalars(should_know.order_by(FactRow.number)).all()
    serves = serving(tx)
    left = sa.select(BatchRow).where(BatchRow.status == BatchStatus.CLAIMED)
    for batch in tx.scalars(left).all():
        if serves and batch.replaces_id == serves.id and members(tx, batch.id, Role.FACT) == facts:
            return batch
    fail_abandoned(tx)
    tx.flush()
    return _batch(tx, facts, (), replaces_id=serves.id) if facts and serves else None


def _batch(
    tx: Transaction, facts: Sequence[FactRow], removals: Sequence[FactRow], *, replaces_id: str | None
) -> BatchRow:
    batch = BatchRow(
        id=new_id("b"),
        tenant=tx.tenant,
        status=BatchStatus.CLAIMED,
        created_at=now(),
        salt=secrets.token_hex(16),
        replaces_id=replaces_id,
    )
    tx.add(batch)
    tx.flush()
    for fact in facts:
        if fact.status is FactStatus.PENDING:
            fact.status, fact.batch_id = FactStatus.CLAIMED, batch.id
    taken = [*((row, Role.FACT) for row in facts), *((row, Role.REMOVAL) for row in removals)]
    for position, (row, role) in enumerate(taken):
        tx.add(member(batch.id, row, role, position=position))
    tx.flush()
    ledger.append(tx, "batch.claimed", batch.id, ledger.commit_batch(tx, batch))
    return batch


def negated(tx: Transaction) -> list[FactRow]:
    """Retracted facts that weights still hold, less those that a value which holds now denies anyway."""
    unsaid = sa.select(FactRow).where(
        FactRow.status == FactStatus.RETRACTED, FactRow.adapter_id.is_not(None), FactRow.valid_until <= now()
    )
    rows = tx.scalars(unsaid.order_by(FactRow.number)).all()
    return [row for row in rows if not is_denied(tx, row)]


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
        FactRow.status.in_((*ENDED, *UNLEARNED)),
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


def resume(tx: Transaction, sensitive: Collection[str], times: int) -> BatchRow | None:
    """The batch that a dead cycle left, to go on with, if all that it claimed still waits as it did.

    Of one that was gone on with so many `times`, and killed each time what worked on it, half is put back; a
    single fact that does so is quarantined.
    """
    left = sa.select(BatchRow).where(BatchRow.status == BatchStatus.CLAIMED).order_by(BatchRow.number)
    batch = tx.scalars(left.limit(1)).one_or_none()
    if batch is None or batch.replaces_id is not None or not _still_waits(tx, batch, sensitive):
        return None
    is_measured = any(candidate.scores is not None for candidate in candidates_of(tx, batch.id))
    if not is_measured and batch.resumed >= times and not _halved(tx, batch):
        return None
    batch.resumed += not is_measured
    return batch


def _halved(tx: Transaction, batch: BatchRow) -> bool:
    """Leave the first half of a batch in it, so that it is found what kills; False when nothing is left."""
    facts = [*members(tx, batch.id, Role.REMOVAL), *members(tx, batch.id, Role.FACT)]
    for candidate in candidates_of(tx, batch.id):
        reject_one(tx, candidate, DEADLY)
    if len(facts) == 1:
        quarantine(tx, facts[0], FATAL)
        fail(tx, batch, count_attempt=False, quarantine_after=0, verdict=DEADLY)
        return False
    for fact in facts[len(facts) // 2 :]:
        put_back(tx, batch.id, fact)
    return True


def _still_waits(tx: Transaction, batch: BatchRow, sensitive: Collection[str]) -> bool:
    facts, removals = members(tx, batch.id, Role.FACT), members(tx, batch.id, Role.REMOVAL)
    moment = now()
    wait = all(
        row.status is FactStatus.CLAIMED
        and row.relation not in sensitive
        and (row.valid_until is None or row.valid_until > moment)
        for row in facts
    )
    still_taken_back = {row.id for row in negated(tx)} if removals else set[str]()
    return wait and all(row.id in still_taken_back for row in removals) and bool(facts or removals)


def refuse(tx: Transaction, candidate: AdapterRow, verdict: Verdict) -> None:
    """This candidate will not serve; its batch goes on with another. To refuse it again changes nothing."""
    if candidate.status is AdapterStatus.REJECTED:
        return
    if candidate.status is not AdapterStatus.CANDIDATE:
        raise WrongState(f"adapter {candidate.id} is {candidate.status}: only a candidate can be rejected")
    reject_one(tx, candidate, verdict)


def put_back(tx: Transaction, batch_id: str, fact: FactRow) -> None:
    """Take a fact out of the batch that is being edited: it waits for the next one."""
    member = membership(tx, batch_id, fact)
    if member.role not in (Role.FACT, Role.REMOVAL):
        raise WrongState(f"fact {fact.id} is in batch {batch_id} as {member.role}: only what it edits waits")
    member.role = Role.PUT_BACK
    if fact.status is FactStatus.CLAIMED:
        fact.status = resting_status(fact)
    fact.batch_id = None


def fail(
    tx: Transaction, batch: BatchRow, *, count_attempt: bool, quarantine_after: int, verdict: Verdict
) -> None:
    """Give a batch's facts back, quarantine those that failed too often, and reject its candidates."""
    if batch.status is not BatchStatus.CLAIMED:
        raise WrongState(f"batch {batch.id} is {batch.status}: only a claimed one can fail")
    batch.status = BatchStatus.FAILED
    if count_attempt:
        leases.note_end(tx, failed=True)
    ledger.append(tx, "batch.failed", batch.id, ledger.commit_batch(tx, batch))
    for fact in [*members(tx, batch.id, Role.FACT), *members(tx, batch.id, Role.REMOVAL)]:
        if fact.status is FactStatus.CLAIMED:
            fact.status = resting_status(fact)
        if fact.batch_id == batch.id:
            fact.batch_id = None
        fact.attempts += count_attempt
        if count_attempt and fact.attempts >= quarantine_after:
            _keep_out(tx, fact, f"its batch failed {fact.attempts} times")
    for candidate in candidates_of(tx, batch.id):
        reject_one(tx, candidate, verdict)


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
    for taken in tx.scalars(running):
        is_known = taken.role is Role.FACT and fact.adapter_id is not None
        taken.role = Role.LOST if is_known else Role.SET_ASIDE
    fact.batch_id = None if fact.status is FactStatus.QUARANTINED else fact.batch_id


def release(tx: Transaction, fact: FactRow) -> None:
    is_removal = fact.status is FactStatus.RETRACTED and fact.quarantine_reason is not None
    if fact.status not in (FactStatus.HELD, FactStatus.QUARANTINED) and not is_removal:
        raise WrongState(f"fact {fact.id} is {fact.status}: only a held or quarantined one can be released")
    if not is_removal:
        fact.status = resting_status(fact)
    fact.attempts, fact.is_held, fact.quarantine_reason = 0, False, None
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
    row.collected_at = None
    tx.flush()
    ledger.append(tx, "adapter.created", row.id, ledger.commit_adapter(row))
    if row.scores is not None:
        ledger.append(tx, "adapter.scored", row.id, ledger.commit_scores(row))
    return row


def promote(tx: Transaction, candidate: AdapterRow, verdict: Verdict, lost: Sequence[FactRow] = ()) -> None:
    """Make a candidate the serving adapter, retire its parent, and move its batch into the weights.

    Learned facts that it lost wait again; a revert finds them learned, as they were.
    """
    replaces_id = _replaced_by(tx, candidate)
    _require_promotable(candidate, replaces_id or candidate.parent_id, serving(tx), verdict)
    if replaces_id is not None and (root := _root_of(tx, candidate)).status is AdapterStatus.CANDIDATE:
        # A lineage moves to a new base by its root.
        _serve(tx, root, verdict)
    _serve(tx, candidate, verdict)
    if candidate.batch_id is not None:
        for row in lost:
            member = tx.get(BatchFactRow, (candidate.batch_id, row.id))
            if member is not None and row.adapter_id is not None:
                member.role = Role.LOST
        tx.flush()
        learn(tx, candidate.id, candidate.batch_id)
        leases.note_end(tx, failed=False)
        for row in lost:
            reopen(tx, row, candidate.batch_id)
        tx.flush()


def _serve(tx: Transaction, adapter: AdapterRow, verdict: Verdict) -> None:
    if (served := serving(tx)) is not None:
        served.status = AdapterStatus.RETIRED
        # What served leaves the unique index before the other enters it.
        tx.flush()
    adapter.status, adapter.promoted_at, adapter.verdict = AdapterStatus.PROMOTED, now(), verdict
    tx.flush()
    ledger.append(tx, "adapter.promoted", adapter.id, ledger.commit_verdict(adapter))


def _replaced_by(tx: Transaction, candidate: AdapterRow) -> str | None:
    """What a rebuild replaces; any other candidate takes the place of its parent."""
    return tx.scalar(sa.select(BatchRow.replaces_id).where(BatchRow.id == candidate.batch_id))


def _root_of(tx: Transaction, adapter: AdapterRow) -> AdapterRow:
    while adapter.parent_id is not None:
        adapter = tx.scalars(sa.select(AdapterRow).where(AdapterRow.id == adapter.parent_id)).one()
    return adapter


def reject(tx: Transaction, candidate: AdapterRow, verdict: Verdict, quarantine_after: int) -> None:
    """The parent still serves; the batch's facts wait again, or are quarantined after so many tries."""
    refuse(tx, candidate, verdict)
    batch = tx.scalars(sa.select(BatchRow).where(BatchRow.id == candidate.batch_id)).one_or_none()
    if batch is not None and batch.status is BatchStatus.CLAIMED:
        fail(tx, batch, count_attempt=True, quarantine_after=quarantine_after, verdict=verdict)


def revert(tx: Transaction, to: AdapterRow | None, *, also_retract: bool) -> tuple[AdapterRow, AdapterRow]:
    """Put an ancestor back. Newest first, each adapter on the way gives its batch back."""
    undone, ancestor = _undone(tx, to)
    for adapter in undone:
        if adapter.status is not AdapterStatus.FORGOTTEN:
            adapter.status = AdapterStatus.REVERTED
            ledger.append(tx, "adapter.reverted", adapter.id, ledger.commit_adapter(adapter))
    unlearn(tx, undone, FactStatus.RETRACTED if also_retract else FactStatus.HELD)
    _restore(tx, ancestor)
    return undone[0], ancestor


def holding(tx: Transaction, fact_ids: Sequence[str]) -> list[AdapterRow]:
    """The adapters that were taught one of these facts, and all that were edited from one; oldest first."""
    # A rebuild was never taught what it left out.
    batches = sa.select(BatchFactRow.batch_id).where(
        BatchFactRow.fact_id.in_(fact_ids), BatchFactRow.role != Role.OVERRIDE
    )
    held: dict[str, AdapterRow] = {}
    found = tx.scalars(sa.select(AdapterRow).where(AdapterRow.batch_id.in_(batches))).all()
    while found:
        held |= {row.id: row for row in found}
        children = sa.select(AdapterRow).where(AdapterRow.parent_id.in_([row.id for row in found]))
        found = [row for row in tx.scalars(children) if row.id not in held]
    return sorted(held.values(), key=lambda row: row.number)


def clean_ancestor(tx: Transaction, held: Sequence[AdapterRow]) -> tuple[list[AdapterRow], AdapterRow | None]:
    """What serves and would no longer, newest first, and the last before it that is not among `held`."""
    ids, undone, way = {row.id for row in held}, list[AdapterRow](), way_back(tx)
    for adapter in way:
        # What a rebuild replaced may have been forgotten before, its files collected, its base another.
        fits = adapter.base_hash == way[0].base_hash and not _gone(adapter)
        if adapter.id not in ids and fits:
            return undone, adapter
        undone.append(adapter)
    return undone, ancestry(tx)[-1] if way else None


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
    unlearn(tx, undone, FactStatus.PENDING)
    for adapter in held:
        adapter.status = AdapterStatus.FORGOTTEN
        ledger.append(tx, "adapter.forgotten", adapter.id, ledger.commit_adapter(adapter))
    tx.flush()
    if undone and ancestor is not None:
        _restore(tx, ancestor)


def _restore(tx: Transaction, ancestor: AdapterRow) -> None:
    # What served leaves the unique index before the ancestor enters it.
    tx.flush()
    ancestor.status, ancestor.promoted_at = AdapterStatus.PROMOTED, now()
    tx.flush()
    ledger.append(tx, "adapter.restored", ancestor.id, ledger.commit_adapter(ancestor))


def collect(tx: Transaction, adapter: AdapterRow) -> None:
    """Its files go, its row stays."""
    if adapter.status in (AdapterStatus.PROMOTED, AdapterStatus.CANDIDATE) or adapter.parent_id is None:
        raise WrongState(f"adapter {adapter.id} is needed: only what serves no longer is collected")
    adapter.collected_at = now()
    ledger.append(tx, "adapter.collected", adapter.id, ledger.commit_adapter(adapter))


def bring_back(tx: Transaction, adapter: AdapterRow) -> None:
    """Its files are there again."""
    if adapter.collected_at is None or adapter.status is AdapterStatus.FORGOTTEN:
        raise WrongState(f"adapter {adapter.id} was not collected: there is nothing to bring back")
    adapter.collected_at = None
    ledger.append(tx, "adapter.brought_back", adapter.id, ledger.commit_adapter(adapter))


def way_back(tx: Transaction) -> list[AdapterRow]:
    """What serves and what reverts would put back, one after the other, to the first root."""
    return _line(tx, by_parent=False)


def ancestry(tx: Transaction) -> list[AdapterRow]:
    """What serves, its parent, and so on to the root it stands on."""
    return _line(tx, by_parent=True)


def _line(tx: Transaction, *, by_parent: bool) -> list[AdapterRow]:
    found = sa.select(AdapterRow.id, AdapterRow.parent_id, AdapterRow.status, BatchRow.replaces_id)
    steps = tx.execute(found.outerjoin(BatchRow, BatchRow.id == AdapterRow.batch_id)).all()
    before = {
        id_: parent_id if by_parent or replaces_id is None else replaces_id
        for id_, parent_id, _, replaces_id in steps
    }
    ids = [id_ for id_, _, status, _ in steps if status is AdapterStatus.PROMOTED]
    while ids and (next_id := before[ids[-1]]) is not None:
        ids.append(next_id)
    rows = {row.id: row for row in tx.scalars(sa.select(AdapterRow).where(AdapterRow.id.in_(ids)))}
    return [rows[id_] for id_ in ids]


def batch_record(tx: Transaction, row: BatchRow) -> Batch:
    """The batch with its facts; its adapter is the one that was promoted, or else the last one tried."""
    tried = sa.select(AdapterRow.id).where(AdapterRow.batch_id == row.id)
    last = tried.order_by(AdapterRow.promoted_at.is_(None), AdapterRow.number.desc()).limit(1)
    return Batch(
        id=row.id,
        status=row.status,
        created_at=row.created_at,
        facts=(facts := fact_records(members(tx, row.id, Role.FACT))),
        n_forgotten=_n_members(tx, row.id) - len(facts),
        removals=fact_records(members(tx, row.id, Role.REMOVAL)),
        adapter_id=tx.scalar(last),
        replaces_id=row.replaces_id,
    )


def _n_members(tx: Transaction, batch_id: str) -> int:
    """How many facts it was made of, those included that are gone."""
    taught = sa.select(sa.func.count()).where(
        BatchFactRow.batch_id == batch_id, BatchFactRow.role == Role.FACT
    )
    return tx.scalar(taught) or 0


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
        collected_at=row.collected_at,
    )


def _require_promotable(
    candidate: AdapterRow, expected_id: str | None, served: AdapterRow | None, verdict: Verdict
) -> None:
    if not verdict.promote:
        raise ValueError(f"the verdict on adapter {candidate.id} is not to promote it: {verdict.reasons}")
    if candidate.status not in (AdapterStatus.CANDIDATE, AdapterStatus.REVERTED):
        raise WrongState(
            f"adapter {candidate.id} is {candidate.status}: only candidates and reverted ones can be promoted"
        )
    if candidate.collected_at is not None:
        raise WrongState(f"adapter {candidate.id}: {COLLECTED}")
    if (served.id if served else None) != expected_id:
        raise StaleParent(candidate.id, expected_id, served.id if served else None)


def _undone(tx: Transaction, to: AdapterRow | None) -> tuple[list[AdapterRow], AdapterRow]:
    """The adapters to undo, newest first, and the one that will serve."""
    way = way_back(tx)
    if not way:
        raise CannotRevert("nothing serves yet; `ice-agent init` makes the root")
    start, ids = way[0].id, [adapter.id for adapter in way]
    if to is None and len(way) == 1:
        raise CannotRevert(f"cannot revert: {start} is the root: it has no parent (see `ice-agent adapters`)")
    if to is not None and to.id not in ids[1:]:
        raise CannotRevert(f"cannot revert: {to.id} is no ancestor of {start} (see `ice-agent adapters`)")
    steps = 1 if to is None else ids.index(to.id)
    if gone := _gone(way[steps]):
        left = next(adapter.id for adapter in way[steps:] if not _gone(adapter))
        raise CannotRevert(
            f"cannot revert to {ids[steps]}: {gone} (`ice-agent revert --to {left}` goes back further)"
        )
    return way[:steps], way[steps]


def _gone(adapter: AdapterRow) -> str:
    """Why nothing can lead back to an adapter."""
    if adapter.status is AdapterStatus.FORGOTTEN:
        return "it held what was forgotten"
    return COLLECTED if adapter.collected_at is not None else ""


def _keep_out(tx: Transaction, fact: FactRow, reason: str) -> None:
    """A retracted fact stays retracted: only the edit that would remove it from the weights waits."""
    if fact.status in UNLEARNED:
        fact.status = FactStatus.QUARANTINED
    elif fact.status is not FactStatus.RETRACTED:
        return
    fact.is_held, fact.quarantine_reason = False, reason
    ledger.append(tx, "fact.quarantined", fact.id, ledger.commit_reason(fact))
