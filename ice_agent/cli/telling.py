"""Verbs that tell it something, or ask."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from ice_agent import config as settings
from ice_agent import plan, screen
from ice_agent.cli.app import (
    AsJson,
    ConfigPath,
    TenantName,
    app,
    err,
    load_model,
    note_unknown,
    opened,
    out,
    print_facts,
    print_json,
)
from ice_agent.errors import CollectError
from memory import FactStatus, ProposalStatus, is_storable


@app.command()
def init(
    shared: Annotated[
        bool, typer.Option("--shared", help="A lineage that no single person is the user of.")
    ] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Make the store and a first adapter.

    The first adapter is the root: exactly the base model. Again, it upgrades the store and keeps everything.
    """
    with opened(config, tenant, migrate=True) as at:
        # Here, because torch takes seconds to be imported: a database that cannot be used is said at once.
        from ice_agent import cycle
        from ice_agent.ice_editor import IceEditor

        if shared:
            at.store.declare(shared=True)
        root = cycle.init(at.store, IceEditor(load_model(at.config), at.config), at.config)
        url, folder = screen.without_password(at.config.store.url), at.config.adapters.dir.absolute()
        if as_json:
            print_json({"tenant": at.store.tenant, "store": url, "adapters": str(folder), "serving": root})
            return
        out.print(f"[bold]{at.store.tenant}[/] is ready: {root.id} serves.")
        out.print(f"  store     {url}")
        out.print(f"  adapters  {folder}")
        out.print(f"  model     {at.config.model.name} ({root.base_hash[:12]})")
        out.print('Tell it something: [bold]ice-agent chat[/], or [bold]ice-agent add "I live in Lisbon."[/]')


@app.command()
def chat(
    say: Annotated[
        list[str] | None, typer.Option("--say", metavar="TEXT", help="Say this and exit; may be repeated.")
    ] = None,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Talk to the model.

    What you tell it is known in the next answer, from the prompt, and after a cycle from the weights.
    """
    if as_json and not say:
        raise typer.BadParameter("--json needs --say: a conversation is not one object")
    with opened(config, tenant, delivers=True) as at:
        plan.serving(at.store)
        from ice_agent.agent import Agent
        from ice_agent.chat import Chat

        model = load_model(at.config)
        with ExitStack() as outside:
            writer = None
            if at.config.publish.generate:
                from ice_agent.publish import OutsideWriter

                writer = outside.enter_context(OutsideWriter(at.archive, at.of_all, model.stop_ids))
            agent = Agent(at.store, model, at.config, writer=writer)
            conversation = Chat(agent, at.archive, out, err)
            if as_json:
                print_json({"turns": [conversation.turn(text) for text in say or ()]})
            elif say:
                conversation.say(say)
            else:
                conversation.converse()


@app.command()
def add(
    text: Annotated[str, typer.Argument(help='What the user says; "-" reads stdin, one utterance a line.')],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be kept; keep nothing.")
    ] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Tell it something.

    No model is needed: the next prompt has the facts, and the next cycle learns them.
    """
    # Here, because the extractor's patterns take most of a second to compile.
    from ice_agent import collect

    # Of an empty stdin nothing was said, either.
    utterances = [line for line in _stdin() if line] or [""] if text == "-" else [text]
    if dry_run:
        found = [c for said in utterances for c in collect.tried(said, settings.load(config).collect)]
        print_json({"candidates": found}) if as_json else out.print(screen.candidates(found))
        return
    with opened(config, tenant, delivers=True) as at:
        extractor = collect.extractor_named(at.config.collect.extractor)
        heard = [collect.hear(at.store, at.config.collect, said, extractor) for said in utterances]
        if as_json:
            print_json({"learned": sum(len(h.learned) for h in heard), "heard": heard})
        else:
            out.print(screen.heard(heard))


def _stdin() -> list[str]:
    """Its lines, all of them readable, or none is told."""
    try:
        lines = [line.strip() for line in sys.stdin]
    except UnicodeDecodeError:
        raise CollectError("stdin is not UTF-8: nothing was kept") from None
    for number, line in enumerate(lines, start=1):
        if not is_storable(line):
            raise CollectError(f"line {number} of stdin is not UTF-8 text: nothing was kept")
    return lines


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="Words of the facts wanted.")],
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 10,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Find facts by words, and by meaning where the settings name an embedding model."""
    # Here, because LangChain takes its time to be imported.
    from ice_agent import recall

    with opened(config, tenant) as at:
        by_meaning = recall.meanings(at.config.recall.embeddings)
        found = recall.search(at.store, " ".join(words), limit, by_meaning)
        print_facts(tuple(found), as_json, "no fact has one of these words")


@app.command()
def facts(
    status: Annotated[
        list[FactStatus] | None,
        typer.Option("--status", metavar="STATE", help="Only pending, learned, held, ...; may be repeated."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that ended, too.")] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """List what it was told, and the state of each fact."""
    with opened(config, tenant) as at:
        note_unknown(at, tenant)
        found = at.store.facts(statuses=status or (FactStatus if everything else None))
        nothing = f"no facts of {at.store.tenant} (tell it something with `ice-agent add`)"
        print_facts(found, as_json, nothing)


@app.command()
def retract(
    ids: Annotated[list[str], typer.Argument(metavar="FACT...", help="Facts that stand.")],
    over: Annotated[
        bool,
        typer.Option("--over", help="They were true until now: nothing that they superseded stands again."),
    ] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Take facts back: they are not true.

    What they superseded stands again. Weights that hold them are not asked for them, and the next cycle takes
    them out. The words stay; `forget` erases.
    """
    with opened(config, tenant) as at:
        from ice_agent import decide

        recorded = decide.taken_back(at.store, ids, is_over=over)
        if as_json:
            print_json({"recorded": recorded})
            return
        for done in recorded:
            for fact in done.retracted:
                out.print(f"{fact.id} is {fact.status}: {fact.statement}", markup=False)
            for fact in done.reopened:
                out.print(f"{fact.id} stands again: {fact.statement}", markup=False)


@app.command()
def review(
    decided: Annotated[bool, typer.Option("--all", help="Those that were decided, too.")] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """List what waits for a person.

    What is to be approved, with the words it was heard in, and what is kept out of edits until a `release`.
    """
    with opened(config, tenant) as at:
        aside = at.store.facts(statuses=[FactStatus.QUARANTINED])
        found = at.store.proposals(*(ProposalStatus if decided else ()))
        heard = {proposal.id: at.store.utterance(proposal.utterance_id) for proposal in found}
        if as_json:
            proposals = [{"proposal": p, "utterance": heard[p.id]} for p in found]
            print_json({"proposals": proposals, "set_aside": aside})
            return
        out.print(screen.proposals(found, heard) if found else "nothing waits for approval")
        for fact in aside:
            out.print(
                f"kept out of edits: {fact.id}  {fact.statement}  {fact.quarantine_reason}", markup=False
            )


@app.command()
def approve(
    ids: Annotated[list[str], typer.Argument(metavar="PROPOSAL...", help="What `review` lists.")],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Make proposals facts, as if they had just been heard."""
    with opened(config, tenant) as at:
        recorded = [at.store.approve(id_) for id_ in ids]
        if as_json:
            print_json({"recorded": recorded})
            return
        for done in recorded:
            for fact in (*([done.fact] if done.fact else ()), *done.superseded, *done.retracted):
                out.print(f"{fact.id} is {fact.status}: {fact.statement}", markup=False)


@app.command()
def decline(
    ids: Annotated[list[str], typer.Argument(metavar="PROPOSAL...", help="What `review` lists.")],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Never make these proposals facts."""
    with opened(config, tenant) as at:
        declined = [at.store.decline(id_) for id_ in ids]
        if as_json:
            print_json({"declined": declined})
            return
        for proposal in declined:
            out.print(f"{proposal.id} is declined: {proposal.candidate.statement}", markup=False)


@app.command()
def pending(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """List what waits for a cycle, and what waits for `release`."""
    with opened(config, tenant) as at:
        learn, unlearn = plan.waiting(at.store)
        aside = at.store.facts(statuses=[FactStatus.HELD, FactStatus.QUARANTINED])
        if as_json:
            print_json({"learn": learn, "unlearn": unlearn, "set_aside": aside})
            return
        claimed = [] if learn else at.store.facts(statuses=[FactStatus.CLAIMED])
        n_taken = screen.count(len(claimed), "fact")
        taken = f"{n_taken} in a cycle; if it was killed, the next one goes on with them"
        print_facts(learn, False, taken if claimed else "nothing waits to be learned")
        for fact in unlearn:
            out.print(f"to be unlearned: {fact.id}  {fact.statement}", markup=False)
        for fact in aside:
            why = fact.quarantine_reason or "its adapter was reverted"
            out.print(f"set aside: {fact.id}  {fact.statement}  {why}", style="dim", markup=False)
