"""Opening, upgrading and losing a database: the schema is the models', and every failure says what to do."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from memory import Archive, StoreOutdated, StoreTooNew, StoreUnavailable
from memory.database import connect, migrations_config
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
