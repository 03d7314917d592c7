from __future__ import annotations

import math

import pytest

from ice_agent import relations
from ice_agent.bench import run, world_edits
from ice_agent.bench.run import Run, figures, wilson
from ice_agent.reference import world as w
from memory import USER, Evaluation, Rate, Scores

WORLD = w.build()


def a_run(hits, asked, ratio=1.0, seed=0):
    scores = Scores(edit_success=Rate(hits=hits, asked=asked), fluency_ratio=ratio)
    return Run(
        method="ice",
        facts=20,
        seed=seed,
        evaluation=Evaluation(scores=scores),
        steps=1,
        edit_seconds=4.0,
        oracle_right=Rate(hits=1, asked=2),
        root_wrong=Rate(hits=1, asked=1),
        seconds=8.0,
    )


# -- figures -------------------------------------------------------------------------------------------------


def test_wilsons_interval_is_what_one_computes_by_hand():
    # 8 of 10: (0.8 + 0.19208) / 1.38416 = 0.71674, plus or minus 1.96 sqrt(0.016 + 0.009604) / 1.38416.
    assert wilson(8, 10) == pytest.approx((0.49016, 0.94331), abs=1e-4)


def test_an_interval_stays_within_zero_and_one_and_is_never_a_point():
    low, high = wilson(10, 10)
    assert high == 1.0
    assert low == pytest.approx(10 / (10 + 1.96**2))
    assert wilson(0, 10) == pytest.approx((0.0, 1 - low))


def test_nothing_asked_has_no_interval():
    assert all(math.isnan(bound) for bound in wilson(0, 0))


def test_figures_add_counts_and_do_not_average_shares():
    figure = figures([a_run(1, 1), a_run(0, 99)])["edit_success"]
    assert (figure.hits, figure.asked, figure.mean) == (1, 100, 0.01)
    assert (figure.low, figure.high) == wilson(1, 100)


def test_a_ratio_is_shown_with_its_lowest_and_highest_seed():
    figure = figures([a_run(1, 1, 0.9), a_run(1, 1, 1.1), a_run(1, 1, 1.0)])["fluency_ratio"]
    assert (figure.mean, figure.low, figure.high) == pytest.approx((1.0, 0.9, 1.1))


def test_every_metric_has_its_figure_and_what_was_never_asked_is_no_number():
    found = figures([a_run(1, 1)])
    assert set(Scores.metrics()) <= found.keys()
    assert math.isnan(found["retention"].mean)
    assert found["oracle_right"].mean == 0.5
    assert found["seconds_per_fact"].mean == 0.2


def test_the_peak_of_memory_is_in_megabytes():
    assert 50 < run.peak_mb() < 200_000


# -- edits of the world --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 7, 20, 100])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_batch_is_about_so_many_different_slots(n, seed):
    requests = world_edits.draw(WORLD, n, seed)
    assert len(requests) == n
    assert len({(r.subject, r.relation) for r in requests}) == n
    assert len({r.fact_id for r in requests}) == n


@pytest.mark.parametrize("n", [20, 100])
def test_half_override_what_the_model_knows_and_half_are_new(n):
    requests = world_edits.draw(WORLD, n, seed=0)
    overriding = [r for r in requests if (r.subject, r.relation) in WORLD.facts]
    assert len(overriding) == n // 2
    for r in overriding:
        old = relations.answer(r.subject, r.relation, WORLD.facts[r.subject, r.relation])
        assert not relations.same_answer(r.target, old)


def test_some_are_in_the_first_person():
    assert sum(r.subject == USER for r in world_edits.draw(WORLD, 20, seed=0)) == 2


def test_a_seed_is_a_batch():
    assert world_edits.draw(WORLD, 20, seed=1) == world_edits.draw(WORLD, 20, seed=1)
    assert world_edits.draw(WORLD, 20, seed=1) != world_edits.draw(WORLD, 20, seed=2)


def test_every_consequence_has_its_truth():
    requests = world_edits.draw(WORLD, 100, seed=0)
    assert sum(len(r.portability) for r in requests) > 50
    assert all(len(r.portability) == len(r.portability_answers) for r in requests)


def test_the_truth_of_a_consequence_follows_from_the_world_and_the_edit():
    home = {r.rewrite_prompt: r for r in world_edits.draw(WORLD, 100, seed=0) if r.relation == "home"}
    known = [r for r in home.values() if r.subject != USER and r.target in WORLD.country_of]
    assert known
    for r in known:
        truth = dict(zip(r.portability, r.portability_answers, strict=True))
        assert truth[f"What is the home country of {r.subject}?"] == WORLD.country_of[r.target]


def test_the_world_is_surveyed_in_forms_set_aside():
    survey = world_edits.survey(WORLD, seed=0, n_questions=50)
    trained = {q for slot in WORLD.facts for q in relations.asked(*slot)}
    assert len(survey.questions) == 50
    assert not trained & set(survey.questions)
    assert survey == world_edits.survey(WORLD, seed=0, n_questions=50)


def test_the_names_of_a_kind_are_of_that_kind():
    survey = world_edits.survey(WORLD, seed=0, n_questions=10)
    for kind, names in (("country", WORLD.countries), ("person", WORLD.people), ("company", WORLD.companies)):
        probed, anchored = set(survey.probed_names(kind)), set(survey.anchored_names(kind))
        assert probed | anchored == set(names)
        assert probed
        assert not probed & anchored
