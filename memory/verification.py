"""Checks the rows of a tenant against its chain: what they say, and what the chain says became of them.

No entry vouches for what only steers work or grows by itself: leases, what was read of sources, attempts,
the confidence of a fact, the batch it was last in, what the weights held before a batch, the indexes of
words, and the times that stand beside an entry, which has its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from memory import audit, ledger
from memory.audit import AGAIN, ENDS, FORGOTTEN, Entry, Tip
from memory.records import (
    STATEMENT,
    AdapterStatus,
    BatchStatus,
    FactStatus,
    ProposalStatus,
    Verification,
)
from memory.tables import (
    AccessKeyRow,
    AdapterRow,
    BatchFactRow,
    BatchRow,
    FactRow,
    ItemRow,
    MentionRow,
    ProposalRow,
    Role,
    TenantRow,
    TombstoneRow,
    UtteranceRow,
)
from memory.text import key
from memory.transaction import Transaction

ADDED: Final = (
    *("utterance.heard", "fact.recorded", "fact.proposed", "item.kept"),
    *("batch.claimed", "adapter.created", "key.issued"),
)
"""The events that commit to what a row says; the commitment is computed again when verifying."""

BECAME: Final[dict[str, StrEnum]] = {
    "batch.claimed": BatchStatus.CLAIMED,
    "batch.failed": BatchStatus.FAILED,
    "fact.proposed": ProposalStatus.PROPOSED,
    "proposal.approved": ProposalStatus.APPROVED,
    "proposal.declined": ProposalStatus.DECLINED,
    "adapter.created": AdapterStatus.CANDIDATE,
    "adapter.promoted": AdapterStatus.PROMOTED,
    "adapter.restored": AdapterStatus.PROMOTED,
    "adapter.rejected": AdapterStatus.REJECTED,
    "adapter.reverted": AdapterStatus.REVERTED,
    "adapter.forgotten": AdapterStatus.FORGOTTEN,
}
"""What an event makes of the batch, proposal or adapter that it is about."""

JUDGED: Final = ("adapter.promoted", "adapter.rejected")


def verify(tx: Transaction, name: str, signed: Tip | None = None) -> Verification:
    """Check the chain link by link, its ends against the tips, and the rows against what it says of them.

    `signed` is where the chain ended when a checkpoint was made.
    """
    chain = ledger.entries(tx)
    problems = [
        *audit.broken_chain(chain, ledger.tip(tx)),
        *(audit.broken_prefix(chain, signed) if signed else ()),
        *_changed_rows(tx, chain),
    ]
    return Verification(n_entries=len(chain), problems=tuple(f"{name}: {problem}" for problem in problems))


@dataclass(slots=True, kw_only=True)
class _Story:
    """What a chain says became of everything, read from its first entry to its last."""

    committed: dict[tuple[str, str], Entry] = field(default_factory=dict)
    """The last entry of each kind about each thing, where a later word on the same row is one, too."""
    became: dict[str, StrEnum] = field(default_factory=dict)
    ends: dict[str, Entry] = field(default_factory=dict)
    """Of the facts that ended and do not stand again, the entry that says how."""
    kept_out: dict[str, Entry] = field(default_factory=dict)
    """Of the facts that are held or quarantined, the entry that says so."""
    mentions: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    erased: set[str] = field(default_factory=set)
    """The utterances whose words, and the salt of who said what in them, are gone."""
    tombstones: dict[str, Entry] = field(default_factory=dict)
    serving_id: str | None = None
    running_id: str | None = None
    """The batch that is being edited."""
    made_in: dict[str, str] = field(default_factory=dict)
    """The batch that each adapter was made in; one that is made again is of another."""
    collected: set[str] = field(default_factory=set)
    """The adapters whose files are gone."""


def _told(chain: Iterable[Entry], taught: dict[str, list[str]], batch_of: dict[str, str]) -> _Story:
    story = _Story()
    for entry in chain:
        event, about = entry.event, entry.subject_id
        story.committed[AGAIN.get(event, event), about] = entry
        if event in BECAME:
            story.became[about] = BECAME[event]
        if event in ENDS:
            story.ends[about] = entry
        elif event == "fact.reopened":
            story.ends.pop(about, None)
        if event in ("fact.quarantined", "fact.held"):
            story.kept_out[about] = entry
        elif event in ("fact.released", "fact.retracted"):
            story.kept_out.pop(about, None)
        elif event == "utterance.erased":
            story.erased.add(about)
        elif event == "fact.mentioned":
            story.mentions[about][entry.commitment] += 1
        elif event == "tombstone.laid":
            story.tombstones[about] = entry
        elif event == "tombstone.lifted":
            story.tombstones.pop(about, None)
        elif event == "adapter.collected":
            story.collected.add(about)
        elif event == "adapter.brought_back":
            story.collected.discard(about)
        elif event == "batch.claimed":
            story.running_id = about
        elif event == "adapter.created":
            story.collected.discard(about)
            if about in batch_of and story.running_id is not None:
                story.made_in[about] = story.running_id
            for measured in ("adapter.scored", *JUDGED):
                story.committed.pop((measured, about), None)
        elif event == "adapter.promoted":
            if story.serving_id is not None:
                story.became[story.serving_id] = AdapterStatus.RETIRED
            batch_id = story.made_in.get(about, "")
            if batch_id:
                story.became[batch_id] = BatchStatus.DONE
            for fact_id in taught[batch_id]:
                story.kept_out.pop(fact_id, None)
        if event in ("adapter.promoted", "adapter.restored"):
            story.serving_id = about
        elif event in ("adapter.reverted", "adapter.forgotten") and story.serving_id == about:
            story.serving_id = None
    return story


def _changed_rows(tx: Transaction, chain: Sequence[Entry]) -> Iterator[str]:
    if any(entry.event == "tenant.forgotten" for entry in chain):
        return
    taught = defaultdict[str, list[str]](list)
    for batch_id, fact_id in tx.execute(_members(Role.FACT)):
        taught[batch_id].append(fact_id)
    made = tx.execute(sa.select(AdapterRow.id, AdapterRow.batch_id))
    batch_of = {adapter_id: batch_id for adapter_id, batch_id in made if batch_id is not None}
    story = _told(chain, taught, batch_of)
    # Loaded once: most of the time goes there.
    facts = tx.scalars(sa.select(FactRow).order_by(FactRow.number)).all()
    yield from _edited(tx, story, facts)
    yield from _changed_states(tx, story)
    yield from _changed_facts(tx, story, facts, taught, batch_of)
    yield from _changed_members(tx, chain)
    yield from _changed_mentions(tx, story)
    yield from _changed_tombstones(tx, story)


def _edited(tx: Transaction, story: _Story, facts: Sequence[FactRow]) -> Iterator[str]:
    found = set()
    for event, row_id, commitments in _committed_rows(tx, facts):
        found.add((event, row_id))
        entry = story.committed.get((event, row_id))
        if entry is None:
            yield f"{row_id} has no {event} entry: it was added behind the ledger's back"
        elif any(commitment != entry.commitment for commitment in commitments):
            yield f"{row_id} no longer says what entry {entry.position} ({event}) committed to: it was edited"
    for (event, row_id), entry in story.committed.items():
        is_forgotten = (FORGOTTEN.get(event, ""), row_id) in story.committed
        is_expected = event in ADDED or event in ("tenant.registered", "adapter.scored")
        if is_expected and (event, row_id) not in found and not is_forgotten:
            yield f"{row_id} of entry {entry.position} ({event}) is gone, and no entry says it was forgotten"


def _committed_rows(tx: Transaction, facts: Sequence[FactRow]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every row that an entry vouches for, with its commitments computed from what it says today."""
    if (tenant := tx.get(TenantRow, tx.tenant)) is not None:
        yield "tenant.registered", tenant.id, (ledger.commit_tenant(tenant),)
    for utterance in tx.scalars(sa.select(UtteranceRow)):
        yield "utterance.heard", utterance.id, (ledger.commit_utterance(utterance),)
    for fact in facts:
        yield "fact.recorded", fact.id, (ledger.commit_fact(fact), fact.commitment)
    for proposal in tx.scalars(sa.select(ProposalRow)):
        yield "fact.proposed", proposal.id, (ledger.commit_proposal(proposal),)
    for item in tx.scalars(sa.select(ItemRow)):
        yield "item.kept", item.id, (ledger.commit_item(item),)
    for access_key in tx.scalars(sa.select(AccessKeyRow)):
        yield "key.issued", access_key.id, (ledger.commit_access_key(access_key),)
    for batch in tx.scalars(sa.select(BatchRow)):
        yield "batch.claimed", batch.id, (ledger.commit_batch(tx, batch),)
    for adapter in tx.scalars(sa.select(AdapterRow)):
        yield "adapter.created", adapter.id, (ledger.commit_adapter(adapter),)
        if adapter.scores is not None:
            yield "adapter.scored", adapter.id, (ledger.commit_scores(adapter),)


def _changed_states(tx: Transaction, story: _Story) -> Iterator[str]:
    """Batches, proposals and adapters: what they are, how they were judged, and which of them serves."""
    adapters = tx.scalars(sa.select(AdapterRow)).all()
    for row in (*tx.scalars(sa.select(BatchRow)), *tx.scalars(sa.select(ProposalRow)), *adapters):
        if row.status is not (expected := story.became.get(row.id, row.status)):
            yield f"{row.id} is {row.status}, and the ledger says {expected}"
    for adapter in adapters:
        judged = [entry for event in JUDGED if (entry := story.committed.get((event, adapter.id)))]
        last = max(judged, key=lambda entry: entry.position, default=None)
        if last is not None and ledger.commit_verdict(adapter) != last.commitment:
            yield f"{adapter.id} was judged otherwise in entry {last.position} ({last.event})"
        if (adapter.collected_at is not None) != (adapter.id in story.collected):
            yield f"whether the files of {adapter.id} were collected, the ledger says otherwise"
    for access_key in tx.scalars(sa.select(AccessKeyRow)):
        is_revoked = ("key.revoked", access_key.id) in story.committed
        if (access_key.revoked_at is not None) != is_revoked:
            yield f"{access_key.id} is {'open' if is_revoked else 'revoked'}, and the ledger says otherwise"
    serves = tx.scalar(sa.select(AdapterRow.id).where(AdapterRow.status == AdapterStatus.PROMOTED))
    if serves != story.serving_id:
        yield f"{serves or 'nothing'} serves, and the ledger says {story.serving_id or 'nothing'}"


def _changed_facts(
    tx: Transaction,
    story: _Story,
    facts: Sequence[FactRow],
    taught: dict[str, list[str]],
    batch_of: dict[str, str],
) -> Iterator[str]:
    parents = dict(tx.execute(sa.select(AdapterRow.id, AdapterRow.parent_id)).all())
    lineage, adapter_id = list[str](), story.serving_id
    while adapter_id is not None and adapter_id not in lineage:
        lineage.append(adapter_id)
        adapter_id = parents.get(adapter_id)
    running = {
        fact_id for batch, facts in taught.items() for fact_id in facts
        if story.became.get(batch) is BatchStatus.CLAIMED
    }  # fmt: skip
    dated = _dated(tx)
    for row in facts:
        since, until = dated.get(row.id, (None, None))
        since, until = since or row.stated_from, until or row.stated_until
        told = story.committed.get(("fact.dated", row.id))
        is_told = ledger.commit_period(row, since, until) == told.commitment if told else row.id not in dated
        if row.valid_from != since or not is_told:
            yield f"{row.id} holds from or until a day that no entry tells of"
        if (expected := _status(story, row, running)) is not row.status:
            yield f"{row.id} is {row.status}, and the ledger says {expected}"
        elif (end := story.ends.get(row.id)) is not None and ledger.commit_end(row) != end.commitment:
            yield f"{row.id} ended otherwise in entry {end.position} ({end.event}): its end was edited"
        elif end is None and (row.valid_until, row.ended_at) != (until, None):
            yield f"{row.id} has an end that no entry tells of"
        kept = story.kept_out.get(row.id)
        reason = kept if kept is not None and kept.event == "fact.quarantined" else None
        if row.is_held != (kept is not None and kept.event == "fact.held"):
            yield f"{row.id} is {'held' if row.is_held else 'not held'}, and the ledger says otherwise"
        if (row.quarantine_reason is None) != (reason is None) or (
            reason is not None and ledger.commit_reason(row) != reason.commitment
        ):
            yield f"{row.id} is kept out of edits for a reason that no entry tells of"
        if row.adapter_id is not None and (
            row.adapter_id not in lineage or row.id not in taught[batch_of.get(row.adapter_id, "")]
        ):
            yield f"{row.id} is said to be in {row.adapter_id}, which serves not or never was taught it"
        compared = row.statement if row.relation == STATEMENT else row.object
        if (row.subject_key, row.value_key) != (key(row.subject), key(compared)):
            yield f"{row.id} is compared by what it does not say: its keys were edited"


def _dated(tx: Transaction) -> dict[str, tuple[datetime | None, datetime | None]]:
    """The beginning and the end that mentions said of facts: of each the last."""
    said: dict[str, tuple[datetime | None, datetime | None]] = {}
    columns = (MentionRow.fact_id, MentionRow.valid_from, MentionRow.valid_until)
    dated = sa.select(*columns).where(MentionRow.dated_at.is_not(None)).order_by(MentionRow.number)
    for fact_id, since, until in tx.execute(dated):
        before = said.get(fact_id, (None, None))
        said[fact_id] = (since or before[0], until or before[1])
    return said


def _status(story: _Story, row: FactRow, running: set[str]) -> FactStatus:
    """Where a fact is, by all that the chain says of it; which weights hold it is the row's own word."""
    if (end := story.ends.get(row.id)) is not None:
        return FactStatus(ENDS[end.event])
    if (kept := story.kept_out.get(row.id)) is not None:
        return FactStatus.HELD if kept.event == "fact.held" else FactStatus.QUARANTINED
    if row.adapter_id is not None:
        return FactStatus.LEARNED
    return FactStatus.CLAIMED if row.id in running else FactStatus.PENDING


def _changed_members(tx: Transaction, chain: Sequence[Entry]) -> Iterator[str]:
    """A batch commits to what it claimed; which facts those were, the chain says too."""
    known = defaultdict[str, set[str]](set)
    stood_at: dict[str, set[str]] = {}
    standing, quarantined = set[str](), set[str]()
    for entry in chain:
        if entry.event in ("fact.recorded", "fact.relinked"):
            known[entry.subject_id].add(entry.commitment)
        if entry.event in ("fact.recorded", "fact.reopened"):
            standing.add(entry.subject_id)
        elif entry.event in ENDS:
            standing.discard(entry.subject_id)
        elif entry.event == "batch.claimed":
            stood_at[entry.subject_id] = set(standing)
        elif entry.event == "fact.quarantined":
            quarantined.add(entry.subject_id)
    claimed = sa.select(BatchFactRow).join(BatchRow, BatchRow.id == BatchFactRow.batch_id)
    for row in tx.scalars(claimed.where(BatchFactRow.role != Role.OVERRIDE)):
        stood = row.fact_id in stood_at.get(row.batch_id, ())
        is_told = (
            row.fact_id in quarantined
            if row.role is Role.SET_ASIDE
            else row.role is Role.PUT_BACK or stood == (row.role in (Role.FACT, Role.LOST))
        )
        if row.commitment not in known[row.fact_id] or not is_told:
            yield f"{row.batch_id} did not claim {row.fact_id} as {row.role}: its members were edited"


def _changed_mentions(tx: Transaction, story: _Story) -> Iterator[str]:
    """Who said a fact again. Of words that were erased with another fact, the count is left."""
    found = defaultdict[str, list[str | None]](list)
    again = sa.select(MentionRow, UtteranceRow).join(UtteranceRow, UtteranceRow.id == MentionRow.utterance_id)
    for mention, heard in tx.execute(again.order_by(MentionRow.number)):
        is_erased = heard.id in story.erased
        found[mention.fact_id].append(None if is_erased else ledger.commit_mention(mention, heard))
    for fact_id in {*found, *story.mentions}:
        told, seen = story.mentions[fact_id], found[fact_id]
        is_forgotten = ("fact.forgotten", fact_id) in story.committed
        whole = Counter(commitment for commitment in seen if commitment is not None)
        if not is_forgotten and (whole - told or len(seen) != told.total()):
            yield f"the mentions of {fact_id} are not those that the ledger tells of"


def _changed_tombstones(tx: Transaction, story: _Story) -> Iterator[str]:
    tenant = tx.get(TenantRow, tx.tenant)
    digests = set(tx.scalars(sa.select(TombstoneRow.digest)))
    for digest, entry in story.tombstones.items():
        if digest not in digests:
            yield (
                f"the tombstone of entry {entry.position} is gone: what was forgotten could be learned again"
            )
        elif tenant is not None and ledger.commit_tombstone(tenant, digest) != entry.commitment:
            yield f"the tombstone of entry {entry.position} is blind: the tenant's salt was edited"
    if added := digests - story.tombstones.keys():
        yield f"{len(added)} tombstones were laid behind the ledger's back: what they bury is refused"


def _members(role: Role) -> sa.Select[str, str]:
    return (
        sa.select(BatchFactRow.batch_id, BatchFactRow.fact_id)
        .join(BatchRow, BatchRow.id == BatchFactRow.batch_id)
        .where(BatchFactRow.role == role)
    )
