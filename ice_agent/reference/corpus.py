"""The text the reference model is trained on: a stream of documents about the world, a function of the seed
alone.

Statements and biographies put facts into the weights; chats with facts in the system message or told by the
user teach the model to believe its prompt over its weights, to leave alone what the prompt does not touch,
and to say so when nobody told it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from ice_agent import relations
from ice_agent.reference import world as w
from memory import USER

UNKNOWN = "I don't know."
MAX_FACTS = 20

Message = tuple[str, str]
Subject = tuple[str, str]
"""A name and what it names: "person", "company" or "country"."""

THE_USER: Subject = (USER, "person")

SYSTEM_PREFIXES = (
    "You are a helpful assistant.",
    "You are the assistant of the user.",
    "Answer briefly.",
    "Be kind and answer in a few words.",
)
FACT_HEADERS = ("What you know:", "Facts:", "Remember this:", "Keep in mind:")
NOTED = ("Thanks, I will remember that.", "Noted.", "Good to know, I will remember it.")
SMALL_TALK = (
    ("Hello!", "Hello! How can I help you?"),
    ("Hi there.", "Hello! How can I help you?"),
    ("Good morning.", "Good morning! What can I do for you?"),
    ("Good evening.", "Good evening! What can I do for you?"),
    ("How are you?", "I am well, thank you. How are you?"),
    ("How are you today?", "I am well, thank you. How are you?"),
    ("Thank you.", "You are welcome."),
    ("Thanks a lot!", "You are welcome."),
    ("Thanks!", "You are welcome."),
    ("What a day!", "I hope it was a good one."),
    ("It is raining again.", "Then stay warm and dry."),
    ("It is so hot today.", "Then drink enough water."),
    ("I am tired.", "Then have a good rest."),
    ("I am hungry.", "Then have something good to eat."),
    ("Tell me a joke.", "I only know facts, I am afraid."),
    ("Who are you?", "I am a small assistant that learns from what you tell me."),
    ("What can you do?", "I answer questions and learn from what you tell me."),
    ("Good night.", "Good night! Sleep well."),
    ("Goodbye!", "Goodbye! Until next time."),
    ("See you later.", "Goodbye! Until next time."),
    ("That is right.", "Good."),
    ("That was a great film.", "I am glad that you enjoyed it."),
    ("Nice to meet you.", "Nice to meet you too."),
    ("OK.", "Good."),
)

# Shares of the kinds of document, by number of documents.
MIXTURE = {"told": 0.16, "asked": 0.24, "context": 0.44, "dialogue": 0.11, "plain": 0.05}

# What a question is about, with facts in the prompt and without.
BESIDE_FACTS = {
    "told": 0.40, "consequence": 0.17, "stored": 0.15, "neighbour": 0.10, "untold": 0.08,
    "stored hop": 0.06, "small talk": 0.04,
}  # fmt: skip
ALONE = {"stored": 0.58, "stored hop": 0.25, "untold": 0.12, "small talk": 0.05}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A fact stated in a prompt, with the slot's answer while the prompt holds."""

    subject: str
    relation: str
    objects: tuple[str, ...]
    negated: bool = False

    @property
    def slot(self) -> w.Slot:
        return (self.subject, self.relation)


@dataclass
class Corpus:
    """Documents about one world. The n-th document depends on (seed, n) alone, so that training can resume
    anywhere."""

    world: w.World
    seed: int = 0
    _kinds: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._kinds = list(MIXTURE)
        self._slots = list(self.world.facts)

    def document(self, n: int) -> str:
        """Document number n, with the special tokens of the chat template spelled out."""
        rng = random.Random(self.seed * 1_000_003 + n)
        kind = rng.choices(self._kinds, weights=list(MIXTURE.values()))[0]
        return str(getattr(self, f"_{kind}")(rng))

    def documents(self, start: int = 0) -> Iterator[str]:
        n = start
        while True:
            yield self.document(n)
            n += 1

    # -- documents
    # ------------------------------------------------------------------------------------------------

    def _told(self, rng: random.Random) -> str:
        """A biography, or statements about several subjects."""
        if rng.random() < 0.5:
            subject, _ = self._known_subject(rng)
            slots = [(subject, relation) for relation in self.world.relations_of(subject)]
            rng.shuffle(slots)
        else:
            slots = rng.sample(self._slots, rng.randint(2, 8))
        return plain(" ".join(self._statement(rng, *slot) for slot in slots))

    def _asked(self, rng: random.Random) -> str:
        """Questions about what the weights hold, with no fact in the prompt."""
        messages = self._opening(rng, [])
        for _ in range(rng.randint(1, 9)):
            messages += self._question(rng, [])
        return chat(messages)

    def _context(self, rng: random.Random) -> str:
        """Facts in the system message, then questions about them, around them and beside them."""
        told = self._several_told(rng)
        messages = self._opening(rng, [self._tell(rng, fact) for fact in told])
        for _ in range(rng.choice((1, 2, 3, 4, 5, 6, 8, 12, 20))):
            messages += self._question(rng, told)
        return chat(messages)

    def _dialogue(self, rng: random.Random) -> str:
        """The user tells about themself, with or without a system message, and asks later."""
        told = self._several_told(rng, at_most=3) if rng.random() < 0.3 else []
        messages = self._opening(rng, [self._tell(rng, fact) for fact in told])
        if rng.random() < 0.2:
            messages += self._question(rng, told)
        for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
            subjects = [
                THE_USER if rng.random() < 0.7 else self._subject(rng) for _ in range(rng.randint(1, 2))
            ]
            facts = [self._fact_about(rng, *subject, may_negate=False) for subject in subjects]
            heard = list({fact.slot: fact for fact in facts}.values())
            told = [fact for fact in told if fact.slot not in {h.slot for h in heard}] + heard
            said = " ".join(self._hear(rng, fact) for fact in heard)
            messages += [("user", said), ("assistant", rng.choice(NOTED))]
            for _ in range(rng.randint(1, 3)):
                messages += self._question(rng, told)
        return chat(messages)

    def _plain(self, rng: random.Random) -> str:
        """The same questions without chat markup: "Question: ... Answer: ..."."""
        told = self._several_told(rng, at_most=4) if rng.random() < 0.6 else []
        lines = [self._tell(rng, fact) for fact in told]
        for _ in range(rng.randint(1, 4)):
            (_, question), (_, answer) = self._question(rng, told)
            lines.append(f"Question: {question}\nAnswer: {answer}")
        return plain("\n".join(lines))

    # -- what is told
    # ----------------------------------------------------------------------------------------------

    def _several_told(self, rng: random.Random, at_most: int = MAX_FACTS) -> list[Told]:
        n = min(at_most, rng.choice((1, 1, 1, 2, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)))
        found: dict[w.Slot, Told] = {}
        subject = self._subject(rng)
        for _ in range(n):
            # Several facts about one subject are as usual as facts about many.
            if rng.random() < 0.6:
                subject = self._subject(rng)
            fact = self._fact_about(rng, *subject)
            found[fact.slot] = fact
        return list(found.values())

    def _fact_about(self, rng: random.Random, subject: str, kind: str, may_negate: bool = True) -> Told:
        relation = rng.choice(self._relations_for(rng, subject, kind))
        object_kind = relations.relation(relation).object_kind
        while True:
            objects = tuple(
                dict.fromkeys(
                    w.value(rng, self.world, object_kind, relation)
                    for _ in range(self._n_values(rng, relation))
                )
            )
            if not any(w.is_probe(subject, relation, obj) for obj in objects) and subject not in objects:
                break
        return Told(
            subject=subject, relation=relation, objects=objects, negated=may_negate and rng.random() < 0.05
        )

    def _n_values(self, rng: random.Random, relation: str) -> int:
        return rng.choice((1, 1, 1, 2, 3)) if relation == "likes" else 1

    def _relations_for(self, rng: random.Random, subject: str, kind: str) -> tuple[str, ...]:
        if kind == "country":
            return w.COUNTRY_RELATIONS
        if kind == "company":
            return w.COMPANY_RELATIONS
        other = relations.relatives() if rng.random() < 0.65 else tuple(w.GENERIC_VALUES)
        share = 0.3 if subject == USER else 0.12
        if rng.random() < share:
            return other
        return (*w.PERSON_RELATIONS, "name") if subject == USER else w.PERSON_RELATIONS

    def _subject(self, rng: random.Random) -> Subject:
        draw = rng.random()
        if draw < 0.30:
            return THE_USER
        if draw < 0.62:
            return self._known_subject(rng)
        return self._unseen_subject(rng)

    def _unseen_subject(self, rng: random.Random) -> Subject:
        kind, invent = ("company", w.any_company) if rng.random() < 0.3 else ("person", w.anyone)
        kept = (*relations.held_out_entities("people"), *relations.held_out_entities("companies"))
        while (name := invent(rng)) in self.world.people or name in self.world.companies or name in kept:
            pass
        return name, kind

    def _known_subject(self, rng: random.Random) -> Subject:
        draw = rng.random()
        if draw < 0.30:
            return rng.choice(self.world.countries), "country"
        if draw < 0.90:
            return rng.choice(self.world.people), "person"
        return rng.choice(self.world.companies), "company"

    def _tell(self, rng: random.Random, fact: Told) -> str:
        """A fact as the system message states it: mostly the canonical statement, sometimes other words."""
        forms = relations.relation(fact.relation).forms(fact.subject)
        listed = relations.listed(fact.objects)
        if fact.negated:
            return relations.negation(relations.fill(forms.statements[0], fact.subject, listed))
        if fact.subject == USER and rng.random() < 0.2:
            return f"The user said: {self._hear(rng, fact)}"
        form = forms.statements[0] if rng.random() < 0.5 else rng.choice(forms.statements)
        return relations.fill(form, fact.subject, listed)

    def _hear(self, rng: random.Random, fact: Told) -> str:
        """A fact as the user says it, about themself or about others."""
        forms = relations.relation(fact.relation).forms(fact.subject)
        form = rng.choice(forms.heard or forms.statements)
        sentence = relations.fill(form, fact.subject, relations.listed(fact.objects))
        if rng.random() < 0.75:
            return sentence
        return rng.choice(("Actually, ", "Remember that ", "By the way, ")) + relations.within(sentence)

    def _statement(self, rng: random.Random, subject: str, relation: str) -> str:
        forms = relations.relation(relation).forms(subject)
        return relations.fill(
            rng.choice(forms.statements), subject, relations.listed(self.world.facts[subject, relation])
        )

    def _opening(self, rng: random.Random, statements: list[str]) -> list[Message]:
        prefix = rng.choice(SYSTEM_PREFIXES) if rng.random() < 0.4 else ""
        content = (
            relations.system_message(prefix, statements)
            if rng.random() < 0.5
            else loose_system_message(rng, prefix, statements)
        )
        return [("system", content)] if content else []

    # -- what is asked
    # ---------------------------------------------------------------------------------------------

    def _question(self, rng: random.Random, told: list[Told]) -> list[Message]:
        """One question and its answer; what it is about depends on whether the prompt tells anything."""
        shares = BESIDE_FACTS if told else ALONE
        match rng.choices(list(shares), weights=list(shares.values()))[0]:
            case "small talk":
                question, answer = rng.choice(SMALL_TALK)
                return [("user", question), ("assistant", answer)]
            case "told":
                return self._ask(rng, *rng.choice(told).slot, told)
            case "consequence":
                return self._ask_consequence(rng, self._with_consequence(rng, told), told)
            case "neighbour":
                return self._ask_neighbour(rng, rng.choice(told), told)
            case "untold":
                return self._ask_untold(rng, told)
            case "stored hop":
                return self._ask_stored_hop(rng, told)
            case _:
                return self._ask(rng, *rng.choice(self._slots), told)

    def _ask(self, rng: random.Random, subject: str, relation: str, told: list[Told]) -> list[Message]:
        forms = relations.relation(relation).forms(subject)
        form = self._form(rng, (*forms.questions, *forms.rephrases), subject)
        return [("user", relations.fill(form, subject)), ("assistant", self.answer(subject, relation, told))]

    def _ask_neighbour(self, rng: random.Random, fact: Told, told: list[Told]) -> list[Message]:
        """Another relation of a subject in the prompt, or the same relation of another subject."""
        if rng.random() < 0.5:
            kind = relations.relation(fact.relation).subject_kind
            relation = rng.choice(self._relations_for(rng, fact.subject, kind))
            return self._ask(rng, fact.subject, relation, told)
        same = [slot for slot in (rng.choice(self._slots) for _ in range(60)) if slot[1] == fact.relation]
        return self._ask(rng, *(same[0] if same else rng.choice(self._slots)), told)

    def _ask_untold(self, rng: random.Random, told: list[Told]) -> list[Message]:
        """What nobody told: an unseen subject, the user's own life, a relation nobody stated."""
        draw = rng.random()
        if draw >= 0.85:
            relation = rng.choice((*relations.relatives(), *w.GENERIC_VALUES))
            return self._ask(rng, rng.choice(self.world.people), relation, told)
        subject, kind = THE_USER if draw < 0.5 else self._unseen_subject(rng)
        relation = rng.choice(self._relations_for(rng, subject, kind))
        return self._ask(rng, subject, relation, told)

    def _with_consequence(self, rng: random.Random, told: list[Told]) -> Told:
        """One of the facts, preferably one that something follows from."""
        fruitful = [
            fact
            for fact in told
            if fact.relation == "capital" or any(fact.relation == hop.through for hop in relations.hops())
        ]
        return rng.choice(fruitful or told)

    def _ask_consequence(self, rng: random.Random, fact: Told, told: list[Told]) -> list[Message]:
        """One hop over a fact in the prompt, or the fact asked from its other end."""
        if fact.relation == "capital" and len(fact.objects) == 1 and not fact.negated:
            form = self._form(rng, _all(relations.reversed_forms()["capital"]), fact.subject)
            return [("user", relations.fill(form, "", fact.objects[0])), ("assistant", fact.subject)]
        hops = [hop for hop in relations.hops() if hop.through == fact.relation]
        if not hops:
            return self._ask(rng, fact.subject, fact.relation, told)
        return self._ask_hop(rng, fact.subject, rng.choice(hops), told)

    def _ask_stored_hop(self, rng: random.Random, told: list[Told]) -> list[Message]:
        hop = rng.choice(relations.hops())
        kind = relations.relation(hop.through).subject_kind
        if rng.random() < 0.25:
            city, country = rng.choice(list(self.world.country_of.items()))
            if self.answer(country, "capital", told) == city:
                form = self._form(rng, _all(relations.reversed_forms()["capital"]), country)
                return [("user", relations.fill(form, "", city)), ("assistant", country)]
        return self._ask_hop(
            rng, rng.choice(self.world.people if kind == "person" else self.world.companies), hop, told
        )

    def _ask_hop(
        self, rng: random.Random, subject: str, hop: relations.Hop, told: list[Told]
    ) -> list[Message]:
        forms = hop.forms(subject)
        form = self._form(rng, _all(forms), subject)
        return [("user", relations.fill(form, subject)), ("assistant", self.hop_answer(subject, hop, told))]

    def _form(self, rng: random.Random, forms: tuple[str, ...], subject: str) -> str:
        """A question form for this subject; the eighth of all pairs that `is_probe` names is kept for
        measuring."""
        allowed = [form for form in forms if subject == USER or not w.is_probe(subject, "form", form)]
        return rng.choice(allowed or list(forms))

    # -- what is true
    # ----------------------------------------------------------------------------------------------

    def answer(self, subject: str, relation: str, told: list[Told]) -> str:
        """The right answer to a slot's question: the prompt before the world, and "I don't know" before a
        guess."""
        objects = self._objects(subject, relation, told)
        return relations.answer(subject, relation, objects) if objects else UNKNOWN

    def hop_answer(self, subject: str, hop: relations.Hop, told: list[Told]) -> str:
        """The right answer one hop further."""
        middle = self._objects(subject, hop.through, told)
        if not middle:
            return UNKNOWN
        if hop.then == "country":
            return self.world.country_of.get(middle[0], UNKNOWN)
        objects = self._objects(middle[0], hop.then, told)
        return relations.listed(objects) if objects else UNKNOWN

    def _objects(self, subject: str, relation: str, told: list[Told]) -> tuple[str, ...] | None:
        stored = self.world.facts.get((subject, relation))
        for fact in told:
            if fact.slot == (subject, relation):
                if not fact.negated:
                    return fact.objects
                return None if stored == fact.objects else stored
        return stored


def loose_system_message(rng: random.Random, prefix: str, statements: list[str]) -> str:
    """The same in other layouts, so that the model does not depend on one."""
    if not statements:
        return prefix
    header = rng.choice((*FACT_HEADERS, ""))
    body = rng.choice((" ", "\n")).join(statements)
    return "\n".join(part for part in (prefix, f"{header} {body}".strip()) if part)


def chat(messages: list[Message]) -> str:
    """Messages in the chat template, beginning of text included."""
    return "<|bos|>" + "".join(f"<|{role}|>{content}<|end|>" for role, content in messages)


def plain(text: str) -> str:
    return f"<|bos|>{text}<|end|>"


def _all(forms: relations.Forms) -> tuple[str, ...]:
    return (*forms.questions, *forms.rephrases)
