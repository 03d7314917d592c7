"""Adapters from a clean ancestor: what stays after forgetting is taught to the weights again."""

from __future__ import annotations

from ice_agent.config import Config
from ice_agent.cycle import CycleReport, run_cycle
from ice_agent.errors import EmptyBatch
from ice_agent.model import EditableModel
from memory import FactStore, Progress


def rebuild(
    store: FactStore, model: EditableModel, config: Config, progress: Progress = lambda *_: None
) -> tuple[CycleReport, ...]:
    """Teach the weights, batch after batch, all that waits; judged as any cycle is.

    On a CPU the adapter is, bit for bit, that of a store that was told the rest alone. Stops at the first
    batch that a guard refuses.
    """
    done = list[CycleReport]()
    while True:
        try:
            done.append(run_cycle(store, model, config, progress))
        except EmptyBatch:
            return tuple(done)
        if not done[-1].verdict.promote:
            return tuple(done)
