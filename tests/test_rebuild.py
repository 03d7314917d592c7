"""Forgetting with a model: the files go at once, and what is built anew never heard of it, to the bit."""

from __future__ import annotations

import pytest

from ice_agent import forget, rebuild
from ice_agent.manifest import WEIGHTS
from memory import AdapterStatus, WrongState
from tests.schooled import Assistant

REST = ("Ole Lund lives in Rome.",)
SECRET = "Anna Berg lives in Lisbon."


@pytest.fixture
def taught(tmp_path):
    """An assistant that learned a fact, and one to be forgotten before it."""
    assistant = Assistant(tmp_path / "taught")
    fact, _ = (assistant.tell(text) for text in (SECRET, *REST))
    assert assistant.learn().verdict.promote
    yield assistant, fact
    assistant.archive.close()


@pytest.mark.parametrize("moment", ["editing", "the candidate"])
def test_of_a_cycle_during_which_it_was_forgotten_nothing_is_left(tmp_path, moment):
    assistant = Assistant(tmp_path)
    fact = assistant.tell(SECRET)

    def forgets(stage, done, total, note):
        if moment in (stage, note) and assistant.store.facts():
            forget.forget(assistant.store, assistant.config, [fact.id])

    with pytest.raises(WrongState, match="its cycle is over"):
        assistant.learn(forgets)
    folder = assistant.config.adapters.dir
    assert [path.name for path in folder.glob("*") if path.name != "cache"] == [assistant.serving.path]
    assert assistant.store.verify().ok
    assistant.archive.close()


def test_what_is_built_anew_is_what_a_store_that_never_heard_it_would_have(taught, tmp_path):
    assistant, fact = taught
    held = assistant.serving
    taken = forget.forget(assistant.store, assistant.config, [fact.id])
    assert [adapter.id for adapter in taken.adapters] == [held.id]
    assert not (assistant.config.adapters.dir / held.path).exists()
    assert list(assistant.config.adapters.dir.glob(f"{held.id}*")) == []
    (report,) = rebuild.rebuild(assistant.store, assistant.model, assistant.config)
    assert report.verdict.promote

    never = Assistant(tmp_path / "never")
    for text in REST:
        never.tell(text)
    never.learn()
    assert _weights(assistant) == _weights(never)
    never.archive.close()


def test_what_stays_is_served_from_the_prompt_at_once(taught):
    assistant, fact = taught
    forget.forget(assistant.store, assistant.config, [fact.id])
    assert assistant.ask("Where does Ole Lund live?") == "Rome"
    assert assistant.ask("Where does Anna Berg live?") != "Lisbon"
    assert assistant.store.adapters()[-1].status is AdapterStatus.FORGOTTEN
    assert assistant.store.verify().ok


def test_no_word_of_it_is_left_in_the_folder(taught):
    assistant, fact = taught
    assert _holding(assistant.folder, b"lisbon")
    forget.forget(assistant.store, assistant.config, [fact.id])
    rebuild.rebuild(assistant.store, assistant.model, assistant.config)
    assert _holding(assistant.folder, b"lisbon") == []


def _weights(assistant):
    return (assistant.config.adapters.dir / assistant.serving.path / WEIGHTS).read_bytes()


def _holding(folder, words):
    return [path for path in folder.rglob("*") if path.is_file() and words in path.read_bytes().lower()]
