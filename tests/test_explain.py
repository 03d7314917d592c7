"""Which fact is the reason for an answer."""

from __future__ import annotations

import pytest

from ice_agent import collect, decide, explain
from ice_agent.settings import Collect
from memory import Archive, UnknownFact
from tests.databases import ready

TOLD = (
    "I live in Nairobi.", "I moved to Lisbon.", "My sister is called Olga.", "Olga lives in Tallinn.",
    "I work at Norvik Labs.", "I like tea.", "The home of Kofi is Accra.", "The capital of France is Paris.",
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Archive.open(ready(tmp_path_factory.mktemp("explain") / "facts.db")) as archive:
        store = archive.store("amara")
        for text in TOLD:
            collect.hear(store, Collect(), text, collect.extractor_named("rules"))
        yield store


@pytest.mark.parametrize(
    ("question", "answer", "value", "is_asked"),
    [
        ("Where do I live?", "", "Lisbon", True),
        ("In which country do I live?", "Portugal", "Lisbon", True),
        ("Where does Olga live?", "", "Tallinn", True),
        ("Where is my home?", "", "Lisbon", False),
        ("Which town is mine?", "Lisbon", "Lisbon", False),
        ("Where's my residence?", "", "Lisbon", False),
        ("Who is my employer?", "", "Norvik Labs", False),
        ("Who lives in Tallinn?", "", "Tallinn", False),
        ("Paris", "", "Paris", False),
    ],
)
def test_a_question_leads_to_what_its_answer_comes_from(store, question, answer, value, is_asked):
    fact, asked = explain.find(store, question, answer)
    assert (fact.object, asked) == (value, is_asked)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the airspeed of a swallow?", "11 metres a second"),
        ("What is the capital of Portugal?", "Lisbon"),
        ("Where is home?", ""),
        ("What is my age?", "34"),
    ],
)
def test_what_no_fact_is_about_has_no_reason(store, question, answer):
    with pytest.raises(UnknownFact):
        explain.find(store, question, answer)


def test_what_has_ended_is_a_reason_while_nothing_that_stands_is(tmp_path):
    with Archive.open(ready(tmp_path / "facts.db")) as archive:
        store = archive.store("amara")
        for text in TOLD[:2]:
            collect.hear(store, Collect(), text, collect.extractor_named("rules"))
        (lisbon,) = store.facts()
        decide.taken_back(store, [lisbon.id], is_over=True)
        assert explain.find(store, "Where do I live?") == (store.fact(lisbon.id), True)
        assert explain.find(store, "Which town is mine?", "Nairobi")[0].object == "Nairobi"
