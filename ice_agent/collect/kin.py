"""Who "my sister" is: what is told of her and what is told of Anna is of one subject, where one is known.

A pure function of what was found now and of whom the user named before. Of two sisters none is guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ice_agent import relations
from ice_agent.collect import forms
from memory import STATEMENT, USER, CandidateFact, Cardinality, Fact

RELATIONS = frozenset(relations.canonical(role) for role in (*forms.ROLES, *forms.RELATIVES))
"""The relations whose objects are people and animals that may be spoken of by them."""


def is_about_kin(candidate: CandidateFact) -> bool:
    """Whether it can matter who is known: it names somebody, or is not about the user."""
    return candidate.subject != USER or candidate.relation in RELATIONS


def resolved(candidates: Sequence[CandidateFact], known: Iterable[Fact]) -> tuple[CandidateFact, ...]:
    """The candidates with the name of whoever is spoken of as "the user's sister", and the other way round.

    `known` are the facts that stand in the user's `RELATIONS`; what is told now counts before them.
    """
    names = _names(candidates, known)
    return tuple(_renamed(candidate, names) for candidate in candidates)


def names_of(subject: str, known: Iterable[Fact]) -> tuple[str, ...]:
    """All that a subject goes by, its name first."""
    names = _names((), known)
    name = names.get(subject, subject)
    return (name, *_roles(name, names))


def _names(candidates: Sequence[CandidateFact], known: Iterable[Fact]) -> dict[str, str]:
    """ "the user's sister" -> "Anna", for every relation in which one alone is known."""
    named = defaultdict[str, dict[str, str]](dict)
    for fact in known:
        named[fact.relation][relations.normal(fact.object)] = fact.object
    for candidate in candidates:
        if candidate.subject != USER or candidate.relation not in RELATIONS or candidate.valid_until:
            continue
        if candidate.retracts:
            named[candidate.relation].pop(relations.normal(candidate.object), None)
            continue
        if candidate.cardinality is Cardinality.ONE:
            named[candidate.relation].clear()
        named[candidate.relation][relations.normal(candidate.object)] = candidate.object
    return {
        f"the user's {relation}": next(iter(names.values()))
        for relation, names in named.items()
        if len(names) == 1
    }


def _renamed(candidate: CandidateFact, names: Mapping[str, str]) -> CandidateFact:
    subject = names.get(candidate.subject, candidate.subject)
    roles = _roles(subject, names)
    if not roles:
        return candidate
    is_stated = candidate.object and candidate.relation != STATEMENT
    return replace(
        candidate,
        subject=subject,
        aliases=roles,
        statement=relations.state(subject, candidate.relation, candidate.object)
        if is_stated
        else candidate.statement,
    )


def _roles(name: str, names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(role for role, other in names.items() if relations.normal(other) == relations.normal(name))
