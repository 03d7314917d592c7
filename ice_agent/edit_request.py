"""From facts to edit requests: what a slot must answer, what teaches it, which questions train and test it.

Words only. The store decides which facts are in a batch, the model what it makes of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ice_agent import relations
from ice_agent.relations import Relation
from memory import STATEMENT, USER, EditRequest, Fact

Slot = tuple[str, str]


def build_all(facts: Sequence[Fact], heard: dict[str, str] | None = None) -> tuple[EditRequest, ...]:
    """One request a slot: the values of a set-valued slot are taught together. Statements yield none.

    `heard` gives, by fact id, the words in which a fact was heard.
    """
    slots: dict[Slot, list[Fact]] = {}
    for fact in facts:
        if fact.relation != STATEMENT:
            slots.setdefault(fact.slot, []).append(fact)
    return tuple(build(group, heard or {}) for group in slots.values())


def build(facts: Sequence[Fact], heard: dict[str, str] | None = None) -> EditRequest:
    """The request that teaches one slot its current values. Raises ValueError for facts of several slots."""
    slots = {fact.slot for fact in facts}
    if len(slots) != 1:
        raise ValueError(f"a request is about one slot, got {sorted(slots)}")
    first = facts[0]
    return request(
        first.subject,
        first.relation,
        tuple(fact.object for fact in facts),
        fact_id=first.id,
        heard=tuple(words for fact in facts if (words := (heard or {}).get(fact.id))),
    )


def request(
    subject: str,
    relation_id: str,
    objects: tuple[str, ...],
    *,
    fact_id: str = "",
    heard: tuple[str, ...] = (),
) -> EditRequest:
    """The request for a slot and its values, without a store: benchmarks and tests make theirs so."""
    relation = relations.relation(relation_id)
    forms = relation.forms(subject)
    listed = relations.listed(objects)
    questions = [relations.fill(form, subject) for form in forms.questions]
    indirect, portability = _consequences(relation, subject, listed)
    return EditRequest(
        fact_id=fact_id,
        subject=subject,
        relation=relation_id,
        rewrite_prompt=questions[0],
        target=relations.fill(forms.answer, subject, listed),
        aliases=(listed,) if forms.answer != "{object}" else (),
        statement=relations.state(subject, relation_id, listed),
        contexts=_contexts(relation, subject, listed, heard),
        training_prompts=tuple(questions),
        indirect_prompts=indirect,
        rephrases=tuple(relations.fill(form, subject) for form in forms.rephrases),
        portability=portability,
    )


def _contexts(relation: Relation, subject: str, listed: str, heard: tuple[str, ...]) -> tuple[str, ...]:
    """System messages that state the fact: as the agent writes it, in other words, and as it was heard."""
    forms = relation.forms(subject)
    statements = [relations.fill(form, subject, listed) for form in forms.statements]
    worded = [relations.system_message("", [statement]) for statement in statements]
    if subject == USER:
        heard = heard or tuple(relations.fill(form, USER, listed) for form in forms.heard)
        worded += [relations.system_message("", [f"The user said: {words}"]) for words in heard]
    return tuple(dict.fromkeys(worded))


def _consequences(relation: Relation, subject: str, listed: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Questions one hop further: those that an edit may ask itself, and those that measure portability."""
    training = list(relations.asked_further(subject, relation.id))
    probes = list(relations.probed_further(subject, relation.id))
    if relation.id in relations.reversed_forms():
        forms = relations.reversed_forms()[relation.id]
        training += [relations.fill(form, subject, listed) for form in forms.questions]
        probes += [relations.fill(form, subject, listed) for form in forms.rephrases]
    return tuple(training), tuple(probes)
