"""The methods of the comparison, behind one function type: a batch in, an edited model out."""

from __future__ import annotations

from typing import Any

from ice_agent.bench.methods.fine_tuning import ft_l, ft_m, lora_sft
from ice_agent.bench.methods.locate import memit, rome
from ice_agent.bench.methods.ours import ice, ice_rebuilt
from ice_agent.bench.methods.paper import (
    ice_paper,
    ice_paper_static,
    ice_paper_unconditioned,
    ice_paper_without_context,
)
from ice_agent.bench.methods.prompting import base, oracle, rag
from ice_agent.bench.methods.published import ice_published
from ice_agent.bench.methods.task import Edited, Method, Task

METHODS: dict[str, Method] = {
    "base": base,
    "oracle": oracle,
    "rag": rag,
    "lora-sft": lora_sft,
    "ft-l": ft_l,
    "ft-m": ft_m,
    "rome": rome,
    "memit": memit,
    "ice-published": ice_published,
    "ice-paper": ice_paper,
    "ice": ice,
    "ice-rebuilt": ice_rebuilt,
    "ice-paper-static": ice_paper_static,
    "ice-paper-without-context": ice_paper_without_context,
    "ice-paper-unconditioned": ice_paper_unconditioned,
}

ABLATED = ("ice-paper-static", "ice-paper-without-context", "ice-paper-unconditioned")
"""The paper's method without one of its parts."""

COMPARED = tuple(name for name in METHODS if name not in (*ABLATED, "ice-rebuilt"))
"""Those that differ from each other in one batch, and are each the whole of what somebody proposes."""

TUNED: dict[str, dict[str, Any]] = {
    "lora-sft": {"rate": 1e-3},
    "ft-l": {"layers": (3,)},
    "ft-m": {"layers": (3,)},
    "rome": {"layers": (0,), "rate": 0.1},
    "memit": {"layers": (0, 1, 2), "weight": 100.0},
    "ice-published": {"layers": (0, 1, 2, 3)},
    "ice-paper": {"layers": (2, 3), "weight": 1.0},
}
"""For the bundled model, which is far from those that the papers chose their settings for: the best of what
was tried on seed 7 with 20 facts (LOG.md). Other models get the papers' own."""

__all__ = ["ABLATED", "COMPARED", "METHODS", "TUNED", "Edited", "Method", "Task"]
