"""`ice`: the editor of this project with the settings of config.toml."""

from __future__ import annotations

from ice_agent import ice as editor
from ice_agent.bench.methods.task import Edited, Task


def ice(task: Task) -> Edited:
    """The whole batch at once, on LoRA, from the parent; what was learned before is held and rehearsed."""
    report = editor.edit(
        task.model, root_id=task.root_id, parent_id=task.parent_id, candidate_id=task.candidate_id,
        requests=task.requests, learned=task.learned, survey=task.survey, settings=task.settings,
        progress=task.progress,
    )  # fmt: skip
    return Edited(adapter_id=task.candidate_id, steps=report.steps, report=report)
