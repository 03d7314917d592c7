"""One cycle, the whole story on one screen: claim, teach, measure, judge, narrow, promote or reject.

The store says what is pending and who serves, the editor teaches and measures, `promote` and `ladder` decide.
Nothing here touches a tensor, and nothing is visible to users before the pointer moves.

A cycle can die at any moment. What it had done by then lies where the next one looks: the claimed batch in
the store, the candidate's directory under an id that is the hash of what it was taught, its scores in its
row. The next cycle goes on from there.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ice_agent import (
    card,
    garbage,
    intake,
    ladder,
    logs,
    promote,
    relations,
    suites,
    transcripts,
    watch,
)
from ice_agent.config import Config
from ice_agent.editor import Editor
from ice_agent.errors import AdapterError, AwaitsApproval, CycleError, EmptyBatch
from ice_agent.leasing import leased, renewing
from ice_agent.manifest import read_manifest
from ice_agent.plan import serving
from ice_agent.probes import EDIT_SUCCESS, RETENTION
from ice_agent.settings import EditSettings
from ice_agent.work import Ground, Work, digest, put_into_words
from memory import (
    Adapter,
    AdapterStatus,
    Batch,
    BatchStatus,
    Evaluation,
    Fact,
    FactStatus,
    FactStore,
    Lease,
    Progress,
    StaleLease,
    Transcript,
    UnknownAdapter,
    Verdict,
    WrongState,
    now,
)

logger = logging.getLogger(__name__)

Slot = tuple[str, str]

RESUMED_AT_MOST = 3
"""Times that a batch is gone on with before it is halved: something in it may be what kills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleReport:
    """What a cycle did: the adapter as it stands, the verdict, and everything that was measured."""

    adapter: Adapter
    parent_id: str
    batch: Batch
    verdict: Verdict
    before: Evaluation
    after: Evaluation
    edit: Mapping[str, Any]
    """What came of teaching, as the adapter's manifest has it."""
    seconds: float
    offenders: tuple[Fact, ...] = ()
    """Facts that broke a guard, or that no teaching helps: quarantined, with the reason."""
    untried: tuple[Fact, ...] = ()
    """Facts that no training was left for: they wait for the next cycle."""
    alpha: float = 1.0
    """The share of the update that was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A candidate as it was measured and judged."""

    candidate: Adapter
    work: Work
    edit: Mapping[str, Any]
    before: Evaluation
    after: Evaluation
    guards: tuple[promote.Guard, ...]
    verdict: Verdict
    alpha: float = 1.0

    @property
    def suspicion(self) -> ladder.Suspicion:
        """The slots that look to blame, whether a guard broke or not."""
        return ladder.suspicion(self.work.job.requests, self.after.transcripts, self.edit["beyond_context"])


def run_cycle(
    store: FactStore, editor: Editor, config: Config, progress: Progress = lambda *_: None
) -> CycleReport:
    """Learn the pending facts into a candidate adapter, and promote it if every guard holds.

    If one breaks, a smaller share of the update may hold it; else the facts that break it are found, and the
    rest is promoted. Raises EmptyBatch when nothing is pending, LeaseHeld while another cycle runs,
    AwaitsApproval while a candidate waits for a person, CycleError when there is no root. Whatever is raised,
    Ctrl-C included, the serving adapter is untouched and the facts wait again.
    """
    started = time.monotonic()
    config = config.of(store.tenant)
    # Before anything is claimed: a file that cannot be read stops a cycle at the door.
    guard_suites = suites.read(config.guards.suites)
    if config.cycle.approval == "manual" and (waits := store.awaiting()) is not None:
        raise AwaitsApproval(waits.id)
    with watch.cycle(store.identity()), leased(store, config.cycle.lease_seconds) as lease:
        progress = renewing(store, lease, config.cycle.lease_seconds, progress)
        cycle = Cycle(
            store=store, editor=editor, config=config, suites=guard_suites, lease=lease, progress=progress
        )
        with cycle.claimed():
            attempt = cycle.attempt(cycle.batch.facts, cycle.batch.removals)
            offenders, untried = tuple[Fact, ...](), tuple[Fact, ...]()
            if not attempt.verdict.promote or attempt.suspicion.hopeless:
                attempt, offenders, untried = cycle.narrowed(attempt)
            adapter = cycle.concluded(attempt, offenders, untried)
        garbage.collect(store, config)
        return CycleReport(
            adapter=adapter, parent_id=cycle.parent.id, batch=store.batch(cycle.batch.id),
            verdict=attempt.verdict, before=attempt.before, after=attempt.after, edit=attempt.edit,
            seconds=time.monotonic() - started, offenders=offenders, untried=untried, alpha=attempt.alpha,
        )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Cycle:
    """One tenant's cycle under its lease: what it works on, and each of its steps."""

    store: FactStore
    editor: Editor
    config: Config
    suites: tuple[suites.GuardSuite, ...]
    lease: Lease
    progress: Progress
    batch: Batch = field(init=False)
    root: Adapter = field(init=False)
    parent: Adapter = field(init=False)
    generation: int = field(init=False)
    _blame: dict[str, str] = field(default_factory=dict)
    """Of each offender, what broke while it was in the batch."""
    _made: list[str] = field(default_factory=list)
    """Candidates that are in memory."""

    def __post_init__(self) -> None:
        serving(self.store)
        *_, self.root = ancestry = self.store.lineage()
        self.parent, self.generation = ancestry[0], len(ancestry) - 1
        for adapter in (self.root, self.parent):
            load(self.editor, self.config, adapter)

    # -- claim

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """The batch of this cycle. If anything is raised, its facts go back and no attempt is counted."""
        # What somebody called sensitive after it was told is kept out here as well.
        batch = self.claim(relations.sensitive(self.config.collect.sensitive_relations))
        if batch is None:
            raise EmptyBatch
        self.batch = batch
        logs.note(batch=batch.id)
        try:
            yield
        except BaseException:
            # Without the lease the facts go back when the next cycle claims; what was raised is what counts.
            with suppress(StaleLease):
                self._give_back()
            raise
        finally:
            serves = self.store.serving()
            for made in self._made:
                if serves is None or made != serves.id:
                    self.editor.unload(made)

    def claim(self, sensitive: Collection[str]) -> Batch | None:
        """A batch to work on, without what nobody would teach; what a dead cycle left comes first."""
        limits = self.config.cycle
        batch = self.store.resume_batch(self.lease, sensitive, times=RESUMED_AT_MOST)
        while batch is None or not (batch.facts or batch.removals):
            batch = self.store.claim_batch(limits.batch_size, self.lease, sensitive)
            if batch is None:
                return None
            batch = self._fit(batch)
        return batch

    def _fit(self, batch: Batch) -> Batch:
        unfit = {fact.id: reason for fact in batch.facts if (reason := intake.unfit(fact))}
        for fact_id, reason in unfit.items():
            self.store.quarantine(fact_id, f"{reason}: it stays in the prompt")
        return self.store.batch(batch.id) if unfit else batch

    def _give_back(self) -> None:
        if self.store.batch(self.batch.id).status is BatchStatus.CLAIMED:
            after = self.config.cycle.quarantine_after
            self.store.fail_batch(self.batch.id, self.lease, count_attempt=False, quarantine_after=after)

    # -- teach, measure, judge

    def attempt(self, facts: Sequence[Fact], removals: Sequence[Fact]) -> Attempt:
        """Teach these facts of the batch, measure what came of it, and judge it."""
        settings = _tried_again(self.config, (*facts, *removals)).edit
        work = put_into_words(
            self.store, self.editor, self.ground(facts), facts, removals, settings, self.suites
        )
        candidate_id = _candidate_id(
            self.editor, self.parent, work.members, settings, self.config, self.batch.replaces_id
        )
        self._made.append(candidate_id)
        logs.note(adapter=candidate_id)
        candidate = self._taught(candidate_id, work)
        return self._judged(candidate, work)

    def ground(self, facts: Sequence[Fact]) -> Ground:
        """What these facts are taught on top of."""
        return Ground(
            root_id=self.root.id,
            parent_id=self.parent.id,
            generation=self.generation,
            standing=self.store.facts(),
            known=self.store.learned(),
            taught=self.store.taught(),
        )

    def at_risk(self, work: Work, edit: Mapping[str, Any]) -> Collection[str]:
        """The facts learned before that are asked again for certain."""
        found: Sequence[str] = edit["at_risk"]
        return found

    def _taught(self, candidate_id: str, work: Work) -> Adapter:
        """The candidate, on disk and then in the store: what has a row has its files."""
        directory = self.config.adapters.dir / candidate_id
        if not self._lies_there(directory):
            self._make_room(directory)
            self.editor.unload(candidate_id)
            watch.stage("teaching")(self.editor.teach)(
                work.job, candidate_id, directory, self._manifest(work), self.progress
            )
        return self._registered(candidate_id)

    def _lies_there(self, directory: Path) -> bool:
        """Whether a cycle that died had saved this candidate of the very same batch."""
        try:
            if read_manifest(directory).get("batch_id") != self.batch.id:
                return False
            self.editor.load(directory.name, directory)
        except AdapterError:
            return False
        logger.info("goes on with %s, which lies there whole", directory.name)
        return True

    def _make_room(self, directory: Path) -> None:
        """Delete what lies where a candidate is to be saved: of another batch, or damaged. Raises StaleLease.

        Whoever slept past the lease may find there what serves by now. So it is moved before it is deleted,
        and moved back if the lease was gone by then.
        """
        seconds = self.config.cycle.lease_seconds
        self.store.renew_lease(self.lease, seconds)
        for half in directory.parent.glob(f".partial-{directory.name}-*"):
            shutil.rmtree(half, ignore_errors=True)
        if not directory.exists():
            return
        aside = directory.with_name(f".partial-{directory.name}-stale")
        directory.replace(aside)
        try:
            self.store.renew_lease(self.lease, seconds)
        except StaleLease:
            aside.replace(directory)
            raise
        shutil.rmtree(aside, ignore_errors=True)

    def _manifest(self, work: Work) -> dict[str, Any]:
        return {
            "parent_id": self.parent.id,
            "tenant": self.store.identity(),
            "batch_id": self.batch.id,
            "facts": [fact.commitment for fact in work.facts],
            "taken_back": [fact.commitment for fact in work.removals],
            "ledger_tip": asdict(self.store.tip()),
            "settings": work.job.settings.model_dump(mode="json"),
            "seed": self.config.edit.seed,
            "knew": work.ground.digest,
        }

    def _registered(self, candidate_id: str) -> Adapter:
        of_batch = (AdapterStatus.CANDIDATE, AdapterStatus.REJECTED)
        with suppress(UnknownAdapter):
            known = self.store.adapter(candidate_id)
            if known.status in of_batch and known.batch_id == self.batch.id:
                return known
        adapter = Adapter(
            id=candidate_id, parent_id=self.parent.id, status=AdapterStatus.CANDIDATE,
            base_hash=self.editor.base_hash, path=candidate_id, created_at=now(), batch_id=self.batch.id,
        )  # fmt: skip
        try:
            return self.store.register(adapter, self.lease)
        except WrongState:
            # What it was taught was forgotten meanwhile, and its weights would be all that is left of that.
            shutil.rmtree(self.config.adapters.dir / candidate_id)
            raise

    def _judged(self, candidate: Adapter, work: Work, alpha: float = 1.0) -> Attempt:
        folder = self.config.adapters.dir
        # Read once: each reading hashes the weights.
        manifest = read_manifest(folder / candidate.path)
        edit = manifest["edit"]
        kept = transcripts.read(folder, candidate.id)
        if kept is not None and candidate.scores is not None and candidate.parent_scores is not None:
            before = Evaluation(scores=candidate.parent_scores)
            after = Evaluation(scores=candidate.scores, transcripts=kept)
        else:
            before, after = watch.stage("measuring")(self.editor.measure)(
                work.job, candidate.id, self.at_risk(work, edit), self.progress
            )
            # A worker that slept past its lease stops here: what follows is no longer its to change.
            self.store.renew_lease(self.lease, self.config.cycle.lease_seconds)
            candidate = self.store.record_scores(candidate.id, after.scores, before.scores, self.lease)
            # Not before: of what was forgotten meanwhile, nothing is written down.
            written = transcripts.written(after.transcripts)
            _write_whole(transcripts.path(folder, candidate.id), written)
        guards = promote.table(before.scores, after.scores, self.config.guards)
        verdict = promote.judge(before.scores, after.scores, self.config.guards)
        about = card.card(manifest, self.editor.name, guards, verdict)
        # Before anybody is served from them: the one file that is written after the weights.
        _write_whole(folder / candidate.path / card.FILE, about)
        return Attempt(
            candidate=candidate, work=work, edit=edit, before=before, after=after, guards=guards,
            verdict=verdict, alpha=alpha,
        )  # fmt: skip

    # -- narrow

    @watch.stage("narrowing")
    def narrowed(self, whole: Attempt) -> tuple[Attempt, tuple[Fact, ...], tuple[Fact, ...]]:
        """What can be promoted of a batch that broke a guard, what broke it, and what was not tried.

        So it is with one that held, and that was taught what the model fails from its prompt and after
        training: that teaches nothing, and moves what no guard may ask for. If nothing less can be promoted,
        the attempt is the whole one.
        """
        if ladder.may_be_scaled(whole.guards) and (scaled := self.scaled_down(whole)) is not None:
            self.store.refuse(whole.candidate.id, whole.verdict, self.lease)
            return scaled, (), ()
        members = {fact.id: fact for fact in whole.work.members}
        if len(members) < 2:
            return whole, (), ()
        best, broke = whole, whole.verdict.reasons

        def passes(group: Collection[str]) -> bool:
            nonlocal best, broke
            found = self._of(whole, group)
            if not found.verdict.promote:
                broke = broke or found.verdict.reasons
                self._refuse(found)
                return False
            if best is not whole:
                self.store.refuse(best.candidate.id, _OUTGROWN, self.lease)
            best = found
            return True

        looks = whole.suspicion
        suspects, hopeless = (
            {fact.id for fact in whole.work.members if fact.slot in slots}
            for slots in (looks.suspects, looks.hopeless)
        )
        found = ladder.narrowed(list(members), suspects, hopeless, passes, self.config.cycle.retrainings)
        if best is whole:
            # Where nothing passes, no fact is to blame more than the settings are.
            return whole, (), ()
        if whole.verdict.promote:
            self._blame = dict.fromkeys(hopeless, f"{_NEITHER}: it stays in the prompt (`ice-agent release`)")
            self.store.refuse(whole.candidate.id, _IN_VAIN, self.lease)
        else:
            self._refuse(whole)
        held_without = f"{'; '.join(broke)}, and held without it: it stays in the prompt"
        self._blame = dict.fromkeys(found.offenders, held_without) | self._blame
        offenders, untried = (
            tuple(members[fact_id] for fact_id in ids) for ids in (found.offenders, found.untried)
        )
        return best, offenders, untried

    def _of(self, whole: Attempt, group: Collection[str]) -> Attempt:
        """An attempt at some of a batch's facts."""
        self.progress("narrowing", 0, 1, f"{len(group)} of {len(whole.work.members)} facts")
        facts = [fact for fact in whole.work.facts if fact.id in group]
        removals = [fact for fact in whole.work.removals if fact.id in group]
        return self.attempt(facts, removals)

    def _refuse(self, attempt: Attempt) -> None:
        self.store.refuse(attempt.candidate.id, attempt.verdict, self.lease)
        self.editor.unload(attempt.candidate.id)

    def scaled_down(self, whole: Attempt) -> Attempt | None:
        """The largest share of the update that holds every guard, of those that are measured."""
        best: Attempt | None = None

        def measured(alpha: float) -> Sequence[promote.Guard]:
            nonlocal best
            self.progress("narrowing", 0, 1, f"{alpha:.3g} of the update")
            attempt = self._scaled(whole, alpha)
            if not attempt.verdict.promote:
                self._refuse(attempt)
            else:
                if best is not None:
                    self.store.refuse(best.candidate.id, _OUTGROWN, self.lease)
                best = attempt
            return attempt.guards

        ladder.largest_alpha(measured, self.config.cycle.scalings)
        return best

    def _scaled(self, whole: Attempt, alpha: float) -> Attempt:
        scaled_id = "a_" + digest(whole.candidate.id, f"{alpha:.6f}")
        self._made.append(scaled_id)
        directory = self.config.adapters.dir / scaled_id
        edit = {**whole.edit, "alpha": alpha, "scaled_from": whole.candidate.id}
        if not self._lies_there(directory):
            self._make_room(directory)
            manifest = self._manifest(whole.work) | {"edit": edit}
            self.editor.scale(self.parent.id, whole.candidate.id, alpha, scaled_id, directory, manifest)
        return self._judged(self._registered(scaled_id), whole.work, alpha)

    # -- promote or reject

    def concluded(self, attempt: Attempt, offenders: Sequence[Fact], untried: Sequence[Fact]) -> Adapter:
        """Promote what passed and keep the rest out; with approval by hand, all but the promotion."""
        limits, verdict = self.config.cycle, attempt.verdict
        if not verdict.promote:
            return self.store.reject(
                attempt.candidate.id, verdict, self.lease, quarantine_after=limits.quarantine_after
            )
        for fact in offenders:
            self.store.quarantine(fact.id, self._blame[fact.id])
        self.store.put_back(self.batch.id, [fact.id for fact in untried], self.lease)
        if limits.approval == "manual":
            return attempt.candidate
        set_aside, lost = _missed(
            attempt.work.members, attempt.work.ground.known, attempt.edit, attempt.after.transcripts
        )
        return self.store.promote(attempt.candidate.id, verdict, self.lease, set_aside=set_aside, lost=lost)


def approve(store: FactStore, config: Config, candidate: Adapter, verdict: Verdict) -> Adapter:
    """Promote a candidate that waited for approval: what it does not answer stays in the prompt.

    Raises CycleError for one whose measurements are gone.
    """
    kept = transcripts.read(config.adapters.dir, candidate.id)
    if candidate.batch_id is None or kept is None:
        raise CycleError(f"{candidate.id} has no transcripts left: `ice-agent reject` it, run a cycle again")
    batch = store.batch(candidate.batch_id)
    edit = read_manifest(config.adapters.dir / candidate.path)["edit"]
    set_aside, lost = _missed((*batch.facts, *batch.removals), store.learned(), edit, kept)
    return store.promote(candidate.id, verdict, set_aside=set_aside, lost=lost)


_NEITHER = "the model answers it neither from its prompt nor after it was taught"
_IN_VAIN = Verdict(promote=False, reasons=("some of it was taught in vain, and the rest holds without it",))

_OUTGROWN = Verdict(promote=False, reasons=("a larger share of its batch was found to hold",))


def init(store: FactStore, editor: Editor, config: Config) -> Adapter:
    """Give a tenant its root adapter (B = 0, exactly the base); the one that serves already is kept."""
    if (there := store.serving()) is not None:
        load(editor, config, there)
        return there
    return store.root(made_root(store, editor, config))


def made_root(store: FactStore, editor: Editor, config: Config) -> Adapter:
    """The root of a lineage on this base, saved; the store knows nothing of it yet."""
    # By its id, never by its name: nothing of the name may outlive the tenant, and files are passed on.
    tenant_id = store.identity()
    root_id = "root_" + digest(editor.base_hash, tenant_id, config.lora.model_dump_json())
    directory = config.adapters.dir / root_id
    if not directory.exists():
        manifest = {"parent_id": None, "tenant": tenant_id, "ledger_tip": asdict(store.tip())}
        editor.make_root(root_id, directory, manifest)
        _write_whole(directory / card.FILE, card.card(read_manifest(directory), editor.name))
    return Adapter(
        id=root_id,
        parent_id=None,
        status=AdapterStatus.CANDIDATE,
        base_hash=editor.base_hash,
        path=root_id,
        created_at=now(),
    )


def load(editor: Editor, config: Config, adapter: Adapter) -> None:
    """Make an adapter of the store available. Raises AdapterError when it is damaged or foreign."""
    editor.load(adapter.id, config.adapters.dir / adapter.path)


def _tried_again(config: Config, facts: Sequence[Fact]) -> Config:
    """Another seed for each attempt: the same work again would be rejected for the same reasons again."""
    attempts = max(fact.attempts for fact in facts)
    edit = config.edit.model_copy(update={"seed": config.edit.seed + attempts})
    return config.model_copy(update={"edit": edit})


def _candidate_id(
    editor: Editor,
    parent: Adapter,
    facts: Sequence[Fact],
    settings: EditSettings,
    config: Config,
    replaces_id: str | None = None,
) -> str:
    """Same base, parent, facts, attempt and settings give the same adapter, and a rebuild one of its own."""
    commitments = [fact.commitment for fact in facts]
    return "a_" + digest(
        editor.base_hash,
        parent.id,
        *commitments,
        settings.model_dump_json(),
        config.lora.model_dump_json(),
        *([replaces_id] if replaces_id is not None else ()),
    )


def _missed(
    members: Sequence[Fact],
    known: Sequence[Fact],
    edit: Mapping[str, Any],
    answers: Sequence[Transcript],
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the candidate does not answer as it should, and what the prompt must therefore serve.

    Facts of the batch with the reason, to be set aside; and facts learned earlier that are lost.
    """
    kinds = (EDIT_SUCCESS, RETENTION)
    missed = {t.fact_id for t in answers if t.kind in kinds and not t.is_hit}
    slots = {fact.slot for fact in (*members, *known) if fact.id in missed}
    reasons, lost = {}, list[str]()
    for fact in (*members, *known):
        if fact.slot not in slots:
            continue
        # A rebuild also teaches what was learned before.
        if fact.status is FactStatus.LEARNED:
            lost.append(fact.id)
            continue
        reason = (
            "the model does not answer it even from its prompt"
            if fact.id in edit["beyond_context"]
            else "the adapter of its batch does not answer it"
        )
        reasons[fact.id] = f"{reason}: it stays in the prompt (try again with `ice-agent release`)"
    return reasons, tuple(dict.fromkeys(lost))


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise CycleError(
            f"could not write {path}: {error.strerror} "
            "(nothing was promoted; free some space and run the cycle again)"
        ) from error
