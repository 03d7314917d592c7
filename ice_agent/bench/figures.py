"""The figures of a benchmark: counts of all seeds together, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ice_agent.bench.run import Run, Step, retention, total
from memory import Rate, Scores

AFTER_EACH = ("edit_success", "rephrase", "portability")
"""Measured of each batch right after it; everything else that is counted, after the last one."""
RATIOS = ("fluency_ratio", "perplexity_ratio", "median_perplexity_ratio", "locality_kl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A mean with its interval: Wilson's 95% for counts, lowest and highest seed for everything else."""

    mean: float
    low: float
    high: float
    hits: int = 0
    asked: int = 0


def figures(runs: Sequence[Run]) -> dict[str, Figure]:
    """All metrics over the seeds of one method and size."""
    last = [run.steps[-1] for run in runs]
    counted = [name for name in Scores.metrics() if name not in (*AFTER_EACH, *RATIOS, "retention")]
    found = {
        name: _share(getattr(step.scores, name) for run in runs for step in run.steps) for name in AFTER_EACH
    }
    found |= {name: _share(getattr(step.scores, name) for step in last) for name in counted}
    found["retention"] = _share(map(retention, last))
    found["retention_worst_batch"] = _spread(
        [min(rate.share for rate in step.retained[:-1]) for step in last if len(step.retained) > 1]
    )
    found["retention_rephrase"] = _share(total(step.retained_rephrases[:-1]) for step in last)
    found |= {name: _spread([getattr(step.scores, name) for step in last]) for name in RATIOS}
    found["oracle_right"] = _share(run.oracle_right for run in runs)
    found["root_wrong"] = _share(run.root_wrong for run in runs)
    found["batches_done"] = _spread([float(len(run.steps)) for run in runs])
    return found | _costs(runs)


def _costs(runs: Sequence[Run]) -> dict[str, Figure]:
    def spread(value: Callable[[Run], float]) -> Figure:
        return _spread([value(run) for run in runs])

    def seconds(run: Run) -> float:
        return sum(step.seconds for step in run.steps)

    def tokens(run: Run) -> float:
        return sum(step.tokens for step in run.steps)

    def training(run: Run) -> float:
        return sum(step.stages.get("training", 0.0) for step in run.steps)

    return {
        "seconds_per_fact": spread(lambda run: seconds(run) / (run.facts * len(run.steps))),
        "batch_seconds": spread(
            lambda run: sum(s.seconds + s.measure_seconds for s in run.steps) / len(run.steps)
        ),
        "tokens_per_second": spread(lambda run: tokens(run) / training(run) if training(run) else math.nan),
        "peak_mb": spread(lambda run: max(step.peak_mb for step in run.steps)),
        "edit_mb": spread(lambda run: max(step.peak_mb - step.idle_mb for step in run.steps)),
    }


def stage_shares(runs: Sequence[Run]) -> dict[str, float]:
    """The share of an edit's time that each of its stages takes."""
    steps: list[Step] = [step for run in runs for step in run.steps]
    stages = dict.fromkeys(stage for step in steps for stage in step.stages)
    whole = sum(sum(step.stages.values()) for step in steps)
    return {stage: sum(step.stages[stage] for step in steps) / whole for stage in stages}


def wilson(hits: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share, 95% by default; nan when nothing was asked."""
    if not asked:
        return math.nan, math.nan
    share, square = hits / asked, z * z
    middle = (share + square / (2 * asked)) / (1 + square / asked)
    half = z * math.sqrt(share * (1 - share) / asked + square / (4 * asked * asked)) / (1 + square / asked)
    return max(0.0, middle - half), min(1.0, middle + half)


def _share(rates: Iterable[Rate]) -> Figure:
    whole = total(rates)
    low, high = wilson(whole.hits, whole.asked)
    mean = whole.hits / whole.asked if whole.asked else math.nan
    return Figure(mean=mean, low=low, high=high, hits=whole.hits, asked=whole.asked)


def _spread(values: Sequence[float]) -> Figure:
    if not values:
        return Figure(mean=math.nan, low=math.nan, high=math.nan)
    return Figure(mean=sum(values) / len(values), low=min(values), high=max(values))
