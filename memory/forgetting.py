"""Forgetting: rows, salts and words are erased, and every adapter that was taught one of them is retired.

What stays is a chain that is still whole, and a tombstone against learning it again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from memory import items, ledger, lineage, slots
from memory.records import CandidateFact, Fact, FactStatus, Forgetting, now
from memory.tables import (
    ENDED,
    AccessKeyRow,
    AdapterRow,
    BatchFactRow,
    BatchRow,
    FactRow,
    ItemRow,
    LeaseRow,
    MentionRow,
    OutboxRow,
    ProposalRow,
    SourceChangeRow,
    SourceEntryRow,
    SourceRow,
    TenantRow,
    TombstoneRow,
    UtteranceRow,
)
from memory.text import key
from memory.transaction import Transaction

_LYING: Final = sa.select(TombstoneRow.digest).where(
    TombstoneRow.tenant == sa.bindparam("tenant"),
    TombstoneRow.digest.in_(sa.bindparam("digests", expanding=True)),
)


def about(tx: Transaction, subject: str) -> Sequence[FactRow]:
    """Every fact about a subject, and every one whose value it is, whatever became of them."""
    name = key(subject)
    named = sa.or_(FactRow.subject_key == name, FactRow.value_key == name)
    return tx.scalars(sa.select(FactRow).where(named).order_by(FactRow.number)).all()


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """What is to be forgotten: facts, what was proposed and not yet a fact, and the words of both."""

    facts: Sequence[FactRow]
    proposals: Sequence[ProposalRow]
    utterances: Sequence[UtteranceRow]
    subject: str | None


def meant(
    tx: Transaction, fact_ids: Sequence[str], subject: str | None, utterance_ids: Sequence[str]
) -> Meant:
    """The facts of these ids and all about a subject, and what was proposed in these utterances."""
    rows = {row.id: row for row in (tx.named(FactRow, fact_id) for fact_id in fact_ids)}
    if subject is not None:
        rows |= {row.id: row for row in about(tx, subject)}
    facts = sorted(rows.values(), key=lambda row: row.number)
    said = {tx.named(UtteranceRow, id_).id for id_ in utterance_ids}
    proposals = _proposed(tx, facts, subject, said)
    utterances = _heard_in(tx, facts, said | {row.utterance_id for row in proposals})
    return Meant(facts=facts, proposals=proposals, utterances=utterances, subject=subject)


def foreseen(tx: Transaction, meant: Meant) -> Forgetting:
    """What forgetting takes away; nothing is changed."""
    held = lineage.holding(tx, [row.id for row in meant.facts])
    undone, ancestor = lineage.clean_ancestor(tx, held)
    gone = {row.id for row in meant.facts}
    relearned = sa.select(FactRow).where(FactRow.adapter_id.in_([row.id for row in undone]))
    bereft = sa.select(FactRow).where(FactRow.utterance_id.in_([row.id for row in meant.utterances]))
    return Forgetting(
        facts=slots.fact_records(meant.facts),
        utterances=tuple(slots.utterance_record(row) for row in meant.utterances),
        items=items.heard_as(tx, [row.id for row in meant.utterances]),
        bereft=_but(gone, tx.scalars(bereft.order_by(FactRow.number)).all()),
        adapters=tuple(lineage.adapter_record(row) for row in held),
        relearned=_but(gone, tx.scalars(relearned.order_by(FactRow.number)).all()),
        serving=lineage.adapter_record(ancestor) if ancestor else None,
        tenant_id=tx.tenant,
    )


def forget(tx: Transaction, meant: Meant) -> Forgetting:
    """Take it away, as if it had never been heard, and say what went.

    Nothing about its subject is to be learned again.
    """
    taken = foreseen(tx, meant)
    lineage.forget(tx, [row.id for row in meant.facts])
    for utterance in meant.utterances:
        slots.erase_words(tx, utterance)
    items.drop(tx, [row.id for row in meant.utterances])
    for row in meant.facts:
        _bury(tx, digest(tx, row.subject_key, row.relation, row.value_key))
    if meant.subject is not None:
        _bury(tx, digest(tx, key(meant.subject)))
    _drop_changes(tx, meant)
    for proposal in meant.proposals:
        ledger.append(tx, "proposal.forgotten", proposal.id, ledger.commit_proposal(proposal))
        tx.delete(proposal)
    for row in meant.facts:
        _erase(tx, row)
    return replace(taken, entries=ledger.added(tx))


def forget_tenant(tx: Transaction) -> Forgetting:
    """Erase all rows of the tenant and its name, and say what went. Its chain stays, whole."""
    taken = Forgetting(
        facts=slots.fact_records(tx.scalars(sa.select(FactRow).order_by(FactRow.number))),
        utterances=tuple(map(slots.utterance_record, tx.scalars(sa.select(UtteranceRow)))),
        items=items.every(tx),
        bereft=(),
        adapters=tuple(map(lineage.adapter_record, tx.scalars(sa.select(AdapterRow)))),
        relearned=(),
        serving=None,
        tenant_id=tx.tenant,
    )
    row = tx.get_one(TenantRow, tx.tenant)
    ledger.append(tx, "tenant.forgotten", row.id, ledger.commit_tenant(row))
    row.name, row.salt, row.tombstone_salt = None, "", ""
    batches = sa.select(BatchRow.id)
    tx.execute(sa.delete(BatchFactRow).where(BatchFactRow.batch_id.in_(batches)))
    for links in (FactRow.supersedes_id, FactRow.adapter_id, FactRow.batch_id, AdapterRow.parent_id):
        tx.execute(sa.update(links.class_).values({links.key: None}))
    read = (SourceChangeRow, SourceEntryRow, SourceRow)
    holding = (*read, ItemRow, ProposalRow, MentionRow, FactRow, AdapterRow, BatchRow, UtteranceRow)
    # A publication stays until the engine has let go of what it was given.
    for table in (*holding, TombstoneRow, AccessKeyRow, OutboxRow):
        tx.execute(sa.delete(table))
    tx.execute(sa.update(LeaseRow).values(owner=None))
    return replace(taken, entries=ledger.added(tx))


def buried(tx: Transaction, candidates: Iterable[CandidateFact]) -> set[CandidateFact]:
    """Those of them that were forgotten once: the value of a slot, or all about its subject."""
    if tx.scalar(sa.select(TombstoneRow.digest).limit(1)) is None:
        return set()
    under = {candidate: _tombstones(tx, candidate) for candidate in candidates}
    digests = [each for tombstones in under.values() for each in tombstones]
    found = set(tx.ask(_LYING, digests=digests).scalars())
    return {candidate for candidate, tombstones in under.items() if not found.isdisjoint(tombstones)}


def unbury(tx: Transaction, candidate: CandidateFact) -> bool:
    """Let this be learned again; False when it was never forgotten."""
    lying = TombstoneRow.digest.in_(_tombstones(tx, candidate))
    found = tx.scalars(sa.select(TombstoneRow).where(lying)).all()
    for row in found:
        ledger.append(tx, "tombstone.lifted", row.digest, ledger.commit_tombstone(tx.owner, row.digest))
        tx.delete(row)
    return bool(found)


def digest(tx: Transaction, *parts: str) -> str:
    """What a tombstone keeps of what lies under it: a hash under a salt that is the tenant's alone."""
    return hmac.new(tx.owner.tombstone_salt.encode(), "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def _tombstones(tx: Transaction, candidate: CandidateFact) -> set[str]:
    """Under what it may be buried: the value of its slot, all about its subject, all about its value."""
    subjects, value = slots.subject_keys(candidate), slots.value_key(candidate)
    return {
        *(digest(tx, subject, candidate.relation, value) for subject in subjects),
        *(digest(tx, name) for name in (*subjects, value)),
    }


def _proposed(
    tx: Transaction, facts: Sequence[FactRow], subject: str | None, said: Set[str]
) -> list[ProposalRow]:
    """The proposals of the same values, those about the subject, and those of utterances that go."""
    rows = tx.scalars(sa.select(ProposalRow).order_by(ProposalRow.number))
    return [row for row in rows if row.utterance_id in said or _says(row.candidate, facts, subject)]


def _drop_changes(tx: Transaction, meant: Meant) -> None:
    """What a source would tell of it, once somebody approves, is in plain words."""
    for row in tx.scalars(sa.select(SourceChangeRow)):
        if row.candidate is not None and _says(row.candidate, meant.facts, meant.subject):
            tx.delete(row)


def _says(candidate: CandidateFact, facts: Sequence[FactRow], subject: str | None) -> bool:
    """Whether it is one of the facts, or about the subject."""
    same = {(row.subject_key, row.relation, row.value_key) for row in facts}
    names = set() if subject is None else {key(subject)}
    subjects, value = slots.subject_keys(candidate), slots.value_key(candidate)
    slots_of_it = {(name, candidate.relation, value) for name in subjects}
    return bool(slots_of_it & same or {*subjects, value} & names)


def _heard_in(tx: Transaction, facts: Sequence[FactRow], said: Set[str]) -> Sequence[UtteranceRow]:
    again = sa.select(MentionRow.utterance_id).where(MentionRow.fact_id.in_([row.id for row in facts]))
    ids = {row.utterance_id for row in facts} | set(tx.scalars(again)) | said
    return tx.scalars(
        sa.select(UtteranceRow).where(UtteranceRow.id.in_(ids)).order_by(UtteranceRow.number)
    ).all()


def _but(gone: set[str], rows: Sequence[FactRow]) -> tuple[Fact, ...]:
    return slots.fact_records(row for row in rows if row.id not in gone)


def _bury(tx: Transaction, tombstone: str) -> None:
    if tx.get(TombstoneRow, (tx.tenant, tombstone)) is None:
        tx.add(TombstoneRow(tenant=tx.tenant, digest=tombstone, at=now()))
        tx.flush()
        ledger.append(tx, "tombstone.laid", tombstone, ledger.commit_tombstone(tx.owner, tombstone))


def _erase(tx: Transaction, row: FactRow) -> None:
    """What it had superseded stands again, where its place is free; what superseded it follows on that."""
    if row.status not in ENDED:
        row.status = FactStatus.RETRACTED
        tx.flush()
        slots.reopen_before(tx, row)
    for later in tx.scalars(sa.select(FactRow).where(FactRow.supersedes_id == row.id)).all():
        later.supersedes_id = row.supersedes_id
        later.commitment = ledger.commit_fact(later)
        ledger.append(tx, "fact.relinked", later.id, later.commitment)
    tx.execute(sa.delete(MentionRow).where(MentionRow.fact_id == row.id))
    tx.flush()
    ledger.append(tx, "fact.forgotten", row.id, row.commitment)
    tx.delete(row)
    tx.flush()
