"""What was true, and what we held true: the conditions of the two clocks that a question may ask by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, aliased

from memory.tables import FactRow, MentionRow, is_current, is_superseded


def holds(at: datetime) -> sa.ColumnElement[bool]:
    """What has begun by then, and not ended."""
    return sa.and_(FactRow.valid_from <= at, still_holds(at))


def is_over(at: datetime) -> sa.ColumnElement[bool]:
    """What stands, and was said to end on a day that has come by then."""
    return sa.and_(is_current, FactRow.valid_until <= at)


def outlives(at: datetime) -> sa.ColumnElement[bool]:
    """What was superseded by a value of a day to come, and holds until then."""
    return sa.and_(is_superseded, FactRow.valid_from <= at, FactRow.valid_until > at)


def still_holds(at: datetime) -> sa.ColumnElement[bool]:
    """What has not ended by then, by all we know now."""
    return sa.or_(FactRow.valid_until.is_(None), FactRow.valid_until > at)


def stood(as_of: datetime | None, recorded_as_of: datetime | None) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions of the two clocks."""
    if as_of is not None and recorded_as_of is None:
        yield FactRow.valid_from <= as_of
        yield still_holds(as_of)
    if as_of is not None and recorded_as_of is not None:
        yield _said_by(recorded_as_of, FactRow, MentionRow.valid_from, FactRow.stated_from) <= as_of
    if recorded_as_of is not None:
        yield FactRow.recorded_at <= recorded_as_of
        yield _was_held_true(as_of, recorded_as_of)


def _was_held_true(as_of: datetime | None, recorded_as_of: datetime) -> sa.ColumnElement[bool]:
    """An end that was recorded later was not yet known then; one that was taken back since was known."""
    newer = aliased(FactRow)
    superseding = sa.select(newer.id).where(
        newer.supersedes_id == FactRow.id,
        newer.recorded_at <= recorded_as_of,
        sa.or_(newer.ended_at.is_(None), newer.ended_at > recorded_as_of),
    )
    had_ended = FactRow.ended_at <= recorded_as_of
    had_not = sa.or_(FactRow.ended_at.is_(None), FactRow.ended_at > recorded_as_of)
    if as_of is None:
        return sa.and_(had_not, ~superseding.exists())
    said_end = _said_by(recorded_as_of, FactRow, MentionRow.valid_until, FactRow.stated_until)
    by_what_was_said = sa.or_(said_end.is_(None), said_end > as_of)
    began = _said_by(recorded_as_of, newer, MentionRow.valid_from, newer.stated_from)
    by_another = ~superseding.where(began <= as_of).exists()
    return sa.or_(
        sa.and_(had_ended, FactRow.valid_until > as_of), sa.and_(had_not, by_what_was_said, by_another)
    )


def _said_by(
    moment: datetime,
    fact: type[FactRow],
    mentioned: InstrumentedAttribute[Any],
    stated: InstrumentedAttribute[Any],
) -> sa.ColumnElement[datetime]:
    """A beginning or an end as it was known at a moment: by the last mention of it, or by the first words."""
    last = (
        sa.select(mentioned)
        .where(MentionRow.fact_id == fact.id, mentioned.is_not(None), MentionRow.dated_at <= moment)
        .order_by(MentionRow.number.desc())
        .limit(1)
    )
    return sa.func.coalesce(last.scalar_subquery(), stated)
