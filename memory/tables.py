"""The SQL schema, private to `memory`: rows never leave it. Alembic compares it with the migrations."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from memory.records import (
    AdapterStatus,
    BatchStatus,
    CandidateFact,
    Cardinality,
    FactStatus,
    ProposalStatus,
    Rate,
    Scores,
    Verdict,
)


class Role(StrEnum):
    """What a batch does to a fact."""

    FACT = "fact"  # taught by it
    REMOVAL = "removal"  # edited back by it
    OVERRIDE = "override"  # its place in the weights was taken by a fact of the batch
    SET_ASIDE = "set_aside"  # claimed with it, then quarantined: the adapter never learned it


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC in and out. SQLite gives datetimes back naive, and a naive one is refused on the way in."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the memory keeps aware times only, got the naive {value.isoformat()}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ScoresText(sa.types.TypeDecorator[Scores]):
    """Scores as canonical JSON: rates as [hits, asked], ratios as numbers."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Scores | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(plain_scores(value), sort_keys=True)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Scores | None:
        if value is None:
            return None
        metrics = json.loads(value)
        known = metrics.keys() & set(Scores.metrics())
        return Scores(**{name: _metric(metrics[name]) for name in known})


class VerdictText(sa.types.TypeDecorator[Verdict]):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Verdict | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(asdict(value), sort_keys=True)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Verdict | None:
        if value is None:
            return None
        verdict = json.loads(value)
        return Verdict(promote=verdict["promote"], reasons=tuple(verdict["reasons"]))


class DetailsText(sa.types.TypeDecorator[dict[str, str]]):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, str] | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> dict[str, str] | None:
        return None if value is None else dict(json.loads(value))


class CandidateText(sa.types.TypeDecorator[CandidateFact]):
    """A candidate as JSON, its dates as ISO text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: CandidateFact | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(plain_candidate(value), sort_keys=True)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> CandidateFact | None:
        if value is None:
            return None
        plain = json.loads(value)
        for end in ("valid_from", "valid_until"):
            plain[end] = date.fromisoformat(plain[end]) if plain[end] else None
        plain["aliases"] = tuple(plain.get("aliases", ()))
        return CandidateFact(**plain | {"cardinality": Cardinality(plain["cardinality"])})


def plain_candidate(candidate: CandidateFact) -> dict[str, Any]:
    """A candidate as it is stored and committed to."""
    plain = asdict(candidate)
    for end in ("valid_from", "valid_until"):
        plain[end] = plain[end].isoformat() if plain[end] else None
    # Candidates were committed to before there were aliases: one without any is still the same.
    if not candidate.aliases:
        del plain["aliases"]
    return plain


def plain_scores(scores: Scores) -> dict[str, Any]:
    """Scores as they are stored and committed to. What was not measured is left out, so that a metric that is
    added later changes no commitment made before it."""
    unmeasured = Scores()
    measured = ((name, getattr(scores, name)) for name in Scores.metrics())
    return {
        name: [m.hits, m.asked] if isinstance(m, Rate) else m
        for name, m in measured
        if m != getattr(unmeasured, name)
    }


def _metric(measured: Any) -> Any:
    return Rate(hits=measured[0], asked=measured[1]) if isinstance(measured, list) else measured


def _states(states: type[StrEnum]) -> sa.Enum:
    return sa.Enum(
        states, native_enum=False, length=16, values_callable=lambda members: [m.value for m in members]
    )


NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MAX_NUMBER = 2**63 - 1
ENDED = (FactStatus.SUPERSEDED, FactStatus.RETRACTED)
UNLEARNED = (FactStatus.PENDING, FactStatus.CLAIMED, FactStatus.HELD, FactStatus.QUARANTINED)
"""The states of a fact that only the prompt can serve."""
CURRENT = sa.text("status NOT IN ('superseded', 'retracted')")
CURRENT_FUNCTIONAL = sa.text("cardinality = 'one' AND status NOT IN ('superseded', 'retracted')")
IN_PROMPT = sa.text("status IN ('pending', 'claimed', 'held', 'quarantined')")
PROMOTED = sa.text("status = 'promoted'")


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
        FactStatus: _states(FactStatus),
        ProposalStatus: _states(ProposalStatus),
        float: sa.Double(),
        dict[str, str]: DetailsText(),
        BatchStatus: _states(BatchStatus),
        AdapterStatus: _states(AdapterStatus),
        Cardinality: _states(Cardinality),
        Role: _states(Role),
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
    __table_args__ = ({"sqlite_with_rowid": False},)

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
    """One row per tenant, taken by one conditional UPDATE; the token only ever grows."""

    __tablename__ = "leases"

    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), primary_key=True)
    owner: Mapped[str | None]
    token: Mapped[int] = mapped_column(NUMBER)
    expires_at: Mapped[float] = mapped_column(sa.Double)  # seconds since 1970, on the database's clock


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

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    tenant: Mapped[str] = mapped_column(sa.ForeignKey("tenants.id"), index=True)
    status: Mapped[BatchStatus]
    created_at: Mapped[datetime]
    salt: Mapped[str]


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
        sa.Index("ix_facts_tenant_status", "tenant", "status", "number"),
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
    stated_until: Mapped[datetime | None]  # the end its own words gave, to return to when it is reopened
    utterance_id: Mapped[str] = mapped_column(sa.ForeignKey("utterances.id"), index=True)
    start: Mapped[int] = mapped_column("span_start")
    end: Mapped[int] = mapped_column("span_end")
    supersedes_id: Mapped[str | None] = mapped_column(sa.ForeignKey("facts.id"), index=True)
    adapter_id: Mapped[str | None] = mapped_column(sa.ForeignKey("adapters.id"), index=True)
    batch_id: Mapped[str | None] = mapped_column(sa.ForeignKey("batches.id"))
    attempts: Mapped[int]
    quarantine_reason: Mapped[str | None]
    confidence: Mapped[float]  # of the surest mention: it may still grow, so nothing commits to it
    source: Mapped[str]
    salt: Mapped[str]
    commitment: Mapped[str]


def _spelt(name: str, value: StrEnum | tuple[StrEnum, ...]) -> sa.BindParameter[Any]:
    """A value that stands in the statement itself: a partial index serves those of its own words alone."""
    return sa.bindparam(name, value, expanding=isinstance(value, tuple), literal_execute=True)


is_current = FactRow.status.not_in(_spelt("ended", ENDED))
is_single = FactRow.cardinality == _spelt("single", Cardinality.ONE)
is_unlearned = FactRow.status.in_(_spelt("unlearned", UNLEARNED))


class MentionRow(Owned, Table):
    """A fact that was said again or taken back. The first time stands in the fact's own row."""

    __tablename__ = "mentions"

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True)
    fact_id: Mapped[str] = mapped_column(sa.ForeignKey("facts.id"), index=True)
    utterance_id: Mapped[str] = mapped_column(sa.ForeignKey("utterances.id"), index=True)
    start: Mapped[int] = mapped_column("span_start")
    end: Mapped[int] = mapped_column("span_end")


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
