"""The methods of the comparison, behind one function type: a batch in, an edited model out."""

from __future__ import annotations

from ice_agent.bench.methods.fine_tuning import ft_l, ft_m, lora_sft
from ice_agent.bench.methods.locate import memit, rome
from ice_agent.bench.methods.ours import ice
from ice_agent.bench.methods.paper import ice_paper
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
}

__all__ = ["METHODS", "Edited", "Method", "Task"]
