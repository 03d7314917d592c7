"""`ice`: the editor of this project with the settings of config.toml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ice_agent import ice as editor
from ice_agent.bench.methods.task import Edited, Task
from ice_agent.config import EditSettings

CANDIDATE = "bench-candidate"


@contextmanager
def ice(task: Task) -> Iterator[Edited]:
    """The whole batch at once, on LoRA, from the root."""
    with on_lora(task, task.settings) as edited:
        yield edited


@contextmanager
def on_lora(task: Task, settings: EditSettings) -> Iterator[Edited]:
    """The batch learned with these settings, in an adapter that is gone afterwards."""
    try:
        report = editor.edit(
            task.model, root_id=task.root_id, parent_id=task.root_id, candidate_id=CANDIDATE,
            requests=task.requests, survey=task.survey, settings=settings, progress=task.progress,
        )  # fmt: skip
        yield Edited(adapter_id=CANDIDATE, steps=report.steps)
    finally:
        task.model.forget(CANDIDATE)
