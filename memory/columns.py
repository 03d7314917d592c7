"""How values of the system lie in columns of the database, and in the entries that commit to them."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from memory.records import (
    CandidateFact,
    Cardinality,
    Rate,
    Scores,
    SuiteScores,
    Verdict,
)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC in and out. SQLite gives datetimes back naive, and a naive one is refused on the way in."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the memory keeps aware times only, got the naive {value.isoformat()}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ScoresText(sa.types.TypeDecorator[Scores]):
    """Scores as canonical JSON: rates as [hits, asked], ratios as numbers, suites as a list of the same."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Scores | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(plain_scores(value), sort_keys=True)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Scores | None:
        if value is None:
            return None
        metrics = json.loads(value)
        suites = tuple(SuiteScores(**_known(SuiteScores, suite)) for suite in metrics.pop("suites", ()))
        return Scores(**_known(Scores, metrics), suites=suites)


class VerdictText(sa.types.TypeDecorator[Verdict]):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Verdict | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(asdict(value), sort_keys=True)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Verdict | None:
        if value is None:
            return None
        verdict = json.loads(value)
        return Verdict(promote=verdict["promote"], reasons=tuple(verdict["reasons"]))


class DetailsText(sa.types.TypeDecorator[dict[str, str]]):
    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, str] | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(value, sort_keys=True, ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> dict[str, str] | None:
        return None if value is None else dict(json.loads(value))


class CandidateText(sa.types.TypeDecorator[CandidateFact]):
    """A candidate as JSON, its dates as ISO text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: CandidateFact | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(plain_candidate(value), sort_keys=True)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> CandidateFact | None:
        if value is None:
            return None
        plain = json.loads(value)
        for end in ("valid_from", "valid_until"):
            plain[end] = date.fromisoformat(plain[end]) if plain[end] else None
        plain["aliases"] = tuple(plain.get("aliases", ()))
        return CandidateFact(**plain | {"cardinality": Cardinality(plain["cardinality"])})


def plain_candidate(candidate: CandidateFact) -> dict[str, Any]:
    """A candidate as it is stored and committed to."""
    plain = asdict(candidate)
    for end in ("valid_from", "valid_until"):
        plain[end] = plain[end].isoformat() if plain[end] else None
    # Candidates were committed to before there were these: one without them is still the same.
    for later in ("aliases", "is_over"):
        if not plain[later]:
            del plain[later]
    return plain


def plain_scores(scores: Scores | SuiteScores) -> dict[str, Any]:
    """Scores as they are stored and committed to. What was not measured is left out, so that a metric that is
    added later changes no commitment made before it."""
    measured = ((f.name, getattr(scores, f.name), f.default) for f in fields(scores))
    return {name: _plain(m) for name, m, unmeasured in measured if m != unmeasured}


def _plain(measured: Any) -> Any:
    if isinstance(measured, tuple):
        return [plain_scores(suite) for suite in measured]
    return [measured.hits, measured.asked] if isinstance(measured, Rate) else measured


def _known(kind: type[Scores | SuiteScores], plain: dict[str, Any]) -> dict[str, Any]:
    """What this release has a name for."""
    names = plain.keys() & {f.name for f in fields(kind)}
    return {name: _metric(plain[name]) for name in names}


def _metric(measured: Any) -> Any:
    return Rate(hits=measured[0], asked=measured[1]) if isinstance(measured, list) else measured


def states(states: type[StrEnum]) -> sa.Enum:
    return sa.Enum(
        states, native_enum=False, length=16, values_callable=lambda members: [m.value for m in members]
    )
