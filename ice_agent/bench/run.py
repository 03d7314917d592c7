"""The benchmark's run: every method learns the same batches from the root and is scored on the same suite."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from ice_agent import evaluate, survey
from ice_agent.bench import world_edits
from ice_agent.bench.methods import METHODS, TUNED, Task
from ice_agent.config import Config
from ice_agent.errors import ConfigError
from ice_agent.model import REFERENCE, EditableModel
from ice_agent.reference import world as w
from memory import Evaluation, Progress, Rate, Scores

ROOT = "bench-root"
NOT_COUNTED = ("fluency_ratio", "perplexity_ratio", "median_perplexity_ratio", "locality_kl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One method on one batch of one seed."""

    method: str
    facts: int
    seed: int
    evaluation: Evaluation
    steps: int
    oracle_right: Rate
    root_wrong: Rate
    edit_seconds: float
    seconds: float
    """Edit and guards together, survey included."""


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
    methods: Sequence[str],
    sizes: Sequence[int],
    seeds: Sequence[int],
    progress: Progress = lambda *_: None,
) -> list[Run]:
    """Every size with every seed and method, from the root each time. Raises ConfigError for others."""
    if unknown := [name for name in methods if name not in METHODS]:
        raise ConfigError(f"no method {', '.join(unknown)} (there are {', '.join(METHODS)})")
    world = w.build()
    texts = world_edits.texts(model, world)
    model.create_root(ROOT)
    try:
        return [
            done
            for facts in sizes
            for seed in seeds
            for done in _batch(model, config, world, texts, facts, seed, methods, progress)
        ]
    finally:
        model.forget(ROOT)


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
    found["seconds_per_fact"] = _spread([r.edit_seconds / r.facts for r in runs])
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


def _batch(
    model: EditableModel,
    config: Config,
    world: w.World,
    texts: list[list[int]],
    facts: int,
    seed: int,
    methods: Sequence[str],
    progress: Progress,
) -> Iterator[Run]:
    """One batch by each method. What all share is made once; its time counts for each of them."""
    started = time.monotonic()
    requests = world_edits.draw(world, facts, seed)
    settings = config.edit.model_copy(update={"seed": seed})
    material = survey.take(
        model, None, n_texts=settings.survey_texts, n_questions=settings.survey_questions, seed=seed
    )
    suite = evaluate.prepare(
        model, root_id=ROOT, requests=requests, survey=world_edits.survey(world, seed), texts=texts, seed=seed
    )
    shared = time.monotonic() - started
    tuned = TUNED if config.model.name == REFERENCE else {}
    for name in methods:
        task = Task(
            model=model, root_id=ROOT, requests=requests, survey=material, settings=settings,
            progress=progress, **tuned.get(name, {}),
        )  # fmt: skip
        started = time.monotonic()
        with METHODS[name](task) as edited:
            edit_seconds = time.monotonic() - started
            evaluation = evaluate.score(
                model,
                edited.adapter_id,
                suite,
                context=lambda probe, edited=edited: edited.context(probe.question, probe.fact_id),  # type: ignore[misc]
            )
        yield Run(
            method=name, facts=facts, seed=seed, evaluation=evaluation, steps=edited.steps,
            oracle_right=suite.oracle_right, root_wrong=suite.root_wrong, edit_seconds=edit_seconds,
            seconds=shared + time.monotonic() - started,
        )  # fmt: skip


def _share(rates: Sequence[Rate]) -> Figure:
    hits, asked = sum(r.hits for r in rates), sum(r.asked for r in rates)
    low, high = wilson(hits, asked)
    return Figure(mean=hits / asked if asked else math.nan, low=low, high=high, hits=hits, asked=asked)


def _spread(values: Sequence[float]) -> Figure:
    return Figure(mean=sum(values) / len(values), low=min(values), high=max(values))
