"""An adapter's directory on disk: whole or not there, its files with the hashes they must have. No torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ice_agent.errors import AdapterError

MANIFEST = "manifest.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a saved adapter whose files have the hashes it names. Raises AdapterError."""
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        hashes = {WEIGHTS: manifest["files"][WEIGHTS], CONFIG: manifest["files"][CONFIG], **manifest["files"]}
        for name, expected in hashes.items():
            if file_hash(directory / name) != expected:
                raise AdapterError(
                    f"{directory / name} is damaged (its hash is not the manifest's): "
                    "restore it from a copy, or, if it serves, `ice-agent revert`"
                )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"no readable adapter at {directory}: {_reason(error)} "
            "(restore it from a copy, or, if it serves, `ice-agent revert`)"
        ) from error
    return manifest


@contextmanager
def written_whole(directory: Path, manifest: Mapping[str, Any]) -> Iterator[Path]:
    """A folder to write weights and configuration into; with their hashes noted it becomes `directory`.

    What is killed before leaves a folder that nothing loads. Raises AdapterError when it cannot be written,
    or exists: a saved adapter is never rewritten.
    """
    if directory.exists():
        raise AdapterError(f"{directory} is there already (`ice-agent adapters` lists what is in use)")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{directory.name}-", dir=directory.parent))
        try:
            # A temporary directory is its owner's alone; a serving engine may run as somebody else.
            partial.chmod(directory.parent.stat().st_mode & 0o777)
            # Before the weights: what a killed cycle left half written is found by what it was taught.
            write_json(partial / MANIFEST, manifest)
            yield partial
            hashes = {name: file_hash(partial / name) for name in (CONFIG, WEIGHTS)}
            write_json(partial / MANIFEST, {**manifest, "files": hashes})
            for path in (*partial.iterdir(), partial):
                _sync(path)
            partial.replace(directory)
            _sync(directory.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or _first_line(error)
        raise AdapterError(
            f"could not write adapter {directory.name} to {directory}: {reason} "
            "(make that folder writable, with space left, and run the cycle again)"
        ) from error


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=2, sort_keys=True, default=_jsonable) + "\n"
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def base_name(directory: Path) -> str:
    """What the base model was called when an adapter was saved; empty where its files do not say."""
    try:
        name = json.loads((directory / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return str(name)


def training_dir(directory: Path) -> Path:
    """Where the training of the adapter that is to be saved here keeps how far it is."""
    return directory.with_name(f".training-{directory.name}")


def kept_manifest_path(directory: Path) -> Path:
    """Where the manifest of an adapter stays when its files are collected."""
    return directory.with_name(f"{directory.name}.{MANIFEST}")


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _jsonable(value: object) -> object:
    return sorted(value) if isinstance(value, set) else str(value)


def _reason(error: BaseException) -> str:
    """Of a file its name and what is wrong with it; where it lies was said."""
    if isinstance(error, OSError) and error.strerror:
        return f"{Path(error.filename).name}: {error.strerror}" if error.filename else error.strerror
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
