"""What an edit trains on: lessons that the model with a fact in its prompt gives itself, and anchors that
hold it where nothing is taught. Each is a row of tokens with its teacher's distribution. Nothing is
trained here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from ice_agent import relations
from ice_agent.distribution import Distribution
from ice_agent.model import EditableModel
from ice_agent.settings import EditSettings
from ice_agent.survey import (
    Slot,
    Survey,
    invented,
    mentions,
    objects,
    same_relation,
    same_subject,
    with_user,
)
from ice_agent.turns import asking
from memory import USER, EditRequest, Progress

SCANNED = 2000
"""Learned facts that a batch looks at: reading one takes a thousandth of the time that teaching one takes."""

TAUGHT = 0.5
"""Nats between the parent's next token and the root's above which the difference was taught."""

MAX_CHUNK_TOKENS = 1024
"""Of one forward pass, padding included. Larger chunks hold more padding: eight times this took half as long
again on a CPU."""


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

    def teacher_is_right(self) -> bool:
        """True when the teacher's likeliest tokens are the answer: then its greedy answer is this one."""
        return self.teacher is not None and self.teacher.ids_NK[:, 0].tolist() == list(self.answer)

    def margin(self) -> float:
        """By how many nats the answer's least sure token is ahead of the next best; negative if it is not."""
        if self.teacher is None or self.teacher.ids_NK.shape[1] < 2:
            return math.nan
        first_N2 = self.teacher.log_p_NK[:, :2]
        ahead_N = first_N2[:, 0] - first_N2[:, 1]
        right_N = self.teacher.ids_NK[:, 0].cpu() == torch.tensor(self.answer)
        return float(torch.where(right_N, ahead_N.cpu(), -1.0).min())

    def taught_by_target(self) -> Row:
        """The same row with a teacher that is certain of the answer."""
        if self.teacher is None:
            return self
        return replace(self, teacher=self.teacher.certain_of(torch.tensor(self.answer)))


# -- lessons: what the model with the fact in its prompt asks and answers ------------------------------------


def make_lessons(
    model: EditableModel,
    root_id: str | None,
    requests: Sequence[EditRequest],
    rehearsed: Sequence[EditRequest],
    survey: Survey,
    settings: EditSettings,
    rng: random.Random,
    progress: Progress,
) -> tuple[list[Row], set[int]]:
    """Rows for each request: its own question forms with the target, consequences and self-induced questions
    with the answers that the teacher gives (the paper samples its completions in context, too). What is
    rehearsed was learned before: it asks itself nothing new.

    The teacher is the root, for all batches of a lineage: an adapter that was taught without contexts reads
    them less well than the base, and its pupils less well again.

    Also returns the requests, by their index, that the model mostly fails even with the fact in its prompt.
    There the teacher would teach its own misunderstanding: the target alone teaches them.
    """
    asked: list[tuple[int, str, str, str | None]] = []  # request, context, question, answer if it is known
    for i, r in enumerate([*requests, *rehearsed]):
        asked += [(i, rng.choice(r.contexts), question, r.target) for question in r.training_prompts]
        asked += [(i, r.contexts[0], question, None) for question in r.indirect_prompts]
    with model.using(root_id):
        for i, context, question in _self_induced(model, requests, survey, settings, rng):
            asked.append((i, context, question, None))
        told = [(context, question) for _, context, question, known in asked if known is None]
        answers = iter(_answers(model, told, settings.top_k, progress, "teacher pass"))
        rows = []
        for i, context, question, known in asked:
            ids, teacher = (tuple(model.encode_answer(known)), None) if known is not None else next(answers)
            rows.append(
                Row(
                    ids=(*model.encode(asking(question)), *ids),
                    n_answer=len(ids),
                    taught=i,
                    is_target=known is not None,
                    context=(*model.encode(asking(question, context)), *ids),
                    teacher=teacher,
                )
            )
        return _without_errors(_all_with_teachers(model, rows, settings.top_k, progress, "teacher pass"))


def _without_errors(rows: Sequence[Row]) -> tuple[list[Row], set[int]]:
    """The rows less what a teacher that fails its own lesson would teach, and the requests that it fails."""
    right: dict[int, list[bool]] = {}
    for row in rows:
        if row.taught is not None and row.is_target:
            right.setdefault(row.taught, []).append(row.teacher_is_right())
    failed = {taught for taught, each in right.items() if 2 * sum(each) < len(each)}
    kept = [row for row in rows if row.is_target or row.taught not in failed]
    return [
        row if not row.is_target or row.teacher_is_right() else row.taught_by_target() for row in kept
    ], failed


def _self_induced(
    model: EditableModel,
    requests: Sequence[EditRequest],
    survey: Survey,
    settings: EditSettings,
    rng: random.Random,
) -> list[tuple[int, str, str]]:
    """Questions that the model asks with the fact in its prompt, continuing the open user turn."""
    contexts = [(i, rng.choice(r.contexts)) for i, r in enumerate(requests) for _ in range(settings.samples)]
    generator = torch.Generator(device=model.device).manual_seed(settings.seed)
    prompts = [model.encode_open_user_turn(context) for _, context in contexts]
    written = model.complete(prompts, max_tokens=24, temperature=settings.temperature, generator=generator)
    probes = (q for r in requests for q in (*r.rephrases, *r.portability))
    reserved = {relations.normal(question) for question in (*probes, *survey.probed_questions)}
    found: dict[tuple[int, str], str] = {}
    for (i, context), question in zip(contexts, written, strict=True):
        # What measures this batch must not train it, whoever asks.
        if question.stopped and question.text and relations.normal(question.text) not in reserved:
            found.setdefault((i, question.text), context)
    return [(i, context, question) for (i, question), context in found.items()]


def make_restorations(
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
        return with_teachers(model, rows, settings.top_k, progress, "teacher pass")


def _answers(
    model: EditableModel, asked: Sequence[tuple[str, str]], top_k: int, progress: Progress, stage: str
) -> list[tuple[tuple[int, ...], Distribution | None]]:
    """The active adapter's greedy answers to (context, question) pairs, and what it said at each token.

    An answer that is not written as its own text is has no teacher yet: it broke off, or spelled a word in
    other tokens.
    """
    completions = model.complete(
        [model.encode(asking(question, context)) for context, question in asked],
        top_k=top_k,
        progress=lambda done, total: progress(stage, done, total, ""),
    )
    answers = []
    for written in completions:
        ids = tuple(model.encode_answer(written.text))
        is_as_written = written.stopped and ids[:-1] == written.ids
        answers.append((ids, written.said if is_as_written else None))
    return answers


# -- what was learned before ---------------------------------------------------------------------------------


def recalled(
    model: EditableModel,
    parent_id: str | None,
    learned: Sequence[EditRequest],
    settings: EditSettings,
    rng: random.Random,
    progress: Progress,
) -> tuple[list[EditRequest], list[Row]]:
    """Of what the parent learned, what it knows least well to rehearse, and all else that it knows, those
    that it knows least well first.

    A scan of fixed size, so that a cycle costs the same after ten thousand facts. Each fact is asked in one
    of its training forms.
    """
    scanned = rng.sample(list(learned), min(len(learned), SCANNED))
    rows = []
    for r in scanned:
        ids = tuple(model.encode_answer(r.target))
        question = rng.choice(r.training_prompts)
        rows.append(Row(ids=(*model.encode(asking(question)), *ids), n_answer=len(ids)))
    with model.using(parent_id):
        rows = with_teachers(model, rows, settings.top_k, progress, "recalling")
    margins = [row.margin() for row in rows]
    by_margin = sorted(range(len(rows)), key=lambda i: margins[i])
    weak, others = by_margin[: settings.rehearsal], by_margin[settings.rehearsal :]
    # Held to a parent that has lost a fact, the candidate could never learn it again.
    known = [i for i in others if margins[i] > 0]
    return [scanned[i] for i in weak], [rows[i] for i in known]


# -- anchors: what must stay as it is ------------------------------------------------------------------------


def make_anchors(
    model: EditableModel,
    root_id: str | None,
    parent_id: str | None,
    requests: Sequence[EditRequest],
    taught: frozenset[Slot],
    retained: list[Row],
    survey: Survey,
    settings: EditSettings,
    rng: random.Random,
    progress: Progress,
) -> tuple[list[Row], list[Row]]:
    """Neighbours' questions and free text as the root has them; and what was taught, as the parent has it.

    The root is asked, which bounds the drift of a whole lineage; only where the parent was taught otherwise,
    the root would un-teach it (see `_as_taught`). What touches this batch is left out.
    """
    if not (settings.anchor_weight or settings.curvature_weight):
        return [], []
    edited = frozenset((r.subject, r.relation) for r in requests)
    now, before = relations.touched(edited), relations.touched(taught)
    n = settings.anchors
    told = _told(model, root_id, requests, survey, int(n * settings.anchor_context_share), rng)
    n -= len(told)
    texts = [(ids, text) for ids in survey.anchored_texts if not mentions(text := model.decode(ids), now)]
    texts = rng.sample(texts, min(len(texts), int(n * settings.anchor_text_share)))
    pools = [[q for q in survey.anchored_questions if not mentions(q, now)]]
    pools += _beside(requests, taught | edited, survey, rng)
    questions = _shared_out(pools, n - len(texts), rng)
    about_taught = {q for q in questions if mentions(q, before)}
    asked = told + [("", q) for q in questions if q not in about_taught]
    with model.using(root_id):
        rows = _answered(model, asked, settings.top_k, progress)
        rows += [Row(ids=ids, n_answer=len(ids) - 1) for ids, text in texts if not mentions(text, before)]
        found = _all_with_teachers(model, rows, settings.top_k, progress, "anchor pass")
    with model.using(parent_id):
        about = [("", q) for q in questions if q in about_taught]
        rows = _answered(model, about, settings.top_k, progress)
        rows += [Row(ids=ids, n_answer=len(ids) - 1) for ids, text in texts if mentions(text, before)]
    return found, retained + _as_taught(model, root_id, parent_id, rows, settings, progress)


def _as_taught(
    model: EditableModel,
    root_id: str | None,
    parent_id: str | None,
    rows: list[Row],
    settings: EditSettings,
    progress: Progress,
) -> list[Row]:
    """Rows about what was taught before: at each token the root's word, or the parent's where it is far away.

    A large difference is what the lineage was taught. A small one is drift, and would add up over batches.
    """
    with model.using(root_id):
        by_root = with_teachers(model, rows, settings.top_k, progress, "anchor pass")
    with model.using(parent_id):
        by_parent = _all_with_teachers(model, rows, settings.top_k, progress, "anchor pass")
    return [
        replace(row, teacher=root.teacher.unless_far(parent.teacher, TAUGHT))
        for row, root, parent in zip(rows, by_root, by_parent, strict=True)
        if root.teacher is not None and parent.teacher is not None
    ]


def _beside(
    requests: Sequence[EditRequest], slots: frozenset[Slot], survey: Survey, rng: random.Random
) -> list[list[str]]:
    """Questions about slots that were never taught: same subject, same relation, subjects that look alike."""
    beside = (same_subject(requests), same_relation(requests, survey.anchored_names, 24, rng))
    strangers = [
        (name, r.relation)
        for r in requests
        if r.relation and r.subject != USER
        for name in _look_alikes(r.subject, requests, rng)
    ]
    return [_questions(dict.fromkeys(pool), slots) for pool in (*beside, strangers)]


def _shared_out(pools: Sequence[Sequence[str]], n: int, rng: random.Random) -> list[str]:
    """n of all pools alike; a pool that is too small for its share leaves the rest to the next."""
    chosen: list[str] = []
    for i, pool in enumerate(sorted(pools, key=len)):
        share = (n - len(chosen)) // (len(pools) - i)
        chosen += rng.sample(pool, min(share, len(pool)))
    return chosen


def _questions(slots: Iterable[tuple[str, str]], taught: frozenset[tuple[str, str]]) -> list[str]:
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


def _told(
    model: EditableModel,
    root_id: str | None,
    requests: Sequence[EditRequest],
    survey: Survey,
    n: int,
    rng: random.Random,
) -> list[tuple[str, str]]:
    """Invented facts as contexts, each with a question that it answers.

    With a fact in its prompt the model must go on answering as the root does: that is how pending facts and
    new values of learned ones are served, and edits that only ever ask without a context un-teach it.
    """
    asked = rng.sample(survey.anchored_questions, min(len(survey.anchored_questions), n))

    def subjects(relation_id: str) -> list[str]:
        edited = [r.subject for r in requests if r.relation == relation_id]
        names = survey.anchored_names(relations.relation(relation_id).subject_kind)
        return with_user(relation_id, [*names, *edited])

    def questions(subject: str, relation_id: str) -> list[str]:
        return [*relations.asked(subject, relation_id), *relations.asked_further(subject, relation_id)]

    return invented(objects(model, root_id, asked, requests), subjects, questions, n, rng)


def _answered(
    model: EditableModel, asked: Sequence[tuple[str, str]], top_k: int, progress: Progress
) -> list[Row]:
    """(Context, question) pairs with the active adapter's own answers."""
    answers = _answers(model, asked, top_k, progress, "anchor pass")
    return [
        Row(ids=(*model.encode(asking(question, context)), *ids), n_answer=len(ids), teacher=teacher)
        for (context, question), (ids, teacher) in zip(asked, answers, strict=True)
    ]


# -- teachers ------------------------------------------------------------------------------------------------


def _all_with_teachers(
    model: EditableModel, rows: list[Row], top_k: int, progress: Progress, stage: str
) -> list[Row]:
    """The rows, those without a teacher with what the active adapter says; it wrote the others' answers."""
    asked = iter(with_teachers(model, [row for row in rows if row.teacher is None], top_k, progress, stage))
    return [next(asked) if row.teacher is None else row for row in rows]


@torch.inference_mode()
def with_teachers(
    model: EditableModel, rows: list[Row], top_k: int, progress: Progress, stage: str
) -> list[Row]:
    """The rows with what the active adapter says of their answers, reading the context where there is one."""
    done: dict[int, Row] = {}
    read = [row.context or row.ids for row in rows]
    for chunk in chunks(rows, range(len(rows)), [len(ids) for ids in read]):
        logits_NV = model.answer_logits([list(read[i]) for i in chunk], [rows[i].n_answer for i in chunk])
        for i, logits in zip(chunk, logits_NV.split([rows[i].n_answer for i in chunk]), strict=True):
            done[i] = replace(rows[i], teacher=Distribution.of(logits, top_k))
        progress(stage, len(done), len(rows), "")
    return [done[i] for i in range(len(rows))]


def chunks(rows: Sequence[Row], chosen: Iterable[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of similar length and answers together: little is padding, logits are kept where needed."""
    chunk: list[int] = []
    for i in sorted(chosen, key=lambda i: (rows[i].n_answer > 16, lengths[i])):
        mixed = chunk and (rows[chunk[-1]].n_answer > 16) != (rows[i].n_answer > 16)
        if chunk and (mixed or lengths[i] * (len(chunk) + 1) > MAX_CHUNK_TOKENS):
            yield chunk
            chunk = []
        chunk.append(i)
    if chunk:
        yield chunk
