"""Whether an adapter still inclines to a fact that was forgotten: asked in words, and by the odds it gives.

In words: free generation. By odds: how much likelier the adapter makes the fact than the base does, which
never saw it. That difference to a reference model is what membership inference looks at (Carlini et al. 2022,
LiRA, arXiv 2112.03570), and its rank among other values that could have stood there is what exposure is
(Carlini et al. 2019, "The Secret Sharer", arXiv 1802.08232). Other subjects are asked as well, because an
adapter may like a value for whomever: only what it likes of this subject, beyond both, is the fact. A rank
does not hang on how strong the adapter is, so that weak residue is seen, too.

What the base says of its own accord cannot be forgotten, and is no leak.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ice_agent import relations
from ice_agent.model import EditableModel, Ids
from ice_agent.reference import world
from ice_agent.turns import asking
from memory import STATEMENT, Cardinality, Fact, Leak, Progress

N_VALUES, N_SUBJECTS = 48, 16
"""Other values of the relation, and other subjects, that the fact is compared with: as many as there are."""
N_QUESTIONS = 2
"""In how many forms each of them is asked for, for its odds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A forgotten fact, as long as somebody still knows it."""

    fact_id: str
    subject: str
    relation: str
    object: str
    values: tuple[str, ...]
    """All values that its slot was taught together, the object among them."""

    def instead(self, other: str) -> str:
        """The values as they are listed, with another one in the object's place."""
        return relations.listed(tuple(other if value == self.object else value for value in self.values))


def suspects(forgotten: Sequence[Fact], standing: Sequence[Fact]) -> tuple[Suspect, ...]:
    """What can be asked for of the forgotten facts. A statement has no question, and was never taught."""
    return tuple(
        Suspect(
            fact_id=fact.id,
            subject=fact.subject,
            relation=fact.relation,
            object=fact.object,
            values=_taught_together(fact, standing),
        )
        for fact in forgotten
        if fact.relation != STATEMENT
    )


def probe(
    model: EditableModel,
    adapter_id: str,
    asked_for: Sequence[Suspect],
    *,
    reference_id: str | None = None,
    progress: Progress = lambda *_: None,
) -> tuple[Leak, ...]:
    """What an adapter gives away of each fact that the reference, by default the base, does not."""
    found = []
    for n, suspect in enumerate(asked_for):
        progress("probing", n, len(asked_for), "")
        questions = [
            *relations.asked(suspect.subject, suspect.relation),
            *relations.probed(suspect.subject, suspect.relation),
        ]
        said, before = (_says(model, id_, questions, suspect.object) for id_ in (adapter_id, reference_id))
        likelihoods_SO, reference_SO = (
            _likelihoods(model, id_, suspect) for id_ in (adapter_id, reference_id)
        )
        leaning_SO = leaning(likelihoods_SO - reference_SO)
        found.append(
            Leak(
                fact_id=suspect.fact_id,
                asked=len(questions),
                said=sum(here and not there for here, there in zip(said, before, strict=True)),
                beaten=sum(leaning_SO.shape) - 2,
                leans=stands_out(leaning_SO),
            )
        )
    progress("probing", len(asked_for), len(asked_for), "")
    return tuple(found)


# -- the statistic: functions of tensors only ----------------------------------------------------------------


def leaning(shift_SO: Tensor) -> Tensor:
    """What is left of the shifts of S subjects' odds of O values, but for those of a subject or a value."""
    of_pair_SO = shift_SO - shift_SO.median(1, keepdim=True).values
    return of_pair_SO - of_pair_SO.median(0, keepdim=True).values


def stands_out(leaning_SO: Tensor) -> bool:
    """Whether the first subject leans to the first value more than to any other, and than any other does."""
    others = torch.cat([leaning_SO[0, 1:], leaning_SO[1:, 0]])
    return bool((leaning_SO[0, 0] > others).all())


# -- asking --------------------------------------------------------------------------------------------------


def _says(model: EditableModel, adapter_id: str | None, questions: Sequence[str], value: str) -> list[bool]:
    word = re.compile(rf"(?<!\w){re.escape(relations.normal(value))}(?!\w)")
    with model.using(adapter_id):
        answers = model.complete([model.encode(asking(question)) for question in questions])
    return [word.search(relations.normal(answer.text)) is not None for answer in answers]


def _likelihoods(model: EditableModel, adapter_id: str | None, suspect: Suspect) -> Tensor:
    """log p of the fact, of other values for its subject and of all of them for other subjects: S x O."""
    subjects = (suspect.subject, *other_subjects(suspect.relation, suspect.subject))
    values = (suspect.object, *other_values(suspect.relation, suspect.values))
    prompts, answers = list[Ids](), list[list[Ids]]()
    for subject in subjects:
        form = relations.relation(suspect.relation).forms(subject).answer
        listed = [relations.fill(form, subject, suspect.instead(value)) for value in values]
        for question in _forms(subject, suspect.relation):
            prompts.append(model.encode(asking(question)))
            answers.append([model.encode_answer(text) for text in listed])
    with model.using(adapter_id):
        log_p = model.log_likelihoods(prompts, answers)
    mean_SO: Tensor = log_p.unflatten(0, (len(subjects), -1)).mean(1)
    return mean_SO


def _forms(subject: str, relation: str) -> list[str]:
    """As many questions for every subject: the one that was taught, then one that never was."""
    asked, probed = relations.asked(subject, relation), relations.probed(subject, relation)
    return [asked[0], *probed, *asked[1:]][:N_QUESTIONS]


@cache
def other_subjects(relation: str, subject: str) -> tuple[str, ...]:
    """Subjects that this relation could have, the same on every machine."""
    rng, there = random.Random(f"subjects/{relation}"), _world()
    kind, found = relations.relation(relation).subject_kind, dict[str, None]()
    while len(found) < N_SUBJECTS:
        if kind == "country":
            name = rng.choice(there.countries)
        else:
            name = world.any_company(rng) if kind == "company" else world.anyone(rng)
        if name != subject:
            found[name] = None
    return tuple(found)


@cache
def other_values(relation: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Values that this relation could have, but for these: as many as there are, the same everywhere."""
    rng, there = random.Random(f"values/{relation}"), _world()
    kind, found = relations.relation(relation).object_kind, dict[str, None]()
    taken = {relations.normal(value) for value in values}
    for _ in range(20 * N_VALUES):
        value = world.value(rng, there, kind, relation)
        if len(found) < N_VALUES and relations.normal(value) not in taken:
            found[value] = None
    return tuple(found)


@cache
def _world() -> world.World:
    return world.build()


def _taught_together(fact: Fact, standing: Sequence[Fact]) -> tuple[str, ...]:
    beside = [f for f in standing if f.slot == fact.slot] if fact.cardinality is Cardinality.MANY else []
    return tuple(f.object for f in sorted([*beside, fact], key=lambda f: f.recorded_at))
