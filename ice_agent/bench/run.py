"""The benchmark's run: every method learns the same batches, one after another, and is asked the same probes.

A run has a folder. What was measured lies there as one file a method, batch size and seed, and a sequence
that is not finished as a folder with its adapter, so that a run that was broken off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from ice_agent import __version__, evaluate, relations, survey
from ice_agent.bench.edit_sets import EditSet
from ice_agent.bench.methods import METHODS, TUNED, Edited, Task
from ice_agent.bench.methods.weights import restored
from ice_agent.bench.variants import Variant
from ice_agent.config import Config
from ice_agent.errors import AdapterError, ConfigError
from ice_agent.model import REFERENCE, EditableModel
from ice_agent.settings import LoraSettings
from ice_agent.survey import Survey
from memory import EditRequest, Progress, Rate, Scores, Transcript

ROOT = "bench-root"
SETTINGS, BASE, RUNS, SO_FAR = "settings.json", "base", "runs", "so_far.json"
GIVEN_UP = 0.2
"""A sequence of batches ends once retention is under this: what follows would only cost time."""

Batch = tuple[EditRequest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One batch of a sequence: what it cost, and everything as it was measured right after it."""

    scores: Scores
    retained: tuple[Rate, ...]
    """Rewrite prompts of each batch so far, this one included: a row of the retention matrix."""
    retained_rephrases: tuple[Rate, ...]
    steps: int
    seconds: float
    """Of the edit alone."""
    measure_seconds: float
    tokens: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of each stage of the edit."""
    losses: tuple[float, ...] = ()
    anchor_losses: tuple[float, ...] = ()
    norm: float = 0.0
    """Frobenius norm of the adapter's update, over all layers."""
    peak_mb: float = 0.0
    """Of memory during the edit: of the GPU if the model is there, else of the process."""
    idle_mb: float = 0.0
    """Before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One method on one sequence of batches of one seed."""

    method: str
    facts: int
    """In each batch."""
    batches: int
    seed: int
    oracle_right: Rate
    root_wrong: Rate
    survey_seconds: float
    """Taken once for a base; not part of an edit."""
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a benchmark is asked for."""

    edit_set: EditSet
    variants: Sequence[Variant]
    sizes: Sequence[int]
    batches: int
    seeds: Sequence[int]
    folder: Path
    covariance_text: Path | None = None


Load = Callable[[LoraSettings], EditableModel]
"""The model with adapters of a shape."""


def run(wanted: Wanted, config: Config, load: Load, progress: Progress = lambda *_: None) -> list[Run]:
    """Every size with every seed and method, each from the untaught base.

    Raises ConfigError for a folder that holds a run with other settings.
    """
    done: list[Run] = []
    model = _Loaded(load, wanted.folder)
    for facts in wanted.sizes:
        for seed in wanted.seeds:
            arranged = _Arranged(wanted, config, facts, seed, model, progress)
            for variant in wanted.variants:
                kept = _kept(wanted, variant, facts, seed)
                done.append(kept if kept else _measured(arranged, variant, progress))
    return done


def settings(edit_set: EditSet, config: Config, covariance_text: Path | None = None) -> dict[str, Any]:
    """What the figures of a run hang on. Its seeds and methods do not: they may be added to it.

    Raises ConfigError for a text that cannot be read.
    """
    edit = config.edit.model_dump(mode="json", exclude={"seed"})
    model = config.model.model_dump(mode="json")
    return {
        "version": __version__,
        "set": edit_set.name,
        "set_digest": edit_set.digest,
        "covariance_digest": hashlib.sha256(_text(covariance_text).encode()).hexdigest(),
        "model": model,
        "edit": edit,
        "lora": config.lora.model_dump(mode="json"),
    }


def claim_folder(folder: Path, settings: dict[str, Any]) -> None:
    """Make the run's folder this run's. Raises ConfigError if it is another one's."""
    path, text = folder / SETTINGS, json.dumps(settings, indent=2)
    if path.exists() and (before := path.read_text(encoding="utf-8", errors="replace")) != text:
        raise ConfigError(
            f"{folder} holds a run with other settings{_difference(before, settings)} "
            "(choose another with --run, or remove it)"
        )
    write_whole(path, text)


def _difference(before: str, settings: dict[str, Any]) -> str:
    """Where two settings differ, as far as the one before can be read."""
    with suppress(ValueError, AttributeError):
        was, now = _flat(json.loads(before)), _flat(settings)
        names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
        return f": {', '.join(names)}" if names else ""
    return ""


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings by names like edit.steps."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    return found


class _Loaded:
    """The model in the shape of adapter that was asked for last: ranks cannot be mixed on one base."""

    def __init__(self, load: Load, folder: Path) -> None:
        self._load, self._folder, self._shape = load, folder, LoraSettings()
        self._model: EditableModel | None = None

    def shaped(self, shape: LoraSettings) -> EditableModel:
        """Raises ConfigError when the model has other weights than this run's folder was begun with."""
        if self._model is None or self._shape != shape:
            self._model, self._shape = self._load(shape), shape
            self._claim(self._model.base_hash)
        return self._model

    def _claim(self, base_hash: str) -> None:
        path = self._folder / BASE
        if path.exists() and path.read_text(encoding="utf-8", errors="replace").strip() != base_hash:
            raise ConfigError(
                f"{self._folder} holds a run of a model with other weights "
                "(choose another with --run, or remove it)"
            )
        write_whole(path, f"{base_hash}\n")


class _Arranged:
    """What all methods of one size and seed share: batches, survey, suites. Made when the first one runs."""

    def __init__(
        self, wanted: Wanted, config: Config, facts: int, seed: int, loaded: _Loaded, progress: Progress
    ) -> None:
        self.wanted, self.config, self.facts, self.seed = wanted, config, facts, seed
        self.loaded, self._progress = loaded, progress
        self._shared: _Shared | None = None

    @property
    def cache_dir(self) -> Path:
        return self.wanted.folder.parent / "cache"

    def shared(self, model: EditableModel) -> _Shared:
        if self._shared is None:
            self._shared = self._make(model)
        return self._shared

    def _make(self, model: EditableModel) -> _Shared:
        edit_set, edit = self.wanted.edit_set, self.config.edit
        batches = edit_set.batches(self.facts, self.wanted.batches, self.seed)
        started = time.monotonic()
        surveys = [
            survey.take(
                model, self.cache_dir, n_texts=edit.survey_texts, n_questions=edit.survey_questions,
                seed=survey.turn(self.seed, batch), progress=self._progress,
            )
            for batch in range(min(len(batches), survey.IN_TURN))
        ]  # fmt: skip
        survey_seconds = time.monotonic() - started
        slots = frozenset((r.subject, r.relation) for batch in batches for r in batch)
        asked = edit_set.survey(self.seed) if edit_set.survey else surveys[0]
        held_out, suites = edit_set.texts(model), []
        for number, batch in enumerate(batches):
            self._progress("preparing probes", number, len(batches), "")
            # All slots of the sequence: a neighbour that is taught later would seem to have drifted.
            suites.append(
                evaluate.prepare(
                    model,
                    root_id=ROOT,
                    requests=batch,
                    taught=slots,
                    survey=asked,
                    texts=held_out,
                    seed=self.seed,
                    beside=[row for r in batch for row in edit_set.beside.get(r.fact_id, ())],
                )
            )
        return _Shared(
            batches=batches,
            surveys=surveys,
            survey_seconds=survey_seconds,
            suites=suites,
            covariance_texts=_covariance_texts(self.wanted, model) or surveys[0].anchored_texts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    batches: list[Batch]
    surveys: list[Survey]
    survey_seconds: float
    suites: list[evaluate.Suite]
    covariance_texts: Sequence[Sequence[int]]


def _measured(arranged: _Arranged, variant: Variant, progress: Progress) -> Run:
    model = arranged.loaded.shaped(variant.lora)
    model.create_root(ROOT)
    shared = arranged.shared(model)
    path = _path(arranged.wanted, variant, arranged.facts, arranged.seed)
    taken_up = so_far = _taken_up(model, path.with_suffix(""))
    with restored(model):
        for so_far in _sequence(arranged, shared, variant, model, taken_up, progress):
            if retention(so_far.steps[-1]).below(GIVEN_UP):
                break
            if len(so_far.steps) < len(shared.batches):
                _keep(model, path.with_suffix(""), so_far)
    run = Run(
        method=variant.name, facts=arranged.facts, batches=arranged.wanted.batches, seed=arranged.seed,
        oracle_right=total(s.oracle_right for s in shared.suites),
        root_wrong=total(s.root_wrong for s in shared.suites),
        survey_seconds=shared.survey_seconds, steps=so_far.steps,
    )  # fmt: skip
    lines = [json.dumps(row, ensure_ascii=False) for row in so_far.transcripts]
    write_whole(path.with_suffix(".transcripts.jsonl"), "\n".join(lines) + "\n")
    write_whole(path, json.dumps(asdict(run)))
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
    return run


@dataclass(frozen=True, slots=True, kw_only=True)
class _SoFar:
    """A sequence of batches as far as it was measured, and the adapter that the next one goes on from."""

    steps: tuple[Step, ...] = ()
    transcripts: tuple[dict[str, Any], ...] = ()
    adapter_id: str = ROOT


def _keep(model: EditableModel, folder: Path, so_far: _SoFar) -> None:
    """What is needed to go on after the last batch. A method that edits the base itself begins anew."""
    if so_far.adapter_id == ROOT:
        return
    adapter = folder / so_far.adapter_id
    shutil.rmtree(adapter, ignore_errors=True)
    model.save(so_far.adapter_id, adapter, {})
    write_whole(folder / SO_FAR, json.dumps(asdict(so_far)))
    for before in folder.iterdir():
        if before.is_dir() and before != adapter:
            shutil.rmtree(before)


def _taken_up(model: EditableModel, folder: Path) -> _SoFar:
    """What was kept of a sequence that was broken off; what cannot be read is measured again."""
    try:
        so_far = TypeAdapter(_SoFar).validate_json((folder / SO_FAR).read_text(encoding="utf-8"))
        model.load_adapter(so_far.adapter_id, folder / so_far.adapter_id)
    except (FileNotFoundError, UnicodeDecodeError, ValidationError, AdapterError):
        return _SoFar()
    return so_far


def _sequence(
    arranged: _Arranged,
    shared: _Shared,
    variant: Variant,
    model: EditableModel,
    so_far: _SoFar,
    progress: Progress,
) -> Iterator[_SoFar]:
    """Batch after batch, each edited on what the one before left."""
    tuned = TUNED if model.name == REFERENCE else {}
    method = METHODS[variant.method]
    parent = so_far.adapter_id
    try:
        for number in range(len(so_far.steps), len(shared.batches)):
            batch = shared.batches[number]
            task = Task(
                model=model, root_id=ROOT, parent_id=parent, candidate_id=f"bench-{number}", requests=batch,
                learned=[r for earlier in shared.batches[:number] for r in earlier],
                survey=shared.surveys[number % survey.IN_TURN],
                settings=variant.edit.model_copy(update={"seed": arranged.seed}),
                cache_dir=arranged.cache_dir, texts=shared.covariance_texts,
                progress=_labelled(progress, variant.name, arranged, number),
                **tuned.get(variant.method, {}),
            )  # fmt: skip
            with _memory(model) as peak:
                started = time.monotonic()
                edited = method(task)
                seconds = time.monotonic() - started
            if parent not in (ROOT, edited.adapter_id):
                model.forget(parent)
            parent = edited.adapter_id or ROOT
            suite, before = shared.suites[number], shared.batches[: number + 1]
            step, asked = _score(model, edited, suite, before, seconds, peak)
            so_far = _SoFar(
                steps=(*so_far.steps, step),
                transcripts=(*so_far.transcripts, *({"batch": number, **asdict(t)} for t in asked)),
                adapter_id=parent,
            )
            yield so_far
    finally:
        if parent != ROOT:
            model.forget(parent)


def _score(
    model: EditableModel,
    edited: Edited,
    suite: evaluate.Suite,
    batches: Sequence[Batch],
    seconds: float,
    peak: dict[str, float],
) -> tuple[Step, tuple[Transcript, ...]]:
    started = time.monotonic()
    evaluation = evaluate.score(
        model, edited.adapter_id, suite, context=lambda probe: edited.context(probe.question, probe.fact_id)
    )
    with model.using(edited.adapter_id):
        rewrites = tuple(_answered(model, edited, batch, _rewrite_prompt) for batch in batches)
        rephrases = tuple(_answered(model, edited, batch, _first_rephrase) for batch in batches)
    report = edited.report
    norms = report.norms.values() if report else ()
    step = Step(
        scores=evaluation.scores,
        retained=rewrites,
        retained_rephrases=rephrases,
        steps=edited.steps,
        seconds=seconds,
        measure_seconds=time.monotonic() - started,
        tokens=report.tokens if report else 0,
        stages=report.stages if report else {},
        losses=report.losses if report else (),
        anchor_losses=report.anchor_losses if report else (),
        norm=sum(norm**2 for norm in norms) ** 0.5,
        **peak,
    )
    return step, evaluation.transcripts


def _rewrite_prompt(request: EditRequest) -> str:
    return request.rewrite_prompt


def _first_rephrase(request: EditRequest) -> str:
    return next(iter(request.rephrases), "")


def _answered(
    model: EditableModel, edited: Edited, batch: Batch, question_of: Callable[[EditRequest], str]
) -> Rate:
    asked = [r for r in batch if question_of(r)]
    questions = [question_of(r) for r in asked]
    contexts = [edited.context(q, r.fact_id) for q, r in zip(questions, asked, strict=True)]
    answers = evaluate.ask(model, questions, contexts)
    hits = [relations.same_answer(text, r.target, r.aliases) for text, r in zip(answers, asked, strict=True)]
    return Rate(hits=sum(hits), asked=len(hits))


def retention(step: Step) -> Rate:
    """Rewrite prompts of all batches but the last, asked after it."""
    return total(step.retained[:-1])


def total(rates: Iterable[Rate]) -> Rate:
    """All counts together."""
    each = list(rates)
    return Rate(hits=sum(r.hits for r in each), asked=sum(r.asked for r in each))


def _labelled(progress: Progress, method: str, arranged: _Arranged, number: int) -> Progress:
    """Progress that says which method and batch it is about."""
    batch = f", batch {number + 1} of {arranged.wanted.batches}" if arranged.wanted.batches > 1 else ""
    label = f"{method}, {arranged.facts} facts{batch}, seed {arranged.seed}"
    return lambda stage, done, total, note: progress(
        stage, done, total, ": ".join(part for part in (label, note) if part)
    )


def _covariance_texts(wanted: Wanted, model: EditableModel) -> list[list[int]]:
    """The user's file for covariances, a text a line."""
    return [model.encode_text(line) for line in _text(wanted.covariance_text).splitlines() if line.strip()]


def _text(path: Path | None) -> str:
    try:
        text = path.read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read {path}: {why} (--covariance takes a text file)") from error
    if path and not text.strip():
        raise ConfigError(f"{path} has no text (--covariance takes a text a line)")
    return text


@contextmanager
def _memory(model: EditableModel) -> Iterator[dict[str, float]]:
    """The peak of memory in the body and what was in use before, in MB, filled in at its end."""
    found: dict[str, float] = {}
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
        idle = torch.cuda.memory_allocated(model.device)
        yield found
        found |= {"idle_mb": idle / 2**20, "peak_mb": torch.cuda.max_memory_allocated(model.device) / 2**20}
        return
    resident = _resident("VmRSS")
    # Linux counts the peak anew from here; without it, it counts from the start of the process.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    yield found
    found |= {"idle_mb": resident, "peak_mb": _resident("VmHWM")}


def _resident(field_name: str) -> float:
    """The process's memory in MB, by its name in Linux's /proc; nan on other systems."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.nan
    (line,) = [line for line in lines if line.startswith(field_name)]
    return int(line.split()[1]) / 2**10


# -- the folder ----------------------------------------------------------------------------------------------


def _path(wanted: Wanted, variant: Variant, facts: int, seed: int) -> Path:
    name = variant.name.replace(":", ",")
    return wanted.folder / RUNS / f"{name}-{facts}x{wanted.batches}-seed{seed}.json"


def _kept(wanted: Wanted, variant: Variant, facts: int, seed: int) -> Run | None:
    """What was measured already; a file that cannot be read, or is another's, is measured again."""
    try:
        text = _path(wanted, variant, facts, seed).read_text(encoding="utf-8")
        kept = TypeAdapter(Run).validate_json(text)
    except (FileNotFoundError, UnicodeDecodeError, ValidationError):
        return None
    is_this = (kept.method, kept.facts, kept.batches, kept.seed) == (
        variant.name, facts, wanted.batches, seed,
    )  # fmt: skip
    return kept if is_this and kept.steps else None


def write_whole(path: Path, text: str) -> None:
    """A file whole or not at all. Raises ConfigError when it cannot be written."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror} (choose another folder with --run)"
        ) from error
