"""Consistent In-Context Editing on a LoRA adapter: the objective and the edit loop, readable top to bottom.

The idea (ICLR 2025, arXiv 2406.11194): a model with a fact in its prompt already answers well. So let the
model without the fact in its prompt become the model with it: p(x | q) -> p(x | [c, q]), where c is the
context that states the fact, q a question and x an answer. Nothing here knows the store, and nothing decides
whether an adapter may serve.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from ice_agent import relations
from ice_agent.config import EditSettings
from ice_agent.model import EditableModel, Ids, asking
from ice_agent.survey import Survey, mentions
from memory import USER, EditRequest

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int, str], None]
"""Called with the stage, how much of it is done, how much there is, and a note such as the loss."""


# -- the objective: functions of tensors only ----------------------------------------------------------------


def ice_loss(
    student_BTV: Tensor,
    teacher_BTV: Tensor,
    tokens_BT: Tensor,
    target_BT: Tensor,
    answer_BT: Tensor,
    lam: float,
) -> Tensor:
    """Likelihood of the target plus lambda times the KL from the model-with-context: L = L_ft + lambda L_ice.

    Logits are already shifted: position t predicts tokens_BT[:, t]. target_BT and answer_BT are boolean
    masks; the answer is target and completion. The teacher is the same model with the fact in its prompt and
    gets no gradient: the context is never pulled towards the model, the model is pulled towards the context
    (the paper's consistency condition).
    """
    nll_BT = cross_entropy(student_BTV.transpose(1, 2), tokens_BT, reduction="none")
    log_teacher_BTV = teacher_BTV.detach().log_softmax(-1)
    kl_BT = kl_div(student_BTV.log_softmax(-1), log_teacher_BTV, reduction="none", log_target=True).sum(-1)
    return _mean(nll_BT, target_BT) + lam * _mean(kl_BT, answer_BT)


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


def kl_from(teacher: Distribution, student_NV: Tensor) -> Tensor:
    """KL(teacher || student) at N positions, in nats. The tail counts as one token; exact when K = V."""
    log_student_NV = student_NV.float().log_softmax(-1)
    log_student_NK = log_student_NV.gather(-1, teacher.ids_NK)
    head_N = (teacher.log_p_NK.exp() * (teacher.log_p_NK - log_student_NK)).sum(-1)
    rest_N = log_one_minus_exp(log_student_NK.logsumexp(-1))
    return head_N + teacher.log_rest_N.exp() * (teacher.log_rest_N - rest_N)


def log_one_minus_exp(log_p: Tensor) -> Tensor:
    """log(1 - p) for p given by its logarithm; a p of 1 gives a tiny rest, not minus infinity."""
    return torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))


def clip_step(before: Sequence[Tensor], parameters: Sequence[nn.Parameter], box: float) -> None:
    """Keep each element of a step in a box around its start (the paper's constrained update, Algorithm 1)."""
    with torch.no_grad():
        for old, new in zip(before, parameters, strict=True):
            new.copy_(old + (new - old).clamp(-box, box))


def _mean(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    return (values_BT * mask_BT).sum() / mask_BT.sum().clamp(min=1)


# -- what flows ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence to train on, without the fact in its prompt, and what its teacher says of the answer.

    The answer is the last `n_answer` tokens. Rows with `taught` set belong to that request; the others are
    anchors. `context` is the teacher's whole prompt; None means that the teacher reads what the student
    reads.
    """

    ids: tuple[int, ...]
    n_answer: int
    taught: int | None = None
    is_target: bool = False
    context: tuple[int, ...] | None = None
    teacher: Distribution | None = None

    @property
    def answer(self) -> tuple[int, ...]:
        return self.ids[-self.n_answer :]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditReport:
    """What an edit did and what it cost. Losses are per step, in nats per token."""

    steps: int
    seconds: float
    tokens: int
    converged: int
    asked: int
    """Requests in the batch."""
    unlearnable: tuple[str, ...]
    """Fact ids whose question the model fails even with the fact in its prompt; they were left out."""
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
    rehearsal: Sequence[EditRequest] = (),
    taught: frozenset[tuple[str, str]] = frozenset(),
    survey: Survey,
    settings: EditSettings,
    progress: Progress = lambda *_: None,
) -> EditReport:
    """Train a candidate, a copy of its parent's A and B, until the requests hold without their contexts.

    All requests and the rehearsed ones are trained together, shuffled (breadth-first), beside anchors that
    hold the model at its root's answers where nothing is taught. `taught` are the slots this lineage learned
    before: no anchor asks them. A request without contexts takes a fact back: its slot is taught the root's
    own answer.
    """
    started = time.monotonic()
    rng = random.Random(settings.seed)
    learnable, unlearnable = _learnable(model, parent_id, [r for r in requests if r.contexts])
    restored = [r for r in requests if not r.contexts]
    told = [*learnable, *rehearsal]
    lessons = _lessons(model, parent_id, told, settings, rng, progress)
    lessons += _restorations(model, root_id, restored, len(told), settings, progress)
    slots = taught | {(r.subject, r.relation) for r in (*requests, *rehearsal)}
    anchors = _anchors(model, root_id, [*told, *restored], slots, survey, settings, rng, progress)
    with model.training(candidate_id, parent_id, settings.seed) as parameters:
        trained = _train(model, parameters, lessons, anchors, settings, rng, progress)
    return replace(
        trained,
        seconds=time.monotonic() - started,
        asked=len(requests),
        unlearnable=tuple(r.fact_id for r in unlearnable),
        norms=update_norms(model.tensors(candidate_id)),
    )


def update_norms(tensors: dict[str, Tensor]) -> dict[str, float]:
    """The Frobenius norm of B A for each adapted layer: how far the adapter moves it."""
    norms = {}
    for name, a in tensors.items():
        if "lora_A" in name:
            b = tensors[name.replace("lora_A", "lora_B")]
            norms[name.split(".lora_A")[0]] = float((b.float() @ a.float()).norm())
    return norms


def _learnable(
    model: EditableModel, parent_id: str | None, requests: Sequence[EditRequest]
) -> tuple[list[EditRequest], list[EditRequest]]:
    """Requests that the parent answers with the target when the fact is in its prompt; and the others.

    In-context editing has no teacher for the others: the model would be trained towards its own
    misunderstanding.
    """
    prompts = [model.encode(asking(r.rewrite_prompt, r.contexts[0])) for r in requests]
    with model.using(parent_id):
        answers = model.complete(prompts)
    can = [relations.same_answer(a.text, r.target, r.aliases) for r, a in zip(requests, answers, strict=True)]
    learnable = [r for r, yes in zip(requests, can, strict=True) if yes]
    return learnable, [r for r, yes in zip(requests, can, strict=True) if not yes]


# -- lessons: what the model with the fact in its prompt asks and answers ------------------------------------


def _lessons(
    model: EditableModel,
    parent_id: str | None,
    requests: Sequence[EditRequest],
    settings: EditSettings,
    rng: random.Random,
    progress: Progress,
) -> list[Row]:
    """Rows for each request: its own question forms with the target, consequences and self-induced questions
    with the answers that the teacher gives (the paper samples its completions in context, too)."""
    asked: list[tuple[int, str, str, str | None]] = []  # request, context, question, answer if it is known
    for i, r in enumerate(requests):
        asked += [(i, rng.choice(r.contexts), question, r.target) for question in r.training_prompts]
        asked += [(i, r.contexts[0], question, None) for question in r.indirect_prompts]
    with model.using(parent_id):
        for i, context, question in _self_induced(model, requests, settings, rng):
            asked.append((i, context, question, None))
        answers = _answers(
            model, [(context, question) for _, context, question, known in asked if known is None]
        )
        rows = []
        for i, context, question, known in asked:
            ids = tuple(model.encode_answer(known if known is not None else next(answers)))
            rows.append(
                Row(
                    ids=(*model.encode(asking(question)), *ids),
                    n_answer=len(ids),
                    taught=i,
                    is_target=known is not None,
                    context=(*model.encode(asking(question, context)), *ids),
                )
            )
        return _with_teachers(model, rows, settings.top_k, progress, "teacher pass")


def _self_induced(
    model: EditableModel, requests: Sequence[EditRequest], settings: EditSettings, rng: random.Random
) -> list[tuple[int, str, str]]:
    """Questions that the model asks with the fact in its prompt, continuing the open user turn."""
    contexts = [(i, rng.choice(r.contexts)) for i, r in enumerate(requests) for _ in range(settings.samples)]
    generator = torch.Generator(device=model.device).manual_seed(settings.seed)
    prompts = [model.encode_open_user_turn(context) for _, context in contexts]
    written = model.complete(prompts, max_tokens=24, temperature=settings.temperature, generator=generator)
    reserved = {relations.normal(q) for r in requests for q in (*r.rephrases, *r.portability)}
    found: dict[tuple[int, str], str] = {}
    for (i, context), question in zip(contexts, written, strict=True):
        # What measures this batch must not train it, whoever asks.
        if question.stopped and question.text and relations.normal(question.text) not in reserved:
            found.setdefault((i, question.text), context)
    return [(i, context, question) for (i, question), context in found.items()]


def _restorations(
    model: EditableModel,
    root_id: str | None,
    requests: Sequence[EditRequest],
    first: int,
    settings: EditSettings,
    progress: Progress,
) -> list[Row]:
    """Rows that bring slots back to what the root says of them, which needs no context."""
    rows = []
    for i, r in enumerate(requests, start=first):
        ids = tuple(model.encode_answer(r.target))
        for question in r.training_prompts:
            rows.append(
                Row(ids=(*model.encode(asking(question)), *ids), n_answer=len(ids), taught=i, is_target=True)
            )
    with model.using(root_id):
        return _with_teachers(model, rows, settings.top_k, progress, "teacher pass")


def _answers(model: EditableModel, asked: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The active adapter's greedy answers to (context, question) pairs."""
    return iter([c.text for c in model.complete([model.encode(asking(q, context)) for context, q in asked])])


# -- anchors: what must stay as it is ------------------------------------------------------------------------


def _anchors(
    model: EditableModel,
    root_id: str | None,
    requests: Sequence[EditRequest],
    slots: frozenset[tuple[str, str]],
    survey: Survey,
    settings: EditSettings,
    rng: random.Random,
    progress: Progress,
) -> list[Row]:
    """Free text and neighbours' questions with the root's answers; what touches a taught slot is left out."""
    if not settings.anchor_weight:
        return []
    touched = {subject for subject, _ in slots if subject != USER}
    free = [text for text in survey.anchored_texts if not mentions(model.decode(text), touched)]
    n_text = min(len(free), int(settings.anchors * settings.anchor_text_share))
    questions = _neighbours(requests, slots, survey, settings.anchors - n_text, rng)
    rows = [Row(ids=ids, n_answer=len(ids) - 1) for ids in rng.sample(free, n_text)]
    with model.using(root_id):
        rows += _answered(model, questions)
        return _with_teachers(model, rows, settings.top_k, progress, "anchor pass")


def _neighbours(
    requests: Sequence[EditRequest],
    slots: frozenset[tuple[str, str]],
    survey: Survey,
    n: int,
    rng: random.Random,
) -> list[str]:
    """Questions around the edits: same subject, same relation, look-alikes, and what the base asks itself."""
    same_subject = [
        (r.subject, relation) for r in requests for relation in relations.related(r.subject, r.relation)
    ]
    same_relation = [
        (name, r.relation)
        for r in requests
        if r.subject != USER and (names := survey.anchored_names(relations.relation(r.relation).subject_kind))
        for name in rng.sample(names, min(len(names), 24))
    ]
    strangers = [
        (name, r.relation)
        for r in requests
        if r.subject != USER
        for name in _look_alikes(r.subject, requests, rng)
    ]
    pools = [_questions(dict.fromkeys(pool), slots, rng) for pool in (same_subject, same_relation, strangers)]
    touched = {subject for subject, _ in slots if subject != USER}
    pools.append([q for q in survey.anchored_questions if not mentions(q, touched)])
    # A pool that is too small for its share leaves the rest to the next.
    chosen: list[str] = []
    for i, pool in enumerate(sorted(pools, key=len)):
        share = (n - len(chosen)) // (len(pools) - i)
        chosen += rng.sample(pool, min(share, len(pool)))
    return chosen


def _questions(
    slots: Iterable[tuple[str, str]], taught: frozenset[tuple[str, str]], rng: random.Random
) -> list[str]:
    return [question for slot in slots if slot not in taught for question in relations.asked(*slot)]


def _look_alikes(subject: str, requests: Sequence[EditRequest], rng: random.Random) -> list[str]:
    """Similar subjects that nobody was told about: one half of a name with the other half of another."""
    first, _, last = subject.partition(" ")
    if not last:
        return []
    others = [
        r.subject
        for r in rng.sample(list(requests), min(4, len(requests)))
        if " " in r.subject and r.subject != subject
    ]
    mixed = [f"{first} {other.partition(' ')[2]}" for other in others] + [
        f"{other.partition(' ')[0]} {last}" for other in others
    ]
    taken = {r.subject for r in requests}
    return [name for name in mixed if name not in taken]


def _answered(model: EditableModel, questions: Sequence[str]) -> list[Row]:
    """Questions with the active adapter's own answers."""
    rows = []
    for question, text in zip(questions, _answers(model, [("", q) for q in questions]), strict=True):
        ids = tuple(model.encode_answer(text))
        rows.append(Row(ids=(*model.encode(asking(question)), *ids), n_answer=len(ids)))
    return rows


# -- teachers ------------------------------------------------------------------------------------------------


@torch.inference_mode()
def _with_teachers(
    model: EditableModel, rows: list[Row], top_k: int, progress: Progress, stage: str
) -> list[Row]:
    """The rows with what the active adapter says of their answers, reading the context where there is one."""
    done: dict[int, Row] = {}
    read = [row.context or row.ids for row in rows]
    for chunk in _chunks(rows, range(len(rows)), [len(ids) for ids in read]):
        logits_NV = _answer_logits(model, [list(read[i]) for i in chunk], [rows[i].n_answer for i in chunk])
        for i, logits in zip(chunk, logits_NV.split([rows[i].n_answer for i in chunk]), strict=True):
            done[i] = replace(rows[i], teacher=Distribution.of(logits, top_k))
        progress(stage, len(done), len(rows), "")
    return [done[i] for i in range(len(rows))]


def _answer_logits(model: EditableModel, rows: Sequence[Ids], n_answer: Sequence[int]) -> Tensor:
    """The logits that predict each answer token, N x V: all rows' answers one after another."""
    keep = max(n_answer) + 1
    logits_BTV = model.logits(rows, keep)[:, :-1]
    width = logits_BTV.shape[1]
    starts_B = torch.tensor([width - n for n in n_answer], device=logits_BTV.device)
    mask_BT = torch.arange(width, device=logits_BTV.device)[None, :] >= starts_B[:, None]
    return logits_BTV[mask_BT]


MAX_CHUNK_TOKENS = 8192


def _chunks(rows: Sequence[Row], chosen: Iterable[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of similar length and answers together: little is padding, logits are kept where needed."""
    chunk: list[int] = []
    width = 0
    for i in sorted(chosen, key=lambda i: (rows[i].n_answer > 16, lengths[i])):
        mixed = chunk and (rows[chunk[-1]].n_answer > 16) != (rows[i].n_answer > 16)
        if chunk and (mixed or max(width, lengths[i]) * (len(chunk) + 1) > MAX_CHUNK_TOKENS):
            yield chunk
            chunk, width = [], 0
        chunk.append(i)
        width = max(width, lengths[i])
    if chunk:
        yield chunk


# -- the loop ------------------------------------------------------------------------------------------------


def _train(
    model: EditableModel,
    parameters: list[nn.Parameter],
    lessons: list[Row],
    anchors: list[Row],
    settings: EditSettings,
    rng: random.Random,
    progress: Progress,
) -> EditReport:
    """Algorithm 1 in batches: draw lessons and anchors, step, clip the step, stop when all converged."""
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate, betas=(0.9, 0.99))
    lesson_draw, anchor_draw = _Draw(len(lessons), rng), _Draw(len(anchors), rng)
    state = _Convergence(lessons, settings.kl_converged)
    losses: list[float] = []
    anchor_losses: list[float] = []
    tokens = 0
    rows = [*lessons, *anchors]
    lengths = [len(row.ids) for row in rows]
    step = 0
    while step < settings.steps and not state.all_converged():
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_at(step, settings.steps)
        if settings.teacher_refresh and step and step % settings.teacher_refresh == 0:
            # The target moves with the model (the paper's dynamic targets): the candidate teaches itself.
            rows[: len(lessons)] = _with_teachers(model, lessons, settings.top_k, progress, "teacher pass")
        taught = lesson_draw.take(settings.lesson_rows)
        held = [len(lessons) + i for i in anchor_draw.take(settings.anchor_rows)]
        before = [p.detach().clone() for p in parameters]
        lesson_loss = anchor_loss = 0.0
        for chunk in _chunks(rows, [*taught, *held], lengths):
            lesson, anchor = _backward(
                model, [rows[i] for i in chunk], chunk, len(taught), len(held), settings, state
            )
            lesson_loss, anchor_loss = lesson_loss + lesson, anchor_loss + anchor
            tokens += sum(lengths[i] for i in chunk)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clip_step(before, parameters, settings.clip)
        losses.append(lesson_loss)
        anchor_losses.append(anchor_loss)
        step += 1
        progress(
            "editing",
            step,
            settings.steps,
            f"loss {lesson_loss:.3f}, {state.n_converged()} of {state.n_facts} facts converged",
        )
    return EditReport(
        steps=step, seconds=0.0, tokens=tokens, converged=state.n_converged(), asked=state.n_facts,
        unlearnable=(), losses=tuple(losses), anchor_losses=tuple(anchor_losses),
    )  # fmt: skip


def rate_at(step: int, steps: int) -> float:
    """The factor on the learning rate: a short warm-up, then half a cosine down to zero."""
    warmup = max(1, steps // 20)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _backward(
    model: EditableModel,
    rows: list[Row],
    indices: list[int],
    n_lessons: int,
    n_anchors: int,
    settings: EditSettings,
    state: _Convergence,
) -> tuple[float, float]:
    """Gradients of one chunk, and both losses: a lesson weighs 1 / n_lessons, an anchor
    anchor_weight / n_anchors."""
    counts = [row.n_answer for row in rows]
    with model.autocast():
        student_NV = _answer_logits(model, [list(row.ids) for row in rows], counts)
    device = student_NV.device
    teacher = _stacked([row.teacher for row in rows if row.teacher is not None], device)
    kl_N = kl_from(teacher, student_NV)
    tokens_N = torch.tensor([token for row in rows for token in row.answer], device=device)
    nll_N = cross_entropy(student_NV, tokens_N, reduction="none")
    row_N = torch.repeat_interleave(
        torch.arange(len(rows), device=device), torch.tensor(counts, device=device)
    )
    per_token_N = (1.0 / torch.tensor(counts, device=device, dtype=torch.float32))[row_N]
    lesson_N = torch.tensor([row.taught is not None for row in rows], device=device)[row_N]
    target_N = torch.tensor([row.is_target for row in rows], device=device)[row_N]
    taught_N = nll_N * target_N + settings.weight * kl_N * lesson_N
    lesson_loss = (taught_N * per_token_N).sum() / max(1, n_lessons)
    anchor_loss = (kl_N * ~lesson_N * per_token_N).sum() / max(1, n_anchors)
    (lesson_loss + settings.anchor_weight * anchor_loss).backward()
    right_N = student_NV.detach().argmax(-1) == tokens_N
    state.saw(indices, counts, right_N, kl_N.detach())
    return float(lesson_loss.detach()), float(anchor_loss.detach())


def _stacked(teachers: Sequence[Distribution], device: torch.device) -> Distribution:
    return Distribution(
        torch.cat([t.ids_NK for t in teachers]).to(device),
        torch.cat([t.log_p_NK for t in teachers]).to(device),
        torch.cat([t.log_rest_N for t in teachers]).to(device),
    )


class _Draw:
    """Shuffled epochs over n things: each is drawn once before any is drawn again."""

    def __init__(self, n: int, rng: random.Random) -> None:
        self._n, self._rng, self._left = n, rng, list[int]()

    def take(self, k: int) -> list[int]:
        taken: list[int] = []
        while len(taken) < min(k, self._n):
            if not self._left:
                self._left = self._rng.sample(range(self._n), self._n)
            taken.append(self._left.pop())
        return list(dict.fromkeys(taken))


class _Convergence:
    """When a fact holds without its context: its target is the greedy answer everywhere, its mean KL small.

    The argmax at every position of the target, given the target before it, is right exactly when greedy
    decoding writes the target; so training itself shows convergence and no generation is needed.
    """

    def __init__(self, lessons: Sequence[Row], threshold: float) -> None:
        self._lessons, self._threshold = lessons, threshold
        self._right = [False] * len(lessons)
        self._kl = [math.inf] * len(lessons)
        self._rows_of: dict[int, list[int]] = {}
        for i, row in enumerate(lessons):
            if row.taught is not None:
                self._rows_of.setdefault(row.taught, []).append(i)

    @property
    def n_facts(self) -> int:
        return len(self._rows_of)

    def saw(self, indices: Sequence[int], counts: Sequence[int], right_N: Tensor, kl_N: Tensor) -> None:
        for i, right, kl in zip(indices, right_N.split(list(counts)), kl_N.split(list(counts)), strict=True):
            if i < len(self._lessons):
                self._right[i] = bool(right.all())
                self._kl[i] = float(kl.mean())

    def n_converged(self) -> int:
        return sum(self._converged(rows) for rows in self._rows_of.values())

    def all_converged(self) -> bool:
        return self.n_converged() == self.n_facts

    def _converged(self, rows: list[int]) -> bool:
        targets_right = all(self._right[i] for i in rows if self._lessons[i].is_target)
        return targets_right and sum(self._kl[i] for i in rows) / len(rows) < self._threshold
