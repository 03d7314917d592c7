"""All that is held about one tenant, as the lines of a file that `audit` checks without the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from memory import ledger, slots
from memory.audit import MENTION
from memory.tables import (
    AccessKeyRow,
    AdapterRow,
    BatchRow,
    FactRow,
    ItemRow,
    MentionRow,
    ProposalRow,
    TenantRow,
    UtteranceRow,
)
from memory.transaction import Transaction


def lines(tx: Transaction) -> Iterator[dict[str, Any]]:
    """Rows with what the ledger committed to, the salt that opens it and what became of them; the chain."""
    if (tenant := tx.get(TenantRow, tx.tenant)) is not None:
        yield _row("tenant", tenant.salt, ledger.tenant_content(tenant), {})
    for said in tx.scalars(sa.select(UtteranceRow).order_by(UtteranceRow.number)):
        yield _row("utterance", said.salt, ledger.utterance_content(said), {})
    for fact in tx.scalars(sa.select(FactRow).order_by(FactRow.number)):
        yield _row("fact", fact.salt, ledger.fact_content(fact), _fact_state(tx, fact))
    for again in tx.scalars(sa.select(MentionRow).order_by(MentionRow.number)):
        yield {"kind": MENTION, **ledger.mention_content(again)}
    for made in tx.scalars(sa.select(ProposalRow).order_by(ProposalRow.number)):
        state = {"status": made.status.value, "fact_id": made.fact_id}
        yield _row("proposal", made.salt, ledger.proposal_content(made), state)
    for item in tx.scalars(sa.select(ItemRow).order_by(ItemRow.number)):
        yield _row("item", item.salt, ledger.item_content(item), {})
    for batch in tx.scalars(sa.select(BatchRow).order_by(BatchRow.number)):
        yield _row("batch", batch.salt, ledger.batch_content(tx, batch), {"status": batch.status.value})
    for adapter in tx.scalars(sa.select(AdapterRow).order_by(AdapterRow.number)):
        state = {"status": adapter.status.value}
        yield _row("adapter", adapter.salt, ledger.adapter_content(adapter), state)
        if adapter.scores is not None:
            yield _row("scores", adapter.salt, ledger.scores_content(adapter), {})
    for key in tx.scalars(sa.select(AccessKeyRow).order_by(AccessKeyRow.id)):
        revoked_at = ledger.text(key.revoked_at) if key.revoked_at else None
        yield _row("access_key", key.salt, ledger.access_key_content(key), {"revoked_at": revoked_at})
    for entry in ledger.entries(tx):
        yield {"kind": "entry", **asdict(entry)}
    if tenant is not None:
        yield {"kind": "tip", **asdict(ledger.tip(tx))}


def _row(kind: str, salt: str, content: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "salt": salt, "content": content, "state": state}


def _fact_state(tx: Transaction, row: FactRow) -> dict[str, Any]:
    # A fact that stands has it already; of one that ended it has to be looked up.
    until = row.valid_until if row.ended_at is None else slots.said_end(tx, row)
    return {
        "status": row.status.value,
        "valid_from": ledger.text(row.valid_from),
        "said_until": ledger.text(until) if until else None,
        "valid_until": ledger.text(row.valid_until) if row.valid_until else None,
        "ended_at": ledger.text(row.ended_at) if row.ended_at else None,
        "adapter_id": row.adapter_id,
        "batch_id": row.batch_id,
        "attempts": row.attempts,
        "quarantine_reason": row.quarantine_reason,
        "confidence": row.confidence,
    }
