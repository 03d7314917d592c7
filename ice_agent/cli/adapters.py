"""Verbs about adapters, and about the facts that were set aside with one."""

from __future__ import annotations

from typing import Annotated

import typer

from ice_agent import explain, screen, transcripts
from ice_agent.cli.app import (
    REJECTED,
    AsJson,
    ConfigPath,
    TenantName,
    app,
    opened,
    out,
    print_json,
)
from ice_agent.manifest import base_name
from memory import Adapter, FactStatus


@app.command()
def adapters(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """List the adapters, oldest first."""
    with opened(config, tenant) as at:
        found = at.store.adapters()
        if as_json:
            print_json({"adapters": found})
            return
        n_facts = {a.id: at.store.batch(a.batch_id).size for a in found if a.batch_id}
        out.print(screen.adapters(found, n_facts) if found else "no adapters (run `ice-agent init`)")


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Any id; it may be shortened.")],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Show one adapter, fact, batch or utterance."""
    with opened(config, tenant) as at:
        shown = explain.named(at.store, id_)
        if as_json:
            print_json(shown)
            return
        kept = (
            explain.answers(transcripts.read(at.config.adapters.dir, shown.id) or ())
            if isinstance(shown, Adapter)
            else ()
        )
        screen.record(out, shown, kept)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="An adapter.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another adapter.")],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Put two adapters' scores side by side.

    As they were measured: each on the facts of its own batch.
    """
    with opened(config, tenant) as at:
        one, other = (at.store.adapter(id_) for id_ in (first, second))
        if as_json:
            print_json({"adapters": [one, other]})
            return
        out.print(screen.comparison(one, other))


@app.command("promote")
def promote_adapter(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A candidate, or an adapter that was reverted.")],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Make a candidate, or a reverted adapter, serve.

    Only if its kept scores pass the guards as they are set now. Exit code 3: they do not.
    """
    with opened(config, tenant, delivers=True) as at:
        # Here, because what makes a cycle takes most of a second to be imported.
        from ice_agent import decide

        adapter, verdict = decide.promoted(at.store, at.config, id_)
        if as_json:
            print_json({"adapter": adapter, "verdict": verdict})
        elif verdict.promote:
            out.print(f"[bold green]promoted[/] {adapter.id}: it serves {at.store.tenant} now.")
            if ended := decide.no_longer_true(at.store, adapter):
                n_facts = screen.count(len(ended), "fact")
                out.print(f"No longer true: {n_facts} that it holds; a cycle takes that out of the weights.")
        else:
            out.print(f"[bold red]not promoted[/] {adapter.id}: {'; '.join(verdict.reasons)}")
        if not verdict.promote:
            raise typer.Exit(REJECTED)


@app.command("reject")
def reject_adapter(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A candidate that waits for approval.")],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Refuse a candidate that waits for approval.

    Its facts wait for the next cycle; after [cycle] quarantine_after tries they are set aside.
    """
    with opened(config, tenant) as at:
        from ice_agent import decide

        refused = decide.rejected(at.store, at.config, id_)
        if as_json:
            print_json({"adapter": refused})
            return
        out.print(f"rejected {refused.id}: its facts wait for the next cycle.")


@app.command()
def revert(
    to: Annotated[
        str | None, typer.Option("--to", metavar="ID", help="An ancestor [default: the parent].")
    ] = None,
    retract: Annotated[
        bool,
        typer.Option("--retract", help="Take the facts back, too: the prompt does not serve them either."),
    ] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Put the parent, or another ancestor, back.

    Its answers are exactly those it gave before.
    """
    with opened(config, tenant, delivers=True) as at:
        from ice_agent import decide

        undone, serving = decide.reverted(at.store, at.config, to=to, retract=retract)
        base = base_name(at.config.adapters.dir / serving.path)
        if as_json:
            print_json({"reverted": undone, "serving": serving, "base": base})
            return
        out.print(f"reverted {undone.id}: [bold]{serving.id}[/] serves {at.store.tenant} again.")
        taught = at.store.batch(undone.batch_id).facts if undone.batch_id else ()
        if any(fact.status is FactStatus.HELD for fact in taught):
            out.print("Its facts are held: in the prompt, in no cycle until `ice-agent release`.")
        if any(fact.status is FactStatus.RETRACTED for fact in taught):
            out.print("Its facts were taken back." if retract else "What was taken back stays so.")
        if serving.base_hash != undone.base_hash:
            out.print(
                f'It was taught on another base: set model.name = "{base}" in config.toml.', markup=False
            )


@app.command()
def quarantine(
    ids: Annotated[list[str], typer.Argument(metavar="FACT...", help="Facts that wait for a cycle.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; it is shown with them.")
    ] = "somebody set it aside by hand",
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Keep facts out of edits until `release`.

    The prompt goes on to serve them.
    """
    with opened(config, tenant) as at:
        waiting = [at.store.fact(id_).id for id_ in ids]
        set_aside = [at.store.quarantine(id_, reason) for id_ in waiting]
        if as_json:
            print_json({"quarantined": set_aside})
            return
        for fact in set_aside:
            out.print(f"{fact.id} is {fact.status}: {fact.statement}", markup=False)


@app.command()
def release(
    ids: Annotated[list[str], typer.Argument(metavar="FACT...", help="Facts that are held or quarantined.")],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Let facts that were set aside be learned again."""
    with opened(config, tenant) as at:
        from ice_agent import decide

        released = decide.released(at.store, at.config, ids)
        if as_json:
            print_json({"released": released})
            return
        for fact in released:
            out.print(f"{fact.id} is {fact.status}: {fact.statement}", markup=False)
