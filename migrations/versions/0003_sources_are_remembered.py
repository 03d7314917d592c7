"""What a source told last is remembered, and so is what of it waits for approval."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ran_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("n_unreadable", sa.Integer(), nullable=False),
        sa.Column("validators", sa.Text(), nullable=False),
        sa.Column("held", sa.Text(), nullable=True),
        sa.Column("held_because", sa.Text(), nullable=False),
        sa.Column("is_approved", sa.Boolean(), nullable=False),
        sa.Column("discarded", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_sources_tenant")),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_sources")),
    )
    op.create_table(
        "source_entries",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_source_entries_tenant")),
        sa.ForeignKeyConstraint(
            ["utterance_id"], ["utterances.id"], name=op.f("fk_source_entries_utterance_id")
        ),
        sa.PrimaryKeyConstraint("tenant", "source", "row", name=op.f("pk_source_entries")),
    )
    op.create_index(op.f("ix_source_entries_utterance_id"), "source_entries", ["utterance_id"])
    op.create_table(
        "source_changes",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("candidate", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_source_changes_tenant")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_source_changes")),
        sa.UniqueConstraint("tenant", "source", "row", name=op.f("uq_source_changes_tenant_source_row")),
    )


def downgrade() -> None:
    for table in ("source_changes", "source_entries", "sources"):
        op.drop_table(table)
