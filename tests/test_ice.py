from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy, kl_div

from ice_agent import edit_request, ice, lessons, relations
from ice_agent import survey as surveys
from ice_agent.distribution import Distribution, kl_from, log_one_minus_exp
from ice_agent.ice import clip_step, ice_loss, rate_at
from ice_agent.lessons import Row
from ice_agent.model import EditableModel
from ice_agent.settings import EditSettings, LoraSettings, ModelSettings
from ice_agent.turns import asking
from tests.editing import FACTS, SETTINGS, SURVEY, answerable, divergences, edit
from tests.tiny import tiny_model


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
    loss = ice_loss(
        nll,
        kl_from(Distribution.of(teacher, 3), student.log_softmax(-1)),
        torch.tensor([True, False]),
        lam=3.0,
    )
    assert loss.tolist() == pytest.approx([math.log(2) + 3.0 * kl_first, 3.0 * kl_second], abs=1e-5)


def test_only_the_student_is_pulled():
    student = torch.randn(2, 3, requires_grad=True)
    teacher = torch.randn(2, 3, requires_grad=True)
    kl_from(Distribution.of(teacher, 3), student.log_softmax(-1)).sum().backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.abs().sum() > 0


def logits(width=12):
    rows = st.lists(st.floats(-6, 6, width=32), min_size=width, max_size=width)
    return st.lists(rows, min_size=2, max_size=2).map(torch.tensor)


@given(teacher=logits(), student=logits())
def test_with_every_token_kept_the_divergence_is_the_whole_one(teacher, student):
    kept = kl_from(Distribution.of(teacher, 12), student.log_softmax(-1))
    assert torch.allclose(kept, whole_kl(teacher, student), atol=1e-4, rtol=1e-4)


@given(teacher=logits(), student=logits(), k=st.integers(1, 11))
def test_with_fewer_tokens_kept_the_divergence_is_smaller_and_never_negative(teacher, student, k):
    kept = kl_from(Distribution.of(teacher, k), student.log_softmax(-1))
    assert (kept >= -1e-4).all()
    assert (kept <= whole_kl(teacher, student) + 1e-3).all()


@given(teacher=logits(), k=st.integers(1, 12))
def test_a_student_does_not_diverge_from_itself(teacher, k):
    assert torch.allclose(
        kl_from(Distribution.of(teacher, k), teacher.log_softmax(-1)), torch.zeros(2), atol=1e-5
    )


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
    together = model.answer_logits(rows, [len(a) for a in answers])
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
    free = {"anchor_rows": 0, "curvature_weight": 0.0}
    settings = SETTINGS.model_copy(update={"steps": 60, "learning_rate": 0.02, **free})
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
        kl_N = kl_from(certain, logits_NV.log_softmax(-1))
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


def train(model, lessons, anchors, settings, *, candidate="first", progress=lambda *_: None):
    with model.training(candidate, "root", settings.seed) as parameters:
        steps = settings.steps if lessons else 0
        rate = settings.learning_rate
        return ice._train(
            model, parameters, lessons, anchors, None, steps, rate, settings, random.Random(0), progress
        )


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


def drift(model, adapter_id, rows):
    """The mean divergence from the rows' teachers."""
    kl = [kl_N.mean() for kl_N in divergences(model, adapter_id, rows)]
    return float(sum(kl) / len(kl))


@torch.inference_mode()
def read(model, adapter_id):
    with model.using(adapter_id):
        return model.logits([model.encode(asking("Where does Anna Berg live?"))], 3)


def beside(request, slots):
    return [q for pool in lessons._beside([request], slots, SURVEY, random.Random(0)) for q in pool]
