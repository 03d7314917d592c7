"""What may be kept of a candidate fact, whoever found it, and what no weights learn before a person says so.

Collecting and refreshing both ask here: a secret is none the less one for standing in a feed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace

from ice_agent import relations
from ice_agent.admission import conflicts
from ice_agent.admission.injection import injected
from ice_agent.admission.sensitive import is_off_record, secret_spans
from ice_agent.settings import Collect
from memory import SENSITIVE, CandidateFact, Cardinality, FactStore, now

__all__ = [
    "canonical", "injected", "is_off_record", "is_refused", "is_too_unsure", "kept_from_weights",
    "needs_review", "secret_spans",
]  # fmt: skip

logger = logging.getLogger(__name__)


def canonical(found: CandidateFact, settings: Collect) -> CandidateFact:
    """The fact in the one name of its relation, whoever found it in whatever words.

    How many values a relation has is said by the settings, else by relations.toml, else by who found it.
    """
    relation = relations.canonical(found.relation)
    subject = relations.canonical_subject(found.subject)
    candidate = found
    if (subject, relation) != (found.subject, found.relation):
        statement = relations.state(subject, relation, found.object) if found.object else found.statement
        candidate = replace(found, subject=subject, relation=relation, statement=statement)
    return replace(candidate, cardinality=_cardinality(candidate, settings))


def is_refused(candidate: CandidateFact, secrets: tuple[tuple[int, int], ...], settings: Collect) -> bool:
    """Whether it must not be kept at all; `secrets` are the spans of them in the text it was found in."""
    refuses = settings.sensitive_policy == "refuse"
    is_named = refuses and candidate.relation in relations.sensitive(settings.sensitive_relations)
    overlaps = any(candidate.start < end and start < candidate.end for start, end in secrets)
    # A model may quote one thing and write another: what it wrote is read as well.
    is_written = bool(secret_spans(f"{candidate.relation} is {candidate.object}", settings.sensitive))
    if is_named or overlaps or is_written:
        logger.info("a sensitive fact (%s) was not kept", "relation" if is_named else "text")
    return is_named or overlaps or is_written


def needs_review(candidate: CandidateFact, settings: Collect) -> bool:
    """Whether a person has to approve it before it is a fact.

    What is addressed to a model would be read by one as soon as it is a fact, from the prompt. A statement
    may be: there the words are the user's own.
    """
    parts = (candidate.subject, candidate.relation, candidate.object)
    is_injected = not candidate.retracts and any(map(injected, parts))
    return is_injected or is_too_unsure(candidate.confidence, settings)


def is_too_unsure(confidence: float, settings: Collect) -> bool:
    """Whether what is so sure waits for a person, whatever it says."""
    return settings.approval == "manual" or confidence < settings.min_confidence


def kept_from_weights(
    store: FactStore, candidate: CandidateFact, settings: Collect, told_with: Collection[CandidateFact]
) -> str | None:
    """Why a fact may be served from the prompt, and is taught to no weights until a person releases it.

    What the same words take back stands against nothing: "I hate olives now" ends a liking.
    """
    if candidate.relation in relations.sensitive(settings.sensitive_relations):
        return SENSITIVE
    others = conflicts.rivals(candidate.relation)
    if candidate.retracts or candidate.valid_until or not others:
        return None
    over = {(one.subject, one.relation, relations.normal(one.object)) for one in told_with if one.retracts}
    standing = (
        fact
        for fact in store.facts(subject=candidate.subject, relation=others)
        if (*fact.slot, relations.normal(fact.object)) not in over
    )
    against = [fact.statement for fact in conflicts.conflicting(candidate, standing, now().date())]
    return f"it cannot be true together with: {' '.join(against)}" if against else None


def _cardinality(candidate: CandidateFact, settings: Collect) -> Cardinality:
    for names, said in ((settings.set_valued, Cardinality.MANY), (settings.functional, Cardinality.ONE)):
        if candidate.relation in map(relations.canonical, names):
            return said
    return candidate.cardinality
