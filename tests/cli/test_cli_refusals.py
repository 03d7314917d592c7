"""What is refused is refused at once, in words of this program, and what is said counts in whole words."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ice_agent import screen

PROJECT = Path(__file__).parents[2]


def test_help_starts_without_the_extractors_patterns():
    question = (
        "import sys; from ice_agent.cli import run_verb\n"
        "run_verb(['--help']); run_verb(['forget', '--help'])\n"
        "print(*{'ice_agent.collect', 'langchain_core', 'torch'} & set(sys.modules), file=sys.stderr)"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", question], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == ""


def test_a_cycle_with_nothing_to_do_says_so_before_a_model_is_loaded(ice, store, monkeypatch):
    monkeypatch.setattr("ice_agent.cli.learning.load_model", lambda _: pytest.fail("the model was loaded"))
    assert ice("cycle") == (1, "", "ice-agent: nothing is pending (tell it something with `ice-agent add`)\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["add", "I", "live", "in", "Oslo"], "put words that belong together in quotes"),
        (["facts", "--status", "bogus"], "'--status': 'bogus' is not one of"),
        (["keys", "--issue", " "], "a label says who holds the key"),
    ],
)
def test_a_wrong_command_line_is_told_what_to_write_instead(ice, store, words, complaint):
    code, out, err = ice(*words)
    assert (code, out) == (2, "")
    assert complaint in err
    assert "Value error" not in err


def test_a_file_that_is_not_there_is_named(ice, store):
    assert ice("consistency", "older", "newer") == (1, "", "ice-agent: older: No such file or directory\n")


@pytest.mark.parametrize("verb", ["facts", "status"])
def test_of_who_was_named_and_never_told_anything_nothing_is_known_and_that_is_said(ice, store, verb):
    ice("add", "I live in Oslo.")
    code, out, err = ice(verb, "--tenant", "Tmo", "--json")
    assert (code, bool(json.loads(out)), "nothing is known of 'Tmo'" in err) == (0, True, True)
    assert ice(verb, "--tenant", "Tmo")[0] == 0
    assert ice(verb)[2] == ice(verb, "--tenant", store.tenant)[2] == ""


def test_of_an_empty_stdin_nothing_was_said(ice, store, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    code, _, err = ice("add", "-")
    assert code == 1
    assert "nothing was said" in err


def test_of_lines_that_cannot_all_be_read_none_is_kept(ice, store, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("I like chess.\n\udce9t\udce9\nI like go.\n"))
    code, _, err = ice("add", "-")
    assert (code, "line 2 of stdin is not UTF-8" in err) == (1, True)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"I like chess.\n\xe9\n"), "utf-8"))
    code, _, err = ice("add", "-")
    assert (code, "stdin is not UTF-8" in err) == (1, True)
    assert store.facts() == ()


def test_a_question_that_shares_no_more_than_small_words_with_a_fact_is_not_explained_by_it(ice, store):
    ice("add", "Remember that the spare key is under the mat.")
    assert "spare key" in ice("explain", "Where is the spare key?")[1]
    code, _, err = ice("explain", "Who is the king of Mars?")
    assert (code, "king of Mars" in err) == (1, True)


def test_beside_a_fact_it_is_said_that_something_was_masked(ice, store):
    _, out, _ = ice("add", "My card is 4111 1111 1111 1111 and I live in Rome.")
    assert out.startswith("learned 1 fact, and masked what must not be kept\n")


def test_forgetting_somebody_who_is_not_known_is_said(ice, store):
    _, out, _ = ice("forget", "--subject", "Nobody", "--dry-run")
    assert out.startswith("nothing of that is known here")
    entries = store.ledger()
    code, _, err = ice("forget", "--subject", "Nobody")
    assert (code, "nothing of that is known here" in err) == (1, True)
    assert store.ledger() == entries


@pytest.mark.parametrize(
    ("n", "noun", "said"),
    [(1, "stray", "1 stray"), (0, "stray", "0 strays"), (2, "entry", "2 entries"), (2, "batch", "2 batches")],
)
def test_what_is_counted_is_in_the_plural(n, noun, said):
    assert screen.count(n, noun) == said


def test_what_is_refused_is_one_object_under_json_too(ice, store):
    code, printed, complaint = ice("explain", "f_nosuch", "--json")
    assert code == 1
    assert f"ice-agent: {json.loads(printed)['error']}" == complaint.strip()
    assert "f_nosuch" in complaint
