"""The README is true: its commands exist, its table of verbs is whole, and what it names is there."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest

from ice_agent import cli
from ice_agent.config import Config

COMMAND = re.compile(r"^\$ (ice-agent .*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def readme(project_dir):
    return (project_dir / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def verbs():
    return cli.verbs()


def test_every_verb_has_a_row_and_every_row_is_a_verb(readme, verbs):
    rows = re.findall(r"^\| `([a-z]+)", readme.partition("## Verbs")[2].partition("\n## ")[0], re.MULTILINE)
    assert rows == list(verbs)


def test_every_command_shown_is_one_that_the_command_line_takes(readme, verbs):
    shown = [shlex.split(line, comments=True)[1:] for line in COMMAND.findall(readme)]
    assert len(shown) >= 6
    for verb, *words in shown:
        assert {word for word in words if word.startswith("--")} <= verbs[verb], (verb, words)


def test_every_option_in_the_table_of_verbs_exists(readme, verbs):
    for verb, row in re.findall(r"^\| `([a-z]+)([^|]*\|.*)$", readme.partition("## Verbs")[2], re.MULTILINE):
        assert set(re.findall(r"--[a-z-]+", row)) <= verbs[verb] | {"--help"}, verb


def test_every_setting_that_is_named_exists(readme):
    named = re.findall(r"`([a-z]+)\.([a-z_]+)(?: = [^`]*)?`", readme)
    sections = dict(Config())
    settings = [(section, name) for section, name in named if section in sections]
    assert settings
    assert [pair for pair in settings if pair[1] not in type(sections[pair[0]]).model_fields] == []


def test_every_table_of_settings_is_valid(readme):
    blocks = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    assert blocks
    for block in blocks:
        Config.model_validate(tomllib.loads(block))


def test_the_example_for_langchain_runs(readme, tmp_path, monkeypatch, capsys):
    pytest.importorskip("langgraph", reason="needs langgraph (the dev extra)")
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    recalled, retrieved, found, facts = capsys.readouterr().out.splitlines()
    assert "The user lives in Lisbon." in recalled
    assert retrieved == "The user likes tea."
    assert found == "[{'text': 'I moved to Oslo.', 'days': 3}]"
    assert facts == "['The user likes tea.', 'The user lives in Oslo.']"


def test_every_file_that_is_linked_is_there(readme, project_dir):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in link]
    assert [link for link in links if not (project_dir / link).exists()] == []


def test_every_make_target_that_is_named_exists(readme, project_dir):
    targets = re.findall(r"^([a-z-]+):", (project_dir / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"^`?make ([a-z-]+)", readme, re.MULTILINE))
    assert {"demo", "test"} <= named <= set(targets)
