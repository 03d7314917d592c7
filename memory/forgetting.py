"""Forgetting: rows, salts and words are erased, and every adapter that was taught one of them is retired.

What stays is a chain that is still whole, and a tombstone against learning it again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

import sqlalchemy as sa

from memory import ledger, lineage, slots
from memory.records import ERASED, Adapter, CandidateFact, Fact, FactStatus, Forgetting, now
from memory.tables import (
    AdapterRow,
    BatchFactRow,
    BatchRow,
    FactRow,
    LeaseRow,
    MentionRow,
    ProposalRow,
    TenantRow,
    TombstoneRow,
    UtteranceRow,
)
from memory.text import key
from memory.transaction import Transaction


def about(tx: Transaction, subject: str) -> Sequence[FactRow]:
    """Every fact about a subject, and every one whose value it is, whatever became of them."""
    name = key(subject)
    named = sa.or_(FactRow.subject_key == name, FactRow.value_key == name)
    return tx.scalars(sa.select(FactRow).where(named).order_by(FactRow.number)).all()


def foreseen(tx: Transaction, facts: Sequence[FactRow], subject: str | None) -> Forgetting:
    """What forgetting these facts, or all about a subject, takes away; nothing is changed."""
    heard = _heard_in(tx, facts, _proposed(tx, facts, subject))
    held = lineage.holding(tx, [row.id for row in facts])
    undone, ancestor = lineage.clean_ancestor(tx, held)
    gone = {row.id for row in facts}
    relearned = sa.select(FactRow).where(FactRow.adapter_id.in_([row.id for row in undone]))
    bereft = sa.select(FactRow).where(FactRow.utterance_id.in_([row.id for row in heard]))
    return Forgetting(
        facts=slots.fact_records(facts),
        utterances=tuple(slots.utterance_record(row) for row in heard),
        bereft=_but(gone, tx.scalars(bereft.order_by(FactRow.number)).all()),
        adapters=tuple(lineage.adapter_record(row) for row in held),
        relearned=_but(gone, tx.scalars(relearned.order_by(FactRow.number)).all()),
        serving=lineage.adapter_record(ancestor) if ancestor else None,
    )


def forget(tx: Transaction, facts: Sequence[FactRow], subject: str | None) -> None:
    """Take these facts away, as if they had never been heard; nothing about a subject is to be learned again.

    What was proposed and is the same, or about the subject, goes with them.
    """
    proposals = _proposed(tx, facts, subject)
    heard = _heard_in(tx, facts, proposals)
    lineage.forget(tx, [row.id for row in facts])
    for utterance in heard:
        _erase_words(tx, utterance)
    for row in facts:
        _bury(tx, digest(tx, row.subject_key, row.relation, row.value_key))
    if subject is not None:
        _bury(tx, digest(tx, key(subject)))
    for proposal in proposals:
        ledger.append(tx, "proposal.forgotten", proposal.id, ledger.commit_proposal(proposal))
        tx.delete(proposal)
    for row in facts:
        _erase(tx, row)


def forget_tenant(tx: Transaction) -> tuple[Adapter, ...]:
    """Erase all rows of the tenant and its name; returns the adapters that it had. Its chain stays, whole."""
    adapters = tuple(map(lineage.adapter_record, tx.scalars(sa.select(AdapterRow)).all()))
    row = tx.get_one(TenantRow, tx.tenant)
    ledger.append(tx, "tenant.forgotten", row.id, ledger.commit_tenant(row))
    row.name, row.salt, row.tombstone_salt = None, "", ""
    batches = sa.select(BatchRow.id)
    tx.execute(sa.delete(BatchFactRow).where(BatchFactRow.batch_id.in_(batches)))
    for links in (FactRow.supersedes_id, FactRow.adapter_id, FactRow.batch_id, AdapterRow.parent_id):
        tx.execute(sa.update(links.class_).values({links.key: None}))
    for table in (ProposalRow, MentionRow, FactRow, AdapterRow, BatchRow, UtteranceRow, TombstoneRow):
        tx.execute(sa.delete(table))
    tx.execute(sa.update(LeaseRow).values(owner=None))
    return adapters


def is_buried(tx: Transaction, candidate: CandidateFact) -> bool:
    """Whether this was forgotten once: the value of a slot, or all about its subject."""
    digests = [digest(tx, *parts) for parts in _graves(candidate)]
    found = sa.select(TombstoneRow.digest).where(TombstoneRow.digest.in_(digests))
    return tx.scalar(found.limit(1)) is not None


def unbury(tx: Transaction, candidate: CandidateFact) -> bool:
    """Let this be learned again; False when it was never forgotten."""
    was_buried = is_buried(tx, candidate)
    tenant = tx.get_one(TenantRow, tx.tenant)
    buried = [digest(tx, *parts) for parts in _graves(candidate)]
    for row in tx.scalars(sa.select(TombstoneRow).where(TombstoneRow.digest.in_(buried))).all():
        ledger.append(tx, "tombstone.lifted", row.digest, ledger.commit_tombstone(tenant, row.digest))
        tx.delete(row)
    return was_buried


def digest(tx: Transaction, *parts: str) -> str:
    """What a tombstone keeps of what lies under it: a hash under a salt that is the tenant's alone."""
    salt = tx.get_one(TenantRow, tx.tenant).tombstone_salt
    return hmac.new(salt.encode(), "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def _graves(candidate: CandidateFact) -> tuple[tuple[str, ...], ...]:
    """Under what it may be buried: the value of its slot, all about its subject, all about its value."""
    subject, relation, value = slots.slot_and_value(candidate)
    return (subject, relation, value), (subject,), (value,)


def _proposed(tx: Transaction, facts: Sequence[FactRow], subject: str | None) -> list[ProposalRow]:
    """The proposals of the same values, and those about the subject."""
    name, same = key(subject or ""), {(row.subject_key, row.relation, row.value_key) for row in facts}
    return [
        row
        for row in tx.scalars(sa.select(ProposalRow).order_by(ProposalRow.number))
        if (said := slots.slot_and_value(row.candidate)) in same
        or (subject is not None and name in (said[0], said[2]))
    ]


def _heard_in(
    tx: Transaction, facts: Sequence[FactRow], proposals: Sequence[ProposalRow]
) -> Sequence[UtteranceRow]:
    again = sa.select(MentionRow.utterance_id).where(MentionRow.fact_id.in_([row.id for row in facts]))
    ids = {row.utterance_id for row in facts} | {row.utterance_id for row in proposals}
    ids |= set(tx.scalars(again))
    return tx.scalars(
        sa.select(UtteranceRow).where(UtteranceRow.id.in_(ids)).order_by(UtteranceRow.number)
    ).all()


def _but(gone: set[str], rows: Sequence[FactRow]) -> tuple[Fact, ...]:
    return slots.fact_records(row for row in rows if row.id not in gone)


def _erase_words(tx: Transaction, row: UtteranceRow) -> None:
    row.text, row.details, row.salt = ERASED, {}, secrets.token_hex(16)
    ledger.append(tx, "utterance.erased", row.id, ledger.commit_utterance(row))


def _bury(tx: Transaction, buried: str) -> None:
    if tx.get(TombstoneRow, (tx.tenant, buried)) is None:
        tx.add(TombstoneRow(tenant=tx.tenant, digest=buried, at=now()))
        tx.flush()
        tenant = tx.get_one(TenantRow, tx.tenant)
        ledger.append(tx, "tombstone.laid", buried, ledger.commit_tombstone(tenant, buried))


def _erase(tx: Transaction, row: FactRow) -> None:
    """What it had superseded stands again, where its place is free; what superseded it follows on that."""
    if row.status not in slots.ENDED:
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
