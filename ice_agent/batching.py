"""Writing on from many prompts by many adapters at once: rows join and leave between two tokens.

Continuous batching (Yu et al., Orca, OSDI 2022, section 3.2) over a left-padded key-value cache. It knows
rows of tokens, and no requests, text or files. A row is written as if it were alone, but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

KeyValues = tuple[tuple[Tensor, Tensor], ...]
"""What a model has read: of each layer keys and values, both B x H x S x D."""

Adapter_contra = TypeVar("Adapter_contra", contravariant=True)
Weights = TypeVar("Weights")


class Step(Protocol[Adapter_contra]):
    """One pass of the model over the next tokens of all rows, each by its own adapter."""

    def __call__(
        self,
        ids_BT: Tensor,
        mask_BS: Tensor,
        position_BT: Tensor,
        past: KeyValues | None,
        adapters: Sequence[Adapter_contra],
    ) -> tuple[Tensor, KeyValues]:
        """Logits of the last token (B x V), and all that was read by now. The mask covers past and ids."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a row's next token is taken: at temperature 0 the likeliest."""

    temperature: float
    top_p: float
    generator: torch.Generator | None
    """On the CPU, and the row's own: what else is written beside it changes nothing."""

    def token(self, logits_V: Tensor) -> int:
        if self.temperature == 0.0:
            return int(logits_V.argmax())
        p_V = (logits_V.float() / self.temperature).softmax(-1).cpu()
        if self.top_p < 1.0:
            p_V = _nucleus(p_V, self.top_p)
        return int(torch.multinomial(p_V, 1, generator=self.generator))


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer(Generic[Weights]):
    """A row that is to join: its prompt, how much of it has been read already, and by which adapter."""

    ids: Sequence[int]
    adapter: Weights
    drawing: Drawing
    past: KeyValues | None = None
    """Of the prompt's beginning, B = 1; shorter than the prompt by a token at least."""

    @property
    def n_read(self) -> int:
        return self.past[0][0].shape[2] if self.past else 0


class Rows(Generic[Weights]):
    """The rows that are being written, in the order they came."""

    def __init__(self, step: Step[Weights], device: torch.device, pad_id: int) -> None:
        self._step, self._device, self._pad_id = step, device, pad_id
        self._adapters: list[Weights] = []
        self._drawings: list[Drawing] = []
        self._past: KeyValues = ()
        self._mask_BS = torch.empty(0, 0, dtype=torch.long, device=device)
        self._next_B = torch.empty(0, dtype=torch.long, device=device)

    def __len__(self) -> int:
        return len(self._adapters)

    @torch.inference_mode()
    def join(self, newcomers: Sequence[Newcomer[Weights]]) -> list[int]:
        """Read these prompts; says the order in which they stand after the others, by their places here.

        Those that begin alike in length are read in one pass. After it each has its first token.
        """
        order = list[int]()
        # Padding between what was read and what is new would be counted by a sliding window.
        by_shape = sorted(range(len(newcomers)), key=lambda i: _shape(newcomers[i]))
        for _, group in groupby(by_shape, key=lambda i: _shape(newcomers[i])):
            places = list(group)
            self._read([newcomers[i] for i in places])
            order += places
        return order

    @torch.inference_mode()
    def read(self, newcomer: Newcomer[Weights], n_tokens: int) -> KeyValues:
        """So many more tokens of a prompt that is to join later: what was read of it by now."""
        n_read = newcomer.n_read
        ids_1T = torch.tensor([newcomer.ids[n_read : n_read + n_tokens]], device=self._device)
        mask_1S = ids_1T.new_ones(1, n_read + ids_1T.shape[1])
        position_1T = (mask_1S.cumsum(-1) - 1)[:, n_read:]
        return self._step(ids_1T, mask_1S, position_1T, newcomer.past, [newcomer.adapter])[1]

    @torch.inference_mode()
    def grow(self) -> None:
        """One more token for each row."""
        mask_BS = torch.cat([self._mask_BS, self._mask_BS.new_ones(len(self), 1)], dim=1)
        position_B1 = mask_BS.sum(-1, keepdim=True) - 1
        logits_BV, self._past = self._step(
            self._next_B[:, None], mask_BS, position_B1, self._past, self._adapters
        )
        self._mask_BS = mask_BS
        self._next_B = self._drawn(logits_BV, self._drawings)

    def tokens(self) -> list[int]:
        """The token that each row was last given, which the model has not read yet."""
        return list(map(int, self._next_B.tolist()))

    @torch.inference_mode()
    def keep(self, places: Sequence[int]) -> None:
        """Only these rows stay, and no more of what was read than they need."""
        self._adapters = [self._adapters[i] for i in places]
        self._drawings = [self._drawings[i] for i in places]
        at = torch.tensor(places, dtype=torch.long, device=self._device)
        self._mask_BS, self._next_B = self._mask_BS[at], self._next_B[at]
        if not places:
            self._past, self._mask_BS = (), self._mask_BS[:, :0]
            return
        first = int(self._mask_BS.any(0).to(torch.int).argmax())
        self._mask_BS = self._mask_BS[:, first:]
        self._past = tuple((k[at, :, first:], v[at, :, first:]) for k, v in self._past)

    @torch.inference_mode()
    def past_of(self, place: int) -> KeyValues:
        """A copy of what was read of one row, without padding."""
        n = int(self._mask_BS[place].sum())
        return tuple(
            (k[place : place + 1, :, -n:].clone(), v[place : place + 1, :, -n:].clone())
            for k, v in self._past
        )

    def _read(self, group: Sequence[Newcomer[Weights]]) -> None:
        n_read = group[0].n_read
        unread = [list(row.ids[n_read:]) for row in group]
        width = max(map(len, unread))
        ids_BT = torch.tensor(
            [[self._pad_id] * (width - len(ids)) + ids for ids in unread], device=self._device
        )
        is_ours_BT = torch.tensor(
            [[0] * (width - len(ids)) + [1] * len(ids) for ids in unread], device=self._device
        )
        mask_BS = torch.cat([is_ours_BT.new_ones(len(group), n_read), is_ours_BT], dim=1)
        position_BT = (mask_BS.cumsum(-1) - 1).clamp(min=0)[:, n_read:]
        adapters, drawings = [row.adapter for row in group], [row.drawing for row in group]
        logits_BV, past = self._step(ids_BT, mask_BS, position_BT, _stacked(group), adapters)
        next_B = self._drawn(logits_BV, drawings)
        self._past = _merged(self._past, past)
        self._mask_BS = _beside(self._mask_BS, mask_BS, -1)
        self._next_B = torch.cat([self._next_B, next_B])
        self._adapters += adapters
        self._drawings += drawings

    def _drawn(self, logits_BV: Tensor, drawings: Sequence[Drawing]) -> Tensor:
        next_B = logits_BV.argmax(-1)
        for i, drawing in enumerate(drawings):
            if drawing.temperature:
                next_B[i] = drawing.token(logits_BV[i])
        return next_B


def _shape(row: Newcomer[Weights]) -> tuple[int, int]:
    """Rows of one shape are read together: all that are new, or those that have as much left of as much."""
    return (row.n_read, len(row.ids)) if row.past else (0, 0)


def _stacked(group: Sequence[Newcomer[Weights]]) -> KeyValues | None:
    pasts = [row.past for row in group if row.past]
    if not pasts:
        return None
    return tuple(
        (torch.cat([k for k, _ in layers]), torch.cat([v for _, v in layers]))
        for layers in zip(*pasts, strict=True)
    )


def _merged(one: KeyValues, other: KeyValues) -> KeyValues:
    if not one:
        return other
    return tuple(
        (_beside(k, more_k, -2), _beside(v, more_v, -2))
        for (k, v), (more_k, more_v) in zip(one, other, strict=True)
    )


def _beside(one: Tensor, other: Tensor, dim: int) -> Tensor:
    """Both batches as one, the narrower one padded on the left along this dimension, counted from the end."""
    width = max(one.shape[dim], other.shape[dim])
    before_it = [0, 0] * (-dim - 1)
    return torch.cat([pad(each, [*before_it, width - each.shape[dim], 0]) for each in (one, other)])


def _nucleus(p_V: Tensor, top_p: float) -> Tensor:
    """Only the likeliest that have `top_p` together (Holtzman et al., 2020, section 3.1)."""
    sorted_V, at_V = p_V.sort(descending=True)
    # The one that passes the bound is in, so that there is always one.
    kept_V = sorted_V.cumsum(-1) - sorted_V < top_p
    return torch.zeros_like(p_V).scatter(0, at_V[kept_V], sorted_V[kept_V])
