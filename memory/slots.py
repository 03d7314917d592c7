"""What a candidate means for its slot: a new value, the same again, a newer one, or one taken back.

A slot is (tenant, subject, relation). A functional one keeps one current value; nothing reaches across slots.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Sequence, Set
from datetime import UTC, date, datetime, time
from typing import Final

import sqlalchemy as sa

from memory import ledger
from memory.clocks import holds, is_over
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


_STANDING: Final = sa.select(FactRow.number).where(
    FactRow.tenant == sa.bindparam("tenant"),
    FactRow.subject_key.in_(sa.bindparam("subjects", expanding=True)),
    FactRow.relation == sa.bindparam("relation"),
    is_current,
)
_STANDING_VALUE: Final = _STANDING.where(FactRow.value_key == sa.bindparam("value"))


def record(
    tx: Transaction,
    utterance: UtteranceRow,
    candidate: CandidateFact,
    *,
    is_free: bool = False,
    over: Set[str] = frozenset(),
) -> Recorded:
    """Apply one candidate to its slot; facts that are `over` do not stand again, whatever is taken back.

    Where its place is known to be `is_free` no row is asked about: many at once take a fraction of the time.
    """
    if is_free:
        return _applied(tx, utterance, candidate, (), over)
    standing = rivals(tx, candidate)
    if any(row.valid_until is not None and row.valid_until <= now() for row in standing):
        end_what_is_over(tx)
        standing = rivals(tx, candidate)
    return _applied(tx, utterance, candidate, standing, over)


def _applied(
    tx: Transaction,
    utterance: UtteranceRow,
    candidate: CandidateFact,
    standing: Sequence[FactRow],
    over: Set[str],
) -> Recorded:
    alike = [row for row in standing if row.value_key == value_key(candidate)]
    until = _midnight(candidate.valid_until) if candidate.valid_until else None
    if candidate.retracts and (until is None or until <= utterance.said_at):
        return _retract_all(tx, utterance, candidate, standing, over)
    if candidate.retracts:
        return _said_to_end(tx, utterance, candidate, standing)
    if until and until <= utterance.said_at:
        return _record_past(tx, utterance, candidate, alike, over)
    if alike and until and until <= alike[0].valid_from:
        return _record_past(tx, utterance, candidate, (), over)
    if alike:
        return _said_again(tx, utterance, candidate, alike[0])
    return _record_new(tx, utterance, candidate, standing)


def free(tx: Transaction, candidates: Collection[CandidateFact]) -> list[bool]:
    """Whether nothing takes the place of each candidate: no fact that stands, and none of them before it."""
    subjects = {name for candidate in candidates for name in subject_keys(candidate)}
    relations = {candidate.relation for candidate in candidates}
    wanted = sa.select(FactRow.subject_key, FactRow.relation, FactRow.value_key).where(
        FactRow.subject_key.in_(subjects), FactRow.relation.in_(relations), is_current
    )
    taken = set[tuple[str, ...]]()
    for subject, relation, value in tx.execute(wanted):
        taken |= {(subject, relation), (subject, relation, value)}
    found = list[bool]()
    for candidate in candidates:
        slots = {(name, candidate.relation) for name in subject_keys(candidate)}
        values = {(*slot, value_key(candidate)) for slot in slots}
        found.append(taken.isdisjoint(slots if _cardinality(candidate) is Cardinality.ONE else values))
        taken |= slots | values
    return found


def retract(tx: Transaction, row: FactRow, until: datetime, over: Set[str] = frozenset()) -> FactRow | None:
    """Take a fact back, and return the one it had superseded if that is valid again."""
    _take_back(tx, row, until)
    return reopen_before(tx, row, over)


def _take_back(tx: Transaction, row: FactRow, until: datetime) -> None:
    _end(row, FactStatus.RETRACTED, until)
    row.attempts, row.is_held, row.quarantine_reason = 0, False, None
    tx.flush()
    ledger.append(tx, "fact.retracted", row.id, ledger.commit_end(row))


def _end_with_all_before(tx: Transaction, row: FactRow, until: datetime) -> None:
    """Take a fact back that held until then. What it had superseded ended before, and nothing stands in the
    place of that any more: weights that say it are not to be asked either.
    """
    _take_back(tx, row, until)
    while row.supersedes_id is not None:
        row = tx.scalars(sa.select(FactRow).where(FactRow.id == row.supersedes_id)).one()
        if row.status is FactStatus.SUPERSEDED and not is_displaced(tx, row):
            _take_back(tx, row, row.valid_until or until)


def is_anything_over(tx: Transaction) -> bool:
    return tx.scalar(sa.select(FactRow.id).where(is_over(now())).limit(1)) is not None


def end_what_is_over(tx: Transaction) -> None:
    """A fact whose own end has come is as one that was taken back on that day.

    Whoever looks next does it: who recalls, claims, or tells something of its slot.
    """
    for row in tx.scalars(sa.select(FactRow).where(is_over(now())).order_by(FactRow.number)).all():
        retract(tx, row, row.valid_until or now())


def said_end(tx: Transaction, row: FactRow) -> datetime | None:
    """The end that a fact has by what was said last of it, whatever ended it before or since."""
    said = sa.select(MentionRow.valid_until).where(
        MentionRow.fact_id == row.id, MentionRow.valid_until.is_not(None)
    )
    return tx.scalar(said.order_by(MentionRow.number.desc()).limit(1)) or row.stated_until


def resting_status(row: FactRow) -> FactStatus:
    """What a current fact is while nobody edits it: learned if the serving weights hold it, else pending."""
    return FactStatus.LEARNED if row.adapter_id else FactStatus.PENDING


def _status_again(tx: Transaction, row: FactRow) -> FactStatus:
    """What a fact that ended is when it stands again: kept out of edits, or in one, if it still is."""
    if row.quarantine_reason is not None:
        return FactStatus.QUARANTINED
    if row.is_held:
        return FactStatus.HELD
    batch = tx.scalar(sa.select(BatchRow.status).where(BatchRow.id == row.batch_id))
    return FactStatus.CLAIMED if batch is BatchStatus.CLAIMED else resting_status(row)


def displaced_by(newer: FactRow) -> sa.ColumnElement[bool]:
    """The facts whose place in the weights teaching `newer` takes: of its slot, or of its value alone."""
    beside = _beside(newer)
    is_only = newer.cardinality is Cardinality.ONE
    return beside if is_only else sa.and_(beside, FactRow.value_key == newer.value_key)


def is_displaced(tx: Transaction, row: FactRow) -> bool:
    """Whether a fact that stands takes the place of this one."""
    return _has_beside(tx, row, is_current)


def is_denied(tx: Transaction, row: FactRow) -> bool:
    """The same, of one that holds now: what the weights say of this one is said otherwise."""
    return _has_beside(tx, row, is_current, holds(now()))


def _has_beside(tx: Transaction, row: FactRow, *conditions: sa.ColumnElement[bool]) -> bool:
    # Two questions, each of an index: a slot may have any number of values.
    beside = sa.select(FactRow.id).where(_beside(row), *conditions).limit(1)
    takes_its_place = (FactRow.value_key == row.value_key, is_single)
    return any(tx.scalar(beside.where(condition)) is not None for condition in takes_its_place)


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


def rivals(tx: Transaction, candidate: CandidateFact) -> Sequence[FactRow]:
    """What stands and the candidate may end: all in its slot, or no more than its own value.

    Statements share one slot, so "whatever it holds" never means them.
    """
    is_only = _cardinality(candidate) is Cardinality.ONE
    means_all = candidate.relation != STATEMENT and not candidate.object if candidate.retracts else is_only
    slot = {"subjects": subject_keys(candidate), "relation": candidate.relation}
    if means_all:
        numbers = tx.ask(_STANDING, **slot).scalars().all()
    else:
        numbers = tx.ask(_STANDING_VALUE, **slot, value=value_key(candidate)).scalars().all()
    if not numbers:
        return ()
    rows = sa.select(FactRow).where(FactRow.number.in_(numbers)).order_by(FactRow.number)
    return tx.scalars(rows, execution_options=BY_NUMBER).all()


def _retract_all(
    tx: Transaction,
    utterance: UtteranceRow,
    candidate: CandidateFact,
    rows: Sequence[FactRow],
    over: Set[str],
) -> Recorded:
    """Who took a fact back, and in which words, is kept with it: they go when it is forgotten."""
    for row in rows:
        _mention(tx, utterance, candidate, row)
    until = _moment(candidate.valid_until, utterance)
    reopened = list[FactRow | None]()
    for row in rows:
        # "Until 2010" says as well that it held; what had not begun never did.
        if (candidate.is_over or not candidate.retracts) and row.valid_from <= now():
            _end_with_all_before(tx, row, until)
        else:
            reopened.append(retract(tx, row, until, over))
    return Recorded(
        fact=None,
        is_new=False,
        retracted=fact_records(rows),
        reopened=fact_records(row for row in reopened if row is not None),
    )


def _said_to_end(
    tx: Transaction, utterance: UtteranceRow, candidate: CandidateFact, rows: Sequence[FactRow]
) -> Recorded:
    """ "No longer from 2030": what will be over on a day to come stands until then."""
    told = [_said_again(tx, utterance, candidate, row).fact for row in rows]
    return Recorded(fact=told[-1] if told else None, is_new=False)


def _said_again(tx: Transaction, utterance: UtteranceRow, candidate: CandidateFact, row: FactRow) -> Recorded:
    """The same value is one row, with the evidence of every time that it was said.

    What these words say of when it holds counts from now on. What its own said, which the ledger committed
    to, stays beside it, and what earlier mentions said with them.
    """
    since, until = _said_anew(utterance, candidate, row)
    _mention(tx, utterance, candidate, row, since, until)
    row.confidence = max(row.confidence, candidate.confidence)
    if since or until:
        row.valid_from, row.valid_until = since or row.valid_from, until or row.valid_until
        tx.flush()
        ledger.append(tx, "fact.dated", row.id, ledger.commit_period(row, row.valid_from, row.valid_until))
    if since:
        _end_before(tx, row)
    return Recorded(fact=fact_record(row), is_new=False)


def _said_anew(
    utterance: UtteranceRow, candidate: CandidateFact, row: FactRow
) -> tuple[datetime | None, datetime | None]:
    """The beginning and the end that these words give a fact, where they are not those it has already.

    Neither, where the fact cannot have them: its end would not come after its beginning, or it would begin
    after somebody said that it holds.
    """
    since = _moment(candidate.valid_from, utterance) if candidate.valid_from else row.valid_from
    until = _midnight(candidate.valid_until) if candidate.valid_until else row.valid_until
    if (until is not None and until <= since) or row.valid_from <= utterance.said_at < since:
        return None, None
    return since if since != row.valid_from else None, until if until != row.valid_until else None


def _end_before(tx: Transaction, row: FactRow) -> None:
    """What a fact had superseded ended where it began, also when that is said later."""
    if row.supersedes_id is None:
        return
    before = tx.scalars(sa.select(FactRow).where(FactRow.id == row.supersedes_id)).one()
    if before.status is FactStatus.SUPERSEDED:
        before.valid_until = said_end(tx, before)
        _end(before, FactStatus.SUPERSEDED, row.valid_from)
        tx.flush()
        ledger.append(tx, "fact.superseded", before.id, ledger.commit_end(before))


def _mention(
    tx: Transaction,
    utterance: UtteranceRow,
    candidate: CandidateFact,
    row: FactRow,
    since: datetime | None = None,
    until: datetime | None = None,
) -> None:
    mention = MentionRow(
        tenant=tx.tenant,
        fact_id=row.id,
        utterance_id=utterance.id,
        start=candidate.start,
        end=candidate.end,
        valid_from=since,
        valid_until=until,
        dated_at=now() if since or until else None,
    )
    tx.add(mention)
    ledger.append(tx, "fact.mentioned", row.id, ledger.commit_mention(mention, utterance))


def _record_past(
    tx: Transaction,
    utterance: UtteranceRow,
    candidate: CandidateFact,
    alike: Sequence[FactRow],
    over: Set[str],
) -> Recorded:
    """ "Until 2010": ends the value if it still stood, and else goes straight into history."""
    until = _moment(candidate.valid_until, utterance)
    if alike:
        return _retract_all(tx, utterance, candidate, alike, over)
    row = _new_row(utterance, candidate, supersedes_id=None)
    row.valid_from = row.stated_from = min(row.valid_from, until)
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
    if displaced:
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
        stated_from=_moment(candidate.valid_from, utterance),
        valid_until=_midnight(candidate.valid_until) if candidate.valid_until else None,
        stated_until=_midnight(candidate.valid_until) if candidate.valid_until else None,
        utterance_id=utterance.id,
        start=candidate.start,
        end=candidate.end,
        supersedes_id=supersedes_id,
        is_held=False,
        attempts=0,
        confidence=candidate.confidence,
        source=utterance.source,
        salt=secrets.token_hex(16),
    )


def _add(tx: Transaction, row: FactRow) -> None:
    row.commitment = ledger.commit_fact(row)
    tx.insert(row)
    ledger.append(tx, "fact.recorded", row.id, row.commitment)


def _end(row: FactRow, status: FactStatus, until: datetime) -> None:
    """A fact that stands has the end that was said of it, if any."""
    said = row.valid_until or until
    row.status, row.ended_at = status, now()
    row.valid_until = max(row.valid_from, min(said, until))


def reopen_before(tx: Transaction, row: FactRow, over: Set[str] = frozenset()) -> FactRow | None:
    """Put the value back that `row` had superseded, unless its own end has passed or its place is taken.

    In the place of one that is `over`, the one before it.
    """
    if row.supersedes_id is None:
        return None
    before = tx.scalars(sa.select(FactRow).where(FactRow.id == row.supersedes_id)).one()
    if before.id in over:
        return reopen_before(tx, before, over)
    if before.status is not FactStatus.SUPERSEDED:
        return None
    until = said_end(tx, before)
    if (until is not None and until <= now()) or is_displaced(tx, before):
        return None
    before.status = _status_again(tx, before)
    before.valid_until, before.ended_at = until, None
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
        .where(holds(now()))
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
    """A day that was named, or else when it was said, which is not to come, whatever the speaker's clock."""
    return _midnight(day) if day else min(utterance.said_at, now())


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
