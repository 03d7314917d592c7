"""A stand-in where the model meets the cycle: it writes down what it is told, and answers by that. No torch.

Its adapters are saved and checked as real ones are. It can take its time, so that whatever happens to a cycle
happens at any of its steps.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ice_agent.editor import Job
from ice_agent.manifest import CONFIG, WEIGHTS, read_manifest, write_json, written_whole
from ice_agent.probes import EDIT_SUCCESS, RETENTION
from memory import EditRequest, Evaluation, Progress, Rate, Scores, Transcript

STEPS = 4
"""Of which teaching and measuring report."""


class Notebook:
    """An editor whose adapters are pages of answers.

    Whatever is said of an object that has `spoils` in it wrecks the language of the adapter that learns it.
    """

    name, base_hash = "a notebook", "b" * 64

    def __init__(self, *, size: int = 0, seconds: float = 0.0, spoils: str = "nothing said") -> None:
        """`size` is that of an adapter's weights in bytes, `seconds` what teaching, or measuring, takes."""
        self._size, self._seconds, self._spoils = size, seconds, spoils
        self._pages: dict[str, dict[str, str]] = {}
        self.taught = 0
        """Times that it was asked to teach."""

    def page(self, adapter_id: str) -> dict[str, str]:
        """What an adapter answers, by question."""
        return self._pages[adapter_id]

    def load(self, adapter_id: str, directory: Path) -> None:
        read_manifest(directory)
        self._pages[adapter_id] = json.loads((directory / WEIGHTS).read_text(encoding="utf-8"))

    def unload(self, adapter_id: str) -> None:
        self._pages.pop(adapter_id, None)

    def make_root(self, root_id: str, directory: Path, manifest: dict[str, Any]) -> None:
        self._save(root_id, {}, directory, manifest)

    def ask(self, adapter_id: str, questions: Sequence[str]) -> list[str]:
        return [self._pages[adapter_id].get(question, "I don't know.") for question in questions]

    def teach(
        self, job: Job, candidate_id: str, directory: Path, manifest: dict[str, Any], progress: Progress
    ) -> None:
        self.taught += 1
        page = self._pages[job.parent_id] | {r.rewrite_prompt: r.target for r in job.requests}
        self._work("editing", progress)
        edit: dict[str, Any] = {"at_risk": [], "beyond_context": []}
        self._save(candidate_id, page, directory, manifest | {"edit": edit})

    def scale(
        self,
        parent_id: str,
        candidate_id: str,
        alpha: float,
        scaled_id: str,
        directory: Path,
        manifest: dict[str, Any],
    ) -> None:
        self._save(scaled_id, self._pages[candidate_id], directory, manifest)

    def measure(
        self, job: Job, adapter_id: str, at_risk: Collection[str], progress: Progress
    ) -> tuple[Evaluation, Evaluation]:
        self._work("measuring", progress)
        page = self._pages[adapter_id]
        rows = [_asked(EDIT_SUCCESS, r, page) for r in job.requests]
        rows += [_asked(RETENTION, r, page) for r in job.learned[:20]]
        scores = Scores(
            edit_success=Rate(hits=sum(row.is_hit for row in rows), asked=len(rows)),
            locality_unrelated=Rate(hits=30, asked=30),
            perplexity_ratio=9.0 if any(self._spoils in r.target for r in job.requests) else 1.0,
        )
        return Evaluation(scores=Scores()), Evaluation(scores=scores, transcripts=tuple(rows))

    def _work(self, stage: str, progress: Progress) -> None:
        for step in range(1, STEPS + 1):
            time.sleep(self._seconds / STEPS)
            progress(stage, step, STEPS, "")

    def _save(self, adapter_id: str, page: dict[str, str], directory: Path, manifest: dict[str, Any]) -> None:
        own = {"id": adapter_id, "base_hash": self.base_hash}
        with written_whole(directory, manifest | own) as partial:
            (partial / WEIGHTS).write_text(json.dumps(page).ljust(self._size), encoding="utf-8")
            write_json(partial / CONFIG, {})
        self._pages[adapter_id] = page


def _asked(kind: str, r: EditRequest, page: dict[str, str]) -> Transcript:
    answer = page.get(r.rewrite_prompt, "")
    return Transcript(
        kind=kind, fact_id=r.fact_id, prompt=r.rewrite_prompt, expected=r.target, before="", after=answer,
        is_hit=answer == r.target,
    )  # fmt: skip
