"""Facts of two slots that cannot both be true wait for a person; neither is retired by a guess."""

from __future__ import annotations

import pytest

from ice_agent import collect
from ice_agent.collect.rules import rules
from ice_agent.config import Collect
from memory import SENSITIVE, Archive, FactStatus


@pytest.fixture
def store(tmp_path):
    with Archive.open(f"sqlite:///{tmp_path}/memory.db") as archive:
        yield archive.store("tom")


def told(store, *texts, settings=None):
    for text in texts:
        heard = collect.hear(store, settings or Collect(), text, rules)
    (fact,) = heard.learned
    return fact


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("My country of residence is Spain.", "I live in Lyon."),
        ("I live in Lyon.", "My country of residence is Spain."),
        ("I live in lyon", "my country of residence is the UK"),
        ("My birthday is 3 May 1990.", "I am 12 years old."),
        ("I like coriander.", "I hate coriander."),
        ("My wife is called Anna.", "My marital status is single."),
    ],
)
def test_what_cannot_both_be_true_is_kept_out_of_edits_and_stays_in_the_prompt(store, first, second):
    older, newer = told(store, first), told(store, second)
    assert newer.status is FactStatus.QUARANTINED
    assert older.statement in (newer.quarantine_reason or "")
    assert store.fact(older.id).status is FactStatus.PENDING
    assert {fact.id for fact in store.recall()} >= {older.id, newer.id}
    assert store.verify().problems == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("My country of residence is France.", "I live in Lyon."),
        ("My country of residence is Spain.", "I live in Santiago."),
        ("My country of residence is Spain.", "I live in Llanfair."),
        ("My country of residence is Freedonia.", "I live in Lyon."),
        ("My country of residence is Spain.", "Anna lives in Lyon."),
        ("I like coriander.", "I hate parsley."),
        ("My wife is called Anna.", "My marital status is married."),
    ],
)
def test_what_can_both_be_true_waits_for_an_edit(store, first, second):
    assert told(store, first).status is FactStatus.PENDING
    assert told(store, second).status is FactStatus.PENDING


def test_what_was_taken_back_conflicts_with_nothing(store):
    told(store, "My country of residence is Spain.")
    collect.hear(store, Collect(), "Spain is no longer my country of residence.", rules)
    assert store.facts() == ()
    assert told(store, "I live in Lyon.").status is FactStatus.PENDING


def test_released_it_waits_for_an_edit(store):
    newer = told(store, "My country of residence is Spain.", "I live in Lyon.")
    assert store.release(newer.id).status is FactStatus.PENDING


def test_what_is_sensitive_is_kept_out_of_edits_from_the_first(store):
    settings = Collect(sensitive_relations=("home",), sensitive_policy="prompt")
    fact = told(store, "I live in Lyon.", settings=settings)
    assert (fact.status, fact.quarantine_reason) == (FactStatus.QUARANTINED, SENSITIVE)
