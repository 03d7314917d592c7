"""Verbs that teach the weights what was told."""

from __future__ import annotations

import logging
import signal
from contextlib import ExitStack
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from ice_agent import explain, plan, promote, screen
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

if TYPE_CHECKING:
    # Only the names are needed here: importing them takes seconds.
    from ice_agent.cycle import CycleReport


@app.command("plan")
def show_plan(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """Show what the next cycle would do.

    Nothing is claimed or written, and no model is needed.
    """
    with opened(config, tenant) as at:
        what = plan.plan(at.store, at.config)
        if as_json:
            print_json(what)
            return
        screen.plan(out, what)


@app.command()
def cycle(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """Learn the pending facts now.

    Edits a candidate adapter, measures it and its parent, and promotes it only if every guard holds. Exit
    code 3: it was rejected. Ctrl-C: nothing was promoted, the facts are pending again.
    """
    from ice_agent.cycle import run_cycle
    from ice_agent.ice_editor import IceEditor

    with opened(config, tenant, delivers=True) as at:
        before = plan.serving(at.store)
        try:
            model = load_model(at.config)
            with screen.bars(err) as progress:
                report = run_cycle(at.store, IceEditor(model, at.config), at.config, progress)
        except KeyboardInterrupt:
            if plan.serving(at.store).id == before.id:
                err.print("interrupted: nothing was promoted, the facts are pending again")
            else:
                err.print("interrupted after the promotion: the new adapter serves (`ice-agent status`)")
            raise typer.Exit(INTERRUPTED) from None
        _print_report(at, report, as_json)
        if not report.verdict.promote:
            raise typer.Exit(REJECTED)


@app.command()
def run(
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", min=0, max=65535, help="Show metrics here [default: metrics.port]."),
    ] = None,
    config: ConfigPath = None,
    tenant: TenantName = None,
) -> None:
    """Start cycles by the clock, until stopped.

    The settings under [schedule] say when. Ctrl-C or SIGTERM ends it, and interrupts a cycle that is running.
    """
    from ice_agent import hooks, metrics
    from ice_agent.cycle import run_cycle
    from ice_agent.ice_editor import IceEditor
    from ice_agent.schedule import Schedule, until

    with opened(config, tenant, delivers=True) as at, ExitStack() as beside:
        plan.serving(at.store)
        shown = {} if metrics_port is None else {"port": metrics_port}
        beside.enter_context(metrics.served(at.archive, at.config.metrics.model_copy(update=shown)))
        beside.enter_context(hooks.delivering(at.archive, at.config.hooks))
        model, stop = load_model(at.config), Event()
        logging.getLogger("ice_agent.schedule").setLevel(logging.INFO)
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, lambda *_: stop.set())

        def promoted() -> bool:
            report = run_cycle(at.store, IceEditor(model, at.config), at.config, until(stop))
            screen.verdict(out, report.adapter, report.verdict, report.seconds)
            screen.narrowed(out, report.alpha, report.offenders, report.untried)
            return report.verdict.promote

        def waiting() -> int:
            return plan.n_waiting(at.store)

        Schedule(at.config.schedule, at.config.cycle, waiting=waiting, cycle=promoted).serve(stop)


def _print_report(at: Place, report: CycleReport, as_json: bool) -> None:
    table = promote.table(report.before.scores, report.after.scores, at.config.guards)
    answers = explain.answers(report.after.transcripts)
    if as_json:
        told = {"promoted": report.verdict.promote, "reasons": report.verdict.reasons, "guards": table}
        made = {"adapter": report.adapter, "parent_id": report.parent_id, "batch": report.batch}
        made |= {"alpha": report.alpha, "offenders": report.offenders, "untried": report.untried}
        print_json({**told, **made, "answers": answers, "edit": report.edit, "seconds": report.seconds})
    else:
        screen.report(out, table, answers, report.adapter, report.verdict, report.seconds)
        screen.narrowed(out, report.alpha, report.offenders, report.untried)
