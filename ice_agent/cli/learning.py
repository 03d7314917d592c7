"""Verbs that teach the weights what was told."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
from ice_agent.errors import EmptyBatch
from ice_agent.settings import WorkerSettings

if TYPE_CHECKING:
    # Only the names are needed here: importing them takes seconds.
    from ice_agent.cycle import CycleReport
    from ice_agent.executors import Outcome


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
    with opened(config, tenant, delivers=True) as at:
        before = plan.serving(at.store)
        # Said before seconds go into torch and the model, unless there is something else to be said.
        if plan.n_waiting(at.store) == 0 and not at.store.is_leased() and at.store.awaiting() is None:
            raise EmptyBatch
        from ice_agent.cycle import run_cycle
        from ice_agent.ice_editor import IceEditor

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


MetricsPort = Annotated[
    int | None,
    typer.Option("--metrics-port", min=0, max=65535, help="Show metrics here [default: metrics.port]."),
]


@app.command()
def run(metrics_port: MetricsPort = None, config: ConfigPath = None, tenant: TenantName = None) -> None:
    """Start one tenant's cycles by the clock, and read sources, until stopped.

    The settings under [schedule] say when, and those of [[refresh.sources]]. Ctrl-C or SIGTERM ends it, and
    interrupts a cycle that is running.
    """
    with opened(config, tenant, delivers=True) as at:
        plan.serving(at.store)
        with _beside(at, metrics_port, reads_sources=True):
            _serve(at, WorkerSettings(), only=at.store.tenant, report=_print_outcome)


@app.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="End when no cycle is due any more.")] = False,
    metrics_port: MetricsPort = None,
    config: ConfigPath = None,
) -> None:
    """Run the cycles of all tenants that are due, until stopped.

    Any number of workers serve one database, on any number of machines that share the adapters' folder. Each
    takes the tenant that is most overdue; the settings under [schedule] say when one is due, those under
    [worker] where its cycle runs. Ctrl-C or SIGTERM ends it, and puts back what it works on.
    """
    with opened(config, None, delivers=True) as at, _beside(at, metrics_port):
        _serve(at, at.config.worker, once=once)


@contextmanager
def _beside(at: Place, metrics_port: int | None, *, reads_sources: bool = False) -> Iterator[None]:
    """What is done beside cycles: figures for Prometheus, hooks, publishing, and sources on their clocks."""
    from ice_agent import hooks, metrics, publish
    from ice_agent.refresh import rounds

    shown = {} if metrics_port is None else {"port": metrics_port}
    for told in ("worker", "schedule", "refresh", "executors"):
        logging.getLogger(f"ice_agent.{told}").setLevel(logging.INFO)
    with ExitStack() as beside:
        settings, publishes = at.config.metrics.model_copy(update=shown), bool(at.config.publish.engine)
        beside.enter_context(metrics.served(at.archive, settings, publishes=publishes))
        beside.enter_context(hooks.delivering(at.archive, at.config.hooks))
        beside.enter_context(publish.publishing(at.archive, at.of_all))
        if reads_sources:
            beside.enter_context(rounds.reading(at.archive, at.config))
        yield


def _serve(
    at: Place,
    places: WorkerSettings,
    *,
    only: str | None = None,
    once: bool = False,
    report: Callable[[Outcome], None] = lambda _: None,
) -> None:
    from ice_agent import executors, worker

    stop = Event()
    queue = worker.Queue(at.archive, at.of_all, only=only)
    with ExitStack() as open_places:
        with err.status("loading the model ..."):
            ready = open_places.enter_context(executors.opened(places, at.of_all, executors.ice_editor, stop))
        # Not before: Ray has handlers of its own.
        for ending in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(ending, lambda *_: stop.set())
            open_places.callback(signal.signal, ending, before)
        worker.serve(queue, ready, stop, once=once, report=report)


def _print_outcome(outcome: Outcome) -> None:
    if outcome.adapter is not None and outcome.verdict is not None:
        screen.verdict(out, outcome.adapter, outcome.verdict, outcome.seconds)
        screen.narrowed(out, outcome.alpha, outcome.offenders, outcome.untried)


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
