"""What an update does to the root on average, to second order, without asking a single question.

Anchors hold the few thousand answers they are made of. Between them an update is free, and after some hundred
facts the answers there drift. Beside the anchors stands therefore a quadratic form. With D the change of a
layer's weights,

    KL(root || root + D)  ~  1/2 sum over layers of tr(G D C D'),

where C is the mean of x x' over what goes into the layer and G that of g g' over the gradients that come out
of it: the Kronecker-factored Fisher information (K-FAC; Martens and Grosse 2015, arXiv 1503.05671), against
forgetting as in Ritter et al. 2018 (arXiv 1805.07810). An adapter's D = scale B A is thin, and so are these
products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ice_agent.lessons import Row, chunks
from ice_agent.model import AdaptedLayer, EditableModel
from memory import Progress

DIRECTIONS = 128
"""Of a layer's inputs or gradients that are kept apart; along the others only each one's mean square is.
The bundled model's inputs vary in 3 to 32 directions for the most part."""


@dataclass(frozen=True, slots=True)
class Moment:
    """E[v v'] of vectors of D numbers, as F F' + diag(rest): where they mostly lie, and the rest."""

    factor_DK: Tensor  # noqa: N815
    rest_D: Tensor  # noqa: N815

    def between(self, m_DR: Tensor) -> Tensor:
        """m' E[v v'] m: R x R."""
        along_KR = self.factor_DK.T @ m_DR
        return along_KR.T @ along_KR + m_DR.T @ (self.rest_D[:, None] * m_DR)


@dataclass(frozen=True, slots=True)
class Curvature:
    """Both moments of each adapted layer, by its name: of inputs C, and of output gradients G."""

    moments: Mapping[str, tuple[Moment, Moment]]

    def drift(
        self, layers: Mapping[str, AdaptedLayer], since: Mapping[str, AdaptedLayer] | None = None
    ) -> Tensor:
        """KL to an adapter, to second order, layer by layer, in nats per token.

        From the root; with `since` from another adapter, the one that this is the curvature of.
        """
        costs = []
        for name, (inputs, gradients) in self.moments.items():
            layer = layers[name]
            a_RI, b_OR = layer.a_RI, layer.b_OR
            if since:
                # B A - B' A' is [B, -B'] [A; A'], which is thin, too.
                a_RI = torch.cat([a_RI, since[name].a_RI])
                b_OR = torch.cat([b_OR, -since[name].b_OR], dim=1)
            costs.append(layer.scale**2 * (inputs.between(a_RI.T) * gradients.between(b_OR)).sum())
        return 0.5 * torch.stack(costs).sum()


def measure(
    model: EditableModel, adapter_id: str | None, rows: Sequence[Row], seed: int, progress: Progress
) -> Curvature:
    """An adapter's curvature on these rows: one pass forward and one back.

    The answers' tokens are drawn from what the adapter says of them, as Fisher's information asks for; with
    the rows' own tokens it would vanish where the model is sure.
    """
    if not rows:
        return Curvature({})
    generator = torch.Generator(device=model.device).manual_seed(seed)
    n_tokens = n_answers = done = 0
    with model.using(adapter_id), model.differentiable(), torch.enable_grad(), ExitStack() as hooks:
        watched = {name: _Watched(layer, generator) for name, layer in model.adapted(adapter_id).items()}
        for watch in watched.values():
            hooks.enter_context(watch.layer.register_forward_hook(watch))
        for chunk in chunks(rows, range(len(rows)), [len(row.ids) for row in rows]):
            ids = [list(rows[i].ids) for i in chunk]
            is_read_BT = model.pad(ids)[1].bool()
            for watch in watched.values():
                watch.is_read_BT = is_read_BT
            with model.autocast():
                logits_NV = model.answer_logits(ids, [rows[i].n_answer for i in chunk])
            drawn_N = torch.multinomial(logits_NV.detach().softmax(-1), 1, generator=generator)[:, 0]
            cross_entropy(logits_NV, drawn_N, reduction="sum").backward()
            n_tokens += sum(len(row) for row in ids)
            n_answers += len(drawn_N)
            done += len(chunk)
            progress("curvature", done, len(rows), "")
    return Curvature(
        {name: (w.inputs.mean(n_tokens), w.gradients.mean(n_answers)) for name, w in watched.items()}
    )


class _Watched:
    """A forward hook that adds up what goes into a layer and the gradients that come back to its outputs."""

    def __init__(self, adapted: AdaptedLayer, generator: torch.Generator) -> None:
        self.layer = adapted.layer
        self.inputs = _Sum(adapted.a_RI.shape[1], generator)
        self.gradients = _Sum(adapted.b_OR.shape[0], generator)
        self.is_read_BT = torch.empty(0)
        """True where a row has a token, False where it is padded."""

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...], output_BTO: Tensor) -> None:
        is_read_BT = self.is_read_BT
        self.inputs.add(inputs[0].detach()[is_read_BT])
        output_BTO.register_hook(lambda gradient_BTO: self.gradients.add(gradient_BTO[is_read_BT]))


class _Sum:
    """Adds up v v' of many vectors in D x K numbers, by a Nystrom sketch: exactly for up to K directions."""

    def __init__(self, size: int, generator: torch.Generator) -> None:
        drawn_DK = torch.randn(size, min(size, DIRECTIONS), generator=generator, device=generator.device)
        self._tested_DK = torch.linalg.qr(drawn_DK)[0]
        self._sketch_DK = torch.zeros_like(self._tested_DK)
        self._squares_D = torch.zeros_like(self._tested_DK[:, 0])

    def add(self, vectors_ND: Tensor) -> None:
        vectors_ND = vectors_ND.float()
        self._sketch_DK += vectors_ND.T @ (vectors_ND @ self._tested_DK)
        self._squares_D += vectors_ND.square().sum(0)

    def mean(self, n: int) -> Moment:
        """The second moment of the vectors, n of them or of what they belong to."""
        strengths_K, turned_KK = torch.linalg.eigh(self._tested_DK.T @ self._sketch_DK / n)
        is_seen_K = strengths_K > 1e-6 * strengths_K[-1]
        factor_DK = self._sketch_DK / n @ turned_KK[:, is_seen_K] / strengths_K[is_seen_K].sqrt()
        rest_D = (self._squares_D / n - factor_DK.square().sum(1)).clamp(min=0.0)
        return Moment(factor_DK, rest_D)
