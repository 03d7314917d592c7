"""The ledger: one append-only hash chain per tenant, written in the transaction of the change it tells of.

An entry holds ids and a salted commitment, never plaintext. The salt lies beside the row it belongs to: erase
both, and the chain stays valid while nobody can tell any more what was committed to. How hashes, chains and
trees are made stands in `audit`, which checks them without a database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from memory import audit, outbox
from memory.audit import GENESIS, Entry, Tip
from memory.columns import plain_candidate, plain_scores
from memory.records import AccessRole, now
from memory.tables import (
    AccessKeyRow,
    AdapterRow,
    ArchiveRow,
    BatchFactRow,
    BatchRow,
    EntryRow,
    FactRow,
    ItemRow,
    MentionRow,
    ProposalRow,
    Role,
    TenantRow,
    TipRow,
    UtteranceRow,
)
from memory.transaction import Chain, Transaction

_OWNER_AND_TIP: Final = (
    sa.select(TenantRow, TipRow.position, TipRow.hash, TipRow.peaks)
    .join(TipRow, TipRow.tenant == TenantRow.id)
    .where(TenantRow.name == sa.bindparam("name"))
    .with_for_update(key_share=True)
)
_INSERT: Final = sa.insert(EntryRow)
_MOVE_TIP: Final = sa.update(TipRow).where(TipRow.tenant == sa.bindparam("of_tenant"))


def enter(tx: Transaction, name: str) -> bool:
    """Belong to the tenant of this name and hold the end of its chain until the transaction ends.

    Two writers cannot fork it, and nobody forgets the tenant meanwhile. False when there is no such tenant.
    """
    if not tx.enter(name, _OWNER_AND_TIP):
        return False
    tx.chain = Chain(position=tx.owner.position, hash=tx.owner.hash, peaks=peaks_of(tx.owner))
    return True


def append(tx: Transaction, event: str, subject_id: str, commitment: str) -> None:
    """Add one entry. It is written when the transaction commits, with all others of it."""
    chain = tx.chain
    if chain is None:
        raise RuntimeError("an entry is added under the lock of its chain only")
    moment = now()
    entry = Entry(
        tenant=tx.tenant,
        position=chain.position + 1,
        event=event,
        subject_id=subject_id,
        commitment=commitment,
        at=text(moment),
        previous_hash=chain.hash,
        hash="",
    )
    own = entry.hash_at(entry.position)
    chain.peaks = audit.grown(chain.peaks, chain.position, audit.leaf_hash(own.encode()))
    chain.position, chain.hash = entry.position, own
    chain.added.append(
        {
            "tenant": tx.tenant,
            "position": entry.position,
            "event": event,
            "subject_id": subject_id,
            "commitment": commitment,
            "at": moment,
            "previous_hash": entry.previous_hash,
            "hash": own,
        }
    )


def added(tx: Transaction) -> tuple[int, ...]:
    """The positions of what this transaction has added so far."""
    return tuple(row["position"] for row in tx.chain.added) if tx.chain else ()


@sa.event.listens_for(Transaction, "before_commit")
def _write(tx: Session) -> None:
    if not isinstance(tx, Transaction) or tx.chain is None or not tx.chain.added:
        return
    # What was changed goes first: a refusal by the database names the change and not its entry.
    tx.flush()
    outbox.post(tx)
    end = {"position": tx.chain.position, "hash": tx.chain.hash, "peaks": as_text(tx.chain.peaks)}
    # Past the session, which has no rows of these to keep up: a third of what telling costs otherwise.
    connection = tx.connection()
    connection.execute(_INSERT, tx.chain.added)
    connection.execute(_MOVE_TIP, {"of_tenant": tx.tenant, **end})
    tx.chain.added.clear()


def commit_tenant(row: TenantRow | sa.Row[Any]) -> str:
    return audit.commit("tenant", row.salt, tenant_content(row))


def commit_utterance(row: UtteranceRow) -> str:
    return audit.commit("utterance", row.salt, utterance_content(row))


def commit_fact(row: FactRow) -> str:
    return audit.commit("fact", row.salt, fact_content(row))


def commit_access_key(row: AccessKeyRow) -> str:
    return audit.commit("access_key", row.salt, access_key_content(row))


def access_key_content(row: AccessKeyRow) -> dict[str, Any]:
    content = {
        "id": row.id,
        "tenant": row.tenant,
        "label": row.label,
        "digest": row.digest,
        "issued_at": text(row.issued_at),
    }
    # Left out where it is what every key was before there were roles: their entries stand.
    return content | ({"role": row.role.value} if row.role is not AccessRole.OPERATE else {})


def commit_end(row: FactRow) -> str:
    """To how a fact ended."""
    until, at = row.valid_until, row.ended_at
    content = {
        "id": row.id,
        "status": row.status.value,
        "valid_until": text(until) if until else None,
        "ended_at": text(at) if at else None,
    }
    return audit.commit("end", row.salt, content)


def commit_period(row: FactRow, since: datetime, until: datetime | None) -> str:
    """To when a fact holds by all that was said of it, under its own salt: it outlives a mention's words."""
    content = {"id": row.id, "valid_from": text(since), "valid_until": text(until) if until else None}
    return audit.commit("period", row.salt, content)


def commit_reason(row: FactRow) -> str:
    """To why a fact is kept out of edits."""
    return audit.commit("reason", row.salt, {"id": row.id, "reason": row.quarantine_reason})


def commit_tombstone(tenant: TenantRow | sa.Row[Any], digest: str) -> str:
    return audit.commit("tombstone", tenant.tombstone_salt, {"digest": digest})


def commit_batch(tx: Transaction, row: BatchRow) -> str:
    return audit.commit("batch", row.salt, batch_content(tx, row))


def commit_adapter(row: AdapterRow) -> str:
    return audit.commit("adapter", row.salt, adapter_content(row))


def commit_scores(row: AdapterRow) -> str:
    return audit.commit("scores", row.salt, scores_content(row))


def commit_publication(row: AdapterRow, engine: str, name: str) -> str:
    """To where an adapter was brought, or taken from, and what it is called there."""
    return audit.commit("publication", row.salt, {"id": row.id, "engine": engine, "name": name})


def commit_verdict(row: AdapterRow) -> str:
    verdict = asdict(row.verdict) if row.verdict else None
    return audit.commit("verdict", row.salt, {"id": row.id, "verdict": verdict})


def tenant_content(row: TenantRow | sa.Row[Any]) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "is_shared": row.is_shared}


def utterance_content(row: UtteranceRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "tenant": row.tenant,
        "speaker": row.speaker,
        "text": row.text,
        "source": row.source,
        "said_at": text(row.said_at),
        "details": row.details,
    }


def fact_content(row: FactRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "tenant": row.tenant,
        "subject": row.subject,
        "relation": row.relation,
        "object": row.object,
        "statement": row.statement,
        "cardinality": row.cardinality.value,
        "recorded_at": text(row.recorded_at),
        "valid_from": text(row.stated_from),
        "stated_until": text(row.stated_until) if row.stated_until else None,
        "utterance_id": row.utterance_id,
        "span": [row.start, row.end],
        "supersedes_id": row.supersedes_id,
        "source": row.source,
    }


def commit_mention(row: MentionRow, heard: UtteranceRow) -> str:
    """Under the salt of the utterance: with its words goes who said what in them."""
    return audit.commit(audit.MENTION, heard.salt, mention_content(row))


def mention_content(row: MentionRow) -> dict[str, Any]:
    dates = {"valid_from": row.valid_from, "valid_until": row.valid_until, "dated_at": row.dated_at}
    said = {name: text(moment) for name, moment in dates.items() if moment is not None}
    return {"fact_id": row.fact_id, "utterance_id": row.utterance_id, "span": [row.start, row.end], **said}


def commit_proposal(row: ProposalRow) -> str:
    return audit.commit("proposal", row.salt, proposal_content(row))


def proposal_content(row: ProposalRow) -> dict[str, Any]:
    candidate = plain_candidate(row.candidate)
    return {"id": row.id, "utterance_id": row.utterance_id, "candidate": candidate}


def commit_item(row: ItemRow) -> str:
    return audit.commit("item", row.salt, item_content(row))


def item_content(row: ItemRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "tenant": row.tenant,
        "namespace": row.namespace,
        "key": row.key,
        "value": row.value,
        "text": row.text,
        "utterance_id": row.utterance_id,
        "updated_at": text(row.updated_at),
    }


def batch_content(tx: Transaction, row: BatchRow) -> dict[str, Any]:
    """Covers all that was claimed, also what was set aside since; overrides came later and are left out."""
    members = (
        sa.select(BatchFactRow.commitment)
        .where(BatchFactRow.batch_id == row.id, BatchFactRow.role != Role.OVERRIDE)
        .order_by(BatchFactRow.position)
    )
    content = {"id": row.id, "tenant": row.tenant, "facts": list(tx.scalars(members))}
    return content | ({"replaces_id": row.replaces_id} if row.replaces_id is not None else {})


def adapter_content(row: AdapterRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "tenant": row.tenant,
        "parent_id": row.parent_id,
        "batch_id": row.batch_id,
        "base_hash": row.base_hash,
        "path": row.path,
        "created_at": text(row.created_at),
    }


def scores_content(row: AdapterRow) -> dict[str, Any]:
    measured = {"scores": row.scores, "parent_scores": row.parent_scores}
    plain = {name: plain_scores(s) if s is not None else None for name, s in measured.items()}
    return {"id": row.id, **plain}


def tip(tx: Transaction) -> Tip:
    row = tx.scalars(sa.select(TipRow)).one_or_none()
    if row is None:
        return Tip(tenant=tx.tenant, position=0, hash=GENESIS, root=audit.root(()).hex())
    top = audit.root_of_peaks(peaks_of(row)).hex()
    return Tip(tenant=tx.tenant, position=row.position, hash=row.hash, root=top)


def entries(tx: Transaction) -> tuple[Entry, ...]:
    """The tenant's whole chain, in its order."""
    columns = [getattr(EntryRow, name) for name in Entry.__dataclass_fields__]
    chain = tx.execute(sa.select(*columns).order_by(EntryRow.position))
    return tuple(
        Entry(
            tenant=tenant,
            position=position,
            event=event,
            subject_id=subject_id,
            commitment=commitment,
            at=text(at),
            previous_hash=previous_hash,
            hash=own,
        )
        for tenant, position, event, subject_id, commitment, at, previous_hash, own in chain
    )


def peaks_of(row: TipRow | ArchiveRow | sa.Row[Any]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(row.peaks[at : at + 64]) for at in range(0, len(row.peaks), 64))


def as_text(peaks: Iterable[bytes]) -> str:
    """Roots of subtrees as a row keeps them."""
    return "".join(peak.hex() for peak in peaks)


def text(moment: datetime) -> str:
    """A time as it is hashed."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
