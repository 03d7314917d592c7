"""Which adapters keep their files, and what else in the folder nobody needs. Rows, scores, transcripts stay.

What serves, what a revert goes back to, what either was edited from and every root is never collected.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ice_agent import transcripts
from ice_agent.config import Config
from ice_agent.errors import AdapterError
from ice_agent.manifest import MANIFEST, kept_manifest_path, read_manifest, training_dir
from ice_agent.settings import AdaptersSettings
from memory import Adapter, AdapterStatus, FactStore, now

logger = logging.getLogger(__name__)

STRAY_AFTER = timedelta(days=1)
"""Since when nobody can be writing what has no row yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """What goes, or went."""

    adapters: tuple[Adapter, ...]
    strays: tuple[str, ...]
    """Files and folders that no adapter of the store knows of, by their names."""
    freed_bytes: int


def collect(
    store: FactStore, config: Config, *, dry_run: bool = False, unregistered: bool = False
) -> Garbage:
    """Delete the files that no adapter needs to keep, by the settings under [adapters].

    What cannot be deleted is logged and tried again the next time: nothing leads back to it. With
    `unregistered`, adapters that were saved for this tenant and never got a row go, too: to find them the
    manifests of all tenants' adapters are read, which is too much for the end of every cycle.
    """
    moment, adapters = now(), store.adapters()
    needed = kept(adapters, store.way_back(), config.adapters, moment)
    # One that was collected already may have been left half deleted.
    gone = [a for a in adapters if a.id not in needed and a.status is not AdapterStatus.FORGOTTEN]
    folders = {a.id: config.adapters.dir / a.path for a in gone}
    gone = [a for a in gone if folders[a.id].exists() or a.collected_at is None]
    strays = tuple(_strays(store, config, {a.path for a in adapters}, moment, unregistered=unregistered))
    answers = [
        path
        for a in adapters
        if _never_served(a) and a.created_at < moment - timedelta(days=config.adapters.keep_days)
        for path in (transcripts.path(config.adapters.dir, a.id),)
        if path.exists()
    ]
    paths = [*(folders[a.id] for a in gone), *strays, *answers]
    freed = sum(_size(path) for path in paths)
    if not dry_run:
        for adapter in gone:
            if adapter.collected_at is None:
                store.collect(adapter.id)
            if not _never_served(adapter):
                _keep_manifest(folders[adapter.id])
        for path in paths:
            _delete(path)
    return Garbage(adapters=tuple(gone), strays=tuple(path.name for path in strays), freed_bytes=freed)


def kept(
    adapters: Sequence[Adapter], way_back: Sequence[Adapter], settings: AdaptersSettings, moment: datetime
) -> frozenset[str]:
    """The ids of the adapters whose files stay."""
    served_since = moment - timedelta(days=settings.keep_days)
    made_since = moment - timedelta(days=settings.keep_rejected_days)

    def is_kept(adapter: Adapter) -> bool:
        if adapter.parent_id is None or adapter.status is AdapterStatus.CANDIDATE:
            return True
        if _never_served(adapter):
            return adapter.created_at >= made_since
        return adapter.promoted_at is not None and adapter.promoted_at >= served_since

    needed = {adapter.id for adapter in way_back[: settings.keep]}
    needed |= {adapter.id for adapter in adapters if is_kept(adapter)}
    parents = {adapter.parent_id for adapter in adapters if adapter.id in needed}
    return frozenset(needed | {parent_id for parent_id in parents if parent_id is not None})


def _never_served(adapter: Adapter) -> bool:
    return adapter.promoted_at is None and adapter.status is not AdapterStatus.CANDIDATE


def _strays(
    store: FactStore, config: Config, known: set[str], moment: datetime, *, unregistered: bool
) -> Iterator[Path]:
    """What cycles that were killed left, of any tenant, and whole adapters of this one that have no row."""
    folder = config.adapters.dir
    half_written = [
        path
        for pattern in (".partial-*", "*.partial", "*.work", training_dir(folder / "*").name)
        for path in folder.glob(pattern)
    ]
    manifests = folder.glob(f"*/{MANIFEST}") if unregistered else ()
    unknown = [path.parent for path in manifests if path.parent.name not in known]
    ours = [path for path in unknown if not path.name.startswith(".") and _tenant(path) == store.identity()]
    # What was saved is trained by nobody.
    done = {path for each in known if (path := training_dir(folder / each)).exists()}
    for path in dict.fromkeys((*half_written, *ours)):
        if path in done or _changed_at(path) < moment - STRAY_AFTER:
            yield path


def _tenant(folder: Path) -> str | None:
    try:
        found: str | None = read_manifest(folder).get("tenant")
    except AdapterError:
        return None
    return found


def _changed_at(path: Path) -> datetime:
    try:
        newest = max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    except FileNotFoundError:
        # Somebody is at work on it: another tenant's cycle has just saved what it wrote here.
        return now()
    return datetime.fromtimestamp(newest, UTC)


def _keep_manifest(folder: Path) -> None:
    """Beside where the folder was: with it, the adapter can be made again."""
    if (folder / MANIFEST).exists():
        shutil.copyfile(folder / MANIFEST, kept_manifest_path(folder))


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    n_bytes = 0
    for file in files:
        # Another tenant's cycle may be deleting the same stray.
        with suppress(FileNotFoundError):
            n_bytes += file.stat().st_size if file.is_file() else 0
    return n_bytes


def _delete(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s could not be deleted: %s", path, error.strerror)
    else:
        logger.info("deleted %s, which nobody needs", path)
