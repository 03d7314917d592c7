"""An adapter's directory on disk: its files and the hashes they must have. No torch: auditing starts fast."""

from __future__ import annotations

import hashlib
import json
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
            f"no readable adapter at {directory}: {_first_line(error)} "
            "(restore it from a copy, or, if it serves, `ice-agent revert`)"
        ) from error
    return manifest


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


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
