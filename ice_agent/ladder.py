"""What to do with a batch whose candidate broke a guard: scale it down, or find what in it must stay out.

Decisions only: what is tried, and what follows from how it went. Whoever calls trains and measures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ice_agent import probes, relations
from ice_agent.promote import Guard
from memory import EditRequest, Transcript

Slot = tuple[str, str]

OF_THE_EDITS = frozenset({"edit success", "rephrase", "portability"})
"""Guards that ask whether the edit took: a smaller update takes less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """How a batch was taken apart: what passed together, what broke a guard, and what no try was left for."""

    passed: tuple[str, ...]
    offenders: tuple[str, ...]
    untried: tuple[str, ...]


def may_be_scaled(guards: Sequence[Guard]) -> bool:
    """Whether a smaller update could hold: it broke something, and none of it was the edits themselves."""
    broken = {guard.metric for guard in guards if not guard.held}
    return bool(broken) and not broken & OF_THE_EDITS


def largest_alpha(measured: Callable[[float], Sequence[Guard]], tries: int) -> float | None:
    """The largest of `tries` shares of an update that holds every guard, by bisection in (0, 1); else None.

    A share that loses the edits is too small, one that moves something else is too large, and where one does
    both, no share is right. That what holds at one share holds below it is not assumed: only a share that was
    measured is returned.
    """
    low, high, best = 0.0, 1.0, None
    for _ in range(tries):
        alpha = (low + high) / 2
        broken = {guard.metric for guard in measured(alpha) if not guard.held}
        if not broken:
            best = alpha
        if broken & OF_THE_EDITS and broken - OF_THE_EDITS:
            break
        if broken - OF_THE_EDITS:
            high = alpha
        else:
            low = alpha
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Slots that look to blame for a broken guard, by what the candidate answered."""

    suspects: frozenset[Slot]
    """Missed, failed by the model even with the fact in its prompt, or said in answer to something else."""
    hopeless: frozenset[Slot]
    """Failed with the fact in the prompt, and missed by the candidate that was taught it: no try helps."""


def suspicion(
    requests: Sequence[EditRequest], transcripts: Sequence[Transcript], beyond_context: Collection[str]
) -> Suspicion:
    """What the answers of a candidate say of the slots that it was taught."""
    wrong = [t for t in transcripts if not t.is_hit]
    unanswered = {t.fact_id for t in wrong if t.kind == probes.EDIT_SUCCESS}
    missed = unanswered | {t.fact_id for t in wrong if t.kind == probes.REPHRASE}
    astray = {relations.normal(t.after) for t in wrong if _asks_of_something_else(t.kind)}
    suspects = [
        r
        for r in requests
        if r.fact_id in missed.union(beyond_context)
        or not astray.isdisjoint(map(relations.normal, (r.target, *r.aliases)))
    ]
    hopeless = [r for r in suspects if r.fact_id in unanswered.intersection(beyond_context)]
    return Suspicion(
        suspects=frozenset((r.subject, r.relation) for r in suspects),
        hopeless=frozenset((r.subject, r.relation) for r in hopeless),
    )


def _asks_of_something_else(kind: str) -> bool:
    return kind in (*probes.LOCALITY, probes.LOCALITY_CONTEXT) or kind.startswith(probes.SUITE)


def narrowed(
    members: Sequence[str],
    suspects: Collection[str],
    hopeless: Collection[str],
    passes: Callable[[Collection[str]], bool],
    tries: int,
) -> Narrowed:
    """Find what of a batch passes together, by at most `tries` trainings: the whole was tried.

    Group testing by halves: a group is tried on top of what passed so far, and taken apart if that fails.
    When its first half passes, the second is to blame, for the two together were just seen to fail: it is
    taken apart untried. `suspects` stand last, so that one try often settles all the others. What is
    `hopeless` is to blame untried.
    """
    search = _Search(passes, tries, suspects)
    search.offenders += [member for member in members if member in hopeless]
    rest = [member for member in members if member not in hopeless]
    if len(rest) == len(members):
        search.take_apart(rest)
    elif rest:
        search.add(rest, is_to_blame=False)
    return Narrowed(
        passed=tuple(search.passed), offenders=tuple(search.offenders), untried=tuple(search.untried)
    )


class _Search:
    """What group testing knows so far."""

    def __init__(
        self, passes: Callable[[Collection[str]], bool], tries: int, suspects: Collection[str]
    ) -> None:
        self._passes, self._tries, self._suspects = passes, tries, suspects
        self.passed, self.offenders, self.untried = list[str](), list[str](), list[str]()

    def take_apart(self, group: Sequence[str]) -> None:
        """A group that is known to fail on top of what passed."""
        if len(group) == 1:
            self.offenders += group
            return
        before = len(self.passed)
        first, second = self._parts(group)
        self.add(first, is_to_blame=False)
        self.add(second, is_to_blame=len(self.passed) - before == len(first))

    def add(self, group: Sequence[str], *, is_to_blame: bool) -> None:
        """A group on top of what passed; one that is to blame fails untried."""
        if not is_to_blame:
            if self._tries == 0:
                self.untried += group
                return
            self._tries -= 1
            if self._passes([*self.passed, *group]):
                self.passed += group
                return
        self.take_apart(group)

    def _parts(self, group: Sequence[str]) -> tuple[list[str], list[str]]:
        """What is not suspected and what is; where that parts nothing, two halves."""
        clean = [member for member in group if member not in self._suspects]
        suspected = [member for member in group if member in self._suspects]
        if clean and suspected:
            return clean, suspected
        middle = (len(group) + 1) // 2
        return list(group[:middle]), list(group[middle:])
