"""What a person takes back by hand ends as if it had been said; the other decisions: tests/cli."""

from __future__ import annotations

import pytest

from ice_agent import collect, decide
from ice_agent.settings import Collect
from memory import Archive, FactStatus, WrongState
from tests.databases import ready


@pytest.fixture
def store(tmp_path):
    with Archive.open(ready(tmp_path / "facts.db")) as archive:
        yield archive.store("amara")


def hear(store, text):
    return collect.hear(store, Collect(), text, collect.extractor_named("rules")).learned[0]


def test_a_fact_that_is_taken_back_ends_and_what_it_superseded_stands_again(store):
    nairobi, lisbon = hear(store, "I live in Nairobi."), hear(store, "I moved to Lisbon.")
    (recorded,) = decide.taken_back(store, [lisbon.id])
    assert store.fact(lisbon.id).status is FactStatus.RETRACTED
    assert store.fact(nairobi.id).status is FactStatus.PENDING
    assert [fact.id for fact in recorded.reopened] == [nairobi.id]
    assert store.mentions(lisbon.id)[-1].utterance.speaker == decide.OPERATOR
    assert store.verify().ok


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        ("I no longer live in Lisbon.", []),
        ("It's no longer true that I live in Lisbon.", []),
        ("I moved out of Lisbon.", []),
        ("I lived in Lisbon until yesterday.", []),
        ("I don't live in Lisbon after all.", ["Nairobi"]),
        ("No, I never lived in Lisbon.", ["Nairobi"]),
        ("It is not true that I live in Lisbon.", ["Nairobi"]),
    ],
)
def test_what_is_over_was_true_and_what_was_wrong_never_was(store, said, stands):
    for text in ("I live in Nairobi.", "I moved to Lisbon."):
        hear(store, text)
    collect.hear(store, Collect(), said, collect.extractor_named("rules"))
    assert [fact.object for fact in store.facts()] == stands


def test_only_the_value_that_is_named_is_taken_back(store):
    tea, jazz = hear(store, "I like tea."), hear(store, "I like jazz.")
    decide.taken_back(store, [tea.id])
    assert store.facts() == (store.fact(jazz.id),)


def test_what_stands_no_more_cannot_be_taken_back(store):
    fact = hear(store, "I live in Nairobi.")
    decide.taken_back(store, [fact.id])
    with pytest.raises(WrongState, match="is retracted: there is nothing to take back"):
        decide.taken_back(store, [fact.id])
