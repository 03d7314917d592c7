"""From the rows of a source to the facts that they tell: pure, but for what the settings say of relations.

A row that tells no fact is a problem with its place and, where it says that much, with the row that it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date
from typing import Any

from dateutil.parser import isoparse

from ice_agent import admission, relations
from ice_agent.refresh.reading import Problem, Row
from ice_agent.settings import FIELD, Collect, SourceSettings
from memory import USER, CandidateFact, Cardinality, SourceFact, is_storable, key

Key = tuple[str, ...]


class _Malformed(ValueError):
    """What is wrong with a row; it becomes a Problem where the row's place is known."""


def mapped(
    rows: Iterable[Row | Problem], source: SourceSettings, settings: Collect, *, is_shared: bool
) -> Iterator[SourceFact | Problem]:
    """What each row tells. The same row twice is one; of two that contradict each other, the first holds."""
    by_key = dict[Key, SourceFact]()
    by_slot = dict[tuple[str, str], SourceFact]()
    for row in rows:
        told = _told(row, source, settings, is_shared=is_shared) if isinstance(row, Row) else row
        if isinstance(told, SourceFact):
            candidate = told.candidate
            slot = (key(candidate.subject), candidate.relation)
            is_current = candidate.cardinality is Cardinality.ONE and candidate.valid_until is None
            before = by_key.get(told.key) or (by_slot.get(slot) if is_current else None)
            if before is None:
                by_key[told.key] = told
                if is_current:
                    by_slot[slot] = told
            elif _says(before) == _says(told):
                continue
            else:
                told = Problem(told.place, f"it contradicts {before.place}, which came first", told.key)
        yield told


def _says(told: SourceFact) -> tuple[object, ...]:
    candidate = told.candidate
    days = (candidate.valid_from, candidate.valid_until)
    return (key(candidate.subject), candidate.relation, key(candidate.object), *days)


def _told(row: Row, source: SourceSettings, settings: Collect, *, is_shared: bool) -> SourceFact | Problem:
    named: Key | None = None
    try:
        if source.key:
            named = tuple(_value(row.fields, field) for field in source.key)
        subject = relations.canonical_subject(_filled(source.subject, row.fields))
        relation = relations.canonical(_filled(source.relation, row.fields))
        if is_shared and key(subject) == USER:
            raise _Malformed('a shared lineage has no "user": name the person')
        values = relations.cardinality(subject, relation)
        if named is None and values is Cardinality.ONE:
            named = (subject.casefold(), relation)
        obj = _filled(source.object, row.fields)
        begins, ends = _day(source.valid_from, row.fields), _last_day(source.valid_until, row.fields)
        if begins and ends and ends < begins:
            raise _Malformed(f"it ends ({ends}) before it begins ({begins})")
    except _Malformed as error:
        return Problem(row.place, str(error), named)
    statement = relations.state(subject, relation, obj)
    found = CandidateFact(
        subject=subject,
        relation=relation,
        object=obj,
        statement=statement,
        start=0,
        end=len(statement),
        cardinality=values,
        valid_from=begins,
        valid_until=ends,
        confidence=source.trust,
    )
    candidate = admission.canonical(found, settings)
    return SourceFact(key=_key(source, named, candidate), place=row.place, candidate=candidate)


def _key(source: SourceSettings, named: Key | None, candidate: CandidateFact) -> Key:
    """What the row is known by: its key, or the slot that it fills, or one value of it."""
    if source.key and named is not None:
        return named
    slot = (candidate.subject.casefold(), candidate.relation)
    if candidate.cardinality is Cardinality.ONE and candidate.valid_until is None:
        return slot
    # Of a slot's past, and of a set, there may be many rows.
    return (*slot, candidate.object.casefold(), str(candidate.valid_from if candidate.valid_until else ""))


def _filled(template: str, fields: Mapping[str, Any]) -> str:
    """The template with the row's values put in; a field that is empty is as bad as one that is missing."""
    constant, *parts = FIELD.split(template)
    text = [constant]
    for name, after in zip(parts[::2], parts[1::2], strict=True):
        if not (value := _value(fields, name)):
            raise _Malformed(f"its field {name!r} is empty")
        text += (value, after)
    return "".join(text).strip()


def _value(fields: Mapping[str, Any], name: str) -> str:
    """The value of a field as text; "address.city" is looked for inside address, too."""
    value: Any = fields
    for part in (name,) if name in fields else name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise _Malformed(f"it has no field {name!r}")
        value = value[part]
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | Mapping | bytes) or (isinstance(value, float) and not math.isfinite(value)):
        raise _Malformed(f"its field {name!r} is no text or number")
    text = " ".join(str(value).split())
    if not is_storable(text):
        raise _Malformed(f"its field {name!r} holds a character that no database keeps")
    return text


def _day(template: str, fields: Mapping[str, Any]) -> date | None:
    """The day that a template gives; none where it gives nothing."""
    text = FIELD.sub(lambda field: _value(fields, field[1]), template).strip()
    if not text:
        return None
    try:
        moment = isoparse(text)
    except ValueError:
        raise _Malformed(f"{text!r} is no day: write it as 2026-01-31") from None
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()


def _last_day(template: str, fields: Mapping[str, Any]) -> date | None:
    """The same of an end, which a row that goes on need not even have a field for."""
    has_all = all(name in fields or "." in name for name in FIELD.findall(template))
    return _day(template, fields) if has_all else None
