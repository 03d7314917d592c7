"""What was true, and what we held true: the conditions of the two clocks that a question may ask by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from memory.tables import FactRow


def still_holds(at: datetime) -> sa.ColumnElement[bool]:
    """What has not ended by then, by all we know now."""
    return sa.or_(FactRow.valid_until.is_(None), FactRow.valid_until > at)


def stood(as_of: datetime | None, recorded_as_of: datetime | None) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions of the two clocks."""
    if as_of is not None:
        yield FactRow.valid_from <= as_of
    if as_of is not None and recorded_as_of is None:
        yield still_holds(as_of)
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
    by_its_own_words = sa.or_(FactRow.stated_until.is_(None), FactRow.stated_until > as_of)
    by_another = ~superseding.where(newer.valid_from <= as_of).exists()
    return sa.or_(
        sa.and_(had_ended, FactRow.valid_until > as_of), sa.and_(had_not, by_its_own_words, by_another)
    )
