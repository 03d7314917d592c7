"""Opening, upgrading and losing a database: the schema is the models', and every failure says what to do."""

from __future__ import annotations

import gc
import shutil
import sqlite3
import threading
import time
from contextlib import closing

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from memory import Archive, StoreOutdated, StoreTooNew, StoreUnavailable
from memory.database import COMMITS_A_PASS, connect, is_log_emptied, migrations_config
from memory.tables import Table


@pytest.fixture
def empty(empty_url):
    engine = connect(empty_url)
    yield engine
    engine.dispose()


def test_the_newest_schema_is_what_the_models_say(empty):
    command.upgrade(migrations_config(empty), "head")
    with empty.connect() as connection:
        opts = {"compare_type": True, "include_name": _is_ours}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, Table.metadata) == []
    partial = {"uq_adapters_one_promoted", "uq_facts_current_slot", "uq_facts_current_value"}
    inspector = sa.inspect(empty)
    where = {
        index["name"]: index.get("dialect_options", {}).get(f"{empty.dialect.name}_where")
        for table in ("facts", "adapters")
        for index in inspector.get_indexes(table)
    }
    assert all(where[name] is not None for name in partial)


def _is_ours(name, kind, parents):
    """Full-text indexes are tables of each database's own making, which no model describes."""
    return kind != "table" or not name.startswith(("facts_words", "prompt_words"))


def test_every_migration_can_be_undone_and_done_again(empty):
    config = migrations_config(empty)
    steps = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    for revision in steps:
        command.upgrade(config, revision)
        command.downgrade(config, "-1")
        command.upgrade(config, revision)
    command.downgrade(config, "base")
    assert sa.inspect(empty).get_table_names() == ["alembic_version"]


def test_opening_an_empty_database_makes_it_ready_and_twice_changes_nothing(empty_url):
    with Archive.open(empty_url) as archive:
        archive.store("tom").tell("I live in Lyon.")
    with Archive.open(empty_url, migrate=False) as archive:
        assert len(archive.store("tom").utterances()) == 1


def test_a_database_from_a_newer_version_is_refused(empty, empty_url):
    command.upgrade(migrations_config(empty), "head")
    with empty.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreTooNew, match=r"schema 9999.*upgrade ice-agent"):
        Archive.open(empty_url)


def test_a_database_that_may_not_be_migrated_is_refused_with_the_next_step(empty_url):
    with pytest.raises(StoreOutdated, match="ice-agent init"):
        Archive.open(empty_url, migrate=False)


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "notes.db").write_text("Dear diary, " * 100)
    with pytest.raises(StoreUnavailable, match=r"notes\.db: file is not a database"):
        Archive.open(f"sqlite:///{tmp_path / 'notes.db'}")


def test_a_folder_that_is_missing_is_made(tmp_path):
    with Archive.open(f"sqlite:///{tmp_path / 'new' / 'folder' / 'memory.db'}") as archive:
        assert archive.tenants() == ()


@pytest.mark.parametrize("nonsense", ["memory.db", "mysql://localhost/memory", "sqlite:/\\"])
def test_a_url_that_is_none_of_ours_is_explained(nonsense):
    with pytest.raises(StoreUnavailable, match="sqlite:///"):
        Archive.open(nonsense)


def test_a_server_that_does_not_answer_is_named_without_the_password():
    with pytest.raises(StoreUnavailable) as refused:
        Archive.open("postgresql://tom:secret@127.0.0.1:1/memory")
    assert "127.0.0.1" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_full_disk_loses_nothing_and_is_named(tmp_path):
    with Archive.open(f"sqlite:///{tmp_path / 'memory.db'}") as archive:
        store = archive.store("tom")
        store.tell("I live in Lyon.")
        with store._engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreUnavailable, match="disk is full"):
            store.tell("x" * 100_000)
        assert [utterance.text for utterance in store.utterances()] == ["I live in Lyon."]
        assert store.verify().ok


def test_the_log_is_written_into_the_file_while_it_is_open_and_no_thread_outlives_it(tmp_path):
    with Archive.open(f"sqlite:///{tmp_path / 'memory.db'}") as archive:
        for _ in range(2 * COMMITS_A_PASS):
            archive.store("tom").tell("I live in Lyon.")
        assert _in_time(lambda: _n_heard_without_the_log(tmp_path) >= COMMITS_A_PASS)
        assert _keepers(tmp_path)
    assert not _keepers(tmp_path)
    assert [path.name for path in tmp_path.glob("memory.db*")] == ["memory.db"]


def test_an_engine_that_nobody_closed_ends_its_thread_with_itself(tmp_path):
    archive = Archive.open(f"sqlite:///{tmp_path / 'memory.db'}")
    for _ in range(COMMITS_A_PASS):
        archive.store("tom").tell("I live in Lyon.")
    assert _keepers(tmp_path)
    archive._engine.pool.dispose()
    del archive
    assert _in_time(lambda: not gc.collect() and not _keepers(tmp_path))


def test_a_closed_archive_that_is_used_again_keeps_its_log_again(tmp_path):
    archive = Archive.open(f"sqlite:///{tmp_path / 'memory.db'}")
    for _ in range(2):
        for _ in range(COMMITS_A_PASS):
            archive.store("tom").tell("I live in Lyon.")
        assert _keepers(tmp_path)
        archive.close()
        assert not _keepers(tmp_path)
    archive.close()


def test_emptying_the_log_waits_for_another_that_writes_it_back(tmp_path):
    first, second, reader = (
        sqlite3.connect(tmp_path / "a.db", timeout, check_same_thread=False) for timeout in (20, 0, 0)
    )
    with closing(first), closing(second), closing(reader):
        first.execute("PRAGMA journal_mode = WAL")
        first.execute("CREATE TABLE heard (text)")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM heard").fetchall()
        with first:
            first.execute("INSERT INTO heard VALUES ('I live in Lyon.')")
        # It waits for the reader, and nobody else may write or write back until then.
        waiting = threading.Thread(target=first.execute, args=["PRAGMA wal_checkpoint(TRUNCATE)"])
        waiting.start()
        assert _in_time(lambda: not _may_write(second))
        threading.Timer(0.2, reader.rollback).start()
        is_emptied = is_log_emptied(second)
        waiting.join()
        assert is_emptied


def _may_write(connection):
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    connection.rollback()
    return True


def _keepers(folder):
    return [thread for thread in threading.enumerate() if str(folder) in thread.name]


def _n_heard_without_the_log(folder):
    copy = folder / "copy" / "memory.db"
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(folder / "memory.db", copy)
    try:
        with closing(sqlite3.connect(copy)) as connection:
            return connection.execute("SELECT count(*) FROM utterances").fetchone()[0]
    except sqlite3.DatabaseError:
        return 0  # copied while it was written


def _in_time(condition):
    end = time.monotonic() + 240
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
