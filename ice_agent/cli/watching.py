"""Verbs for whoever keeps it running: figures for Prometheus, and what hooks are still to be told."""

from __future__ import annotations

from typing import Annotated

import typer

from ice_agent import screen
from ice_agent.cli.app import DELIVERING_SECONDS, AsJson, ConfigPath, app, opened, out, print_json


@app.command("metrics")
def show_metrics(config: ConfigPath = None) -> None:
    """Print the database's figures once, in Prometheus' text format.

    Of all tenants. For a textfile collector, where nothing runs that could be asked.
    """
    from ice_agent import metrics

    with opened(config, None) as at:
        print(metrics.text(at.archive, at.config.metrics), end="")


@app.command("hooks")
def show_hooks(
    retry: Annotated[
        bool, typer.Option("--retry", help="Try all of them now, also those that were given up.")
    ] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List what hooks are still to be told, and what was given up.

    Of all tenants, by their ids.
    """
    from ice_agent import hooks

    with opened(config, None) as at:
        told = 0
        if retry and at.config.hooks.of:
            hooks.secret(at.config.hooks)
            at.archive.outbox.retry()
            told = hooks.deliver(at.archive, at.config.hooks, DELIVERING_SECONDS)
        waiting = at.archive.outbox.every()
        called = {event: [hooks.shown(h) for h in of] for event, of in at.config.hooks.of.items()}
        if as_json:
            print_json({"hooks": called, "told": told, "waiting": waiting})
            return
        for event, of in called.items():
            out.print(f"{event}  {', '.join(of)}", markup=False)
        if retry:
            out.print(f"told {screen.count(told, 'event')}")
        out.print(screen.deliveries(waiting) if waiting else "nothing waits for a hook")
