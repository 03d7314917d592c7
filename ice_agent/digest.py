"""Which model weights are: hashes over names, types, shapes and bytes."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def base_identity(base: nn.Module) -> str:
    """Which base an adapter belongs to: the same for one model in float32 and in bfloat16."""
    return _digest(base, torch.bfloat16)


def weights_hash(base: nn.Module) -> str:
    """A hash of names, types, shapes and bytes of all weights: equal only when every bit is."""
    return _digest(base, None)


def _digest(base: nn.Module, rounded_to: torch.dtype | None) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(base.state_dict().items()):
        kept = tensor.to(rounded_to) if rounded_to and tensor.is_floating_point() else tensor
        digest.update(f"{name} {kept.dtype} {tuple(kept.shape)}".encode())
        # A single number has no dimension to view as bytes.
        digest.update(kept.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
