"""What a benchmark says: one JSON object, or tables for a terminal. Figures carry counts and intervals."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from ice_agent.bench.run import Figure, Run, figures
from ice_agent.config import Config

PROTOCOL = (
    "free generation, greedy, natural stop, normalised exact match; "
    "rephrases and probes in forms that no edit trains on"
)

# What stands side by side where methods are compared, under short names.
COLUMNS = {
    "edit_success": "success", "rephrase": "rephrase", "portability": "portab.",
    "locality_subject": "loc subj", "locality_relation": "loc rel", "locality_unrelated": "loc unrel",
    "false_recall": "false rec", "fluency_ratio": "fluency", "perplexity_ratio": "ppl",
    "seconds_per_fact": "s/fact",
}  # fmt: skip


def as_json(runs: Sequence[Run], config: Config) -> dict[str, Any]:
    """`sizes.N.methods.NAME.METRIC` = {mean, low, high, hits, asked}, beside the protocol and the settings.

    `methods` at the top are those of the largest batch.
    """
    sizes = {facts: _by_method([run for run in runs if run.facts == facts]) for facts in _sizes(runs)}
    figures_of = {
        facts: {name: _metrics(of_method) for name, of_method in methods.items()}
        for facts, methods in sizes.items()
    }
    return {
        "protocol": PROTOCOL,
        "model": config.model.name,
        "machine": platform.machine(),
        "threads": config.model.threads,
        "seeds": sorted({run.seed for run in runs}),
        "edit": config.edit.model_dump(mode="json"),
        "lora": config.lora.model_dump(mode="json"),
        "sizes": {str(facts): {"methods": methods} for facts, methods in figures_of.items()},
        "methods": figures_of[max(figures_of)],
    }


def tables(runs: Sequence[Run]) -> list[Table]:
    """For each size one table: of all its metrics for one method, else of the methods side by side."""
    found = []
    for facts in _sizes(runs):
        of_size = [run for run in runs if run.facts == facts]
        by_method = _by_method(of_size)
        seeds = ", ".join(str(seed) for seed in sorted({run.seed for run in of_size}))
        title = f"{facts} facts in one batch, seeds {seeds}"
        if len(by_method) == 1:
            found.append(_metrics_table(f"{next(iter(by_method))}: {title}", of_size))
        else:
            found.append(_methods_table(title, by_method))
    return found


def _sizes(runs: Sequence[Run]) -> list[int]:
    return sorted({run.facts for run in runs})


def _by_method(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each method, in the order in which the methods were asked for."""
    return {name: [r for r in runs if r.method == name] for name in dict.fromkeys(r.method for r in runs)}


def _metrics(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    return {name: asdict(figure) for name, figure in figures(runs).items()}


def _metrics_table(title: str, runs: Sequence[Run]) -> Table:
    table = _titled(title, "metric", "mean", "interval", "hits / asked")
    for name, figure in figures(runs).items():
        table.add_row(name.replace("_", " "), *_cells(figure))
    return table


def _methods_table(title: str, by_method: dict[str, list[Run]]) -> Table:
    table = _titled(title, "method", *COLUMNS.values())
    for name, runs in by_method.items():
        found = figures(runs)
        table.add_row(name, *(f"{found[metric].mean:.3f}" for metric in COLUMNS))
    return table


def _titled(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _cells(figure: Figure) -> tuple[str, str, str]:
    counts = f"{figure.hits} / {figure.asked}" if figure.asked else ""
    return f"{figure.mean:.3f}", f"{figure.low:.3f} - {figure.high:.3f}", counts
