"""Whether everything is as it was recorded: the ledger, what was signed of it, the files, what was forgotten.

It only looks; what is wrong is said in words, and nothing is mended here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ice_agent import explain, forget
from ice_agent.config import Config
from memory import (
    Archive,
    Checkpoint,
    Forged,
    Key,
    Notary,
    NotaryError,
    broken_receipt,
    newest,
    opened_note,
    opened_receipt,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was looked at, and every problem, named."""

    n_entries: int
    n_signed: int | None
    """Tips of chains that the checkpoint signed; None where there is no checkpoint to hold them against."""
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def everything(
    archive: Archive,
    config: Config,
    only: Sequence[str] | None = None,
    *,
    checkpoint: Path | None = None,
    receipt: Path | None = None,
    key: str | None = None,
) -> Checked:
    """Check all tenants, or some alone; against the newest checkpoint, unless another is given."""
    signed, problems = _signed(archive, config, checkpoint, key)
    found = archive.verify(signed, only=only)
    stores = [archive.store(tenant) for tenant in (archive.tenants() if only is None else only)]
    damaged = [problem for store in stores for problem in explain.damaged(store, config.adapters.dir)]
    undone = undone_by(archive, config, receipt, key) if receipt is not None else []
    return Checked(
        n_entries=found.n_entries,
        n_signed=signed.size if signed else None,
        problems=(*problems, *found.problems, *damaged, *undone),
    )


def undone_by(archive: Archive, config: Config, receipt: Path, key: str | None = None) -> list[str]:
    """What is wrong with a receipt of forgetting, and what it says is gone and is here."""
    try:
        opened = opened_receipt(read(receipt), public_key(archive, config, key))
    except Forged as error:
        return [f"{receipt}: {error}"]
    broken = broken_receipt(opened, archive.chain(opened["tenant"]))
    return [*(f"{receipt}: {problem}" for problem in broken), *forget.returned(archive, config, opened)]


def public_key(archive: Archive, config: Config, key: str | None = None) -> Key:
    """The key that notes are checked with: one that is given, as text or in a file, else the settings'."""
    if key is not None:
        return Key.read(read(Path(key)) if Path(key).is_file() else key)
    if not config.ledger.key.exists():
        raise NotaryError(f"there is no {config.ledger.key}: give the public key with --key")
    return Notary.at(config.ledger.key, archive.origin).key


def note(config: Config, checkpoint: Path | None = None) -> str:
    """A checkpoint as it was signed: the newest, unless one is given."""
    path = checkpoint or newest(config.ledger.checkpoints)
    if path is None:
        where = config.ledger.checkpoints
        raise NotaryError(f"no checkpoint in {where}: sign one with `ice-agent checkpoint`")
    return read(path)


def proof(
    archive: Archive,
    config: Config,
    tenant: str,
    id_: str,
    checkpoint: Path | None = None,
    *,
    opening: bool = False,
) -> dict[str, Any]:
    """That what has this id is under a signed checkpoint, as `python -m memory.audit` checks it.

    With its `opening` whoever has the proof sees what was committed to.
    """
    store = archive.store(tenant)
    found = explain.named(store, id_)
    kind = type(found).__name__.lower()
    signed = note(config, checkpoint)
    proven = archive.inclusion(store.entry_of(kind, found.id), signed, public_key(archive, config))
    if opening:
        rows = (row for row in store.export() if row["kind"] == kind)
        proven["opening"] = next(row for row in rows if row["content"]["id"] == found.id)
    return proven


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Forged(f"{path} is no text") from error


def _signed(
    archive: Archive, config: Config, checkpoint: Path | None, key: str | None
) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint that a ledger is held against, and what is wrong with it."""
    path = checkpoint or newest(config.ledger.checkpoints)
    if path is None:
        return None, []
    try:
        signed = opened_note(read(path), public_key(archive, config, key))
    except Forged as error:
        return None, [f"{path}: {error}"]
    n_signed = len(archive.signed_tips())
    if checkpoint is None and signed.size < n_signed:
        newest_is_old = f"{path} covers {signed.size} of the {n_signed} tips that were signed"
        return signed, [f"{newest_is_old}: a newer checkpoint is gone, or an old one was put in its place"]
    return signed, []
