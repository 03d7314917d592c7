"""FactStore, the one door to what the agent knows: a method is a transaction; records in and out, never rows.

Every change of state has its ledger entry in the same transaction. What a fact does to its slot is decided in
`slots`, what a batch does to the weights in `lineage`.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session

from memory import database, leases, ledger, lineage, slots
from memory.errors import (
    AmbiguousId,
    SharedLineage,
    StoreError,
    UnknownAdapter,
    UnknownBatch,
    UnknownFact,
    UnknownUtterance,
    UnstorableText,
    WrongState,
)
from memory.records import (
    USER,
    Adapter,
    Batch,
    BatchStatus,
    CandidateFact,
    Fact,
    FactStatus,
    Lease,
    LedgerEntry,
    Recorded,
    Scores,
    Tip,
    Utterance,
    Verdict,
    Verification,
    now,
)
from memory.tables import AdapterRow, BatchRow, FactRow, LeaseRow, TenantRow, TipRow, UtteranceRow

logger = logging.getLogger(__name__)

FROM_PROMPT = (FactStatus.PENDING, FactStatus.CLAIMED, FactStatus.HELD, FactStatus.QUARANTINED)
"""The states of a fact that only the prompt can serve."""

FAILED = Verdict(promote=False, reasons=("its batch failed",))

Row = TypeVar("Row", FactRow, UtteranceRow, BatchRow, AdapterRow)


class FactStore:
    """Facts, their utterances, batches, adapters and ledger, on SQLite or PostgreSQL.

    A tenant is made by the first thing written for it. Ids may be shortened as long as they stay unique.
    """

    def __init__(self, url: str) -> None:
        self._engine = database.connect(url)
        self._reader = database.reader(self._engine)

    @classmethod
    def open(cls, url: str, migrate: bool = True) -> Self:
        """Connect, and bring the schema up to date.

        Raises StoreTooNew for a database that a newer version wrote, and StoreOutdated for an older one that
        may not be migrated.
        """
        store = cls(url)
        try:
            if migrate:
                database.upgrade(store._engine)
            else:
                database.require_head(store._engine)
        except StoreError:
            store.close()
            raise
        return store

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Tenants

    def register_tenant(self, tenant: str, *, shared: bool = False) -> None:
        """Say what kind of lineage a tenant is. The kind never changes, since facts were told under it."""
        with self._writing(tenant, shared=shared) as tx:
            if tx.get_one(TenantRow, tenant).is_shared != shared:
                kind = "personal" if shared else "shared"
                raise WrongState(f"{tenant!r} is a {kind} lineage already; choose another name")

    def tenants(self) -> tuple[str, ...]:
        with self._reading() as tx:
            return tuple(tx.scalars(sa.select(TenantRow.id).order_by(TenantRow.id)))

    def is_shared(self, tenant: str) -> bool:
        with self._reading() as tx:
            row = tx.get(TenantRow, tenant)
            return row is not None and row.is_shared

    def counts(self, tenant: str) -> dict[FactStatus, int]:
        """How many facts are in each state, those with none included."""
        per_status = (
            sa.select(FactRow.status, sa.func.count())
            .where(FactRow.tenant == tenant)
            .group_by(FactRow.status)
        )
        with self._reading() as tx:
            return dict.fromkeys(FactStatus, 0) | dict(tx.execute(per_status).all())

    # What was said, and the facts in it

    def hear(
        self, tenant: str, text: str, *, speaker: str = USER, said_at: datetime | None = None
    ) -> Utterance:
        """Keep an utterance word for word."""
        _require_storable(utterance=text, speaker=speaker)
        _require_aware(said_at=said_at)
        with self._writing(tenant) as tx:
            row = UtteranceRow(
                id=f"u_{secrets.token_hex(6)}",
                tenant=tenant,
                speaker=speaker,
                text=text,
                said_at=(said_at or now()).astimezone(UTC),
                salt=secrets.token_hex(16),
            )
            tx.add(row)
            tx.flush()
            ledger.append(tx, tenant, "utterance.heard", row.id, ledger.commit_utterance(row))
            return _utterance(row)

    def record(self, utterance: Utterance, candidates: Sequence[CandidateFact]) -> tuple[Recorded, ...]:
        """Apply what was found in an utterance, in order and as a whole.

        The same value again is one row; another value of a functional slot supersedes; a retraction reopens
        what the retracted value had superseded. Raises SharedLineage for "user" in a shared lineage.
        """
        for candidate in candidates:
            _require_storable(
                subject=candidate.subject, object=candidate.object, statement=candidate.statement
            )
        with self._writing(utterance.tenant) as tx:
            heard = tx.scalars(sa.select(UtteranceRow).where(UtteranceRow.id == utterance.id)).one_or_none()
            if heard is None or heard.tenant != utterance.tenant:
                raise UnknownUtterance(utterance.id)
            is_shared = tx.get_one(TenantRow, heard.tenant).is_shared
            if is_shared and any(slots.key(candidate.subject) == USER for candidate in candidates):
                raise SharedLineage(heard.tenant)
            recorded = tuple(slots.record(tx, heard, candidate) for candidate in candidates)
        logger.info("recorded %d candidates of %s for %s", len(recorded), utterance.id, utterance.tenant)
        return recorded

    def utterance(self, utterance_id: str) -> Utterance:
        with self._reading() as tx:
            return _utterance(_named(tx, UtteranceRow, utterance_id))

    def utterances(self, tenant: str) -> tuple[Utterance, ...]:
        """All that was said, in the order it was heard."""
        heard = sa.select(UtteranceRow).where(UtteranceRow.tenant == tenant).order_by(UtteranceRow.number)
        with self._reading() as tx:
            return tuple(_utterance(row) for row in tx.scalars(heard))

    def provenance(self, fact_id: str) -> Utterance:
        """The utterance that a fact came from."""
        with self._reading() as tx:
            return _utterance(_named(tx, UtteranceRow, _named(tx, FactRow, fact_id).utterance_id))

    # Facts

    def fact(self, fact_id: str) -> Fact:
        with self._reading() as tx:
            return slots.fact_record(_named(tx, FactRow, fact_id))

    def facts(
        self,
        tenant: str,
        *,
        statuses: Iterable[FactStatus] | None = None,
        subject: str | None = None,
        relation: str | None = None,
        as_of: datetime | None = None,
        recorded_as_of: datetime | None = None,
    ) -> tuple[Fact, ...]:
        """The facts that stand, oldest first; `statuses` asks for others.

        `as_of` asks what was true then, by all we know now; `recorded_as_of` what we held true then, whatever
        we learned since; both together, what we then thought was true at `as_of`.
        """
        _require_aware(as_of=as_of, recorded_as_of=recorded_as_of)
        wanted = sa.select(FactRow).where(FactRow.tenant == tenant).order_by(FactRow.number)
        if subject is not None:
            wanted = wanted.where(FactRow.subject_key == slots.key(subject))
        if relation is not None:
            wanted = wanted.where(FactRow.relation == relation)
        if statuses is not None:
            wanted = wanted.where(FactRow.status.in_(tuple(statuses)))
        elif as_of is None and recorded_as_of is None:
            wanted = wanted.where(FactRow.status.not_in(slots.ENDED))
        with self._reading() as tx:
            return slots.fact_records(tx.scalars(wanted.where(*_stood(as_of, recorded_as_of))))

    def history(self, fact_id: str) -> tuple[Fact, ...]:
        """A fact with all that it superseded and all that superseded it, oldest first."""
        with self._reading() as tx:
            chain = {row.id: row for row in _superseded_by(tx, _named(tx, FactRow, fact_id))}
            newer = list(chain)
            while newer:
                later = tx.scalars(sa.select(FactRow).where(FactRow.supersedes_id.in_(newer))).all()
                newer = [row.id for row in later if row.id not in chain]
                chain |= {row.id: row for row in later}
            return slots.fact_records(sorted(chain.values(), key=lambda row: row.number))

    def search(self, tenant: str, words: str, limit: int = 10) -> tuple[Fact, ...]:
        """Standing facts that share words with the query: most words first, then the newest."""
        asked = _words(words)
        facts = enumerate(self.facts(tenant))
        shared = [(len(asked & _words(f"{f.subject} {f.object} {f.statement}")), n, f) for n, f in facts]
        hits = sorted((hit for hit in shared if hit[0]), key=lambda hit: hit[:2], reverse=True)
        return tuple(fact for _, _, fact in hits[:limit])

    def recall(self, tenant: str) -> tuple[Fact, ...]:
        """What the prompt has to serve now, oldest first.

        That is what no weights serve yet and, as retracted facts, what they hold and must be told not to say.
        A learned fact costs nothing and is not here.
        """
        is_valid = sa.or_(FactRow.valid_until.is_(None), FactRow.valid_until > now())
        unlearned = sa.select(FactRow).where(
            FactRow.tenant == tenant, FactRow.status.in_(FROM_PROMPT), is_valid
        )
        with self._reading() as tx:
            rows = [*tx.scalars(unlearned), *lineage.negated(tx, tenant)]
            return slots.fact_records(sorted(rows, key=lambda row: row.number))

    def learned(self, tenant: str) -> tuple[Fact, ...]:
        """The facts that the weights alone serve."""
        return self.facts(tenant, statuses=[FactStatus.LEARNED])

    def taught(self, tenant: str) -> tuple[Fact, ...]:
        """All facts whose value the serving weights hold, also those that ended and the prompt overrides."""
        in_weights = sa.select(FactRow).where(FactRow.tenant == tenant, FactRow.adapter_id.is_not(None))
        with self._reading() as tx:
            return slots.fact_records(tx.scalars(in_weights.order_by(FactRow.number)))

    def quarantine(self, fact_id: str, reason: str) -> Fact:
        """Keep a fact out of edits until it is released; the prompt still serves it.

        One that is being edited leaves its batch. Raises WrongState for a fact that waits for no edit.
        """
        with self._changing(FactRow, fact_id) as (tx, row):
            lineage.quarantine(tx, row, reason)
            tx.flush()
            return slots.fact_record(row)

    def release(self, fact_id: str) -> Fact:
        """Let a held or quarantined fact be claimed again."""
        with self._changing(FactRow, fact_id) as (tx, row):
            lineage.release(tx, row)
            tx.flush()
            return slots.fact_record(row)

    # The lease: one cycle per tenant

    def take_lease(self, tenant: str, owner: str, seconds: float, *, dead: str | None = None) -> Lease:
        """Become the one cycle of a tenant for so long. Raises LeaseHeld while somebody else is.

        `dead` names an owner that is known to be gone: its lease is taken over before it ends.
        """
        with self._writing(tenant) as tx:
            return leases.take(tx, tenant, owner, seconds, dead)

    def is_leased(self, tenant: str) -> bool:
        """True while somebody holds the right to the tenant's one cycle."""
        with self._reading() as tx:
            return leases.is_held(tx, tenant)

    def renew_lease(self, lease: Lease, seconds: float) -> Lease:
        """Hold on for so long from now. Raises StaleLease when the lease has ended."""
        with self._writing(lease.tenant) as tx:
            return leases.renew(tx, lease, seconds)

    def drop_lease(self, lease: Lease) -> None:
        """Let the next cycle begin. A lease that has ended already is no error."""
        with self._writing(lease.tenant) as tx:
            leases.drop(tx, lease)

    # Batches

    def claim_batch(self, tenant: str, limit: int, lease: Lease) -> Batch | None:
        """Claim the oldest pending facts for this cycle, removals first, at most `limit`; None without any.

        What an earlier cycle claimed and never finished goes back first: it cannot be running now.
        """
        if limit < 1:
            raise ValueError(f"a batch needs room for at least one edit, got a limit of {limit}")
        with self._writing(tenant, lease) as tx:
            lineage.fail_abandoned(tx, tenant)
            tx.flush()
            row = lineage.claim(tx, tenant, limit)
            if row is None:
                return None
            logger.info("claimed %s for %s", row.id, tenant)
            return lineage.batch_record(tx, row)

    def fail_batch(self, batch_id: str, lease: Lease, *, count_attempt: bool, quarantine_after: int) -> Batch:
        """Give a batch's facts back; with `count_attempt`, quarantine those that failed so often."""
        with self._changing(BatchRow, batch_id, lease) as (tx, row):
            lineage.fail(
                tx, row, count_attempt=count_attempt, quarantine_after=quarantine_after, verdict=FAILED
            )
            tx.flush()
            return lineage.batch_record(tx, row)

    def batch(self, batch_id: str) -> Batch:
        with self._reading() as tx:
            return lineage.batch_record(tx, _named(tx, BatchRow, batch_id))

    def batches(self, tenant: str) -> tuple[Batch, ...]:
        made = sa.select(BatchRow).where(BatchRow.tenant == tenant).order_by(BatchRow.number)
        with self._reading() as tx:
            return tuple(lineage.batch_record(tx, row) for row in tx.scalars(made))

    # Adapters

    def root(self, tenant: str, adapter: Adapter) -> Adapter:
        """Make `adapter` the root of a lineage that has none; returns the adapter that serves."""
        _require_same_tenant(tenant, adapter)
        with self._writing(tenant) as tx:
            serving = lineage.serving(tx, tenant)
            if serving is None:
                serving = lineage.create(tx, adapter)
                lineage.promote(tx, serving, Verdict(promote=True))
                logger.info("%s is the root of %s", adapter.id, tenant)
            return lineage.adapter_record(serving)

    def register(self, adapter: Adapter, lease: Lease | None = None) -> Adapter:
        """Write a candidate down, of a running batch or none. A rejected or reverted one may try again."""
        with self._writing(adapter.tenant, lease) as tx:
            if adapter.parent_id is not None:
                _require_same_tenant(adapter.tenant, _named(tx, AdapterRow, adapter.parent_id))
            if adapter.batch_id is not None:
                batch = _named(tx, BatchRow, adapter.batch_id)
                _require_same_tenant(adapter.tenant, batch)
                if batch.status is not BatchStatus.CLAIMED:
                    raise WrongState(f"batch {batch.id} is {batch.status}: its cycle is over")
            return lineage.adapter_record(lineage.create(tx, adapter))

    def record_scores(
        self,
        adapter_id: str,
        scores: Scores,
        parent_scores: Scores | None = None,
        lease: Lease | None = None,
    ) -> Adapter:
        """Keep what was measured of an adapter and of its parent."""
        with self._changing(AdapterRow, adapter_id, lease) as (tx, row):
            row.scores, row.parent_scores = scores, parent_scores
            tx.flush()
            ledger.append(tx, row.tenant, "adapter.scored", row.id, ledger.commit_scores(row))
            return lineage.adapter_record(row)

    def promote(
        self,
        adapter_id: str,
        verdict: Verdict,
        lease: Lease | None = None,
        *,
        set_aside: Mapping[str, str] | None = None,
        lost: Iterable[str] = (),
    ) -> Adapter:
        """Make a candidate the serving adapter and retire its parent: its batch is learned.

        Facts that are `set_aside`, by id with the reason, are quarantined instead: they stay in the prompt.
        Facts learned earlier that this adapter has `lost` go back to the prompt and wait for an edit again. A
        reverted adapter can be promoted again. Raises StaleParent when another adapter was promoted since
        the candidate was edited: its scores were measured against a parent that no longer serves.
        """
        with self._changing(AdapterRow, adapter_id, lease) as (tx, row):
            for fact_id, reason in (set_aside or {}).items():
                lineage.quarantine(tx, _named(tx, FactRow, fact_id), reason)
            lineage.promote(tx, row, verdict, [_named(tx, FactRow, fact_id) for fact_id in lost])
            logger.info("promoted %s over %s for %s", row.id, row.parent_id, row.tenant)
            return lineage.adapter_record(row)

    def reject(
        self, adapter_id: str, verdict: Verdict, lease: Lease | None = None, *, quarantine_after: int = 3
    ) -> Adapter:
        """Refuse a candidate and fail its batch; facts that failed so often are quarantined."""
        with self._changing(AdapterRow, adapter_id, lease) as (tx, row):
            lineage.reject(tx, row, verdict, quarantine_after)
            logger.info("rejected %s for %s: %s", row.id, row.tenant, "; ".join(verdict.reasons))
            return lineage.adapter_record(row)

    def revert(self, tenant: str, *, to: str | None = None, retract: bool = False) -> tuple[Adapter, Adapter]:
        """Put the parent, or the ancestor `to`, back; returns what served and what serves now.

        The facts of every batch undone are held: in the prompt, out of edits. With `retract` they are taken
        back instead, and the values they had superseded stand again.
        """
        with self._writing(tenant) as tx:
            ancestor = _named(tx, AdapterRow, to) if to is not None else None
            undone, serving = lineage.revert(tx, tenant, ancestor, also_retract=retract)
            logger.info("reverted %s to %s for %s", undone.id, serving.id, tenant)
            return lineage.adapter_record(undone), lineage.adapter_record(serving)

    def serving(self, tenant: str) -> Adapter | None:
        with self._reading() as tx:
            row = lineage.serving(tx, tenant)
            return lineage.adapter_record(row) if row else None

    def adapter(self, adapter_id: str) -> Adapter:
        with self._reading() as tx:
            return lineage.adapter_record(_named(tx, AdapterRow, adapter_id))

    def adapters(self, tenant: str) -> tuple[Adapter, ...]:
        made = sa.select(AdapterRow).where(AdapterRow.tenant == tenant).order_by(AdapterRow.number)
        with self._reading() as tx:
            return tuple(lineage.adapter_record(row) for row in tx.scalars(made))

    # The ledger

    def tip(self, tenant: str) -> Tip:
        """Where the chain ends. Kept elsewhere, it shows a tail that was cut together with its tip row."""
        with self._reading() as tx:
            return ledger.tip(tx, tenant)

    def ledger(self, tenant: str) -> tuple[LedgerEntry, ...]:
        with self._reading() as tx:
            return tuple(ledger.entry_record(row) for row in ledger.entries(tx, tenant))

    def verify(self, tenant: str | None = None) -> Verification:
        """Check one chain, or all of them, and the rows they vouch for."""
        with self._reading() as tx:
            tenants = [tenant] if tenant else tx.scalars(sa.select(TenantRow.id).order_by(TenantRow.id)).all()
            found = [ledger.verify(tx, each) for each in tenants]
        return Verification(
            n_entries=sum(each.n_entries for each in found),
            problems=tuple(problem for each in found for problem in each.problems),
        )

    # Transactions

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with database.clear_errors(self._engine), Session(self._reader) as tx:
            yield tx

    @contextmanager
    def _writing(self, tenant: str, lease: Lease | None = None, *, shared: bool = False) -> Iterator[Session]:
        """One transaction that is alone in its tenant: it holds the tip of the chain from start to end."""
        with (
            database.clear_errors(self._engine),
            Session(self._engine, expire_on_commit=False) as tx,
            tx.begin(),
        ):
            if _lock(tx, tenant) is None:
                _create_tenant(tx, tenant, is_shared=shared)
            if lease is not None:
                leases.require(tx, tenant, lease)
            yield tx

    @contextmanager
    def _changing(
        self, table: type[Row], row_id: str, lease: Lease | None = None
    ) -> Iterator[tuple[Session, Row]]:
        """A write transaction of the tenant that a row belongs to; the row is read under its lock."""
        with self._reading() as tx:
            found = _named(tx, table, row_id)
            tenant, full_id = found.tenant, found.id
        with self._writing(tenant, lease) as tx:
            yield tx, _named(tx, table, full_id)


def _lock(tx: Session, tenant: str) -> TipRow | None:
    return tx.scalars(sa.select(TipRow).where(TipRow.tenant == tenant).with_for_update()).one_or_none()


def _create_tenant(tx: Session, tenant: str, *, is_shared: bool) -> None:
    """Make the tenant's rows, unless somebody else does so at the same moment."""
    _require_storable(tenant=tenant)
    insert = postgresql.insert if tx.get_bind().dialect.name == "postgresql" else sqlite.insert
    rows = {
        TenantRow: {"id": tenant, "is_shared": is_shared, "created_at": now()},
        LeaseRow: {"tenant": tenant, "token": 0, "expires_at": 0.0},
        TipRow: {"tenant": tenant, "position": 0, "hash": ledger.GENESIS},
    }
    for table, values in rows.items():
        tx.execute(insert(table).values(**values).on_conflict_do_nothing())
    tip = _lock(tx, tenant)
    if tip is not None and tip.position == 0:
        kind = ledger.commit("tenant", "", {"id": tenant, "is_shared": is_shared})
        ledger.append(tx, tenant, "tenant.registered", tenant, kind)


def _named(tx: Session, table: type[Row], row_id: str) -> Row:
    """The row with this id, or with the only one that begins so."""
    if not row_id or not _is_storable(row_id):
        raise _UNKNOWN[table](row_id)
    exact = tx.scalars(sa.select(table).where(table.id == row_id)).one_or_none()
    if exact is not None:
        return exact
    alike = sa.select(table).where(table.id.startswith(row_id, autoescape=True)).order_by(table.id).limit(3)
    rows = tx.scalars(alike).all()
    if not rows:
        raise _UNKNOWN[table](row_id)
    if len(rows) > 1:
        raise AmbiguousId(row_id, tuple(row.id for row in rows))
    return rows[0]


_UNKNOWN: dict[
    type[DeclarativeBase], type[UnknownFact | UnknownUtterance | UnknownBatch | UnknownAdapter]
] = {
    FactRow: UnknownFact,
    UtteranceRow: UnknownUtterance,
    BatchRow: UnknownBatch,
    AdapterRow: UnknownAdapter,
}


def _stood(as_of: datetime | None, recorded_as_of: datetime | None) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions of the two clocks. An end that was recorded later was not yet known then."""
    not_yet_known = FactRow.ended_at > recorded_as_of if recorded_as_of else sa.false()
    if as_of is not None:
        yield FactRow.valid_from <= as_of
        yield sa.or_(FactRow.valid_until.is_(None), FactRow.valid_until > as_of, not_yet_known)
    if recorded_as_of is not None:
        yield FactRow.recorded_at <= recorded_as_of
    if recorded_as_of is not None and as_of is None:
        yield sa.or_(FactRow.ended_at.is_(None), not_yet_known)


def _superseded_by(tx: Session, row: FactRow) -> Iterator[FactRow]:
    """The fact itself, then what it superseded, and so on back."""
    yield row
    while row.supersedes_id is not None:
        row = _named(tx, FactRow, row.supersedes_id)
        yield row


def _utterance(row: UtteranceRow) -> Utterance:
    return Utterance(id=row.id, tenant=row.tenant, text=row.text, said_at=row.said_at, speaker=row.speaker)


def _require_storable(**texts: str) -> None:
    for name, text in texts.items():
        if not _is_storable(text):
            raise UnstorableText(f"the {name}")


def _is_storable(text: str) -> bool:
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def _require_aware(**moments: datetime | None) -> None:
    for name, moment in moments.items():
        if moment is not None and moment.tzinfo is None:
            raise ValueError(f"{name} needs a time zone, got the naive {moment.isoformat()}")


def _require_same_tenant(tenant: str, thing: Adapter | AdapterRow | BatchRow) -> None:
    if thing.tenant != tenant:
        raise WrongState(f"{thing.id} belongs to {thing.tenant!r}, not to {tenant!r}")


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
