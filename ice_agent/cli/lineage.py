"""Verbs about a tenant's adapters as a whole: made anew, compared, made again, cleared away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from ice_agent import difference as differing
from ice_agent import garbage, plan, promote, screen
from ice_agent.cli.app import (
    INTERRUPTED,
    REJECTED,
    AsJson,
    ConfigPath,
    Place,
    TenantName,
    app,
    err,
    load_model,
    opened,
    out,
    print_json,
)
from ice_agent.config import Config
from ice_agent.difference import Difference
from memory import Adapter


@app.command()
def rebuild(
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="MODEL", help="On this base model: a folder, or a name on the hub."),
    ] = None,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Teach a new adapter all that is known, from the root.

    It takes the place of what serves if every guard held, and `revert` puts that back. Exit code 3: a guard
    broke, and what served serves on.
    """
    from ice_agent.ice_editor import IceEditor
    from ice_agent.rebuild import compact

    with opened(config, tenant) as at:
        before, settings = plan.serving(at.store), _on(at.config, base)
        try:
            model = load_model(settings)
            with screen.bars(err) as progress:
                editor = IceEditor(model, settings)
                done = compact(at.store, editor, settings, progress, new_base=base is not None)
        except KeyboardInterrupt:
            err.print(f"interrupted: {before.id} serves, nothing was replaced")
            raise typer.Exit(INTERRUPTED) from None
        last, replaced = done.reports[-1], done.replaced_id
        table = promote.table(last.before.scores, last.after.scores, at.config.guards)
        if as_json:
            made = {"adapter": last.adapter, "steps": [report.adapter for report in done.reports]}
            told = {"promoted": done.verdict.promote, "reasons": done.verdict.reasons, "guards": table}
            print_json({**told, **made, "replaced": replaced, "base": settings.model.name})
        else:
            seconds = sum(report.seconds for report in done.reports)
            screen.report(out, table, (), last.adapter, done.verdict, seconds)
            if done.verdict.promote:
                out.print(f"It took the place of {replaced}, which `ice-agent revert` puts back.")
                _print_base(settings.model.name, at.config)
        if not done.verdict.promote:
            raise typer.Exit(REJECTED)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="An adapter.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another adapter.")],
    ask: Annotated[
        bool, typer.Option("--ask", help="Load the model and ask both anew [default: the kept answers].")
    ] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Show which facts one adapter holds and the other does not, and which answers differ."""
    with opened(config, tenant) as at:
        found = differing.difference(at.store, at.config, first, second, _asking(at) if ask else None)
        if as_json:
            print_json(found)
            return
        _print_difference(out, found)


@app.command()
def replay(
    id_: Annotated[str, typer.Argument(metavar="ID", help="An adapter that was taught something.")],
    restore: Annotated[
        bool, typer.Option("--restore", help="Put the files of a collected one back, if it is the same.")
    ] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Make an adapter again from what is recorded of it, aside, and say whether it is the same.

    On a CPU it is, to the bit. Exit code 1: it answers something otherwise.
    """
    from ice_agent.ice_editor import IceEditor
    from ice_agent.replay import replay as replayed

    with opened(config, tenant) as at:
        model = load_model(at.config)
        with screen.bars(err) as progress:
            editor = IceEditor(model, at.config)
            found = replayed(at.store, editor, at.config, id_, progress, restore=restore)
        if as_json:
            print_json(found)
        else:
            out.print(f"{found.adapter.id} made again: {_likeness(found.is_equal, found.max_difference)}")
            agreed = found.asked - len(found.differing)
            out.print(f"  answers   {agreed} of {found.asked} kept ones are the same")
            for question in found.differing:
                out.print(f"  otherwise {question}", markup=False)
            if restore:
                out.print("its files are back" if found.is_restored else "nothing was restored")
        if found.differing and not found.is_equal:
            raise typer.Exit(1)


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go; delete nothing.")] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Delete the files of adapters that nobody needs, as [adapters] in the settings says.

    Rows, scores and answers stay. A cycle does the same after each promotion.
    """
    with opened(config, tenant) as at:
        plan.serving(at.store)
        found = garbage.collect(at.store, at.config, dry_run=dry_run, unregistered=True)
        if as_json:
            print_json({"dry_run": dry_run, "collected": found})
            return
        would = "would delete" if dry_run else "deleted"
        for adapter in found.adapters:
            out.print(f"{would} {adapter.id}, {adapter.status} ({screen.when(adapter.created_at)})")
        for name in found.strays:
            out.print(f"{would} {name}, which no adapter knows of", markup=False)
        gone = screen.count(len(found.adapters), "adapter"), screen.count(len(found.strays), "stray folder")
        out.print(f"{gone[0]} and {gone[1]}: {found.freed_bytes / 2**20:.1f} MiB")


def _on(config: Config, base: str | None) -> Config:
    if base is None:
        return config
    # A revision is one of the model that it was set for.
    model = config.model.model_copy(update={"name": base, "revision": ""})
    return config.model_copy(update={"model": model})


def _print_base(name: str, config: Config) -> None:
    if name != config.model.name:
        out.print(
            f'Set model.name = "{name}" in config.toml: an adapter serves on its own base only.', markup=False
        )


def _asking(at: Place) -> differing.Ask:
    from ice_agent.cycle import load
    from ice_agent.ice_editor import IceEditor

    editor = IceEditor(load_model(at.config), at.config)

    def ask(adapter: Adapter, questions: Sequence[str]) -> Sequence[str]:
        load(editor, at.config, adapter)
        return editor.ask(adapter.id, questions)

    return ask


def _print_difference(out: Console, found: Difference) -> None:
    for one, facts in ((found.first, found.only_first), (found.second, found.only_second)):
        out.print(f"only in {one.id}: {screen.count(len(facts), 'fact')}")
        for fact in facts:
            out.print(f"  {fact.id}  {fact.statement}", markup=False)
    if found.answers:
        rows = found.answers
        columns = (
            (one.id, [getattr(row, side) for row in rows])
            for one, side in ((found.first, "first"), (found.second, "second"))
        )
        out.print(screen.side_by_side([row.question for row in rows], *columns))
    same = found.asked - len(found.answers)
    out.print(f"{screen.count(found.asked, 'answer')} of both known, {same} of them the same")


def _likeness(is_equal: bool, max_difference: float | None) -> str:
    if is_equal:
        return "the same to the bit"
    apart = "" if max_difference is None else f", by {max_difference:.3g} in a weight at most"
    return f"not the same{apart}"
