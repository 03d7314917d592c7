"""What a method of the comparison gets, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ice_agent.ice import EditReport
from ice_agent.model import EditableModel
from ice_agent.settings import EditSettings
from ice_agent.survey import Survey
from memory import EditRequest, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A batch to learn. The survey is what the base says of its own accord: free text and questions."""

    model: EditableModel
    root_id: str
    parent_id: str
    """What an adapter goes on from. A method that edits the base goes on from the base as it stands."""
    candidate_id: str
    requests: Sequence[EditRequest]
    learned: Sequence[EditRequest] = ()
    """The batches before this one."""
    survey: Survey
    settings: EditSettings
    cache_dir: Path
    """Where statistics of the untaught base are kept."""
    texts: Sequence[Sequence[int]]
    """What covariances are computed from: text that the model wrote itself, or a file of the user's."""
    rate: float | None = None
    layers: Sequence[int] | None = None
    weight: float | None = None
    """In place of a method's own learning rate, layers, and covariance weight or scale of its box: how a
    baseline is tuned."""
    progress: Progress = lambda *_: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """The model as a method leaves it: taught by an adapter, in its base, or by its prompt."""

    adapter_id: str | None = None
    steps: int = 0
    report: EditReport | None = None
    """What an edit on LoRA said of itself."""
    context: Callable[[str, str], str] = lambda question, fact_id: ""
    """The system message under which a question is asked; without fact id it is a question beside facts."""


Method = Callable[[Task], Edited]
"""A method changes down-projections of the base or adds an adapter. Whoever calls it puts both back."""
