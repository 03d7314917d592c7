"""What a candidate means for its slot: a new value, the same again, a newer one, or one taken back.

A slot is (tenant, subject, relation). A functional one keeps one current value; nothing reaches across slots.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time

import sqlalchemy as sa

from memory import ledger
from memory.clocks import still_holds
from memory.records import (
    ERASED,
    STATEMENT,
    BatchStatus,
    CandidateFact,
    Cardinality,
    Fact,
    FactStatus,
    Recorded,
    Utterance,
    now,
)
from memory.tables import (
    MAX_NUMBER,
    BatchRow,
    FactRow,
    MentionRow,
    UtteranceRow,
    is_current,
    is_single,
    is_unlearned,
)
from memory.text import key, new_id
from memory.transaction import BY_NUMBER, Transaction

FACT_FIELDS = tuple(Fact.__dataclass_fields__)
"""What a fact's row and its record both have."""


def record(tx: Transaction, utterance: UtteranceRow, candidate: CandidateFact) -> Recorded:
    """Apply one candidate to its slot."""
    rivals = _rivals(tx, candidate)
    alike = [row for row in rivals if row.value_key == value_key(candidate)]
    if candidate.retracts:
        return _retract_all(tx, utterance, candidate, rivals)
    if candidate.valid_until and _midnight(candidate.valid_until) <= utterance.said_at:
        return _record_past(tx, utterance, candidate, alike)
    if alike:
        return _said_again(tx, utterance, candidate, alike[0])
    return _record_new(tx, utterance, candidate, rivals)


def retract(tx: Transaction, row: FactRow, until: datetime) -> FactRow | None:
    """Take a fact back, and return the one it had superseded if that is valid again."""
    _end(row, FactStatus.RETRACTED, until)
    row.attempts, row.quarantine_reason = 0, None
    tx.flush()
    ledger.append(tx, "fact.retracted", row.id, ledger.commit_end(row))
    return reopen_before(tx, row)


def resting_status(row: FactRow) -> FactStatus:
    """What a current fact is while nobody edits it: learned if the serving weights hold it, else pending."""
    return FactStatus.LEARNED if row.adapter_id else FactStatus.PENDING


def _status_again(tx: Transaction, row: FactRow) -> FactStatus:
    """What a fact that ended is when it stands again: kept out of edits, or in one, if it still is."""
    if row.quarantine_reason is not None:
        return FactStatus.QUARANTINED
    batch = tx.scalar(sa.select(BatchRow.status).where(BatchRow.id == row.batch_id))
    return FactStatus.CLAIMED if batch is BatchStatus.CLAIMED else resting_status(row)


def displaced_by(newer: FactRow) -> sa.ColumnElement[bool]:
    """The facts whose place in the weights teaching `newer` takes: of its slot, or of its value alone."""
    beside = _beside(newer)
    is_only = newer.cardinality is Cardinality.ONE
    return beside if is_only else sa.and_(beside, FactRow.value_key == newer.value_key)


def is_displaced(tx: Transaction, row: FactRow) -> bool:
    """Whether a fact that stands takes the place of this one in the weights."""
    # Two questions, each of an index: a slot may have any number of values.
    stands = sa.select(FactRow.id).where(_beside(row), is_current).limit(1)
    takes_it = (FactRow.value_key == row.value_key, is_single)
    return any(tx.scalar(stands.where(condition)) is not None for condition in takes_it)


def _beside(row: FactRow) -> sa.ColumnElement[bool]:
    return sa.and_(
        FactRow.subject_key == row.subject_key,
        FactRow.relation == row.relation,
        FactRow.id != row.id,
    )


def fact_record(row: FactRow) -> Fact:
    return Fact(**{name: getattr(row, name) for name in FACT_FIELDS})


def read(tx: Transaction, wanted: sa.Select[FactRow], *, numbered: bool = False) -> dict[int, Fact]:
    """The facts that a query finds, by their numbers and in its order.

    Not one row of them enters the session, which takes as long as the query itself. Say so when it is
    `numbered`: asks for rows of given numbers.
    """
    columns = wanted.with_only_columns(FactRow.number, *(getattr(FactRow, name) for name in FACT_FIELDS))
    found = tx.execute(columns, execution_options=BY_NUMBER if numbered else {})
    return {number: Fact(**dict(zip(FACT_FIELDS, values, strict=True))) for number, *values in found}


def utterance_record(row: UtteranceRow) -> Utterance:
    return Utterance(
        id=row.id,
        text=row.text,
        said_at=row.said_at,
        speaker=row.speaker,
        source=row.source,
        details=row.details,
    )


def fact_records(rows: Iterable[FactRow]) -> tuple[Fact, ...]:
    return tuple(fact_record(row) for row in rows)


def _rivals(tx: Transaction, candidate: CandidateFact) -> Sequence[FactRow]:
    """What stands and the candidate may end: all in its slot, or no more than its own value.

    Statements share one slot, so "whatever it holds" never means them.
    """
    wanted = sa.select(FactRow).where(
        FactRow.subject_key.in_(subject_keys(candidate)),
        FactRow.relation == candidate.relation,
        is_current,
    )
    is_only = _cardinality(candidate) is Cardinality.ONE
    means_all = candidate.relation != STATEMENT and not candidate.object if candidate.retracts else is_only
    if not means_all:
        wanted = wanted.where(FactRow.value_key == value_key(candidate))
    return tx.scalars(wanted.order_by(FactRow.number)).all()


def _retract_all(
    tx: Transaction, utterance: UtteranceRow, candidate: CandidateFact, rows: Sequence[FactRow]
) -> Recorded:
    """Who took a fact back, and in which words, is kept with it: they go when it is forgotten."""
    for row in rows:
        _mention(tx, utterance, candidate, row)
    until = _moment(candidate.valid_until, utterance)
    reopened = [retract(tx, row, until) for row in rows]
    return Recorded(
        fact=None,
        is_new=False,
        retracted=fact_records(rows),
        reopened=fact_records(row for row in reopened if row is not None),
    )


def _said_again(tx: Transaction, utterance: UtteranceRow, candidate: CandidateFact, row: FactRow) -> Recorded:
    """The same value is one row, with the evidence of every time that it was said."""
    _mention(tx, utterance, candidate, row)
    row.confidence = max(row.confidence, candidate.confidence)
    return Recorded(fact=fact_record(row), is_new=False)


def _mention(tx: Transaction, utterance: UtteranceRow, candidate: CandidateFact, row: FactRow) -> None:
    mention = MentionRow(
        tenant=tx.tenant,
        fact_id=row.id,
        utterance_id=utterance.id,
        start=candidate.start,
        end=candidate.end,
    )
    tx.add(mention)
    ledger.append(tx, "fact.mentioned", row.id, ledger.commit_mention(mention, utterance))


def _record_past(
    tx: Transaction, utterance: UtteranceRow, candidate: CandidateFact, alike: Sequence[FactRow]
) -> Recorded:
    """ "Until 2010": ends the value if it still stood, and else goes straight into history."""
    until = _moment(candidate.valid_until, utterance)
    if alike:
        return _retract_all(tx, utterance, candidate, alike)
    row = _new_row(utterance, candidate, supersedes_id=None)
    row.valid_from = min(row.valid_from, until)
    _end(row, FactStatus.SUPERSEDED, until)
    _add(tx, row)
    ledger.append(tx, "fact.superseded", row.id, ledger.commit_end(row))
    return Recorded(fact=fact_record(row), is_new=True)


def _record_new(
    tx: Transaction, utterance: UtteranceRow, candidate: CandidateFact, displaced: Sequence[FactRow]
) -> Recorded:
    row = _new_row(utterance, candidate, supersedes_id=displaced[-1].id if displaced else None)
    # Weights that were taught a value of "the user's sister" go on saying it when they are taught one of
    # Anna: it is not only superseded, it has to be unlearned.
    of_another_name = [o for o in displaced if o.subject_key != row.subject_key and o.adapter_id]
    superseded = [older for older in displaced if older not in of_another_name]
    for older in displaced:
        ending = FactStatus.RETRACTED if older in of_another_name else FactStatus.SUPERSEDED
        _end(older, ending, row.valid_from)
    # The older value leaves the unique index before the newer one enters it.
    tx.flush()
    _add(tx, row)
    for older in displaced:
        ledger.append(tx, f"fact.{older.status}", older.id, ledger.commit_end(older))
    return Recorded(
        fact=fact_record(row),
        is_new=True,
        superseded=fact_records(superseded),
        retracted=fact_records(of_another_name),
    )


def _new_row(utterance: UtteranceRow, candidate: CandidateFact, *, supersedes_id: str | None) -> FactRow:
    return FactRow(
        id=new_id("f"),
        tenant=utterance.tenant,
        subject=candidate.subject,
        relation=candidate.relation,
        object=candidate.object,
        statement=candidate.statement,
        subject_key=key(candidate.subject),
        value_key=value_key(candidate),
        cardinality=_cardinality(candidate),
        status=FactStatus.PENDING,
        recorded_at=now(),
        valid_from=_moment(candidate.valid_from, utterance),
        valid_until=_midnight(candidate.valid_until) if candidate.valid_until else None,
        stated_until=_midnight(candidate.valid_until) if candidate.valid_until else None,
        utterance_id=utterance.id,
        start=candidate.start,
        end=candidate.end,
        supersedes_id=supersedes_id,
        attempts=0,
        confidence=candidate.confidence,
        source=utterance.source,
        salt=secrets.token_hex(16),
    )


def _add(tx: Transaction, row: FactRow) -> None:
    row.commitment = ledger.commit_fact(row)
    tx.add(row)
    tx.flush()
    ledger.append(tx, "fact.recorded", row.id, row.commitment)


def _end(row: FactRow, status: FactStatus, until: datetime) -> None:
    stated = row.stated_until or until
    row.status, row.ended_at = status, now()
    row.valid_until = max(row.valid_from, min(stated, until))


def reopen_before(tx: Transaction, row: FactRow) -> FactRow | None:
    """Put the value back that `row` had superseded, unless its own end has passed or its place is taken."""
    if row.supersedes_id is None:
        return None
    before = tx.scalars(sa.select(FactRow).where(FactRow.id == row.supersedes_id)).one()
    is_over = before.stated_until is not None and before.stated_until <= now()
    if before.status is not FactStatus.SUPERSEDED or is_over or is_displaced(tx, before):
        return None
    before.status = _status_again(tx, before)
    before.valid_until, before.ended_at = before.stated_until, None
    tx.flush()
    ledger.append(tx, "fact.reopened", before.id, before.commitment)
    return before


def newest_unlearned(tx: Transaction, limit: int) -> Sequence[int]:
    """The numbers of what only the prompt can serve, newest first.

    A range of tenant and number together, past the session and its own condition: with a tenant that is equal
    to something PostgreSQL walks back through everybody's facts until it has met enough of the tenant's.
    """
    both = sa.tuple_(FactRow.tenant, FactRow.number)
    newest = (
        sa.select(FactRow.number)
        .where(both >= (tx.tenant, 0), both <= (tx.tenant, MAX_NUMBER), is_unlearned)
        .where(still_holds(now()))
        .order_by(FactRow.tenant.desc(), FactRow.number.desc())
        .limit(limit)
    )
    return tx.connection().scalars(newest).all()


def history(tx: Transaction, row: FactRow) -> tuple[Fact, ...]:
    """A fact with all that it superseded and all that superseded it, oldest first."""
    chain = {row.id: row}
    while row.supersedes_id is not None:
        row = tx.named(FactRow, row.supersedes_id)
        chain[row.id] = row
    newer = list(chain)
    while newer:
        later = tx.scalars(sa.select(FactRow).where(FactRow.supersedes_id.in_(newer))).all()
        newer = [each.id for each in later if each.id not in chain]
        chain |= {each.id: each for each in later}
    return fact_records(sorted(chain.values(), key=lambda each: each.number))


def told_of(tx: Transaction, candidate: CandidateFact) -> Sequence[FactRow]:
    """Every fact of the candidate's slot, standing or ended; of its value alone where it names one."""
    in_slot = sa.select(FactRow).where(
        FactRow.subject_key.in_(subject_keys(candidate)), FactRow.relation == candidate.relation
    )
    if candidate.object or candidate.relation == STATEMENT:
        in_slot = in_slot.where(FactRow.value_key == value_key(candidate))
    return tx.scalars(in_slot.order_by(FactRow.number)).all()


def subject_keys(candidate: CandidateFact) -> list[str]:
    """What its subject is compared by: its name, and what else it goes by."""
    return [key(name) for name in (candidate.subject, *candidate.aliases)]


def erase_words(tx: Transaction, row: UtteranceRow) -> None:
    """Keep that something was said, and not what."""
    row.text, row.details, row.salt = ERASED, {}, secrets.token_hex(16)
    ledger.append(tx, "utterance.erased", row.id, ledger.commit_utterance(row))


def value_key(candidate: CandidateFact) -> str:
    return key(candidate.statement if candidate.relation == STATEMENT else candidate.object)


def _cardinality(candidate: CandidateFact) -> Cardinality:
    # A statement fits no slot, so it has no older value to take the place of.
    return Cardinality.MANY if candidate.relation == STATEMENT else candidate.cardinality


def _moment(day: date | None, utterance: UtteranceRow) -> datetime:
    return _midnight(day) if day else utterance.said_at


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
