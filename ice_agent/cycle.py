"""One cycle, the whole story on one screen: claim, edit, measure, judge, promote or reject.

The store says what is pending and who serves, the model trains and answers, `promote` decides. Nothing here
touches a tensor, and nothing is visible to users before the pointer moves.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ice_agent import card, edit_request, evaluate, ice, promote, relations, survey
from ice_agent.config import Config
from ice_agent.errors import CycleError, EmptyBatch
from ice_agent.manifest import read_manifest
from ice_agent.model import EditableModel
from ice_agent.plan import serving, whole_slots
from memory import (
    Adapter,
    AdapterStatus,
    Batch,
    BatchStatus,
    EditRequest,
    Evaluation,
    Fact,
    FactStore,
    Lease,
    LeaseHeld,
    Progress,
    StaleLease,
    Verdict,
    WrongState,
    now,
)

logger = logging.getLogger(__name__)

Slot = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleReport:
    """What a cycle did: the adapter as it stands, the verdict, and everything that was measured."""

    adapter: Adapter
    parent_id: str
    batch: Batch
    verdict: Verdict
    before: Evaluation
    after: Evaluation
    edit: ice.EditReport
    suite: evaluate.Suite
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A claimed batch, put into words."""

    batch: Batch
    requests: tuple[EditRequest, ...]
    learned: tuple[EditRequest, ...]
    known: tuple[Fact, ...]
    """The facts that the weights answered before."""
    taught: frozenset[Slot]


def run_cycle(
    store: FactStore, model: EditableModel, config: Config, progress: Progress = lambda *_: None
) -> CycleReport:
    """Learn the pending facts into a candidate adapter, and promote it if every guard holds.

    Raises EmptyBatch when nothing is pending, LeaseHeld while another cycle runs, CycleError when there is no
    root. Whatever is raised, Ctrl-C included, the serving adapter is untouched and the facts wait again.
    """
    started = time.monotonic()
    with leased(store, config.cycle.lease_seconds) as lease:
        progress = _renewing(store, lease, config.cycle.lease_seconds, progress)
        *_, root = ancestry = _ancestry(store)
        parent = ancestry[0]
        load(model, config, root)
        load(model, config, parent)
        surveyed = take_survey(model, config, progress, batch=len(ancestry) - 1)
        with _claimed(store, config, lease) as batch:
            config = _tried_again(config, batch)
            work = _put_into_words(store, model, root, batch)
            with _candidate(store, model, parent, batch, config) as candidate_id:
                edited = ice.edit(
                    model, root_id=root.id, parent_id=parent.id, candidate_id=candidate_id,
                    requests=work.requests, learned=work.learned, taught=work.taught,
                    survey=surveyed, settings=config.edit, progress=progress,
                )  # fmt: skip
                candidate = _register(store, model, config, parent, batch, candidate_id, lease)
                suite, before, after = _measure(
                    model, root, parent, candidate, work, edited.at_risk, surveyed, config, progress
                )
                # A worker that slept past its lease stops here: what follows is no longer its to change.
                store.renew_lease(lease, config.cycle.lease_seconds)
                store.record_scores(candidate.id, after.scores, before.scores, lease)
                # Not before: of what was forgotten meanwhile, nothing is written down.
                _keep_transcripts(config, candidate, after)
                verdict = promote.judge(before.scores, after.scores, config.guards)
                _keep_card(model, config, candidate, before, after, verdict)
                if verdict.promote:
                    set_aside, lost = _missed(work, edited, after)
                    candidate = store.promote(candidate.id, verdict, lease, set_aside=set_aside, lost=lost)
                else:
                    candidate = store.reject(
                        candidate.id, verdict, lease, quarantine_after=config.cycle.quarantine_after
                    )
    return CycleReport(
        adapter=candidate, parent_id=parent.id, batch=store.batch(batch.id), verdict=verdict,
        before=before, after=after, edit=edited, suite=suite, seconds=time.monotonic() - started,
    )  # fmt: skip


def init(store: FactStore, model: EditableModel, config: Config) -> Adapter:
    """Give a tenant its root adapter (B = 0, exactly the base); the one that serves already is kept."""
    if (there := store.serving()) is not None:
        load(model, config, there)
        return there
    # By its id, never by its name: nothing of the name may outlive the tenant, and files are passed on.
    tenant_id = store.identity()
    root_id = "root_" + _digest(model.base_hash, tenant_id, config.lora.model_dump_json())
    directory = config.adapters.dir / root_id
    if not directory.exists():
        model.create_root(root_id)
        manifest = {"parent_id": None, "tenant": tenant_id, "ledger_tip": asdict(store.tip())}
        model.save(root_id, directory, manifest)
        _write_whole(directory / card.FILE, card.card(read_manifest(directory), model.name))
    root = Adapter(
        id=root_id,
        parent_id=None,
        status=AdapterStatus.CANDIDATE,
        base_hash=model.base_hash,
        path=root_id,
        created_at=now(),
    )
    return store.root(root)


def load(model: EditableModel, config: Config, adapter: Adapter) -> None:
    """Make an adapter of the store available. Raises AdapterError when it is damaged or foreign."""
    model.load_adapter(adapter.id, config.adapters.dir / adapter.path)


def take_survey(
    model: EditableModel, config: Config, progress: Progress = lambda *_: None, batch: int = 0
) -> survey.Survey:
    """What the base says of its own accord, from the cache beside the adapters when it was asked before."""
    return survey.take(
        model,
        config.adapters.dir / "cache",
        n_texts=config.edit.survey_texts,
        n_questions=config.edit.survey_questions,
        seed=survey.turn(config.edit.seed, batch),
        progress=progress,
    )


@contextmanager
def leased(store: FactStore, seconds: float) -> Iterator[Lease]:
    """Be the one cycle of this tenant. Raises LeaseHeld while somebody else is."""
    owner = f"{socket.gethostname()}/{os.getpid()}"
    try:
        lease = store.take_lease(owner, seconds)
    except LeaseHeld as held:
        if not _is_gone(held.owner):
            raise
        logger.warning("%s is gone: its lease on %s is taken over", held.owner, store.tenant)
        lease = store.take_lease(owner, seconds, dead=held.owner)
    try:
        yield lease
    finally:
        store.drop_lease(lease)


def _is_gone(owner: str) -> bool:
    """True for a process of this machine that has ended; of another machine's nothing is known."""
    host, _, pid = owner.rpartition("/")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _renewing(store: FactStore, lease: Lease, seconds: float, progress: Progress) -> Progress:
    """Progress is a sign of life: the lease is renewed with it, at most every tenth of its length."""
    renewed_at = time.monotonic()

    def report(stage: str, done: int, total: int, note: str) -> None:
        nonlocal renewed_at
        if time.monotonic() - renewed_at > seconds / 10:
            store.renew_lease(lease, seconds)
            renewed_at = time.monotonic()
        progress(stage, done, total, note)

    return report


@contextmanager
def _claimed(store: FactStore, config: Config, lease: Lease) -> Iterator[Batch]:
    """The batch of this cycle. If anything is raised, its facts go back and no attempt is counted."""
    # What somebody called sensitive after it was told is kept out here as well.
    sensitive = relations.sensitive(config.collect.sensitive_relations)
    batch = store.claim_batch(config.cycle.batch_size, lease, sensitive)
    if batch is None:
        raise EmptyBatch(store.tenant)
    try:
        yield batch
    except BaseException:
        # Without the lease the facts go back when the next cycle claims; what was raised is what counts.
        with suppress(StaleLease):
            _give_back(store, batch, config, lease)
        raise


def _give_back(store: FactStore, batch: Batch, config: Config, lease: Lease) -> None:
    if store.batch(batch.id).status is BatchStatus.CLAIMED:
        after = config.cycle.quarantine_after
        store.fail_batch(batch.id, lease, count_attempt=False, quarantine_after=after)


@contextmanager
def _candidate(
    store: FactStore, model: EditableModel, parent: Adapter, batch: Batch, config: Config
) -> Iterator[str]:
    """The candidate's id; on the way out it stays in memory only if it serves."""
    candidate_id = _candidate_id(model, parent, batch, config)
    model.forget(candidate_id)
    try:
        yield candidate_id
    finally:
        now_serving = store.serving()
        if now_serving is None or now_serving.id != candidate_id:
            model.forget(candidate_id)


def _tried_again(config: Config, batch: Batch) -> Config:
    """Another seed for each attempt: the same work again would be rejected for the same reasons again."""
    attempts = max(fact.attempts for fact in (*batch.facts, *batch.removals))
    edit = config.edit.model_copy(update={"seed": config.edit.seed + attempts})
    return config.model_copy(update={"edit": edit})


def _candidate_id(model: EditableModel, parent: Adapter, batch: Batch, config: Config) -> str:
    """Same base, parent, facts, attempt and settings give the same adapter."""
    facts = [fact.commitment for fact in (*batch.facts, *batch.removals)]
    return "a_" + _digest(
        model.base_hash, parent.id, *facts, config.edit.model_dump_json(), config.lora.model_dump_json()
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _put_into_words(store: FactStore, model: EditableModel, root: Adapter, batch: Batch) -> _Work:
    """Requests for what is new, for what was taken back, and for everything the weights should still know."""
    facts = whole_slots(store, batch.facts)
    new = edit_request.build_all(facts, {fact.id: _heard(store, fact) for fact in facts})
    edited = {(r.subject, r.relation) for r in new}
    emptied = {fact.slot: fact for fact in batch.removals if fact.slot not in edited}
    back = [_taken_back(model, root, store, fact) for fact in emptied.values()]
    known = store.learned()
    learned = edit_request.build_all([f for f in known if f.slot not in edited])
    return _Work(
        batch=batch,
        requests=(*new, *back),
        learned=learned,
        known=known,
        taught=frozenset(fact.slot for fact in store.taught()),
    )


def _heard(store: FactStore, fact: Fact) -> str:
    """The words in which a fact was heard."""
    return store.mentions(fact.id)[0].words


def _taken_back(model: EditableModel, root: Adapter, store: FactStore, fact: Fact) -> EditRequest:
    """The request that returns a slot to the values that still stand in it, or else to the root's answer."""
    standing = [f for f in store.learned() if f.slot == fact.slot]
    if standing:
        return replace(edit_request.build(standing), fact_id=fact.id)
    request = edit_request.build([fact])
    with model.using(root.id):
        (answer,) = evaluate.ask(model, [request.rewrite_prompt])
    return replace(
        request,
        target=answer,
        aliases=(),
        contexts=(),
        indirect_prompts=(),
        portability=(),
        statement=relations.negation(fact.statement),
    )


def _register(
    store: FactStore,
    model: EditableModel,
    config: Config,
    parent: Adapter,
    batch: Batch,
    candidate_id: str,
    lease: Lease,
) -> Adapter:
    """Write the candidate's files, then its row: what has a row has its files."""
    manifest = {
        "parent_id": parent.id,
        "tenant": store.identity(),
        "batch_id": batch.id,
        "facts": [fact.commitment for fact in batch.facts],
        "taken_back": [fact.commitment for fact in batch.removals],
        "ledger_tip": asdict(store.tip()),
        "settings": config.edit.model_dump(mode="json"),
    }
    directory = config.adapters.dir / candidate_id
    # Ids are hashes: what lies there already is the same work, of a cycle that was killed or of a batch that
    # was reverted and is tried again. This cycle holds the lease, so nobody is writing it.
    for stale in (directory, *config.adapters.dir.glob(f".partial-{candidate_id}-*")):
        shutil.rmtree(stale, ignore_errors=True)
    model.save(candidate_id, directory, manifest)
    adapter = Adapter(
        id=candidate_id, parent_id=parent.id, status=AdapterStatus.CANDIDATE,
        base_hash=model.base_hash, path=candidate_id, created_at=now(), batch_id=batch.id,
    )  # fmt: skip
    try:
        return store.register(adapter, lease)
    except WrongState:
        # What it was taught was forgotten meanwhile, and its weights would be all that is left of that.
        shutil.rmtree(directory)
        raise


def _measure(
    model: EditableModel,
    root: Adapter,
    parent: Adapter,
    candidate: Adapter,
    work: _Work,
    at_risk: Sequence[str],
    surveyed: survey.Survey,
    config: Config,
    progress: Progress,
) -> tuple[evaluate.Suite, Evaluation, Evaluation]:
    progress("measuring", 0, 3, "the root")
    suite = evaluate.prepare(
        model,
        root_id=root.id,
        requests=work.requests,
        learned=work.learned,
        at_risk=at_risk,
        taught=work.taught,
        survey=surveyed,
        seed=config.edit.seed,
    )
    progress("measuring", 1, 3, "the parent")
    before = evaluate.score(model, parent.id, suite)
    progress("measuring", 2, 3, "the candidate")
    after = evaluate.score(model, candidate.id, suite, before=before)
    progress("measuring", 3, 3, "done")
    return suite, before, after


def _missed(work: _Work, edited: ice.EditReport, after: Evaluation) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the candidate does not answer as it should, and what the prompt must therefore serve.

    Facts of the batch with the reason, to be set aside; and facts learned earlier that are lost.
    """
    kinds = (evaluate.EDIT_SUCCESS, evaluate.RETENTION)
    missed = {t.fact_id for t in after.transcripts if t.kind in kinds and not t.is_hit}
    slots = {(r.subject, r.relation) for r in (*work.requests, *work.learned) if r.fact_id in missed}
    reasons = {}
    for fact in (*work.batch.facts, *work.batch.removals):
        if fact.slot in slots:
            reason = (
                "the model does not answer it even from its prompt"
                if fact.id in edited.beyond_context
                else "the adapter of its batch does not answer it"
            )
            reasons[fact.id] = f"{reason}: it stays in the prompt (try again with `ice-agent release`)"
    return reasons, tuple(fact.id for fact in work.known if fact.slot in slots)


def _keep_transcripts(config: Config, candidate: Adapter, after: Evaluation) -> None:
    """Every probe with its answers before and after, beside the adapter's directory, which never changes."""
    rows = [json.dumps(asdict(t), ensure_ascii=False) for t in after.transcripts]
    _write_whole(config.adapters.dir / f"{candidate.id}.transcripts.jsonl", "\n".join(rows) + "\n")


def _keep_card(
    model: EditableModel,
    config: Config,
    candidate: Adapter,
    before: Evaluation,
    after: Evaluation,
    verdict: Verdict,
) -> None:
    """Beside the weights, before anybody is served from them: the one file that is written after them."""
    directory = config.adapters.dir / candidate.path
    guards = promote.table(before.scores, after.scores, config.guards)
    _write_whole(directory / card.FILE, card.card(read_manifest(directory), model.name, guards, verdict))


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


def _ancestry(store: FactStore) -> list[Adapter]:
    """What serves, its parent, and so on to the root, which locality is measured against."""
    found = [serving(store)]
    while (parent_id := found[-1].parent_id) is not None:
        found.append(store.adapter(parent_id))
    return found
