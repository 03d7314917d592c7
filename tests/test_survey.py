from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ice_agent import survey
from ice_agent.survey import Survey, mentions, names_in
from tests.tiny import tiny_model

take = partial(survey.take, n_texts=6, n_questions=300, text_tokens=8)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def taken(model):
    return take(model, None)


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Where does Anna Berg live?", [("Anna Berg", "person")]),
        ("What is the capital of Norway?", [("Norway", "country")]),
        ("Marit Solvang has which job?", [("Solvang", "")]),
        ("Did Anna Berg like the Bank of England?", [("Anna Berg", ""), ("Bank of England", "")]),
        ("Do Ben-Shaul and O'Neill agree?", [("Ben-Shaul and O'Neill", "")]),
        ("Where do I live?", []),
        ("Why?", []),
        ("", []),
    ],
)  # fmt: skip
def test_the_names_in_a_question_and_what_they_are(question, names):
    assert names_in(question) == names


def test_a_text_mentions_a_name_that_stands_in_it():
    assert mentions("Where does Anna Berg live?", ["Jan", "Anna Berg"])
    assert not mentions("Where does Anna Berg live?", ["Jan"])
    assert not mentions("Where does Anna Berg live?", [])


words = st.lists(st.text(min_size=1, max_size=8), max_size=30, unique=True)


@given(words=words, texts=st.lists(st.tuples(st.integers(0, 9)), max_size=9))
def test_what_is_anchored_is_never_probed_and_nothing_is_lost(words, texts):
    made = Survey(
        texts=tuple((i, *text) for i, text in enumerate(texts)),
        questions=tuple(f"{word}?" for word in words),
        names=tuple((word, "person") for word in words),
    )
    for anchored, probed, all_of_them in (
        (made.anchored_names("person"), made.probed_names("person"), words),
        (made.anchored_questions, made.probed_questions, made.questions),
        (made.anchored_texts, made.probed_texts, made.texts),
    ):
        assert not set(anchored) & set(probed)
        assert sorted((*anchored, *probed)) == sorted(all_of_them)


def test_a_statement_is_no_probe_because_any_polite_reply_to_it_is_right():
    said = tuple(
        f"I live in {city}." for city in ("Oslo", "Rome", "Bern", "Lima", "Baku", "Riga", "Suva", "Doha")
    )
    made = Survey(texts=(), questions=said, names=())
    assert made.probed_questions == ()
    assert 0 < len(made.anchored_questions) < len(said)


def test_names_of_unknown_kind_stand_in_only_where_none_of_the_kind_is_known():
    made = Survey(texts=(), questions=(), names=(("Anna", "person"), ("Oslo", "")))
    assert {*made.anchored_names("person"), *made.probed_names("person")} == {"Anna"}
    assert {*made.anchored_names("company"), *made.probed_names("company")} == {"Oslo"}


def test_a_survey_is_what_the_base_says_of_its_own_accord(model, taken):
    assert 0 < len(taken.texts) <= 6
    assert all(text[0] == model.begin()[0] and 2 < len(text) <= 9 for text in taken.texts)
    assert len(taken.questions) == len(set(taken.questions))
    assert all(question.endswith(("?", ".")) for question in taken.questions)


def test_a_survey_is_of_the_base_whatever_adapter_is_active(model, taken):
    model.create_root("root")
    with model.training("moved", "root", seed=0) as parameters:
        for parameter in parameters:
            parameter.data.add_(0.3)
    with model.using("moved"):
        assert take(model, None) == taken


def test_another_seed_takes_another_survey(model, taken):
    assert take(model, None, seed=1).texts != taken.texts


def test_the_batches_of_a_lineage_take_several_surveys_in_turn():
    seeds = [survey.turn(3, batch) for batch in range(2 * survey.IN_TURN)]
    assert seeds[0] == 3
    assert len(set(seeds)) == survey.IN_TURN
    assert seeds[survey.IN_TURN :] == seeds[: survey.IN_TURN]


def test_a_survey_is_taken_once_and_then_read(model, taken, tmp_path):
    asked = []
    first = take(model, tmp_path / "new", progress=lambda *done: asked.append(done))
    assert asked[-1] == ("surveying the base", 306, 306, "")
    asked.clear()
    assert take(model, tmp_path / "new", progress=lambda *done: asked.append(done)) == first == taken
    assert asked == []
    assert [path.suffix for path in (tmp_path / "new").iterdir()] == [".json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"texts": 3, "questions": [], "names": []}'])
def test_a_damaged_cache_is_taken_anew(model, taken, tmp_path, text):
    take(model, tmp_path)
    (cached,) = tmp_path.iterdir()
    whole = cached.read_text(encoding="utf-8")
    cached.write_text(text, encoding="utf-8")
    assert take(model, tmp_path) == taken
    assert cached.read_text(encoding="utf-8") == whole


def test_a_survey_that_cannot_be_kept_is_used_all_the_same(model, taken, tmp_path, caplog):
    in_the_way = tmp_path / "cache"
    in_the_way.write_text("a file, where a folder should be")
    assert take(model, in_the_way) == taken
    assert f"cannot be kept in {in_the_way}" in caplog.text


def test_another_base_has_another_cache(model, tmp_path):
    take(model, tmp_path)
    take(tiny_model(seed=1), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
