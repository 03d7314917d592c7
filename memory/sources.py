"""What each source told last, row by row: only what it changed since becomes facts, and never twice.

A row is known by a hash under the tenant's own salt, so that nothing here has its words; but for changes that
wait for a person, which have to be kept as they are.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from memory import forgetting, review, slots, telling
from memory.errors import WrongState
from memory.records import CandidateFact, Cardinality, ProposalStatus, Told, now
from memory.source_records import SourceChange, SourceChanges, SourceFact, SourceState
from memory.tables import (
    FactRow,
    MentionRow,
    ProposalRow,
    SourceChangeRow,
    SourceEntryRow,
    SourceRow,
    TenantRow,
    UtteranceRow,
    is_current,
)
from memory.tenancy import Door
from memory.text import key
from memory.transaction import Transaction

STATE_FIELDS = tuple(SourceState.__dataclass_fields__)
"""What a source's row and its record both have."""


class Sources:
    """What one tenant's sources told. A `FactStore` has them."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def state(self, name: str) -> SourceState | None:
        """How far the reading of a source has come; None before its first try."""
        with self._door.reading() as tx:
            row = tx.get(SourceRow, (tx.tenant, name))
            return SourceState(**{field: getattr(row, field) for field in STATE_FIELDS}) if row else None

    def compare(
        self, name: str, said: Sequence[SourceFact], broken: Collection[tuple[str, ...]] = ()
    ) -> SourceChanges:
        """What a source says now, against what it told before; nothing is written.

        Rows that are `broken`, by their keys, say nothing now, and have not vanished.
        """
        with self._door.reading() as tx:
            owner = tx.get(TenantRow, tx.tenant)
            salt = owner.tombstone_salt.encode() if owner else b""
            entries = _entries(SourceEntryRow.row, SourceEntryRow.digest, source=name)
            told: dict[str, str] = dict(tx.execute(entries).all())
        rows = {_digest(salt, "row", *fact.key): fact for fact in said}
        digests = {row: _digest(salt, "says", *_content(fact.candidate)) for row, fact in rows.items()}
        there = rows.keys() | {_digest(salt, "row", *each) for each in broken}
        return SourceChanges(
            changed=tuple(
                SourceChange(
                    row=row,
                    digest=digests[row],
                    place=fact.place,
                    candidate=fact.candidate,
                    is_new=row not in told,
                )
                for row, fact in rows.items()
                if told.get(row) != digests[row]
            ),
            vanished=tuple(
                SourceChange(row=row, digest="", place="", candidate=None) for row in told if row not in there
            ),
            n_told=len(told),
            digest=_digest(salt, "all", *(text for pair in sorted(digests.items()) for text in pair)),
        )

    def apply(
        self,
        name: str,
        changes: Sequence[SourceChange],
        *,
        is_reviewed: bool,
        set_aside: Mapping[CandidateFact, str],
    ) -> tuple[Told, ...]:
        """Take these changes over, in one transaction with what is remembered of them.

        What a row said before and says no longer is taken back, if nobody else said it. With `is_reviewed`
        all waits for a person, and so does each value that would end one that somebody else was surer of.
        What was taken over in the meantime is left out.
        """
        with self._door.writing() as tx:
            if (row := tx.get(SourceRow, (tx.tenant, name))) is not None:
                # From here until it is finished, what is remembered is of no one version of the feed.
                row.validators = {}
            told = [change for change in changes if change.candidate is not None]
            gone = [change for change in changes if change.candidate is None]
            done = (
                *_take_over(tx, name, told, is_reviewed=is_reviewed, set_aside=set_aside),
                *_take_back(tx, name, gone, is_reviewed=is_reviewed),
            )
            waiting = SourceChangeRow.row.in_([change.row for change in changes])
            tx.execute(sa.delete(SourceChangeRow).where(SourceChangeRow.source == name, waiting))
            return done

    def finish(
        self, name: str, *, n_unreadable: int | None = None, validators: Mapping[str, str] | None = None
    ) -> None:
        """All that the source said is taken over, and nothing of it waits any more."""
        with self._door.writing() as tx:
            row = _tried(tx, name, "")
            row.completed_at = row.ran_at
            if n_unreadable is not None:
                row.n_unreadable = n_unreadable
            if validators is not None:
                row.validators = dict(validators)
            _let_go(tx, row)
            row.discarded = None

    def tried(self, name: str, problem: str = "") -> None:
        """The source was looked at and nothing came of it: there was nothing new, or there is a problem."""
        with self._door.writing() as tx:
            _tried(tx, name, problem)

    def hold(
        self,
        name: str,
        changes: Sequence[SourceChange],
        *,
        digest: str,
        because: str,
        validators: Mapping[str, str],
    ) -> None:
        """Keep changes until a person approves or discards them, in the place of what waited before."""
        with self._door.writing() as tx:
            row = _tried(tx, name, "")
            _let_go(tx, row)
            row.held, row.held_because, row.validators = digest, because, dict(validators)
            for change in changes:
                tx.add(
                    SourceChangeRow(
                        tenant=tx.tenant,
                        source=name,
                        row=change.row,
                        digest=change.digest,
                        place=change.place,
                        candidate=change.candidate,
                    )
                )

    def held(self, name: str) -> tuple[SourceChange, ...]:
        """The changes that wait for a person, or that were approved and are not yet applied."""
        waiting = sa.select(SourceChangeRow).where(SourceChangeRow.source == name)
        with self._door.reading() as tx:
            told = set(tx.scalars(_entries(SourceEntryRow.row, source=name)))
            return tuple(
                SourceChange(
                    row=row.row,
                    digest=row.digest,
                    place=row.place,
                    candidate=row.candidate,
                    is_new=row.row not in told,
                )
                for row in tx.scalars(waiting.order_by(SourceChangeRow.number))
            )

    def approve(self, name: str) -> None:
        """Let what is held be applied. Raises WrongState when nothing is."""
        with self._door.writing() as tx:
            _held(tx, name).is_approved = True

    def discard(self, name: str) -> None:
        """Drop what is held, and never hold the same again. Raises WrongState when nothing is."""
        with self._door.writing() as tx:
            row = _held(tx, name)
            if row.is_approved:
                raise WrongState(f"the changes of {name!r} are approved, and being applied")
            row.discarded = row.held
            _let_go(tx, row)


def _take_over(
    tx: Transaction,
    name: str,
    changes: Sequence[SourceChange],
    *,
    is_reviewed: bool,
    set_aside: Mapping[CandidateFact, str],
) -> Iterator[Told]:
    """Tell what rows say now, and take back what they said before and this does not take the place of."""
    entries = _entries_of(tx, name, changes)
    changes = [c for c in changes if c.row not in entries or entries[c.row].digest != c.digest]
    said = [_said(name, c.place, c.candidate) for c in changes if c.candidate is not None]
    # Asked and written at once for all of them: one by one that takes several times as long.
    free, buried = slots.free(tx, said), forgetting.buried(tx, said)
    heard = [
        _hear(tx, name, _opening(name, change.place) + candidate.statement, candidate in buried, change.place)
        for change, candidate in zip(changes, said, strict=True)
    ]
    tx.flush()
    for change, candidate, is_free, utterance in zip(changes, said, free, heard, strict=True):
        entry = entries.get(change.row)
        gone = [f for f in (_told_by(tx, entry) if entry else ()) if _has_to_go(f, candidate)]
        found = (*(_retraction(fact, candidate.start, candidate.end) for fact in gone), candidate)
        waits = is_reviewed or (not is_free and _is_surer_otherwise(tx, name, candidate))
        reason = set_aside.get(change.candidate) if change.candidate else None
        yield telling.tell(
            tx,
            utterance,
            () if waits else found,
            proposed=found if waits else (),
            set_aside={candidate: reason} if reason is not None else {},
            buried=buried,
            free={candidate} if is_free else frozenset(),
            over={past.id for fact in gone for past in _own_past(tx, name, fact)},
        )
        if entry is None:
            entry = SourceEntryRow(tenant=tx.tenant, source=name, row=change.row)
            tx.add(entry)
        else:
            _withdraw(tx, entry)
        entry.digest, entry.utterance_id = change.digest, utterance.id


def _take_back(
    tx: Transaction, name: str, changes: Sequence[SourceChange], *, is_reviewed: bool
) -> Iterator[Told]:
    """Take back what only these rows said, which are gone."""
    opening = f"source {name} no longer says: "
    for entry in _entries_of(tx, name, changes).values():
        for fact in _told_by(tx, entry):
            gone = _retraction(fact, len(opening), len(opening) + len(fact.statement))
            buried = forgetting.buried(tx, [gone])
            heard = _hear(tx, name, opening + fact.statement, bool(buried))
            tx.flush()
            done, waits = ([], [gone]) if is_reviewed else ([gone], [])
            over = {past.id for past in _own_past(tx, name, fact)}
            yield telling.tell(tx, heard, done, proposed=waits, set_aside={}, buried=buried, over=over)
        _withdraw(tx, entry)
        tx.delete(entry)
        tx.flush()


def _hear(tx: Transaction, name: str, text: str, is_erased: bool, place: str = "") -> UtteranceRow:
    details = {"source": name} | ({"row": place} if place else {})
    return telling.hear(
        tx, text, speaker=name, source=name, said_at=now(), details=details, is_erased=is_erased
    )


def _opening(name: str, place: str) -> str:
    return f"source {name}, {place}: "


def _said(name: str, place: str, candidate: CandidateFact) -> CandidateFact:
    """The candidate where it stands in the utterance."""
    start = len(_opening(name, place))
    return replace(candidate, start=start, end=start + len(candidate.statement))


def _entries_of(tx: Transaction, name: str, changes: Sequence[SourceChange]) -> dict[str, SourceEntryRow]:
    known = SourceEntryRow.row.in_([change.row for change in changes])
    return {entry.row: entry for entry in tx.scalars(_entries(SourceEntryRow, source=name).where(known))}


def _told_by(tx: Transaction, entry: SourceEntryRow) -> Sequence[FactRow]:
    """The facts that stand and that nothing but this row tells."""
    # Each by an index of its own: asked in one, SQLite reads all facts of the tenant.
    first_told = sa.select(FactRow.id).where(FactRow.utterance_id == entry.utterance_id)
    told_again = sa.select(MentionRow.fact_id).where(MentionRow.utterance_id == entry.utterance_id)
    ids = {*tx.scalars(first_told), *tx.scalars(told_again)}
    rows = tx.scalars(sa.select(FactRow).where(FactRow.id.in_(ids), is_current).order_by(FactRow.number))
    return [
        row
        for row in rows.all()
        if not _others_told(tx, entry.source, row) and not _another_row_tells(tx, entry, row)
    ]


def _own_past(tx: Transaction, name: str, fact: FactRow) -> Iterator[FactRow]:
    """The values before it that only this source told: it said something else since, so they are over."""
    while fact.supersedes_id is not None:
        fact = tx.named(FactRow, fact.supersedes_id)
        if not _others_told(tx, name, fact):
            yield fact


def _others_told(tx: Transaction, name: str, fact: FactRow) -> bool:
    by_others = sa.select(UtteranceRow.id).where(
        UtteranceRow.id.in_(_heard_in(tx, fact)), UtteranceRow.source != name
    )
    return tx.scalar(by_others.limit(1)) is not None


def _another_row_tells(tx: Transaction, entry: SourceEntryRow, fact: FactRow) -> bool:
    other = _entries(SourceEntryRow.row, source=entry.source).where(
        SourceEntryRow.utterance_id.in_(_heard_in(tx, fact)), SourceEntryRow.row != entry.row
    )
    return tx.scalar(other.limit(1)) is not None


def _heard_in(tx: Transaction, fact: FactRow) -> list[str]:
    again = sa.select(MentionRow.utterance_id).where(MentionRow.fact_id == fact.id)
    return [fact.utterance_id, *tx.scalars(again)]


def _has_to_go(fact: FactRow, candidate: CandidateFact) -> bool:
    """Whether what a row says now leaves standing what it said before, and the store would not end it."""
    is_over = candidate.valid_until is not None and candidate.valid_until <= now().date()
    is_same_slot = (fact.subject_key, fact.relation) == (key(candidate.subject), candidate.relation)
    if is_same_slot and fact.value_key == slots.value_key(candidate):
        # The same value again is no news to the store, whatever days come with it.
        begins = candidate.valid_from or fact.valid_from.date()
        ends = fact.stated_until.date() if fact.stated_until else None
        return not is_over and (begins, candidate.valid_until) != (fact.valid_from.date(), ends)
    return is_over or not is_same_slot or candidate.cardinality is not Cardinality.ONE


def _is_surer_otherwise(tx: Transaction, name: str, candidate: CandidateFact) -> bool:
    """Whether somebody else said another value of the slot, and was surer of it."""
    ends_nothing = candidate.valid_until is not None and candidate.valid_until <= now().date()
    if ends_nothing or candidate.cardinality is not Cardinality.ONE:
        return False
    return any(
        row.confidence > candidate.confidence and _others_told(tx, name, row)
        for row in slots.rivals(tx, candidate)
        if row.value_key != slots.value_key(candidate)
    )


def _withdraw(tx: Transaction, entry: SourceEntryRow) -> None:
    """What a row proposed and says no longer is decided: it does not become a fact."""
    waiting = ProposalRow.utterance_id == entry.utterance_id, ProposalRow.status == ProposalStatus.PROPOSED
    for proposal in tx.scalars(sa.select(ProposalRow).where(*waiting)):
        review.decline(tx, proposal)


def _retraction(fact: FactRow, start: int, end: int) -> CandidateFact:
    return CandidateFact(
        subject=fact.subject,
        relation=fact.relation,
        object=fact.object,
        statement=fact.statement,
        start=start,
        end=end,
        cardinality=fact.cardinality,
        retracts=True,
    )


def _tried(tx: Transaction, name: str, problem: str) -> SourceRow:
    """The source's row, which its first try makes."""
    row = tx.get(SourceRow, (tx.tenant, name))
    if row is None:
        row = SourceRow(
            tenant=tx.tenant, name=name, n_unreadable=0, validators={}, held_because="", is_approved=False
        )
        tx.add(row)
    row.ran_at, row.problem = now(), problem
    return row


def _held(tx: Transaction, name: str) -> SourceRow:
    row = tx.get(SourceRow, (tx.tenant, name))
    if row is None or row.held is None:
        raise WrongState(f"nothing of {name!r} waits for approval")
    return row


def _let_go(tx: Transaction, row: SourceRow) -> None:
    row.held, row.held_because, row.is_approved = None, "", False
    tx.execute(sa.delete(SourceChangeRow).where(SourceChangeRow.source == row.name))


def _entries(*columns: Any, source: str) -> sa.Select[Any]:
    return sa.select(*columns).where(SourceEntryRow.source == source)


def _content(candidate: CandidateFact) -> tuple[str, ...]:
    days = (str(day) if day else "" for day in (candidate.valid_from, candidate.valid_until))
    return (candidate.subject, candidate.relation, candidate.object, *days)


def _digest(salt: bytes, *parts: str) -> str:
    return hmac.digest(salt, "\0".join(parts).encode(), hashlib.sha256).hex()
