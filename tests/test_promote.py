from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ice_agent.promote import judge, table
from ice_agent.settings import Guards, SuiteSettings
from memory import NOT_ASKED, Rate, Scores, SuiteScores

GUARDS = Guards(min_portability=0.5)
PERFECT = Rate(hits=100, asked=100)
_PERFECT: dict[str, Any] = {field.name: PERFECT for field in fields(Scores) if field.type == "Rate"}
GOOD = replace(Scores(**_PERFECT), false_recall=Rate(hits=0, asked=100))
RATES = tuple(field.name for field in fields(Scores) if field.type == "Rate")
RATIOS = tuple(field.name for field in fields(Scores) if field.type == "float")
LESS_IS_BETTER = {"false_recall", "perplexity_ratio", "median_perplexity_ratio", "locality_kl"}

# Each metric with a value that breaks its guard, and the words that name it.
BROKEN: dict[str, tuple[Any, str]] = {
    "edit_success": (Rate(hits=80, asked=100), "edit success 0.800 (80/100) is under 0.9"),
    "rephrase": (Rate(hits=79, asked=100), "rephrase 0.790 (79/100) is under 0.8"),
    "portability": (Rate(hits=49, asked=100), "portability 0.490 (49/100) is under 0.5"),
    "locality_subject": (Rate(hits=7, asked=10), "locality, same subject 0.700 (7/10) is under 0.8"),
    "locality_relation": (Rate(hits=7, asked=10), "locality, same relation 0.700 (7/10) is under 0.8"),
    "locality_unrelated": (Rate(hits=94, asked=100), "locality, unrelated 0.940 (94/100) is under 0.95"),
    "locality_unknown": (Rate(hits=8, asked=10), "locality, unknown stays unknown 0.800 (8/10) is under 0.9"),
    "locality_context": (Rate(hits=8, asked=10), "locality, facts in the prompt 0.800 (8/10) is under 0.85"),
    "locality_kl": (0.11, "locality KL 0.110 is over 0.1"),
    "retention": (Rate(hits=8, asked=10), "retention 0.800 (8/10) is under 0.9"),
    "false_recall": (Rate(hits=3, asked=100), "false recall 0.030 (3/100) is over 0.02"),
    "fluency_ratio": (0.94, "fluency ratio 0.940 is under 0.95"),
    "perplexity_ratio": (1.2, "perplexity ratio 1.200 is over 1.1"),
    "median_perplexity_ratio": (1.11, "median perplexity ratio 1.110 is over 1.1"),
}


def but(metric: str, value: Any) -> Scores:
    """Good scores but for one."""
    changed: dict[str, Any] = {metric: value}
    return replace(GOOD, **changed)


def test_a_candidate_that_holds_every_guard_is_promoted():
    verdict = judge(GOOD, GOOD, GUARDS)
    assert verdict.promote
    assert verdict.reasons == ()


def test_every_metric_has_a_guard():
    assert BROKEN.keys() == set(Scores.metrics())
    assert len(table(GOOD, GOOD, GUARDS)) == len(Scores.metrics())


@pytest.mark.parametrize("metric", BROKEN)
def test_a_broken_guard_is_named_with_its_counts_and_its_bar(metric):
    value, reason = BROKEN[metric]
    verdict = judge(GOOD, but(metric, value), GUARDS)
    assert not verdict.promote
    assert verdict.reasons == (reason,)


def test_all_broken_guards_are_named_and_not_just_the_first():
    values: dict[str, Any] = {metric: value for metric, (value, _) in BROKEN.items()}
    worst = replace(GOOD, **values)
    assert judge(GOOD, worst, GUARDS).reasons == tuple(reason for _, reason in BROKEN.values())


def test_counts_are_compared_so_that_exactly_the_bar_is_enough():
    # In floats, 1.0 - 0.98 > 0.02, and 0.07 * 100 > 7.
    for hits, asked, bar in ((98, 100, 0.98), (49, 50, 0.98), (7, 100, 0.07), (29, 100, 0.29)):
        exactly = replace(GOOD, edit_success=Rate(hits=hits, asked=asked))
        assert judge(GOOD, exactly, Guards(min_edit_success=bar)).promote
        one_less = replace(GOOD, edit_success=Rate(hits=hits - 1, asked=asked))
        assert not judge(GOOD, one_less, Guards(min_edit_success=bar)).promote


def test_exactly_the_bar_of_false_recall_is_not_over_it():
    exactly = replace(GOOD, false_recall=Rate(hits=2, asked=100))
    assert judge(GOOD, exactly, Guards(max_false_recall=0.02)).promote


@pytest.mark.parametrize("metric", RATIOS)
def test_a_ratio_that_is_no_number_breaks_its_guard(metric):
    verdict = judge(GOOD, but(metric, math.nan), GUARDS)
    assert len(verdict.reasons) == 1
    assert "nan" in verdict.reasons[0]


def test_too_few_unrelated_probes_are_no_measurement():
    few = replace(GOOD, locality_unrelated=Rate(hits=19, asked=19))
    (reason,) = judge(GOOD, few, GUARDS).reasons
    assert reason == (
        "locality, unrelated: not enough evidence: asked 19, 20 are needed (raise survey_questions)"
    )


@pytest.mark.parametrize("metric", [m for m in RATES if m not in ("edit_success", "locality_unrelated")])
def test_what_was_not_asked_breaks_nothing(metric):
    assert judge(GOOD, but(metric, NOT_ASKED), GUARDS).promote


def test_an_edit_that_was_not_measured_has_not_succeeded():
    verdict = judge(GOOD, but("edit_success", NOT_ASKED), GUARDS)
    assert verdict.reasons == ("edit success: not enough evidence: asked 0, 1 is needed",)


def test_the_table_shows_parent_candidate_and_bar_of_each_guard():
    parent = replace(GOOD, edit_success=Rate(hits=0, asked=100))
    row = table(parent, GOOD, GUARDS)[0]
    assert (row.metric, row.parent, row.candidate) == ("edit success", "0.000 (0/100)", "1.000 (100/100)")
    assert (row.bar, row.held) == (">= 0.9", True)


# -- suites that people bring --------------------------------------------------------------------------------

PARENT = SuiteScores(name="manners", right=PERFECT, root_right=PERFECT, n_texts=5)


def judged(bars: dict[str, Any], **measured: Any) -> tuple[str, ...]:
    """The reasons against a candidate of which a suite with these bars measured this."""
    guards = Guards(suites=(SuiteSettings.model_validate({"name": "manners", "path": "m.jsonl"} | bars),))
    found = SuiteScores(name="manners", **measured)
    parent, candidate = (replace(GOOD, suites=(s,)) for s in (PARENT, found))
    return judge(parent, candidate, guards).reasons


@pytest.mark.parametrize(
    ("bars", "measured", "reasons"),
    [
        ({}, {"right": Rate(hits=9, asked=10)}, ()),
        ({}, {"right": Rate(hits=8, asked=10)}, ("suite manners 0.800 (8/10) is under 0.9",)),
        ({"min": 0.5}, {"right": Rate(hits=8, asked=10)}, ()),
        ({}, {"n_texts": 3, "perplexity_ratio": 1.1}, ()),
        (
            {},
            {"n_texts": 3, "perplexity_ratio": 1.2},
            ("suite manners, perplexity ratio 1.200 is over 1.1",),
        ),
        ({"max_ratio": 1.5}, {"n_texts": 3, "perplexity_ratio": 1.2}, ()),
        (
            {},
            {"n_texts": 3, "perplexity_ratio": math.nan},
            ("suite manners, perplexity ratio nan is over 1.1",),
        ),
        (
            {"min_probes": 11},
            {"right": Rate(hits=10, asked=10), "n_texts": 3},
            (
                "suite manners: not enough evidence: asked 10, 11 are needed "
                "(add to its file, or lower its min_probes)",
                "suite manners, perplexity ratio: not enough evidence: asked 3, 11 are needed "
                "(add to its file, or lower its min_probes)",
            ),
        ),
        (
            {},
            {"right": Rate(hits=1, asked=2), "n_texts": 1, "perplexity_ratio": 2.0},
            (
                "suite manners 0.500 (1/2) is under 0.9",
                "suite manners, perplexity ratio 2.000 is over 1.1",
            ),
        ),
    ],
)
def test_a_suite_is_judged_by_its_own_bars(bars, measured, reasons):
    assert judged(bars, **measured) == reasons


@pytest.mark.parametrize(
    ("hits", "reasons"),
    [
        (80, ()),
        (49, ()),
        (48, ()),
        (47, ("suite manners, lost against the root 0.030 (3/100) is over 0.02",)),
    ],
)
def test_a_drop_is_counted_from_what_the_root_has_right(hits, reasons):
    root, candidate = Rate(hits=50, asked=100), Rate(hits=hits, asked=100)
    assert judged({"min": 0.0, "max_drop": 0.02}, right=candidate, root_right=root) == reasons
    assert judged({"min": 0.0}, right=Rate(hits=0, asked=100), root_right=root) == ()


def test_a_suite_that_was_not_measured_is_no_evidence():
    guards = Guards(suites=(SuiteSettings.model_validate({"name": "manners", "path": "m.jsonl"}),))
    assert judge(GOOD, GOOD, guards).reasons == (
        "suite manners: not enough evidence: asked 0, 1 is needed (a cycle measures it)",
    )


def test_a_suite_that_no_bar_stands_for_any_more_breaks_nothing():
    gone = SuiteScores(name="gone", right=Rate(hits=0, asked=9))
    assert judge(GOOD, replace(GOOD, suites=(gone,)), GUARDS).promote


def test_questions_and_texts_of_a_suite_have_a_line_each_in_the_table():
    guards = Guards(suites=(SuiteSettings.model_validate({"name": "manners", "path": "m", "max_drop": 0.1}),))
    scores = replace(GOOD, suites=(PARENT,))
    shown = [(g.metric, g.candidate, g.bar) for g in table(scores, scores, guards)[len(Scores.metrics()) :]]
    assert shown == [
        ("suite manners", "1.000 (100/100)", ">= 0.9"),
        ("suite manners, lost against the root", "0.000 (0/100)", "<= 0.1"),
        ("suite manners, perplexity ratio", "1.000", "<= 1.1"),
    ]


rates = st.integers(0, 40).flatmap(lambda n: st.integers(0, n).map(lambda hits: Rate(hits=hits, asked=n)))
shares = st.floats(0, 1)
ratios = st.floats(0, 3)


@st.composite
def scores(draw):
    measured = {m: draw(rates) for m in RATES} | {m: draw(ratios) for m in RATIOS}
    return Scores(**measured, suites=tuple(draw(suite(name)) for name in draw(names)))


names = st.sampled_from([(), ("manners",), ("manners", "maths")])


@st.composite
def suite(draw, name):
    right = draw(rates)
    root_right = Rate(hits=draw(st.integers(0, right.asked)), asked=right.asked)
    return SuiteScores(
        name=name,
        right=right,
        root_right=root_right,
        n_texts=draw(st.integers(0, 9)),
        perplexity_ratio=draw(ratios),
    )


@st.composite
def guards(draw):
    shares_of = {f: draw(shares) for f in Guards.model_fields if f.startswith("min_") and "ratio" not in f}
    shares_of["min_probes"] = draw(st.integers(1, 20))
    suites = tuple(
        SuiteSettings(
            name=name,
            path=Path("any.jsonl"),
            min=draw(shares),
            max_drop=draw(st.none() | shares),
            max_ratio=draw(st.floats(0.1, 3)),
            min_probes=draw(st.integers(1, 20)),
        )
        for name in draw(names)
    )
    return Guards(**shares_of, suites=suites, max_false_recall=draw(shares), min_fluency_ratio=draw(ratios))


@given(scores(), scores(), guards(), st.sampled_from(Scores.metrics()), st.data())
def test_improving_a_metric_never_breaks_a_guard_that_held(parent, candidate, bars, metric, data):
    improved = replace(candidate, **{metric: data.draw(better(metric, getattr(candidate, metric)))})
    assert broken(parent, improved, bars) <= broken(parent, candidate, bars)


@given(scores(), scores(), guards(), st.data())
def test_doing_better_on_a_suite_never_breaks_a_guard_that_held(parent, candidate, bars, data):
    improved = replace(
        candidate,
        suites=tuple(
            replace(
                s,
                right=data.draw(better("right", s.right)),
                perplexity_ratio=data.draw(st.floats(0, s.perplexity_ratio)),
            )
            for s in candidate.suites
        ),
    )
    assert broken(parent, improved, bars) <= broken(parent, candidate, bars)


@given(scores(), scores(), guards())
def test_a_candidate_is_promoted_exactly_when_no_guard_is_broken(parent, candidate, bars):
    assert judge(parent, candidate, bars).promote == (not broken(parent, candidate, bars))


def broken(parent, candidate, bars):
    return {guard.metric for guard in table(parent, candidate, bars) if not guard.held}


def better(metric, value):
    if isinstance(value, Rate):
        hits = (
            st.integers(0, value.hits) if metric in LESS_IS_BETTER else st.integers(value.hits, value.asked)
        )
        return hits.map(lambda n: Rate(hits=n, asked=value.asked))
    return st.floats(0, value) if metric in LESS_IS_BETTER else st.floats(value, 10)
