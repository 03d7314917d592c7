"""The ledger tells what happened, and says nothing in plaintext. Who tampers with it: test_tampering.py."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from memory import Rate, Scores


@pytest.fixture
def history(tom):
    """A tenant with a bit of everything in its chain."""
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
        "fact.mentioned",
        "fact.retracted",
        "fact.reopened",
        "adapter.reverted",
        "fact.held",
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
