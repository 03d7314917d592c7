"""Verbs for whoever keeps it running: figures, what hooks are to be told, what an outside engine has."""

from __future__ import annotations

from typing import Annotated

import typer

from ice_agent import outgoing, screen
from ice_agent.cli.app import DELIVERING_SECONDS, AsJson, ConfigPath, app, opened, out, print_json
from ice_agent.errors import ConfigError

PUBLISHING_SECONDS = 3600.0
"""Beyond which a new adapter is not begun."""


@app.command("metrics")
def show_metrics(config: ConfigPath = None) -> None:
    """Print the database's figures once, in Prometheus' text format.

    Of all tenants. For a textfile collector, where nothing runs that could be asked.
    """
    from ice_agent import metrics

    with opened(config, None) as at:
        publishes = bool(at.config.publish.engine)
        print(metrics.text(at.archive, at.config.metrics, publishes=publishes), end="")


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
        out.print(outgoing.deliveries(waiting) if waiting else "nothing waits for a hook")


@app.command("publish")
def publish_now(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Bring the outside engine to what serves here, of all tenants, now.

    Also what was given up, and what the engine lost when it was started anew. Exit code 1: it refuses
    something, which is tried again by the next verb that promotes or reverts, by `run` and by `worker`.
    """
    from ice_agent import publish

    with opened(config, None) as at:
        if not at.config.publish.engine:
            raise ConfigError('no engine to publish to: set publish.engine = "vllm" or "sglang", and its url')
        lost = publish.look(at.archive, at.of_all)
        at.archive.publications.retry()
        brought = publish.deliver(at.archive, at.of_all, PUBLISHING_SECONDS)
        rows = at.archive.publications.every()
        waiting = sum(not row.is_current for row in rows)
        if as_json:
            print_json({"brought": brought, "lost": lost, "waiting": waiting, "publications": rows})
        else:
            out.print(
                outgoing.publications(rows) if rows else "nothing but roots serves: the base is all it needs"
            )
            out.print(f"brought {screen.count(brought, 'adapter')}")
        if waiting:
            raise typer.Exit(1)
