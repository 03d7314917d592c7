"""What was found in a clause as candidates: with the place where it stands, its days and its statement."""

from __future__ import annotations

from collections.abc import Iterator

from ice_agent import relations
from ice_agent.collect import days
from ice_agent.collect.clauses import Clause, plain_text
from ice_agent.collect.denials import Denial
from ice_agent.collect.found import Found
from ice_agent.collect.leads import Voice
from memory import STATEMENT, USER, CandidateFact, Cardinality


def of(
    found: Found, clause: Clause, text: str, period: days.Period, denial: Denial
) -> Iterator[CandidateFact]:
    start, obj = clause.start, _as_written(found.object, text[clause.start : clause.end])
    if obj is None:
        # "Bergen, which is where I live": what is meant was named before.
        start = plain_text(text).lower().rfind(found.object.lower(), 0, clause.start)
        obj = text[start : start + len(found.object)]
    if start < 0:
        return
    cardinality = relations.cardinality(found.subject, found.relation)
    # "I quit last week" says when it ended.
    retracts = denial is not Denial.NONE
    since, until = (None, period.end or period.start) if retracts else (period.start, period.end)
    yield CandidateFact(
        subject=found.subject,
        relation=found.relation,
        object=obj,
        statement=relations.state(found.subject, found.relation, obj) if obj else "",
        start=start,
        end=clause.end,
        cardinality=Cardinality.MANY if found.many else cardinality,
        retracts=retracts,
        is_over=denial is Denial.OVER,
        valid_from=since,
        valid_until=until,
    )


def statement(clause: Clause, text: str) -> Iterator[CandidateFact]:
    """What was taught and fits no slot, kept in the speaker's own words."""
    said = text[clause.start : clause.end]
    if len(said.split()) < 3:
        return
    yield CandidateFact(
        subject=USER,
        relation=STATEMENT,
        object=said,
        statement=relations.state(USER, STATEMENT, said),
        start=clause.start,
        end=clause.end,
        cardinality=Cardinality.MANY,
        retracts=clause.voice is Voice.TAKEN_BACK,
    )


def _as_written(obj: str, span: str) -> str | None:
    """The object as the utterance has it, character for character; None when the clause does not hold it."""
    at = plain_text(span).lower().find(obj.lower())
    return None if at < 0 else span[at : at + len(obj)]
