"""When a fact holds, by the words that say it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from ice_agent import collect
from ice_agent.collect.rules import rules
from ice_agent.settings import Collect
from memory import Archive, CandidateFact, Utterance
from tests.databases import ready


def test_the_time_of_the_world_is_read():
    (candidate,) = heard("I have worked at Acme since March 2020.")
    assert candidate.valid_from == date(2020, 3, 1)
    (candidate,) = heard("I live in Oslo until 30 June 2027.")
    assert candidate.valid_until == date(2027, 6, 30)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("I've lived in Oslo since 2019.", "2019-01-01", None),
        ("Since March, I've lived in Oslo.", "2026-03-01", None),
        ("I lived in Oslo until last year.", None, "2025-01-01"),
        ("I lived in Oslo from 3 May 2020 to June 2022.", "2020-05-03", "2022-06-01"),
        ("Between 2015 and 2018 I lived in Oslo.", "2015-01-01", "2018-01-01"),
        ("I've lived in Oslo for two years now.", "2024-11-20", None),
        ("I've been living in Oslo for a year and a half.", "2025-05-20", None),
        ("As of next Monday I live in Oslo.", "2026-11-23", None),
        ("I live in Oslo as of 1 December.", "2026-12-01", None),
        ("We moved to Oslo last summer.", "2026-06-01", None),
        ("We moved to Oslo last winter.", "2025-12-01", None),
        ("I moved to Oslo three weeks ago.", "2026-10-30", None),
        ("I moved to Oslo yesterday.", "2026-11-19", None),
        ("I live in Oslo until June.", None, "2027-06-01"),
        ("I lived in Oslo until June.", None, "2026-06-01"),
        ("I live in Oslo until the end of 2027.", None, "2027-12-31"),
        ("I've lived in Oslo since last Tuesday.", "2026-11-17", None),
        ("I've lived in Oslo since the beginning of the year.", "2026-01-01", None),
        ("I've lived in Oslo since I was 12.", None, None),
        ("I live in Oslo until I find a flat.", None, None),
        ("I've lived in Oslo for 31 February.", None, None),
    ],
)
def test_the_days_between_which_something_holds_are_in_the_words(text, start, end):
    (candidate,) = heard(text)
    assert (candidate.object, candidate.retracts) == ("Oslo", False)
    assert candidate.valid_from == (start and date.fromisoformat(start))
    assert candidate.valid_until == (end and date.fromisoformat(end))


@pytest.mark.parametrize(
    "text", ["I lived in Oslo.", "I lived in Oslo until I was 12.", "I was in Oslo in May."]
)
def test_a_past_that_names_no_end_is_no_fact(text):
    assert heard(text) == ()


def test_when_something_ended_is_the_end_of_what_is_taken_back():
    (candidate,) = heard("I quit my job at Acme last week.")
    assert (candidate.retracts, candidate.valid_from, candidate.valid_until) == (
        True,
        None,
        date(2026, 11, 9),
    )


def test_the_dates_of_a_clause_are_not_of_whoever_it_names_in_passing():
    found = {c.relation: c.valid_from for c in heard("My sister Anna has lived in Rome since 2019.")}
    assert found == {"sister": None, "home": date(2019, 1, 1)}


def test_a_value_of_the_past_is_history_and_ends_none_that_stands(tmp_path):
    with Archive.open(ready(tmp_path / "m.db")) as archive:
        store = archive.store("tom")
        for text in ("I live in Oslo.", "I lived in Hamburg from 2010 until 2015."):
            collect.hear(store, Collect(), text, rules)
        assert [fact.object for fact in store.facts()] == ["Oslo"]
        then = datetime(2012, 1, 1, tzinfo=UTC)
        assert [fact.object for fact in store.facts(relation="home", as_of=then)] == ["Hamburg"]


def heard(text: str) -> tuple[CandidateFact, ...]:
    utterance = Utterance(id="u1", text=text, said_at=datetime(2026, 11, 20, tzinfo=UTC))
    return collect.extract(utterance, rules, Collect())
