from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ice_agent import relations
from ice_agent.edit_request import build, build_all, request
from memory import STATEMENT, USER, Cardinality, Fact, FactStatus

RELATIONS = (*relations.named(), "favourite colour")
SLOTS = [(subject, id_) for id_ in RELATIONS for subject in (USER, "Anna Berg")]


def fact(id_, subject, relation, obj, cardinality=Cardinality.ONE):
    when = datetime(2026, 1, 1, tzinfo=UTC)
    return Fact(
        id=id_,
        subject=subject,
        relation=relation,
        object=obj,
        statement=relations.state(subject, relation, obj),
        cardinality=cardinality,
        status=FactStatus.PENDING,
        recorded_at=when,
        valid_from=when,
        utterance_id="u1",
        start=0,
        end=1,
    )


HOME = fact("f1", USER, "home", "Lisbon")
CHESS = fact("f2", USER, "likes", "chess", Cardinality.MANY)
TEA = fact("f3", USER, "likes", "tea", Cardinality.MANY)
BINS = fact("f4", USER, STATEMENT, "The bins go out on Monday.")


def test_a_request_asks_for_its_slot_and_wants_its_value():
    made = build([HOME])
    assert (made.fact_id, made.subject, made.relation) == ("f1", USER, "home")
    assert made.rewrite_prompt == "Where do I live?"
    assert made.target == "You live in Lisbon."
    assert made.aliases == ("Lisbon",)
    assert made.statement == "The user lives in Lisbon."
    assert made.rewrite_prompt in made.training_prompts


def test_an_answer_that_is_only_the_object_needs_no_alias():
    made = request("Anna Berg", "home", ("Lisbon",))
    assert (made.target, made.aliases) == ("Lisbon", ())


def test_the_values_of_a_set_valued_slot_are_one_request_that_lists_them_all():
    made = build_all([CHESS, HOME, TEA])
    assert [r.fact_id for r in made] == ["f2", "f1"]
    assert made[0].target == "You like chess and tea."
    assert all("chess and tea" in context for context in made[0].contexts)


def test_statements_and_nothing_yield_no_request():
    assert build_all([BINS]) == build_all([]) == ()


def test_facts_of_two_slots_are_not_one_request():
    with pytest.raises(ValueError, match=r"one slot.*home.*likes"):
        build([HOME, CHESS])


def test_the_first_context_is_what_the_agent_itself_would_put_into_the_prompt():
    made = build([HOME])
    assert made.contexts[0] == relations.system_message("", [HOME.statement])


def test_the_words_in_which_a_fact_was_heard_are_a_context_of_it():
    (made,) = build_all([HOME], heard={"f1": "I've just moved to Lisbon!", "f2": "I like chess."})
    assert any("The user said: I've just moved to Lisbon!" in context for context in made.contexts)
    assert not any("chess" in context for context in made.contexts)


def test_a_fact_about_others_is_never_something_that_the_user_says_of_themselves():
    assert not any("The user said" in context for context in request("Anna Berg", "home", ("Oslo",)).contexts)


@pytest.mark.parametrize(("subject", "relation"), SLOTS)
def test_what_measures_an_edit_never_trains_it(subject, relation):
    made = request(subject, relation, ("Lisbon",))
    train = {relations.normal(q) for q in (*made.training_prompts, *made.indirect_prompts)}
    measure = {relations.normal(q) for q in (*made.rephrases, *made.portability)}
    assert train & measure == set()


@pytest.mark.parametrize(("subject", "relation"), SLOTS)
def test_every_form_of_a_request_is_filled(subject, relation):
    made = request(subject, relation, ("Lisbon",))
    questions = (*made.training_prompts, *made.indirect_prompts, *made.rephrases, *made.portability)
    assert not any("{" in text for text in (*questions, *made.contexts, made.target, made.statement))
    assert len(set(made.contexts)) == len(made.contexts) >= 2
    assert all("lisbon" in context.casefold() for context in made.contexts)


def test_a_consequence_is_asked_in_other_words_than_those_it_is_measured_by():
    made = request("Anna Berg", "home", ("Lisbon",))
    assert "In which country does Anna Berg live?" in made.indirect_prompts
    assert made.portability == ("What is the home country of Anna Berg?",)


def test_a_relation_that_can_be_reversed_is_asked_from_the_other_end():
    made = request("Norway", "capital", ("Oslo",))
    assert "Of which country is Oslo the capital?" in made.indirect_prompts
    assert made.portability == ("Which country has the capital Oslo?",)
