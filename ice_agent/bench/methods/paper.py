"""`ice-paper`: Algorithm 1 of the paper as printed (arXiv 2406.11194), with none of our additions.

Each step samples completions from the current model with the context and the target in its prompt, and
maximises log p([x*, x_c] | q): that one term optimises the likelihood of the target and the KL together. Full
weights of the chosen layers, each step clipped element by element, until the fact holds or S steps are over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ice_agent.bench.methods.published import BOX, CONTEXTS, RATE, STEPS, drawn_up
from ice_agent.bench.methods.task import Edited, Task
from ice_agent.bench.methods.weights import answer_loss, restored, trainable
from ice_agent.ice import clip_step
from ice_agent.turns import asking

SAMPLED_TOKENS = 16
CONVERGED = 0.05
"""Mean negative log-likelihood of target and completion, in nats a token."""


@contextmanager
def ice_paper(task: Task) -> Iterator[Edited]:
    model = task.model
    chosen, scale, rng, generator = drawn_up(task)
    steps = 0
    with restored(model):
        with trainable(chosen) as parameters:
            for done, request in enumerate(task.requests):
                bare = model.encode(asking(request.rewrite_prompt))
                target = model.encode_answer(request.target)[:-1]
                optimizer = torch.optim.Adam(parameters, lr=task.rate or RATE * scale)
                for _ in range(STEPS):
                    contexts = [rng.choice(request.contexts) for _ in range(CONTEXTS)]
                    told = [[*model.encode(asking(request.rewrite_prompt, c)), *target] for c in contexts]
                    sampled = model.complete(
                        told, max_tokens=SAMPLED_TOKENS, temperature=1.0, generator=generator
                    )
                    ends = [[model.stop_ids[0]] if completion.stopped else [] for completion in sampled]
                    answers = [
                        [*target, *completion.ids, *end]
                        for completion, end in zip(sampled, ends, strict=True)
                    ]
                    loss = answer_loss(model, [bare] * CONTEXTS, answers).mean()
                    if loss.item() < CONVERGED:
                        break
                    loss.backward()
                    before = [p.detach().clone() for p in parameters]
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                    clip_step(before, parameters, BOX * scale)
                    steps += 1
                task.progress("editing", done + 1, len(task.requests), "")
        yield Edited(steps=steps)
