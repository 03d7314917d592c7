"""Many adapters in one pass: each row of a batch gets its own low-rank update, whoever is beside it.

PEFT's `adapter_names` does one adapter after the other in each layer; here one product does all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A (R x I) and B (O x R) of an adapter, by the name of the layer that they change."""

    layers: Mapping[str, tuple[Tensor, Tensor]]

    @property
    def n_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for pair in self.layers.values() for t in pair)


class Mixture:
    """The updates of the rows of a batch, row by row. None is a row of the base model."""

    def __init__(self, rows: Sequence[Weights | None], scale: float) -> None:
        self.rows, self._scale = tuple(rows), scale
        (first, *others) = dict.fromkeys(rows)
        self._is_one = not others
        self._stacked = {} if first is None and not others else _stacked(self.rows)

    def is_of(self, rows: Sequence[Weights | None]) -> bool:
        return len(rows) == len(self.rows) and all(a is b for a, b in zip(rows, self.rows, strict=True))

    @contextmanager
    def applied(self, modules: Mapping[str, nn.Module]) -> Iterator[None]:
        """What these layers give is, for the time being, changed. On exit they are as before."""
        handles = [
            modules[name].register_forward_hook(self._adding(a, b)) for name, (a, b) in self._stacked.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _adding(self, a: Tensor, b: Tensor) -> Any:
        def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x_BTI = inputs[0].to(a.dtype)
            if self._is_one:
                update_BTO = linear(linear(x_BTI, a[0]), b[0])
            else:
                update_BTO = torch.bmm(torch.bmm(x_BTI, a.mT), b.mT)
            return output + (self._scale * update_BTO).to(output.dtype)

        return add


def _stacked(rows: Sequence[Weights | None]) -> dict[str, tuple[Tensor, Tensor]]:
    """A (B x R x I) and B (B x O x R) of each layer; of one row where all have the same."""
    some = next(row for row in rows if row is not None)
    if all(row is some for row in rows):
        return {name: (a[None], b[None]) for name, (a, b) in some.layers.items()}
    stacked = {}
    for name, (a, b) in some.layers.items():
        nothing = torch.zeros_like(a), torch.zeros_like(b)
        pairs = [row.layers[name] if row is not None else nothing for row in rows]
        stacked[name] = torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])
    return stacked
