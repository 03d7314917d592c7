"""Forgetting, in the store and on the disk: every adapter that was taught a forgotten fact is deleted.

No model is needed. `rebuild` teaches the weights again what stays.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence

from ice_agent.config import Config
from ice_agent.errors import ForgetError
from memory import Adapter, FactStore, Forgetting

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
            raise ForgetError(
                f"{held} still holds what was forgotten and cannot be deleted: {error.strerror}; delete it"
            ) from error
        logger.info("deleted %s, which held what was forgotten", adapter.id)
