"""Where a training stands, kept beside the adapters, so that one that is killed goes on from there.

A folder with the manifest of the candidate that it is to be, by which `forget` finds what holds a fact, and
one file with the training's state: written whole or not at all, and ignored when a byte of it is another.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ice_agent.manifest import MANIFEST, training_dir

logger = logging.getLogger(__name__)

STATE = "state"
_TOLD = "told"


@dataclass(frozen=True, slots=True)
class State:
    """All that the next step of a training depends on, besides what it was prepared with."""

    tensors: Mapping[str, Tensor]
    told: Mapping[str, Any]
    """What is no tensor, as JSON has it."""


class Checkpoint:
    """The state of one candidate's training, kept at most every so many seconds; 0 keeps nothing."""

    def __init__(self, directory: Path, manifest: Mapping[str, Any], every_seconds: float) -> None:
        """`directory` is where the candidate is going to be saved."""
        self._folder = training_dir(directory)
        self._manifest, self._every_seconds = manifest, every_seconds
        self._kept_at = time.monotonic()
        self._is_open = False

    def read(self) -> State | None:
        """What a training that was killed had kept; None where there is nothing that can be trusted."""
        path = self._folder / STATE
        try:
            hashed, kept = path.read_bytes().split(b"\n", 1)
            if hashlib.sha256(kept).hexdigest().encode() != hashed:
                raise ValueError("its hash is not the one it begins with")
            tensors = load(kept)
            return State(tensors, json.loads(tensors.pop(_TOLD).numpy().tobytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            logger.warning("%s is damaged (%s): the training begins anew", path, error)
            return None

    def is_due(self) -> bool:
        return bool(self._every_seconds) and time.monotonic() - self._kept_at >= self._every_seconds

    def keep(self, state: State) -> None:
        """Write where the training stands. It goes on without where that cannot be written."""
        told = torch.frombuffer(bytearray(json.dumps(state.told).encode()), dtype=torch.uint8)
        kept = save(
            {name: t.detach().to("cpu").contiguous() for name, t in state.tensors.items()} | {_TOLD: told}
        )
        try:
            self._open()
            partial = self._folder / f"{STATE}.partial"
            with partial.open("wb") as file:
                file.write(hashlib.sha256(kept).hexdigest().encode() + b"\n")
                file.write(kept)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._folder / STATE)
        except OSError as error:
            # Not a second time: the disk is full, or somebody had what is learned here forgotten.
            self._every_seconds = 0.0
            logger.warning(
                "where the training stands cannot be kept in %s (%s): if it is killed, it begins anew",
                self._folder,
                error.strerror,
            )
        self._kept_at = time.monotonic()

    def discard(self) -> None:
        """The candidate is saved: nobody goes on from here."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _open(self) -> None:
        """The folder, once: if it goes while a training runs, what is being learned was forgotten."""
        if self._is_open:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{MANIFEST}.partial"
        partial.write_text(json.dumps(self._manifest, default=str), encoding="utf-8")
        partial.replace(self._folder / MANIFEST)
        self._is_open = True
