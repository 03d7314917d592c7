"""What the reference model can do, measured by free generation on combinations that its training never
showed."""

from __future__ import annotations

import random
from itertools import count, islice

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ice_agent import relations
from ice_agent.reference import world as w
from ice_agent.reference.corpus import UNKNOWN, Corpus, Told
from memory import USER, Rate

Probe = tuple[str, str, str]
"""System message, question, right answer."""


def measure(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: w.World, asked: int = 500
) -> dict[str, Rate]:
    """The share of right answers by ability, `asked` prompts each."""
    suite = Suite(world)
    rates = {}
    for name in suite.abilities():
        probes = suite.probes(name, asked)
        answers = generate(model, tokenizer, [probe[:2] for probe in probes])
        rates[name] = Rate(
            hits=sum(a == probe[2] for a, probe in zip(answers, probes, strict=True)), asked=len(probes)
        )
    return rates


def generate(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[tuple[str, str]],
    rows: int = 100,
) -> list[str]:
    """Greedy answers, natural stop, in the order of the prompts."""
    answers = []
    for at in range(0, len(prompts), rows):
        chats = [_messages(system, question) for system, question in prompts[at : at + rows]]
        texts = [
            tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats
        ]
        batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt").to(model.device)
        batch.pop("token_type_ids", None)
        with torch.inference_mode():
            ids = model.generate(**batch, max_new_tokens=24, do_sample=False)
        answers += tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return [answer.strip() for answer in answers]


class Suite:
    """Probes by ability. Facts in prompts are combinations that `world.is_probe` kept out of training."""

    def __init__(self, world: w.World, seed: int = 1) -> None:
        self.world = world
        self.seed = seed
        self.corpus = Corpus(world)

    def abilities(self) -> tuple[str, ...]:
        return (
            "stored", "override", "unseen_subject", "first_person", "unrelated_beside_facts",
            "hop_over_context", "hop_stored", "unknown", "unseen_form_stored",
            "unseen_form_context", "negation",
        )  # fmt: skip

    def probes(self, ability: str, n: int) -> list[Probe]:
        rng = random.Random(f"{self.seed}/{ability}")
        return list(islice(iter(lambda: getattr(self, f"_{ability}")(rng), None), n))

    def _stored(self, rng: random.Random) -> Probe:
        subject, relation = self._stored_slot(rng)
        forms = relations.relation(relation).third
        unused = [f for f in (*forms.questions, *forms.rephrases) if w.is_probe(subject, "form", f)]
        if not unused:
            return self._stored(rng)
        return "", relations.fill(rng.choice(unused), subject), self.corpus.answer(subject, relation, [])

    def _override(self, rng: random.Random) -> Probe:
        fact = self._fact(rng, *self._stored_slot(rng))
        return self._asked_about(rng, fact, self._with_others(rng, fact))

    def _unseen_subject(self, rng: random.Random) -> Probe:
        return self._asked_about(rng, fact := self._unseen_fact(rng), self._with_others(rng, fact))

    def _first_person(self, rng: random.Random) -> Probe:
        fact = self._user_fact(rng)
        return self._asked_about(rng, fact, self._with_others(rng, fact))

    def _unrelated_beside_facts(self, rng: random.Random) -> Probe:
        told = self._with_others(rng, self._any_fact(rng))
        slots = {fact.slot for fact in told}
        while (slot := self._stored_slot(rng)) in slots:
            pass
        return self._system(told), self._question(rng, *slot), self.corpus.answer(*slot, told)

    def _hop_over_context(self, rng: random.Random) -> Probe:
        hop = rng.choice(relations.hops())
        kind = relations.relation(hop.through).subject_kind
        subject = rng.choice(self.world.people if kind == "person" else self.world.companies)
        if kind == "person" and rng.random() < 0.4:
            subject = rng.choice((USER, rng.choice(relations.held_out_entities("people"))))
        fact = self._fact(rng, subject, hop.through)
        told = self._with_others(rng, fact)
        answer = self.corpus.hop_answer(subject, hop, told)
        if answer == UNKNOWN:
            return self._hop_over_context(rng)
        forms = hop.forms(subject)
        return (
            self._system(told),
            relations.fill(rng.choice((*forms.questions, *forms.rephrases)), subject),
            answer,
        )

    def _hop_stored(self, rng: random.Random) -> Probe:
        hop = rng.choice(relations.hops())
        kind = relations.relation(hop.through).subject_kind
        subject = rng.choice(self.world.people if kind == "person" else self.world.companies)
        forms = hop.third
        unused = [f for f in (*forms.questions, *forms.rephrases) if w.is_probe(subject, "form", f)]
        answer = self.corpus.hop_answer(subject, hop, [])
        if not unused or answer == UNKNOWN:
            return self._hop_stored(rng)
        return "", relations.fill(rng.choice(unused), subject), answer

    def _unknown(self, rng: random.Random) -> Probe:
        told = self._with_others(rng, self._any_fact(rng)) if rng.random() < 0.5 else []
        subject = rng.choice(
            (USER, rng.choice(relations.held_out_entities("people")), rng.choice(self.world.people))
        )
        pool = (
            relations.relatives()
            if subject in self.world.people
            else (*w.PERSON_RELATIONS, *relations.relatives())
        )
        relation = rng.choice(pool)
        if any(fact.slot == (subject, relation) for fact in told):
            return self._unknown(rng)
        return self._system(told), self._question(rng, subject, relation), UNKNOWN

    def _unseen_form_stored(self, rng: random.Random) -> Probe:
        subject, relation = self._stored_slot(rng)
        question = relations.fill(rng.choice(relations.relation(relation).third.unseen), subject)
        return "", question, self.corpus.answer(subject, relation, [])

    def _unseen_form_context(self, rng: random.Random) -> Probe:
        fact = self._fact(rng, *self._stored_slot(rng))
        told = self._with_others(rng, fact)
        question = relations.fill(rng.choice(relations.relation(fact.relation).third.unseen), fact.subject)
        return self._system(told), question, self.corpus.answer(*fact.slot, told)

    def _negation(self, rng: random.Random) -> Probe:
        fact = self._user_fact(rng) if rng.random() < 0.5 else self._fact(rng, *self._stored_slot(rng))
        negated = Told(subject=fact.subject, relation=fact.relation, objects=fact.objects, negated=True)
        return self._asked_about(rng, negated, self._with_others(rng, negated))

    def _asked_about(self, rng: random.Random, fact: Told, told: list[Told]) -> Probe:
        return self._system(told), self._question(rng, *fact.slot), self.corpus.answer(*fact.slot, told)

    def _with_others(self, rng: random.Random, fact: Told) -> list[Told]:
        """The fact among up to nineteen others about other slots."""
        others = {fact.slot: fact}
        for _ in range(rng.choice((0, 0, 1, 2, 4, 8, 14, 19))):
            other = self._any_fact(rng)
            others.setdefault(other.slot, other)
        told = list(others.values())
        rng.shuffle(told)
        return told

    def _any_fact(self, rng: random.Random) -> Told:
        draw = rng.random()
        if draw < 0.35:
            return self._user_fact(rng)
        return self._unseen_fact(rng) if draw < 0.6 else self._fact(rng, *self._stored_slot(rng))

    def _user_fact(self, rng: random.Random) -> Told:
        return self._fact(rng, USER, rng.choice((*w.PERSON_RELATIONS, "name", *relations.relatives())))

    def _unseen_fact(self, rng: random.Random) -> Told:
        if rng.random() < 0.15:
            return self._fact(
                rng, rng.choice(relations.held_out_entities("companies")), rng.choice(w.COMPANY_RELATIONS)
            )
        return self._fact(
            rng, rng.choice(relations.held_out_entities("people")), rng.choice(w.PERSON_RELATIONS)
        )

    def _fact(self, rng: random.Random, subject: str, relation: str) -> Told:
        kind = relations.relation(relation).object_kind
        stored = self.world.facts.get((subject, relation))
        for draw in count():
            obj = w.value(rng, self.world, kind, relation)
            # A small pool (six continents) may hold no combination that was kept out of training: then any
            # value does.
            if (obj,) != stored and obj != subject and (w.is_probe(subject, relation, obj) or draw > 300):
                break
        return Told(subject=subject, relation=relation, objects=(obj,))

    def _stored_slot(self, rng: random.Random) -> w.Slot:
        return rng.choice(list(self.world.facts))

    def _question(self, rng: random.Random, subject: str, relation: str) -> str:
        forms = relations.relation(relation).forms(subject)
        return relations.fill(rng.choice((*forms.questions, *forms.rephrases)), subject)

    def _system(self, told: list[Told]) -> str:
        statements = []
        for fact in told:
            statement = relations.state(fact.subject, fact.relation, relations.listed(fact.objects))
            statements.append(relations.negation(statement) if fact.negated else statement)
        return relations.system_message("", statements)


def _messages(system: str, question: str) -> list[dict[str, str]]:
    user = {"role": "user", "content": question}
    return [{"role": "system", "content": system}, user] if system else [user]
