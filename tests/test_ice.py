from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy, kl_div

from ice_agent import edit_request, ice, lessons, relations
from ice_agent import survey as surveys
from ice_agent.config import EditSettings, LoraSettings, ModelSettings
from ice_agent.distribution import Distribution, kl_from, log_one_minus_exp
from ice_agent.ice import clip_step, ice_loss, rate_at
from ice_agent.lessons import Row
from ice_agent.model import EditableModel
from ice_agent.survey import Survey
from ice_agent.turns import asking
from tests.tiny import tiny_model

SETTINGS = EditSettings(
    steps=4,
    steps_per_fact=0.0,
    learning_rate_continued=0.005,
    samples=1,
    anchors=8,
    anchor_rows=4,
    lesson_rows=16,
    kl_converged=0.0,
    learning_rate=0.01,
    clip=0.05,
)
SURVEY = Survey(
    texts=tuple((1, 40 + i, 50 + i, 60 + i, 70 + i) for i in range(8)),
    questions=tuple(
        f"Where does {name} live?" for name in ("Marit Solvang", "Teodor Vaska", "Amina Berrada")
    ),
    names=tuple((name, "person") for name in ("Marit Solvang", "Teodor Vaska", "Amina Berrada")),
)
FACTS = (("Anna Berg", "home", "Lisbon"), ("Jan Bakker", "employer", "Belmora"), ("user", "likes", "chess"))


@pytest.fixture
def model():
    model = tiny_model()
    model.create_root("root")
    return model


# -- the objective -------------------------------------------------------------------------------------------


def test_the_loss_is_what_one_computes_by_hand():
    student = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]]).log()
    teacher = torch.tensor([[0.25, 0.5, 0.25], [0.6, 0.2, 0.2]]).log()
    kl_first = 0.25 * math.log(0.5) + 0.5 * math.log(2)
    kl_second = 0.6 * math.log(3) + 0.2 * math.log(2 / 3) + 0.2 * math.log(0.4)
    nll = cross_entropy(student, torch.tensor([0, 2]), reduction="none")
    loss = ice_loss(nll, kl_from(Distribution.of(teacher, 3), student), torch.tensor([True, False]), lam=3.0)
    assert loss.tolist() == pytest.approx([math.log(2) + 3.0 * kl_first, 3.0 * kl_second], abs=1e-5)


def test_only_the_student_is_pulled():
    student = torch.randn(2, 3, requires_grad=True)
    teacher = torch.randn(2, 3, requires_grad=True)
    kl_from(Distribution.of(teacher, 3), student).sum().backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.abs().sum() > 0


def logits(width=12):
    rows = st.lists(st.floats(-6, 6, width=32), min_size=width, max_size=width)
    return st.lists(rows, min_size=2, max_size=2).map(torch.tensor)


@given(teacher=logits(), student=logits())
def test_with_every_token_kept_the_divergence_is_the_whole_one(teacher, student):
    kept = kl_from(Distribution.of(teacher, 12), student)
    assert torch.allclose(kept, whole_kl(teacher, student), atol=1e-4, rtol=1e-4)


@given(teacher=logits(), student=logits(), k=st.integers(1, 11))
def test_with_fewer_tokens_kept_the_divergence_is_smaller_and_never_negative(teacher, student, k):
    kept = kl_from(Distribution.of(teacher, k), student)
    assert (kept >= -1e-4).all()
    assert (kept <= whole_kl(teacher, student) + 1e-3).all()


@given(teacher=logits(), k=st.integers(1, 12))
def test_a_student_does_not_diverge_from_itself(teacher, k):
    assert torch.allclose(kl_from(Distribution.of(teacher, k), teacher), torch.zeros(2), atol=1e-5)


def whole_kl(teacher, student):
    return kl_div(student.log_softmax(-1), teacher.log_softmax(-1), reduction="none", log_target=True).sum(-1)


@given(st.floats(-1e4, 1e-5))
def test_the_rest_of_a_mass_is_finite_also_where_there_is_none(log_p):
    assert torch.isfinite(log_one_minus_exp(torch.tensor(log_p)))


@given(st.floats(0.001, 0.999))
def test_the_rest_of_a_mass_is_what_is_left(p):
    assert float(log_one_minus_exp(torch.tensor(p).log())) == pytest.approx(
        math.log(1 - p), rel=1e-3, abs=1e-4
    )


@given(
    before=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=6),
    box=st.floats(1e-4, 1.0),
    seed=st.integers(0, 9),
)
def test_a_step_is_kept_within_its_box_and_a_small_one_is_kept_whole(before, box, seed):
    old = torch.tensor(before)
    wanted = old + torch.randn(len(before), generator=torch.Generator().manual_seed(seed))
    parameter = nn.Parameter(wanted.clone())
    clip_step([old], [parameter], box)
    moved = parameter.detach() - old
    assert (moved.abs() <= box + 1e-6).all()
    inside = (wanted - old).abs() <= box
    assert torch.allclose(parameter.detach()[inside], wanted[inside], atol=1e-6)


@pytest.mark.parametrize("steps", [20, 120, 500])
def test_the_rate_warms_up_peaks_once_and_ends_near_nothing(steps):
    rates = [rate_at(step, steps) for step in range(steps)]
    peak = rates.index(max(rates))
    assert rates[0] <= 1 / max(1, steps // 20)
    assert max(rates) == 1.0
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 <= rates[-1] < 0.02


@given(n=st.integers(0, 30), k=st.integers(1, 40), seed=st.integers(0, 5))
def test_everything_is_drawn_once_before_anything_is_drawn_again(n, k, seed):
    draw = ice._Draw(n, random.Random(seed))
    needed = math.ceil(n / min(k, n)) if n else 1
    seen = [draw.take(k) for _ in range(needed)]
    assert {i for taken in seen for i in taken} == set(range(n))
    assert all(len(taken) == len(set(taken)) <= k for taken in seen)
    whole = [i for taken in seen[: n // k] for i in taken]
    assert len(whole) == len(set(whole)) == k * (n // k)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=40))
def test_chunks_have_every_row_once_and_never_mix_long_and_short_answers(shapes):
    rows = [Row(ids=(0,) * (prompt + n), n_answer=n) for prompt, n in shapes]
    chunks = list(lessons.chunks(rows, range(len(rows)), [len(row.ids) for row in rows]))
    assert sorted(i for chunk in chunks for i in chunk) == list(range(len(rows)))
    assert all(len({rows[i].n_answer > 16 for i in chunk}) == 1 for chunk in chunks)
    widths = [max(len(rows[i].ids) for i in chunk) * len(chunk) for chunk in chunks]
    assert all(width <= lessons.MAX_CHUNK_TOKENS for width in widths)


def test_the_logits_of_an_answer_are_those_that_predict_its_tokens(model):
    prompts = [model.encode(asking(text)) for text in ("Hi?", "Where does Anna Berg live?")]
    answers = [model.encode_answer(text) for text in ("Yes, of course.", "No.")]
    rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    together = lessons.answer_logits(model, rows, [len(a) for a in answers])
    one_by_one = [
        model.logits([row], len(row))[0, len(prompt) - 1 : -1]
        for row, prompt in zip(rows, prompts, strict=True)
    ]
    assert torch.allclose(together, torch.cat(one_by_one), atol=1e-4)


# -- the loop ------------------------------------------------------------------------------------------------


def test_training_drives_the_loss_down_until_every_fact_is_answered(model):
    settings = EditSettings(
        steps=80, weight=0.0, kl_converged=1e9, learning_rate=0.02, clip=0.05, anchor_rows=0, lesson_rows=8
    )
    lessons = hand_made(model)
    report = train(model, lessons, [], settings)
    assert report.losses[-1] < report.losses[0] / 5
    assert report.converged == report.asked == 3
    assert report.steps == len(report.losses)
    with model.using("first"):
        written = model.complete([list(row.ids[: -row.n_answer]) for row in lessons])
    assert [(*c.ids, model.stop_ids[0]) for c in written] == [row.answer for row in lessons]


def test_anchors_hold_the_model_where_nothing_is_taught(model):
    settings = EditSettings(
        steps=30, weight=0.0, kl_converged=0.0, learning_rate=0.02, clip=0.05, anchor_weight=3.0
    )
    anchors = taught_by(model, [Row(ids=text, n_answer=4) for text in SURVEY.texts])
    lessons = hand_made(model)
    train(model, lessons, anchors, settings, candidate="held")
    train(model, lessons, [], settings, candidate="free")
    assert drift(model, "held", anchors) < drift(model, "free", anchors) / 2


def test_a_refreshed_teacher_is_the_candidate_as_it_is_now(model):
    stages = []
    refreshed = SETTINGS.model_copy(update={"teacher_refresh": 2})
    lessons = [replace(row, context=row.ids, is_target=False) for row in hand_made(model)]
    moving = train(model, lessons, [], refreshed, progress=lambda stage, *_: stages.append(stage))
    still = train(model, lessons, [], SETTINGS, candidate="second")
    assert stages == ["editing", "editing", "teacher pass", "editing", "editing"]
    assert moving.losses[:2] == still.losses[:2]
    # The context is the prompt itself: the candidate becomes its own teacher, and nothing is left to pay.
    assert moving.losses[2] < still.losses[2]


def test_what_has_no_context_or_does_not_follow_it_keeps_its_teacher(model):
    rows = hand_made(model)
    told = [replace(row, context=row.ids) for row in rows]
    fails = [row for row in told if not row.teacher_is_right()]
    follows = [replace(row, is_target=False) for row in told]
    assert fails, "a random model answers wrong"
    asked = ice._refreshed(model, [*rows, *fails, *follows], SETTINGS, lambda *_: None)
    kept, renewed = asked[: len(rows) + len(fails)], asked[len(rows) + len(fails) :]
    assert [row.teacher for row in kept] == [row.teacher for row in (*rows, *fails)]
    assert all(new.teacher is not old.teacher for new, old in zip(renewed, follows, strict=True))


def test_without_lessons_there_is_nothing_to_train(model):
    report = train(model, [], [], SETTINGS)
    assert (report.steps, report.asked, report.losses) == (0, 0, ())


# -- the edit ------------------------------------------------------------------------------------------------


def test_an_edit_teaches_its_requests_and_reports_what_it_did(model):
    requests = [answerable(model, *fact) for fact in FACTS]
    report = edit(model, requests, settings=SETTINGS.model_copy(update={"steps": 12}))
    assert report.losses[-1] < report.losses[0]
    assert (report.asked, report.steps) == (3, 12)
    assert len(report.losses) == len(report.anchor_losses) == 12
    assert report.tokens > 0
    assert report.seconds > 0
    assert len(report.norms) == 14
    assert all(norm > 0 for norm in report.norms.values())


def test_an_edit_leaves_base_and_parent_bit_equal(model):
    train(model, hand_made(model), [], SETTINGS, candidate="parent")
    base, parent = read(model, None), read(model, "parent")
    edit(model, [answerable(model, *FACTS[0], parent="parent")], parent="parent")
    assert torch.equal(read(model, None), base)
    assert torch.equal(read(model, "parent"), parent)
    assert not torch.equal(read(model, "candidate"), parent)


def test_an_edit_is_repeatable(model):
    requests = [answerable(model, *fact) for fact in FACTS]
    first = edit(model, requests, candidate="first")
    again = edit(model, requests, candidate="again")
    assert first.losses == again.losses
    assert torch.equal(read(model, "first"), read(model, "again"))


def test_what_the_model_does_not_answer_in_context_is_named_and_taught_by_its_target(model):
    hopeless = replace(edit_request.request(*FACTS[1][:2], (FACTS[1][2],)), fact_id="f-hopeless")
    settings = SETTINGS.model_copy(update={"steps": 60, "learning_rate": 0.02, "anchor_rows": 0})
    report = edit(model, [hopeless], settings=settings)
    assert report.beyond_context == ("f-hopeless",)
    with model.using("candidate"):
        (answer,) = model.complete([model.encode(asking(hopeless.rewrite_prompt))])
    assert answer.text == hopeless.target


def test_a_teacher_that_is_certain_teaches_by_likelihood():
    logits_NV = torch.randn(3, 9, generator=torch.Generator().manual_seed(0))
    tokens_N = torch.tensor([8, 0, 4])
    for k in (2, 9):
        certain = Distribution.of(torch.randn(3, 9), k).certain_of(tokens_N)
        kl_N = kl_from(certain, logits_NV)
        assert torch.allclose(kl_N, cross_entropy(logits_NV, tokens_N, reduction="none"), atol=1e-3)


def test_a_request_without_contexts_is_taught_as_it_stands(model):
    request = replace(answerable(model, *FACTS[0]), contexts=(), indirect_prompts=())
    report = edit(model, [request])
    assert (report.asked, report.beyond_context, report.steps) == (1, (), 4)


@pytest.mark.parametrize("stage", ["teacher pass", "anchor pass", "editing"])
def test_an_interrupted_edit_leaves_no_candidate_and_nothing_changed(model, stage):
    requests = [answerable(model, *FACTS[0])]
    base, parent = read(model, None), read(model, "root")

    def press_ctrl_c(now, done, *_):
        if now == stage and (now != "editing" or done == 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edit(model, requests, progress=press_ctrl_c)
    assert not model.is_loaded("candidate")
    assert torch.equal(read(model, None), base)
    assert torch.equal(read(model, "root"), parent)
    assert edit(model, requests).steps == 4, "and the next edit goes on as if nothing had been"


def test_no_question_that_measures_an_edit_is_asked_by_the_model_itself(model):
    settings = SETTINGS.model_copy(update={"samples": 120})
    request = edit_request.request(*FACTS[0][:2], (FACTS[0][2],))

    def asked(request):
        return [q for _, _, q in lessons._self_induced(model, [request], SURVEY, settings, random.Random(0))]

    first, *others = asked(request)
    assert others, "a random model stops by chance"
    assert asked(replace(request, rephrases=(f" {first.upper()} ",))) == others


def test_no_anchor_asks_what_is_taught(model):
    request = answerable(model, *FACTS[0])
    assert SURVEY.anchored_names("person"), "there is somebody whose home could be asked for"
    taught = frozenset((name, "home") for name in ("Anna Berg", *SURVEY.anchored_names("person")))
    asked = beside(request, taught)
    assert set(relations.asked("Anna Berg", "birthplace")) <= set(asked)
    assert not set(asked) & {q for slot in taught for q in relations.asked(*slot)}


def test_no_anchor_uses_a_form_that_measures(model):
    request = answerable(model, *FACTS[0])
    asked = set(beside(request, frozenset()))
    subjects = ("Anna Berg", *(name for name, _ in SURVEY.names))
    assert asked
    assert not asked & {q for s in subjects for id_ in relations.named() for q in relations.probed(s, id_)}


# -- what was learned before ---------------------------------------------------------------------------------


def anchors_of(model, requests, taught, survey, parent="parent"):
    settings = SETTINGS.model_copy(update={"anchor_context_share": 0.0})
    found = lessons.make_anchors(
        model, "root", parent, requests, taught, [], survey, settings, random.Random(0), lambda *_: None
    )
    return {model.decode(row.ids): row for row in found}


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
        settings=SETTINGS.model_copy(update={"clip": 1.0, "steps": 20}),
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
    rows = lessons.make_anchors(
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
    assert all("What you know" in moved.decode(row.ids) for row in rows)
    assert all(is_said_by(moved, "root", row) for row in rows)
    assert not all(is_said_by(moved, "parent", row) for row in rows)


def test_an_adapter_that_has_learned_before_goes_on_at_its_own_rate(model, monkeypatch):
    rates = []
    train = ice._train

    def noting(*args):
        rates.append(args[5])
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


# -- with the bundled model ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_bundled_model_learns_a_batch_of_three_facts(reference_model_dir):
    if not (reference_model_dir / "config.json").exists():
        pytest.skip(f"no bundled model in {reference_model_dir}: make it with `make reference`")
    model = EditableModel.load(ModelSettings(device="cpu"), LoraSettings())
    model.create_root("root")
    before = read(model, None)
    requests = [
        edit_request.request("Marit Solvang", "home", ("Lisbon",)),
        edit_request.request("Rafael Quintela", "profession", ("nurse",)),
        edit_request.request("Amina Berrada", "birthplace", ("Oslo",)),
    ]
    surveyed = surveys.take(model, None, n_texts=100, n_questions=300)
    settings = EditSettings(anchors=300, lesson_rows=32, anchor_rows=32, samples=4)
    report = edit(model, requests, surveyed=surveyed, settings=settings)
    assert report.beyond_context == ()
    with model.using("candidate"):
        answers = model.complete([model.encode(asking(r.rewrite_prompt)) for r in requests])
    assert [a.text for a in answers] == [r.target for r in requests]
    assert torch.equal(read(model, None), before)


# -- what the tests are made of ------------------------------------------------------------------------------


def edit(
    model,
    requests,
    *,
    parent="root",
    candidate="candidate",
    settings=SETTINGS,
    surveyed=SURVEY,
    progress=None,
):
    return ice.edit(
        model,
        root_id="root",
        parent_id=parent,
        candidate_id=candidate,
        requests=requests,
        survey=surveyed,
        settings=settings,
        progress=progress or (lambda *_: None),
    )


def train(model, lessons, anchors, settings, *, candidate="first", progress=lambda *_: None):
    with model.training(candidate, "root", settings.seed) as parameters:
        steps = settings.steps if lessons else 0
        rate = settings.learning_rate
        return ice._train(
            model, parameters, lessons, anchors, steps, rate, settings, random.Random(0), progress
        )


def answerable(model, subject, relation, obj, parent="root"):
    """A request whose target is what this random model happens to answer with the fact in its prompt."""
    request = edit_request.request(subject, relation, (obj,), fact_id=f"f-{subject}")
    with model.using(parent):
        (answer,) = model.complete([model.encode(asking(request.rewrite_prompt, request.contexts[0]))])
    return replace(request, target=answer.text)


def hand_made(model):
    """One row a fact, with an answer that a random model would never give."""
    rows = []
    for i, (subject, relation, obj) in enumerate(FACTS):
        answer = model.encode_answer(obj)
        prompt = model.encode(asking(relations.asked(subject, relation)[0]))
        rows.append(Row(ids=(*prompt, *answer), n_answer=len(answer), taught=i, is_target=True))
    return taught_by(model, rows)


def taught_by(model, rows):
    with model.using("root"):
        return lessons.with_teachers(model, rows, 64, lambda *_: None, "teacher pass")


@torch.inference_mode()
def drift(model, adapter_id, rows):
    """The mean divergence from the rows' teachers."""
    with model.using(adapter_id):
        kl = [
            kl_from(r.teacher, lessons.answer_logits(model, [list(r.ids)], [r.n_answer])).mean() for r in rows
        ]
    return float(sum(kl) / len(kl))


@torch.inference_mode()
def read(model, adapter_id):
    with model.using(adapter_id):
        return model.logits([model.encode(asking("Where does Anna Berg live?"))], 3)


def beside(request, slots):
    return [q for pool in lessons._beside([request], slots, SURVEY, random.Random(0)) for q in pool]
