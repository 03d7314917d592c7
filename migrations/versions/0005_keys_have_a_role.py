"""An access key has a role; what was issued before goes on to open all of its tenant's memory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    role = sa.Column("role", sa.String(16), nullable=False, server_default="operate")
    op.add_column("access_keys", role)


def downgrade() -> None:
    op.drop_column("access_keys", "role")
