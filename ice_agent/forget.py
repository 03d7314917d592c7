"""Forgetting, in the store and on the disk: every adapter that was taught a forgotten fact is deleted.

No model is needed. `rebuild` teaches the weights again what stays, `leak` asks them, and a signed receipt,
outside the database, says what was done. It holds ids and hashes alone, and nothing of what was forgotten.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ice_agent.config import Config
from ice_agent.errors import ForgetError
from ice_agent.manifest import MANIFEST
from memory import Adapter, Archive, FactStore, Forgetting, Leak, Notary, now

logger = logging.getLogger(__name__)

NEVER_TAUGHT = "no adapter that is left was ever taught it: there was nothing to ask"


def forget(
    store: FactStore, config: Config, fact_ids: Sequence[str] = (), subject: str | None = None
) -> Forgetting:
    """Erase facts, or all about a subject, from the store, and from the disk every adapter that held one.

    What stays is served by the last clean adapter and the prompt at once, until `rebuild`.
    """
    taken = store.forget(fact_ids, subject)
    _remove(config, taken)
    return taken


def forget_everything(store: FactStore, config: Config) -> Forgetting:
    """Erase all that is held about the tenant, and its adapters."""
    taken = store.forget_everything()
    _remove(config, taken)
    return taken


def certify(
    archive: Archive,
    config: Config,
    notary: Notary,
    taken: Forgetting,
    *,
    serving: Adapter | None,
    rebuilt: Sequence[Adapter] = (),
    leaks: Sequence[Leak] | None = None,
) -> Path:
    """Sign what was forgotten, and that the ledger says so, into a file beside the checkpoints.

    `leaks` is what probing the adapter that serves found; None where nobody asked it.
    """
    checkpoint = archive.checkpoint()
    notary.sign(checkpoint, config.ledger.checkpoints)
    told = {
        "at": now().isoformat(timespec="seconds"),
        "facts": [fact.id for fact in taken.facts],
        "utterances": [utterance.id for utterance in taken.utterances],
        "adapters": [adapter.id for adapter in taken.adapters],
        "serving": serving.id if serving else None,
        "rebuilt": [{"adapter": adapter.id, "status": adapter.status} for adapter in rebuilt],
        "probe": NEVER_TAUGHT if leaks is None else [asdict(leak) | {"leaks": leak.leaks} for leak in leaks],
    }
    note = notary.signed(checkpoint)
    receipt = archive.receipt(taken.tenant_id, taken.entries, note, notary.key, told)
    return notary.certify(receipt, config.ledger.checkpoints)


def returned(archive: Archive, config: Config, receipt: dict[str, Any]) -> tuple[str, ...]:
    """What a receipt says is gone and is here, as after a restored backup."""
    back = [f"{fact_id} is in the database again" for fact_id in archive.held(receipt["facts"])]
    there = [config.adapters.dir / adapter_id for adapter_id in receipt["adapters"]]
    return (*back, *(f"{folder} is there again: delete it" for folder in there if folder.exists()))


def _remove(config: Config, taken: Forgetting) -> None:
    commitments = {fact.commitment for fact in taken.facts}
    held = [path for adapter in taken.adapters for path in _files(config, adapter.path)]
    for path in dict.fromkeys((*held, *_taught(config, commitments))):
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ForgetError(
                f"{path} still holds what was forgotten and cannot be deleted: {error.strerror}; delete it"
            ) from error
        logger.info("deleted %s, which held what was forgotten", path)


def _files(config: Config, adapter: str) -> Iterator[Path]:
    """Its folder, its transcripts, and what a cycle that was killed left of either half written."""
    folder = config.adapters.dir
    yield from (path for path in (folder / adapter,) if path.exists())
    yield from (*folder.glob(f"{adapter}.*"), *folder.glob(f".partial-{adapter}-*"))


def _taught(config: Config, commitments: set[str]) -> Iterator[Path]:
    """The adapters that a cycle wrote and was killed before the store knew of them."""
    for path in config.adapters.dir.glob(f"*/{MANIFEST}"):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if commitments & {*manifest.get("facts", ()), *manifest.get("taken_back", ())}:
            yield from _files(config, path.parent.name)
