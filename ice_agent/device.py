"""Where a model runs and in which precision: the one place that decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ice_agent.errors import ModelError


def device_of(setting: str) -> torch.device:
    """The device of `model.device`. Raises ModelError for a GPU that is not here."""
    wanted = int(setting.partition(":")[2] or 0)
    if setting.startswith("cuda") and wanted >= torch.cuda.device_count():
        raise ModelError(
            f'model.device is "{setting}", but torch sees {torch.cuda.device_count()} GPUs here '
            '(use "auto" or "cpu")'
        )
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if setting == "auto" else setting)


def dtype_on(device: torch.device, setting: str) -> torch.dtype:
    """The type of the weights: bfloat16 where it is fast and fits, float32 elsewhere."""
    if setting == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[setting]


@contextmanager
def mixed_precision(device: torch.device) -> Iterator[None]:
    """Products in bfloat16 where the hardware multiplies it; elsewhere nothing changes."""
    if not multiplies_bfloat16(device.type):
        yield
        return
    with torch.autocast(device.type, dtype=torch.bfloat16), ExitStack() as stack:
        if device.type == "cpu":
            # The CPU's fused attention takes five times as long in bfloat16 as in float32.
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


@cache
def multiplies_bfloat16(device_type: str) -> bool:
    """True for CUDA, and for a CPU that has the instructions (servers of the last years, mostly)."""
    has = torch.cpu.get_capabilities() if device_type == "cpu" else {}
    return device_type == "cuda" or any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
