"""The demo holds what it promises, on the bundled model; and what it cannot play it refuses in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ice_agent import collect, demo, relations
from ice_agent.settings import Collect

PROJECT = Path(__file__).parents[1]
TRANSCRIPT = PROJECT / "examples" / "amara.txt"


def test_the_transcript_has_corrections_and_small_talk(tmp_path):
    said = demo.utterances(TRANSCRIPT)
    candidates = [_candidates(text) for text in said]
    slots = [(c.subject, c.relation) for found in candidates for c in found]
    assert len(said) >= 12
    assert sum(not found for found in candidates) >= 4
    assert len(slots) - len(set(slots)) >= 2
    assert {subject for subject, _ in slots} > {"user"}


def test_nothing_that_is_asked_as_unrelated_was_talked_about():
    slots = {(c.subject, c.relation) for text in demo.utterances(TRANSCRIPT) for c in _candidates(text)}
    asked = {relations.slot_asked(question) for question in demo.UNRELATED}
    assert None not in asked
    assert asked & slots == set()


@pytest.mark.parametrize("content", [None, "", "# only a comment\n\n"], ids=["missing", "empty", "comments"])
def test_a_transcript_without_words_is_refused_in_one_line(tmp_path, capsys, content):
    path = tmp_path / "talk.txt"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert demo.run(path) == 1
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert "talk.txt" in complaint


@pytest.mark.slow
def test_everything_holds_on_the_bundled_model(reference_model_dir, tmp_path):
    if not (reference_model_dir / "model.safetensors").exists():
        pytest.skip(f"no bundled model in {reference_model_dir}")
    done = subprocess.run(
        [sys.executable, "-m", "ice_agent.demo"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything held" in done.stdout
    assert "promoted" in done.stdout


def _candidates(text):
    return collect.tried(text, Collect())
