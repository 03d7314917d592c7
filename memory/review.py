"""What a person decides before it is a fact: proposed, then approved or declined."""

from __future__ import annotations

import secrets

from memory import ledger, slots
from memory.errors import WrongState
from memory.records import CandidateFact, Proposal, ProposalStatus, Recorded, now
from memory.tables import ProposalRow, UtteranceRow
from memory.text import new_id
from memory.transaction import Transaction


def propose(tx: Transaction, heard: UtteranceRow, candidate: CandidateFact) -> ProposalRow:
    row = ProposalRow(
        id=new_id("p"),
        tenant=tx.tenant,
        candidate=candidate,
        utterance_id=heard.id,
        status=ProposalStatus.PROPOSED,
        proposed_at=now(),
        salt=secrets.token_hex(16),
    )
    tx.add(row)
    ledger.append(tx, "fact.proposed", row.id, ledger.commit_proposal(row))
    return row


def approve(tx: Transaction, row: ProposalRow) -> Recorded:
    """Apply the candidate to its slot as it is now, which may not be as it was when it was proposed."""
    _decide(tx, row, ProposalStatus.APPROVED)
    recorded = slots.record(tx, tx.named(UtteranceRow, row.utterance_id), row.candidate)
    row.fact_id = recorded.fact.id if recorded.fact else None
    return recorded


def decline(tx: Transaction, row: ProposalRow) -> ProposalRow:
    _decide(tx, row, ProposalStatus.DECLINED)
    return row


def record_of(row: ProposalRow) -> Proposal:
    return Proposal(
        id=row.id,
        candidate=row.candidate,
        utterance_id=row.utterance_id,
        status=row.status,
        proposed_at=row.proposed_at,
        decided_at=row.decided_at,
        fact_id=row.fact_id,
    )


def _decide(tx: Transaction, row: ProposalRow, decision: ProposalStatus) -> None:
    if row.status is not ProposalStatus.PROPOSED:
        raise WrongState(f"proposal {row.id} is {row.status} already")
    row.status, row.decided_at = decision, now()
    ledger.append(tx, f"proposal.{decision}", row.id, ledger.commit_proposal(row))
