"""Where a cycle meets the model: an Editor teaches, scales and measures adapters. A cycle knows no tensors.

`IceEditor` is the one that serves users. Whatever else keeps the contract can stand in for it, which is how
the life cycle is tested a thousand times without training anything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ice_agent import evaluate, ice, survey
from ice_agent.config import Config, EditSettings
from ice_agent.model import EditableModel
from ice_agent.suites import GuardSuite
from memory import EditRequest, Evaluation, Progress

Slot = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one candidate is to learn, and on top of what."""

    root_id: str
    parent_id: str
    generation: int
    """How many adapters lie between the root and this candidate: each asks a survey of its own."""
    requests: tuple[EditRequest, ...]
    learned: tuple[EditRequest, ...]
    taught: frozenset[Slot]
    settings: EditSettings
    suites: tuple[GuardSuite, ...] = ()
    """Probes of the user's own, asked whole of every candidate."""


class Editor(Protocol):
    """What a cycle needs of a model. Adapters are named by their ids; `directory` is where one is kept."""

    @property
    def name(self) -> str:
        """Of the base model."""

    @property
    def base_hash(self) -> str:
        """Of the base model's weights."""

    def load(self, adapter_id: str, directory: Path) -> None:
        """Make a saved adapter available. Raises AdapterError when it is damaged or made for another base."""

    def unload(self, adapter_id: str) -> None:
        """Drop an adapter from memory, if it is there; its files stay."""

    def make_root(self, root_id: str, directory: Path, manifest: dict[str, Any]) -> None:
        """Save an adapter that changes nothing."""

    def ask(self, adapter_id: str, questions: Sequence[str]) -> list[str]:
        """The adapter's answers."""

    def teach(
        self, job: Job, candidate_id: str, directory: Path, manifest: dict[str, Any], progress: Progress
    ) -> None:
        """Teach a candidate and save it: a whole directory, or none.

        What came of it stands in the manifest as "edit": at least `at_risk`, the ids of the facts learned
        before that were known least well, and `beyond_context`, of the facts that the model fails even with
        the fact in its prompt.
        """

    def scale(
        self,
        parent_id: str,
        candidate_id: str,
        alpha: float,
        scaled_id: str,
        directory: Path,
        manifest: dict[str, Any],
    ) -> None:
        """Save what lies between parent (alpha = 0) and candidate (alpha = 1)."""

    def measure(
        self, job: Job, adapter_id: str, at_risk: Collection[str], progress: Progress
    ) -> tuple[Evaluation, Evaluation]:
        """Parent and adapter on the probes of the job, the adapter's beside the parent's answers."""


class IceEditor:
    """Consistent in-context editing on a LoRA adapter (arXiv 2406.11194); see `ice` for the method."""

    def __init__(self, model: EditableModel, config: Config) -> None:
        self.model = model
        self._config = config
        self._measured: tuple[Job, tuple[str, ...], evaluate.Suite, Evaluation] | None = None
        self._surveyed: tuple[int, survey.Survey] | None = None

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def base_hash(self) -> str:
        return self.model.base_hash

    def load(self, adapter_id: str, directory: Path) -> None:
        self.model.load_adapter(adapter_id, directory)

    def unload(self, adapter_id: str) -> None:
        self.model.forget(adapter_id)

    def make_root(self, root_id: str, directory: Path, manifest: dict[str, Any]) -> None:
        self.model.create_root(root_id)
        self.model.save(root_id, directory, manifest)

    def ask(self, adapter_id: str, questions: Sequence[str]) -> list[str]:
        with self.model.using(adapter_id):
            return evaluate.ask(self.model, questions)

    def teach(
        self, job: Job, candidate_id: str, directory: Path, manifest: dict[str, Any], progress: Progress
    ) -> None:
        self.model.forget(candidate_id)
        report = ice.edit(
            self.model, root_id=job.root_id, parent_id=job.parent_id, candidate_id=candidate_id,
            requests=job.requests, learned=job.learned, taught=job.taught,
            survey=self._survey(job, progress), settings=job.settings, progress=progress,
        )  # fmt: skip
        self.model.save(candidate_id, directory, manifest | {"edit": asdict(report)})

    def scale(
        self,
        parent_id: str,
        candidate_id: str,
        alpha: float,
        scaled_id: str,
        directory: Path,
        manifest: dict[str, Any],
    ) -> None:
        self.model.forget(scaled_id)
        self.model.interpolate(parent_id, candidate_id, alpha, scaled_id)
        self.model.save(scaled_id, directory, manifest)

    def measure(
        self, job: Job, adapter_id: str, at_risk: Collection[str], progress: Progress
    ) -> tuple[Evaluation, Evaluation]:
        progress("measuring", 0, 3, "the root")
        suite, before = self._suite(job, tuple(at_risk), progress)
        progress("measuring", 2, 3, "the candidate")
        after = evaluate.score(self.model, adapter_id, suite, before=before)
        progress("measuring", 3, 3, "done")
        return before, after

    def _suite(
        self, job: Job, at_risk: tuple[str, ...], progress: Progress
    ) -> tuple[evaluate.Suite, Evaluation]:
        """The same for every candidate of one job, such as one that is scaled down."""
        if self._measured is not None and self._measured[:2] == (job, at_risk):
            return self._measured[2:]
        suite = evaluate.prepare(
            self.model,
            root_id=job.root_id,
            requests=job.requests,
            learned=job.learned,
            at_risk=at_risk,
            taught=job.taught,
            survey=self._survey(job, progress),
            guard_suites=job.suites,
            seed=job.settings.seed,
        )
        progress("measuring", 1, 3, "the parent")
        before = evaluate.score(self.model, job.parent_id, suite)
        self._measured = (job, at_risk, suite, before)
        return suite, before

    def _survey(self, job: Job, progress: Progress) -> survey.Survey:
        """What the base says of its own accord; from the cache when it was asked before."""
        seed = survey.turn(self._config.edit.seed, job.generation)
        if self._surveyed is None or self._surveyed[0] != seed:
            taken = survey.take(
                self.model,
                self._config.adapters.dir / "cache",
                n_texts=job.settings.survey_texts,
                n_questions=job.settings.survey_questions,
                seed=seed,
                progress=progress,
            )
            self._surveyed = (seed, taken)
        return self._surveyed[1]
