"""Which facts a question finds, by words and by meaning, and which of them a prompt has room for."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime, timedelta

import pytest

from ice_agent import collect, recall
from ice_agent.config import Config
from ice_agent.errors import ConfigError
from ice_agent.recall import Meanings, fitting, for_prompt, fuse, meanings, names, relevant, search
from ice_agent.settings import Collect
from memory import USER, Archive, Cardinality, Fact, FactStatus
from tests.concepts import Concepts
from tests.databases import ready
from tests.memory.conftest import Tenant

START = datetime(2026, 1, 1, tzinfo=UTC)


def fact(number, statement, relation="home", subject="x"):
    moment = START + timedelta(seconds=number)
    return Fact(
        id=f"f{number}", subject=subject, relation=relation, object="y", statement=statement,
        cardinality=Cardinality.ONE, status=FactStatus.PENDING, recorded_at=moment, valid_from=moment,
        utterance_id="u", start=0, end=1,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    with Archive.open(ready(tmp_path / "m.db")) as archive:
        yield archive.store("tom")


@pytest.fixture
def tell(store):
    def hear(*sentences):
        for said in sentences:
            collect.hear(store, Collect(), said, collect.extractor_named("rules"))

    return hear


def prompt(store, question, by_meaning=None, limit=20, room=1000):
    return for_prompt(
        store, question, by_meaning, limit=limit, room=room, length=lambda f: len(f.statement.split())
    )


def said(facts):
    return [f.statement for f in facts]


# -- by words ------------------------------------------------------------------------------------------------


def test_those_that_share_words_with_the_question_come_first_then_the_newest():
    facts = [fact(i, f"Person{i} likes tea.", "likes") for i in range(50)]
    facts.insert(3, fact(99, "Anna Berg lives in Lisbon."))
    best = relevant(facts, "Where does Anna's sister Berg live?")
    assert [f.id for f in best[:5]] == ["f99", "f49", "f48", "f47", "f46"]


def test_a_rare_word_says_more_than_common_ones():
    facts = [fact(1, "Belmora pays Anna.", "employer"), fact(2, "Tea is nice."), fact(3, "So is jazz.")]
    assert relevant(facts, "Who is her employer?")[0] == facts[0]


def test_a_fact_about_the_user_is_found_by_the_question_that_asks_for_it():
    home = fact(1, "The user lives in Lisbon.", subject=USER)
    others = [fact(i, f"The user likes tea {i}.", "likes", subject=USER) for i in range(2, 30)]
    assert home in relevant([home, *others], "Where do I live?")[:3]


def test_what_overrides_the_weights_comes_before_what_is_as_little_to_the_point():
    facts = [fact(1, "Tea is nice."), fact(2, "So is jazz."), fact(3, "Anna lives in Lisbon.")]
    assert [f.id for f in relevant(facts, "Where does Anna live?", {"f1"})] == ["f3", "f1", "f2"]


# -- by meaning ----------------------------------------------------------------------------------------------


def test_a_question_finds_a_fact_that_shares_no_word_with_it(store, tell):
    tell("Remember that Anna Berg lives in Lisbon.", *(f"I like song number {n}." for n in range(30)))
    question = "Her residence?"
    lisbon = "Anna Berg lives in Lisbon."
    assert lisbon not in said(prompt(store, question, limit=3).facts)
    assert lisbon in said(prompt(store, question, Meanings(Concepts()), limit=3).facts)


def test_a_fact_is_embedded_once_and_found_by_what_it_means(store, tell):
    tell("I like tea.", "My sister is Ada.")
    concepts = Concepts()
    for _ in range(3):
        found = search(store, "Who are her relatives?", 1, Meanings(concepts))
    assert concepts.embedded == ["The sister of the user is called Ada.", "The user likes tea."]
    ((ada, score),) = found.items()
    assert (ada.object, 0.5 < score <= 1) == ("Ada", True)


def test_what_two_rankings_agree_on_comes_before_what_one_puts_first():
    assert list(fuse([["a", "b"], ["b", "c"]])) == ["a", "b", "c"]
    score = fuse([["a", "b"], ["b", "c"]])
    assert sorted(score, key=score.__getitem__, reverse=True) == ["b", "a", "c"]


def test_while_the_model_fails_words_find_facts_and_the_log_says_so_once(store, tell, caplog):
    tell("I like tea.")
    concepts = Concepts(is_down=True)
    by_meaning = Meanings(concepts)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert said(search(store, "tea", 5, by_meaning)) == ["The user likes tea."]
            assert said(prompt(store, "tea", by_meaning).facts) == ["The user likes tea."]
    assert caplog.text.count("no route to host") == 1
    concepts.is_down = False
    with caplog.at_level(logging.INFO):
        assert said(search(store, "thirsty", 5, by_meaning)) == ["The user likes tea."]
    assert caplog.text.count("answers again") == 1


def test_another_model_places_the_facts_anew(store, tell):
    tell("I like tea.")
    search(store, "thirsty", 5, Meanings(Concepts()))
    for _ in range(2):
        longer = Concepts(dims=8)
        assert said(search(store, "thirsty", 5, Meanings(longer))) == ["The user likes tea."]
    assert longer.embedded == []


def test_so_many_facts_are_embedded_before_one_answer_the_newest_first(store, tell, monkeypatch):
    monkeypatch.setattr(recall, "PLACED_AT_ONCE", 2)
    tell("I like tea.", "I like rum.", "I like figs.")
    concepts = Concepts()
    for wanted in (["figs", "rum"], ["figs", "rum", "tea"]):
        search(store, "drink", 5, Meanings(concepts))
        assert [text.split()[-1].strip(".") for text in concepts.embedded] == wanted


def test_what_was_taken_back_and_never_learned_is_not_found_by_its_meaning(store, tell):
    tell("I like tea.")
    by_meaning = Meanings(Concepts())
    assert said(prompt(store, "thirsty", by_meaning).facts) == ["The user likes tea."]
    tell("I no longer like tea.")
    assert prompt(store, "thirsty", by_meaning).facts == ()
    assert search(store, "thirsty", 5, by_meaning) == {}


def test_what_was_taken_back_is_not_denied_where_another_value_does_so(store, tell):
    tell("I live in Lisbon.")
    Tenant(store).learn()
    tell("I no longer live in Lisbon.")
    by_meaning = Meanings(Concepts())
    assert said(prompt(store, "Which town?", by_meaning).facts) == ["The user lives in Lisbon."]
    tell("I live in Oslo.")
    assert said(prompt(store, "Which town?", by_meaning).facts) == ["The user lives in Oslo."]


def test_where_the_weights_hold_what_was_taken_back_the_base_reads_what_else_they_hold(store, tell):
    tell("I live in Lisbon.", "I work as a baker.", "My sister Olga lives in Rome.")
    Tenant(store).learn()
    tell("I no longer live in Lisbon.", "I play chess.")
    for question in ("What do I do?", "Who lives in Lisbon?"):
        recalled = prompt(store, question)
        assert recalled.is_for_base
        assert "Lisbon" not in " ".join(said(recalled.facts))
    values = {fact.object for fact in prompt(store, "What do I do?").facts}
    assert {"baker", "chess"} <= values
    other = prompt(store, "Where does Olga live?")
    assert not other.is_for_base
    assert "The user lives in Lisbon." in said(other.facts)
    later = for_prompt(
        store, "Since when?", None, limit=20, room=1000, length=lambda f: 1, spoken="Where do I live?"
    )
    assert later.is_for_base


def test_a_relative_is_named_as_the_users(store):
    told = fact(1, "The user's sister lives in Lisbon.", subject="user's sister")
    assert names("Where does my sister live?", told)
    assert not names("Where does Olga's sister live?", told)


def test_the_model_in_hand_comes_before_the_one_that_the_settings_name():
    assert meanings("") is None
    assert isinstance(meanings("nobody:nothing", Concepts()), Meanings)


def test_a_model_that_cannot_be_loaded_is_named(monkeypatch):
    pytest.importorskip("langchain", reason="needs langchain (the dev extra)")
    with pytest.raises(ConfigError, match=r"\[recall\] embeddings = 'nobody:nothing' cannot be loaded"):
        meanings("nobody:nothing")
    monkeypatch.setitem(sys.modules, "langchain", None)
    with pytest.raises(ConfigError, match="pip install langchain langchain-openai"):
        meanings("openai:text-embedding-3-small")


def test_a_name_without_a_provider_is_refused():
    with pytest.raises(ValueError, match="openai:text-embedding-3-small"):
        Config.model_validate({"recall": {"embeddings": "ada"}})


# -- what a prompt has room for -----------------------------------------------------------------------------


def length(found):
    return len(found.statement.split())


def test_of_too_many_the_least_to_the_point_is_left_out_wherever_it_stands():
    best = [fact(1, "a b c"), fact(9, "a b c"), fact(4, "a b c")]
    assert fitting(best, (), 6, length) == {"f1", "f9"}


def test_what_overrides_the_weights_has_room_first():
    best = [fact(1, "a b c"), fact(9, "a b c"), fact(4, "a b c")]
    assert fitting(best, {"f4"}, 6, length) == {"f4", "f1"}


def test_a_long_fact_does_not_take_the_room_of_the_short_ones_after_it():
    best = [fact(1, "a b c d e f g"), fact(2, "a b")]
    assert fitting(best, (), 3, length) == {"f2"}


def test_the_order_in_the_prompt_is_that_of_telling_and_what_had_no_room_is_said(store, tell):
    tell("Remember that Anna Berg lives in Lisbon.", "I like tea.", "I like rum.", "My sister is Ada.")
    first = prompt(store, "Who is my sister, and where does Anna live?", room=13)
    assert said(first.facts) == ["Anna Berg lives in Lisbon.", "The sister of the user is called Ada."]
    assert sorted(said(first.left_out)) == ["The user likes rum.", "The user likes tea."]
    # Another question about the same facts: the same prompt, which a cache still holds.
    again = prompt(store, "Where does Anna live, and who is my sister?", room=13)
    assert again.facts == first.facts


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_no_more_are_recalled_than_the_settings_allow(store, tell, limit):
    tell(*(f"I like tea {n}." for n in range(4)))
    assert len(prompt(store, "Tea?", limit=limit).facts) == limit


# -- beside what the weights hold --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "stated"),
    [
        ("Where do I live?", "The user lives in Lisbon."),
        ("What is my home country?", "The user lives in Lisbon."),
        ("Where does Anna Berg live?", "Anna Berg lives in Quito."),
        ("Tell me about Anna Berg.", "Anna Berg lives in Quito."),
    ],
)
def test_where_a_prompt_says_anything_it_states_what_is_asked_for(store, tell, question, stated):
    tell("I live in Lisbon.", "Remember that Anna Berg lives in Quito.", "I work as a baker.")
    Tenant(store).learn()
    assert prompt(store, question).facts == ()

    tell("I like tea.")
    first, *beside = said(prompt(store, question).facts)
    assert first == "The user likes tea."
    # The nearest stands last.
    assert beside[-1] == stated


def test_of_what_the_weights_hold_the_nearest_is_stated(store, tell):
    tell(*(f"I like tea {n}." for n in range(12)), "I live in Lisbon.")
    Tenant(store).learn()
    tell("I work as a baker.")
    found = said(prompt(store, "Where do I live?").facts)
    assert (found[0], found[-1], len(found)) == ("The user works as a baker.", "The user lives in Lisbon.", 6)


@pytest.mark.parametrize("question", ["Where does Jan Bakker live?", "What is the capital of Portugal?"])
def test_what_the_weights_hold_and_no_question_asks_for_costs_nothing(store, tell, question):
    tell("I live in Lisbon.", "Remember that Anna Berg lives in Quito.")
    Tenant(store).learn()
    tell("I like tea.")
    assert said(prompt(store, question).facts) == ["The user likes tea."]


def test_what_waits_is_not_crowded_out_by_what_the_weights_hold(store, tell):
    tell(*(f"I like tea {n}." for n in range(8)))
    Tenant(store).learn()
    tell("I live in Oslo.", "I work as a baker.")
    found = said(prompt(store, "What do I like?", limit=4).facts)
    assert found[:2] == ["The user lives in Oslo.", "The user works as a baker."]
    assert len(found) == 4


def test_what_another_value_has_replaced_is_not_said_beside_it(store, tell):
    tell("I live in Lisbon.")
    Tenant(store).learn()
    tell("I live in Oslo.")
    assert said(prompt(store, "Where do I live?").facts) == ["The user lives in Oslo."]
