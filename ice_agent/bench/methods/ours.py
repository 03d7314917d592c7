"""`ice`: this project's editor with config.toml's settings; `ice-rebuilt`: and a rebuild now and then."""

from __future__ import annotations

from dataclasses import replace

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


REBUILT_EACH = 500
"""Facts after which `ice-rebuilt` begins anew."""


def ice_rebuilt(task: Task) -> Edited:
    """As `ice`, but whenever another 500 facts are full, all of them are taught to the root in one batch."""
    known = len(task.learned)
    if known // REBUILT_EACH == (known + len(task.requests)) // REBUILT_EACH:
        return ice(task)
    everything = [*task.learned, *task.requests]
    return ice(replace(task, parent_id=task.root_id, requests=everything, learned=()))
