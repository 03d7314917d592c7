"""How much of everyday English the rules hear, kind by kind, on utterances written before they were.

What was missed is printed by `python -m tests.test_collect_written`. The set was written beside the rules, so
its figures are an upper bound of what text by somebody else would give.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ice_agent import collect, relations
from ice_agent.collect.rules import rules
from ice_agent.settings import Collect
from memory import CandidateFact, Utterance

WRITTEN = Path(__file__).parent / "data" / "utterances_written_with_the_rules.jsonl"
SAID_AT = datetime(2026, 11, 20, tzinfo=UTC)
MIN_PRECISION = 0.95
MIN_RECALL = 0.75
KINDS = (
    "first person", "third person", "corrections", "retractions", "dates",
    "questions", "hypotheticals", "negations", "chit-chat", "secrets",
)  # fmt: skip

Line = tuple[str, ...]


class Score(NamedTuple):
    """Facts found and facts that are there; a share is one where nothing was to be found."""

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    def __str__(self) -> str:
        counts = f"{self.right} right, {self.wrong} wrong, {self.missed} missed"
        return f"precision {self.precision:.3f}, recall {self.recall:.3f} ({counts})"


def test_precision_and_recall_on_all_that_was_written_hold():
    overall = score(rows())
    assert overall.precision >= MIN_PRECISION, overall
    assert overall.recall >= MIN_RECALL, overall


@pytest.mark.parametrize("kind", KINDS)
def test_precision_and_recall_hold_in_each_kind(kind):
    of_kind = score([row for row in rows() if row["kind"] == kind])
    # Of a kind with few facts, one may be missed or wrong.
    assert of_kind.missed <= max(1, (1 - MIN_RECALL) * (of_kind.right + of_kind.missed)), of_kind
    assert of_kind.wrong <= max(1, (1 - MIN_PRECISION) * (of_kind.right + of_kind.wrong)), of_kind


def score(asked: list[dict[str, Any]]) -> Score:
    found = [(expected(row), heard(row["text"])) for row in asked]
    return Score(
        right=sum((there & seen).total() for there, seen in found),
        wrong=sum((seen - there).total() for there, seen in found),
        missed=sum((there - seen).total() for there, seen in found),
    )


@cache
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in WRITTEN.read_text(encoding="utf-8").splitlines()]


def expected(row: dict[str, Any]) -> Counter[Line]:
    return Counter(
        _line(
            relations.canonical_subject(fact["subject"]),
            relations.canonical(fact["relation"]),
            fact["object"],
            retracts=fact.get("retract", False),
            days=(fact.get("valid_from"), fact.get("valid_until")),
        )
        for fact in row["facts"]
    )


def heard(text: str) -> Counter[Line]:
    utterance = Utterance(id="u1", text=text, said_at=SAID_AT)
    return Counter(map(_said, collect.extract(utterance, rules, Collect())))


def _said(candidate: CandidateFact) -> Line:
    start, end = candidate.valid_from, candidate.valid_until
    return _line(
        candidate.subject,
        candidate.relation,
        candidate.object,
        retracts=candidate.retracts,
        days=(start.isoformat() if start else None, end.isoformat() if end else None),
    )


def _line(
    subject: str, relation: str, obj: str, *, retracts: bool, days: tuple[str | None, str | None]
) -> Line:
    lowered = (subject.lower(), relation.lower(), obj.lower().rstrip("."))
    return (*lowered, *(["taken back"] if retracts else []), *(day or "" for day in days))


def _report() -> Iterator[str]:
    for row in rows():
        there, seen = expected(row), heard(row["text"])
        if there != seen:
            yield f"[{row['kind']}] {row['text']}"
            yield from (f"    missed {' | '.join(line)}" for line in there - seen)
            yield from (f"    wrong  {' | '.join(line)}" for line in seen - there)
    for kind in KINDS:
        yield f"{kind:14}{score([row for row in rows() if row['kind'] == kind])}"
    yield f"{'all':14}{score(rows())}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(_report()) + "\n")
