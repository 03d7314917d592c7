"""Create everything: tenants, utterances, facts in slots, batches, adapters, leases and the ledger."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
CURRENT = sa.text("status NOT IN ('superseded', 'retracted')")
CURRENT_FUNCTIONAL = sa.text("cardinality = 'one' AND status NOT IN ('superseded', 'retracted')")
PROMOTED = sa.text("status = 'promoted'")
FROM_PROMPT = "('pending', 'claimed', 'held', 'quarantined')"


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("tombstone_salt", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("name", name=op.f("uq_tenants_name")),
    )
    op.create_table(
        "batches",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("resumed", sa.Integer(), nullable=False),
        sa.Column("replaces_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_batches_tenant")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_batches")),
        sa.UniqueConstraint("id", name=op.f("uq_batches_id")),
    )
    op.create_index(op.f("ix_batches_tenant"), "batches", ["tenant"])
    op.create_table(
        "leases",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("token", NUMBER, nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_leases_tenant")),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_leases")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("position", NUMBER, autoincrement=False, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("commitment", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_ledger_entries_tenant")),
        sa.PrimaryKeyConstraint("tenant", "position", name=op.f("pk_ledger_entries")),
        sqlite_with_rowid=False,
    )
    _make_final("ledger_entries")
    op.create_table(
        "ledger_tips",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("position", NUMBER, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("peaks", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_ledger_tips_tenant")),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_ledger_tips")),
    )
    archive = op.create_table(
        "archive",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("n_signed", NUMBER, nullable=False),
        sa.Column("peaks", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive")),
    )
    op.bulk_insert(archive, [{"id": f"ar_{secrets.token_hex(6)}", "n_signed": 0, "peaks": ""}])
    op.create_table(
        "signed_tips",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("position", NUMBER, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_signed_tips_tenant")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_signed_tips")),
    )
    op.create_index(op.f("ix_signed_tips_tenant"), "signed_tips", ["tenant"])
    _make_final("signed_tips")
    op.create_table(
        "utterances",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("speaker", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_utterances_tenant")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_utterances")),
        sa.UniqueConstraint("id", name=op.f("uq_utterances_id")),
    )
    op.create_index(op.f("ix_utterances_tenant"), "utterances", ["tenant"])
    op.create_table(
        "adapters",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("base_hash", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scores", sa.Text(), nullable=True),
        sa.Column("parent_scores", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("collected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_adapters_batch_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["adapters.id"], name=op.f("fk_adapters_parent_id")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_adapters_tenant")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_adapters")),
        sa.UniqueConstraint("id", name=op.f("uq_adapters_id")),
    )
    op.create_index(op.f("ix_adapters_batch_id"), "adapters", ["batch_id"])
    op.create_index(op.f("ix_adapters_tenant"), "adapters", ["tenant"])
    op.create_index(
        "uq_adapters_one_promoted",
        "adapters",
        ["tenant"],
        unique=True,
        sqlite_where=PROMOTED,
        postgresql_where=PROMOTED,
    )
    op.create_table(
        "facts",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("subject_key", sa.Text(), nullable=False),
        sa.Column("value_key", sa.Text(), nullable=False),
        sa.Column("cardinality", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stated_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stated_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.Column("span_start", sa.Integer(), nullable=False),
        sa.Column("span_end", sa.Integer(), nullable=False),
        sa.Column("supersedes_id", sa.Text(), nullable=True),
        sa.Column("adapter_id", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("is_held", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("quarantine_reason", sa.Text(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("commitment", sa.Text(), nullable=False),
        sa.CheckConstraint("span_start >= 0 AND span_end >= span_start", name=op.f("ck_facts_span")),
        sa.ForeignKeyConstraint(["adapter_id"], ["adapters.id"], name=op.f("fk_facts_adapter_id")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_facts_batch_id")),
        sa.ForeignKeyConstraint(["supersedes_id"], ["facts.id"], name=op.f("fk_facts_supersedes_id")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_facts_tenant")),
        sa.ForeignKeyConstraint(["utterance_id"], ["utterances.id"], name=op.f("fk_facts_utterance_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_facts")),
        sa.UniqueConstraint("id", name=op.f("uq_facts_id")),
    )
    op.create_index(op.f("ix_facts_adapter_id"), "facts", ["adapter_id"])
    op.create_index("ix_facts_slot", "facts", ["tenant", "subject_key", "relation"])
    op.create_index(op.f("ix_facts_supersedes_id"), "facts", ["supersedes_id"])
    in_prompt = sa.text(f"status IN {FROM_PROMPT}")
    op.create_index(
        "ix_facts_in_prompt",
        "facts",
        ["tenant", "number"],
        sqlite_where=in_prompt,
        postgresql_where=in_prompt,
    )
    for name, ends in (
        ("ix_facts_ending", "status NOT IN ('superseded', 'retracted') AND valid_until IS NOT NULL"),
        ("ix_facts_superseded", "status = 'superseded'"),
    ):
        where = sa.text(ends)
        op.create_index(name, "facts", ["tenant", "valid_until"], sqlite_where=where, postgresql_where=where)
    op.create_index("ix_facts_tenant_status", "facts", ["tenant", "status", "number"])
    op.create_index(op.f("ix_facts_utterance_id"), "facts", ["utterance_id"])
    op.create_index(
        "uq_facts_current_slot",
        "facts",
        ["tenant", "subject_key", "relation"],
        unique=True,
        sqlite_where=CURRENT_FUNCTIONAL,
        postgresql_where=CURRENT_FUNCTIONAL,
    )
    op.create_index(
        "uq_facts_current_value",
        "facts",
        ["tenant", "subject_key", "relation", "value_key"],
        unique=True,
        sqlite_where=CURRENT,
        postgresql_where=CURRENT,
    )
    op.create_table(
        "tombstones",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_tombstones_tenant")),
        sa.PrimaryKeyConstraint("tenant", "digest", name=op.f("pk_tombstones")),
    )
    op.create_table(
        "access_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_access_keys_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_keys")),
    )
    op.create_index(op.f("ix_access_keys_tenant"), "access_keys", ["tenant"])
    op.create_table(
        "mentions",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("fact_id", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.Column("span_start", sa.Integer(), nullable=False),
        sa.Column("span_end", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dated_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["fact_id"], ["facts.id"], name=op.f("fk_mentions_fact_id")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_mentions_tenant")),
        sa.ForeignKeyConstraint(["utterance_id"], ["utterances.id"], name=op.f("fk_mentions_utterance_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_mentions")),
    )
    op.create_index(op.f("ix_mentions_fact_id"), "mentions", ["fact_id"])
    op.create_index(op.f("ix_mentions_utterance_id"), "mentions", ["utterance_id"])
    op.create_table(
        "proposals",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("candidate", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fact_id", sa.Text(), nullable=True),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["fact_id"], ["facts.id"], name=op.f("fk_proposals_fact_id")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_proposals_tenant")),
        sa.ForeignKeyConstraint(["utterance_id"], ["utterances.id"], name=op.f("fk_proposals_utterance_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_proposals")),
        sa.UniqueConstraint("id", name=op.f("uq_proposals_id")),
    )
    op.create_index("ix_proposals_tenant_status", "proposals", ["tenant", "status", "number"])
    op.create_index(op.f("ix_proposals_utterance_id"), "proposals", ["utterance_id"])
    op.create_table(
        "batch_facts",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("fact_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("commitment", sa.Text(), nullable=False),
        sa.Column("previous_adapter_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_batch_facts_batch_id")),
        sa.ForeignKeyConstraint(
            ["previous_adapter_id"], ["adapters.id"], name=op.f("fk_batch_facts_previous_adapter_id")
        ),
        sa.PrimaryKeyConstraint("batch_id", "fact_id", name=op.f("pk_batch_facts")),
    )
    op.create_index(op.f("ix_batch_facts_fact_id"), "batch_facts", ["fact_id"])
    op.create_table(
        "items",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_items_tenant")),
        sa.ForeignKeyConstraint(["utterance_id"], ["utterances.id"], name=op.f("fk_items_utterance_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_items")),
        sa.UniqueConstraint("id", name=op.f("uq_items_id")),
        sa.UniqueConstraint("tenant", "namespace", "key", name=op.f("uq_items_tenant_namespace_key")),
    )
    op.create_index(op.f("ix_items_utterance_id"), "items", ["utterance_id"])
    for kind, owners in (("fact", "facts"), ("item", "items")):
        op.create_table(
            f"{kind}_vectors",
            sa.Column("number", NUMBER, autoincrement=False, nullable=False),
            sa.Column("tenant", sa.Text(), nullable=False),
            sa.Column("model", sa.Text(), nullable=False),
            sa.Column("vector", sa.LargeBinary(), nullable=False),
            sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f(f"fk_{kind}_vectors_tenant")),
            sa.ForeignKeyConstraint(
                ["number"],
                [f"{owners}.number"],
                name=op.f(f"fk_{kind}_vectors_number"),
                ondelete="CASCADE",
            ),
            sa.PrimaryKeyConstraint("number", name=op.f(f"pk_{kind}_vectors")),
        )
        op.create_index(f"ix_{kind}_vectors_model", f"{kind}_vectors", ["tenant", "model", "number"])
    _index_words()


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP TRIGGER facts_words_kept ON facts")
        op.execute("DROP FUNCTION keep_words(), words_of(facts)")
        op.execute("DROP TEXT SEARCH CONFIGURATION every_word")
        op.execute("DROP TEXT SEARCH DICTIONARY every_stem")
    for index in ("facts_words", "prompt_words"):
        op.execute(f"DROP TABLE {index}")
    for table in (
        "fact_vectors",
        "item_vectors",
        "items",
        "batch_facts",
        "proposals",
        "mentions",
        "access_keys",
        "tombstones",
        "facts",
        "adapters",
        "utterances",
        "ledger_tips",
        "ledger_entries",
        "leases",
        "batches",
        "signed_tips",
        "archive",
        "tenants",
    ):
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_change()")


def _index_words() -> None:
    """Full-text indexes of all facts, and of those in the prompt, kept by triggers."""
    if op.get_context().dialect.name == "postgresql":
        _index_words_on_postgresql()
        return
    words = (
        "replace({row}.tenant, '_', '') || ' ' || {row}.subject || ' ' || replace({row}.relation, '_', ' ') "
        "|| ' ' || {row}.object || ' ' || {row}.statement"
    )
    new, old = words.format(row="new"), words.format(row="old")
    for index in ("facts_words", "prompt_words"):
        op.execute(f"CREATE VIRTUAL TABLE {index} USING fts5(words, content='', tokenize='porter unicode61')")
        # A search looks at every segment, and each writer adds one: without this up to 16 of a size.
        op.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('crisismerge', 4)")

    def add(index: str) -> str:
        return f"INSERT INTO {index} (rowid, words) VALUES (new.number, {new});"

    def drop(index: str) -> str:
        return f"INSERT INTO {index} ({index}, rowid, words) VALUES ('delete', old.number, {old});"

    is_new, was = f"new.status IN {FROM_PROMPT}", f"old.status IN {FROM_PROMPT}"
    for name, event, do in (
        ("facts_words_added", "INSERT", add("facts_words")),
        ("facts_words_dropped", "DELETE", drop("facts_words")),
        ("prompt_words_added", f"INSERT ON facts WHEN {is_new}", add("prompt_words")),
        ("prompt_words_dropped", f"DELETE ON facts WHEN {was}", drop("prompt_words")),
        (
            "prompt_words_entered",
            f"UPDATE OF status ON facts WHEN {is_new} AND NOT {was}",
            add("prompt_words"),
        ),
        ("prompt_words_left", f"UPDATE OF status ON facts WHEN {was} AND NOT {is_new}", drop("prompt_words")),
    ):
        on = event if " ON " in event else f"{event} ON facts"
        op.execute(f"CREATE TRIGGER {name} AFTER {on} BEGIN {do} END")


def _index_words_on_postgresql() -> None:
    """A row for each word of a fact: the newest with a word are a short walk back along the primary key."""
    # Without stop words: two databases find the same.
    op.execute("CREATE TEXT SEARCH DICTIONARY every_stem (TEMPLATE = snowball, Language = english)")
    op.execute("CREATE TEXT SEARCH CONFIGURATION every_word (COPY = pg_catalog.english)")
    op.execute(
        "ALTER TEXT SEARCH CONFIGURATION every_word ALTER MAPPING FOR "
        "asciiword, asciihword, hword_asciipart, word, hword, hword_part WITH every_stem"
    )
    for index in ("facts_words", "prompt_words"):
        op.execute(
            f"CREATE TABLE {index} "
            "(tenant text, word text, number bigint, PRIMARY KEY (tenant, word, number))"
        )
    op.execute(
        "CREATE FUNCTION words_of(fact facts) RETURNS text[] LANGUAGE sql STABLE AS $$ "
        "SELECT tsvector_to_array(to_tsvector('every_word', concat_ws(' ', "
        "fact.subject, replace(fact.relation, '_', ' '), fact.object, fact.statement))) $$"
    )
    op.execute(
        "CREATE FUNCTION keep_words() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE "
        "said text[] := words_of(CASE WHEN TG_OP = 'DELETE' THEN old ELSE new END); "
        f"was boolean := TG_OP <> 'INSERT' AND old.status IN {FROM_PROMPT}; "
        f"is_now boolean := TG_OP <> 'DELETE' AND new.status IN {FROM_PROMPT}; BEGIN "
        "IF TG_OP = 'INSERT' THEN "
        "INSERT INTO facts_words SELECT new.tenant, unnest(said), new.number; "
        "ELSIF TG_OP = 'DELETE' THEN "
        "DELETE FROM facts_words WHERE tenant = old.tenant AND word = ANY (said) AND number = old.number; "
        "END IF; "
        "IF is_now AND NOT was THEN "
        "INSERT INTO prompt_words SELECT new.tenant, unnest(said), new.number; "
        "ELSIF was AND NOT is_now THEN "
        "DELETE FROM prompt_words WHERE tenant = old.tenant AND word = ANY (said) AND number = old.number; "
        "END IF; RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER facts_words_kept AFTER INSERT OR DELETE OR UPDATE OF status ON facts "
        "FOR EACH ROW EXECUTE FUNCTION keep_words()"
    )


def _make_final(table: str) -> None:
    """The database itself refuses to change or delete a row of this table."""
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
        for change, each in (("UPDATE OR DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER {table}_refuse_{each.lower()} BEFORE {change} ON {table} "
                f"FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_refuse_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
