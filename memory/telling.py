"""What is told: the words are kept, the facts in them go to their slots, the proposed ones wait."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime

from memory import ledger, lineage, review, slots
from memory.errors import SharedLineage
from memory.records import ERASED, USER, CandidateFact, FactStatus, Recorded, Told
from memory.tables import FactRow, UtteranceRow
from memory.text import key, new_id, require_storable
from memory.transaction import Transaction


def hear(
    tx: Transaction,
    text: str,
    *,
    speaker: str,
    source: str,
    said_at: datetime,
    details: Mapping[str, str],
    is_erased: bool,
) -> UtteranceRow:
    """Keep an utterance; of one that tells what was forgotten, only that something was said."""
    heard = UtteranceRow(
        id=new_id("u"),
        tenant=tx.tenant,
        speaker=speaker,
        text=ERASED if is_erased else text,
        source=source,
        said_at=said_at.astimezone(UTC),
        details={} if is_erased else dict(details),
        salt=secrets.token_hex(16),
    )
    tx.insert(heard)
    ledger.append(tx, "utterance.heard", heard.id, ledger.commit_utterance(heard))
    return heard


def tell(
    tx: Transaction,
    heard: UtteranceRow,
    candidates: Sequence[CandidateFact],
    *,
    proposed: Sequence[CandidateFact],
    set_aside: Mapping[CandidateFact, str],
    buried: Set[CandidateFact],
    free: Set[CandidateFact] = frozenset(),
    over: Set[str] = frozenset(),
) -> Told:
    """Apply what was found in an utterance, which is written already.

    `buried` are those that were forgotten once, `free` those that are known to meet no other fact. Facts
    that are `over`, by their ids, do not stand again when what superseded them is taken back.
    """
    found = (*candidates, *proposed)
    _require_tellable(tx, found)
    refused = {c for c in found if c in buried and not c.retracts}
    return Told(
        utterance=slots.utterance_record(heard),
        recorded=tuple(
            _record(tx, heard, c, set_aside.get(c), is_free=c in free, over=over)
            for c in candidates
            if c not in refused
        ),
        proposed=tuple(review.record_of(review.propose(tx, heard, c)) for c in proposed if c not in buried),
        refused=sum(c in refused for c in found),
    )


def _record(
    tx: Transaction,
    heard: UtteranceRow,
    candidate: CandidateFact,
    reason: str | None,
    *,
    is_free: bool,
    over: Set[str],
) -> Recorded:
    """Apply a candidate to its slot; with a reason, what waits for an edit now is kept out of edits."""
    done = slots.record(tx, heard, candidate, is_free=is_free, over=over)
    if reason is None or done.fact is None or done.fact.status is not FactStatus.PENDING:
        return done
    row = tx.named(FactRow, done.fact.id)
    lineage.quarantine(tx, row, reason)
    return replace(done, fact=slots.fact_record(row))


def _require_tellable(tx: Transaction, candidates: Sequence[CandidateFact]) -> None:
    for candidate in candidates:
        require_storable(subject=candidate.subject, object=candidate.object, statement=candidate.statement)
    if tx.owner.is_shared and any(key(candidate.subject) == USER for candidate in candidates):
        raise SharedLineage(tx.owner.name or tx.tenant)
