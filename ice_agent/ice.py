"""Consistent In-Context Editing on a LoRA adapter: the objective and the edit loop, readable top to bottom.

The idea (ICLR 2025, arXiv 2406.11194): a model with a fact in its prompt already answers well. So let the
model without the fact in its prompt become the model with it: p(x | q) -> p(x | [c, q]), where c is the
context that states the fact, q a question and x an answer. Nothing here knows the store, and nothing decides
whether an adapter may serve.
"""

from __future__ import annotations

import hashlib
import logging
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from ice_agent.checkpoint import Checkpoint, State
from ice_agent.curvature import measure
from ice_agent.distribution import Distribution, kl_from
from ice_agent.lessons import (
    Row,
    chunks,
    make_anchors,
    make_lessons,
    make_restorations,
    recalled,
    with_teachers,
)
from ice_agent.model import AdaptedLayer, EditableModel
from ice_agent.settings import EditSettings
from ice_agent.survey import Survey
from memory import EditRequest, Progress

logger = logging.getLogger(__name__)

Layers = Mapping[str, AdaptedLayer]

CONVERGED_SHARE = 0.25
"""Of the rows of a converged fact that are still drawn."""


# -- the objective: functions of tensors only ----------------------------------------------------------------


def ice_loss(nll_N: Tensor, kl_N: Tensor, target_N: Tensor, lam: Tensor | float) -> Tensor:
    """L = L_ft + lambda L_ice at each of N answer tokens, in nats.

    `nll_N` is -log p(x | q); it counts where the token is the target's, x* (`target_N`, boolean): a sampled
    completion is taught by its teacher alone. `kl_N` is the KL to the same model with the fact in its prompt,
    on target and completion tokens alike (the paper's consistency condition).
    """
    return nll_N * target_N + lam * kl_N


def clip_step(before: Sequence[Tensor], parameters: Sequence[nn.Parameter], box: float) -> None:
    """Keep each element of a step in a box around its start (the paper's constrained update, Algorithm 1)."""
    with torch.no_grad():
        for old, new in zip(before, parameters, strict=True):
            new.copy_(old + (new - old).clamp(-box, box))


@dataclass(frozen=True, slots=True, kw_only=True)
class EditReport:
    """What an edit did and what it cost. Losses are per step, in nats per token."""

    steps: int
    seconds: float
    tokens: int
    converged: int
    asked: int
    """Facts that were trained: the batch's and those rehearsed."""
    beyond_context: tuple[str, ...]
    """Fact ids that the model mostly fails even with the fact in its prompt: the target alone taught them."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of each stage: recall, lessons, anchors, curvature, training."""
    at_risk: tuple[str, ...] = ()
    """Ids of the facts learned before that the parent knew least well: they were rehearsed."""
    losses: tuple[float, ...] = ()
    anchor_losses: tuple[float, ...] = ()
    norms: dict[str, float] = field(default_factory=dict)


# -- the edit ------------------------------------------------------------------------------------------------


def edit(
    model: EditableModel,
    *,
    root_id: str | None,
    parent_id: str | None,
    candidate_id: str,
    requests: Sequence[EditRequest],
    learned: Sequence[EditRequest] = (),
    taught: frozenset[tuple[str, str]] = frozenset(),
    survey: Survey,
    settings: EditSettings,
    progress: Progress = lambda *_: None,
    checkpoint: Checkpoint | None = None,
) -> EditReport:
    """Train a candidate, a copy of its parent's A and B, until the requests hold without their contexts.

    All requests are trained together, shuffled (breadth-first), beside what the parent knows least well of
    what was `learned`, and beside anchors: to the root where nothing was ever taught, to the parent where
    something was. Between the anchors, their curvature holds the update. `taught` are all slots of this
    lineage, those taken back included. A request without contexts takes a fact back: its slot is taught the
    root's own answer.

    With a checkpoint, a training that was killed goes on from there: on a CPU it ends the same to the bit.
    What comes before the training is done again, which takes no random turn that the seed does not give.
    """
    clock = _Clock()
    rng = random.Random(settings.seed)
    taken_back = [r for r in requests if not r.contexts]
    told = [r for r in requests if r.contexts]
    at_risk, known = recalled(model, parent_id, learned, settings, rng, progress)
    clock.lap("recall")
    lessons, failed = make_lessons(model, root_id, told, at_risk, survey, settings, rng, progress)
    lessons += make_restorations(model, root_id, taken_back, len(told) + len(at_risk), settings, progress)
    clock.lap("lessons")
    slots = taught | {(r.subject, r.relation) for r in learned}
    retained = known[: settings.retained]
    untaught, held = make_anchors(
        model, root_id, parent_id, requests, slots, retained, survey, settings, rng, progress
    )
    clock.lap("anchors")
    drift = _drift(model, root_id, parent_id, untaught, known, settings, rng, progress)
    clock.lap("curvature")
    steps = settings.steps + round(settings.steps_per_fact * len(requests)) if lessons else 0
    # While B is zero, B alone moves the answers; once A does, too, the same rate moves them twice as far.
    is_fresh = parent_id is None or model.adds_nothing(parent_id)
    rate = settings.learning_rate if is_fresh else settings.learning_rate_continued
    with model.training(candidate_id, parent_id, settings.seed) as parameters:
        anchors = [*held, *untaught]
        of_candidate = partial(drift, model.adapted(candidate_id)) if drift else None
        trained = _train(
            model,
            parameters,
            lessons,
            anchors,
            of_candidate,
            steps,
            rate,
            settings,
            rng,
            progress,
            checkpoint,
        )
    clock.lap("training")
    taught_here = [*told, *at_risk]
    return replace(
        trained,
        seconds=sum(clock.laps.values()),
        stages=clock.laps,
        beyond_context=tuple(taught_here[i].fact_id for i in sorted(failed)),
        at_risk=tuple(r.fact_id for r in at_risk),
        norms=update_norms(model.tensors(candidate_id)),
    )


def _drift(
    model: EditableModel,
    root_id: str | None,
    parent_id: str | None,
    untaught: list[Row],
    known: list[Row],
    settings: EditSettings,
    rng: random.Random,
    progress: Progress,
) -> Callable[[Layers], Tensor] | None:
    """What a candidate's update costs to second order: from the root where nothing was taught, and from the
    parent where something was. None where neither weighs anything."""

    def cost(
        adapter_id: str | None, rows: list[Row], weight: float, *, is_root: bool
    ) -> list[Callable[[Layers], Tensor]]:
        seen = rng.sample(rows, min(len(rows), settings.curvature_rows)) if weight else []
        if not seen:
            return []
        curvature = measure(model, adapter_id, seen, settings.seed, progress)
        # A root has moved nothing yet: what a candidate moves since then is all of its update.
        since = None if is_root else model.adapted(adapter_id)
        return [lambda layers: weight * curvature.drift(layers, since)]

    costs = [
        *cost(root_id, untaught, settings.curvature_weight, is_root=True),
        *cost(parent_id, known, settings.curvature_weight_learned, is_root=False),
    ]
    return (lambda layers: torch.stack([of(layers) for of in costs]).sum()) if costs else None


def update_norms(tensors: dict[str, Tensor]) -> dict[str, float]:
    """The Frobenius norm of B A for each adapted layer: how far the adapter moves it."""
    norms = {}
    for name, a in tensors.items():
        if "lora_A" in name:
            b = tensors[name.replace("lora_A", "lora_B")]
            norms[name.split(".lora_A")[0]] = float((b.float() @ a.float()).norm())
    return norms


# -- the loop ------------------------------------------------------------------------------------------------


def _train(
    model: EditableModel,
    parameters: list[nn.Parameter],
    lessons: list[Row],
    anchors: list[Row],
    drift: Callable[[], Tensor] | None,
    steps: int,
    rate: float,
    settings: EditSettings,
    rng: random.Random,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> EditReport:
    """Algorithm 1 in batches: draw lessons and anchors, step, clip the step.

    The paper stops when a fact has converged. Here the fact leaves the batch and the schedule runs to its
    end: stopped while the rate is high, a single fact was known and its neighbours were not yet back.
    """
    training = _Training(model, parameters, lessons, anchors, drift, steps, rate, settings, rng)
    if checkpoint is not None and (kept := checkpoint.read()) is not None:
        training.go_on_from(kept)
    while training.step < steps:
        training.take_step(progress)
        if checkpoint is not None and checkpoint.is_due() and training.step < steps:
            checkpoint.keep(training.state())
    return training.report()


class _Training:
    """A training between two steps: all that the next one depends on."""

    def __init__(
        self,
        model: EditableModel,
        parameters: list[nn.Parameter],
        lessons: list[Row],
        anchors: list[Row],
        drift: Callable[[], Tensor] | None,
        steps: int,
        rate: float,
        settings: EditSettings,
        rng: random.Random,
    ) -> None:
        self._model, self._parameters, self._drift = model, parameters, drift
        self._steps, self._rate, self._settings, self._rng = steps, rate, settings, rng
        self._rows, self._n_lessons = [*lessons, *anchors], len(lessons)
        self._lengths = [len(row.ids) for row in self._rows]
        self._optimizer = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99))
        self._lesson_draw, self._anchor_draw = _Draw(len(lessons), rng), _Draw(len(anchors), rng)
        self._convergence = _Convergence(lessons, settings.kl_converged)
        self._losses: list[float] = []
        self._anchor_losses: list[float] = []
        self._tokens = 0

    @property
    def step(self) -> int:
        """Steps that were taken."""
        return len(self._losses)

    def take_step(self, progress: Progress) -> None:
        model, settings, rows, lengths = self._model, self._settings, self._rows, self._lengths
        step, n_lessons, state = self.step, self._n_lessons, self._convergence
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * rate_at(step, self._steps)
        if settings.teacher_refresh and step and step % settings.teacher_refresh == 0:
            # The target moves with the model (the paper's dynamic targets): the candidate teaches itself.
            rows[:n_lessons] = _refreshed(model, rows[:n_lessons], settings, progress)
        # A fact that has converged leaves the batch, but for a few rows that would show it coming loose.
        drawn = self._lesson_draw.take(settings.lesson_rows)
        taught = [i for i in drawn if not state.has_converged(i) or self._rng.random() < CONVERGED_SHARE]
        held = [n_lessons + i for i in self._anchor_draw.take(settings.anchor_rows)]
        before = [p.detach().clone() for p in self._parameters]
        shown = []
        for chunk in chunks(rows, [*taught, *held], lengths):
            of_chunk = [rows[i] for i in chunk]
            shown.append((chunk, _backward(model, of_chunk, len(drawn), len(held), settings)))
            self._tokens += sum(lengths[i] for i in chunk)
        if self._drift is not None:
            self._drift().backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        clip_step(before, self._parameters, settings.clip)
        # Read once a step, when a GPU has been given all of it: each look waits for what it was given.
        nothing_2 = torch.zeros(2, device=model.device)
        lesson_loss, anchor_loss = sum((seen.losses_2 for _, seen in shown), nothing_2).tolist()
        for chunk, seen in shown:
            counts = [rows[i].n_answer for i in chunk]
            state.saw(chunk, counts, seen.right_N.cpu(), seen.kl_N.cpu())
        self._losses.append(lesson_loss)
        self._anchor_losses.append(anchor_loss)
        progress(
            "editing",
            self.step,
            self._steps,
            f"loss {lesson_loss:.3f}, {state.n_converged()} of {state.n_facts} facts converged",
        )

    def report(self) -> EditReport:
        return EditReport(
            steps=self._steps, seconds=0.0, tokens=self._tokens, converged=self._convergence.n_converged(),
            asked=self._convergence.n_facts, beyond_context=(), losses=tuple(self._losses),
            anchor_losses=tuple(self._anchor_losses),
        )  # fmt: skip

    def state(self) -> State:
        """What a checkpoint keeps. What was prepared is prepared again, the same to the token."""
        tensors: dict[str, Tensor] = {f"parameter.{i}": p for i, p in enumerate(self._parameters)}
        for i, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": moment for name, moment in moments.items()}
        if self._settings.teacher_refresh:
            # An earlier step's candidate said what the lessons' teachers say: nobody can be asked again.
            lessons = self._rows[: self._n_lessons]
            said = Distribution.joined([row.teacher for row in lessons if row.teacher is not None])
            tensors |= {"teacher.0": said.ids_NK, "teacher.1": said.log_p_NK, "teacher.2": said.log_rest_N}
        told = {
            "prepared": self._prepared(),
            "rng": self._rng.getstate(),
            "draws": [self._lesson_draw.left, self._anchor_draw.left],
            "convergence": self._convergence.state(),
            "losses": [self._losses, self._anchor_losses],
            "tokens": self._tokens,
        }
        return State(tensors, told)

    def go_on_from(self, kept: State) -> None:
        """Take up the state that this very training was in; that of another one changes nothing."""
        if kept.told.get("prepared") != self._prepared():
            logger.warning("the checkpoint is of another training: this one begins anew")
            return
        moments: dict[int, dict[str, Tensor]] = {}
        with torch.no_grad():
            for i, parameter in enumerate(self._parameters):
                parameter.copy_(kept.tensors[f"parameter.{i}"])
                adam = f"adam.{i}."
                moments[i] = {n.removeprefix(adam): t for n, t in kept.tensors.items() if n.startswith(adam)}
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        if self._settings.teacher_refresh:
            said = Distribution(*(kept.tensors[f"teacher.{i}"] for i in range(3))).to(self._model.device)
            self._rows[: self._n_lessons] = _taught_by(said, self._rows[: self._n_lessons])
        version, numbers, gauss = kept.told["rng"]
        self._rng.setstate((version, tuple(numbers), gauss))
        self._lesson_draw.left, self._anchor_draw.left = kept.told["draws"]
        self._convergence.go_on_from(kept.told["convergence"])
        self._losses, self._anchor_losses = kept.told["losses"]
        self._tokens = kept.told["tokens"]
        logger.info("the training goes on after step %d of %d", self.step, self._steps)

    def _prepared(self) -> str:
        """A hash of what is trained, for how long, and of the rows that it is drawn from."""
        shapes = [tuple(parameter.shape) for parameter in self._parameters]
        rows = [(row.ids, row.n_answer, row.taught, row.is_target) for row in self._rows]
        told = repr((shapes, self._steps, self._rate, rows))
        return hashlib.sha256(told.encode()).hexdigest()


def _taught_by(said: Distribution, rows: Sequence[Row]) -> list[Row]:
    """The rows with their parts of what was said of all of them."""
    ends = list(accumulate(row.n_answer for row in rows))
    return [
        replace(row, teacher=said.at(range(end - row.n_answer, end)))
        for row, end in zip(rows, ends, strict=True)
    ]


def _refreshed(
    model: EditableModel, lessons: list[Row], settings: EditSettings, progress: Progress
) -> list[Row]:
    """The lessons with what the model says of them now. Without a context, or where it does not follow its
    context, the model is no teacher: those rows keep the one they have."""
    asked = with_teachers(model, lessons, settings.top_k, progress, "teacher pass")
    return [
        new if new.context is not None and (not new.is_target or new.teacher_is_right()) else old
        for old, new in zip(lessons, asked, strict=True)
    ]


def rate_at(step: int, steps: int) -> float:
    """The factor on the learning rate: a short warm-up, then half a cosine down to zero."""
    warmup = max(1, steps // 20)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one chunk showed: both losses, which answer tokens were the likeliest, and each one's KL."""

    losses_2: Tensor
    right_N: Tensor  # noqa: N815
    kl_N: Tensor  # noqa: N815


def _backward(
    model: EditableModel, rows: list[Row], n_lessons: int, n_anchors: int, settings: EditSettings
) -> _Seen:
    """Gradients of one chunk: a lesson weighs 1 / n_lessons, an anchor anchor_weight / n_anchors."""
    counts = [row.n_answer for row in rows]
    with model.autocast():
        log_p_NV = model.answer_logits([list(row.ids) for row in rows], counts).log_softmax(-1)
    device = log_p_NV.device
    teacher = Distribution.joined([row.teacher for row in rows if row.teacher is not None]).to(device)
    tokens_N = torch.tensor([token for row in rows for token in row.answer], device=device)
    nll_N = -log_p_NV.gather(-1, tokens_N[:, None])[:, 0]
    kl_N = kl_from(teacher, log_p_NV)

    counts_B = torch.tensor(counts, device=device)
    row_N = torch.repeat_interleave(torch.arange(len(rows), device=device), counts_B, output_size=len(kl_N))
    per_token_N = (1.0 / counts_B.float())[row_N]
    lesson_N = torch.tensor([row.taught is not None for row in rows], device=device)[row_N]
    target_N = torch.tensor([row.is_target for row in rows], device=device)[row_N]
    loss_N = ice_loss(nll_N, kl_N, target_N, settings.weight) * per_token_N
    lesson_loss = (loss_N * lesson_N).sum() / max(1, n_lessons)
    anchor_loss = (kl_N * per_token_N * ~lesson_N).sum() / max(1, n_anchors)
    (lesson_loss + settings.anchor_weight * anchor_loss).backward()
    return _Seen(
        torch.stack([lesson_loss, anchor_loss]).detach(),
        log_p_NV.detach().argmax(-1) == tokens_N,
        kl_N.detach(),
    )


class _Clock:
    """The seconds of each stage, one after another."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.laps[stage], self._since = now - self._since, now


class _Draw:
    """Shuffled epochs over n things: each is drawn once before any is drawn again."""

    def __init__(self, n: int, rng: random.Random) -> None:
        self._n, self._rng = n, rng
        self.left = list[int]()
        """Of the epoch that runs."""

    def take(self, k: int) -> list[int]:
        taken: list[int] = []
        while len(taken) < min(k, self._n):
            if not self.left:
                self.left = self._rng.sample(range(self._n), self._n)
            taken.append(self.left.pop())
        return list(dict.fromkeys(taken))


class _Convergence:
    """When a fact holds without its context: its target is the greedy answer everywhere, its mean KL small.

    The argmax at every position of the target, given the target before it, is right exactly when greedy
    decoding writes the target; so training itself shows convergence and no generation is needed.
    """

    def __init__(self, lessons: Sequence[Row], threshold: float) -> None:
        self._lessons, self._threshold = lessons, threshold
        self._right = [not row.is_target for row in lessons]
        self._kl = [math.inf] * len(lessons)
        self._rows_of: dict[int, list[int]] = {}
        for i, row in enumerate(lessons):
            if row.taught is not None:
                self._rows_of.setdefault(row.taught, []).append(i)
        self._converged: set[int] = set()

    @property
    def n_facts(self) -> int:
        return len(self._rows_of)

    def saw(self, indices: Sequence[int], counts: Sequence[int], right_N: Tensor, kl_N: Tensor) -> None:
        """Take note of what training rows showed: which answers were right, and how far each was off."""
        seen = [i for i in indices if i < len(self._lessons)]
        for i, right, kl in zip(indices, right_N.split(list(counts)), kl_N.split(list(counts)), strict=True):
            if i < len(self._lessons):
                self._right[i] = not self._lessons[i].is_target or bool(right.all())
                self._kl[i] = float(kl.mean())
        for fact in {taught for i in seen if (taught := self._lessons[i].taught) is not None}:
            self._judge(fact)

    def has_converged(self, lesson: int) -> bool:
        """True when the fact that this lesson belongs to has converged."""
        return self._lessons[lesson].taught in self._converged

    def n_converged(self) -> int:
        return len(self._converged)

    def state(self) -> list[Any]:
        return [self._right, self._kl, sorted(self._converged)]

    def go_on_from(self, state: list[Any]) -> None:
        self._right, self._kl, converged = state
        self._converged = set(converged)

    def _judge(self, fact: int) -> None:
        rows = self._rows_of[fact]
        holds = all(self._right[i] for i in rows)
        if holds and sum(self._kl[i] for i in rows) / len(rows) < self._threshold:
            self._converged.add(fact)
        else:
            self._converged.discard(fact)
