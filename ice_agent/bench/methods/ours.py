"""`ice`: the editor of this project with the settings of config.toml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ice_agent import ice as editor
from ice_agent.bench.methods.task import Edited, Task


@contextmanager
def ice(task: Task) -> Iterator[Edited]:
    """The whole batch at once, on LoRA, from the root."""
    try:
        report = editor.edit(
            task.model, root_id=task.root_id, parent_id=task.root_id, candidate_id="ice",
            requests=task.requests, survey=task.survey, settings=task.settings, progress=task.progress,
        )  # fmt: skip
        yield Edited(adapter_id="ice", steps=report.steps)
    finally:
        task.model.forget("ice")
