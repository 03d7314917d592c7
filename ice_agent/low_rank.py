"""Many adapters in one pass: each row of a batch gets its own low-rank update, whoever is beside it.

PEFT's `adapter_names` does one adapter after the other in each layer; here one product does all rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A (R x I) and B (O x R) of an adapter, by the name of the layer that they change."""

    layers: Mapping[str, tuple[Tensor, Tensor]]

    @property
    def n_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for pair in self.layers.values() for t in pair)


class Mixture:
    """The updates of the rows of a batch, row by row.

    Adapters lie in slots, so that a row that comes or goes moves no other's weights. Rows of one adapter are
    side by side in the product: its weights are read once.
    """

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._slots: list[Weights | None] = []
        self._layers: dict[str, tuple[Tensor, Tensor]] = {}
        self._rows: tuple[Weights | None, ...] = ()

    @contextmanager
    def applied(self, rows: Sequence[Weights | None], modules: Mapping[str, nn.Module]) -> Iterator[None]:
        """What these layers give is changed for the time being, row by row; None is a row of the base.

        On exit they are as before.
        """
        if len(rows) != len(self._rows) or any(a is not b for a, b in zip(rows, self._rows, strict=True)):
            self._arrange(rows)
        adds = any(row is not None for row in rows)
        handles = [
            modules[name].register_forward_hook(self._adding(a, b))
            for name, (a, b) in (self._layers.items() if adds else ())
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _adding(self, a_SIR: Tensor, b_SRO: Tensor) -> Any:
        a_KIR, b_KRO = a_SIR[self._used], b_SRO[self._used]

        def add(layer: nn.Module, inputs: tuple[Tensor, ...], output_BTO: Tensor) -> Tensor:
            x_BTI = inputs[0].to(a_KIR.dtype)
            n_tokens = x_BTI.shape[1]
            x_KNI = x_BTI[self._rows_KG].flatten(1, 2)
            update_KNO = torch.bmm(torch.bmm(x_KNI, a_KIR), b_KRO)
            update_BTO = update_KNO.view(-1, n_tokens, update_KNO.shape[-1])[self._place_B]
            if self._is_adapted_B11 is not None:
                update_BTO = update_BTO * self._is_adapted_B11
            return output_BTO + update_BTO.to(output_BTO.dtype)

        return add

    def _arrange(self, rows: Sequence[Weights | None]) -> None:
        self._rows = tuple(rows)
        needed = dict.fromkeys(row for row in rows if row is not None)
        if not needed:
            return
        self._make_room(needed)
        slot_of = {adapter: slot for slot, adapter in enumerate(self._slots) if adapter in needed}
        first, last = min(slot_of.values()), max(slot_of.values())
        self._used = slice(first, last + 1)
        groups = [[i for i, row in enumerate(rows) if row is adapter] for adapter in self._slots[self._used]]
        width = max(map(len, groups))
        # Where a group is shorter, some row fills it up, and what comes of that goes nowhere.
        filled = [[*group, *[0] * (width - len(group))] for group in groups]
        places = {i: k * width + g for k, group in enumerate(groups) for g, i in enumerate(group)}
        device = next(iter(self._layers.values()))[0].device
        self._rows_KG = torch.tensor(filled, device=device)
        self._place_B = torch.tensor([places.get(i, 0) for i in range(len(rows))], device=device)
        is_adapted = [row is not None for row in rows]
        self._is_adapted_B11 = (
            None if all(is_adapted) else torch.tensor(is_adapted, device=device)[:, None, None]
        )

    def _make_room(self, needed: Collection[Weights]) -> None:
        """Give each adapter a slot: the first that holds nobody who is needed."""
        free = [slot for slot, adapter in enumerate(self._slots) if adapter not in needed]
        missing = [adapter for adapter in needed if adapter not in self._slots]
        if len(missing) > len(free):
            n = max(len(needed), 2 * len(self._slots))
            free += range(len(self._slots), n)
            self._slots += [None] * (n - len(self._slots))
            self._layers = {
                name: (_grown(self._layers.get(name, (None,))[0], a.mT, n),
                       _grown(self._layers.get(name, (None, None))[1], b.mT, n))
                for name, (a, b) in missing[0].layers.items()
            }  # fmt: skip
        for slot, adapter in zip(free, missing, strict=False):
            self._slots[slot] = adapter
            for name, (a_SIR, b_SRO) in self._layers.items():
                a, b = adapter.layers[name]
                # Turned over: the product of many small matrices is twice as fast so, on a CPU.
                a_SIR[slot], b_SRO[slot] = a.mT, self._scale * b.mT


def _grown(slots: Tensor | None, like: Tensor, n: int) -> Tensor:
    """So many slots of this shape, the first of them as they were."""
    grown = like.new_zeros(n, *like.shape)
    if slots is not None:
        grown[: len(slots)] = slots
    return grown
