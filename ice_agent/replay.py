"""An adapter made again from what is recorded of it: the same parent, facts, words, settings and seed.

On a CPU it comes out the same to the bit. Where a fact that it was taught, or knew, is forgotten since, it
cannot be made again, which is what forgetting is for.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ice_agent import explain, transcripts
from ice_agent.config import Config
from ice_agent.cycle import load
from ice_agent.errors import CycleError
from ice_agent.ice_editor import IceEditor
from ice_agent.manifest import CONFIG, MANIFEST, WEIGHTS, file_hash, kept_manifest_path, read_manifest
from ice_agent.probes import LOCALITY_CONTEXT
from ice_agent.settings import EditSettings
from ice_agent.work import Ground, put_into_words
from memory import USER, Adapter, AdapterStatus, Fact, FactStore, Past, Progress

_OF_THE_FILES = ("id", "base_hash", "files", "edit")
"""What saving an adapter writes into its manifest by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How what was made again compares with what was made then."""

    adapter: Adapter
    is_equal: bool
    """To the bit."""
    max_difference: float | None
    """Of any two weights; None where the files of the first are gone."""
    asked: int
    """Questions of the kept transcripts, without those asked under a made-up fact."""
    differing: tuple[str, ...]
    """Those that are answered otherwise."""
    is_restored: bool = False


def replay(
    store: FactStore,
    editor: IceEditor,
    config: Config,
    adapter_id: str,
    progress: Progress = lambda *_: None,
    *,
    restore: bool = False,
) -> Replayed:
    """Make an adapter again, aside, and compare it. With `restore`, a collected one gets its files back.

    Raises CycleError with the reason where it cannot be. What is not the same is never restored.
    """
    adapter = store.adapter(adapter_id)
    manifest = _recorded(config, adapter)
    settings = EditSettings.model_validate(manifest["settings"], strict=False)
    if manifest.get("seed") != config.edit.seed:
        raise CycleError(
            f"{adapter.id} was made with edit.seed = {manifest.get('seed')}: set it to replay it"
        )
    ground, facts, removals = _as_it_was(store, config, adapter, manifest)
    for needed_id in (ground.root_id, ground.parent_id):
        load(editor, config, explain.loadable(store, config.adapters.dir, needed_id))
    work = put_into_words(store, editor, ground, facts, removals, settings)
    aside = Path(tempfile.mkdtemp(prefix=f".partial-{adapter.id}-", dir=config.adapters.dir))
    made = [f"replay_{adapter.id}", f"replay_{adapter.id}_scaled"]
    told = {name: value for name, value in manifest.items() if name not in _OF_THE_FILES}
    try:
        editor.teach(work.job, made[0], aside / made[0], told, progress)
        alpha, name = manifest["edit"].get("alpha"), made[0]
        if alpha is not None:
            name = made[1]
            editor.scale(ground.parent_id, made[0], alpha, name, aside / name, told)
        return _compared(store, editor, config, adapter, manifest, name, aside / name, restore=restore)
    finally:
        for each in made:
            editor.unload(each)
        shutil.rmtree(aside, ignore_errors=True)


def _recorded(config: Config, adapter: Adapter) -> dict[str, Any]:
    """The manifest, also of an adapter whose files are gone."""
    if adapter.batch_id is None:
        raise CycleError(f"{adapter.id} is a root, which was taught nothing: there is nothing to replay")
    if adapter.status is AdapterStatus.FORGOTTEN:
        raise CycleError(f"{adapter.id} held what was forgotten: it cannot be made again")
    folder = config.adapters.dir / adapter.path
    if adapter.collected_at is None:
        return read_manifest(folder)
    try:
        kept: dict[str, Any] = json.loads(kept_manifest_path(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CycleError(
            f"the manifest of {adapter.id} is gone, too: `ice-agent rebuild` makes a new one"
        ) from error
    return kept


def _as_it_was(
    store: FactStore, config: Config, adapter: Adapter, manifest: dict[str, Any]
) -> tuple[Ground, list[Fact], list[Fact]]:
    """What it was taught, and on top of what."""
    past = store.past(adapter.id, manifest["ledger_tip"]["position"])
    batch = store.batch(adapter.batch_id or "")
    try:
        facts = [past.members[commitment] for commitment in manifest["facts"]]
        removals = [past.members[commitment] for commitment in manifest["taken_back"]]
        steps = _steps_before(store, config, adapter, past) if batch.replaces_id is not None else None
    except KeyError:
        raise CycleError(
            f"{adapter.id} was taught a fact that is forgotten since: it cannot be made again"
        ) from None
    ground = Ground(
        root_id=past.root_id,
        parent_id=manifest["parent_id"],
        generation=past.generation,
        standing=past.standing if steps is None else (*steps, *facts),
        known=past.known if steps is None else steps,
        taught=past.taught if steps is None else steps,
    )
    if ground.digest != manifest.get("knew"):
        why = "some of it is forgotten since" if past.n_forgotten else "the history does not say what it was"
        raise CycleError(
            f"what {adapter.id} knew besides cannot be taught again ({why}): it cannot be replayed"
        )
    slots = {fact.slot for fact in facts}
    if any(fact.subject == USER and fact.slot in slots for fact in past.wordless):
        raise CycleError(
            f"the words that {adapter.id} was taught in were erased since: it cannot be made again"
        )
    return ground, facts, removals


def _steps_before(store: FactStore, config: Config, adapter: Adapter, past: Past) -> tuple[Fact, ...]:
    """What the earlier batches of a rebuild were taught."""
    known = list[Fact]()
    while (parent_id := adapter.parent_id) is not None:
        adapter = store.adapter(parent_id)
        if adapter.batch_id is not None:
            known[:0] = [past.members[each] for each in _recorded(config, adapter)["facts"]]
    return tuple(known)


def _compared(
    store: FactStore,
    editor: IceEditor,
    config: Config,
    adapter: Adapter,
    manifest: dict[str, Any],
    name: str,
    folder: Path,
    *,
    restore: bool,
) -> Replayed:
    is_equal = file_hash(folder / WEIGHTS) == manifest["files"][WEIGHTS]
    apart = None
    if adapter.collected_at is None:
        load(editor, config, adapter)
        apart = editor.model.max_difference(adapter.id, name)
    asked = [t for t in transcripts.read(config.adapters.dir, adapter.id) or () if t.kind != LOCALITY_CONTEXT]
    answers: Sequence[str] = editor.ask(name, [t.prompt for t in asked]) if asked else ()
    is_restored = restore and is_equal and adapter.collected_at is not None
    if is_restored:
        _put_files_back(config.adapters.dir / adapter.path, folder)
        adapter = store.bring_back(adapter.id)
    return Replayed(
        adapter=adapter,
        is_equal=is_equal,
        max_difference=apart,
        asked=len(asked),
        differing=tuple(t.prompt for t, answer in zip(asked, answers, strict=True) if answer != t.after),
        is_restored=is_restored,
    )


def _put_files_back(place: Path, made: Path) -> None:
    """Under the manifest that they had: they have its hashes."""
    kept = kept_manifest_path(place)
    for path in made.iterdir():
        if path.name not in (WEIGHTS, CONFIG):
            path.unlink()
    shutil.copyfile(kept, made / MANIFEST)
    read_manifest(made)
    if place.exists():
        shutil.rmtree(place)
    made.replace(place)
    kept.unlink()
