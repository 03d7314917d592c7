"""`ice-published`: the editing procedure of ICE's released code, re-implemented from its description.

Five down-projections, Adam, at most 25 steps a fact, one fact after another; one completion of three tokens
sampled at temperature 100; weights kept in a box around their value at the start of each edit. The loss
trains the pass with the context, too, and its KL covers the sampled tokens alone.
"""

from __future__ import annotations

import math
import random

import torch
from torch.nn.functional import kl_div

from ice_agent.bench.methods.task import Edited, Task
from ice_agent.bench.methods.weights import (
    Projection,
    answer_loss,
    projections,
    share,
    trainable,
)
from ice_agent.model import EditableModel, Ids
from ice_agent.turns import asking
from memory import EditRequest

STEPS = 25
SAMPLED_TOKENS = 3
TEMPERATURE = 100.0
CONTEXTS = 5
RATE, BOX, FAN_IN = 7e-4, 5e-4, 11_008
"""As released for Llama-2-7b, whose down-projection has this fan-in. Rate and box grow with the size of a
weight, the inverse root of the fan-in: so the box stays smaller than the rate, as released."""
PREFIXES = ("Remember this fact: ", "Keep in mind: ", "It is known that ", "")


def ice_published(task: Task) -> Edited:
    model = task.model
    chosen, scale, rng, generator = drawn_up(task)
    steps = 0
    with model.using(None), trainable(chosen) as parameters:
        for done, request in enumerate(task.requests):
            start = [p.detach().clone() for p in parameters]
            optimizer = torch.optim.Adam(parameters, lr=task.rate or RATE * scale)
            for _ in range(STEPS):
                _loss(model, request, rng, generator).backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                with torch.no_grad():
                    for p, kept in zip(parameters, start, strict=True):
                        p.copy_(kept + (p - kept).clamp(-BOX * scale, BOX * scale))
                steps += 1
            task.progress("editing", done + 1, len(task.requests), "")
    return Edited(steps=steps)


def drawn_up(task: Task) -> tuple[list[Projection], float, random.Random, torch.Generator]:
    """The layers to change, how much larger rate and box are than released, and what sampling draws from."""
    layers = projections(task.model)
    chosen = [layers[i] for i in task.layers or share(len(layers), 4 / 32, 9 / 32)]
    scale = task.weight or math.sqrt(FAN_IN / chosen[0].weight_OI.shape[1])
    generator = torch.Generator(device=task.model.device).manual_seed(task.settings.seed)
    return chosen, scale, random.Random(task.settings.seed), generator


def _loss(
    model: EditableModel, request: EditRequest, rng: random.Random, generator: torch.Generator
) -> torch.Tensor:
    """Five contexts at once: NLL of the target with and without context, KL on three sampled tokens."""
    bare = model.encode(asking(request.rewrite_prompt))
    target = model.encode_answer(request.target)[:-1]
    contexts = [f"{rng.choice(PREFIXES)}{rng.choice(request.contexts)} Now: " for _ in range(CONTEXTS)]
    told = [model.encode(asking(request.rewrite_prompt, context)) for context in contexts]
    sampled = model.complete(
        [[*prompt, *target] for prompt in told],
        max_tokens=SAMPLED_TOKENS,
        temperature=TEMPERATURE,
        generator=generator,
        stop_ids=(-1,),
    )
    completed: list[Ids] = [[*target, *completion.ids] for completion in sampled]
    n_answer = [SAMPLED_TOKENS] * CONTEXTS
    student_NV = model.answer_logits([[*bare, *ids] for ids in completed], n_answer)
    teacher_NV = model.answer_logits(
        [[*prompt, *ids] for prompt, ids in zip(told, completed, strict=True)], n_answer
    )
    divergence = kl_div(
        student_NV.log_softmax(-1), teacher_NV.log_softmax(-1), reduction="batchmean", log_target=True
    )
    fitted = answer_loss(model, [bare, *told], [target] * (1 + CONTEXTS))
    return fitted.mean() + divergence
