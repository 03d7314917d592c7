"""Verbs that say where something came from, and whether it is as it was recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ice_agent import explain, outgoing, plan, screen
from ice_agent.cli.app import (
    AsJson,
    ConfigPath,
    Place,
    TenantName,
    app,
    err,
    load_model,
    note_unknown,
    opened,
    out,
    print_json,
)
from ice_agent.errors import CycleError
from memory import (
    AccessRole,
    Forgetting,
    Leak,
    Notary,
    now,
)

if TYPE_CHECKING:
    # Only the name is needed here: importing it takes seconds.
    from ice_agent.cycle import CycleReport


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
def verify(
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Held against this [default: the newest]."),
    ] = None,
    receipt: Annotated[
        Path | None,
        typer.Option("--receipt", metavar="FILE", help="What was forgotten: is it still gone?"),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="The public key these are checked with [default: ledger.key's]."),
    ] = None,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Check the ledger, what was signed of it, and the adapters' files.

    Of all tenants, unless one is named. Exit code 1: something is not as it was recorded.
    """
    with opened(config, tenant) as at:
        # Here, because importing what forgets takes most of a second.
        from ice_agent import verify as verifying

        only = [tenant] if tenant else None
        checked = verifying.everything(
            at.archive, at.config, only, checkpoint=checkpoint, receipt=receipt, key=key
        )
        if as_json:
            found = {"entries": checked.n_entries, "signed_tips": checked.n_signed}
            print_json({"ok": checked.ok, **found, "problems": checked.problems})
        elif checked.ok:
            sound = "what they vouch for and the files are as recorded"
            out.print(f"[green]ok[/]: {screen.count(checked.n_entries, 'entry')}; {sound}")
            if checked.n_signed is not None:
                out.print(f"    {screen.count(checked.n_signed, 'signed tip')}: each where it was signed")
        for problem in checked.problems if not as_json else ():
            out.print(f"[red]problem[/] {problem}")
        if not checked.ok:
            raise typer.Exit(1)


@app.command("checkpoint")
def sign_checkpoint(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Sign where the ledger ends.

    For all tenants at once, with the key of the settings, into a file. Keep a copy of it elsewhere: it shows
    later whether the database was set back or rewritten.
    """
    with opened(config, None) as at:
        notary = Notary.at(at.config.ledger.key, at.archive.origin)
        signed = at.archive.checkpoint()
        path = notary.sign(signed, at.config.ledger.checkpoints)
        if as_json:
            print_json({"checkpoint": str(path), "signed_tips": signed.size, "key": str(notary.key)})
            return
        out.print(f"signed {screen.count(signed.size, 'tip')}: {path}", soft_wrap=True)
        out.print(f"  public key  {notary.key}", soft_wrap=True, markup=False)


@app.command()
def prove(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A fact, utterance, batch or adapter.")],
    opening: Annotated[
        bool,
        typer.Option("--open", help="Show what was committed to, to whoever has the proof."),
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Under this [default: the newest]."),
    ] = None,
    config: ConfigPath = None,
    tenant: TenantName = None,
) -> None:
    """Prove, as JSON, that something is under a checkpoint.

    `python -m memory.audit PROOF --key KEY` checks it without the database.
    """
    with opened(config, tenant) as at:
        from ice_agent import verify as verifying

        print_json(verifying.proof(at.archive, at.config, at.store.tenant, id_, checkpoint, opening=opening))


@app.command()
def consistency(
    older: Annotated[Path, typer.Argument(metavar="OLDER", help="A checkpoint.")],
    newer: Annotated[Path, typer.Argument(metavar="NEWER", help="A later one.")],
    config: ConfigPath = None,
) -> None:
    """Prove, as JSON, that a checkpoint only adds to an older one."""
    with opened(config, None) as at:
        from ice_agent import verify as verifying

        notes = verifying.read(older), verifying.read(newer)
        print_json(at.archive.consistency(*notes, verifying.public_key(at.archive, at.config)))


@app.command()
def export(
    ledger_only: Annotated[
        bool, typer.Option("--ledger", help="Without what was said: the chain and what was signed of it.")
    ] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
) -> None:
    """Print all that is held about a tenant, as JSON lines.

    `python -m memory.audit FILE` checks it without the database.
    """
    with opened(config, tenant) as at:
        for row in (*at.store.export(), *at.archive.export_log()):
            if not ledger_only or row["kind"] in ("entry", "tip", "signed_tip"):
                print(json.dumps(row, ensure_ascii=False))


@app.command()
def forget(
    ids: Annotated[list[str] | None, typer.Argument(metavar="FACT...", help="Facts, by their ids.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="NAME", help="All about somebody or something.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go; change nothing.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild/--no-rebuild", help="Teach the weights what stays, at once.")
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", help="Forget all of a tenant unasked.")] = False,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Erase facts, or with --tenant alone all that is held about somebody.

    Rows, words, and every adapter that was taught one: the last clean one serves at once. What stays is
    taught to the weights again, unless --no-rebuild leaves that to the next cycle.
    """
    if not ids and subject is None and tenant is None:
        raise typer.BadParameter("name facts, a --subject, or a --tenant to forget all of")
    from ice_agent import forget as erasing

    with opened(config, tenant, delivers=True) as at:
        if not ids and subject is None:
            _forget_everything(at, dry_run=dry_run, yes=yes, as_json=as_json)
            return
        taken = at.store.foresee(ids or (), subject)
        if taken.is_nothing and not dry_run:
            raise CycleError("nothing of that is known here (`ice-agent facts --all` lists what is)")
        if not dry_run:
            # A key that cannot be used is said before anything is erased.
            notary = Notary.at(at.config.ledger.key, at.archive.origin)
            taken = erasing.forget(at.store, at.config, ids or (), subject)
        after = _After()
        try:
            if rebuild and taken.adapters and not dry_run:
                _rebuild(at, taken, after)
        finally:
            # What is erased is erased, also when teaching the rest again was broken off.
            if taken.entries:
                after.receipt = erasing.certify(
                    at.archive, at.config, notary, taken,
                    serving=at.store.serving(), rebuilt=[r.adapter for r in after.reports], leaks=after.leaks,
                )  # fmt: skip
        if as_json:
            verdicts = [report.verdict for report in after.reports]
            done = {"rebuilt": verdicts, "probe": after.leaks, "receipt": after.receipt}
            print_json({"dry_run": dry_run, "forgotten": taken, **done})
            return
        screen.forgetting(out, taken, dry_run=dry_run)
        for report in after.reports:
            screen.verdict(out, report.adapter, report.verdict, report.seconds)
        screen.evidence(out, after.leaks, after.receipt)


@app.command()
def allow(
    text: Annotated[str, typer.Argument(help="What was forgotten, as it would be said.")],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Let something that was forgotten be learned again, when it is said again."""
    from ice_agent import forget as forgetting

    with opened(config, tenant) as at:
        allowed = forgetting.allowed(at.store, at.config, text)
        if as_json:
            print_json({"allowed": allowed})
            return
        for candidate in allowed:
            out.print(f"may be learned again: {candidate.statement}", markup=False)
        if not allowed:
            out.print("nothing in it was forgotten")


@app.command()
def keys(
    issue: Annotated[
        str | None, typer.Option("--issue", metavar="LABEL", help="Make a key; LABEL says who holds it.")
    ] = None,
    role: Annotated[
        AccessRole, typer.Option("--role", help="What a key made with --issue may do.")
    ] = AccessRole.OPERATE,
    revoke: Annotated[
        str | None, typer.Option("--revoke", metavar="KEY", help="Make a key, by its id, open nothing.")
    ] = None,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """List the keys that let a caller into a tenant's memory, make one, or revoke one.

    chat: answers, and memories to tell and search; operate: that, and facts, cycles and adapters; audit: to
    read facts, adapters and the ledger. A key is shown once, when it is made: only a hash of it is kept.
    """
    if issue is not None and not issue.strip():
        raise typer.BadParameter("a label says who holds the key: give it a word", param_hint="--issue")
    with opened(config, tenant) as at:
        opens = None
        if issue is not None:
            _, opens = at.store.keys.issue(issue, role)
        if revoke is not None:
            at.store.keys.revoke(revoke)
        found = at.store.keys.every()
        if as_json:
            print_json({"tenant": at.store.tenant, "keys": found, "issued": opens})
            return
        for key in found:
            ended = f"revoked {screen.when(key.revoked_at)}" if key.revoked_at else ""
            issued = f"issued {screen.when(key.issued_at)}"
            out.print(f"{key.id}  {key.role:<7}  {key.label}  {issued}  {ended}", markup=False)
        if not found:
            out.print("no keys (make one with --issue LABEL)")
        if opens is not None:
            out.print(f"it opens with this, which is not shown again: {opens}", soft_wrap=True, markup=False)


@app.command()
def status(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """Say what serves, what waits, when the next cycle starts and why, and when sources are read."""
    from ice_agent import hooks
    from ice_agent.refresh import standing
    from ice_agent.schedule import described, next_cycle

    with opened(config, tenant) as at:
        note_unknown(at, tenant)
        serving, counts, tip = (
            at.store.serving(),
            at.store.counts(),
            at.store.tip(),
        )
        waiting, in_prompt = plan.n_waiting(at.store), len(at.store.recall())
        url, runs = screen.without_password(at.config.store.url), described(at.config.schedule)
        read = standing(at.archive, at.config, now())
        backlog = at.archive.backlog(at.store.tenant)
        following = next_cycle(backlog, at.config.schedule, at.config.cycle, now())
        engine, published = at.config.publish.engine, at.archive.publications.of(at.store.tenant)
        unheard = hooks.lacking(at.config.hooks)
        if as_json:
            shown = {
                "hooks": unheard,
                "store": url,
                "waiting": waiting,
                "published": published if engine else None,
                "in_prompt": in_prompt,
                "schedule": runs,
                "next_cycle": following,
                "failures": backlog.failures,
                "sources": read,
                "ledger": tip,
            }
            print_json({"tenant": at.store.tenant, "serving": serving, "facts": counts, **shown})
            return
        out.print(f"[bold]{at.store.tenant}[/] in {url}")
        out.print(f"  serving   {serving.id if serving else 'nothing: run `ice-agent init`'}")
        out.print(f"  facts     {screen.counted(counts)}; {in_prompt} in the prompt")
        out.print(f"  waiting   {screen.count(waiting, 'fact')} for the next cycle")
        out.print(f"  schedule  {runs}, while `ice-agent run` or `ice-agent worker` runs")
        screen.next_cycle(out, following)
        screen.sources(out, read)
        if engine:
            outgoing.publication(out, published, engine)
        if unheard:
            out.print(f"  hooks     none is told: {unheard}", markup=False)
        out.print(f"  ledger    {screen.count(tip.position, 'entry')}, tip {tip.hash[:12]}")


def _forget_everything(at: Place, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    held, receipt = [row["kind"] for row in at.store.export()], None
    counts = {kind: held.count(kind) for kind in ("fact", "utterance", "proposal", "batch", "adapter")}
    if not dry_run:
        from ice_agent import forget as erasing

        if not yes:
            typer.confirm(f"Forget all that is held about {at.store.tenant}?", abort=True, err=True)
        _, receipt = erasing.attested(
            at.archive, at.store, at.config, lambda: erasing.forget_everything(at.store, at.config)
        )
    if as_json:
        done = {"tenant": at.store.tenant, "forgotten": counts, "receipt": receipt}
        print_json({"dry_run": dry_run, **done})
        return
    what = ", ".join(screen.count(n, kind) for kind, n in counts.items() if n)
    out.print(f"{'would forget' if dry_run else 'forgot'} all about {at.store.tenant}: {what or 'nothing'}")


@dataclass
class _After:
    """What was done about the weights, as far as it came."""

    reports: tuple[CycleReport, ...] = ()
    leaks: tuple[Leak, ...] | None = None
    receipt: Path | None = None


def _rebuild(at: Place, taken: Forgetting, after: _After) -> None:
    """Teach the weights again what stays, where something waits for that, and ask them for what is gone.

    Nobody is asked when nothing is taught: the adapter that serves then was made before the fact was known.
    """
    if plan.n_waiting(at.store) == 0:
        return
    from ice_agent import leak
    from ice_agent.ice_editor import IceEditor
    from ice_agent.rebuild import rebuild

    model = load_model(at.config)
    with screen.bars(err) as progress:
        after.reports = rebuild(at.store, IceEditor(model, at.config), at.config, progress)
        suspects = leak.suspects(taken.facts, at.store.facts())
        adapter_id = plan.serving(at.store).id
        after.leaks = leak.probe(model, adapter_id, suspects, progress=progress)
