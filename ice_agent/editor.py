"""Where a cycle meets the model: an Editor teaches, scales and measures adapters. A cycle knows no tensors.

`ice_editor.IceEditor` is the one that serves users. Whatever else keeps the contract can stand in for it,
which is how the life cycle is tested a thousand times without training anything. No torch here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ice_agent.settings import EditSettings
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
