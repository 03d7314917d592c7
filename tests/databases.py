"""Databases that know nothing yet: their schema is made once and copied, for to make it takes long."""

from __future__ import annotations

import secrets
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from memory import Archive


def ready(path: Path) -> str:
    """The URL of an SQLite database: the one at this path, or else a new one there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_made())
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE archive SET id = ?", (_new_id(),))
    return f"sqlite:///{path}"


def ready_on_postgresql(create: Callable[[str], str]) -> Callable[[], str]:
    """Makes new databases as `create` does, which takes the name of one to copy."""
    made = create("template1")
    Archive.open(made).close()

    def copied() -> str:
        url = create(str(sa.make_url(made).database))
        engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE archive SET id = :id"), {"id": _new_id()})
        engine.dispose()
        return url

    return copied


@cache
def _made() -> bytes:
    with tempfile.TemporaryDirectory(prefix="ice-agent-db-") as folder:
        path = Path(folder) / "made.db"
        Archive.open(f"sqlite:///{path}").close()
        return path.read_bytes()


def _new_id() -> str:
    """As the first migration gives one to each database."""
    return f"ar_{secrets.token_hex(6)}"
