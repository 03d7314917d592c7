"""What is left after forgetting: files of adapters that held a fact go, clean ones take their place."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence

from ice_agent.config import Config
from ice_agent.cycle import CycleReport, run_cycle
from ice_agent.errors import EmptyBatch, RebuildError
from ice_agent.model import EditableModel
from memory import Adapter, FactStore, Forgetting, Progress

logger = logging.getLogger(__name__)


def forget(
    store: FactStore, config: Config, fact_ids: Sequence[str] = (), subject: str | None = None
) -> Forgetting:
    """Erase facts, or all about a subject, from the store, and from the disk every adapter that held one.

    What stays is served by the last clean adapter and the prompt at once, until `rebuild`.
    """
    taken = store.forget(fact_ids, subject)
    _remove(config, taken.adapters)
    return taken


def forget_everything(store: FactStore, config: Config) -> tuple[Adapter, ...]:
    """Erase all that is held about the tenant, and its adapters."""
    adapters = store.forget_everything()
    _remove(config, adapters)
    return adapters


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


def _remove(config: Config, adapters: Iterable[Adapter]) -> None:
    for adapter in adapters:
        held = config.adapters.dir / adapter.path
        partial = config.adapters.dir.glob(f".partial-{adapter.id}-*")
        try:
            for folder in (held, *partial):
                if folder.exists():
                    shutil.rmtree(folder)
            (config.adapters.dir / f"{adapter.id}.transcripts.jsonl").unlink(missing_ok=True)
        except OSError as error:
            raise RebuildError(
                f"{held} still holds what was forgotten and cannot be deleted: {error.strerror}; delete it"
            ) from error
        logger.info("deleted %s, which held what was forgotten", adapter.id)
