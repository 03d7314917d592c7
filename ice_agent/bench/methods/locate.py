"""ROME and MEMIT: find the key of a subject, the value that makes the model say the target, and write it.

ROME: arXiv 2202.05262, one rank-one update a fact (its equation 2). MEMIT: arXiv 2210.07229, all facts at
once, spread over several layers (its equations 14 and 20). Where the papers average over random prefixes, the
question forms that an edit may train on stand in. Covariances come from text that the model itself wrote, or
from a file of the user's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import kl_div

from ice_agent.bench.methods.task import Edited, Task
from ice_agent.bench.methods.weights import Projection, answer_loss, projections, share
from ice_agent.errors import ModelError
from ice_agent.model import EditableModel, Ids
from ice_agent.turns import asking
from memory import USER, EditRequest

VALUE_STEPS, VALUE_RATE = 20, 0.5
VALUE_DECAY, ESSENCE, LONGEST = 0.5, 0.0625, 4.0
"""As in the papers' code: decay of the value's change, weight of the subject's essence, longest change over
the length of the value itself."""

COVARIANCE = 15_000.0
"""MEMIT's weight of what the layer already maps, against one fact."""

FIRST_PERSON = re.compile(r"\b(?:I|me|my)$")


def rome(task: Task) -> Edited:
    """One fact after another into one layer, at a sixth of the depth (layer 5 of 32 in the field)."""
    model, layers = task.model, projections(task.model)
    (at,) = task.layers or share(len(layers), 5 / 32, 5 / 32)
    inverse_II = torch.linalg.inv(_covariance(task, at))
    with model.using(None):
        for done, request in enumerate(task.requests):
            prompts, positions = _prompts(model, request)
            change_O = _value_change(model, layers[at], request, prompts, positions, task.rate or VALUE_RATE)
            key_I = _keys(model, layers[at], prompts, positions).mean(0)
            direction_I = inverse_II @ key_I
            with torch.no_grad():
                layers[at].weight_OI.add_(torch.outer(change_O, direction_I / (direction_I @ key_I)))
            task.progress("editing", done + 1, len(task.requests), "")
    return Edited(steps=VALUE_STEPS * len(task.requests))


def memit(task: Task) -> Edited:
    """All facts at once, spread over layers (4 to 8 of 32 in the field)."""
    model, layers = task.model, projections(task.model)
    chosen = task.layers or share(len(layers), 4 / 32, 9 / 32)
    located = [_prompts(model, request) for request in task.requests]
    last = layers[chosen[-1]]
    covariances = {at: _covariance(task, at) for at in chosen}
    with model.using(None):
        wanted = []
        for done, (request, (prompts, positions)) in enumerate(zip(task.requests, located, strict=True)):
            change_O = _value_change(model, last, request, prompts, positions, task.rate or VALUE_RATE)
            wanted.append(_stream(model, last, prompts[:1], positions[:1])[0] + change_O)
            task.progress("editing", done + 1, len(task.requests), "")
        for written, at in enumerate(chosen):
            keys_NI = torch.stack([_keys(model, layers[at], *place).mean(0) for place in located])
            now_NO = torch.cat([_stream(model, last, place[0][:1], place[1][:1]) for place in located])
            missing_NO = (torch.stack(wanted) - now_NO) / (len(chosen) - written)
            known_II = (task.weight or COVARIANCE) * covariances[at]
            adjusted_IN = torch.linalg.solve(known_II + keys_NI.T @ keys_NI, keys_NI.T)
            with torch.no_grad():
                layers[at].weight_OI.add_(missing_NO.T @ adjusted_IN.T)
            task.progress("writing", written + 1, len(chosen), "")
    return Edited(steps=VALUE_STEPS * len(task.requests))


def _prompts(model: EditableModel, request: EditRequest) -> tuple[list[Ids], list[int]]:
    """The question forms that name the subject, and where its last token is, counted from the end."""
    found = [
        (ids, position)
        for question in request.training_prompts
        if (position := _subject_end(model, ids := model.encode(asking(question)), request.subject))
    ]
    if not found:
        # Nobody is named: edited at the last token, as the papers do for prompts without subject.
        return [model.encode(asking(request.rewrite_prompt))], [-1]
    return [ids for ids, _ in found], [position for _, position in found]


def _subject_end(model: EditableModel, ids: Ids, subject: str) -> int | None:
    """Where the subject's last token is, counted from the end."""
    for n in range(1, len(ids) + 1):
        text = model.decode(ids[:n])
        if FIRST_PERSON.search(text) if subject == USER else text.endswith(subject):
            return n - 1 - len(ids)
    return None


def _value_change(
    model: EditableModel,
    layer: Projection,
    request: EditRequest,
    prompts: Sequence[Ids],
    positions: Sequence[int],
    rate: float,
) -> Tensor:
    """What to add to the layer's output at the subject so that the model answers with the target.

    Minimises the target's loss over the prompts, the KL of "SUBJECT is" from the unedited model, and the
    change's own length.
    """
    answer = model.encode_answer(request.target)
    after = [position - len(answer) for position in positions]
    essence = model.encode_text(f"{request.subject} is")
    essence_at = _subject_end(model, essence, request.subject) or -1
    with torch.no_grad():
        value_O = _outputs(model, layer, prompts[:1], positions[:1])[0]
        essence_V = model.logits([essence], 1)[0, -1].log_softmax(-1)
    change_O = torch.zeros_like(value_O, requires_grad=True)
    optimizer = torch.optim.Adam([change_O], lr=rate)
    longest = LONGEST * value_O.norm()
    for _ in range(VALUE_STEPS):
        with _added(layer, change_O, after):
            fitted = answer_loss(model, prompts, [answer] * len(prompts)).mean()
        with _added(layer, change_O, [essence_at]):
            moved_V = model.logits([essence], 1)[0, -1].log_softmax(-1)
        drift = kl_div(moved_V, essence_V, reduction="sum", log_target=True)
        loss = fitted + ESSENCE * drift + VALUE_DECAY * change_O.norm() / value_O.norm() ** 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            if change_O.norm() > longest:
                change_O.mul_(longest / change_O.norm())
    return change_O.detach()


@contextmanager
def _added(layer: Projection, change_O: Tensor, positions: Sequence[int]) -> Iterator[None]:
    """The layer's output with something added at one position of each row, counted from the end."""

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output_BTO: Tensor) -> Tensor:
        rows = torch.arange(len(positions), device=output_BTO.device)
        at = torch.tensor(positions, device=output_BTO.device) + output_BTO.shape[1]
        added_BTO = torch.zeros_like(output_BTO).index_put((rows, at), change_O.expand(len(positions), -1))
        return output_BTO + added_BTO

    handle = layer.module.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def _seen(
    model: EditableModel, module: nn.Module, rows: Sequence[Ids], pick: Callable[[Tensor, Any], Tensor]
) -> Tensor:
    """What passes through a module while the model reads rows: pick chooses of its input and output."""
    kept: list[Tensor] = []
    handle = module.register_forward_hook(lambda module, inputs, output: kept.append(pick(inputs[0], output)))
    try:
        model.logits(rows, 1)
    finally:
        handle.remove()
    return kept[0]


def _keys(model: EditableModel, layer: Projection, rows: Sequence[Ids], positions: Sequence[int]) -> Tensor:
    return _seen(model, layer.module, rows, lambda inputs, _: _at(inputs, positions))


def _outputs(
    model: EditableModel, layer: Projection, rows: Sequence[Ids], positions: Sequence[int]
) -> Tensor:
    return _seen(model, layer.module, rows, lambda _, output: _at(output, positions))


def _stream(model: EditableModel, layer: Projection, rows: Sequence[Ids], positions: Sequence[int]) -> Tensor:
    """The residual stream after the layer's block, which is what MEMIT's values are."""

    def states(_: Tensor, output: Any) -> Tensor:
        return _at(output[0] if isinstance(output, tuple) else output, positions)

    return _seen(model, _block_of(model, layer), rows, states)


def _block_of(model: EditableModel, layer: Projection) -> nn.Module:
    """The transformer block that the layer stands in: the innermost member of a list of modules."""
    name = next(name for name, module in model.base.named_modules() if module is layer.module)
    parts = name.split(".")
    deepest = max(i for i, part in enumerate(parts) if part.isdigit())
    return model.base.get_submodule(".".join(parts[: deepest + 1]))


def _at(states_BTD: Tensor, positions: Sequence[int]) -> Tensor:
    rows = torch.arange(len(positions), device=states_BTD.device)
    return states_BTD[rows, torch.tensor(positions, device=states_BTD.device) + states_BTD.shape[1]].detach()


def _covariance(task: Task, at: int) -> Tensor:
    """The second moment of a layer's keys over text, I x I: of the untaught base, once for all batches."""
    model, layer = task.model, projections(task.model)[at]
    digest = hashlib.sha256(json.dumps([list(ids) for ids in task.texts]).encode()).hexdigest()[:12]
    path = task.cache_dir / f"covariance-{model.base_hash[:16]}-{digest}-{at}.safetensors"
    if path.exists():
        return load_file(path, device=str(model.device))["covariance"]
    if task.learned:
        raise ModelError(f"the base was edited before its covariance was taken ({path.name} is missing)")
    covariance_II = _second_moment(model, layer, task.texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({"covariance": covariance_II.cpu().contiguous()}, partial)
    partial.replace(path)
    return covariance_II


def _second_moment(model: EditableModel, layer: Projection, texts: Sequence[Sequence[int]]) -> Tensor:
    width = layer.weight_OI.shape[1]
    total_II, n = torch.zeros(width, width, device=model.device), 0
    with model.using(None):
        for at in range(0, len(texts), 32):
            rows = [list(ids) for ids in texts[at : at + 32]]
            mask_BT = model.pad(rows)[1].bool()
            keys_NI = _seen(model, layer.module, rows, lambda inputs, _: inputs)[mask_BT].float()
            total_II += keys_NI.T @ keys_NI
            n += len(keys_NI)
    # A direction that no text used would have an infinite inverse.
    return total_II / n + 1e-4 * torch.eye(width, device=model.device) * total_II.trace() / (n * width)
