"""How much of everyday English the rules hear, on utterances that somebody else wrote.

The rules of the first run, written before anybody had looked at the file, reach precision 0.953 and recall
0.872 by this measure (0.882 and 0.745 before it compared retractions and took dogs for pets). The classes of
errors that the file showed were then mended: today's figures are an upper bound of what new text would give.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ice_agent import relations
from ice_agent.collect import extract
from ice_agent.collect.rules import rules
from ice_agent.settings import Collect
from memory import USER, Utterance

HELD_OUT = Path(__file__).parent / "data" / "utterances_held_out.jsonl"
UNSEEN = HELD_OUT.with_name("utterances_held_out_for_memory.jsonl")
"""Written by somebody who saw no rules, and scored once by rules that had not seen it; spent since."""
UNSEEN_HASH = "f8f40c974a5a909988a6a1a4a1559f654d1ae2b9ae33382e67ed4ff35316795b"
LATER = HELD_OUT.with_name("utterances_held_out_later.jsonl")
"""Written before the rules were mended by what the file above had shown, by somebody who saw none of it.

Scored once by those rules (commit 55b60a7): precision 0.930, recall 0.589. Both bars of new text, 0.95 and
0.75, are missed: what is plainly said is not heard beside a question or small talk in the same sentence.
"""
LATER_HASH = "dd8d0aae7ab5798ec71d3fbc2684587d17d53768cc4d38f2d4fd36c24d65f020"
THIRD = HELD_OUT.with_name("utterances_held_out_third.jsonl")
"""Written by a third hand that saw neither rules nor files, before silence became a matter of clauses.

Scored once after that (commit aeb2d4a): precision 0.929, recall 0.565; the rules before it reach 0.911 and
0.353 on it. Both bars are missed on new text that is varied on purpose: for such text there is the language
model as extractor.
"""
THIRD_HASH = "83c518dca17f6006a2511252f3797dc99a08053fa08b4894a54b00f920da0619"
FOURTH = HELD_OUT.with_name("utterances_held_out_fourth.jsonl")
"""Written by a fourth hand that saw neither rules nor files, and committed unread.

Scored once after the round that two files of development text had fed (commit 0c9e205): precision 0.816,
recall 0.488, where the rules before it reach 0.768 and 0.411. Both bars are missed by far.
"""
FOURTH_HASH = "e50f6fe003fb2ff1f4041ea8c117469d07eb34c2bc7e5fc412d55b9503a731a9"
DEVELOPMENT = HELD_OUT.with_name("utterances_for_development.jsonl")
"""Five more hands; what the rules were mended by.

Of the last two, 220 utterances each, the first scorings were 0.853 / 0.454 (by commit 6428da6) and, once
the first was worked in, 0.830 / 0.557 (0.827 / 0.544 by 6428da6): what one writer shows hardly carries over
to the next.
"""


def test_precision_and_recall_on_held_out_utterances_hold():
    precision, recall, counts = _score(HELD_OUT)
    assert precision >= 0.99, counts
    assert recall >= 0.98, counts


def test_precision_and_recall_on_the_utterances_that_were_unseen_hold():
    """First scored by rules that had not seen it at 0.920 / 0.712 (commit 923321a).

    The classes of its errors were mended since: today's figures are an upper bound of what new text gives.
    """
    precision, recall, counts = _score(UNSEEN)
    assert precision >= 0.98, counts
    assert recall >= 0.94, counts


@pytest.mark.parametrize(
    ("path", "least_precision", "least_recall"),
    [(LATER, 0.97, 0.87), (DEVELOPMENT, 0.96, 0.77), (THIRD, 0.97, 0.67)],
    ids=lambda part: getattr(part, "stem", ""),
)
def test_what_the_rules_learned_to_hear_is_still_heard(path, least_precision, least_recall):
    """Today's figures on files that the rules have seen: a floor, and no measure of new text."""
    precision, recall, counts = _score(path)
    assert precision >= least_precision, counts
    assert recall >= least_recall, counts


def test_the_unseen_utterances_are_as_they_were_written():
    assert hashlib.sha256(UNSEEN.read_bytes()).hexdigest() == UNSEEN_HASH
    assert hashlib.sha256(LATER.read_bytes()).hexdigest() == LATER_HASH
    assert hashlib.sha256(THIRD.read_bytes()).hexdigest() == THIRD_HASH
    assert hashlib.sha256(FOURTH.read_bytes()).hexdigest() == FOURTH_HASH


def _score(path: Path) -> tuple[float, float, str]:
    """Precision, recall and the counts that they come from."""
    right = wrong = missed = 0
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        expected, heard = _expected(row), _heard(row["text"])
        right += (expected & heard).total()
        wrong += (heard - expected).total()
        missed += (expected - heard).total()
    precision, recall = right / (right + wrong), right / (right + missed)
    counts = f"precision {precision:.3f}, recall {recall:.3f} ({right} right, {wrong} wrong, {missed} missed)"
    return precision, recall, counts


def _expected(row: dict[str, Any]) -> Counter[tuple[str, str, str]]:
    return Counter(
        _plain(
            fact["subject"], f"{'retract:' * fact.get('retract', False)}{fact['relation']}", fact["object"]
        )
        for fact in row["facts"]
    )


def _heard(text: str) -> Counter[tuple[str, str, str]]:
    utterance = Utterance(id="u1", text=text, said_at=datetime(2026, 11, 20, tzinfo=UTC), speaker=USER)
    return Counter(
        _plain(candidate.subject, f"{'retract:' * candidate.retracts}{candidate.relation}", candidate.object)
        for candidate in extract(utterance, rules, Collect())
    )


def _plain(subject: str, relation: str, obj: str) -> tuple[str, str, str]:
    """Compared without case and articles, by the one name that the memory has for a relation.

    The files call a dog or cat a pet, a son or daughter a child; some call a best friend a friend, and a
    country's president its head of state.
    """
    value = obj.lower().strip(" .").removeprefix("the ").removeprefix("a ").removeprefix("an ")
    taken_back, _, name = relation.rpartition(":")
    known = relations.canonical(name)
    wider = {
        "dog": "pet", "cat": "pet", "son": "child", "daughter": "child", "best friend": "friend",
        "president": "head of state", "king": "head of state", "queen": "head of state",
    }.get(known, known)  # fmt: skip
    whose = relations.canonical_subject(subject.removeprefix("the ").lower())
    return (whose, f"{taken_back} {wider.replace('_', ' ')}", value)
