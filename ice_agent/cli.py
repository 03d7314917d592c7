"""The command line: each verb reads its words, calls one function and prints what it returns.

People get tables; `--json` gives one object on stdout, everything else goes to stderr. torch and transformers
are imported inside the verbs that need a model, so that the others start at once.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

import ice_agent
from ice_agent import config as settings
from ice_agent import explain, plan, promote, screen
from ice_agent.config import Config
from ice_agent.errors import CycleError, IceError
from memory import Adapter, Archive, Fact, FactStatus, FactStore, StoreError

if TYPE_CHECKING:
    # Only the names are needed here: importing them takes seconds.
    from ice_agent.cycle import CycleReport
    from ice_agent.model import EditableModel

REJECTED = 3
INTERRUPTED = 130

app = typer.Typer(
    help="A memory for language models that ends up in their weights.",
    epilog="Settings: config.toml and ICE_* variables. Options of a verb: ice-agent VERB --help",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out, err = screen.console(), screen.console(stderr=True)

ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", metavar="PATH", help="Settings file [default: ./config.toml, if any]."),
]
TenantName = Annotated[
    str | None,
    typer.Option("--tenant", metavar="NAME", help="Whose memory [default: agent.tenant in the settings]."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def main() -> NoReturn:
    """The console script."""
    sys.exit(run_verb(sys.argv[1:]))


def run_verb(arguments: Sequence[str]) -> int:
    """Run one verb and return its exit code. What the system refuses is one line on stderr."""
    words = list(arguments) or ["--help"]
    try:
        code = typer.main.get_command(app).main(words, prog_name="ice-agent", standalone_mode=False)
    except typer.TyperException as error:
        verb = getattr(getattr(error, "ctx", None), "command_path", "ice-agent")
        return _complain(f"{error.format_message().rstrip('.')} (see `{verb} --help`)", error.exit_code)
    except (IceError, StoreError, OSError) as error:
        return _complain(str(error), 1)
    except typer.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def verbs() -> dict[str, set[str]]:
    """The verbs in their order, each with its options."""
    group: Any = typer.main.get_command(app)
    return {n: {o for p in verb.params for o in p.opts} for n, verb in group.commands.items()}


def _complain(message: str, code: int) -> int:
    print(f"ice-agent: {' '.join(message.split())}", file=sys.stderr)
    return code


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a verb works: the settings, all that is remembered, and what the tenant told."""

    config: Config
    archive: Archive
    store: FactStore


@contextmanager
def _opened(config_path: Path | None, tenant: str | None, *, migrate: bool = False) -> Iterator[Place]:
    config = settings.load(config_path)
    logging.basicConfig(
        level=config.logging.level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    with Archive.open(config.store.url, migrate=migrate) as archive:
        yield Place(config=config, archive=archive, store=archive.store(tenant or config.agent.tenant))


@app.callback(invoke_without_command=True)
def version(
    shown: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if shown:
        print(f"ice-agent {ice_agent.__version__}")
        raise typer.Exit


# -- telling and asking -----------------------------------------------------------------------------------


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
    from ice_agent import cycle

    with _opened(config, tenant, migrate=True) as at:
        if shared:
            at.store.declare(shared=True)
        root = cycle.init(at.store, _load_model(at.config), at.config)
        url, folder = screen.without_password(at.config.store.url), at.config.adapters.dir.absolute()
        if as_json:
            _print_json({"tenant": at.store.tenant, "store": url, "adapters": str(folder), "serving": root})
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
    with _opened(config, tenant) as at:
        plan.serving(at.store)
        from ice_agent.agent import Agent
        from ice_agent.chat import Chat

        conversation = Chat(Agent(at.store, _load_model(at.config), at.config), out, err)
        if as_json:
            _print_json({"turns": [conversation.turn(text) for text in say or ()]})
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

    utterances = [line.strip() for line in sys.stdin if line.strip()] if text == "-" else [text]
    if dry_run:
        found = [c for said in utterances for c in collect.tried(said, settings.load(config).collect)]
        _print_json({"candidates": found}) if as_json else out.print(screen.candidates(found))
        return
    with _opened(config, tenant) as at:
        extractor = collect.extractor_named(at.config.collect.extractor)
        heard = [collect.hear(at.store, at.config.collect, said, extractor) for said in utterances]
        if as_json:
            _print_json({"learned": sum(len(h.learned) for h in heard), "heard": heard})
        else:
            out.print(screen.heard(heard))


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="Words of the facts wanted.")],
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 10,
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Find facts by words."""
    with _opened(config, tenant) as at:
        _print_facts(at.store.search(" ".join(words), limit), as_json, "no fact has one of these words")


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
    with _opened(config, tenant) as at:
        found = at.store.facts(statuses=status or (FactStatus if everything else None))
        _print_facts(found, as_json, "no facts (tell it something with `ice-agent add`)")


@app.command()
def pending(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """List what waits for a cycle, and what waits for `release`."""
    with _opened(config, tenant) as at:
        learn, unlearn = plan.waiting(at.store)
        aside = at.store.facts(statuses=[FactStatus.HELD, FactStatus.QUARANTINED])
        if as_json:
            _print_json({"learn": learn, "unlearn": unlearn, "set_aside": aside})
            return
        _print_facts(learn, False, "nothing waits to be learned")
        for fact in unlearn:
            out.print(f"to be unlearned: {fact.id}  {fact.statement}", markup=False)
        for fact in aside:
            why = fact.quarantine_reason or "its adapter was reverted"
            out.print(f"set aside: {fact.id}  {fact.statement}  {why}", style="dim", markup=False)


# -- cycles -----------------------------------------------------------------------------------------------


@app.command("plan")
def show_plan(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """Show what the next cycle would do.

    Nothing is claimed or written, and no model is needed.
    """
    with _opened(config, tenant) as at:
        what = plan.plan(at.store, at.config)
        if as_json:
            _print_json(what)
            return
        screen.plan(out, what)


@app.command()
def cycle(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """Learn the pending facts now.

    Edits a candidate adapter, measures it and its parent, and promotes it only if every guard holds. Exit
    code 3: it was rejected. Ctrl-C: nothing was promoted, the facts are pending again.
    """
    from ice_agent.cycle import run_cycle

    with _opened(config, tenant) as at:
        before = plan.serving(at.store)
        try:
            model = _load_model(at.config)
            with screen.bars(err) as progress:
                report = run_cycle(at.store, model, at.config, progress)
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
def run(config: ConfigPath = None, tenant: TenantName = None) -> None:
    """Start cycles by the clock, until stopped.

    The settings under [schedule] say when. Ctrl-C or SIGTERM ends it, and interrupts a cycle that is running.
    """
    from ice_agent.cycle import run_cycle
    from ice_agent.schedule import Schedule, until

    with _opened(config, tenant) as at:
        plan.serving(at.store)
        model, stop = _load_model(at.config), Event()
        logging.getLogger("ice_agent.schedule").setLevel(logging.INFO)
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, lambda *_: stop.set())

        def promoted() -> bool:
            report = run_cycle(at.store, model, at.config, until(stop))
            screen.verdict(out, report.adapter.id, report.verdict, report.seconds)
            return report.verdict.promote

        def waiting() -> int:
            return plan.n_waiting(at.store)

        Schedule(at.config.schedule, at.config.cycle, waiting=waiting, cycle=promoted).serve(stop)


# -- adapters ---------------------------------------------------------------------------------------------


@app.command()
def adapters(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """List the adapters, oldest first."""
    with _opened(config, tenant) as at:
        found = at.store.adapters()
        if as_json:
            _print_json({"adapters": found})
            return
        n_facts = {a.id: len(at.store.batch(a.batch_id).facts) for a in found if a.batch_id}
        out.print(screen.adapters(found, n_facts) if found else "no adapters (run `ice-agent init`)")


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Any id; it may be shortened.")],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Show one adapter, fact, batch or utterance."""
    with _opened(config, tenant) as at:
        shown = explain.named(at.store, id_)
        if as_json:
            _print_json(shown)
            return
        kept = (
            explain.answers(explain.transcripts(at.config.adapters.dir, shown))
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
    with _opened(config, tenant) as at:
        one, other = (at.store.adapter(id_) for id_ in (first, second))
        if as_json:
            _print_json({"adapters": [one, other]})
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
    with _opened(config, tenant) as at:
        adapter = at.store.adapter(id_)
        if adapter.scores is None or adapter.parent_scores is None:
            raise CycleError(f"adapter {adapter.id} was never measured (run `ice-agent cycle`)")
        verdict = promote.judge(adapter.parent_scores, adapter.scores, at.config.guards)
        if verdict.promote:
            whole = explain.loadable(at.store, at.config.adapters.dir, adapter.id)
            adapter = at.store.promote(whole.id, verdict)
        if as_json:
            _print_json({"adapter": adapter, "verdict": verdict})
        elif verdict.promote:
            out.print(f"[bold green]promoted[/] {adapter.id}: it serves {at.store.tenant} now.")
        else:
            out.print(f"[bold red]not promoted[/] {adapter.id}: {'; '.join(verdict.reasons)}")
        if not verdict.promote:
            raise typer.Exit(REJECTED)


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
    with _opened(config, tenant) as at:
        target = to if to is not None else plan.serving(at.store).parent_id
        if target is not None:
            explain.loadable(at.store, at.config.adapters.dir, target)
        undone, serving = at.store.revert(to=to, retract=retract)
        if as_json:
            _print_json({"reverted": undone, "serving": serving})
            return
        out.print(f"reverted {undone.id}: [bold]{serving.id}[/] serves {at.store.tenant} again.")
        held = "Its facts are held: in the prompt, in no cycle until `ice-agent release`."
        out.print("Its facts were taken back." if retract else held)


@app.command()
def release(
    ids: Annotated[list[str], typer.Argument(metavar="FACT...", help="Facts that are held or quarantined.")],
    config: ConfigPath = None,
    tenant: TenantName = None,
    as_json: AsJson = False,
) -> None:
    """Let facts that were set aside be learned again."""
    with _opened(config, tenant) as at:
        released = [at.store.release(id_) for id_ in ids]
        if as_json:
            _print_json({"released": released})
            return
        for fact in released:
            out.print(f"{fact.id} is {fact.status}: {fact.statement}", markup=False)


# -- auditing ---------------------------------------------------------------------------------------------


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
    with _opened(config, tenant) as at:
        story = explain.explain(at.store, at.config.adapters.dir, " ".join(fact_or_question))
        if as_json:
            _print_json(story)
            return
        screen.explanation(out, story)


@app.command()
def verify(config: ConfigPath = None, tenant: TenantName = None, as_json: AsJson = False) -> None:
    """Check the ledger and the adapters' files.

    Of all tenants, unless one is named. Exit code 1: something is not as it was recorded.
    """
    with _opened(config, tenant) as at:
        checked = at.store.verify() if tenant else at.archive.verify()
        stores = [at.archive.store(each) for each in ([tenant] if tenant else at.archive.tenants())]
        damaged = [p for store in stores for p in explain.damaged(store, at.config.adapters.dir)]
        problems = [*checked.problems, *damaged]
        if as_json:
            _print_json({"ok": not problems, "entries": checked.n_entries, "problems": problems})
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

    with _opened(config, tenant) as at:
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
            _print_json({"tenant": at.store.tenant, "serving": serving, "facts": counts, **shown})
            return
        out.print(f"[bold]{at.store.tenant}[/] in {url}")
        out.print(f"  serving   {serving.id if serving else 'nothing: run `ice-agent init`'}")
        out.print(f"  facts     {screen.counted(counts)}; {in_prompt} in the prompt")
        out.print(f"  waiting   {screen.count(waiting, 'fact')} for the next cycle")
        out.print(f"  schedule  {runs}, while `ice-agent run` runs")
        out.print(f"  ledger    {screen.count(tip.position, 'entry')}, tip {tip.hash[:12]}")


@app.command()
def bench(
    sizes: Annotated[list[int] | None, typer.Option("--facts", min=1, help="In a batch [20, 100].")] = None,
    batches: Annotated[int, typer.Option("--batches", min=1, help="One after another.")] = 1,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many, from edit.seed on.")] = 3,
    methods: Annotated[str, typer.Option("--methods", help="Comma-separated, all or ablations.")] = "ice",
    edit_set: Annotated[str, typer.Option("--set", help="world, or a JSON file of edits.")] = "world",
    folder: Annotated[Path | None, typer.Option("--run", help="Folder of the run [bench/SET-ID].")] = None,
    covariance: Annotated[Path | None, typer.Option("--covariance", help="Text for ROME, MEMIT.")] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Measure editing, ours and the field's, on your model; what was measured is not measured again."""
    from ice_agent.bench import command

    try:
        with screen.bars(err) as progress:
            done = command.bench(
                settings.load(config), progress, sizes=sizes or [20, 100], batches=batches, seeds=seeds,
                methods=methods, edit_set=edit_set, folder=folder, covariance_text=covariance,
            )  # fmt: skip
    except KeyboardInterrupt:
        err.print("interrupted: what was measured is kept, the same command goes on")
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        _print_json(done.as_json)
    else:
        out.print(*done.tables)
        err.print(f"report, figures and transcripts: {done.folder}")


# -- how verbs do it --------------------------------------------------------------------------------------


def _load_model(config: Config) -> EditableModel:
    with err.status("loading the model ..."):
        from ice_agent.model import EditableModel

        return EditableModel.load(config.model, config.lora)


def _print_report(at: Place, report: CycleReport, as_json: bool) -> None:
    table = promote.table(report.before.scores, report.after.scores, at.config.guards)
    answers = explain.answers(report.after.transcripts)
    if as_json:
        told = {"promoted": report.verdict.promote, "reasons": report.verdict.reasons, "guards": table}
        made = {"adapter": report.adapter, "parent_id": report.parent_id, "batch": report.batch}
        _print_json({**told, **made, "answers": answers, "edit": report.edit, "seconds": report.seconds})
    else:
        screen.report(out, table, answers, report.adapter.id, report.verdict, report.seconds)


def _print_facts(found: Sequence[Fact], as_json: bool, when_empty: str) -> None:
    if as_json:
        _print_json({"facts": found})
    else:
        out.print(screen.facts(found) if found else when_empty)


def _print_json(value: object) -> None:
    print(screen.as_json(value))
