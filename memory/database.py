"""How the database is reached: its URL, its connections, its clock and its schema. Knows nothing of facts."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from memory.errors import StoreOutdated, StoreTooNew, StoreUnavailable

logger = logging.getLogger(__name__)

KNOWN_URLS: Final = "write sqlite:///path/to/file.db or postgresql://user@host/name"
BUSY_TIMEOUT_MS: Final = 10_000
CACHE_KIB: Final = 32 * 1024  # of a connection, filled as needed; with the default of 2 MiB all is read again
COMMITS_A_PASS: Final = 16  # of the thread that writes the log back
LONG_LOG_PAGES: Final = 10_000  # 40 MiB, which a writer itself takes care of
MIGRATION_LOCK: Final = 0x1CE_A6E47  # names the advisory lock of PostgreSQL that one upgrade at a time holds

SWEPT: Final = (
    *("facts", "utterances", "mentions", "proposals", "items", "tenants"),
    *("facts_words", "prompt_words", "fact_vectors", "item_vectors", "source_changes"),
)
"""The tables that have what was said in them."""

STILL_READ: Final = (
    "it is forgotten, but another process was reading just now, and the log beside the file may still have "
    "the words: forget it again, or end that process"
)

# What drivers say, and what to do about it.
ADVICE = {
    "disk I/O error": "is the disk full? free some space; what was written is whole",
    "disk is full": "free some space; what was written is whole",
    "malformed": "restore the file from a copy",
    "not a database": "it is no SQLite file: set store.url to another one",
    "permission denied": "let this role create and write tables: GRANT CREATE, USAGE ON SCHEMA public",
    "readonly": "make the file and its folder writable",
    "locked": "another process holds it for long: end that one, or try again",
}


class Clock(FunctionElement[float]):
    """Seconds since 1970 on the database's own clock, so that machines with other clocks agree on a lease."""

    type = sa.Double()
    inherit_cache = True


@compiles(Clock, "sqlite")
def _sqlite_clock(element: Clock, compiler: SQLCompiler, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Clock, "postgresql")
def _postgresql_clock(element: Clock, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


def connect(url: str) -> sa.Engine:
    """An engine for the URL; nothing is opened yet."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise StoreUnavailable(url, KNOWN_URLS) from error
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreUnavailable(parsed.render_as_string(), KNOWN_URLS)
    try:
        # A server that was restarted is found again instead of failing the first to ask. And no error quotes
        # what was to be written.
        engine = sa.create_engine(
            parsed, pool_pre_ping=parsed.get_backend_name() == "postgresql", hide_parameters=True
        )
    except ModuleNotFoundError as error:
        raise StoreUnavailable(
            parsed.render_as_string(), f"{error}; `pip install 'ice-agent[postgres]'`"
        ) from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        keeper = LogKeeper(engine.dialect, engine.url)
        sa.event.listen(engine, "commit", keeper.note_commit)
        sa.event.listen(engine, "engine_disposed", keeper.stop)
        weakref.finalize(engine, keeper.end)
    return engine


def reader(engine: sa.Engine) -> sa.Engine:
    """The same connections for reading: a transaction sees one moment and blocks nobody."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine.execution_options(is_reading=True)


def turns(engine: sa.Engine) -> AbstractContextManager[Any]:
    """What the writers of this process pass through one by one, where the database has one writer only.

    SQLite lets a writer that must wait sleep for up to a tenth of a second between two tries; here the next
    one goes on at once.
    """
    return Lock() if engine.dialect.name == "sqlite" else nullcontext()


def upgrade(engine: sa.Engine) -> None:
    """Bring the schema up to date, writing nothing if it is. Of two processes one upgrades, one waits."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    if _known_revision(engine) == _head():
        return
    with clear_errors(engine), engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        command.upgrade(migrations_config(connection), "head")


def sweep(engine: sa.Engine) -> None:
    """Write the database anew, so that nothing deleted is left: neither in free pages nor in the log.

    On PostgreSQL its own write-ahead log and backups are the operator's. Raises StoreUnavailable when others
    hold the database so that it cannot be done; what was deleted is deleted.
    """
    with clear_errors(engine), closing(engine.raw_connection()) as connection:
        driver: Any = connection.driver_connection
        if engine.dialect.name == "postgresql":
            connection.rollback()
            driver.autocommit = True
            for table in SWEPT:
                driver.execute(f"VACUUM FULL {table}")
            driver.autocommit = False
            return
        for index in ("facts_words", "prompt_words"):
            driver.execute(f"INSERT INTO {index} ({index}) VALUES ('optimize')")
        driver.execute("VACUUM")
        if not is_log_emptied(driver):
            raise StoreUnavailable(shown_url(engine), STILL_READ)


class LogKeeper:
    """Brings what is in SQLite's write-ahead log into its file, in a thread of its own.

    Else the commit that makes the log long does it, and all that wait behind that one wait longer. The thread
    lives from the first commits to the engine's disposal. Where it cannot keep up, or was killed with its
    process, a writer does it when the log is very long, and whoever closes the file last in any case.
    """

    def __init__(self, dialect: sa.Dialect, url: sa.URL) -> None:
        # Not the engine: one that nobody holds any more ends the thread.
        self._dialect, self._url = dialect, url
        self._n_commits = 0
        self._thread: Thread | None = None
        self._due = SimpleQueue[bool]()

    def note_commit(self, connection: sa.Connection) -> None:
        self._n_commits += 1
        if self._n_commits % COMMITS_A_PASS:
            return
        # A child of this process has everything but the thread.
        if self._thread is None or not self._thread.is_alive():
            self._due = SimpleQueue()
            name = f"log of {self._url.database}"
            thread = Thread(target=self._keep, args=(self._due,), name=name, daemon=True)
            # No thread starts when the interpreter is ending.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread
        self._due.put(True)

    def end(self) -> None:
        self._due.put(False)

    def stop(self, engine: sa.Engine) -> None:
        self.end()
        if self._thread is not None:
            self._thread.join()

    def _keep(self, due: SimpleQueue[bool]) -> None:
        arguments, options = self._dialect.create_connect_args(self._url)
        try:
            with closing(self._dialect.connect(*arguments, **options)) as connection:
                _prepare_sqlite(connection, None)
                while due.get():
                    _write_back(connection)
        except self._dialect.loaded_dbapi.Error as error:
            # The next commits try again.
            logger.warning("the log of %s stays long for now: %s", self._url, error)


def _write_back(connection: Any) -> None:
    """Pass after pass until nothing is left of the log, so that the next writer begins it anew.

    What is committed during a pass is left to the next, which is short.
    """
    for _ in range(8):
        (_, n_pages, n_written) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if n_written == n_pages:
            return


def is_log_emptied(connection: Any) -> bool:
    """Empty the log; False when somebody reads it for too long."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        (is_busy, n_pages, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        # Without a number of pages somebody else was at it, for whom SQLite itself does not wait.
        if not is_busy or n_pages >= 0 or time.monotonic() > deadline:
            return not is_busy
        time.sleep(0.01)


def require_head(engine: sa.Engine) -> None:
    """Raises StoreOutdated unless the schema is the one that this version writes; makes no file."""
    is_missing = engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists()
    revision = None if is_missing else _known_revision(engine)
    if revision != _head():
        raise StoreOutdated(shown_url(engine), revision)


def migrations_config(connectable: sa.Connection | sa.Engine) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_migrations_dir()).replace("%", "%%"))
    config.attributes["connection"] = connectable
    return config


def shown_url(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


@contextmanager
def clear_errors(engine: sa.Engine) -> Iterator[None]:
    """Turn what the driver says about the disk, the file or the server into one line with the URL."""
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.DataError, sa.exc.InternalError):
        raise
    except sa.exc.DatabaseError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise StoreUnavailable(shown_url(engine), f"{reason} ({_advice(reason)})") from error


def _advice(reason: str) -> str:
    """The next step for what a driver complains of."""
    for said, step in ADVICE.items():
        if said in reason:
            return step
    return "see that the database is there, whole, and yours to write; nothing was changed"


def _known_revision(engine: sa.Engine) -> str | None:
    """The schema's revision; raises StoreTooNew when it is none that this version knows."""
    with clear_errors(engine), reader(engine).connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreTooNew(shown_url(engine), revision)
    return revision


def _head() -> str | None:
    return _scripts().get_current_head()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_migrations_dir()))


def _migrations_dir() -> Path:
    """Inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # The driver's own transactions would begin too late and too weak: ours begin in _begin_sqlite.
    connection.isolation_level = None
    cursor = connection.cursor()
    # The timeout first: switching the journal mode needs a lock, too.
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {LONG_LOG_PAGES}")
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes the write lock at once: one that starts as a reader fails when another wrote in between.
    is_reading = connection.get_execution_options().get("is_reading", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
