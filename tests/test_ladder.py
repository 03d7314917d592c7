"""What follows when a candidate breaks a guard, on made-up batches whose poison is known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ice_agent import edit_request, ladder, probes
from ice_agent.promote import Guard
from memory import Transcript


def guards(*broken: str) -> list[Guard]:
    names = ("edit success", "locality, unrelated", "fluency ratio")
    return [
        Guard(metric=name, parent="1", candidate="1", bar="1", reason=name if name in broken else "")
        for name in names
    ]


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ((), False),
        (("locality, unrelated",), True),
        (("edit success",), False),
        (("edit success", "fluency ratio"), False),
    ],
)
def test_only_an_update_that_took_can_be_too_large(broken, expected):
    assert ladder.may_be_scaled(guards(*broken)) is expected


@pytest.mark.parametrize(
    ("takes", "moves", "tries", "expected"),
    [
        (0, 0.6, 3, 0.5), (0, 0.8, 3, 0.75), (0, 0.9, 3, 0.875), (0, 0.2, 3, 0.125), (0, 0.1, 3, None),
        # A share that loses the edits is too small: what may hold lies above it.
        (0.7, 0.8, 3, 0.75), (0.8, 0.9, 3, 0.875), (0.6, 0.7, 3, 0.625), (0.8, 0.85, 3, None),
    ],
)  # fmt: skip
def test_the_largest_share_that_takes_and_moves_nothing_else_is_found_by_bisection(
    takes, moves, tries, expected
):
    asked = list[float]()

    def measured(alpha):
        asked.append(alpha)
        took = () if alpha >= takes else ("edit success",)
        return guards(*took, *(("fluency ratio",) if alpha > moves else ()))

    assert ladder.largest_alpha(measured, tries) == expected
    assert len(asked) == tries


def test_where_a_share_loses_the_edits_and_still_moves_something_else_no_other_is_measured():
    asked = list[float]()

    def measured(alpha):
        asked.append(alpha)
        return guards("edit success", "fluency ratio")

    assert ladder.largest_alpha(measured, 3) is None
    assert asked == [0.5]
    assert ladder.largest_alpha(measured, 0) is None


@given(
    n=st.integers(1, 24),
    bad=st.sets(st.integers(0, 23)),
    suspects=st.sets(st.integers(0, 23)),
    given_up=st.sets(st.integers(0, 23)),
    tries=st.integers(0, 60),
)
def test_nothing_bad_passes_nothing_good_is_blamed_and_nothing_is_lost(n, bad, suspects, given_up, tries):
    members = [str(i) for i in range(n)]
    poison = {str(i) for i in bad if i < n} or {members[0]}
    asked = []

    def passes(group):
        asked.append(group)
        return not poison & set(group)

    hopeless = poison & {str(i) for i in given_up}
    found = ladder.narrowed(members, {str(i) for i in suspects}, hopeless, passes, tries)
    assert sorted([*found.passed, *found.offenders, *found.untried]) == sorted(members)
    assert not poison & set(found.passed)
    assert set(found.offenders) <= poison
    assert len(asked) <= tries
    if len(asked) < tries:
        assert not found.untried
    if found.passed:
        # The last that passed is the very adapter that is promoted.
        assert list(found.passed) == [group for group in asked if not poison & set(group)][-1]


@pytest.mark.parametrize("n", [2, 3, 16, 50, 100])
def test_one_offender_costs_two_trainings_for_each_halving_at_most(n):
    members = [str(i) for i in range(n)]
    for offender in (members[0], members[n // 2], members[-1]):
        asked = list[list[str]]()

        def passes(group, offender=offender, asked=asked):
            asked.append(group)
            return offender not in group

        found = ladder.narrowed(members, (), (), passes, 100)
        assert found.offenders == (offender,)
        assert len(found.passed) == n - 1
        assert len(asked) <= 2 * math.ceil(math.log2(n))


def test_a_suspect_that_is_to_blame_costs_one_training():
    asked = []

    def passes(group):
        asked.append(group)
        return "b" not in group

    found = ladder.narrowed(["a", "b", "c", "d"], {"b"}, (), passes, 6)
    assert (found.passed, found.offenders, len(asked)) == (("a", "c", "d"), ("b",), 1)


ANNA, OLE, JAN = (
    edit_request.request(subject, "home", (city,), fact_id=subject)
    for subject, city in (("Anna Berg", "Lisbon"), ("Ole Lund", "Rome"), ("Jan Bakker", "Quito"))
)


def asked(kind: str, after: str, expected: str, fact_id: str = "", *, is_hit: bool = False) -> Transcript:
    return Transcript(
        kind=kind, fact_id=fact_id, prompt="?", expected=expected, before="", after=after, is_hit=is_hit
    )


@pytest.mark.parametrize(
    ("transcript", "beyond", "expected"),
    [
        (asked(probes.EDIT_SUCCESS, "Oslo", "Rome", "Ole Lund"), (), {OLE}),
        (asked(probes.REPHRASE, "Oslo", "Rome", "Ole Lund"), (), {OLE}),
        (asked(probes.EDIT_SUCCESS, "Rome", "Rome", "Ole Lund", is_hit=True), (), set()),
        (asked(probes.LOCALITY_UNRELATED, "quito.", "Peru"), (), {JAN}),
        (asked(f"{probes.SUITE}house-rules", "Quito", "Peru"), (), {JAN}),
        (asked(probes.LOCALITY_UNRELATED, "Bogota", "Peru"), (), set()),
        # Where this is no false recall, the root says so, too.
        (asked(probes.FALSE_RECALL, "Quito", "Quito"), (), set()),
        (asked(probes.LOCALITY_UNRELATED, "Quito", "Quito", is_hit=True), ("Anna Berg",), {ANNA}),
    ],
)
def test_suspect_is_what_was_missed_and_what_is_now_said_where_something_else_was_asked(
    transcript, beyond, expected
):
    found = ladder.suspicion([ANNA, OLE, JAN], [transcript], beyond)
    assert found.suspects == {(request.subject, request.relation) for request in expected}
    assert not found.hopeless


def test_hopeless_is_what_the_model_fails_from_its_prompt_and_was_not_taught_either():
    missed = [asked(probes.EDIT_SUCCESS, "Oslo", "?", fact_id) for fact_id in ("Ole Lund", "Jan Bakker")]
    found = ladder.suspicion([ANNA, OLE, JAN], missed, ("Anna Berg", "Ole Lund"))
    assert found.hopeless == {("Ole Lund", "home")}
    assert len(found.suspects) == 3


def test_what_is_hopeless_is_to_blame_untried_and_one_try_settles_the_rest():
    tried = []

    def passes(group):
        tried.append(sorted(group))
        return not {"b", "d"} & set(group)

    found = ladder.narrowed(["a", "b", "c", "d", "e"], {"b", "d"}, {"b", "d"}, passes, 6)
    assert (found.passed, found.offenders, tried) == (("a", "c", "e"), ("b", "d"), [["a", "c", "e"]])


def test_a_batch_of_nothing_but_the_hopeless_costs_no_try():
    found = ladder.narrowed(["a", "b"], {"a", "b"}, {"a", "b"}, lambda group: pytest.fail("it was tried"), 6)
    assert (found.passed, found.offenders) == ((), ("a", "b"))


def test_a_batch_of_one_is_its_own_offender():
    found = ladder.narrowed(["a"], (), (), lambda group: pytest.fail("it was tried"), 6)
    assert found.offenders == ("a",)
