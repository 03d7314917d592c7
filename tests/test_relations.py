from __future__ import annotations

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ice_agent import relations
from ice_agent.relations import Forms, Hop
from memory import STATEMENT, USER, Cardinality

NAMED = relations.named()
ABOUT_USER = [id_ for id_ in NAMED if relations.relation(id_).first != relations.relation(id_).third]
GENERIC = "favourite_colour"
PLACEHOLDER = re.compile(r"\{\w*\}")


# -- the files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id_", [*NAMED, GENERIC])
def test_every_form_about_others_has_its_placeholders(id_):
    forms = relations.relation(id_).third
    assert all(placeholders(form) == {"{subject}", "{object}"} for form in forms.statements)
    assert all(placeholders(form) == {"{subject}"} for form in asking(forms))
    assert forms.answer == "{object}"


@pytest.mark.parametrize("id_", [*ABOUT_USER, GENERIC])
def test_every_form_about_the_user_has_its_placeholders(id_):
    forms = relations.relation(id_).first
    assert forms.heard
    assert all(placeholders(form) == {"{object}"} for form in (*forms.statements, *forms.heard, forms.answer))
    assert all(placeholders(form) == set() for form in asking(forms))


@pytest.mark.parametrize("hop", relations.hops(), ids=lambda hop: f"{hop.through}-{hop.then}")
def test_every_hop_has_questions_and_probes_about_its_subject(hop: Hop):
    assert hop.through in NAMED
    assert hop.then in (*NAMED, "country")
    assert hop.third.questions
    assert hop.third.rephrases
    assert all(placeholders(form) == {"{subject}"} for form in asking(hop.third))
    assert all(placeholders(form) == set() for form in asking(hop.first))


@pytest.mark.parametrize("id_", [*NAMED, GENERIC])
def test_no_form_that_trains_an_edit_is_one_that_measures_it(id_):
    relation = relations.relation(id_)
    for forms in (relation.third, relation.first):
        assert not said(forms.questions) & said((*forms.rephrases, *forms.unseen))
        assert not said(forms.rephrases) & said(forms.unseen)


@pytest.mark.parametrize("person", ["third", "first"])
def test_no_training_form_of_any_relation_is_held_out_for_another(person):
    train, held = set(), set()
    for relation in map(relations.relation, NAMED):
        forms = getattr(relation, person)
        train |= said(forms.questions)
        held |= said((*forms.rephrases, *forms.unseen))
    for hop in relations.hops():
        train |= said(getattr(hop, person).questions)
        held |= said(getattr(hop, person).rephrases)
    if person == "third":
        for forms in relations.reversed_forms().values():
            train |= said(forms.questions)
            held |= said(forms.rephrases)
    assert train & held == set()


@pytest.mark.parametrize("id_", sorted(set(NAMED) - {"name"}))
def test_every_named_relation_but_the_name_can_be_measured_by_rephrases(id_):
    relation = relations.relation(id_)
    assert len(relation.third.rephrases) == 2
    assert len(relation.first.rephrases) == 2


def test_every_held_out_form_belongs_to_a_relation(project_dir):
    held = tomllib.loads((project_dir / "ice_agent" / "held_out.toml").read_text(encoding="utf-8"))
    assert set(held["questions"]) <= set(NAMED)
    assert set(held["questions_first_person"]) <= set(ABOUT_USER)


def test_held_out_names_are_many_and_no_name_comes_twice():
    for kind, n in (("people", 60), ("companies", 20)):
        names = relations.held_out_entities(kind)
        assert len(names) == len(set(names)) == n


# -- words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "obj", "statement", "answer"),
    [
        (("user", "home"), "Lisbon", "The user lives in Lisbon.", "You live in Lisbon."),
        (("Anna Berg", "home"), "Lisbon", "Anna Berg lives in Lisbon.", "Lisbon"),
        (("user", "profession"), "engineer", "The user works as an engineer.", "You work as an engineer."),
        (("user", "sister"), "Anna", "The sister of the user is called Anna.", "Your sister is called Anna."),
        (("user", "team"), "Ajax", "The team of the user is Ajax.", "Your team is Ajax."),
        (("Norway", "currency"), "krone", "The currency of Norway is the krone.", "krone"),
    ],
)  # fmt: skip
def test_a_fact_is_stated_and_answered(slot, obj, statement, answer):
    subject, relation = slot
    assert relations.state(subject, relation, obj) == statement
    assert relations.answer(subject, relation, (obj,)) == answer


def test_a_statement_states_itself():
    assert relations.state(USER, STATEMENT, "The bins go out on Monday.") == "The bins go out on Monday."


@pytest.mark.parametrize(
    ("objects", "listed"),
    [
        (("chess",), "chess"),
        (("chess", "tea"), "chess and tea"),
        (("chess", "jazz", "tea"), "chess, jazz and tea"),
    ],
)
def test_several_values_are_listed(objects, listed):
    assert relations.listed(objects) == listed
    assert relations.answer(USER, "likes", objects) == f"You like {listed}."


@pytest.mark.parametrize(
    ("form", "obj", "filled"),
    [
        ("{object} is the seat of {subject}.", "oslo", "Oslo is the seat of Belmora."),
        ("{object}", "eBay", "eBay"),
        ("{subject} is {a_object}.", "nurse", "Belmora is a nurse."),
        ("{subject} is {a_object}.", "Engineer", "Belmora is an Engineer."),
    ],
)
def test_a_form_is_filled(form, obj, filled):
    assert relations.fill(form, "Belmora", obj) == filled


@given(subject=st.text(max_size=20), obj=st.text(max_size=20))
def test_what_is_filled_in_stands_there_as_it_is_whatever_it_looks_like(subject, obj):
    assert relations.fill(": {subject} | {object} | {a_object}", subject, obj) == (
        f": {subject} | {obj} | {relations.with_article(obj)}"
    )


def test_a_name_that_looks_like_a_placeholder_is_a_name():
    assert (
        relations.fill(": {subject} likes {object}", "{object}", "{a_object}")
        == ": {object} likes {a_object}"
    )


def test_questions_about_a_slot_are_in_its_person():
    assert relations.asked(USER, "home")[0] == "Where do I live?"
    assert relations.asked("Anna Berg", "home")[0] == "Where does Anna Berg live?"
    assert relations.probed(USER, "home")[0] == "Which town do I call home these days?"


@pytest.mark.parametrize("id_", NAMED)
def test_a_question_is_known_by_its_form(id_):
    for question in (*relations.asked("Anna Berg", id_), *relations.probed("Anna Berg", id_)):
        assert relations.slot_asked(question) == ("Anna Berg", id_)


@pytest.mark.parametrize("question", ["", "How are you?", "Where do I live?", "Where does the cat live?"])
def test_a_question_of_no_known_form_asks_for_no_slot(question):
    assert relations.slot_asked(question) is None


def test_what_else_a_subject_could_have_is_of_its_kind():
    assert set(relations.related("Norway", "capital")) == {"continent", "language", "currency"}
    assert set(relations.related("Belmora", "seat")) == {"chief_executive"}
    assert "name" not in relations.related("Anna Berg", "home")
    assert {"name", "sister"} <= set(relations.related(USER, "home"))


def test_only_likes_is_set_valued():
    many = [id_ for id_ in NAMED if relations.relation(id_).cardinality is Cardinality.MANY]
    assert many == ["likes"]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("you live in  Lisbon", True),
        ("Lisbon.", True),
        ("Lisbon!", False),
        ("Not Lisbon", False),
        ("", False),
    ],
)
def test_case_spaces_and_a_full_stop_do_not_make_another_answer(text, same):
    assert relations.same_answer(text, "You live in Lisbon.", ("Lisbon",)) is same


def test_a_system_message_has_its_prefix_first_and_a_line_for_each_fact():
    assert relations.system_message("Be brief.", ["A.", "B."]) == "Be brief.\nWhat you know:\n- A.\n- B."
    assert relations.system_message("Be brief.", []) == "Be brief."
    assert relations.system_message("", []) == ""


@pytest.mark.parametrize(
    ("statement", "negation"),
    [
        ("The user lives in Lisbon.", "It is no longer true that the user lives in Lisbon."),
        ("Anna lives in Lisbon.", "It is no longer true that Anna lives in Lisbon."),
    ],
)
def test_a_negation_keeps_names_as_they_are(statement, negation):
    assert relations.negation(statement) == negation


def test_who_has_a_name_is_asked_for_by_it_and_is_no_fact_of_the_reference_world():
    assert relations.state("user", "boss", "Clara") == "The boss of the user is called Clara."
    assert "Who is my mother-in-law?" in relations.asked("user", "mother-in-law")
    assert relations.state("user", "star sign", "Leo") == "The star sign of the user is Leo."
    assert "boss" not in relations.relatives()


def placeholders(form: str) -> set[str]:
    return {name.replace("a_", "") for name in PLACEHOLDER.findall(form)}


def asking(forms: Forms) -> tuple[str, ...]:
    return (*forms.questions, *forms.rephrases, *forms.unseen)


def said(forms: tuple[str, ...]) -> set[str]:
    """What two forms have in common that differ only in case and signs."""
    return {" ".join(re.findall(r"[\w{}]+", form.casefold())) for form in forms}


def test_a_taught_slot_of_the_user_is_touched_by_every_question_about_it_and_what_follows_from_it():
    touched = relations.touched({(USER, "home"), ("Anna Reyes", "employer")})
    assert {
        "Anna Reyes",
        "Where do I live?",
        "In which country do I live?",
        "In which city is my house?",
    } <= touched
    assert "Where do I work?" not in touched
    assert USER not in touched, "or every text with the word in it would be left out"
