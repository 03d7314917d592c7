"""What one tenant knows, and the one door to it: a method is a transaction; records in and out, never rows.

Every change of state has its ledger entry in the same transaction. What a fact does to its slot is decided in
`slots`, what a batch does to the weights in `lineage`. No method takes a tenant: a store belongs to one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from memory import (
    clocks,
    database,
    export,
    forgetting,
    ledger,
    lineage,
    projection,
    prompt,
    review,
    slots,
    telling,
    verification,
    words,
)
from memory.access import AccessKeys
from memory.audit import EVENTS, Entry, Tip
from memory.errors import UnknownTenant, WrongState
from memory.items import Items
from memory.lifecycle import LifeCycle
from memory.records import (
    CHAT,
    USER,
    CandidateFact,
    Fact,
    FactStatus,
    Forgetting,
    Mention,
    Past,
    Proposal,
    ProposalStatus,
    Recorded,
    Told,
    Utterance,
    Verification,
    now,
)
from memory.sources import Sources
from memory.tables import (
    AdapterRow,
    FactRow,
    MentionRow,
    ProposalRow,
    UtteranceRow,
    is_current,
)
from memory.tenancy import Door
from memory.text import key, require_storable
from memory.transaction import NOBODY
from memory.vectors import Vectors

logger = logging.getLogger(__name__)


class FactStore(LifeCycle):
    """One tenant's facts, utterances, batches, adapters and ledger. An `Archive` opens it.

    The tenant is made by the first thing written. Ids may be shortened as long as they stay unique.
    """

    def __init__(self, door: Door) -> None:
        super().__init__(door)
        self.items, self.vectors, self.keys = Items(door), Vectors(door), AccessKeys(door)
        self.sources = Sources(door)

    # The tenant

    def declare(self, *, shared: bool) -> None:
        """Say what kind of lineage the tenant is. The kind never changes: facts were told under it."""
        with self._writing(shared=shared) as tx:
            if tx.owner.is_shared != shared:
                kind = "personal" if shared else "shared"
                raise WrongState(f"{self.tenant!r} is a {kind} lineage already; choose another name")

    def exists(self) -> bool:
        """Whether anything was ever written for the tenant."""
        with self._reading() as tx:
            return tx.tenant != NOBODY

    def is_shared(self) -> bool:
        with self._reading() as tx:
            return tx.owner is not None and tx.owner.is_shared

    def identity(self) -> str:
        """The random id that stands for the tenant wherever its name must not; the tenant is made with it."""
        with self._writing() as tx:
            return tx.tenant

    def counts(self) -> dict[FactStatus, int]:
        """How many facts are in each state, those with none included."""
        per_status = sa.select(FactRow.status, sa.func.count()).group_by(FactRow.status)
        with self._reading() as tx:
            return dict.fromkeys(FactStatus, 0) | dict(tx.execute(per_status).all())

    # What was said, and the facts in it

    def tell(
        self,
        text: str,
        candidates: Sequence[CandidateFact] = (),
        *,
        proposed: Sequence[CandidateFact] = (),
        set_aside: Mapping[CandidateFact, str] | None = None,
        speaker: str = USER,
        source: str = CHAT,
        said_at: datetime | None = None,
        details: Mapping[str, str] | None = None,
    ) -> Told:
        """Keep an utterance word for word, with what was found in it, applied in order and as a whole.

        The same value again is one row; another value of a functional slot supersedes; a retraction reopens
        what the retracted value had superseded. What is `proposed` waits for a person: it is served to
        nobody, and ends nothing. What is `set_aside`, each with the reason, is served from the prompt and
        kept out of edits until it is released. What was forgotten once is not learned again, and the words
        that say it are not kept. Raises SharedLineage for "user" in a shared lineage.
        """
        require_storable(utterance=text, speaker=speaker, source=source)
        for name, detail in (details or {}).items():
            require_storable(**{"name of a detail": name, "detail": detail})
        _require_aware(said_at=said_at)
        with self._writing() as tx:
            buried = forgetting.buried(tx, (*candidates, *proposed))
            heard = telling.hear(
                tx, text, speaker=speaker, source=source, said_at=said_at or now(), details=details or {},
                is_erased=bool(buried),
            )  # fmt: skip
            return telling.tell(
                tx, heard, candidates, proposed=proposed, set_aside=set_aside or {}, buried=buried
            )

    def proposals(self, *statuses: ProposalStatus) -> tuple[Proposal, ...]:
        """What waits for a person, oldest first; `statuses` asks for what was decided."""
        wanted = sa.select(ProposalRow).where(ProposalRow.status.in_(statuses or [ProposalStatus.PROPOSED]))
        with self._reading() as tx:
            return tuple(review.record_of(row) for row in tx.scalars(wanted.order_by(ProposalRow.number)))

    def approve(self, proposal_id: str) -> Recorded:
        """Make a proposal what it would have been without review. Raises WrongState when it was decided."""
        with self._writing() as tx:
            return review.approve(tx, tx.named(ProposalRow, proposal_id))

    def decline(self, proposal_id: str) -> Proposal:
        """A proposal never becomes a fact. Raises WrongState when it was decided."""
        with self._writing() as tx:
            return review.record_of(review.decline(tx, tx.named(ProposalRow, proposal_id)))

    def utterance(self, utterance_id: str) -> Utterance:
        with self._reading() as tx:
            return slots.utterance_record(tx.named(UtteranceRow, utterance_id))

    def utterances(self, *, saying: str | None = None) -> tuple[Utterance, ...]:
        """All that was said, or what was said in these very words, in the order it was heard."""
        heard = sa.select(UtteranceRow).order_by(UtteranceRow.number)
        if saying is not None:
            heard = heard.where(UtteranceRow.text == saying)
        with self._reading() as tx:
            return tuple(slots.utterance_record(row) for row in tx.scalars(heard))

    def mentions(self, fact_id: str) -> tuple[Mention, ...]:
        """The provenance of a fact: every time that it was said or taken back, first to last."""
        with self._reading() as tx:
            fact = tx.named(FactRow, fact_id)
            again = tx.scalars(
                sa.select(MentionRow).where(MentionRow.fact_id == fact.id).order_by(MentionRow.number)
            )
            return tuple(
                Mention(
                    utterance=slots.utterance_record(tx.named(UtteranceRow, said.utterance_id)),
                    start=said.start,
                    end=said.end,
                )
                for said in (fact, *again)
            )

    # Facts

    def fact(self, fact_id: str) -> Fact:
        with self._reading() as tx:
            return slots.fact_record(tx.named(FactRow, fact_id))

    def facts(
        self,
        *,
        statuses: Iterable[FactStatus] | None = None,
        subject: str | None = None,
        relation: str | Collection[str] | None = None,
        as_of: datetime | None = None,
        recorded_as_of: datetime | None = None,
        newest: int | None = None,
    ) -> tuple[Fact, ...]:
        """The facts that stand, oldest first; `statuses` asks for others, `newest` for so many at most.

        `as_of` asks what was true then, by all we know now; `recorded_as_of` what we held true then, whatever
        we learned since; both together, what we then thought was true at `as_of`.
        """
        _require_aware(as_of=as_of, recorded_as_of=recorded_as_of)
        wanted = sa.select(FactRow).order_by(FactRow.number.desc()).limit(newest)
        if subject is not None:
            wanted = wanted.where(FactRow.subject_key == key(subject))
        if relation is not None:
            wanted = wanted.where(FactRow.relation.in_([relation] if isinstance(relation, str) else relation))
        if statuses is not None:
            wanted = wanted.where(FactRow.status.in_(tuple(statuses)))
        elif as_of is None and recorded_as_of is None:
            wanted = wanted.where(is_current, clocks.still_holds(now()))
        with self._reading() as tx:
            found = slots.read(tx, wanted.where(*clocks.stood(as_of, recorded_as_of)))
            return tuple(found.values())[::-1]

    def told_of(self, candidate: CandidateFact) -> tuple[Fact, ...]:
        """The facts of a candidate's slot, whatever became of them; of its value alone where it names one."""
        with self._reading() as tx:
            return slots.fact_records(slots.told_of(tx, candidate))

    def history(self, fact_id: str) -> tuple[Fact, ...]:
        """A fact with all that it superseded and all that superseded it, oldest first."""
        with self._reading() as tx:
            return slots.history(tx, tx.named(FactRow, fact_id))

    def search(self, text: str, limit: int = 10) -> tuple[Fact, ...]:
        """Standing facts that share words with the query: those with most, and with rarer ones, first."""
        return tuple(self.ranked(text, limit))

    def ranked(self, text: str, limit: int = 10) -> dict[Fact, float]:
        """The same, each with the share of the query's words that it has, in 0-1."""
        with self._reading() as tx:
            # Twice as many, because some of them may have ended.
            shares = words.nearest(tx, "facts_words", text, 2 * limit)
            standing = sa.select(FactRow).where(FactRow.number.in_(shares), is_current, clocks.holds(now()))
            found = slots.read(tx, standing, numbered=True)
            best = [number for number in shares if number in found][:limit]
            return {found[number]: shares[number] for number in best}

    def recall(self, about: str | None = None, limit: int = 200) -> tuple[Fact, ...]:
        """What the prompt has to serve now, oldest first.

        That is what holds now and no weights serve yet and, as retracted facts, what they hold and must be
        told not to say. A learned fact costs nothing and is not here. With `about`, at most so many: those
        that share words with it, then the newest. A fact whose own end has come is taken back first.
        """
        with self._reading() as tx:
            if not slots.is_anything_over(tx):
                return prompt.recalled(tx, about, limit)
        with self._writing() as tx:
            slots.end_what_is_over(tx)
            return prompt.recalled(tx, about, limit)

    def contradicting(self, facts: Sequence[Fact]) -> frozenset[str]:
        """Which of these, by their ids, say something else than the serving weights, or take it back."""
        with self._reading() as tx:
            return lineage.contradicting(tx, [fact.id for fact in facts])

    def learned(self) -> tuple[Fact, ...]:
        """The facts that the weights alone serve."""
        return self.facts(statuses=[FactStatus.LEARNED])

    def taught(self) -> tuple[Fact, ...]:
        """All facts whose value the serving weights hold, also those that ended and the prompt overrides."""
        in_weights = sa.select(FactRow).where(FactRow.adapter_id.is_not(None))
        with self._reading() as tx:
            return slots.fact_records(tx.scalars(in_weights.order_by(FactRow.number)))

    def held_by(self, adapter_id: str) -> tuple[Fact, ...]:
        """All facts whose value the weights of this adapter hold, whether it serves or not."""
        with self._reading() as tx:
            return slots.fact_records(projection.held(tx, tx.named(AdapterRow, adapter_id)))

    def past(self, adapter_id: str, position: int) -> Past:
        """What an adapter was taught on top of, as it stood when the ledger had so many entries."""
        with self._reading() as tx:
            return projection.past(tx, tx.named(AdapterRow, adapter_id), position)

    def quarantine(self, fact_id: str, reason: str) -> Fact:
        """Keep a fact out of edits until it is released; the prompt still serves it.

        One that is being edited leaves its batch. Raises WrongState for a fact that waits for no edit.
        """
        with self._writing() as tx:
            row = tx.named(FactRow, fact_id)
            lineage.quarantine(tx, row, reason)
            tx.flush()
            return slots.fact_record(row)

    def release(self, fact_id: str) -> Fact:
        """Let a held or quarantined fact be claimed again."""
        with self._writing() as tx:
            row = tx.named(FactRow, fact_id)
            lineage.release(tx, row)
            tx.flush()
            return slots.fact_record(row)

    # Forgetting

    def foresee(
        self, fact_ids: Sequence[str] = (), subject: str | None = None, utterance_ids: Sequence[str] = ()
    ) -> Forgetting:
        """What forgetting would take away; nothing is changed."""
        with self._reading() as tx:
            return forgetting.foreseen(tx, forgetting.meant(tx, fact_ids, subject, utterance_ids))

    def forget(
        self, fact_ids: Sequence[str] = (), subject: str | None = None, utterance_ids: Sequence[str] = ()
    ) -> Forgetting:
        """Erase facts, or all about a subject, as if they had never been heard, and say what went.

        Of utterances that are named the words go, and what was proposed because of them, whatever stays.

        The last clean ancestor serves at once, and what stays is served from the prompt until a rebuild. The
        files of the adapters are not the store's to delete. Nothing of the words is left in the database's
        file, which is written anew for that.
        """
        with self._writing() as tx:
            meant = forgetting.meant(tx, fact_ids, subject, utterance_ids)
            taken = forgetting.forget(tx, meant)
        logger.info("forgot %d facts of %s", len(taken.facts), taken.tenant_id)
        database.sweep(self._engine)
        return taken

    def forget_everything(self) -> Forgetting:
        """Erase all that is held about the tenant, its name included, and say what went.

        What is left is a chain of hashes under a random id, which still verifies. Raises UnknownTenant.
        """
        if not self.exists():
            raise UnknownTenant(self.tenant)
        with self._writing() as tx:
            taken = forgetting.forget_tenant(tx)
        database.sweep(self._engine)
        return taken

    def allow(self, candidate: CandidateFact) -> bool:
        """Let something that was forgotten be learned again; False when it never was."""
        with self._writing() as tx:
            return forgetting.unbury(tx, candidate)

    # The ledger

    def tip(self) -> Tip:
        """Where the chain ends. Kept elsewhere, it shows a tail that was cut together with its tip row."""
        with self._reading() as tx:
            return ledger.tip(tx)

    def ledger(self) -> tuple[Entry, ...]:
        with self._reading() as tx:
            return ledger.entries(tx)

    def entry_of(self, kind: str, row_id: str) -> Entry:
        """The entry that commits to a row of this kind."""
        with self._reading() as tx:
            return next(e for e in ledger.entries(tx) if (e.event, e.subject_id) == (EVENTS[kind], row_id))

    def export(self) -> Iterator[dict[str, Any]]:
        """All that is held about the tenant, a line each, as `audit` checks it."""
        with self._reading() as tx:
            yield from export.lines(tx)

    def verify(self) -> Verification:
        """Check the tenant's chain, and the rows it vouches for."""
        with self._reading() as tx:
            return verification.verify(tx, self.tenant)


def _require_aware(**moments: datetime | None) -> None:
    for name, moment in moments.items():
        if moment is not None and moment.tzinfo is None:
            raise ValueError(f"{name} needs a time zone, got the naive {moment.isoformat()}")
