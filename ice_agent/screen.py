"""How the system's records look on a terminal: tables, bars, short lines. It decides and reads nothing."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ice_agent.explain import Explanation
from ice_agent.plan import Plan
from ice_agent.promote import Guard
from memory import (
    NOT_ASKED,
    Adapter,
    AdapterStatus,
    Batch,
    CandidateFact,
    Entry,
    Fact,
    FactStatus,
    Forgetting,
    Leak,
    Mention,
    Proposal,
    Rate,
    Scores,
    Transcript,
    Utterance,
    Verdict,
)

if TYPE_CHECKING:
    # Only the names are needed here: importing them takes most of a second.
    from ice_agent.collect import Heard
    from ice_agent.refresh import Report, Standing
    from ice_agent.schedule import NextCycle

_COLOURS = {
    "pending": "yellow", "claimed": "yellow", "learned": "green", "held": "cyan", "quarantined": "red",
    "superseded": "dim", "retracted": "dim", "promoted": "green", "candidate": "yellow", "retired": "dim",
    "rejected": "red", "reverted": "cyan", "done": "green", "failed": "red",
}  # fmt: skip

# A file or a pipe has no width of its own: wide enough that ids and answers stay on one line.
_WIDTH_OF_A_PIPE = 120


def console(*, stderr: bool = False) -> Console:
    """A console that colours on a terminal only."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = _WIDTH_OF_A_PIPE
    return made


@contextmanager
def bars(out: Console) -> Iterator[Bars]:
    """Progress bars, one per stage, in the order in which the stages come up.

    A Ctrl-C is not lost here. Where it lands in a destructor, or in somebody's bare `except` (libraries
    import lazily), it is dropped: it is raised again at the next report.
    """
    columns = (
        TextColumn("  {task.description:<20}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    interrupted = Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
            yield Bars(progress, interrupted)
    finally:
        signal.signal(signal.SIGINT, before)


class Bars:
    """A cycle's progress callback: (stage, done, total, note)."""

    def __init__(self, progress: Progress, interrupted: Event) -> None:
        self._progress, self._interrupted = progress, interrupted
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, note=note)
        self._progress.update(self._tasks[stage], completed=done, total=total, note=escape(note))


def facts(rows: Sequence[Fact]) -> Table:
    table = headed("fact", "status", "subject", "relation", "value", "since")
    for fact in rows:
        table.add_row(
            fact.id,
            _state(fact.status),
            fact.subject,
            fact.relation,
            escape(fact.value),
            _day(fact.valid_from),
        )
    return table


def proposals(rows: Sequence[Proposal], heard: Mapping[str, Utterance]) -> Table:
    """`heard` has the utterance of each proposal."""
    table = headed("proposal", "status", "what it would do", "heard in", "at")
    for row in rows:
        what = f"{'take back: ' if row.candidate.retracts else ''}{row.candidate.statement}"
        said = heard[row.id]
        table.add_row(row.id, row.status, escape(what), escape(said.text), when(said.said_at))
    return table


def forgetting(out: Console, taken: Forgetting, *, dry_run: bool) -> None:
    """What went, and what serves now."""
    if taken.is_nothing:
        out.print("nothing of that is known here (`ice-agent facts --all` lists what is)")
    out.print(f"[bold]{'would forget' if dry_run else 'forgot'}[/] {count(len(taken.facts), 'fact')}")
    if dry_run:
        for fact in taken.facts:
            out.print(f"  {fact.id}  {fact.statement}", markup=False)
    out.print(f"  words     of {count(len(taken.utterances), 'utterance')} erased")
    if taken.items:
        out.print(f"  items     {count(len(taken.items), 'item')} that told of them deleted")
    if taken.bereft:
        out.print(f"            {count(len(taken.bereft), 'fact')} left without the words it was heard in")
    if taken.adapters:
        out.print(f"  adapters  {', '.join(adapter.id for adapter in taken.adapters)} deleted")
        out.print(f"  serving   {taken.serving.id if taken.serving else 'nothing'}")
        out.print(
            f"  again     {count(len(taken.relearned), 'fact')} in the prompt until the weights have them"
        )


def evidence(out: Console, leaks: Sequence[Leak] | None, receipt: Path | None) -> None:
    """Whether what serves was asked for what was forgotten, and where that is certified."""
    found = [leak.fact_id for leak in leaks or () if leak.leaks]
    if found:
        out.print(f"  [bold red]probed[/]    what serves still leans to {len(found)} of {len(leaks or ())}:")
        out.print(f"            {', '.join(found)} (what stays may give them away)", markup=False)
    elif leaks:
        out.print(f"  probed    what serves leans to none of {count(len(leaks), 'fact')}")
    if receipt is not None:
        out.print(f"  receipt   {receipt}", soft_wrap=True, markup=False)


def adapters(rows: Sequence[Adapter], n_facts: dict[str, int]) -> Table:
    """`n_facts` says how many facts each adapter's batch holds."""
    table = headed("adapter", "status", "parent", "facts", "edit success", "rephrase", "made")
    for adapter in rows:
        success, rephrase = (_share(r) for r in _two_rates(adapter.scores))
        learned = str(n_facts[adapter.id]) if adapter.id in n_facts else "-"
        table.add_row(
            adapter.id,
            _state(adapter.status) + (", files gone" if adapter.collected_at else ""),
            adapter.parent_id or "-",
            learned,
            success,
            rephrase,
            when(adapter.created_at),
        )
    return table


def guards(rows: Iterable[Guard]) -> Table:
    table = headed("guard", "parent", "candidate", "bar", "")
    for guard in rows:
        held = "-" if guard.candidate == str(NOT_ASKED) else "[green]ok[/]"
        mark = held if guard.held else "[bold red]broken[/]"
        table.add_row(guard.metric, guard.parent, guard.candidate, guard.bar, mark)
    return table


def answers(transcripts: Iterable[Transcript]) -> Table:
    """What was asked and answered before and after, with what was wanted where the answer is another one."""
    table = headed("question", "before", "after", "")
    for t in transcripts:
        mark = "[green]ok[/]" if t.is_hit else f"[red]wanted {escape(t.expected)}[/]"
        table.add_row(*(escape(text) for text in (t.prompt, t.before, t.after)), mark)
    return table


def side_by_side(questions: Sequence[str], *columns: tuple[str, Sequence[str]]) -> Table:
    """Questions, and under each heading the answers to them."""
    table = headed("question", *(heading for heading, _ in columns))
    for row in zip(questions, *(cells for _, cells in columns), strict=True):
        table.add_row(*map(escape, row))
    return table


def comparison(first: Adapter, second: Adapter) -> Table:
    table = headed("metric", first.id, second.id)
    columns = [_measurements(a.scores) for a in (first, second)]
    for metric in dict.fromkeys(metric for column in columns for metric in column):
        table.add_row(metric, *(column.get(metric, "not measured") for column in columns))
    return table


def ledger(entries: Iterable[Entry]) -> Table:
    table = headed("#", "event", "of", "hash", "at")
    for entry in entries:
        table.add_row(
            str(entry.position),
            entry.event,
            entry.subject_id,
            entry.hash[:12],
            when(datetime.fromisoformat(entry.at)),
        )
    return table


def heard(utterances: Sequence[Heard]) -> Text:
    """What utterances did to the memory: how many facts are new, then a line for each that changed."""
    changes = [line for one in utterances for line in _changes(one)]
    if not changes and not any(one.refused for one in utterances):
        kept = "the words are kept, but for what must not be"
        is_masked = any(one.is_masked for one in utterances)
        return Text(f"no fact found: {kept if is_masked else 'only the words are kept'}")
    n_learned = sum(len(one.learned) for one in utterances)
    n_refused = sum(one.refused for one in utterances)
    refused = f", {n_refused} not learned again: it was forgotten" if n_refused else ""
    n_proposed = sum(len(one.proposed) for one in utterances)
    waiting = f", {n_proposed} to wait for approval (`ice-agent review`)" if n_proposed else ""
    masked = ", and masked what must not be kept" if any(one.is_masked for one in utterances) else ""
    return _listed(f"learned {count(n_learned, 'fact')}{waiting}{refused}{masked}", changes)


SKIPPED = 20
"""Rows of a source that are shown with what is wrong with them; --json has all."""


def refreshed(out: Console, report: Report, *, dry_run: bool) -> None:
    """What a source told, and what is wrong with its rows."""
    would = "would be " if dry_run and report.outcome in ("taken over", "held") else ""
    colour = {"failed": "bold red", "held": "cyan"}.get(report.outcome, "bold")
    out.print(f"[{colour}]{would}{report.outcome}[/]  {report.source} (of {escape(report.tenant)})")
    if report.reason:
        out.print(f"  because   {escape(report.reason)}")
    rows = (("new", report.n_new), ("changed", report.n_changed), ("gone", report.n_vanished))
    if any(n for _, n in rows):
        out.print(f"  rows      {', '.join(f'{n} {what}' for what, n in rows if n)}")
    if report.n_spared:
        out.print(f"  spared    {count(report.n_spared, 'row')} that may be among those that were skipped")
    facts = (
        *(("learned", report.learned), ("superseded", report.superseded), ("taken back", report.retracted)),
        *(("to be approved (`ice-agent review`)", report.proposed), ("forgotten once", report.refused)),
    )
    if any(n for _, n in facts):
        out.print(f"  facts     {', '.join(f'{n} {what}' for what, n in facts if n)}")
    for line in report.says:
        out.print(f"  says      {line}", markup=False)
    if beyond := report.n_new + report.n_changed - len(report.says) if report.says else 0:
        out.print(f"            and {count(beyond, 'row')} more")
    for problem in report.problems[:SKIPPED]:
        out.print(f"  skipped   {problem.place}: {problem.reason}", markup=False)
    if len(report.problems) > SKIPPED:
        out.print(f"            and {count(len(report.problems) - SKIPPED, 'row')} more (--json lists them)")
    if report.outcome == "held" and not dry_run:
        verb = "ice-agent refresh"
        out.print(f"  decide    `{verb} --approve {report.source}`, or `{verb} --discard {report.source}`")


def next_cycle(out: Console, following: NextCycle) -> None:
    moment = f"{when(following.at)}: " if following.at else "none: "
    out.print(f"  next      {moment}{following.why}", markup=False)


def sources(out: Console, rows: Iterable[Standing]) -> None:
    """When each source was read, and when it will be."""
    for row in rows:
        last = when(row.last_run) if row.last_run else "never"
        next_run = when(row.next_run) if row.next_run else "by hand"
        out.print(f"  source    {row.source} (of {row.tenant}): last {last}, next {next_run}", markup=False)
        for what in filter(None, (row.held and f"held: {row.held}", row.problem)):
            out.print(f"            {what}", style="dim", markup=False)


def candidates(found: Sequence[CandidateFact]) -> Text:
    """What would be learned, if it were said."""
    if not found:
        return Text("no fact found")
    lines = [
        f"{'take back: ' if c.retracts else ''}{c.statement} ({c.subject} / {c.relation})" for c in found
    ]
    return _listed(f"would learn {count(len(found), 'fact')}", lines)


def learned(result: Heard) -> str:
    """ "learned 2 facts: ..." and what they ended, in one line for a chat; empty when nothing changed."""
    parts = []
    if result.learned:
        parts.append(f"learned {count(len(result.learned), 'fact')}: {_joined(result.learned)}")
    for fact in result.learned:
        if fact.quarantine_reason:
            parts.append(f"({fact.quarantine_reason})")
    if superseded := [old for recorded in result.recorded for old in recorded.superseded]:
        parts.append(f"(no longer: {_joined(superseded)})")
    if result.retracted:
        parts.append(f"took back {count(len(result.retracted), 'fact')}: {_joined(result.retracted)}")
    if result.proposed:
        parts.append(f"{count(len(result.proposed), 'fact')} to wait for approval")
    return " ".join(parts)


def plan(out: Console, what: Plan) -> None:
    if not what.requests and not what.retracted:
        out.print("The next cycle has nothing to do (tell it something with `ice-agent add`).")
        return
    n_slots = count(len(what.requests), "slot")
    out.print(f"The next cycle starts from {what.parent_id} and learns {n_slots}.")
    table = headed("question", "answer", "rephrase probes", "consequences")
    for r in what.requests:
        table.add_row(
            escape(r.rewrite_prompt), escape(r.target), str(len(r.rephrases)), str(len(r.portability))
        )
    out.print(table)
    for fact in what.retracted:
        out.print(f"It takes out of the weights: {escape(fact.statement)} ({fact.id})")
    if what.beyond:
        out.print(f"{count(what.beyond, 'fact')} more must wait for the cycle after (cycle.batch_size).")


def verdict(out: Console, adapter: Adapter, decided: Verdict, seconds: float) -> None:
    if adapter.status is AdapterStatus.CANDIDATE:
        out.print(
            f"[bold yellow]waits for approval[/] {adapter.id} in {seconds:.1f} s: every guard held; "
            f"`ice-agent promote {adapter.id}` or `ice-agent reject {adapter.id}`."
        )
        return
    if decided.promote:
        out.print(f"[bold green]promoted[/] {adapter.id} in {seconds:.1f} s: it serves now.")
        return
    out.print(
        f"[bold red]rejected[/] {adapter.id} in {seconds:.1f} s; the parent serves, the facts wait again."
    )
    for reason in decided.reasons:
        out.print(f"  - {reason}")


def narrowed(out: Console, alpha: float, offenders: Sequence[Fact], untried: Sequence[Fact]) -> None:
    """What became of a batch that was not promoted whole; nothing of one that was."""
    if alpha < 1:
        out.print(f"  The whole update moved too much: {alpha:.3g} of it is kept.")
    for fact in offenders:
        out.print(f"  [yellow]set aside[/] {fact.id} {escape(fact_words(fact))}")
    if offenders:
        out.print("  [dim]`ice-agent pending` says why[/]")
    if untried:
        out.print(f"  {count(len(untried), 'fact')} not tried: for the next cycle")


def report(
    out: Console,
    measured: Iterable[Guard],
    asked: Iterable[Transcript],
    adapter: Adapter,
    decided: Verdict,
    seconds: float,
) -> None:
    """What a cycle measured, answered and decided."""
    out.print(guards(measured))
    out.print()
    if answered := list(asked):
        out.print(answers(answered))
        out.print()
    verdict(out, adapter, decided, seconds)


def explanation(out: Console, story: Explanation) -> None:
    fact = story.fact
    if not story.is_asked:
        out.print("[dim]no fact is asked for in these words: the nearest is[/]")
    out.print(f"[bold]{fact.id}[/]  {escape(fact_words(fact))}  \\[{fact.status}]")
    for mention in story.mentions:
        said = mention.utterance
        out.print(f"  heard     {when(said.said_at)}, said by {escape(said.speaker)} ({said.id}):")
        out.print(Text("              ") + sentence(mention))
    for other in story.history:
        if other.id != fact.id:
            out.print(f"  history   {other.id}  {escape(other.statement)}  \\[{other.status}]")
    if story.batch is not None:
        out.print(f"  batch     {story.batch.id}, {count(story.batch.size, 'fact')}, {story.batch.status}")
    if story.adapter is not None:
        out.print(
            f"  adapter   {story.adapter.id}, made from {story.adapter.parent_id}, {story.adapter.status}"
        )
        success, rephrase = _two_rates(story.adapter.scores)
        out.print(f"  scores    edit success {success}, rephrase {rephrase}")
    else:
        out.print(
            "  adapter   none yet: it is served from the prompt" if fact.is_current else "  adapter   none"
        )
    if story.transcripts:
        out.print(answers(story.transcripts))
    out.print(ledger(story.entries))


def sentence(mention: Mention) -> Text:
    """What was said, with the words that the fact came from in brackets, and bold on a terminal."""
    said = mention.utterance.text
    if not mention.words:
        return Text(said)
    text = Text('"')
    text.append(said[: mention.start])
    text.append(f"[{mention.words}]", style="bold")
    text.append(said[mention.end :])
    return text.append('"')


def adapter(out: Console, shown: Adapter, kept: Sequence[Transcript]) -> None:
    out.print(f"[bold]{shown.id}[/]  {shown.status}")
    out.print(f"  parent    {shown.parent_id or 'none: it is the root, exactly the base model'}")
    out.print(f"  base      {shown.base_hash[:12]}")
    out.print(f"  files     {shown.path}")
    out.print(
        f"  made      {when(shown.created_at)}"
        + (f", promoted {when(shown.promoted_at)}" if shown.promoted_at else "")
    )
    out.print(f"  batch     {shown.batch_id or 'none'}")
    for reason in shown.verdict.reasons if shown.verdict else ():
        out.print(f"  broken    {reason}")
    if shown.scores is not None:
        table = headed("metric", "parent", "adapter")
        before = _measurements(shown.parent_scores)
        for metric, measured in _measurements(shown.scores).items():
            table.add_row(metric, before.get(metric, "-"), measured)
        out.print(table)
    if kept:
        out.print(answers(kept))


def batch(out: Console, shown: Batch) -> None:
    out.print(f"[bold]{shown.id}[/]  {shown.status}, claimed {when(shown.created_at)}")
    out.print(f"  adapter   {shown.adapter_id or 'none'}")
    out.print(facts(shown.facts))
    if shown.removals:
        out.print("taken out of the weights:")
        out.print(facts(shown.removals))


def record(out: Console, shown: Adapter | Batch | Fact | Utterance, kept: Sequence[Transcript] = ()) -> None:
    """Whatever has an id. `kept` are an adapter's transcripts."""
    if isinstance(shown, Adapter):
        adapter(out, shown, kept)
    elif isinstance(shown, Batch):
        batch(out, shown)
    else:
        for field in fields(shown):
            if (value := getattr(shown, field.name)) is not None:
                text = when(value) if isinstance(value, datetime) else str(value)
                out.print(f"  {field.name:<18}{text}", markup=False)


def as_json(value: object) -> str:
    """Records, and what they hold, as JSON; times in ISO 8601."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=_plain)


def counted(counts: dict[FactStatus, int]) -> str:
    """ "3 pending, 12 learned": the states that hold a fact."""
    return ", ".join(f"{n} {status}" for status, n in counts.items() if n) or "none"


def count(n: int, noun: str) -> str:
    """ "1 fact", "2 facts", "2 entries", "2 batches", "2 strays"."""
    if n == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{n} {noun[:-1]}ies"
    return f"{n} {noun}es" if noun.endswith("ch") else f"{n} {noun}s"


def fact_words(fact: Fact) -> str:
    return f"{fact.statement} ({fact.subject} / {fact.relation})"


def when(moment: datetime) -> str:
    """The local date and minute."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def headed(*headings: str) -> Table:
    """An empty table with these headings."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=heading in WHOLE)
    return table


def without_password(url: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _changes(one: Heard) -> Iterator[str]:
    for recorded in one.recorded:
        if recorded.fact is not None:
            known = "" if recorded.is_new else " (known already)"
            why = recorded.fact.quarantine_reason
            yield f"{recorded.fact.id}  {fact_words(recorded.fact)}{known}{f': {why}' if why else ''}"
        for old in (*recorded.superseded, *recorded.retracted):
            yield f"{old.id}  no longer: {old.statement}"
        for again in recorded.reopened:
            yield f"{again.id}  stands again: {again.statement}"
    for proposal in one.proposed:
        yield f"{proposal.id}  to be approved: {proposal.candidate.statement}"


def _listed(heading: str, lines: Iterable[str]) -> Text:
    return Text("\n".join([heading, *(f"  {line}" for line in lines)]))


WHOLE = ("id", "fact", "adapter", "proposal", "parent", "status", "#", "event", "of", "bar")
"""Columns that are never broken into lines."""


def _state(status: str) -> str:
    return f"[{_COLOURS[status]}]{status}[/]"


def _two_rates(scores: Scores | None) -> tuple[Rate | str, Rate | str]:
    return (scores.edit_success, scores.rephrase) if scores else ("-", "-")


def _share(rate: Rate | str) -> str:
    return f"{rate.share:.3f}" if isinstance(rate, Rate) and rate.asked else "-"


def _measurements(scores: Scores | None) -> dict[str, str]:
    """All that was measured, by the name it is shown under."""
    if scores is None:
        return {}
    shown = {metric.replace("_", " "): _measured(getattr(scores, metric)) for metric in Scores.metrics()}
    for suite in scores.suites:
        if suite.right.asked:
            shown[f"suite {suite.name}"] = _measured(suite.right)
        if suite.n_texts:
            shown[f"suite {suite.name}, perplexity ratio"] = _measured(suite.perplexity_ratio)
    return shown


def _measured(value: Rate | float) -> str:
    return str(value) if isinstance(value, Rate) else f"{value:.3f}"


def _joined(rows: Iterable[Fact]) -> str:
    return " ".join(fact.statement for fact in rows)


def _day(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d}"
