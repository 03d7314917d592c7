"""What a benchmark says: one JSON object, and the same tables for a terminal, as Markdown and as a page."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from ice_agent.bench import page
from ice_agent.bench.figures import Figure, figures, stage_shares
from ice_agent.bench.run import Run, Step, Wanted, retention, write_whole
from ice_agent.config import Config

PROTOCOL = (
    "free generation, greedy, natural stop, normalised exact match; "
    "rephrases and probes in forms that no edit trains on; locality and ratios against the untaught base; "
    "95% Wilson intervals for counts, lowest and highest seed for ratios and costs"
)

# What stands side by side where methods are compared, under short names.
COLUMNS = {
    "edit_success": "success", "rephrase": "rephrase", "portability": "portab.",
    "locality_subject": "loc subj", "locality_relation": "loc rel", "locality_unrelated": "loc unrel",
    "locality_context": "in prompt",
    "retention": "retained", "false_recall": "false rec", "fluency_ratio": "fluency",
    "perplexity_ratio": "ppl", "seconds_per_fact": "s/fact",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table, however it is printed: the first column holds names, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_detail: bool = False
    """Shown after everything that compares."""


def as_json(runs: Sequence[Run], wanted: Wanted, config: Config) -> dict[str, Any]:
    """`sizes.N.methods.NAME.METRIC` = {mean, low, high, hits, asked}, beside the protocol and the settings.

    `methods` at the top are those of the largest batch. What was not asked has null for a mean.
    """
    sizes = {
        str(facts): {
            "methods": {name: _metrics(of) for name, of in methods.items()},
            "stages": {name: shares for name, of in methods.items() if (shares := stage_shares(of))},
            "retention_matrix": {name: _matrix(of) for name, of in methods.items() if of[0].batches > 1},
            "after_each_batch": {name: _course(of) for name, of in methods.items() if of[0].batches > 1},
        }
        for facts, methods in _grouped(runs).items()
    }
    return {
        "protocol": PROTOCOL,
        "set": wanted.edit_set.name,
        "batches": wanted.batches,
        "model": config.model.name,
        "machine": platform.machine(),
        "threads": config.model.threads,
        "seeds": sorted({run.seed for run in runs}),
        "edit": config.edit.model_dump(mode="json"),
        "lora": config.lora.model_dump(mode="json"),
        "sizes": sizes,
        "methods": sizes[str(max(run.facts for run in runs))]["methods"],
    }


def tables(runs: Sequence[Run]) -> list[Table]:
    """For each size: all metrics of one method, or several side by side; then costs and sequences."""
    found = []
    for facts, methods in _grouped(runs).items():
        first = next(iter(methods.values()))
        seeds = ", ".join(str(run.seed) for run in first)
        batches = f"{first[0].batches} batches of {facts} facts" if first[0].batches > 1 else f"{facts} facts"
        title = f"{batches}, seed{'s' if len(first) > 1 else ''} {seeds}"
        if len(methods) == 1:
            ((name, of_method),) = methods.items()
            found.append(_metrics_table(f"{name}: {title}", of_method))
        else:
            found.append(_methods_table(title, methods))
        found += _cost_table(f"Cost: {title}", methods)
        found += [_course_table(f"{name}: {title}", of) for name, of in methods.items() if _many(of)]
    return sorted(found, key=lambda table: table.is_detail)


def rich(table: Table) -> RichTable:
    """The table for a terminal."""
    shown = RichTable(
        title=table.title, title_justify="left", box=None, pad_edge=False, header_style="dim",
        padding=(0, 2, 0, 0),
    )  # fmt: skip
    for i, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if i else "left")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def markdown(runs: Sequence[Run], wanted: Wanted, config: Config) -> str:
    """The whole report as Markdown."""
    parts = [f"# {_heading(wanted, config)}", f"{PROTOCOL[0].upper()}{PROTOCOL[1:]}."]
    for table in tables(runs):
        head = " | ".join(table.columns)
        rule = "|".join(["---", *["---:"] * (len(table.columns) - 1)])
        rows = "\n".join(f"| {' | '.join(row)} |" for row in table.rows)
        parts.append(f"## {table.title}\n\n| {head} |\n|{rule}|\n{rows}")
    return "\n\n".join(parts) + "\n"


def write(runs: Sequence[Run], wanted: Wanted, config: Config, as_text: str) -> list[Path]:
    """Put the report into the run's folder: as JSON, Markdown and a page that needs nothing else."""
    found = tables(runs)
    drawn = page.render(
        title=_heading(wanted, config),
        protocol=PROTOCOL,
        tables=[(table.title, table.columns, table.rows) for table in found if not table.is_detail],
        details=[(table.title, table.columns, table.rows) for table in found if table.is_detail],
        runs=runs,
    )
    files = {"report.json": as_text, "report.md": markdown(runs, wanted, config), "report.html": drawn}
    for name, text in files.items():
        write_whole(wanted.folder / name, text)
    return [wanted.folder / name for name in files]


# -- what stands in the tables -------------------------------------------------------------------------------


def _heading(wanted: Wanted, config: Config) -> str:
    return f"Editing {config.model.name} on {wanted.edit_set.name}"


def _grouped(runs: Sequence[Run]) -> dict[int, dict[str, list[Run]]]:
    """The runs by size, then by method, in the order in which they were asked for."""
    found: dict[int, dict[str, list[Run]]] = {}
    for run in runs:
        found.setdefault(run.facts, {}).setdefault(run.method, []).append(run)
    return found


def _many(runs: Sequence[Run]) -> bool:
    return runs[0].batches > 1


def _metrics(runs: Sequence[Run]) -> dict[str, dict[str, float | None]]:
    return {
        name: {key: None if math.isnan(value) else value for key, value in asdict(figure).items()}
        for name, figure in figures(runs).items()
    }


def _metrics_table(title: str, runs: Sequence[Run]) -> Table:
    rows = [(name.replace("_", " "), *_cells(figure)) for name, figure in figures(runs).items()]
    return Table(title=title, columns=("metric", "mean", "interval", "hits / asked"), rows=tuple(rows))


def _cells(figure: Figure) -> tuple[str, str, str]:
    if math.isnan(figure.mean):
        return "-", "", ""
    counts = f"{figure.hits} / {figure.asked}" if figure.asked else ""
    return f"{figure.mean:.3f}", f"{figure.low:.3f} - {figure.high:.3f}", counts


def _methods_table(title: str, methods: dict[str, list[Run]]) -> Table:
    found = {name: figures(runs) for name, runs in methods.items()}
    asked = [m for m in COLUMNS if any(not math.isnan(of_method[m].mean) for of_method in found.values())]
    rows = [(name, *(_cells(of_method[m])[0] for m in asked)) for name, of_method in found.items()]
    return Table(title=title, columns=("method", *(COLUMNS[m] for m in asked)), rows=tuple(rows))


def _cost_table(title: str, methods: dict[str, list[Run]]) -> list[Table]:
    """Time by stage, speed and memory of the methods that say so."""
    shares = {name: stage_shares(runs) for name, runs in methods.items()}
    stages = list(dict.fromkeys(stage for each in shares.values() for stage in each))
    if not stages:
        return []
    rows = []
    for name, runs in methods.items():
        found = figures(runs)
        speed = _cells(found["tokens_per_second"])[0]
        memory = (f"{found['peak_mb'].mean:.0f}", f"{found['edit_mb'].mean:.0f}")
        parts = [f"{shares[name][stage]:.0%}" if stage in shares[name] else "-" for stage in stages]
        rows.append((name, f"{found['seconds_per_fact'].mean:.2f}", *parts, speed.split(".")[0], *memory))
    columns = ("method", "s/fact", *stages, "tokens/s", "peak MB", "MB for the edit")
    return [Table(title=title, columns=columns, rows=tuple(rows))]


COURSE: dict[str, Callable[[Step], float]] = {
    "retained": lambda step: retention(step).share if len(step.retained) > 1 else math.nan,
    "worst batch": lambda step: min((rate.share for rate in step.retained[:-1]), default=math.nan),
    "success": lambda step: step.scores.edit_success.share,
    "portab.": lambda step: step.scores.portability.share,
    "loc subj": lambda step: step.scores.locality_subject.share,
    "loc rel": lambda step: step.scores.locality_relation.share,
    "loc unrel": lambda step: step.scores.locality_unrelated.share,
    "in prompt": lambda step: step.scores.locality_context.share,
    "fluency": lambda step: step.scores.fluency_ratio,
    "ppl": lambda step: step.scores.perplexity_ratio,
    "norm": lambda step: step.norm,
    "seconds": lambda step: step.seconds,
}
"""What is followed from batch to batch."""


def _course(runs: Sequence[Run]) -> dict[str, list[float | None]]:
    """Each followed value after each batch: the mean over the seeds that came so far."""
    longest = max(len(run.steps) for run in runs)
    return {name: [_mean(runs, at, name) for at in range(longest)] for name in COURSE}


def _mean(runs: Sequence[Run], at: int, name: str) -> float | None:
    steps: list[Step] = [run.steps[at] for run in runs if len(run.steps) > at]
    value = sum(float(COURSE[name](step)) for step in steps) / len(steps)
    return None if math.isnan(value) else value


def _course_table(title: str, runs: Sequence[Run]) -> Table:
    course = _course(runs)
    rows = [
        (str(at + 1), *("-" if value is None else f"{value:.3f}" for value in values))
        for at, values in enumerate(zip(*course.values(), strict=True))
    ]
    return Table(title=title, columns=("after batch", *course), rows=tuple(rows), is_detail=True)


def _matrix(runs: Sequence[Run]) -> list[list[float]]:
    """R[T][t]: what batch t still answers after batch T, mean over seeds."""
    shortest = min(len(run.steps) for run in runs)
    return [
        [sum(run.steps[after].retained[t].share for run in runs) / len(runs) for t in range(after + 1)]
        for after in range(shortest)
    ]
