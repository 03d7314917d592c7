"""The benchmark from what a person asks for to a report in its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from ice_agent.bench import edit_sets, poison, run, variants
from ice_agent.bench.run import Wanted
from ice_agent.config import Config
from ice_agent.errors import ConfigError
from ice_agent.model import EditableModel
from memory import Progress

try:
    from ice_agent.bench import report
except ModuleNotFoundError as missing:
    raise ConfigError(f"bench draws with {missing.name}: pip install 'ice-agent[bench]'") from missing

FOLDER = Path("bench")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The report, and where it lies."""

    folder: Path
    as_json: dict[str, Any]
    tables: list[Table]


def bench(
    config: Config,
    progress: Progress,
    *,
    sizes: Sequence[int],
    batches: int,
    seeds: int,
    methods: str,
    edit_set: str,
    folder: Path | None,
    covariance_text: Path | None,
) -> Done:
    """Run what is not yet in the folder and write the report. Raises ConfigError for what cannot be run."""
    chosen = variants.parse(methods, config)
    edits = edit_sets.load(edit_set)
    first = config.edit.seed
    settings = run.settings(edits, config, covariance_text)
    wanted = Wanted(
        edit_set=edits,
        variants=chosen,
        sizes=sizes,
        batches=batches,
        seeds=range(first, first + seeds),
        folder=folder or FOLDER / f"{edits.name}-{_digest(settings)}",
        covariance_text=covariance_text,
    )
    # What an edit set cannot give is said before anything is measured.
    for facts in sizes:
        edits.batches(facts, batches, first)
    run.claim_folder(wanted.folder, settings)
    runs = run.run(wanted, config, lambda lora: EditableModel.load(config.model, lora), progress)
    found = report.as_json(runs, wanted, config)
    report.write(runs, wanted, config, json.dumps(found, indent=1))
    return Done(
        folder=wanted.folder, as_json=found, tables=[report.rich(table) for table in report.tables(runs)]
    )


def bench_poison(config: Config, progress: Progress, *, folder: Path | None) -> Done:
    """Run the poisoned batches that are not yet in the folder and write what became of each."""
    where = folder or FOLDER / f"poison-{_digest(poison.settings(config))}"
    outcomes = poison.run(config, where, progress)
    found = poison.as_json(outcomes, config)
    run.write_whole(where / "report.json", json.dumps(found, indent=1))
    return Done(folder=where, as_json=found, tables=[poison.table(outcomes)])


def _digest(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
