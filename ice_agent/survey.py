"""What the base model says of its own accord: free text, questions, names. Sampled once per base.

Anchors (what an edit must leave alone) and probes (how that is measured) are made from it. It is divided
between the two, so that nothing is measured on what was anchored. It knows no facts and trains nothing.
"""

from __future__ import annotations

import json
import logging
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zlib import crc32

import torch

from ice_agent import relations
from ice_agent.model import EditableModel
from ice_agent.turns import asking
from memory import USER, EditRequest, Progress

logger = logging.getLogger(__name__)

Slot = tuple[str, str]

IN_TURN = 8
"""Surveys of a base that the batches of a lineage take in turn. Held to the same few hundred texts again and
again, an adapter drifts everywhere else."""

# A name is a run of capitalised words; the first word of a question is capitalised for another reason.
NAME = re.compile(r"\b[A-Z][\w'-]+(?: (?:and |of )?[A-Z][\w'-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Texts as token ids, questions as words: written by the base, with nothing in its prompt."""

    texts: tuple[tuple[int, ...], ...]
    questions: tuple[str, ...]
    names: tuple[tuple[str, str], ...]
    """Names with the kind of thing they are ("person") as far as their questions tell; else ""."""

    def anchored_names(self, kind: str) -> tuple[str, ...]:
        """The names of this kind whose neighbourhood an edit may train on."""
        return tuple(name for name in self._of_kind(kind) if _side(name))

    def probed_names(self, kind: str) -> tuple[str, ...]:
        """The names of this kind that are kept for measuring locality."""
        return tuple(name for name in self._of_kind(kind) if not _side(name))

    def _of_kind(self, kind: str) -> tuple[str, ...]:
        known = tuple(name for name, its in self.names if its == kind)
        return known or tuple(name for name, its in self.names if not its)

    @property
    def anchored_texts(self) -> tuple[tuple[int, ...], ...]:
        """The texts that an edit may train on."""
        return self.texts[::2]

    @property
    def probed_texts(self) -> tuple[tuple[int, ...], ...]:
        """The texts kept for measuring perplexity."""
        return self.texts[1::2]

    @property
    def anchored_questions(self) -> tuple[str, ...]:
        return tuple(q for q in self.questions if _side(q))

    @property
    def probed_questions(self) -> tuple[str, ...]:
        """The questions kept for measuring; to a statement ("I live in Oslo.") any polite reply is right."""
        return tuple(q for q in self.questions if not _side(q) and q.endswith("?"))


def turn(seed: int, batch: int) -> int:
    """The seed of the survey that a lineage's nth batch takes, counted from 0."""
    return seed + 1000 * (batch % IN_TURN)


def take(
    model: EditableModel,
    cache_dir: Path | None,
    *,
    n_texts: int,
    n_questions: int,
    text_tokens: int = 48,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> Survey:
    """The survey of this base, from the cache when the same one was taken before."""
    key = f"{model.base_hash[:16]}-{n_texts}-{n_questions}-{text_tokens}-{seed}"
    path = cache_dir / f"survey-{key}.json" if cache_dir else None
    if path and (cached := _read(path)):
        return cached
    survey = _ask(model, n_texts, n_questions, text_tokens, seed, progress)
    if path:
        _keep(path, survey)
    return survey


def same_subject(requests: Sequence[EditRequest]) -> list[Slot]:
    """The edited subjects' other slots. What is of no relation has no slots that could be asked for."""
    return [
        (r.subject, relation)
        for r in requests
        if r.relation
        for relation in relations.related(r.subject, r.relation)
    ]


def same_relation(
    requests: Sequence[EditRequest],
    names: Callable[[str], Sequence[str]],
    each: int,
    rng: random.Random,
) -> list[Slot]:
    """The edited relations of other subjects, `each` for a request at most; `names` are those of a kind."""
    found: list[Slot] = []
    for r in requests:
        # Only the user is asked for a name: for anybody else the question would hold its answer.
        if r.relation not in ("", "name"):
            others = names(relations.relation(r.relation).subject_kind)
            found += [(name, r.relation) for name in rng.sample(others, min(len(others), each))]
    return found


def objects(
    model: EditableModel, root_id: str | None, questions: Sequence[str], requests: Sequence[EditRequest]
) -> dict[str, list[str]]:
    """What can be said of somebody, by relation: the root's answers to these questions, and the targets."""
    asked = [(q, slot[1]) for q in questions if (slot := relations.slot_asked(q)) is not None]
    found: dict[str, list[str]] = {}
    for r in requests:
        # A request without contexts takes a fact back: its target is the root's answer, not an object.
        if r.relation and r.contexts:
            found.setdefault(r.relation, []).append(r.target)
    with model.using(root_id):
        answers = model.complete([model.encode(asking(question)) for question, _ in asked])
    for (_, relation_id), answer in zip(asked, answers, strict=True):
        found.setdefault(relation_id, []).append(answer.text)
    return found


def invented(
    said: dict[str, list[str]],
    subjects: Callable[[str], Sequence[str]],
    questions: Callable[[str, str], Sequence[str]],
    n: int,
    rng: random.Random,
) -> list[tuple[str, str]]:
    """n invented facts as contexts, each with a question that it answers.

    `said` gives objects by relation, `subjects` who a relation can be about, `questions` a slot's forms.
    """
    found: list[tuple[str, str]] = []
    for _ in range(n if said else 0):
        relation_id = rng.choice(sorted(said))
        if about := subjects(relation_id):
            subject, other = rng.choice(about), rng.choice(about)
            statements = [
                relations.state(name, relation_id, rng.choice(said[relation_id]))
                for name in rng.sample(sorted({subject, other}), len({subject, other}))
            ]
            if forms := questions(subject, relation_id):
                found.append((relations.system_message("", statements), rng.choice(forms)))
    return found


def with_user(relation_id: str, names: Sequence[str]) -> list[str]:
    """The names, and the user as often as a quarter of them where the relation is one of people."""
    is_of_people = relations.relation(relation_id).subject_kind == "person"
    return [*names, *([USER] * max(1, len(names) // 4) if is_of_people else [])]


def _ask(
    model: EditableModel, n_texts: int, n_questions: int, text_tokens: int, seed: int, progress: Progress
) -> Survey:
    generator = torch.Generator(device=model.device).manual_seed(seed)
    begin, open_turn = model.begin(), model.encode_open_user_turn("")
    total = n_texts + n_questions
    texts: list[tuple[int, ...]] = []
    questions: list[str] = []
    with model.using(None):
        while len(texts) < n_texts:
            wanted = min(256, n_texts - len(texts))
            written = model.complete(
                [begin] * wanted, max_tokens=text_tokens, temperature=1.0, generator=generator, rows=256
            )
            texts += [(*begin, *c.ids) for c in written]
            progress("surveying the base", len(texts), total, "")
        asked = 0
        while asked < n_questions:
            wanted = min(256, n_questions - asked)
            written = model.complete(
                [open_turn] * wanted, max_tokens=24, temperature=1.0, generator=generator, rows=256
            )
            questions += [c.text for c in written if c.stopped and c.text.endswith(("?", "."))]
            asked += wanted
            progress("surveying the base", n_texts + asked, total, "")
    questions = list(dict.fromkeys(questions))
    names = tuple({name: kind for q in questions for name, kind in names_in(q)}.items())
    logger.info(
        "survey of %s: %d texts, %d questions, %d names",
        model.base_hash[:12],
        len(texts),
        len(questions),
        len(names),
    )
    texts = [text for text in dict.fromkeys(texts) if len(text) > 2]
    return Survey(texts=tuple(texts), questions=tuple(questions), names=names)


def names_in(question: str) -> list[tuple[str, str]]:
    """The names in a question with their kinds: by its form where that is known, else capitalised words."""
    if (slot := relations.slot_asked(question)) is not None:
        return [(slot[0], relations.relation(slot[1]).subject_kind)]
    _, _, rest = question.partition(" ")
    return [(name, "") for name in NAME.findall(rest)]


def mentions(text: str, names: Iterable[str]) -> bool:
    return any(name in text for name in names)


def _side(text: str) -> bool:
    return crc32(text.encode()) % 2 == 0


def _keep(path: Path, survey: Survey) -> None:
    """Write the cache file whole or not at all. Nothing is lost without it: the survey is taken again."""
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(asdict(survey)), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        logger.warning("the survey cannot be kept in %s (%s): the next time it is taken again", path, error)


def _read(path: Path) -> Survey | None:
    """The survey in a cache file; None when there is none that can be read, so that it is taken again."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Survey(
            texts=tuple(tuple(ids) for ids in raw["texts"]),
            questions=tuple(raw["questions"]),
            names=tuple((name, kind) for name, kind in raw["names"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("the survey in %s cannot be read (%s): it is taken again", path, error)
        return None
