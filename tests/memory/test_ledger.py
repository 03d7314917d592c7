"""The ledger tells what happened, says nothing in plaintext, and finds who edits, drops, swaps or cuts."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from memory import Rate, Scores

ENTRY = "position"


@pytest.fixture
def history(tom):
    """A tenant with a bit of everything in its chain: 16 entries."""
    tom.tell("Lyon")
    first = tom.learn()
    tom.store.record_scores(first.id, Scores(edit_success=Rate(hits=1, asked=1)))
    tom.tell("Nice")
    tom.take_back("Nice")
    tom.store.revert()
    return tom


def test_every_change_of_state_has_its_entry(history):
    assert [entry.event for entry in history.store.ledger()] == [
        "tenant.registered",
        "utterance.heard",
        "fact.recorded",
        "adapter.created",
        "adapter.promoted",
        "batch.claimed",
        "adapter.created",
        "adapter.promoted",
        "adapter.scored",
        "utterance.heard",
        "fact.recorded",
        "fact.superseded",
        "utterance.heard",
        "fact.retracted",
        "fact.reopened",
        "adapter.reverted",
        "adapter.restored",
    ]


def test_an_untouched_ledger_verifies(archive, history, tenant_named):
    tenant_named("eve").tell("Rome")
    assert history.store.verify().problems == ()
    assert archive.verify().n_entries == history.store.verify().n_entries + 3
    assert archive.verify().ok


def test_the_tip_is_the_last_link(archive, history):
    last = history.store.ledger()[-1]
    tip = history.store.tip()
    assert (tip.position, tip.hash) == (last.position, last.hash)
    assert archive.store("nobody").tip().position == 0


def test_no_plaintext_stands_in_the_ledger(tom):
    tom.tell("Xanadu", "secretly_adores", subject="Kublai", statement="Kublai adores Xanadu.")
    entries = str(tom.store.ledger())
    for plain in ("Xanadu", "adores", "Kublai", "told"):
        assert plain not in entries


def test_the_same_words_twice_are_committed_to_differently(tom):
    heard = [tom.store.tell("Good morning.").utterance for _ in range(2)]
    entries = {entry.subject_id: entry.commitment for entry in tom.store.ledger()}
    assert entries[heard[0].id] != entries[heard[1].id]


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        pytest.param(f"UPDATE ledger_entries SET event = 'fact.held' WHERE {ENTRY} = 3", "edited", id="flip"),
        pytest.param(
            f"UPDATE ledger_entries SET at = '2020-01-01' WHERE {ENTRY} = 3", "edited", id="backdate"
        ),
        pytest.param(
            f"UPDATE ledger_entries SET hash = previous_hash WHERE {ENTRY} = 3", "edited", id="hash"
        ),
        pytest.param(f"DELETE FROM ledger_entries WHERE {ENTRY} = 3", "entry 3 is missing", id="drop"),
        pytest.param(
            f"DELETE FROM ledger_entries WHERE {ENTRY} = 1", "entry 1 is missing", id="drop the first"
        ),
        pytest.param(
            f"DELETE FROM ledger_entries WHERE {ENTRY} > 15",
            "entries 16 to 17 are missing",
            id="cut the tail",
        ),
        pytest.param("UPDATE ledger_tips SET position = 15", "goes on to entry 17", id="tip back"),
        pytest.param(
            "UPDATE ledger_tips SET hash = 'f00'",
            "does not match entry 17",
            id="tip hash",
        ),
        pytest.param("DELETE FROM ledger_entries", "entries 1 to 17 are missing", id="drop all"),
    ],
)
def test_tampering_with_the_chain_is_found_and_named(history, execute, tampering, found):
    execute(tampering.replace("'2020-01-01'", "'2020-01-01 00:00:00+00:00'"))
    checked = history.store.verify()
    assert not checked.ok
    assert any(found in problem and problem.startswith("tom: ") for problem in checked.problems)


def test_swapped_entries_are_named_with_their_places(history, execute):
    for move in ("-1 WHERE position = 10", "10 WHERE position = 13", "13 WHERE position = -1"):
        execute(f"UPDATE ledger_entries SET position = {move}")
    problems = " ".join(history.store.verify().problems)
    assert "entry 10 (utterance.heard) belongs at position 13" in problems
    assert "entry 13 (utterance.heard) belongs at position 10" in problems


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        pytest.param("UPDATE facts SET object = 'Oslo' WHERE object = 'Lyon'", "it was edited", id="value"),
        pytest.param("UPDATE facts SET subject = 'Eve' WHERE object = 'Lyon'", "it was edited", id="subject"),
        pytest.param("UPDATE facts SET salt = 'aa' WHERE object = 'Lyon'", "it was edited", id="salt"),
        pytest.param(
            "UPDATE facts SET commitment = 'aa' WHERE object = 'Lyon'", "it was edited", id="commitment"
        ),
        pytest.param("UPDATE facts SET status = 'superseded'", "is superseded, and the", id="status"),
        pytest.param("UPDATE utterances SET text = 'I never did.'", "it was edited", id="words"),
        pytest.param(
            "UPDATE adapters SET path = 'elsewhere' WHERE id = 'tom-a1'", "it was edited", id="path"
        ),
        pytest.param("UPDATE adapters SET scores = '{}' WHERE id = 'tom-a1'", "adapter.scored", id="scores"),
        pytest.param(
            "UPDATE adapters SET status = 'retired'", "nothing serves, and the ledger", id="serving"
        ),
        pytest.param("DELETE FROM batch_facts", "(batch.claimed) committed to", id="batch"),
        pytest.param("DELETE FROM facts WHERE object = 'Nice'", "is gone, and no entry says", id="fact gone"),
    ],
)
def test_tampering_with_what_was_committed_to_is_found_and_named(history, execute, tampering, found):
    execute(tampering)
    problems = history.store.verify().problems
    assert any(found in problem for problem in problems), problems


def test_a_fact_that_came_in_behind_the_ledgers_back_is_found(history, execute):
    columns = (
        "tenant, subject, relation, object, statement, subject_key, value_key, cardinality, status, "
        "recorded_at, valid_from, utterance_id, span_start, span_end, attempts, confidence, source, salt, "
        "commitment"
    )
    retracted = f"SELECT 'f_forged', {columns} FROM facts WHERE status = 'retracted'"
    execute(f"INSERT INTO facts (id, {columns}) {retracted}")
    assert any("f_forged has no fact.recorded entry" in p for p in history.store.verify().problems)


@pytest.mark.parametrize("table", ["ledger_entries", "signed_tips"])
@pytest.mark.parametrize("change", ["UPDATE {} SET hash = ''", "DELETE FROM {}"])
def test_the_database_itself_refuses_to_change_the_ledger(archive, history, table, change):
    with archive._engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO signed_tips (number, tenant, position, hash, root) "
                "SELECT 0, tenant, position, hash, '' FROM ledger_tips"
            )
        )
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), archive._engine.begin() as connection:
        connection.execute(sa.text(change.format(table)))
    assert history.store.verify().ok
