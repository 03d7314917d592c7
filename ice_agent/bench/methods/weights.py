"""The weights that the field's methods change: each layer's feed-forward down-projection, in place.

The rows of a down-projection's input are the "keys" and its outputs the "values" of the locate-then-edit
papers (ROME, arXiv 2202.05262; MEMIT, arXiv 2210.07229).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ice_agent.errors import ModelError
from ice_agent.model import EditableModel, Ids

NAMES = ("down_proj", "fc2", "dense_4h_to_h", "mlp.c_proj")


@dataclass(frozen=True, slots=True)
class Projection:
    """One layer's down-projection."""

    module: nn.Module

    @property
    def parameter(self) -> nn.Parameter:
        weight = self.module.weight
        assert isinstance(weight, nn.Parameter)
        return weight

    @property
    def weight_OI(self) -> Tensor:  # noqa: N802
        """The matrix with outputs as rows; GPT-2 keeps it transposed."""
        return self.parameter if isinstance(self.module, nn.Linear) else self.parameter.T


def projections(model: EditableModel) -> list[Projection]:
    """The down-projections of all layers, first layer first. Raises ModelError for a model without."""
    found = _named(model)
    if not found:
        raise ModelError(
            f"no layer of {model.name!r} is named {', '.join(NAMES)}: the methods that edit "
            "feed-forward weights need one (leave them out with --methods)"
        )
    return found


def _named(model: EditableModel) -> list[Projection]:
    return [
        Projection(getattr(module, "base_layer", module))
        for name, module in model.base.named_modules()
        if name.endswith(NAMES)
    ]


@contextmanager
def trainable(chosen: Sequence[Projection]) -> Iterator[list[nn.Parameter]]:
    """These weights with gradients, and nothing else of the base."""
    parameters = [projection.parameter for projection in chosen]
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        yield parameters
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
            parameter.grad = None


@contextmanager
def restored(model: EditableModel) -> Iterator[None]:
    """The base as it was, once a method's edits have been measured."""
    parameters = [projection.parameter for projection in _named(model)]
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, kept in zip(parameters, before, strict=True):
                parameter.copy_(kept)


def answer_loss(model: EditableModel, prompts: Sequence[Ids], answers: Sequence[Ids]) -> Tensor:
    """Mean negative log-likelihood of the answers' tokens after their prompts: B values, in nats."""
    rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    counts = [len(answer) for answer in answers]
    logits_NV = model.answer_logits(rows, counts)
    tokens_N = torch.tensor([token for answer in answers for token in answer], device=logits_NV.device)
    losses_N = cross_entropy(logits_NV, tokens_N, reduction="none")
    return torch.stack([losses_T.mean() for losses_T in losses_N.split(counts)])


def share(n_layers: int, first: float, last: float) -> list[int]:
    """The layers from one share of the depth to another: a paper's choice, carried over to this model."""
    chosen = range(int(first * n_layers), max(int(first * n_layers) + 1, round(last * n_layers)))
    return [layer for layer in chosen if layer < n_layers]
