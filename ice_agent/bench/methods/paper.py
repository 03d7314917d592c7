"""`ice-paper`: Algorithm 1 of the paper as printed (arXiv 2406.11194), with none of our additions.

Each step samples completions from the current model with the context and the target in its prompt, and
maximises log p([x*, x_c] | q): that one term optimises the likelihood of the target and the KL together. Full
weights of the chosen layers, each step clipped element by element, until the fact holds or S steps are over.

Its three ablations leave out one thing each, so that the paper's claims can be seen on any model.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import torch

from ice_agent.bench.methods.published import BOX, CONTEXTS, RATE, STEPS, drawn_up
from ice_agent.bench.methods.task import Edited, Task
from ice_agent.bench.methods.weights import answer_loss, trainable
from ice_agent.ice import clip_step
from ice_agent.model import EditableModel, Ids
from ice_agent.turns import asking
from memory import EditRequest

SAMPLED_TOKENS = 16
CONVERGED = 0.05
"""Mean negative log-likelihood of target and completion, in nats a token."""

Sampler = Callable[[], list[Ids]]
"""Answers to train on at one step: [x*, x_c] in the paper."""


def ice_paper(task: Task) -> Edited:
    """Dynamic targets, sampled in context, conditioned on the target."""
    return _one_by_one(task, _sampler)


def ice_paper_static(task: Task) -> Edited:
    """Static targets: what the model would sample before the edit begins, kept for all steps."""

    def sampled_once(
        model: EditableModel, request: EditRequest, rng: random.Random, generator: torch.Generator
    ) -> Sampler:
        answers = _sampler(model, request, rng, generator)()
        return lambda: answers

    return _one_by_one(task, sampled_once)


def ice_paper_without_context(task: Task) -> Edited:
    """No context: the model completes the target from the bare question."""
    return _one_by_one(task, partial(_sampler, in_context=False))


def ice_paper_unconditioned(task: Task) -> Edited:
    """L_ice alone: sampled in context, and not conditioned on the target."""
    return _one_by_one(task, partial(_sampler, conditioned=False))


def _sampler(
    model: EditableModel,
    request: EditRequest,
    rng: random.Random,
    generator: torch.Generator,
    *,
    in_context: bool = True,
    conditioned: bool = True,
) -> Sampler:
    """x_c ~ p(x | [c, q, x*]), at each call from the model as it stands; without c or x* where so asked."""
    target = model.encode_answer(request.target)[:-1] if conditioned else []

    def sample() -> list[Ids]:
        contexts = [rng.choice(request.contexts) if in_context else "" for _ in range(CONTEXTS)]
        told = [[*model.encode(asking(request.rewrite_prompt, c)), *target] for c in contexts]
        sampled = model.complete(told, max_tokens=SAMPLED_TOKENS, temperature=1.0, generator=generator)
        ends = [[model.stop_ids[0]] if completion.stopped else [] for completion in sampled]
        return [[*target, *c.ids, *end] for c, end in zip(sampled, ends, strict=True)]

    return sample


def _one_by_one(
    task: Task, sampler: Callable[[EditableModel, EditRequest, random.Random, torch.Generator], Sampler]
) -> Edited:
    model = task.model
    chosen, scale, rng, generator = drawn_up(task)
    steps = 0
    with model.using(None), trainable(chosen) as parameters:
        for done, request in enumerate(task.requests):
            bare = model.encode(asking(request.rewrite_prompt))
            sample = sampler(model, request, rng, generator)
            optimizer = torch.optim.Adam(parameters, lr=task.rate or RATE * scale)
            for _ in range(STEPS):
                loss = answer_loss(model, [bare] * CONTEXTS, sample()).mean()
                if loss.item() < CONVERGED:
                    break
                loss.backward()
                before = [p.detach().clone() for p in parameters]
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                clip_step(before, parameters, BOX * scale)
                steps += 1
            task.progress("editing", done + 1, len(task.requests), "")
    return Edited(steps=steps)
