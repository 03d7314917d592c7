"""One turn: what is recalled, what it costs, what is kept; on a tiny model that reads (tests/schooled.py)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ice_agent import cycle, relations
from ice_agent.agent import Agent, said
from ice_agent.config import Config
from ice_agent.errors import CycleError
from ice_agent.ice_editor import IceEditor
from ice_agent.turns import Turn
from memory import Archive, CandidateFact, Cardinality, Fact, FactStatus
from tests.schooled import Assistant, schooled_model

ANNA = "Where does Anna Berg live?"


@pytest.fixture
def assistant(tmp_path):
    assistant = Assistant(tmp_path)
    yield assistant
    assistant.archive.close()


def fact(number, statement, relation="home", status=FactStatus.PENDING):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Fact(
        id=f"f{number}", subject="x", relation=relation, object="y", statement=statement,
        cardinality=Cardinality.ONE, status=status, recorded_at=moment, valid_from=moment, utterance_id="u",
        start=0, end=1,
    )  # fmt: skip


# -- a turn --------------------------------------------------------------------------------------------------


def test_what_was_said_is_answered_at_once_from_the_prompt(assistant):
    untold = assistant.agent.answer(ANNA)
    told = assistant.tell("Anna Berg lives in Lisbon.")
    reply = assistant.agent.answer(ANNA)
    assert untold.text != "Lisbon"
    assert (reply.text, reply.recalled) == ("Lisbon", (told,))
    assert reply.prompt_tokens == untold.prompt_tokens + reply.memory_tokens
    assert reply.memory_tokens > 0


def test_with_nothing_to_recall_memory_costs_nothing(assistant):
    reply = assistant.agent.answer(ANNA)
    assert (reply.recalled, reply.memory_tokens) == ((), 0)


def test_a_turn_answers_and_keeps_what_it_was_told(assistant):
    reply, heard = assistant.agent.turn("Remember that Anna Berg lives in Lisbon.")
    assert reply.recalled == ()
    assert [f.statement for f in heard.learned] == ["Anna Berg lives in Lisbon."]
    assert assistant.agent.turn(ANNA)[0].text == "Lisbon"


def test_what_was_said_before_stands_between_the_facts_and_the_question(assistant):
    alone = assistant.agent.answer(ANNA)
    history = [Turn(role="user", content="Hello."), Turn(role="assistant", content="Hello.")]
    reply = assistant.agent.answer(ANNA, history)
    assert reply.prompt_tokens > alone.prompt_tokens
    assert reply.memory_tokens == 0


def test_the_static_prompt_is_no_memory(tmp_path):
    assistant = Assistant(tmp_path, agent={"system_prompt": "Be brief.", "max_recalled": 1})
    assert assistant.agent.answer(ANNA).memory_tokens == 0
    assistant.tell("Anna Berg lives in Lisbon.")
    told = assistant.agent.answer(ANNA)
    assert 0 < told.memory_tokens < told.prompt_tokens


@pytest.mark.parametrize(
    "text",
    [
        "I live in Oslo, but don't remember this.",
        "What if I lived in Oslo?",
        "Nice weather today!",
    ],
)
def test_what_is_off_the_record_or_no_fact_is_not_kept(assistant, text):
    assert assistant.agent.hear(text).learned == ()
    assert assistant.store.facts() == ()


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        ("That is no longer true.", []),
        ("No, that's not true any more.", []),
        ("That's wrong.", ["Oslo"]),
        ("Scrap that!", ["Oslo"]),
        ("That's wrong, I think.", ["Lisbon"]),
        ("Is that wrong?", ["Lisbon"]),
    ],
)
@pytest.mark.parametrize(
    "before",
    [
        [("user", "Where does Anna Berg live?"), ("assistant", "Lisbon")],
        [("user", "Remember that Anna Berg lives in Lisbon."), ("assistant", "Noted.")],
    ],
)
def test_who_denies_what_was_just_said_takes_back_what_it_came_from(assistant, before, said, stands):
    for city in ("Oslo", "Lisbon"):
        assistant.tell(f"Anna Berg lives in {city}.")
    assistant.agent.hear(said, [Turn(role=role, content=content) for role, content in before])
    assert [fact.object for fact in assistant.store.facts()] == stands


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        ("Lisbon was wrong.", ["Oslo", "Bergen", "34", "Rome"]),
        ("I was wrong about Lisbon, sorry.", ["Oslo", "Bergen", "34", "Rome"]),
        ("Lisbon is out of date.", ["Bergen", "34", "Rome"]),
        ("I lied about my age.", ["Lisbon", "Bergen", "Rome"]),
        ("What I told you about Kofi was wrong.", ["Lisbon", "34", "Rome"]),
        ("Everything is wrong.", ["Lisbon", "Bergen", "34", "Rome"]),
        ("Was Lisbon wrong?", ["Lisbon", "Bergen", "34", "Rome"]),
    ],
)
def test_who_denies_what_they_name_takes_back_that(assistant, said, stands):
    for text in (
        "I live in Oslo.",
        "I live in Lisbon.",
        "Kofi lives in Bergen.",
        "I am 34.",
        "Anna Berg lives in Rome.",
    ):
        assistant.agent.hear(text)
    assistant.agent.hear(said)
    assert [fact.object for fact in assistant.store.facts()] == stands


@pytest.mark.parametrize("said", ["Olga was wrong.", "My sister is wrong.", "I was wrong about my sister."])
def test_who_is_wrong_about_something_is_no_wrong_value(assistant, said):
    assistant.agent.hear("My sister is called Olga.")
    assert assistant.agent.hear(said).retracted == ()


def test_what_two_facts_may_mean_is_not_guessed(assistant):
    for text in ("I live in Lisbon.", "Anna Berg lives in Lisbon."):
        assistant.agent.hear(text)
    assert assistant.agent.hear("Lisbon was wrong.").retracted == ()


def test_what_is_no_answer_of_ours_is_not_taken_back_with_it(assistant):
    assistant.tell("Anna Berg lives in Lisbon.")
    for question, answer in (("Where does Anna Berg live?", "Rome"), ("What is two and two?", "Lisbon")):
        turns = [Turn(role="user", content=question), Turn(role="assistant", content=answer)]
        assert assistant.agent.hear("That's wrong.", turns).retracted == ()
    assert assistant.agent.hear("That's wrong.").retracted == ()


def test_the_assistants_own_words_are_never_learned_from(assistant):
    heard = assistant.agent.hear("Remember that Anna Berg lives in Lisbon.", speaker="assistant")
    assert heard.recorded == ()
    assert assistant.store.recall() == ()


def test_a_question_finds_a_fact_that_shares_no_word_with_it_among_many(assistant):
    job = assistant.tell("I am a nurse.")
    for n in range(300):
        assistant.store.tell("Tea.", [_liked(f"tea {n}")])
    assert job in assistant.agent.answer("What do I do for work?").recalled


def test_the_prompt_has_room_for_so_many_tokens_of_facts(assistant):
    for n in range(9):
        assistant.store.tell("Tea.", [_liked(f"tea {n}")])
    sections = {"agent": {"max_recalled_tokens": 20}, **assistant.config.model_dump(exclude={"agent"})}
    frugal = Agent(assistant.store, assistant.model, Config.model_validate(sections))
    reply = frugal.answer("What do I like?")
    assert 1 <= len(reply.recalled) <= 4
    assert len(reply.recalled) + len(reply.left_out) == 9


def test_a_tenant_without_a_root_is_told_to_init(assistant):
    stranger = Agent(assistant.archive.store("ann"), assistant.model, assistant.config)
    with pytest.raises(CycleError, match="ice-agent init"):
        stranger.answer(ANNA)


# -- tenants and adapters ------------------------------------------------------------------------------------


def test_one_tenants_facts_are_never_in_anothers_prompt(assistant):
    store = assistant.archive.store("ann")
    cycle.init(store, assistant.editor, assistant.config)
    ann = Agent(store, assistant.model, assistant.config)
    before = ann.answer(ANNA)
    assistant.tell("Anna Berg lives in Lisbon.")
    after = ann.answer(ANNA)
    assert after == before
    assert after.recalled == ()


def test_one_tenants_adapter_never_answers_for_another(assistant):
    store = assistant.archive.store("ann")
    cycle.init(store, assistant.editor, assistant.config)
    ann = Agent(store, assistant.model, assistant.config)
    before = ann.answer(ANNA)
    assistant.tell("Anna Berg lives in Lisbon.")
    assert assistant.learn().verdict.promote
    assert assistant.ask(ANNA) == "Lisbon"
    assert ann.answer(ANNA) == before


def test_a_promotion_by_another_process_is_served_from_the_next_answer_on(assistant):
    assistant.tell("Anna Berg lives in Lisbon.")
    before = assistant.agent.answer(ANNA)
    with Archive.open(assistant.url) as archive:
        worker = schooled_model(assistant.config)
        report = cycle.run_cycle(archive.store("tom"), IceEditor(worker, assistant.config), assistant.config)
    after = assistant.agent.answer(ANNA)
    assert (before.adapter_id, after.adapter_id) == (report.parent_id, report.adapter.id)
    assert (after.text, after.memory_tokens) == ("Lisbon", 0)


# -- what a prompt says --------------------------------------------------------------------------------------


def test_what_was_taken_back_after_it_was_learned_is_denied():
    gone = fact(1, "Anna Berg lives in Lisbon.", status=FactStatus.RETRACTED)
    stands = fact(2, "Jan Bakker lives in Quito.")
    assert said([gone, stands]) == [relations.negation(gone.statement), stands.statement]


def test_what_was_taken_back_is_not_answered_from_weights_that_hold_it(assistant):
    at_first = assistant.agent.answer(ANNA)
    assistant.tell("Anna Berg lives in Lisbon.")
    learned = assistant.learn().adapter.id
    assistant.agent.hear("Anna Berg no longer lives in Lisbon.")
    reply = assistant.agent.answer(ANNA)
    assert (reply.text, reply.adapter_id, reply.memory_tokens) == (at_first.text, at_first.adapter_id, 0)
    asked_back = assistant.agent.answer("Since when?", [Turn(role="user", content=ANNA)])
    assert asked_back.adapter_id == at_first.adapter_id
    # Where nobody of that is named, the weights answer, with a word against it in the prompt.
    other = assistant.agent.answer("Where does Jan Bakker live?")
    assert other.adapter_id == learned
    assert [fact.object for fact in other.recalled if fact.status is FactStatus.RETRACTED] == ["Lisbon"]


def test_an_extractor_of_ones_own_can_take_the_place_of_the_rules(assistant):
    deaf = Agent(assistant.store, assistant.model, assistant.config, extractor=lambda utterance: ())
    assert deaf.hear("Remember that Anna Berg lives in Lisbon.").recorded == ()


def _liked(value):
    statement = f"The user likes {value}."
    return CandidateFact(
        subject="user", relation="likes", object=value, statement=statement, start=0, end=4,
        cardinality=Cardinality.MANY,
    )  # fmt: skip
