"""The verb that reads sources on demand; `run` reads them by the clock."""

from __future__ import annotations

from typing import Annotated

import typer

from ice_agent import screen
from ice_agent.cli.app import (
    INTERRUPTED,
    REJECTED,
    AsJson,
    ConfigPath,
    app,
    err,
    opened,
    out,
    print_json,
)


@app.command()
def refresh(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Sources [default: all].")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; change nothing.")
    ] = False,
    approve: Annotated[
        list[str] | None,
        typer.Option("--approve", metavar="NAME", help="Take over the changes of it that are held."),
    ] = None,
    discard: Annotated[
        list[str] | None,
        typer.Option("--discard", metavar="NAME", help="Drop the changes of it that are held."),
    ] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Read the sources of [[refresh.sources]] now.

    What changed since they were last read becomes facts, row by row. Exit code 1: a source could not be read;
    3: one would change too much, and waits for --approve or --discard. Ctrl-C: what was taken over stays, and
    the next run goes on from there.
    """
    # Here, because feeds, queries and paths need libraries that no other verb does.
    from ice_agent import refresh as refreshing

    if (approve or discard) and (names or dry_run):
        raise typer.BadParameter("--approve and --discard name the sources they are about: read others apart")
    with opened(config, None) as at:
        try:
            with screen.bars(err) as progress:
                if approve or discard:
                    reports = (
                        *(
                            refreshing.approve(at.archive, at.config, name, progress)
                            for name in approve or ()
                        ),
                        *(refreshing.discard(at.archive, at.config, name) for name in discard or ()),
                    )
                else:
                    reports = refreshing.refresh_all(
                        at.archive, at.config, names or (), dry_run=dry_run, progress=progress
                    )
        except KeyboardInterrupt:
            err.print("interrupted: what was taken over stays, and the next run goes on from there")
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json({"dry_run": dry_run, "sources": reports})
    else:
        for report in reports:
            screen.refreshed(out, report, dry_run=dry_run)
    outcomes = {report.outcome for report in reports}
    if refreshing.Outcome.FAILED in outcomes:
        raise typer.Exit(1)
    if refreshing.Outcome.HELD in outcomes:
        raise typer.Exit(REJECTED)
