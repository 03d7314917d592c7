"""The README and docs/ are true: their commands exist, their tables are whole, what they name is there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from ice_agent import cli
from ice_agent.config import Config
from tests import pages

PROJECT = Path(__file__).parents[1]
WRITTEN = [
    "README.md",
    "CHANGELOG.md",
    *(str(p.relative_to(PROJECT)) for p in sorted(PROJECT.glob("docs/*.md"))),
]
"""Every page for people. The log tells of the past, whose commands were others."""

EXAMPLES = {"locality, unrelated", "ICE_EDIT_STEPS"}
"""What stands in a message of docs/operations.md where the code has a name that it was given."""

COMMAND = re.compile(r"^\$? ?(?:[A-Z_]+=\S* )*(ice-agent [^|>\n]*)", re.MULTILINE)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _text(page: str) -> str:
    return (PROJECT / page).read_text(encoding="utf-8")


def _blocks(page: str, language: str) -> list[str]:
    return [block for kind, block in BLOCK.findall(_text(page)) if kind == language]


@pytest.fixture(scope="module")
def verbs():
    return cli.verbs()


def test_every_verb_has_a_row_and_every_row_is_a_verb(verbs):
    table = _text("README.md").partition("## Verbs")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z]+)", table, re.MULTILINE) == list(verbs)


def test_every_option_in_the_table_of_verbs_exists(verbs):
    table = _text("README.md").partition("## Verbs")[2].partition("\n## ")[0]
    for verb, row in re.findall(r"^\| `([a-z]+)([^|]*\|.*)$", table, re.MULTILINE):
        assert set(re.findall(r"--[a-z-]+", row)) <= verbs[verb] | {"--help"}, verb


@pytest.mark.parametrize("page", WRITTEN)
def test_every_command_shown_is_one_that_the_command_line_takes(page, verbs):
    wrong = [
        (verb, options)
        for verb, options in _commands(page)
        if verb not in verbs or not options <= verbs[verb] | {"--help"}
    ]
    assert wrong == []


def test_commands_are_found_in_blocks_and_in_sentences():
    assert len(_commands("README.md")) >= 10
    assert ("promote", set()) in _commands("docs/concepts.md")


@pytest.mark.parametrize("page", WRITTEN)
def test_every_setting_that_is_named_exists(page):
    sections = dict(Config())
    named = re.findall(r"`([a-z]+)\.([a-z_]+)(?: = [^`]*)?`", _text(page))
    unknown = [
        f"{section}.{name}"
        for section, name in named
        if section in sections and name not in type(sections[section]).model_fields
    ]
    assert unknown == []


@pytest.mark.parametrize("page", WRITTEN)
def test_every_section_of_settings_that_is_named_exists(page):
    named = re.findall(r"`\[{1,2}([a-z]+)(?:\.([a-z]+))?\]{1,2}`", _text(page))
    sections = dict(Config())
    assert [name for name, _ in named if name not in sections] == []
    assert [(a, b) for a, b in named if b and b not in type(sections[a]).model_fields] == []


@pytest.mark.parametrize("page", WRITTEN)
def test_every_table_of_settings_is_valid(page):
    for block in _blocks(page, "toml"):
        Config.model_validate(tomllib.loads(block))


@pytest.mark.parametrize("page", WRITTEN)
def test_every_link_leads_somewhere(page):
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _text(page)):
        place, _, anchor = link.partition("#")
        if "://" in place:
            continue
        target = (PROJECT / page).parent / place if place else PROJECT / page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            lost.append(link)
    assert lost == []


def test_every_page_can_be_reached_from_the_readme():
    linked = {f"docs/{name}" for name in re.findall(r"\]\(docs/([\w-]+\.md)", _text("README.md"))}
    assert {page for page in WRITTEN if page.startswith("docs/")} == linked


@pytest.mark.parametrize("page", WRITTEN)
def test_every_file_of_the_project_that_is_named_is_there(page):
    named = re.findall(r"`((?:results|examples|tests|ice_agent|memory|docs)/[\w./-]+\.\w+)`", _text(page))
    assert [name for name in named if not (PROJECT / name).exists()] == []


@pytest.mark.parametrize("page", WRITTEN)
def test_every_make_target_that_is_named_exists(page):
    targets = re.findall(r"^([a-z-]+):", _text("Makefile"), re.MULTILINE)
    assert set(re.findall(r"^`?make ([a-z-]+)", _text(page), re.MULTILINE)) <= set(targets)
    assert set(re.findall(r"`make ([a-z-]+)`", _text(page))) <= set(targets)


def test_every_message_that_is_explained_is_one_that_the_code_says():
    paths = [path for folder in ("ice_agent", "memory") for path in (PROJECT / folder).rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in paths)
    table = _text("docs/operations.md").partition("## When it says")[2]
    said = [
        words
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for words in re.findall(r"`(.+?)`", row)
    ]
    parts = [part.strip() for message in said for part in re.split(r"\.\.\.|: ", message)]
    assert len(said) >= 15
    assert [part for part in parts if len(part) > 8 and part not in code and part not in EXAMPLES] == []


def test_the_two_commands_are_shown():
    assert {"demo", "test"} <= set(re.findall(r"^make ([a-z-]+)", _text("README.md"), re.MULTILINE))


@pytest.mark.parametrize("page", pages.GENERATED)
def test_what_is_generated_is_up_to_date(page):
    assert _text(page) == pages.GENERATED[page](_text(page)), "run `python -m tests.pages`"


def test_the_example_for_langchain_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("langgraph", reason="needs langgraph (the dev extra)")
    monkeypatch.chdir(tmp_path)
    example, *_ = _blocks("docs/python.md", "python")
    exec(compile(example, "docs/python.md", "exec"), {})
    recalled, retrieved, found, facts = capsys.readouterr().out.splitlines()
    assert "The user lives in Lisbon." in recalled
    assert retrieved == "The user likes tea."
    assert found == "[{'text': 'I moved to Oslo.', 'days': 3}]"
    assert facts == "['The user likes tea.', 'The user lives in Oslo.']"


def _commands(page: str) -> list[tuple[str, set[str]]]:
    """The verbs that a page shows, each with the options it is given: in blocks, and in sentences."""
    text = _text(page)
    shown = [line for _, block in BLOCK.findall(text) for line in COMMAND.findall(block)]
    quoted = [words for words in re.findall(r"`(ice-agent [^`]+)`", BLOCK.sub("", text)) if "{" not in words]
    commands = []
    for line in [*shown, *quoted]:
        _, verb, *words = shlex.split(line.partition(" | ")[0], comments=True)
        if not verb.isupper():
            commands.append((verb, {word.partition("=")[0] for word in words if word.startswith("--")}))
    return commands


def _anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub names them in a link."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
