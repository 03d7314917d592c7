"""The demo holds what it promises, on the bundled model; and what it cannot play it refuses in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ice_agent import collect, config, demo, relations
from ice_agent.settings import Collect
from memory import Archive

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
def test_everything_holds_on_the_bundled_model(reference_model_dir, tmp_path, monkeypatch):
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
    kept = config.load(tmp_path / "ice-agent-demo" / "config.toml")
    monkeypatch.chdir(tmp_path)
    with Archive.open(kept.store.url) as archive:
        assert archive.store(kept.agent.tenant).verify().problems == ()
    assert f"serve --config {Path('ice-agent-demo', 'config.toml')}" in done.stdout


def test_an_earlier_demo_is_replaced_and_nothing_else_is(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ICE_MODEL__NAME", "no such model")
    ours = tmp_path / "ice-agent-demo"
    ours.mkdir()
    (ours / "config.toml").write_text("[agent]\ntenant = 'mine'\n", encoding="utf-8")
    assert demo.run(TRANSCRIPT) == 1
    assert "no demo made it: move it away" in capsys.readouterr().err
    (ours / "config.toml").write_text(demo.HEADER, encoding="utf-8")
    assert demo.run(TRANSCRIPT) == 1
    assert "no usable model" in capsys.readouterr().err
    assert not ours.exists(), "what broke off leaves nothing behind"


def test_the_settings_that_it_leaves_are_those_that_it_played_with(tmp_path):
    changed = config.Config.model_validate({"edit": {"steps": 7}, "collect": {"functional": ["pet's name"]}})
    played = demo._in_folder(changed, tmp_path)
    assert config.load(tmp_path / "config.toml") == played
    assert played.store.url.startswith(f"sqlite:///{tmp_path}")


def _candidates(text):
    return collect.tried(text, Collect())
