"""Where an embedding model places facts: compared exactly, never another tenant's, gone with the fact."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from memory import Among, Meaning
from memory.tables import FactRow, FactVectorRow

MODEL = "concepts/2"


def towards(*vector, model=MODEL):
    return Meaning(model=model, vector=vector)


@pytest.fixture
def placed(tom):
    """Two facts at right angles."""
    east, north = tom.likes("tea").fact, tom.likes("rum").fact
    tom.store.vectors.place(MODEL, {east.id: [2.0, 0.0], north.id: [0.0, 0.5]}, Among.FACTS)
    return east, north


def near(tom, meaning, among=Among.FACTS, limit=9):
    found = tom.store.vectors.facts(meaning, among, limit)
    return {fact.object: round(similarity, 2) for fact, similarity in found.items()}


def test_facts_are_ranked_by_their_cosine(tom, placed):
    assert near(tom, towards(3.0, 4.0)) == {"rum": 0.8, "tea": 0.6}
    assert list(near(tom, towards(3.0, 4.0))) == ["rum", "tea"]
    assert near(tom, towards(3.0, 4.0), limit=1) == {"rum": 0.8}
    assert near(tom, towards(0.0, 0.0)) == {"tea": 0.0, "rum": 0.0}


def test_vectors_of_another_model_are_not_compared(tom, placed):
    assert near(tom, towards(1.0, 0.0, model="another/2")) == {}
    tom.store.vectors.place("another/2", {placed[0].id: [1.0, 0.0]}, Among.FACTS)
    assert near(tom, towards(1.0, 0.0, model="another/2")) == {"tea": 1.0}
    assert near(tom, towards(1.0, 0.0)) == {"rum": 0.0}


def test_what_lacks_a_vector_is_told_the_newest_first(tom, placed):
    figs, snow = tom.likes("figs").fact, tom.likes("snow").fact
    lacking = tom.store.vectors.lacking(MODEL, Among.FACTS, 9)
    assert list(lacking.items()) == [(snow.id, snow.statement), (figs.id, figs.statement)]
    assert list(tom.store.vectors.lacking(MODEL, Among.FACTS, 1)) == [snow.id]
    assert len(tom.store.vectors.lacking("another/2", Among.FACTS, 9)) == 4


def test_the_prompt_is_compared_without_what_the_weights_serve(tom, placed):
    tom.learn()
    assert near(tom, towards(1.0, 0.0), Among.PROMPT) == {}
    assert near(tom, towards(1.0, 0.0)) == {"tea": 1.0, "rum": 0.0}
    tom.take_back("tea", "likes")
    assert near(tom, towards(1.0, 0.0), Among.PROMPT) == {"tea": 1.0}
    assert near(tom, towards(1.0, 0.0)) == {"rum": 0.0}


def test_another_tenants_vectors_are_neither_compared_nor_changed(tom, placed, tenant_named):
    eve = tenant_named("eve")
    fact = eve.likes("jazz").fact
    eve.store.vectors.place(MODEL, {fact.id: [1.0, 0.0], placed[0].id: [0.0, 1.0]}, Among.FACTS)
    # Of one that is wanted, another tenant's would take the place.
    assert near(eve, towards(0.0, 1.0), limit=1) == {"jazz": 0.0}
    assert near(eve, towards(1.0, 0.0)) == {"jazz": 1.0}
    assert near(tom, towards(1.0, 0.0)) == {"tea": 1.0, "rum": 0.0}


def test_a_vector_goes_with_its_fact_whoever_deletes_it(tom, placed, archive, execute):
    tom.store.forget([placed[0].id])
    assert kept(archive) == {placed[1].id}
    with archive._engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM facts"))
    assert kept(archive) == set()


def test_a_vector_goes_with_its_tenant(tom, placed, archive):
    tom.store.forget_everything()
    assert kept(archive) == set()


def test_what_was_forgotten_while_it_was_embedded_gets_no_vector(tom, placed, archive):
    tom.store.forget([placed[0].id])
    tom.store.vectors.place(MODEL, {placed[0].id: [1.0, 0.0]}, Among.FACTS)
    assert kept(archive) == {placed[1].id}


def test_vectors_change_nothing_that_the_ledger_vouches_for(tom, placed):
    tip = tom.store.tip()
    tom.store.vectors.place(MODEL, {placed[0].id: [0.0, 1.0]}, Among.FACTS)
    assert tom.store.tip() == tip
    assert tom.store.verify().ok


def kept(archive):
    """The facts that vectors are of; a vector of none is of None."""
    with archive._reader.connect() as connection:
        placed = sa.select(FactRow.id).select_from(FactVectorRow)
        return set(connection.scalars(placed.outerjoin(FactRow, FactRow.number == FactVectorRow.number)))
