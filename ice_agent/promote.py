"""The gate between a candidate adapter and the users. No torch here: numbers in, verdict out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ice_agent.settings import Guards, SuiteSettings
from memory import Rate, Scores, SuiteScores, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One line of the guard table: what was measured of parent and candidate, and the bar."""

    metric: str
    parent: str
    candidate: str
    bar: str
    reason: str
    """Why it broke, in words; empty when it held."""

    @property
    def held(self) -> bool:
        return not self.reason


def judge(parent: Scores, candidate: Scores, guards: Guards) -> Verdict:
    """Promote only if the edit took and nothing else broke. Every broken guard is named, not the first."""
    reasons = tuple(guard.reason for guard in table(parent, candidate, guards) if guard.reason)
    return Verdict(promote=not reasons, reasons=reasons)


def table(parent: Scores, candidate: Scores, guards: Guards) -> tuple[Guard, ...]:
    """Every guard with its figures, in the order in which they are shown."""
    return (
        _enough(
            "edit success",
            parent.edit_success,
            candidate.edit_success,
            guards.min_edit_success,
            probes=1,
        ),
        _at_least("rephrase", parent.rephrase, candidate.rephrase, guards.min_rephrase),
        _at_least("portability", parent.portability, candidate.portability, guards.min_portability),
        _at_least(
            "locality, same subject",
            parent.locality_subject,
            candidate.locality_subject,
            guards.min_locality_subject,
        ),
        _at_least(
            "locality, same relation",
            parent.locality_relation,
            candidate.locality_relation,
            guards.min_locality_relation,
        ),
        _enough(
            "locality, unrelated",
            parent.locality_unrelated,
            candidate.locality_unrelated,
            guards.min_locality_unrelated,
            guards.min_probes,
            "raise survey_questions",
        ),
        _at_least(
            "locality, unknown stays unknown",
            parent.locality_unknown,
            candidate.locality_unknown,
            guards.min_locality_unknown,
        ),
        _at_least(
            "locality, facts in the prompt",
            parent.locality_context,
            candidate.locality_context,
            guards.min_locality_context,
        ),
        _number_at_most("locality KL", parent.locality_kl, candidate.locality_kl, guards.max_locality_kl),
        _at_least("retention", parent.retention, candidate.retention, guards.min_retention),
        _at_most("false recall", parent.false_recall, candidate.false_recall, guards.max_false_recall),
        _number_at_least(
            "fluency ratio", parent.fluency_ratio, candidate.fluency_ratio, guards.min_fluency_ratio
        ),
        _number_at_most(
            "perplexity ratio",
            parent.perplexity_ratio,
            candidate.perplexity_ratio,
            guards.max_perplexity_ratio,
        ),
        _number_at_most(
            "median perplexity ratio",
            parent.median_perplexity_ratio,
            candidate.median_perplexity_ratio,
            guards.max_median_perplexity_ratio,
        ),
        *(
            guard
            for suite in guards.suites
            for guard in _suite(suite, parent.suite(suite.name), candidate.suite(suite.name))
        ),
    )


def _suite(bars: SuiteSettings, parent: SuiteScores, candidate: SuiteScores) -> Iterator[Guard]:
    """The guards of a suite: of its questions, its texts, or both. One that was not measured has not held."""
    metric, is_measured = f"suite {bars.name}", candidate.right.asked or candidate.n_texts
    more = "add to its file, or lower its min_probes" if is_measured else "a cycle measures it"
    if candidate.right.asked or not is_measured:
        yield _enough(metric, parent.right, candidate.right, bars.min, bars.min_probes, more)
    if candidate.right.asked and bars.max_drop is not None:
        lost = f"{metric}, lost against the root"
        yield _at_most(lost, _lost(parent), _lost(candidate), bars.max_drop)
    if candidate.n_texts:
        metric = f"{metric}, perplexity ratio"
        guard = _number_at_most(metric, parent.perplexity_ratio, candidate.perplexity_ratio, bars.max_ratio)
        few = _too_few(metric, candidate.n_texts, bars.min_probes, more)
        yield replace(guard, reason=few) if few else guard


def _lost(scores: SuiteScores) -> Rate:
    """Answers that the root has right, net of those that only the adapter has."""
    asked = scores.right.asked
    return Rate(hits=max(0, scores.root_right.hits - scores.right.hits), asked=asked)


def _at_least(metric: str, parent: Rate, candidate: Rate, bar: float) -> Guard:
    reason = f"{metric} {candidate} is under {bar}" if candidate.below(bar) else ""
    return _guard(metric, parent, candidate, f">= {bar}", reason)


def _enough(metric: str, parent: Rate, candidate: Rate, bar: float, probes: int, more: str = "") -> Guard:
    """Like _at_least, and a measurement of too few probes is no measurement. `more` says how to get them."""
    guard = _at_least(metric, parent, candidate, bar)
    few = _too_few(metric, candidate.asked, probes, more)
    return replace(guard, reason=few) if few else guard


def _too_few(metric: str, asked: int, probes: int, more: str) -> str:
    """Why so many probes are no evidence; empty when they are."""
    if asked >= probes:
        return ""
    needed = "1 is needed" if probes == 1 else f"{probes} are needed"
    return f"{metric}: not enough evidence: asked {asked}, {needed}{f' ({more})' if more else ''}"


def _at_most(metric: str, parent: Rate, candidate: Rate, bar: float) -> Guard:
    reason = f"{metric} {candidate} is over {bar}" if candidate.above(bar) else ""
    return _guard(metric, parent, candidate, f"<= {bar}", reason)


def _number_at_least(metric: str, parent: float, candidate: float, bar: float) -> Guard:
    # Written so that nan breaks the guard.
    reason = "" if candidate >= bar else f"{metric} {candidate:.3f} is under {bar}"
    return _guard(metric, f"{parent:.3f}", f"{candidate:.3f}", f">= {bar}", reason)


def _number_at_most(metric: str, parent: float, candidate: float, bar: float) -> Guard:
    reason = "" if candidate <= bar else f"{metric} {candidate:.3f} is over {bar}"
    return _guard(metric, f"{parent:.3f}", f"{candidate:.3f}", f"<= {bar}", reason)


def _guard(metric: str, parent: Rate | str, candidate: Rate | str, bar: str, reason: str) -> Guard:
    return Guard(metric=metric, parent=str(parent), candidate=str(candidate), bar=bar, reason=reason)
