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


def as_json(runs: Sequence[Run], config: Config) -> dict[str, Any]:
    """`sizes.N.methods.ice.METRIC` = {mean, low, high, hits, asked}, beside the protocol and the settings."""
    sizes = sorted({run.facts for run in runs})
    return {
        "protocol": PROTOCOL,
        "model": config.model.name,
        "machine": platform.machine(),
        "threads": config.model.threads,
        "seeds": sorted({run.seed for run in runs}),
        "edit": config.edit.model_dump(mode="json"),
        "lora": config.lora.model_dump(mode="json"),
        "sizes": {str(n): {"methods": {"ice": _metrics([r for r in runs if r.facts == n])}} for n in sizes},
    }


def tables(runs: Sequence[Run]) -> list[Table]:
    """One table for each size."""
    return [_table(n, [run for run in runs if run.facts == n]) for n in sorted({run.facts for run in runs})]


def _metrics(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    return {name: asdict(figure) for name, figure in figures(runs).items()}


def _table(facts: int, runs: Sequence[Run]) -> Table:
    table = Table(
        title=f"{facts} facts in one batch, seeds {', '.join(str(run.seed) for run in runs)}",
        title_justify="left",
    )
    table.add_column("metric")
    table.add_column("mean", justify="right")
    table.add_column("interval", justify="right")
    table.add_column("hits / asked", justify="right")
    for name, figure in figures(runs).items():
        table.add_row(name.replace("_", " "), *_cells(figure))
    return table


def _cells(figure: Figure) -> tuple[str, str, str]:
    counts = f"{figure.hits} / {figure.asked}" if figure.asked else ""
    return f"{figure.mean:.3f}", f"{figure.low:.3f} - {figure.high:.3f}", counts
