"""Adapters from a clean ancestor: after forgetting, to make one of many, and for a new base model.

`rebuild` teaches what waits on top of what serves, as after forgetting. `compact` starts from the root, with
all that is known, while the older adapter serves until every guard held; a revert puts that back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ice_agent import garbage, ladder, suites, watch
from ice_agent.config import Config
from ice_agent.cycle import Attempt, Cycle, CycleReport, load, made_root, run_cycle
from ice_agent.editor import Editor
from ice_agent.errors import AwaitsApproval, CycleError, EmptyBatch
from ice_agent.leasing import leased, renewing
from ice_agent.plan import serving
from ice_agent.work import Ground, Work
from memory import Adapter, Batch, Fact, FactStore, Progress, UnknownAdapter, Verdict

logger = logging.getLogger(__name__)

STEP = Verdict(promote=False, reasons=("a step of a rebuild: what was taught on top of it is to serve",))


def rebuild(
    store: FactStore, editor: Editor, config: Config, progress: Progress = lambda *_: None
) -> tuple[CycleReport, ...]:
    """Teach the weights, batch after batch, all that waits; judged as any cycle is.

    On a CPU the adapter is, bit for bit, that of a store that was told the rest alone. Stops at the first
    batch that a guard refuses.
    """
    done = list[CycleReport]()
    while True:
        try:
            done.append(run_cycle(store, editor, config, progress))
        except EmptyBatch:
            return tuple(done)
        if not done[-1].verdict.promote:
            return tuple(done)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What a rebuild from the root did."""

    replaced_id: str
    """What served before, and serves on if the last report says so."""
    reports: tuple[CycleReport, ...]
    """One for each batch. The last one's adapter is what was judged, and promoted or not."""

    @property
    def verdict(self) -> Verdict:
        return self.reports[-1].verdict


def compact(
    store: FactStore,
    editor: Editor,
    config: Config,
    progress: Progress = lambda *_: None,
    *,
    new_base: bool = False,
) -> Compaction:
    """Teach a new adapter, from the root, all that weights should know, to take the serving one's place.

    In batches as the settings say, each judged as any candidate is, by what the root answers; the last one is
    asked every fact. One that breaks a guard ends it, and what serves, serves on. With `new_base` the root is
    one of the editor's model, whatever the tenant was taught on before.
    """
    config = config.of(store.tenant)
    guard_suites = suites.read(config.guards.suites)
    if config.cycle.approval == "manual" and (waits := store.awaiting()) is not None:
        raise AwaitsApproval(waits.id)
    with watch.cycle(store.identity()), leased(store, config.cycle.lease_seconds) as lease:
        progress = renewing(store, lease, config.cycle.lease_seconds, progress)
        replaced = serving(store)
        cycle = _Compacting(
            store=store,
            editor=editor,
            config=config,
            suites=guard_suites,
            lease=lease,
            progress=progress,
            new_base=new_base,
        )
        with cycle.claimed():
            done = Compaction(replaced_id=replaced.id, reports=tuple(cycle.all_batches()))
        garbage.collect(store, config)
        return done


@dataclass(slots=True, kw_only=True)
class _Compacting(Cycle):
    """A cycle that starts at the root, and has several batches of one claim follow each other."""

    new_base: bool
    _known: list[Fact] = field(default_factory=list)
    """What was taught so far."""
    _is_last: bool = False

    def __post_init__(self) -> None:
        if self.new_base:
            self.root = self._new_root()
        else:
            *_, self.root = self.store.lineage()
        self.parent, self.generation = self.root, 0
        load(self.editor, self.config, self.root)

    def _new_root(self) -> Adapter:
        root = made_root(self.store, self.editor, self.config)
        with suppress(UnknownAdapter):
            return self.store.adapter(root.id)
        return self.store.register(root, self.lease)

    def claim(self, sensitive: Collection[str]) -> Batch | None:
        batch = self.store.claim_rebuild(self.lease, sensitive)
        if batch is None:
            raise CycleError(
                f"{self.store.tenant!r} knows nothing that weights could learn: nothing to rebuild"
            )
        return batch

    def all_batches(self) -> Sequence[CycleReport]:
        """Teach batch after batch, until a guard breaks or all is taught and the last one serves."""
        reports = list[CycleReport]()
        groups = batches(self.batch.facts, self.config.cycle.batch_size)
        for number, group in enumerate(groups, start=1):
            self._is_last = number == len(groups)
            started = time.monotonic()
            attempt = self._scaled_if_it_must(self.attempt(group, ()))
            adapter = self._ended(attempt) if self._is_last or not attempt.verdict.promote else None
            reports.append(self._report(attempt, adapter, time.monotonic() - started))
            if adapter is not None:
                break
            self.store.refuse(attempt.candidate.id, STEP, self.lease)
            self.parent, self.generation = attempt.candidate, self.generation + 1
            self._known += group
        return reports

    def _scaled_if_it_must(self, whole: Attempt) -> Attempt:
        if whole.verdict.promote or not ladder.may_be_scaled(whole.guards):
            return whole
        scaled = self.scaled_down(whole)
        if scaled is None:
            return whole
        self.store.refuse(whole.candidate.id, whole.verdict, self.lease)
        return scaled

    def _ended(self, attempt: Attempt) -> Adapter:
        if attempt.verdict.promote:
            return self.concluded(attempt, (), ())
        self.store.refuse(attempt.candidate.id, attempt.verdict, self.lease)
        # What serves was taught all this one by one: no fact is to blame, and none has failed.
        self._give_back()
        return self.store.adapter(attempt.candidate.id)

    def _report(self, attempt: Attempt, adapter: Adapter | None, seconds: float) -> CycleReport:
        return CycleReport(
            adapter=adapter or attempt.candidate, parent_id=self.parent.id,
            batch=self.store.batch(self.batch.id), verdict=attempt.verdict, before=attempt.before,
            after=attempt.after, edit=attempt.edit, seconds=seconds, alpha=attempt.alpha,
        )  # fmt: skip

    # -- what a cycle asks of its subject

    def ground(self, facts: Sequence[Fact]) -> Ground:
        known = tuple(self._known)
        return Ground(
            root_id=self.root.id, parent_id=self.parent.id, generation=self.generation,
            standing=(*known, *facts), known=known, taught=known,
        )  # fmt: skip

    def at_risk(self, work: Work, edit: Mapping[str, Any]) -> Collection[str]:
        # Python's own super() knows nothing of a class with slots.
        return [r.fact_id for r in work.job.learned] if self._is_last else Cycle.at_risk(self, work, edit)


def batches(facts: Sequence[Fact], size: int) -> list[list[Fact]]:
    """The facts in groups of about `size`, in their order: a slot's values are together in one."""
    slots: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        slots.setdefault(fact.slot, []).append(fact)
    groups: list[list[Fact]] = [[]]
    for values in slots.values():
        if groups[-1] and len(groups[-1]) + len(values) > size:
            groups.append([])
        groups[-1] += values
    return groups
