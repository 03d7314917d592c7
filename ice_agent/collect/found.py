"""What was found in a clause, and what is left of it where an utterance says a thing twice or corrects it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memory import CandidateFact, Cardinality


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A relation with its object, before the clause around it is known."""

    subject: str
    relation: str
    object: str
    retracts: bool = False
    many: bool = False
    in_passing: bool = False
    """ "My sister Anna" says who that is, beside what the clause is about: its dates are not of this."""


def told_once(found: list[Found]) -> list[Found]:
    """Without what is said in passing and again in earnest, or more closely: "We lost our cat Rex"."""
    earnest = {(one.subject, one.relation, one.object) for one in found if not one.in_passing}
    # "My parents are Greta, my mother, and Johan, my father" says of each which one it is.
    closer = {
        (one.subject, one.object) for one in found if one.relation in ("mother", "father", "son", "daughter")
    }
    return [
        one
        for one in found
        if not (one.in_passing and (one.subject, one.relation, one.object) in earnest)
        and not (one.relation in ("parent", "child") and (one.subject, one.object) in closer)
    ]


def without_repeats(found: list[CandidateFact]) -> Iterator[CandidateFact]:
    # "She moved out of Leeds, she doesn't live there any more": the second half repeats the first, vaguely.
    ended = {_slot(one) for one in found if one.retracts and one.object}
    found = [one for one in found if one.object or not one.retracts or _slot(one) not in ended]
    for position, candidate in enumerate(found):
        later = found[position + 1 :]
        is_repeated = any(_same(candidate, other) for other in found[:position]) or any(
            _overrules(other, candidate) and not _same(other, candidate) for other in later
        )
        # "My colleague Bettina has left, she's no colleague any more" names her only to say so.
        is_taken_back = (
            not candidate.retracts
            and not candidate.valid_until
            and any(
                other.retracts and _slot(other) == _slot(candidate) and other.object == candidate.object
                for other in later
            )
        )
        # "I no longer live in Lisbon, I live in Porto" is one change of one slot, in either order.
        is_replaced = candidate.retracts and any(_replaces(other, candidate) for other in found)
        if not (is_repeated or is_taken_back or is_replaced):
            yield candidate


def _same(one: CandidateFact, other: CandidateFact) -> bool:
    return _told(one) == _told(other)


def _told(candidate: CandidateFact) -> tuple[object, ...]:
    """All of a fact but where it stands."""
    dates = (candidate.valid_from, candidate.valid_until)
    return (*_slot(candidate), candidate.object, candidate.retracts, *dates)


def _overrules(later: CandidateFact, earlier: CandidateFact) -> bool:
    one = later.cardinality is Cardinality.ONE and earlier.cardinality is Cardinality.ONE
    # "I worked at Acme until 2022 and have been with Boots since" tells of both.
    return (
        one
        and (earlier.valid_until is None or later.valid_until is not None)
        and _slot(later) == _slot(earlier)
        and later.retracts == earlier.retracts
    )


def _replaces(stated: CandidateFact, retracted: CandidateFact) -> bool:
    return not stated.retracts and stated.cardinality is Cardinality.ONE and _slot(stated) == _slot(retracted)


def _slot(candidate: CandidateFact) -> tuple[str, str]:
    return (candidate.subject, candidate.relation)
