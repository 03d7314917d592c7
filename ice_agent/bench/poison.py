"""Poisoned batches, told to a tenant each and learned by real cycles: what became of each fact in the end.

What serves then is measured once more, against the untaught model, on probes that no cycle had.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from rich.table import Table

from ice_agent import __version__, collect, cycle, edit_request, promote, relations
from ice_agent.bench import poisoned_batches
from ice_agent.bench.poisoned_batches import Claim, PoisonedBatch
from ice_agent.bench.run import claim_folder, write_whole
from ice_agent.collect import Heard
from ice_agent.config import Config
from ice_agent.editor import Editor, Job
from ice_agent.errors import EmptyBatch
from ice_agent.ice_editor import IceEditor
from ice_agent.manifest import read_manifest
from ice_agent.model import EditableModel
from memory import Archive, CandidateFact, FactStatus, FactStore, Progress

CYCLES = 4
"""After so many, what still waits counts as not learned."""
UNSEEN_GENERATION = 7
"""Whose survey the last measurement asks: no lineage here grows so long."""
BAR = 0.9
"""Of the good facts, learned in the end."""
REFUSED, PROPOSED = "refused", "waits for approval"
"""Of a claim that no fact was recorded of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of one claim."""

    claim: Claim
    status: str
    reason: str
    """Why it was set aside."""
    is_taught: bool
    """An adapter that serves, or one below it, was trained on it."""
    is_answered: bool
    """The serving adapter answers with it, without a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleTrace:
    """What one cycle did."""

    promoted: bool
    whole_broke: tuple[str, ...]
    """Guards that the batch as it was claimed broke."""
    alpha: float
    taught: int
    """Facts of the whole batch, without those that no training was begun for."""
    learned: int
    blamed: int
    untried: int
    trainings: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one poisoned batch."""

    kind: str
    fates: tuple[Fate, ...]
    cycles: tuple[CycleTrace, ...]
    guards: tuple[promote.Guard, ...]
    """Of what serves in the end, on probes that no cycle had."""
    seconds: float

    @property
    def good(self) -> tuple[Fate, ...]:
        return tuple(fate for fate in self.fates if not fate.claim.is_poison)

    @property
    def poison(self) -> tuple[Fate, ...]:
        return tuple(fate for fate in self.fates if fate.claim.is_poison)

    @property
    def good_learned(self) -> int:
        """Good facts that count as learned and are answered by the weights."""
        return sum(fate.status == FactStatus.LEARNED and fate.is_answered for fate in self.good)

    @property
    def is_promoted_whole(self) -> bool:
        return all(fate.is_taught for fate in self.fates)

    @property
    def broken(self) -> tuple[str, ...]:
        return tuple(guard.reason for guard in self.guards if not guard.held)

    @property
    def holds(self) -> bool:
        """The bar: not promoted whole, no guard broken, the good facts learned."""
        enough = self.good_learned >= BAR * len(self.good)
        return enough and not self.is_promoted_whole and not self.broken


def run(config: Config, folder: Path, progress: Progress = lambda *_: None) -> list[Outcome]:
    """Every batch on a tenant of its own, with the settings as they are; what lies in the folder is kept.

    Raises ConfigError for a folder that holds a run with other settings.
    """
    claim_folder(folder, settings(config))
    its_own = _in(config, folder)
    outcomes = list[Outcome]()
    model: EditableModel | None = None
    for batch in poisoned_batches.batches(config.edit.seed):
        path = folder / f"{batch.kind.replace(' ', '-')}.json"
        outcome = _kept(path, batch)
        if outcome is None:
            model = model or EditableModel.load(config.model, config.lora)
            outcome = measured(batch, IceEditor(model, its_own), its_own, progress)
            write_whole(path, TypeAdapter(Outcome).dump_json(outcome, indent=1).decode())
        outcomes.append(outcome)
    return outcomes


def settings(config: Config) -> dict[str, Any]:
    """What the figures of a run hang on."""
    sections = ("model", "lora", "edit", "guards", "cycle")
    return {"version": __version__} | {
        name: getattr(config, name).model_dump(mode="json") for name in sections
    }


def _in(config: Config, folder: Path) -> Config:
    """The settings with a database and adapters of the run's own."""
    return config.model_copy(
        update={
            "store": config.store.model_copy(update={"url": f"sqlite:///{folder / 'memory.db'}"}),
            "adapters": config.adapters.model_copy(update={"dir": folder / "adapters"}),
        }
    )


def _kept(path: Path, batch: PoisonedBatch) -> Outcome | None:
    """What was measured already; a file that cannot be read, or of other claims, is measured again."""
    try:
        kept = TypeAdapter(Outcome).validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, ValidationError):
        return None
    return kept if tuple(fate.claim for fate in kept.fates) == batch.claims else None


# -- one batch -----------------------------------------------------------------------------------------------


def measured(
    batch: PoisonedBatch, editor: Editor, config: Config, progress: Progress = lambda *_: None
) -> Outcome:
    """Tell a new tenant the batch, run cycles until nothing waits, and look at what serves then."""
    started = time.monotonic()
    with Archive.open(config.store.url) as archive:
        # A run that was broken off leaves a tenant behind: this one is told anew.
        tenants = set(archive.tenants())
        attempt = sum(tenant.startswith(f"{batch.kind} ") for tenant in tenants)
        store = archive.store(f"{batch.kind} {attempt}")
        cycle.init(store, editor, config)
        heard = [_hear(store, config, claim) for claim in batch.claims]
        traces = list[CycleTrace]()
        while len(traces) < CYCLES and (trace := _cycle(store, editor, config, progress)) is not None:
            traces.append(trace)
        guards = _last_guards(store, editor, config, progress)
        fates = _fates(store, editor, config, batch.claims, heard)
        return Outcome(
            kind=batch.kind, fates=fates, cycles=tuple(traces), guards=guards,
            seconds=time.monotonic() - started,
        )  # fmt: skip


def _hear(store: FactStore, config: Config, claim: Claim) -> Heard:
    relation = relations.canonical(claim.relation)
    said = relations.state(claim.subject, relation, claim.object)
    found = CandidateFact(
        subject=claim.subject, relation=claim.relation, object=claim.object, statement=said, start=0,
        end=len(said), cardinality=relations.cardinality(claim.subject, relation),
    )  # fmt: skip
    return collect.hear(store, config.collect, said, lambda _: (found,))


def _cycle(store: FactStore, editor: Editor, config: Config, progress: Progress) -> CycleTrace | None:
    """One cycle; None where nothing waits."""
    before, learned = {adapter.id for adapter in store.adapters()}, len(store.learned())
    try:
        report = cycle.run_cycle(store, editor, config, progress)
    except EmptyBatch:
        return None
    made = [adapter for adapter in store.adapters() if adapter.id not in before]
    whole, *_ = made
    return CycleTrace(
        promoted=report.verdict.promote,
        whole_broke=whole.verdict.reasons if whole.verdict else (),
        alpha=report.alpha,
        taught=len(_manifest(config, whole.path)["facts"]),
        learned=len(store.learned()) - learned,
        blamed=len(report.offenders),
        untried=len(report.untried),
        trainings=sum("alpha" not in _manifest(config, adapter.path)["edit"] for adapter in made),
        seconds=report.seconds,
    )


def _manifest(config: Config, path: str) -> dict[str, Any]:
    return read_manifest(config.adapters.dir / path)


def _last_guards(
    store: FactStore, editor: Editor, config: Config, progress: Progress
) -> tuple[promote.Guard, ...]:
    """Every guard of what serves against the root, asked of all that was learned."""
    serving, *_, root = (ancestry := store.lineage())
    learned = edit_request.build_all(store.learned())
    if len(ancestry) == 1:
        return ()
    job = Job(
        root_id=root.id, parent_id=root.id, generation=UNSEEN_GENERATION, requests=learned, learned=(),
        taught=frozenset(fact.slot for fact in store.taught()), settings=config.edit,
    )  # fmt: skip
    before, after = editor.measure(job, serving.id, (), progress)
    return promote.table(before.scores, after.scores, config.guards)


def _fates(
    store: FactStore, editor: Editor, config: Config, claims: Sequence[Claim], heard: Sequence[Heard]
) -> tuple[Fate, ...]:
    *taught, root = store.lineage()
    trained_on = {each for adapter in taught for each in _manifest(config, adapter.path)["facts"]}
    serving = taught[0] if taught else root
    requests = [edit_request.request(c.subject, relations.canonical(c.relation), (c.object,)) for c in claims]
    answers = editor.ask(serving.id, [request.rewrite_prompt for request in requests])
    fates = list[Fate]()
    for claim, told, request, answer in zip(claims, heard, requests, answers, strict=True):
        (recorded, *_) = (*(done.fact for done in told.recorded), None)
        fact = store.fact(recorded.id) if recorded else None
        unrecorded = PROPOSED if told.proposed else REFUSED
        fates.append(
            Fate(
                claim=claim,
                status=fact.status if fact else unrecorded,
                reason=(fact.quarantine_reason or "") if fact else "",
                is_taught=fact is not None and fact.commitment in trained_on,
                is_answered=relations.same_answer(answer, request.target, request.aliases),
            )
        )
    return tuple(fates)


# -- report --------------------------------------------------------------------------------------------------


def as_json(outcomes: Sequence[Outcome], config: Config) -> dict[str, Any]:
    """Everything that was measured."""
    return settings(config) | {
        "batches": [
            {
                "kind": outcome.kind,
                "holds": outcome.holds,
                "promoted_whole": outcome.is_promoted_whole,
                "good": len(outcome.good),
                "good_learned": outcome.good_learned,
                "poison": len(outcome.poison),
                "poison_taught": sum(fate.is_taught for fate in outcome.poison),
                "poison_answered": sum(fate.is_answered for fate in outcome.poison),
                "broken": outcome.broken,
                "trainings": sum(trace.trainings for trace in outcome.cycles),
                "seconds": outcome.seconds,
                "cycles": [asdict(trace) for trace in outcome.cycles],
                "guards": [asdict(guard) for guard in outcome.guards],
                "facts": [asdict(fate) for fate in outcome.fates],
            }
            for outcome in outcomes
        ]
    }


def table(outcomes: Sequence[Outcome]) -> Table:
    headings = ("kind", "good learned", "poison", "in weights", "answered", "cycles", "trainings", "minutes")
    found = Table(*headings, "")
    for outcome in outcomes:
        poison = outcome.poison
        found.add_row(
            outcome.kind,
            f"{outcome.good_learned}/{len(outcome.good)}",
            str(len(poison)),
            str(sum(fate.is_taught for fate in poison)),
            str(sum(fate.is_answered for fate in poison)),
            str(len(outcome.cycles)),
            str(sum(trace.trainings for trace in outcome.cycles)),
            f"{outcome.seconds / 60:.1f}",
            "holds" if outcome.holds else "; ".join(outcome.broken) or "does not hold",
        )
    return found
