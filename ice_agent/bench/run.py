"""The benchmark's run: for each size and seed, edit one batch from the root, score it, add the counts up."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

from ice_agent import evaluate, ice, survey
from ice_agent.bench import world_edits
from ice_agent.config import Config
from ice_agent.model import EditableModel
from ice_agent.reference import world as w
from memory import Evaluation, Progress, Rate, Scores

NOT_COUNTED = ("fluency_ratio", "perplexity_ratio", "median_perplexity_ratio", "locality_kl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One batch of one seed."""

    facts: int
    seed: int
    evaluation: Evaluation
    edit: ice.EditReport
    oracle_right: Rate
    root_wrong: Rate
    seconds: float
    """Edit and guards together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A mean with its interval: Wilson's 95% for counts, lowest and highest seed for ratios."""

    mean: float
    low: float
    high: float
    hits: int = 0
    asked: int = 0


def run(
    model: EditableModel,
    config: Config,
    *,
    sizes: Sequence[int],
    seeds: Sequence[int],
    progress: Progress = lambda *_: None,
) -> list[Run]:
    """Every size with every seed, from the root each time."""
    world = w.build()
    texts = world_edits.texts(model, world)
    model.create_root("bench-root")
    try:
        return [_one(model, config, world, texts, facts, seed, progress) for facts in sizes for seed in seeds]
    finally:
        model.forget("bench")
        model.forget("bench-root")


def figures(runs: Sequence[Run]) -> dict[str, Figure]:
    """The metrics over all seeds of one size."""
    scores = [r.evaluation.scores for r in runs]
    rates = {
        f.name: [getattr(s, f.name) for s in scores] for f in fields(Scores) if f.name not in NOT_COUNTED
    }
    found = {name: _share(values) for name, values in rates.items()}
    found |= {name: _spread([getattr(s, name) for s in scores]) for name in NOT_COUNTED}
    found["oracle_right"] = _share([r.oracle_right for r in runs])
    found["root_wrong"] = _share([r.root_wrong for r in runs])
    found["seconds_per_fact"] = _spread([r.edit.seconds / r.facts for r in runs])
    found["cycle_seconds"] = _spread([r.seconds for r in runs])
    found["peak_mb"] = _spread([peak_mb()])
    return found


def wilson(hits: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share, 95% by default; nan when nothing was asked."""
    if not asked:
        return math.nan, math.nan
    share, square = hits / asked, z * z
    middle = (share + square / (2 * asked)) / (1 + square / asked)
    half = z * math.sqrt(share * (1 - share) / asked + square / (4 * asked * asked)) / (1 + square / asked)
    return max(0.0, middle - half), min(1.0, middle + half)


def peak_mb() -> float:
    """The process's largest memory so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _one(
    model: EditableModel,
    config: Config,
    world: w.World,
    texts: list[list[int]],
    facts: int,
    seed: int,
    progress: Progress,
) -> Run:
    started = time.monotonic()
    requests = world_edits.draw(world, facts, seed)
    settings = config.edit.model_copy(update={"seed": seed})
    material = survey.take(
        model, None, n_texts=settings.survey_texts, n_questions=settings.survey_questions, seed=seed
    )
    report = ice.edit(
        model, root_id="bench-root", parent_id="bench-root", candidate_id="bench", requests=requests,
        survey=material, settings=settings, progress=progress,
    )  # fmt: skip
    suite = evaluate.prepare(
        model,
        root_id="bench-root",
        requests=requests,
        survey=world_edits.survey(world, seed),
        texts=texts,
        seed=seed,
    )
    evaluation = evaluate.score(model, "bench", suite)
    model.forget("bench")
    return Run(
        facts=facts, seed=seed, evaluation=evaluation, edit=report, oracle_right=suite.oracle_right,
        root_wrong=suite.root_wrong, seconds=time.monotonic() - started,
    )  # fmt: skip


def _share(rates: Sequence[Rate]) -> Figure:
    hits, asked = sum(r.hits for r in rates), sum(r.asked for r in rates)
    low, high = wilson(hits, asked)
    return Figure(mean=hits / asked if asked else math.nan, low=low, high=high, hits=hits, asked=asked)


def _spread(values: Sequence[float]) -> Figure:
    return Figure(mean=sum(values) / len(values), low=min(values), high=max(values))
