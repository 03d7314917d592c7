"""Facts of two slots that cannot both be true wait for a person; neither is retired by a guess."""

from __future__ import annotations

import pytest

from ice_agent import collect
from ice_agent.collect.rules import rules
from ice_agent.settings import Collect
from memory import SENSITIVE, USER, Archive, CandidateFact, FactStatus
from tests.databases import ready


@pytest.fixture
def store(tmp_path):
    with Archive.open(ready(tmp_path / "memory.db")) as archive:
        yield archive.store("tom")


def told(store, *texts, settings=None):
    for text in texts:
        heard = collect.hear(store, settings or Collect(), text, rules)
    (fact,) = heard.learned
    return fact


def said(store, relation, value, *, retracts=False):
    """As if an extractor had found it."""
    found = CandidateFact(
        subject=USER, relation=relation, object=value, statement=f"The user's {relation} is {value}.",
        start=0, end=3, retracts=retracts,
    )  # fmt: skip
    heard = collect.hear(store, Collect(), "yes", lambda _: (found,))
    return heard.recorded[0].fact


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("My country of residence is Spain.", "I live in Lyon."),
        ("I live in Lyon.", "My country of residence is Spain."),
        ("I live in lyon", "my country of residence is the UK"),
        ("My birthday is 3 May 1990.", "I am 12 years old."),
        ("I like coriander.", "I hate coriander."),
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
    ],
)
def test_what_can_both_be_true_waits_for_an_edit(store, first, second):
    assert told(store, first).status is FactStatus.PENDING
    assert told(store, second).status is FactStatus.PENDING


@pytest.mark.parametrize(("status", "is_kept_out"), [("single", True), ("married", False)])
def test_a_spouse_and_a_marital_status_are_compared(store, status, is_kept_out):
    told(store, "My wife is called Anna.")
    fact = said(store, "marital status", status)
    assert (fact.status is FactStatus.QUARANTINED) is is_kept_out


def test_what_was_taken_back_conflicts_with_nothing(store):
    said(store, "country of residence", "Spain")
    said(store, "country of residence", "Spain", retracts=True)
    assert told(store, "I live in Lyon.").status is FactStatus.PENDING


def test_a_change_of_taste_ends_what_it_was_and_waits_for_nobody(store):
    older, newer = told(store, "I like coriander."), told(store, "I hate coriander now.")
    assert store.fact(older.id).status is FactStatus.RETRACTED
    assert newer.status is FactStatus.PENDING


def test_released_it_waits_for_an_edit(store):
    newer = told(store, "My country of residence is Spain.", "I live in Lyon.")
    assert store.release(newer.id).status is FactStatus.PENDING


def test_what_is_sensitive_is_kept_out_of_edits_from_the_first(store):
    settings = Collect(sensitive_relations=("home",), sensitive_policy="prompt")
    fact = told(store, "I live in Lyon.", settings=settings)
    assert (fact.status, fact.quarantine_reason) == (FactStatus.QUARANTINED, SENSITIVE)
