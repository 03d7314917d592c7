"""What a method of the comparison gets, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ice_agent.config import EditSettings
from ice_agent.model import EditableModel
from ice_agent.survey import Survey
from memory import EditRequest, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A batch to learn. The survey is what the base says of its own accord: free text and questions."""

    model: EditableModel
    root_id: str
    requests: Sequence[EditRequest]
    survey: Survey
    settings: EditSettings
    rate: float | None = None
    layers: Sequence[int] | None = None
    weight: float | None = None
    """In place of a method's own learning rate, layers, and covariance weight or scale of its box: how a
    baseline is tuned."""
    progress: Progress = lambda *_: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """The model as edited, while the method's context lasts: by an adapter, in its base, or by its prompt."""

    adapter_id: str | None = None
    steps: int = 0
    context: Callable[[str, str], str] = lambda question, fact_id: ""
    """The system message under which a question is asked; without fact id it is a question beside facts."""


Method = Callable[[Task], AbstractContextManager[Edited]]
