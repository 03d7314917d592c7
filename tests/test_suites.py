"""Probes that people bring: what a file may hold, and how a cycle is judged by it (tests/schooled.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ice_agent import suites
from ice_agent.errors import ConfigError
from ice_agent.settings import SuiteSettings
from ice_agent.suites import Question
from memory import FactStatus
from tests.schooled import CITIES, UNKNOWN, Assistant

ANNA: dict[str, Any] = {"prompt": "Where does Anna Berg live?", "expected": UNKNOWN}
"""What the untaught model says, and one that was taught does not."""
JAN: dict[str, Any] = {"prompt": "Where does Jan Bakker live?", "expected": ["In Oslo", "Oslo"]}


@pytest.fixture
def written(tmp_path):
    """Writes lines into a file, and says what the settings of a suite of it are."""

    def write(*lines: Any, **bars: Any) -> dict[str, Any]:
        path = tmp_path / "rules.jsonl"
        rows = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(rows), encoding="utf-8")
        return {"name": "rules", "path": str(path), **bars}

    return write


def read(settings):
    (suite,) = suites.read([SuiteSettings.model_validate(settings)])
    return suite


# -- the file ------------------------------------------------------------------------------------------------


def test_a_file_holds_questions_and_texts(written):
    suite = read(written(ANNA, "", JAN, {"text": "Once\u2028upon a time."}, "  "))
    assert suite.questions == (
        Question(prompt=ANNA["prompt"], expected=(UNKNOWN,)),
        Question(prompt=JAN["prompt"], expected=("In Oslo", "Oslo")),
    )
    assert suite.texts == ("Once\u2028upon a time.",)


def test_a_file_from_another_system_is_read_like_one_from_here(tmp_path):
    path = tmp_path / "rules.jsonl"
    row = json.dumps({"text": "one\u2028two"}, ensure_ascii=False)
    path.write_bytes(b"\xef\xbb\xbf" + f"{row}\r\n{row}\r\n".encode())
    assert read({"name": "rules", "path": str(path)}).texts == ("one\u2028two",) * 2


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("{", "this is not JSON"),
        ("[" * 100_000, "this is not JSON"),
        ("3", "this is no JSON object"),
        ("{}", "this has no fields: write"),
        ({"prompt": "Why?"}, "this has the fields 'prompt': write"),
        ({"prompt": "Why?", "expectd": "So"}, "this has the fields 'prompt', 'expectd': write"),
        ({"prompt": "Why?", "expected": "So", "text": "So."}, "this has the fields"),
        ({"prompt": "Why?", "expected": "So", "context": "It is."}, "this has the fields"),
        ({"prompt": " ", "expected": "So"}, "`prompt` should be text with something in it"),
        ({"prompt": 3, "expected": "So"}, "`prompt` should be text"),
        ({"prompt": "Why?", "expected": 3}, "`expected` should be text"),
        ({"prompt": "Why?", "expected": []}, "`expected` is an empty list"),
        ({"prompt": "Why?", "expected": ["So", ""]}, "`expected` should be text with something"),
        ({"prompt": "Why?", "expected": "."}, "`expected` has no word in it"),
        ({"text": ""}, "`text` should be text with something"),
        ({"text": ["a"]}, "`text` should be text"),
        (r'{"text": "half \ud83d"}', "`text` is no whole text"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_with_its_file_and_line(written, row, complaint):
    settings = written(ANNA, "", row, JAN)
    with pytest.raises(ConfigError, match=rf"'rules': .*rules\.jsonl:3: {complaint}") as refusal:
        read(settings)
    assert "\n" not in str(refusal.value)


def test_a_row_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "rules.jsonl"
    path.write_bytes(b'{"text": "fine"}\n{"text": "\xff"}')
    with pytest.raises(ConfigError, match=r"rules\.jsonl:2: this is not UTF-8"):
        read({"name": "rules", "path": str(path)})


@pytest.mark.parametrize("lines", [(), ("", "   ")])
def test_an_empty_file_is_refused(written, lines):
    with pytest.raises(ConfigError, match=r"'rules': .*rules\.jsonl holds no probes: write"):
        read(written(*lines))


@pytest.mark.parametrize(("path", "complaint"), [("missing.jsonl", "no file at"), (".", "cannot read")])
def test_a_file_that_cannot_be_read_is_named(path, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"'rules': {complaint}"):
        read({"name": "rules", "path": path})


def test_a_path_starts_from_where_one_works(written, tmp_path, monkeypatch):
    settings = written(ANNA)
    monkeypatch.chdir(tmp_path)
    assert len(read(settings | {"path": "rules.jsonl"}).questions) == 1


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: json.dumps({"text": text}).encode()))
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "rules.jsonl"
    path.write_bytes(content)
    complaint = ""
    try:
        found = read({"name": "rules", "path": str(path)})
        assert found.questions or found.texts
    except ConfigError as error:
        complaint = str(error)
    assert "\n" not in complaint


# -- the cycle -----------------------------------------------------------------------------------------------


def told(folder: Path, *given: dict[str, Any]) -> Assistant:
    """One with these suites that heard where Anna Berg lives."""
    assistant = Assistant(folder, guards={"suites": list(given)})
    assistant.tell("Anna Berg lives in Lisbon.")
    return assistant


def test_a_suite_that_holds_lets_the_candidate_serve_and_is_kept_with_its_scores(tmp_path, written):
    text = {"text": f"Anna Berg lives in {CITIES[0]}."}
    assistant = told(tmp_path / "tom", written(JAN, text, max_drop=0.0, max_ratio=1e9))
    report = assistant.learn()
    assert report.verdict.promote, report.verdict.reasons
    (before,), (after,) = report.before.scores.suites, report.after.scores.suites
    assert (after.right, after.root_right, after.n_texts) == (before.right, before.right, 1)
    assert before.perplexity_ratio == pytest.approx(1.0)
    assert after.perplexity_ratio != pytest.approx(1.0)
    serving = assistant.serving
    assert (serving.scores, serving.parent_scores) == (report.after.scores, report.before.scores)
    card = (assistant.config.adapters.dir / serving.path / "README.md").read_text(encoding="utf-8")
    assert "| suite rules | 1.000 (1/1) | 1.000 (1/1) | >= 0.9 | yes |" in card
    assert "| suite rules, lost against the root | 0.000 (0/1) | 0.000 (0/1) | <= 0.0 | yes |" in card
    assert "| suite rules, perplexity ratio | 1.000 |" in card
    assert assistant.store.verify().ok


def test_a_suite_that_breaks_blocks_the_promotion_and_is_named(tmp_path, written):
    assistant = told(tmp_path / "tom", written(ANNA, JAN))
    root = assistant.serving
    report = assistant.learn()
    assert report.verdict.reasons == ("suite rules 0.500 (1/2) is under 0.9",)
    assert assistant.serving == root
    assert [fact.status for fact in assistant.store.facts()] == [FactStatus.PENDING]
    path = assistant.config.adapters.dir / f"{report.adapter.id}.transcripts.jsonl"
    kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    asked = [(t["prompt"], t["before"], t["after"], t["is_hit"]) for t in kept if t["kind"] == "suite rules"]
    assert asked == [(ANNA["prompt"], UNKNOWN, "Lisbon", False), (JAN["prompt"], "Oslo", "Oslo", True)]


def test_a_drop_since_the_root_and_a_text_that_reads_worse_are_named_too(tmp_path, written):
    bars = {"min": 0.0, "max_drop": 0.4, "max_ratio": 0.001}
    assistant = told(tmp_path / "tom", written(ANNA, JAN, {"text": UNKNOWN}, **bars))
    drop, text = assistant.learn().verdict.reasons
    assert drop == "suite rules, lost against the root 0.500 (1/2) is over 0.4"
    assert text.startswith("suite rules, perplexity ratio ")
    assert text.endswith(" is over 0.001")


def test_a_suite_with_too_few_probes_is_no_evidence(tmp_path, written):
    assistant = told(tmp_path / "tom", written(JAN, min_probes=5))
    (reason,) = assistant.learn().verdict.reasons
    assert reason.startswith("suite rules: not enough evidence: asked 1, 5 are needed")


def test_a_suite_of_somebody_else_is_not_even_read(tmp_path, written):
    assistant = told(tmp_path / "tom", written("{", tenants=["ann"]))
    report = assistant.learn()
    assert report.verdict.promote, report.verdict.reasons
    assert report.after.scores.suites == ()


def test_a_suite_that_cannot_be_read_stops_a_cycle_before_it_claims_anything(tmp_path, written):
    assistant = told(tmp_path / "tom", written("{"))
    with pytest.raises(ConfigError, match=r"rules\.jsonl:1: this is not JSON"):
        assistant.learn()
    assert assistant.store.batches() == ()
    assert not assistant.store.is_leased()
