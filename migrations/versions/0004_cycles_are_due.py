"""How a tenant's last cycles ended is remembered, and what waits is found over all tenants by indexes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CLAIMED = sa.text("status = 'claimed'")
TAKEN_BACK = sa.text("status = 'retracted' AND adapter_id IS NOT NULL AND quarantine_reason IS NULL")


def upgrade() -> None:
    op.add_column("leases", sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("leases", sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))
    for name, table, columns, rows in _INDEXES:
        op.create_index(name, table, columns, sqlite_where=rows, postgresql_where=rows)


def downgrade() -> None:
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table)
    for column in ("failures", "ended_at"):
        op.drop_column("leases", column)


_INDEXES = (
    ("ix_batches_claimed", "batches", ["tenant"], CLAIMED),
    ("ix_facts_taken_back", "facts", ["valid_until", "tenant"], TAKEN_BACK),
)
