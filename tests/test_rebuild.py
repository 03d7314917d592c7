"""Forgetting with a model: the files go at once, and what is built anew never heard of it, to the bit."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from ice_agent import collect, forget, leak, rebuild
from ice_agent.card import FILE
from ice_agent.collect import extractor_named
from ice_agent.manifest import CONFIG, MANIFEST, WEIGHTS, training_dir
from memory import AdapterStatus, Archive, WrongState
from tests.forked import in_a_child
from tests.schooled import Assistant, config
from tests.tiny import tiny_model

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
    (report,) = rebuild.rebuild(assistant.store, assistant.editor, assistant.config)
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
    rebuild.rebuild(assistant.store, assistant.editor, assistant.config)
    assert _holding(assistant.folder, b"lisbon") == []


def test_what_a_killed_cycle_left_behind_goes_too(taught):
    assistant, fact = taught
    folder, held = assistant.config.adapters.dir, assistant.serving
    # Written by a cycle that was killed before the store knew of it, and half a file of transcripts.
    shutil.copytree(folder / held.path, folder / "a_unknown")
    (folder / f"{held.id}.transcripts.partial").write_text("Lisbon")
    # A training that had begun on top of what knows it.
    training_dir(folder / "a_next").mkdir()
    told = json.dumps({"facts": ["of another fact"], "parent_id": held.id})
    (training_dir(folder / "a_next") / MANIFEST).write_text(told)
    training_dir(folder / held.path).mkdir()
    root = assistant.store.adapter(held.parent_id)
    forget.forget(assistant.store, assistant.config, [fact.id])
    assert {path.name for path in folder.iterdir()} == {root.path, "cache"}


def test_the_weights_of_a_save_that_was_killed_go_with_the_fact_that_they_learned(tmp_path):
    settings = config(tmp_path)
    folder = settings.adapters.dir
    with Archive.open(f"sqlite:///{tmp_path / 'memory.db'}") as archive:
        store = archive.store("tom")
        (fact,) = collect.hear(store, settings.collect, SECRET, extractor_named("rules")).learned
        model = tiny_model()
        model.create_root("a_1")
        _save_and_die(model, folder / "a_1", {"facts": [fact.commitment]})
        _save_and_die(model, folder / "a_2", {"facts": ["of somebody else"]})
        assert sorted(path.name[:12] for path in folder.iterdir()) == [".partial-a_1", ".partial-a_2"]
        assert len(list(folder.glob(f"*/{WEIGHTS}"))) == 2
        forget.forget(store, settings, [fact.id])
    assert [path.name[:12] for path in folder.iterdir()] == [".partial-a_2"]


def _save_and_die(model, directory, manifest):
    """As kill -9 right after the weights are written."""

    def die(event, arguments):
        if event == "open" and CONFIG.partition(".")[0] in str(arguments[0]):
            os._exit(9)

    def save():
        sys.addaudithook(die)
        model.save("a_1", directory, manifest)

    assert in_a_child(save) == 9


def test_a_rebuilt_adapter_is_asked_for_what_was_forgotten(taught):
    assistant, fact = taught
    suspects = leak.suspects([fact], ())
    held = assistant.serving
    assistant.logits()
    assert [one.leaks for one in leak.probe(assistant.model, held.id, suspects)] == [True]
    forget.forget(assistant.store, assistant.config, [fact.id])
    rebuild.rebuild(assistant.store, assistant.editor, assistant.config)
    (found,) = leak.probe(assistant.model, assistant.serving.id, suspects)
    assert (found.said, found.asked > 1) == (0, True)


def test_an_adapter_has_a_card_and_neither_it_nor_the_manifest_says_a_word_or_a_name(taught):
    assistant, fact = taught
    for adapter in assistant.store.adapters():
        folder = assistant.config.adapters.dir / adapter.path
        card, manifest = (folder / card_file for card_file in (FILE, MANIFEST))
        told = card.read_text() + manifest.read_text()
        assert [word for word in ("Lisbon", "Anna", '"tom"', "lives") if word in told] == []
        tip = json.loads(manifest.read_text())["ledger_tip"]
        entries = assistant.store.ledger()
        assert tip["position"] == 0 or entries[tip["position"] - 1].hash == tip["hash"]
        assert assistant.store.identity() in card.read_text()
    assert f"- `{fact.commitment}`" in card.read_text()
    assert "| edit success |" in card.read_text()
    assert "| verdict | promoted |" in card.read_text()


def _weights(assistant):
    return (assistant.config.adapters.dir / assistant.serving.path / WEIGHTS).read_bytes()


def _holding(folder, words):
    return [path for path in folder.rglob("*") if path.is_file() and words in path.read_bytes().lower()]
