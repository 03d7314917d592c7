"""What an edit trains on beside its own facts: what was learned before, and what must stay as it is."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import kl_div

from ice_agent import edit_request, ice, lessons, relations
from ice_agent.distribution import Distribution
from ice_agent.lessons import Row
from ice_agent.survey import Survey
from tests.editing import FACTS, SETTINGS, SURVEY, answerable, edit
from tests.tiny import tiny_model


@pytest.fixture
def model():
    model = tiny_model()
    model.create_root("root")
    return model


def anchors_of(model, requests, taught, survey, parent="parent"):
    settings = SETTINGS.model_copy(update={"anchor_context_share": 0.0})
    of_root, of_parent = lessons.make_anchors(
        model, "root", parent, requests, taught, [], survey, settings, random.Random(0), lambda *_: None
    )
    return {model.decode(row.ids): row for row in (*of_root, *of_parent)}


def is_said_by(model, adapter_id, row):
    with model.using(adapter_id):
        (again,) = lessons.with_teachers(model, [row], 64, lambda *_: None, "")
    assert again.teacher is not None
    return torch.allclose(again.teacher.log_p_NK, row.teacher.log_p_NK, atol=1e-5)


def is_as_taught(model: Any, row: Any) -> bool:
    """At each token the root's word, or the parent's where they are far apart."""
    said = []
    for adapter_id in ("root", "parent"):
        with model.using(adapter_id):
            said += lessons.with_teachers(model, [row], 64, lambda *_: None, "")
    here, root, parent = (each.teacher.log_p_NK for each in (row, *said))
    by = [(torch.allclose(h, r, atol=1e-5), torch.allclose(h, p, atol=1e-5))
          for h, r, p in zip(here, root, parent, strict=True)]  # fmt: skip
    return all(any(each) for each in by) and any(of_parent for _, of_parent in by)


@pytest.fixture
def moved(model):
    """The model with a parent that says other things than the root."""
    edit(
        model,
        [answerable(model, *FACTS[0])],
        candidate="parent",
        settings=SETTINGS.model_copy(update={"clip": 1.0, "steps": 20, "curvature_weight": 0.0}),
    )
    return model


def test_what_the_user_was_taught_before_is_anchored_to_the_parent_and_what_is_taught_now_is_left_out(moved):
    home, work = sorted(relations.first_person(["home"])), sorted(relations.first_person(["employer"]))
    survey = Survey(texts=(), questions=(*home, *work, "What is the capital of Spain?"), names=())
    about_home = edit_request.request("user", "home", ("Oslo",), fact_id="f")
    found = anchors_of(moved, [about_home], frozenset({("user", "employer")}), survey)
    asked = {q: [row for text, row in found.items() if q in text] for q in survey.anchored_questions}
    assert any(asked.values())
    for question, rows in asked.items():
        for row in rows:
            assert question not in home
            assert is_as_taught(moved, row) if question in work else is_said_by(moved, "root", row)


def test_a_small_difference_is_drift_and_a_large_one_was_taught():
    root = torch.tensor([[0.0, 2.0, 4.0, 1.0], [3.0, 0.0, 0.0, 0.0]])
    drifted, taught = root[0] + torch.tensor([0.1, -0.1, 0.1, 0.0]), root[1].flip(0)
    parent = Distribution.of(torch.stack([drifted, taught]), 3)
    kept = Distribution.of(root, 3).unless_far(parent, 0.5)
    assert torch.equal(kept.log_p_NK[0], Distribution.of(root, 3).log_p_NK[0])
    assert torch.equal(kept.ids_NK[1], parent.ids_NK[1])
    assert torch.equal(kept.log_rest_N[1:], parent.log_rest_N[1:])


@given(st.integers(min_value=0, max_value=10_000))
def test_with_the_whole_vocabulary_far_is_what_the_divergence_says(seed):
    generator = torch.Generator().manual_seed(seed)
    mine, others = (torch.randn(1, 8, generator=generator) * 2 for _ in range(2))
    exact = float(kl_div(mine.log_softmax(-1), others.log_softmax(-1), log_target=True, reduction="sum"))
    for nats in (exact - 0.05, exact + 0.05):
        kept = Distribution.of(mine, 8).unless_far(Distribution.of(others, 8), nats)
        expected = others if exact > nats else mine
        assert torch.allclose(kept.log_p_NK, Distribution.of(expected, 8).log_p_NK)


def test_text_about_somebody_taught_before_is_anchored_to_the_parent(moved):
    told, other, now = (
        tuple(moved.encode_text(text))
        for text in ("Jan Bakker is here.", "It is late.", "Anna Berg is here.")
    )
    survey = Survey(texts=(told, (), other, (), now, ()), questions=(), names=())
    found = anchors_of(moved, [answerable(moved, *FACTS[0])], frozenset({("Jan Bakker", "home")}), survey)
    by_ids = {row.ids: row for row in found.values()}
    assert now not in by_ids
    assert is_as_taught(moved, by_ids[told])
    assert not is_said_by(moved, "root", by_ids[told])
    assert is_said_by(moved, "root", by_ids[other])


def sure(answer, ahead):
    """A teacher that has these tokens ahead of the next ones by so many nats; behind them when negative."""
    order = [[token, 0] if ahead > 0 else [0, token] for token in answer]
    log_p = torch.tensor([[-0.1, -0.1 - abs(ahead)]] * len(answer))
    return Distribution(torch.tensor(order), log_p, torch.full((len(answer),), -9.0))


def test_a_margin_is_that_of_the_least_sure_token():
    row = Row(ids=(5, 6, 7), n_answer=2)
    first, second = sure((6,), 3.0), sure((7,), 1.0)
    both = Distribution(
        *(torch.cat([getattr(t, name) for t in (first, second)]) for name in Distribution.__slots__)
    )
    assert replace(row, teacher=both).margin() == pytest.approx(1.0)
    assert replace(row, teacher=sure((6, 7), -2.0)).margin() < 0


def test_with_a_fact_in_its_prompt_the_model_is_held_to_what_the_root_says(moved):
    request = answerable(moved, *FACTS[0])
    told = lessons._told(moved, "root", [request], SURVEY, 20, random.Random(0))
    assert len(told) == 20
    subjects = {s for s in ("user", "Anna Berg", *SURVEY.anchored_names("person")) for c, _ in told if s in c}
    assert len(subjects) > 2, "others than the edited ones"
    trained = {
        q for s in subjects for q in (*relations.asked(s, "home"), *relations.asked_further(s, "home"))
    }
    assert {question for _, question in told} <= trained
    settings = SETTINGS.model_copy(update={"anchor_context_share": 1.0})
    rows, of_parent = lessons.make_anchors(
        moved,
        "root",
        "parent",
        [request],
        frozenset(),
        [],
        SURVEY,
        settings,
        random.Random(0),
        lambda *_: None,
    )
    assert rows
    assert not of_parent
    assert all("What you know" in moved.decode(row.ids) for row in rows)
    assert all(is_said_by(moved, "root", row) for row in rows)
    assert not all(is_said_by(moved, "parent", row) for row in rows)


def test_an_adapter_that_has_learned_before_goes_on_at_its_own_rate(model, monkeypatch):
    rates = []
    train = ice._train

    def noting(*args):
        rates.append(args[6])
        return train(*args)

    monkeypatch.setattr(ice, "_train", noting)
    edit(model, [answerable(model, *FACTS[0])], candidate="first")
    edit(model, [answerable(model, *FACTS[1])], parent="first", candidate="second")
    assert rates == [SETTINGS.learning_rate, SETTINGS.learning_rate_continued]


def test_the_teacher_of_every_batch_is_the_root(moved, monkeypatch):
    asked, with_teachers = [], lessons.with_teachers

    def noting(model, rows, top_k, progress, stage):
        asked.append((stage, model._active, any(row.context for row in rows)))
        return with_teachers(model, rows, top_k, progress, stage)

    monkeypatch.setattr(lessons, "with_teachers", noting)
    edit(moved, [answerable(moved, *FACTS[1])], parent="parent")
    assert ("teacher pass", "root", True) in asked
    assert not any(adapter == "parent" for _, adapter, in_context in asked if in_context)


def test_what_the_parent_knows_least_well_is_rehearsed_and_what_it_lost_is_no_anchor(model, monkeypatch):
    learned = [answerable(model, *fact) for fact in FACTS]
    margin = dict(zip((r.fact_id for r in learned), (5.0, 0.5, -1.0), strict=True))
    of_target = {tuple(model.encode_answer(r.target)): margin[r.fact_id] for r in learned}

    def knows(model, rows, *_):
        return [replace(row, teacher=sure(row.answer, of_target[row.answer])) for row in rows]

    monkeypatch.setattr(lessons, "with_teachers", knows)

    def recall(rehearsal):
        settings = SETTINGS.model_copy(update={"rehearsal": rehearsal, "retained": 100})
        weak, anchored = lessons.recalled(model, "root", learned, settings, random.Random(0), lambda *_: None)
        return [r.fact_id for r in weak], {row.answer for row in anchored}

    by_margin = sorted(margin, key=lambda fact_id: margin[fact_id])
    answers = {r.fact_id: tuple(model.encode_answer(r.target)) for r in learned}
    assert len(set(answers.values())) == 3
    assert recall(2) == (by_margin[:2], {answers[by_margin[2]]})
    assert recall(0) == ([], {answers[fact_id] for fact_id in by_margin[1:]})


def test_a_scan_of_what_was_learned_has_a_fixed_size(model, monkeypatch):
    many = [answerable(model, *FACTS[0])] * 50
    settings = SETTINGS.model_copy(update={"rehearsal": 3, "retained": 10})
    monkeypatch.setattr(lessons, "SCANNED", 20)
    read, with_teachers = [], lessons.with_teachers

    def noting(model, rows, *rest):
        read.extend(rows)
        return with_teachers(model, rows, *rest)

    monkeypatch.setattr(lessons, "with_teachers", noting)
    weak, anchored = lessons.recalled(model, "root", many, settings, random.Random(0), lambda *_: None)
    assert len(read) == 20
    assert len(weak) == 3
    assert len(anchored) <= 10
