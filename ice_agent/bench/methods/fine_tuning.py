"""Fine-tuning as a baseline: one layer (FT-L, FT-M), one fact after another, and LoRA-SFT on the whole batch.

FT-L and FT-M as the field's benchmarks have them (EasyEdit; arXiv 2401.01286): Adam on one down-projection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ice_agent.bench.methods.ours import ice
from ice_agent.bench.methods.task import Edited, Task
from ice_agent.bench.methods.weights import answer_loss, projections, share, trainable
from ice_agent.model import EditableModel, Ids
from ice_agent.turns import asking

STEPS = 25
RATE = 5e-4
ENOUGH = 1e-2
"""A loss, in nats, under which a fact counts as learned."""

Loss = Callable[[EditableModel, Sequence[Ids], Sequence[Ids]], Tensor]


def ft_l(task: Task) -> Edited:
    """FT-L: every target token is predicted from the last token of the prompt."""
    return _one_by_one(task, _last_prompt_loss)


def ft_m(task: Task) -> Edited:
    """FT-M: the likelihood of the target's tokens, the prompt masked."""
    return _one_by_one(task, answer_loss)


def lora_sft(task: Task) -> Edited:
    """Supervised fine-tuning of the same LoRA on the same question forms: no context, no anchor, no KL."""
    off = ("weight", "anchor_weight", "curvature_weight", "curvature_weight_learned")
    settings = task.settings.model_copy(
        update=dict.fromkeys(off, 0.0)
        | {"samples": 0, "anchor_rows": 0}
        | ({"learning_rate": task.rate, "learning_rate_continued": task.rate} if task.rate else {})
    )
    return ice(replace(task, settings=settings, learned=()))


def _one_by_one(task: Task, loss_of: Loss) -> Edited:
    """Fit the facts one after another, at two thirds of the depth as in the field."""
    model = task.model
    layers = projections(model)
    (layer,) = task.layers or share(len(layers), 2 / 3, 2 / 3)
    steps = 0
    with model.using(None), trainable([layers[layer]]) as parameters:
        for done, request in enumerate(task.requests):
            prompt, answer = model.encode(asking(request.rewrite_prompt)), model.encode_answer(request.target)
            optimizer = torch.optim.Adam(parameters, lr=task.rate or RATE)
            for _ in range(STEPS):
                loss = loss_of(model, [prompt], [answer]).mean()
                if loss.item() < ENOUGH:
                    break
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                steps += 1
            task.progress("editing", done + 1, len(task.requests), "")
    return Edited(steps=steps)


def _last_prompt_loss(model: EditableModel, prompts: Sequence[Ids], answers: Sequence[Ids]) -> Tensor:
    logits_BV = model.logits(prompts, 1)[:, -1]
    losses = [
        cross_entropy(logits_V.expand(len(answer), -1), torch.tensor(answer, device=logits_V.device))
        for logits_V, answer in zip(logits_BV, answers, strict=True)
    ]
    return torch.stack(losses)
