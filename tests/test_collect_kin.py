"""Facts about "my sister" and about Anna are one subject's, from when she is named on; nobody is guessed."""

from __future__ import annotations

import pytest

from ice_agent import collect
from ice_agent.collect.rules import rules
from ice_agent.settings import Collect
from memory import Archive, FactStatus
from tests.databases import ready


@pytest.fixture
def store(tmp_path):
    with Archive.open(ready(tmp_path / "m.db")) as archive:
        yield archive.store("tom")


def tell(store, *texts):
    return [collect.hear(store, Collect(), text, rules) for text in texts]


def stands(store):
    return [f"{f.subject} | {f.relation} | {f.object}" for f in store.facts()]


@pytest.mark.parametrize(
    "said",
    ["My sister Anna is here.", "Anna, my sister, is here.", "Anna is my sister.",
     "My sister's name is Anna.", "my sis is called Anna", "I have a sister called Anna."],
)  # fmt: skip
def test_a_sister_is_one_row_however_she_is_introduced(store, said):
    tell(store, "My sister is called Anna.", said)
    (sister,) = store.facts(relation="sister")
    assert (sister.object, len(store.mentions(sister.id))) == ("Anna", 2)


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ("My wife is called Ines.", "My husband is called Ines."),
        ("My mum is Clara.", "My mother's name is Clara."),
        ("My favorite color is green.", "My favourite colour is green."),
        ("My company is Acme.", "My employer is Acme."),
        ("I live in The Hague.", "My home is in the Hague."),
    ],
)
def test_the_same_fact_in_other_words_is_one_row_with_both_mentions(store, first, again):
    tell(store, first, again)
    (fact,) = store.facts()
    assert len(store.mentions(fact.id)) == 2


def test_a_hometown_is_not_where_somebody_lives(store):
    tell(store, "I live in Oslo.", "My hometown is Bergen.")
    assert stands(store) == ["user | home | Oslo", "user | hometown | Bergen"]


def test_what_is_told_of_my_sister_is_told_of_her_by_name_once_it_is_known(store):
    tell(store, "My sister is called Anna.", "My sister lives in Rome.")
    assert stands(store) == ["user | sister | Anna", "Anna | home | Rome"]
    assert store.facts()[-1].statement == "Anna lives in Rome."


def test_what_was_told_before_she_was_named_is_the_same_row_and_the_same_slot(store):
    tell(store, "My sister lives in Rome.", "My sister is called Anna.", "Anna lives in Rome.")
    (home,) = store.facts(relation="home")
    assert (home.subject, len(store.mentions(home.id))) == ("the user's sister", 2)
    tell(store, "Anna has moved to Oslo.")
    assert stands(store) == ["user | sister | Anna", "Anna | home | Oslo"]
    assert store.fact(home.id).status is FactStatus.SUPERSEDED


def test_her_name_and_what_she_does_may_be_told_in_one_breath(store):
    tell(store, "My sister lives in Rome.", "My sister Anna has moved to Oslo.")
    assert stands(store) == ["user | sister | Anna", "Anna | home | Oslo"]


def test_my_sister_no_longer_living_there_takes_back_what_was_told_of_anna(store):
    tell(store, "Anna is my sister. She lives in Rome.", "My sister no longer lives in Rome.")
    assert stands(store) == ["user | sister | Anna"]


def test_of_two_sisters_none_is_guessed(store):
    tell(store, "I have two sisters, Anna and Mia.", "My sister lives in Rome.")
    assert "the user's sister | home | Rome" in stands(store)


def test_a_corrected_name_is_the_one_that_counts(store):
    tell(store, "My sister is called Anna.", "No, my sister is called Hannah.", "My sister lives in Rome.")
    assert stands(store) == ["user | sister | Hannah", "Hannah | home | Rome"]


def test_who_no_longer_is_my_flatmate_is_not_meant_by_it(store):
    tell(store, "My flatmate is called Jo.", "Jo was my flatmate until 2020.", "My flatmate lives in Rome.")
    assert stands(store) == ["the user's flatmate | home | Rome"]
