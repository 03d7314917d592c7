"""Hooks have an outbox, and what is counted over all tenants has indexes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WAITING = sa.text("status IN ('pending', 'quarantined') AND relation != 'statement'")
COUNTED = sa.text(
    "event IN ('adapter.promoted', 'adapter.rejected', 'adapter.reverted', "
    "'fact.quarantined', 'fact.forgotten')"
)


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_outbox_tenant")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_outbox")),
        sa.UniqueConstraint("id", name=op.f("uq_outbox_id")),
    )
    op.create_index(op.f("ix_outbox_tenant"), "outbox", ["tenant"])
    op.create_index(op.f("ix_outbox_due_at"), "outbox", ["due_at"])
    for name, table, columns, rows in _INDEXES:
        op.create_index(name, table, columns, sqlite_where=rows, postgresql_where=rows)


def downgrade() -> None:
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table)
    op.drop_table("outbox")


_INDEXES = (
    ("ix_facts_waiting", "facts", ["status", "tenant", "recorded_at", "valid_until", "relation"], WAITING),
    ("ix_ledger_entries_counted", "ledger_entries", ["event", "tenant"], COUNTED),
)
