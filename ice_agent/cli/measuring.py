"""The verb that measures editing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ice_agent import config as settings
from ice_agent import screen
from ice_agent.cli.app import (
    INTERRUPTED,
    AsJson,
    ConfigPath,
    app,
    err,
    out,
    print_json,
)


@app.command()
def bench(
    sizes: Annotated[list[int] | None, typer.Option("--facts", min=1, help="In a batch [20, 100].")] = None,
    batches: Annotated[int, typer.Option("--batches", min=1, help="One after another.")] = 1,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many, from edit.seed on.")] = 3,
    methods: Annotated[str, typer.Option("--methods", help="Comma-separated, all or ablations.")] = "ice",
    edit_set: Annotated[str, typer.Option("--set", help="world, or a JSON file of edits.")] = "world",
    folder: Annotated[Path | None, typer.Option("--run", help="Folder of the run [bench/SET-ID].")] = None,
    covariance: Annotated[Path | None, typer.Option("--covariance", help="Text for ROME, MEMIT.")] = None,
    poison: Annotated[bool, typer.Option("--poison", help="Poisoned batches instead, by cycles.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Measure editing, ours and the field's, on your model; what was measured is not measured again."""
    from ice_agent.bench import command

    try:
        with screen.bars(err) as progress:
            if poison:
                done = command.bench_poison(settings.load(config), progress, folder=folder)
            else:
                done = command.bench(
                    settings.load(config), progress, sizes=sizes or [20, 100], batches=batches, seeds=seeds,
                    methods=methods, edit_set=edit_set, folder=folder, covariance_text=covariance,
                )  # fmt: skip
    except KeyboardInterrupt:
        err.print("interrupted: what was measured is kept, the same command goes on")
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json(done.as_json)
    else:
        out.print(*done.tables)
        err.print(f"report, figures and transcripts: {done.folder}")
