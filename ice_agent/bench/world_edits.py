"""Edits of the reference world: half override what the model knows, half are new, some are about the user.

The world is known, so that the right answers to consequences and the neighbours' questions are known too.
"""

from __future__ import annotations

import random
from dataclasses import replace

from ice_agent import edit_request, relations
from ice_agent.errors import ConfigError
from ice_agent.model import EditableModel
from ice_agent.reference import world as w
from ice_agent.reference.corpus import Corpus, Told
from ice_agent.survey import Survey
from memory import USER, EditRequest

USER_RELATIONS = (*w.PERSON_RELATIONS, "name", *relations.relatives())
MOST = 20_000
# One fact in ten is about the user, but the user has only so many slots.
USER_SHARE = 0.1


def draw(world: w.World, n: int, seed: int) -> tuple[EditRequest, ...]:
    """n requests about n different slots, in a random order. Raises ConfigError for more than there are."""
    if n > MOST:
        raise ConfigError(
            f"the reference world has {MOST} edits, {n} were asked for (lower --facts or --batches)"
        )
    rng = random.Random(f"edits/{seed}")
    n_user = min(len(USER_RELATIONS), round(n * USER_SHARE))
    # Of a world that is taught over and over, half is left to ask for.
    n_known = min(n // 2, len(world.facts) // 2)
    facts = [_about(rng, world, USER, relation) for relation in rng.sample(USER_RELATIONS, n_user)]
    known = rng.sample(sorted(world.facts), n_known)
    facts += [_about(rng, world, *slot) for slot in known]
    taken = {(fact.subject, fact.relation) for fact in facts}
    strangers = _strangers(rng, world)
    while len(facts) < n:
        subject, pool = next(strangers)
        fact = _about(rng, world, subject, rng.choice(pool))
        if (fact.subject, fact.relation) not in taken:
            taken.add((fact.subject, fact.relation))
            facts.append(fact)
    rng.shuffle(facts)
    return tuple(_request(Corpus(world), fact, i) for i, fact in enumerate(facts))


def survey(world: w.World, seed: int, n_questions: int = 600) -> Survey:
    """The world's names, and questions about it in the forms set aside: what locality is measured on."""
    rng = random.Random(f"survey/{seed}")
    kinds = {"country": world.countries, "person": world.people, "company": world.companies}
    slots = rng.sample(sorted(world.facts), min(n_questions, len(world.facts)))
    return Survey(
        texts=(),
        questions=tuple(rng.choice(relations.probed(*slot)) for slot in slots),
        names=tuple((name, kind) for kind, names in kinds.items() for name in names),
    )


def texts(model: EditableModel, world: w.World, n: int = 300) -> list[list[int]]:
    """Documents about the world that no training saw, for perplexity."""
    corpus = Corpus(world, seed=4242)
    return [model.tokenizer(corpus.document(i), add_special_tokens=False)["input_ids"] for i in range(n)]


def _about(rng: random.Random, world: w.World, subject: str, relation: str) -> Told:
    kind = relations.relation(relation).object_kind
    while True:
        obj = w.value(rng, world, kind, relation)
        if obj != subject and (obj,) != world.facts.get((subject, relation)):
            return Told(subject=subject, relation=relation, objects=(obj,))


def _strangers(rng: random.Random, world: w.World):  # type: ignore[no-untyped-def]
    """Subjects that the model never read of, each once: held-out names first, then invented ones."""
    people, companies = (list(relations.held_out_entities(kind)) for kind in ("people", "companies"))
    rng.shuffle(people)
    rng.shuffle(companies)
    while True:
        if companies and rng.random() < 0.2:
            yield companies.pop(), w.COMPANY_RELATIONS
        else:
            yield (people.pop() if people else _invented(rng, world)), w.PERSON_RELATIONS


def _invented(rng: random.Random, world: w.World) -> str:
    while (name := w.anyone(rng)) in world.people:
        pass
    return name


def _request(corpus: Corpus, fact: Told, number: int) -> EditRequest:
    request = edit_request.request(fact.subject, fact.relation, fact.objects, fact_id=f"e{number}")
    answers: list[str] = []
    for hop in relations.hops():
        if hop.through == fact.relation:
            answers += [corpus.hop_answer(fact.subject, hop, [fact])] * len(hop.forms(fact.subject).rephrases)
    if fact.relation in relations.reversed_forms():
        answers += [fact.subject] * len(relations.reversed_forms()[fact.relation].rephrases)
    return replace(request, portability_answers=tuple((answer,) for answer in answers))
