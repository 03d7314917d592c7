"""Where Alembic starts: given a connection (by the store) or an engine (by tests), it opens none itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from memory.tables import Table


def run(connection: sa.Connection) -> None:
    # SQLite cannot ALTER most things; batch mode rebuilds the table instead.
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


connectable = context.config.attributes["connection"]
if isinstance(connectable, sa.Engine):
    with connectable.begin() as connection:
        run(connection)
else:
    run(connectable)
