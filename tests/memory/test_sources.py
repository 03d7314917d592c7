"""What a source told last is remembered with its facts, in one transaction, on either database."""

from __future__ import annotations

import pytest

from memory import FactStatus, SourceFact, WrongState
from tests.memory.conftest import _candidate


@pytest.fixture
def sources(tom):
    tom.store.declare(shared=False)
    return tom.store.sources


def says(**capitals):
    return [
        SourceFact(key=(name,), place=f"line {n}", candidate=_candidate(value, "capital", subject=name))
        for n, (name, value) in enumerate(capitals.items(), 1)
    ]


def told(sources, facts, *, is_reviewed=False):
    found = sources.compare("atlas", facts)
    changes = (*found.changed, *found.vanished)
    done = sources.apply("atlas", changes, is_reviewed=is_reviewed, set_aside={})
    sources.finish("atlas")
    return done


def test_what_was_told_is_no_change_any_more(tom, sources):
    facts = says(France="Paris", Peru="Lima")
    assert len(told(sources, facts)) == 2
    found = sources.compare("atlas", facts)
    assert (found.changed, found.vanished, found.n_told) == ((), (), 2)
    assert sources.compare("another", facts).n_told == 0
    assert tom.store.verify().ok


def test_the_same_changes_applied_twice_are_told_once(tom, sources):
    found = sources.compare("atlas", says(France="Paris"))
    for n_told in (1, 0):
        assert len(sources.apply("atlas", found.changed, is_reviewed=False, set_aside={})) == n_told
    assert len(tom.store.utterances()) == 1


def test_changed_and_vanished_rows_end_what_they_told(tom, sources):
    told(sources, says(France="Paris", Peru="Lima"))
    told(sources, says(France="Lyon"))
    assert {fact.object: fact.status for fact in tom.store.facts(statuses=FactStatus)} == {
        "Paris": FactStatus.SUPERSEDED,
        "Lima": FactStatus.RETRACTED,
        "Lyon": FactStatus.PENDING,
    }
    assert tom.store.verify().ok


def test_two_rows_of_one_batch_may_tell_the_same_fact(tom, sources):
    twice = [
        SourceFact(key=(name,), place="line 1", candidate=_candidate("Paris", "capital", subject="France"))
        for name in ("a", "b")
    ]
    told(sources, twice)
    (fact,) = tom.store.facts()
    assert len(tom.store.mentions(fact.id)) == 2


def test_what_is_held_waits_as_it_is_until_it_is_approved_or_discarded(tom, sources):
    found = sources.compare("atlas", says(France="Paris"))
    with pytest.raises(WrongState, match="nothing of 'atlas' waits"):
        sources.approve("atlas")
    sources.hold("atlas", found.changed, digest=found.digest, because="too much", validators={"etag": "1"})
    assert sources.held("atlas") == found.changed
    assert sources.state("atlas").held_because == "too much"
    sources.discard("atlas")
    assert sources.held("atlas") == ()
    assert sources.state("atlas").discarded == found.digest


def test_nothing_of_a_source_is_seen_by_another_tenant_or_stays_of_a_forgotten_one(
    tom, sources, tenant_named
):
    facts = says(France="Paris")
    told(sources, facts)
    found = sources.compare("atlas", says(France="Lyon"))
    sources.hold("atlas", found.changed, digest=found.digest, because="", validators={})
    eve = tenant_named("eve").store
    assert (eve.sources.state("atlas"), eve.sources.compare("atlas", facts).n_told) == (None, 0)
    tom.store.forget_everything()
    assert (sources.state("atlas"), sources.held("atlas")) == (None, ())


def test_rows_are_remembered_without_their_words(sources, archive):
    told(sources, says(Xanadu="Kubla"))
    with archive._engine.connect() as connection:
        rows = str(connection.exec_driver_sql("SELECT * FROM source_entries").all())
    assert "Xanadu" not in rows
    assert "Kubla" not in rows
