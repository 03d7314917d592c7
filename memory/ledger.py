"""The ledger: one append-only hash chain per tenant, written in the transaction of the change it tells of.

An entry holds ids and a salted commitment, never plaintext. The salt lies beside the row it belongs to: erase
both, and the chain stays valid while nobody can tell any more what was committed to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from memory.records import AdapterStatus, FactStatus, LedgerEntry, Tip, Verification, now
from memory.tables import (
    AdapterRow,
    BatchFactRow,
    BatchRow,
    EntryRow,
    FactRow,
    Role,
    TenantRow,
    TipRow,
    UtteranceRow,
    plain_scores,
)
from memory.transaction import Transaction

GENESIS: Final = "0" * 64
"""What the first entry of a chain calls its predecessor."""

ADDED: Final = ("utterance.heard", "fact.recorded", "batch.claimed", "adapter.created")
"""The events that commit to what a row says; the commitment is computed again when verifying."""

FACT_ENDS: Final = {
    "fact.superseded": False,
    "fact.retracted": False,
    "fact.recorded": True,
    "fact.reopened": True,
}
SERVES: Final = ("adapter.promoted", "adapter.restored")


def append(tx: Transaction, event: str, subject_id: str, commitment: str) -> None:
    """Add one entry. The tip row stays locked to the end, so two writers cannot fork the chain."""
    tip = tx.scalars(sa.select(TipRow).with_for_update()).one()
    entry = EntryRow(
        tenant=tx.tenant,
        position=tip.position + 1,
        event=event,
        subject_id=subject_id,
        commitment=commitment,
        at=now(),
        previous_hash=tip.hash,
    )
    entry.hash = _hash(entry, entry.position)
    tip.position, tip.hash = entry.position, entry.hash
    tx.add(entry)


def commit(kind: str, salt: str, content: Mapping[str, Any]) -> str:
    """The commitment to a row's content: worth nothing without the salt, and bound to its kind."""
    return _digest(f"ice-agent.commitment.{kind}.v1", {"salt": salt, **content})


def commit_tenant(row: TenantRow) -> str:
    return commit("tenant", row.salt, {"id": row.id, "name": row.name, "is_shared": row.is_shared})


def commit_utterance(row: UtteranceRow) -> str:
    content = {"id": row.id, "tenant": row.tenant, "speaker": row.speaker, "text": row.text}
    return commit("utterance", row.salt, {**content, "said_at": _text(row.said_at)})


def commit_fact(row: FactRow) -> str:
    content = {
        "id": row.id,
        "tenant": row.tenant,
        "subject": row.subject,
        "relation": row.relation,
        "object": row.object,
        "statement": row.statement,
        "cardinality": row.cardinality.value,
        "recorded_at": _text(row.recorded_at),
        "valid_from": _text(row.valid_from),
        "stated_until": _text(row.stated_until) if row.stated_until else None,
        "utterance_id": row.utterance_id,
        "span": [row.start, row.end],
        "supersedes_id": row.supersedes_id,
    }
    return commit("fact", row.salt, content)


def commit_batch(tx: Transaction, row: BatchRow) -> str:
    """Covers all that was claimed, also what was set aside since; overrides came later and are left out."""
    members = (
        sa.select(FactRow.commitment)
        .join(BatchFactRow, BatchFactRow.fact_id == FactRow.id)
        .where(BatchFactRow.batch_id == row.id, BatchFactRow.role != Role.OVERRIDE)
        .order_by(FactRow.number)
    )
    return commit("batch", row.salt, {"id": row.id, "tenant": row.tenant, "facts": list(tx.scalars(members))})


def commit_adapter(row: AdapterRow) -> str:
    content = {
        "id": row.id,
        "tenant": row.tenant,
        "parent_id": row.parent_id,
        "batch_id": row.batch_id,
        "base_hash": row.base_hash,
        "path": row.path,
        "created_at": _text(row.created_at),
    }
    return commit("adapter", row.salt, content)


def commit_scores(row: AdapterRow) -> str:
    measured = {"scores": row.scores, "parent_scores": row.parent_scores}
    return commit(
        "scores", row.salt, {name: plain_scores(s) if s is not None else None for name, s in measured.items()}
    )


def commit_verdict(row: AdapterRow) -> str:
    return commit("verdict", row.salt, {"verdict": asdict(row.verdict) if row.verdict else None})


def tip(tx: Transaction) -> Tip:
    row = tx.scalars(sa.select(TipRow)).one_or_none()
    if row is None:
        return Tip(tenant=tx.tenant, position=0, hash=GENESIS)
    return Tip(tenant=tx.tenant, position=row.position, hash=row.hash)


def entries(tx: Transaction) -> Sequence[EntryRow]:
    return tx.scalars(sa.select(EntryRow).order_by(EntryRow.position)).all()


def entry_record(row: EntryRow) -> LedgerEntry:
    return LedgerEntry(
        tenant=row.tenant,
        position=row.position,
        event=row.event,
        subject_id=row.subject_id,
        commitment=row.commitment,
        at=row.at,
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


def verify(tx: Transaction, name: str) -> Verification:
    """Check the chain link by link, its end against the tip, and the rows against their commitments."""
    chain = entries(tx)
    problems = [
        *_broken_links(chain),
        *_broken_tip(chain, tip(tx)),
        *_changed_rows(tx, chain),
    ]
    return Verification(n_entries=len(chain), problems=tuple(f"{name}: {problem}" for problem in problems))


def _broken_links(chain: Sequence[EntryRow]) -> Iterator[str]:
    expected, previous_hash = 1, GENESIS
    for entry in chain:
        if entry.position != expected:
            yield f"{_span(expected, entry.position - 1)} missing: dropped from the chain"
        elif _hash(entry, entry.position) != entry.hash:
            yield f"entry {entry.position} ({entry.event}) {_what_happened(entry, chain)}"
        elif entry.previous_hash != previous_hash:
            yield f"entry {entry.position} ({entry.event}) does not follow entry {entry.position - 1}"
        expected, previous_hash = entry.position + 1, entry.hash


def _broken_tip(chain: Sequence[EntryRow], tip: Tip) -> Iterator[str]:
    last = chain[-1].position if chain else 0
    if last < tip.position:
        yield f"{_span(last + 1, tip.position)} missing: the tail was cut off"
    elif last > tip.position:
        yield f"the tip says entry {tip.position}, and the chain goes on to entry {last}"
    elif chain and chain[-1].hash != tip.hash:
        yield f"the tip does not match entry {last}"


def _changed_rows(tx: Transaction, chain: Sequence[EntryRow]) -> Iterator[str]:
    committed = {(e.event, e.subject_id): e for e in chain}  # the last one of each counts
    found = set()
    for event, row_id, commitments in _committed_rows(tx):
        found.add((event, row_id))
        entry = committed.get((event, row_id))
        if entry is None:
            yield f"{row_id} has no {event} entry: it was added behind the ledger's back"
        elif any(commitment != entry.commitment for commitment in commitments):
            yield f"{row_id} no longer says what entry {entry.position} ({event}) committed to: it was edited"
    for (event, row_id), entry in committed.items():
        if event in ADDED and (event, row_id) not in found and ("fact.forgotten", row_id) not in committed:
            yield f"{row_id} of entry {entry.position} ({event}) is gone, and no entry says it was forgotten"
    yield from _changed_states(tx, chain)


def _committed_rows(tx: Transaction) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every row that an entry vouches for, with its commitments computed from what it says today."""
    for utterance in tx.scalars(sa.select(UtteranceRow)):
        yield "utterance.heard", utterance.id, (commit_utterance(utterance),)
    for fact in tx.scalars(sa.select(FactRow)):
        yield "fact.recorded", fact.id, (commit_fact(fact), fact.commitment)
    for batch in tx.scalars(sa.select(BatchRow)):
        yield "batch.claimed", batch.id, (commit_batch(tx, batch),)
    for adapter in tx.scalars(sa.select(AdapterRow)):
        yield "adapter.created", adapter.id, (commit_adapter(adapter),)
        if adapter.scores is not None:
            yield "adapter.scored", adapter.id, (commit_scores(adapter),)


def _changed_states(tx: Transaction, chain: Iterable[EntryRow]) -> Iterator[str]:
    """Compare what the rows say now with what the chain says happened to them."""
    is_current: dict[str, bool] = {}
    serving_id: str | None = None
    for entry in chain:
        if entry.event in FACT_ENDS:
            is_current[entry.subject_id] = FACT_ENDS[entry.event]
        elif entry.event in SERVES:
            serving_id = entry.subject_id
    ended = (FactStatus.SUPERSEDED, FactStatus.RETRACTED)
    for fact_id, status in tx.execute(sa.select(FactRow.id, FactRow.status)):
        if is_current.get(fact_id, status not in ended) != (status not in ended):
            yield f"{fact_id} is {status}, and the ledger says otherwise"
    serves = sa.select(AdapterRow.id).where(AdapterRow.status == AdapterStatus.PROMOTED)
    if tx.scalar(serves) != serving_id:
        yield f"{tx.scalar(serves) or 'nothing'} serves, and the ledger says {serving_id or 'nothing'}"


def _what_happened(entry: EntryRow, chain: Sequence[EntryRow]) -> str:
    """An entry that is whole at another position was moved; any other was edited."""
    belongs = next((e.position for e in chain if _hash(entry, e.position) == entry.hash), None)
    return "was edited" if belongs is None else f"belongs at position {belongs}: entries were swapped"


def _span(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _hash(entry: EntryRow, position: int) -> str:
    content = {
        "tenant": entry.tenant,
        "position": position,
        "event": entry.event,
        "subject_id": entry.subject_id,
        "commitment": entry.commitment,
        "at": _text(entry.at),
        "previous_hash": entry.previous_hash,
    }
    return _digest("ice-agent.ledger.entry.v1", content)


def _digest(domain: str, content: Mapping[str, Any]) -> str:
    """SHA-256 over a domain and canonical JSON, so that no content of one kind passes for another."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(f"{domain}\n{canonical}".encode()).hexdigest()


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
