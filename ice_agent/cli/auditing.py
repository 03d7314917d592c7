"""Verbs that say where something came from, and whether it is as it was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ice_agent import explain, plan, screen
from ice_agent.cli.app import (
    AsJson,
    ConfigPath,
    TenantName,
    app,
    opened,
    out,
    print_json,
)

if TYPE_CHECKING:
    # Only the names are needed here: importing them takes seconds.
    pass


@app.command("explain")
def explain_fact(
    fact_or_question: Annotated[
        list[str], typer.Argument(metavar="FACT|QUESTION", help="A fact's id, or a question that it answers.")
    ],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Say where a fact came from and where it went.

    The sentence it was heard in, its batch, its adapter, the scores and the ledger entries.
    """
    with opened(config, tenant) as at:
        story = explain.explain(at.store, at.config.adapters.dir, " ".join(fact_or_question))
        if as_json:
            print_json(story)
            return
        screen.explanation(out, story)


@app.command()
def verify(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """Check the ledger and the adapters' files.

    Of all tenants, unless one is named. Exit code 1: something is not as it was recorded.
    """
    with opened(config, tenant) as at:
        checked = at.store.verify() if tenant else at.archive.verify()
        stores = [at.archive.store(each) for each in ([tenant] if tenant else at.archive.tenants())]
        damaged = [p for store in stores for p in explain.damaged(store, at.config.adapters.dir)]
        problems = [*checked.problems, *damaged]
        if as_json:
            print_json({"ok": not problems, "entries": checked.n_entries, "problems": problems})
        elif not problems:
            sound = "what they vouch for and the files are as recorded"
            out.print(f"[green]ok[/]: {checked.n_entries} entries; {sound}")
        for problem in problems if not as_json else ():
            out.print(f"[red]problem[/] {problem}")
        if problems:
            raise typer.Exit(1)


@app.command()
def status(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """Say what serves and what waits."""
    from ice_agent.schedule import described

    with opened(config, tenant) as at:
        serving, counts, tip = (
            at.store.serving(),
            at.store.counts(),
            at.store.tip(),
        )
        waiting, in_prompt = plan.n_waiting(at.store), len(at.store.recall())
        url, runs = screen.without_password(at.config.store.url), described(at.config.schedule)
        if as_json:
            shown = {
                "store": url,
                "waiting": waiting,
                "in_prompt": in_prompt,
                "schedule": runs,
                "ledger": tip,
            }
            print_json({"tenant": at.store.tenant, "serving": serving, "facts": counts, **shown})
            return
        out.print(f"[bold]{at.store.tenant}[/] in {url}")
        out.print(f"  serving   {serving.id if serving else 'nothing: run `ice-agent init`'}")
        out.print(f"  facts     {screen.counted(counts)}; {in_prompt} in the prompt")
        out.print(f"  waiting   {screen.count(waiting, 'fact')} for the next cycle")
        out.print(f"  schedule  {runs}, while `ice-agent run` runs")
        out.print(f"  ledger    {screen.count(tip.position, 'entry')}, tip {tip.hash[:12]}")
