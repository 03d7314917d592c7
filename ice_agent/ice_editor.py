"""The editor that serves users: consistent in-context editing on a LoRA adapter of the base model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ice_agent import evaluate, ice, survey
from ice_agent.checkpoint import Checkpoint
from ice_agent.config import Config
from ice_agent.editor import Job
from ice_agent.model import EditableModel
from memory import Evaluation, Progress


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
        checkpoint = Checkpoint(directory, manifest, self._config.cycle.checkpoint_seconds)
        report = ice.edit(
            self.model, root_id=job.root_id, parent_id=job.parent_id, candidate_id=candidate_id,
            requests=job.requests, learned=job.learned, taught=job.taught,
            survey=self._survey(job, progress), settings=job.settings, progress=progress,
            checkpoint=checkpoint,
        )  # fmt: skip
        self.model.save(candidate_id, directory, manifest | {"edit": asdict(report)})
        checkpoint.discard()

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
