"""Writing on from many prompts at once, with a key-value cache: each token, and what the model said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ice_agent.distribution import Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The tokens written after a prompt, without the one that stopped it, and whether one did."""

    ids: tuple[int, ...]
    stopped: bool
    said: Distribution | None = None
    """What the model said at each of these tokens, and where it stopped, if that was asked for."""


@torch.inference_mode()
def continued(
    network: nn.Module,
    ids_BT: Tensor,
    mask_BT: Tensor,
    *,
    stops: Tensor,
    max_tokens: int,
    temperature: float,
    generator: torch.Generator | None,
    top_k: int,
) -> list[Written]:
    """One batch of left-padded prompts, greedily at temperature 0. Rows that have stopped leave it once they
    are the half."""
    position_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    written: list[list[int]] = [[] for _ in ids_BT]
    has_stopped = [False] * len(written)
    alive = list(range(len(written)))
    running_B = torch.ones(len(written), dtype=torch.bool, device=ids_BT.device)
    said = _Said(len(written), top_k)
    cache: Any = None
    for _ in range(max_tokens):
        out = network(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=position_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = out.past_key_values
        logits_BV = out.logits[:, -1]
        said.add(alive, running_B, logits_BV)
        next_B = _draw(logits_BV, temperature, generator)
        was_running = running_B.tolist()
        running_B = running_B & ~torch.isin(next_B, stops)
        is_running = running_B.tolist()
        for row, token, before, now in zip(alive, next_B.tolist(), was_running, is_running, strict=True):
            has_stopped[row] |= before and not now
            if now:
                written[row].append(token)
        n_running = sum(is_running)
        if n_running == 0:
            break
        ids_BT = next_B[:, None]
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(alive), 1)], dim=1)
        position_BT = position_BT[:, -1:] + 1
        if n_running * 2 <= len(alive):
            kept = running_B.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            ids_BT, mask_BT, position_BT = ids_BT[kept], mask_BT[kept], position_BT[kept]
            alive = [alive[i] for i in kept.tolist()]
            running_B = running_B[kept]
    return [
        Written(ids=tuple(ids), stopped=stopped, said=of_row)
        for ids, stopped, of_row in zip(written, has_stopped, said.of_rows(), strict=True)
    ]


@torch.inference_mode()
def log_likelihoods(
    network: nn.Module, ids_BT: Tensor, mask_BT: Tensor, answers_BNA: Tensor, is_answer_BNA: Tensor
) -> Tensor:
    """log p of N answers to each of B left-padded prompts, B x N, in nats; answers are padded on the right.

    A prompt is read once, however many answers it has.
    """
    n = answers_BNA.shape[1]
    position_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    read = network(
        input_ids=ids_BT, attention_mask=mask_BT, position_ids=position_BT, use_cache=True, logits_to_keep=1
    )
    cache = read.past_key_values
    cache.batch_repeat_interleave(n)
    answers_RA, is_answer_RA = answers_BNA.flatten(0, 1), is_answer_BNA.flatten(0, 1)
    first_R1V = read.logits.repeat_interleave(n, 0)
    # The last token of an answer predicts nothing that is asked for.
    before_RA = answers_RA[:, :-1]
    places = torch.arange(1, before_RA.shape[1] + 1, device=ids_BT.device)
    rest_RAV = network(
        input_ids=before_RA,
        attention_mask=torch.cat([mask_BT.repeat_interleave(n, 0), is_answer_RA[:, :-1]], dim=1),
        position_ids=position_BT[:, -1:].repeat_interleave(n, 0) + places,
        past_key_values=cache,
        use_cache=True,
    ).logits
    log_p_RAV = torch.cat([first_R1V, rest_RAV], dim=1).float().log_softmax(-1)
    log_p_RA = log_p_RAV.gather(-1, answers_RA[:, :, None])[:, :, 0]
    log_p_BN: Tensor = (log_p_RA * is_answer_RA).sum(-1).unflatten(0, (-1, n))
    return log_p_BN


class _Said:
    """What was said of each row's tokens, step by step; nothing is kept when no tokens are asked for."""

    def __init__(self, n_rows: int, top_k: int) -> None:
        self._top_k = top_k
        self._places: list[list[int]] = [[] for _ in range(n_rows)]
        self._parts: list[Distribution] = []
        self._n = 0

    def add(self, rows: Sequence[int], running_B: Tensor, logits_BV: Tensor) -> None:
        if not self._top_k:
            return
        running = running_B.nonzero()[:, 0]
        self._parts.append(Distribution.of(logits_BV[running], self._top_k))
        for place, at in enumerate(running.tolist(), start=self._n):
            self._places[rows[at]].append(place)
        self._n += len(running)

    def of_rows(self) -> list[Distribution | None]:
        if not self._parts:
            return [None] * len(self._places)
        everything = Distribution.joined(self._parts)
        return [everything.at(places) for places in self._places]


def _draw(logits_BV: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    if temperature == 0.0:
        return logits_BV.argmax(-1)
    probabilities = (logits_BV.float() / temperature).softmax(-1)
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]
