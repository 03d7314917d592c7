"""The SQL schema, private to `memory`: rows never leave it. Alembic compares it with the migrations."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from memory.columns import CandidateText, DetailsText, ScoresText, UtcDateTime, VerdictText, states
from memory.records import (
    STATEMENT,
    AccessRole,
    AdapterStatus,
    BatchStatus,
    CandidateFact,
    Cardinality,
    FactStatus,
    HookEvent,
    ProposalStatus,
    Scores,
    Verdict,
)


class Role(StrEnum):
    """What a batch does to a fact."""

    FACT = "fact"  # taught by it
    REMOVAL = "removal"  # edited back by it
    OVERRIDE = "override"  # its place in the weights was taken by a fact of the batch
    SET_ASIDE = "set_aside"  # claimed with it, then quarantined: the adapter never learned it
    PUT_BACK = "put_back"  # claimed with it and not tried: it waits for the next batch
    LOST = "lost"  # of a rebuild: learned before, claimed with it, and not answered by its adapter


NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MAX_NUMBER = 2**63 - 1
ENDED = (FactStatus.SUPERSEDED, FactStatus.RETRACTED)
UNLEARNED = (FactStatus.PENDING, FactStatus.CLAIMED, FactStatus.HELD, FactStatus.QUARANTINED)
"""The states of a fact that only the prompt can serve."""
CURRENT = sa.text("status NOT IN ('superseded', 'retracted')")
CURRENT_FUNCTIONAL = sa.text("cardinality = 'one' AND status NOT IN ('superseded', 'retracted')")
ENDING = sa.text("status NOT IN ('superseded', 'retracted') AND valid_until IS NOT NULL")
IS_SUPERSEDED = sa.text("status = 'superseded'")
IN_PROMPT = sa.text("status IN ('pending', 'claimed', 'held', 'quarantined')")
PROMOTED = sa.text("status = 'promoted'")
WAITING = sa.text("status IN ('pending', 'quarantined') AND relation != 'statement'")
COUNTED = (*HookEvent,)
"""The events that are counted over all chains: an index has these entries and no others."""
CLAIMED = sa.text("status = 'claimed'")
TAKEN_BACK = sa.text("status = 'retracted' AND adapter_id IS NOT NULL AND quarantine_reason IS NULL")
OF_COUNTED = sa.text(f"event IN ({', '.join(repr(event.value) for event in COUNTED)})")


class Table(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        Scores: ScoresText(),
        Verdict: VerdictText(),
        CandidateFact: CandidateText(),
        FactStatus: states(FactStatus),
        ProposalStatus: states(ProposalStatus),
        float: sa.Double(),
        dict[str, str]: DetailsText(),
        BatchStatus: states(BatchStatus),
        AdapterStatus: states(AdapterStatus),
        Cardinality: states(Cardinality),
        Role: states(Role),
        AccessRole: states(AccessRole),
        str: sa.Text(),
    }


class TenantRow(Table):
    """The one row that has a tenant's name: all others, and the ledger, know its random id alone."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(unique=True)
    is_shared: Mapped[bool]
    created_at: Mapped[datetime]
    salt: Mapped[str]
    tombstone_salt: Mapped[str]


class Owned:
    """What belongs to one tenant: a Transaction sees no other's."""

    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"))


class TipRow(Owned, Table):
    """Where a tenant's chain ends. Writers lock this row first, so a chain cannot fork.

    `peaks` are the roots of the full subtrees of the tree over the chain, 64 hexadecimal digits each.
    """

    __tablename__ = "ledger_tips"

    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), primary_key=True)
    position: Mapped[int] = mapped_column(NUMBER)
    hash: Mapped[str]
    peaks: Mapped[str]


class EntryRow(Owned, Table):
    """Triggers refuse to change or delete one."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        sa.Index(
            "ix_ledger_entries_counted",
            "event",
            "tenant",
            sqlite_where=OF_COUNTED,
            postgresql_where=OF_COUNTED,
        ),
        {"sqlite_with_rowid": False},
    )

    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), primary_key=True)
    position: Mapped[int] = mapped_column(NUMBER, primary_key=True, autoincrement=False)
    event: Mapped[str]
    subject_id: Mapped[str]
    commitment: Mapped[str]
    at: Mapped[datetime]
    previous_hash: Mapped[str]
    hash: Mapped[str]


class ArchiveRow(Table):
    """The one row of a database that says which it is, and how far the log of its signed tips goes."""

    __tablename__ = "archive"

    id: Mapped[str] = mapped_column(primary_key=True)
    n_signed: Mapped[int] = mapped_column(NUMBER)
    peaks: Mapped[str]  # of the tree over the signed tips


class SignedTipRow(Table):
    """A leaf of the tree that checkpoints sign: where a chain ended when one was made. Triggers, as above."""

    __tablename__ = "signed_tips"

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True, autoincrement=False)
    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), index=True)
    position: Mapped[int] = mapped_column(NUMBER)
    hash: Mapped[str]
    root: Mapped[str]


class LeaseRow(Owned, Table):
    """One row per tenant, taken by one conditional UPDATE; the token only ever grows.

    It also says how the last cycles ended, which is all that a schedule needs to know of them.
    """

    __tablename__ = "leases"

    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), primary_key=True)
    owner: Mapped[str | None]
    token: Mapped[int] = mapped_column(NUMBER)
    expires_at: Mapped[float] = mapped_column(sa.Double)  # seconds since 1970, on the database's clock
    ended_at: Mapped[datetime | None]  # when the last cycle ended that promoted, was rejected, or failed
    failures: Mapped[int] = mapped_column(server_default="0")  # cycles in a row that promoted nothing


class UtteranceRow(Owned, Table):
    __tablename__ = "utterances"

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), index=True)
    speaker: Mapped[str]
    text: Mapped[str]
    source: Mapped[str]
    said_at: Mapped[datetime]
    details: Mapped[dict[str, str]]
    salt: Mapped[str]


class BatchRow(Owned, Table):
    __tablename__ = "batches"
    # Of each tenant at most the one that is worked on, or that a cycle left when it died.
    __table_args__ = (
        sa.Index("ix_batches_claimed", "tenant", sqlite_where=CLAIMED, postgresql_where=CLAIMED),
    )

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), index=True)
    status: Mapped[BatchStatus]
    created_at: Mapped[datetime]
    salt: Mapped[str]
    resumed: Mapped[int] = mapped_column(default=0)
    """How often a cycle went on with it after the one before it had died."""
    replaces_id: Mapped[str | None]
    """Of a rebuild: what serves until it, and again after a revert of it. Its adapters stand on a root."""


class AdapterRow(Owned, Table):
    __tablename__ = "adapters"
    __table_args__ = (
        # The database, not the code, guarantees that at most one adapter serves a tenant.
        sa.Index(
            "uq_adapters_one_promoted",
            "tenant",
            unique=True,
            sqlite_where=PROMOTED,
            postgresql_where=PROMOTED,
        ),
    )

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), index=True)
    parent_id: Mapped[str | None] = mapped_column(sa.ForeignKey("adapters.id"))
    batch_id: Mapped[str | None] = mapped_column(sa.ForeignKey("batches.id"), index=True)
    status: Mapped[AdapterStatus]
    base_hash: Mapped[str]
    path: Mapped[str]
    created_at: Mapped[datetime]
    promoted_at: Mapped[datetime | None]
    scores: Mapped[Scores | None]
    parent_scores: Mapped[Scores | None]
    verdict: Mapped[Verdict | None]
    collected_at: Mapped[datetime | None]  # since when its files are gone
    salt: Mapped[str]


class FactRow(Owned, Table):
    """`number` orders what two clocks cannot; the keys are what slots and values are compared by."""

    __tablename__ = "facts"
    __table_args__ = (
        # One current value of a functional slot, and no value twice: kept by the database.
        sa.Index(
            "uq_facts_current_slot",
            "tenant",
            "subject_key",
            "relation",
            unique=True,
            sqlite_where=CURRENT_FUNCTIONAL,
            postgresql_where=CURRENT_FUNCTIONAL,
        ),
        sa.Index(
            "uq_facts_current_value",
            "tenant",
            "subject_key",
            "relation",
            "value_key",
            unique=True,
            sqlite_where=CURRENT,
            postgresql_where=CURRENT,
        ),
        sa.Index("ix_facts_slot", "tenant", "subject_key", "relation"),
        sa.Index(
            "ix_facts_in_prompt", "tenant", "number", sqlite_where=IN_PROMPT, postgresql_where=IN_PROMPT
        ),
        # What stands and is said to end; what ended and may still hold, until a day to come.
        sa.Index("ix_facts_ending", "tenant", "valid_until", sqlite_where=ENDING, postgresql_where=ENDING),
        sa.Index(
            "ix_facts_superseded",
            "tenant",
            "valid_until",
            sqlite_where=IS_SUPERSEDED,
            postgresql_where=IS_SUPERSEDED,
        ),
        sa.Index("ix_facts_tenant_status", "tenant", "status", "number"),
        # Has all that a count over all tenants reads, as SQLite wants it: also what its own words say.
        sa.Index(
            "ix_facts_waiting",
            "status",
            "tenant",
            "recorded_at",
            "valid_until",
            "relation",
            sqlite_where=WAITING,
            postgresql_where=WAITING,
        ),
        sa.Index(
            "ix_facts_taken_back",
            "valid_until",
            "tenant",
            sqlite_where=TAKEN_BACK,
            postgresql_where=TAKEN_BACK,
        ),
        sa.CheckConstraint("span_start >= 0 AND span_end >= span_start", name="span"),
    )

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    subject: Mapped[str]
    relation: Mapped[str]
    object: Mapped[str]
    statement: Mapped[str]
    subject_key: Mapped[str]
    value_key: Mapped[str]
    cardinality: Mapped[Cardinality]
    status: Mapped[FactStatus]
    recorded_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]  # when we learned that it ended; valid_until is when it did
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    stated_from: Mapped[datetime]  # what its own words said of both; a mention may say otherwise since
    stated_until: Mapped[datetime | None]
    utterance_id: Mapped[str] = mapped_column(sa.ForeignKey("utterances.id"), index=True)
    start: Mapped[int] = mapped_column("span_start")
    end: Mapped[int] = mapped_column("span_end")
    supersedes_id: Mapped[str | None] = mapped_column(sa.ForeignKey("facts.id"), index=True)
    adapter_id: Mapped[str | None] = mapped_column(sa.ForeignKey("adapters.id"), index=True)
    batch_id: Mapped[str | None] = mapped_column(sa.ForeignKey("batches.id"))
    is_held: Mapped[bool]  # since its batch was reverted; also while it is superseded, to be held again
    attempts: Mapped[int]
    quarantine_reason: Mapped[str | None]
    confidence: Mapped[float]  # of the surest mention: it may still grow, so nothing commits to it
    source: Mapped[str]
    salt: Mapped[str]
    commitment: Mapped[str]


def _spelt(name: str, value: str | tuple[str, ...]) -> sa.BindParameter[Any]:
    """A value that stands in the statement itself: a partial index serves those of its own words alone."""
    return sa.bindparam(name, value, expanding=isinstance(value, tuple), literal_execute=True)


is_current = FactRow.status.not_in(_spelt("ended", ENDED))
is_superseded = FactRow.status == _spelt("superseded", FactStatus.SUPERSEDED)
is_single = FactRow.cardinality == _spelt("single", Cardinality.ONE)
is_unlearned = FactRow.status.in_(_spelt("unlearned", UNLEARNED))
is_waiting = sa.and_(
    FactRow.status.in_(_spelt("waiting", (FactStatus.PENDING, FactStatus.QUARANTINED))),
    FactRow.relation != _spelt("statement", STATEMENT),
)
is_taken_back = sa.and_(
    FactRow.status == _spelt("taken_back", FactStatus.RETRACTED),
    FactRow.adapter_id.is_not(None),
    FactRow.quarantine_reason.is_(None),
)
is_claimed = BatchRow.status == _spelt("claimed", BatchStatus.CLAIMED)
is_counted = EntryRow.event.in_(_spelt("counted", COUNTED))


class MentionRow(Owned, Table):
    """A fact that was said again or taken back. The first time stands in the fact's own row.

    With what these words changed of when it holds, if they did, and when we learned it.
    """

    __tablename__ = "mentions"

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    fact_id: Mapped[str] = mapped_column(sa.ForeignKey("facts.id"), index=True)
    utterance_id: Mapped[str] = mapped_column(sa.ForeignKey("utterances.id"), index=True)
    start: Mapped[int] = mapped_column("span_start")
    end: Mapped[int] = mapped_column("span_end")
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    dated_at: Mapped[datetime | None]


class ProposalRow(Owned, Table):
    """A candidate as JSON: it is no fact, and no slot knows of it."""

    __tablename__ = "proposals"
    __table_args__ = (sa.Index("ix_proposals_tenant_status", "tenant", "status", "number"),)

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    candidate: Mapped[CandidateFact]
    utterance_id: Mapped[str] = mapped_column(sa.ForeignKey("utterances.id"), index=True)
    status: Mapped[ProposalStatus]
    proposed_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    fact_id: Mapped[str | None] = mapped_column(sa.ForeignKey("facts.id"))
    salt: Mapped[str]


class AccessKeyRow(Owned, Table):
    __tablename__ = "access_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), index=True)
    label: Mapped[str]
    role: Mapped[AccessRole] = mapped_column(server_default=AccessRole.OPERATE.value)
    digest: Mapped[str]
    issued_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    salt: Mapped[str]


class ItemRow(Owned, Table):
    """No label of a namespace has a dot, so that dots join them. The value is JSON in ASCII."""

    __tablename__ = "items"
    __table_args__ = (sa.UniqueConstraint("tenant", "namespace", "key"),)

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    namespace: Mapped[str]
    key: Mapped[str]
    value: Mapped[str]
    text: Mapped[str]
    utterance_id: Mapped[str | None] = mapped_column(sa.ForeignKey("utterances.id"), index=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    salt: Mapped[str]


class Placed(Owned):
    """Where an embedding model places a row: by the row's number, so that both are read in one order.

    The database deletes it with the row. No entry of the ledger vouches for it: it can be made again.
    """

    model: Mapped[str]
    vector: Mapped[bytes]  # of length one, half floats


class FactVectorRow(Placed, Table):
    __tablename__ = "fact_vectors"
    __table_args__ = (sa.Index("ix_fact_vectors_model", "tenant", "model", "number"),)

    number: Mapped[int] = mapped_column(
        sa.ForeignKey("facts.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


class ItemVectorRow(Placed, Table):
    __tablename__ = "item_vectors"
    __table_args__ = (sa.Index("ix_item_vectors_model", "tenant", "model", "number"),)

    number: Mapped[int] = mapped_column(
        sa.ForeignKey("items.number", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


class SourceRow(Owned, Table):
    """How far the reading of a source has come. No entry of the ledger vouches for it: it steers work."""

    __tablename__ = "sources"

    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    ran_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    problem: Mapped[str]
    n_unreadable: Mapped[int]
    validators: Mapped[dict[str, str]]
    held: Mapped[str | None]  # the digest of what the source said when its changes were held
    held_because: Mapped[str]
    is_approved: Mapped[bool]
    discarded: Mapped[str | None]  # the same of what a person refused


class SourceEntryRow(Owned, Table):
    """What a row of a source told last, as hashes under the tenant's salt, and the utterance it became."""

    __tablename__ = "source_entries"

    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    row: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    utterance_id: Mapped[str] = mapped_column(sa.ForeignKey("utterances.id"), index=True)


class SourceChangeRow(Owned, Table):
    """A change of a source that waits for approval, in plain words: it goes when they are forgotten."""

    __tablename__ = "source_changes"
    __table_args__ = (sa.UniqueConstraint("tenant", "source", "row"),)

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    source: Mapped[str]
    row: Mapped[str]
    digest: Mapped[str]
    place: Mapped[str]
    candidate: Mapped[CandidateFact | None]  # none: the row vanished


class TombstoneRow(Owned, Table):
    """What was forgotten, as a hash under the tenant's own salt: enough not to learn it again, no more."""

    __tablename__ = "tombstones"

    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class BatchFactRow(Table):
    """What a batch did to which fact, and where the fact was in the weights before: what a revert undoes.

    The row outlives a fact that is forgotten, with its commitment: the batch still adds up, and says nothing.
    """

    __tablename__ = "batch_facts"

    batch_id: Mapped[str] = mapped_column(sa.ForeignKey("batches.id"), primary_key=True)
    fact_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    position: Mapped[int]
    role: Mapped[Role]
    commitment: Mapped[str]
    previous_adapter_id: Mapped[str | None] = mapped_column(sa.ForeignKey("adapters.id"))


class OutboxRow(Owned, Table):
    """What hooks are to be told of, written in the transaction of the change; gone once they have it.

    A claim moves `due_at` on, so that nobody else takes the row meanwhile; NULL, and nobody does any more.
    """

    __tablename__ = "outbox"

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), index=True)
    event: Mapped[HookEvent] = mapped_column(states(HookEvent))
    body: Mapped[str]
    created_at: Mapped[datetime]
    attempts: Mapped[int]
    due_at: Mapped[float | None] = mapped_column(index=True)  # seconds since 1970, on the database's clock
    told: Mapped[str]  # with a space between two
    problem: Mapped[str]


class PublicationRow(Owned, Table):
    """What an outside engine was told to have of a tenant. No entry vouches for it: it steers work.

    While there is a row, the engine may have something under the name. `wanted_id` is what the attempts were
    about; a claim moves `due_at` on, so that nobody else tries meanwhile; NULL, and nobody does any more.
    """

    __tablename__ = "publications"

    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), primary_key=True)
    engine: Mapped[str]
    name: Mapped[str]
    adapter_id: Mapped[str | None]
    path: Mapped[str]  # as the engine was told
    published_at: Mapped[datetime | None]
    wanted_id: Mapped[str | None]
    attempts: Mapped[int]
    due_at: Mapped[float | None]  # seconds since 1970, on the database's clock
    problem: Mapped[str]
