"""What follows when a candidate breaks a guard, on made-up batches whose poison is known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ice_agent import ladder
from ice_agent.promote import Guard


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
    ("limit", "tries", "expected"),
    [(0.6, 3, 0.5), (0.8, 3, 0.75), (0.9, 3, 0.875), (0.2, 3, 0.125), (0.1, 3, None), (1, 0, None)],
)
def test_the_largest_share_that_passes_is_found_by_bisection(limit, tries, expected):
    asked = list[float]()

    def passes(alpha):
        asked.append(alpha)
        return alpha <= limit

    assert ladder.largest_alpha(passes, tries) == expected
    assert len(asked) == tries


@given(
    n=st.integers(1, 24),
    bad=st.sets(st.integers(0, 23)),
    suspects=st.sets(st.integers(0, 23)),
    tries=st.integers(0, 60),
)
def test_nothing_bad_passes_nothing_good_is_blamed_and_nothing_is_lost(n, bad, suspects, tries):
    members = [str(i) for i in range(n)]
    poison = {str(i) for i in bad if i < n} or {members[0]}
    asked = []

    def passes(group):
        asked.append(group)
        return not poison & set(group)

    found = ladder.narrowed(members, {str(i) for i in suspects}, passes, tries)
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

        found = ladder.narrowed(members, (), passes, 100)
        assert found.offenders == (offender,)
        assert len(found.passed) == n - 1
        assert len(asked) <= 2 * math.ceil(math.log2(n))


def test_a_suspect_that_is_to_blame_costs_one_training():
    asked = []

    def passes(group):
        asked.append(group)
        return "b" not in group

    found = ladder.narrowed(["a", "b", "c", "d"], {"b"}, passes, 6)
    assert (found.passed, found.offenders, len(asked)) == (("a", "c", "d"), ("b",), 1)


def test_a_batch_of_one_is_its_own_offender():
    found = ladder.narrowed(["a"], (), lambda group: pytest.fail("it was tried"), 6)
    assert found.offenders == ("a",)
