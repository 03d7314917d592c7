"""What a teacher says of the next token, and how far a student is from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Distribution:
    """A teacher's next-token distributions at N positions: the K likeliest, and the mass of all others.

    With K = V this is the whole distribution; a large vocabulary need not be kept for every position of every
    answer.
    """

    ids_NK: Tensor  # noqa: N815
    log_p_NK: Tensor  # noqa: N815
    log_rest_N: Tensor  # noqa: N815

    @classmethod
    def of(cls, logits_NV: Tensor, k: int) -> Distribution:
        """The k likeliest tokens of each row of logits."""
        log_p_NV = logits_NV.float().log_softmax(-1)
        log_p_NK, ids_NK = log_p_NV.topk(min(k, log_p_NV.shape[-1]), dim=-1)
        return cls(ids_NK, log_p_NK, log_one_minus_exp(log_p_NK.logsumexp(-1)))

    def __len__(self) -> int:
        return len(self.log_rest_N)

    @classmethod
    def joined(cls, parts: Sequence[Distribution]) -> Distribution:
        """All positions one after another."""
        return cls(
            torch.cat([d.ids_NK for d in parts]),
            torch.cat([d.log_p_NK for d in parts]),
            torch.cat([d.log_rest_N for d in parts]),
        )

    def at(self, positions: Sequence[int]) -> Distribution:
        """These positions alone."""
        index = torch.tensor(positions, dtype=torch.long, device=self.ids_NK.device)
        return Distribution(self.ids_NK[index], self.log_p_NK[index], self.log_rest_N[index])

    def to(self, device: torch.device) -> Distribution:
        return Distribution(self.ids_NK.to(device), self.log_p_NK.to(device), self.log_rest_N.to(device))

    def unless_far(self, other: Distribution, nats: float) -> Distribution:
        """At each position this distribution, or the other one where KL(other || this) is above `nats`."""
        here_NK = torch.full_like(other.log_p_NK, -math.inf)
        for k in range(self.ids_NK.shape[1]):
            here_NK = torch.where(
                other.ids_NK == self.ids_NK[:, k : k + 1], self.log_p_NK[:, k : k + 1], here_NK
            )
        # A token that is not among the kept ones is at most as likely as the last of them.
        at_most_N = torch.minimum(self.log_p_NK[:, -1], self.log_rest_N)
        here_NK = here_NK.maximum(at_most_N[:, None])
        is_far_N1 = (other.log_p_NK.exp() * (other.log_p_NK - here_NK)).sum(-1, keepdim=True) > nats
        return Distribution(
            torch.where(is_far_N1, other.ids_NK, self.ids_NK),
            torch.where(is_far_N1, other.log_p_NK, self.log_p_NK),
            torch.where(is_far_N1[:, 0], other.log_rest_N, self.log_rest_N),
        )

    def certain_of(self, tokens_N: Tensor) -> Distribution:
        """All the mass on one token a position: the KL from it is the likelihood loss."""
        tokens_N1 = tokens_N.to(self.ids_NK.device)[:, None]
        is_known_N1 = (self.ids_NK == tokens_N1).any(-1, keepdim=True)
        last_NK = torch.arange(self.ids_NK.shape[1], device=self.ids_NK.device) == self.ids_NK.shape[1] - 1
        ids_NK = torch.where(last_NK & ~is_known_N1, tokens_N1, self.ids_NK)
        log_p_NK = torch.full_like(self.log_p_NK, -30.0).masked_fill(ids_NK == tokens_N1, -1e-6)
        return Distribution(ids_NK, log_p_NK, torch.full_like(self.log_rest_N, -30.0))


def kl_from(teacher: Distribution, log_p_NV: Tensor) -> Tensor:
    """KL(teacher || student) at N positions, in nats, to a student's log-probabilities.

    The tail counts as one token; exact when K = V.

    The teacher gets no gradient: the context is never pulled towards the model, the model is pulled towards
    the context.
    """
    log_p_NK, log_rest_N = teacher.log_p_NK.detach(), teacher.log_rest_N.detach()
    log_student_NK = log_p_NV.gather(-1, teacher.ids_NK)
    head_N = (log_p_NK.exp() * (log_p_NK - log_student_NK)).sum(-1)
    rest_N = log_one_minus_exp(log_student_NK.logsumexp(-1))
    return head_N + log_rest_N.exp() * (log_rest_N - rest_N)


def log_one_minus_exp(log_p: Tensor) -> Tensor:
    """log(1 - p) for p given by its logarithm; a p of 1 gives a tiny rest, not minus infinity."""
    return torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
