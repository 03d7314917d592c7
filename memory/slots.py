"""What a candidate means for its slot: a new value, the same again, a newer one, or one taken back.

A slot is (tenant, subject, relation). A functional one keeps one current value; nothing reaches across slots.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from memory import ledger
from memory.records import (
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
from memory.tables import BatchRow, FactRow, MentionRow, UtteranceRow
from memory.text import key
from memory.transaction import Transaction

ENDED = (FactStatus.SUPERSEDED, FactStatus.RETRACTED)


def record(tx: Transaction, utterance: UtteranceRow, candidate: CandidateFact) -> Recorded:
    """Apply one candidate to its slot."""
    current = _current(tx, candidate)
    same = next((row for row in current if row.value_key == value_key(candidate)), None)
    if candidate.retracts:
        return _retract_all(tx, utterance, candidate, _meant(candidate, current, same))
    if candidate.valid_until and _midnight(candidate.valid_until) <= utterance.said_at:
        return _record_past(tx, utterance, candidate, same)
    if same is not None:
        return _said_again(tx, utterance, candidate, same)
    return _record_new(tx, utterance, candidate, _displaced(candidate, current))


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


def is_displaced_by(row: FactRow, newer: FactRow) -> bool:
    """Whether teaching `newer` takes the place of `row` in the weights, given that they share a slot."""
    return newer.cardinality is Cardinality.ONE or newer.value_key == row.value_key


def same_slot(row: FactRow) -> sa.ColumnElement[bool]:
    return sa.and_(
        FactRow.subject_key == row.subject_key,
        FactRow.relation == row.relation,
        FactRow.id != row.id,
    )


def stood(as_of: datetime | None, recorded_as_of: datetime | None) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions of the two clocks."""
    if as_of is not None:
        yield FactRow.valid_from <= as_of
    if as_of is not None and recorded_as_of is None:
        yield sa.or_(FactRow.valid_until.is_(None), FactRow.valid_until > as_of)
    if recorded_as_of is not None:
        yield FactRow.recorded_at <= recorded_as_of
        yield _was_held_true(as_of, recorded_as_of)


def fact_record(row: FactRow) -> Fact:
    return Fact(
        id=row.id,
        subject=row.subject,
        relation=row.relation,
        object=row.object,
        statement=row.statement,
        cardinality=row.cardinality,
        status=row.status,
        recorded_at=row.recorded_at,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        utterance_id=row.utterance_id,
        start=row.start,
        end=row.end,
        supersedes_id=row.supersedes_id,
        adapter_id=row.adapter_id,
        batch_id=row.batch_id,
        attempts=row.attempts,
        quarantine_reason=row.quarantine_reason,
        confidence=row.confidence,
        source=row.source,
        commitment=row.commitment,
    )


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


def _current(tx: Transaction, candidate: CandidateFact) -> Sequence[FactRow]:
    in_slot = sa.select(FactRow).where(
        FactRow.subject_key == key(candidate.subject),
        FactRow.relation == candidate.relation,
        FactRow.status.not_in(ENDED),
    )
    return tx.scalars(in_slot.order_by(FactRow.number)).all()


def _meant(candidate: CandidateFact, current: Sequence[FactRow], same: FactRow | None) -> Sequence[FactRow]:
    """The values a retraction means. Statements share one slot, so "whatever it holds" never means them."""
    if candidate.object or candidate.relation == STATEMENT:
        return [same] if same else []
    return current


def _displaced(candidate: CandidateFact, current: Sequence[FactRow]) -> Sequence[FactRow]:
    return current if _cardinality(candidate) is Cardinality.ONE else []


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
    tx: Transaction, utterance: UtteranceRow, candidate: CandidateFact, same: FactRow | None
) -> Recorded:
    """ "Until 2010": ends the value if it still stood, and else goes straight into history."""
    until = _moment(candidate.valid_until, utterance)
    if same is not None:
        return _retract_all(tx, utterance, candidate, [same])
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
    for older in displaced:
        _end(older, FactStatus.SUPERSEDED, row.valid_from)
    # The older value leaves the unique index before the newer one enters it.
    tx.flush()
    _add(tx, row)
    for older in displaced:
        ledger.append(tx, "fact.superseded", older.id, ledger.commit_end(older))
    return Recorded(fact=fact_record(row), is_new=True, superseded=fact_records(displaced))


def _new_row(utterance: UtteranceRow, candidate: CandidateFact, *, supersedes_id: str | None) -> FactRow:
    return FactRow(
        id=f"f_{secrets.token_hex(6)}",
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
    current = tx.scalars(sa.select(FactRow).where(same_slot(before), FactRow.status.not_in(ENDED)))
    is_taken = any(is_displaced_by(before, other) for other in current)
    if before.status is not FactStatus.SUPERSEDED or is_over or is_taken:
        return None
    before.status = _status_again(tx, before)
    before.valid_until, before.ended_at = before.stated_until, None
    tx.flush()
    ledger.append(tx, "fact.reopened", before.id, before.commitment)
    return before


def value_key(candidate: CandidateFact) -> str:
    return key(candidate.statement if candidate.relation == STATEMENT else candidate.object)


def slot_and_value(candidate: CandidateFact) -> tuple[str, str, str]:
    """What a candidate is compared by."""
    return key(candidate.subject), candidate.relation, value_key(candidate)


def _cardinality(candidate: CandidateFact) -> Cardinality:
    # A statement fits no slot, so it has no older value to take the place of.
    return Cardinality.MANY if candidate.relation == STATEMENT else candidate.cardinality


def _moment(day: date | None, utterance: UtteranceRow) -> datetime:
    return _midnight(day) if day else utterance.said_at


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _was_held_true(as_of: datetime | None, recorded_as_of: datetime) -> sa.ColumnElement[bool]:
    """An end that was recorded later was not yet known then; one that was taken back since was known."""
    newer = aliased(FactRow)
    superseding = sa.select(newer.id).where(
        newer.supersedes_id == FactRow.id,
        newer.recorded_at <= recorded_as_of,
        sa.or_(newer.ended_at.is_(None), newer.ended_at > recorded_as_of),
    )
    had_ended = FactRow.ended_at <= recorded_as_of
    had_not = sa.or_(FactRow.ended_at.is_(None), FactRow.ended_at > recorded_as_of)
    if as_of is None:
        return sa.and_(had_not, ~superseding.exists())
    by_its_own_words = sa.or_(FactRow.stated_until.is_(None), FactRow.stated_until > as_of)
    by_another = ~superseding.where(newer.valid_from <= as_of).exists()
    return sa.or_(
        sa.and_(had_ended, FactRow.valid_until > as_of), sa.and_(had_not, by_its_own_words, by_another)
    )
