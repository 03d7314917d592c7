"""The examples run, as they stand, against stand-ins for a model: what they show is what they say."""

from __future__ import annotations

import runpy
import sys
from threading import Thread

import pytest
from fastapi.testclient import TestClient

from ice_agent import collect, cycle
from ice_agent.config import Config
from ice_agent.server.listening import Listener
from memory import Archive
from tests import serving as stands
from tests.standin import Notebook

GUARDS = {"min_probes": 1}


@pytest.fixture
def example(project_dir):
    """Says where an example stands."""

    def found(name):
        return project_dir / "examples" / name

    return found


@pytest.fixture
def learned(tmp_path, monkeypatch):
    """A working directory whose memory has learned where its user lives."""
    monkeypatch.chdir(tmp_path)
    config = Config.model_validate({"guards": GUARDS})
    (tmp_path / "config.toml").write_text("[guards]\nmin_probes = 1\n", encoding="utf-8")
    with Archive.open(config.store.url) as archive:
        store, editor = archive.store("default"), Notebook()
        cycle.init(store, editor, config)
        collect.hear(store, config.collect, "I moved to Lisbon.", collect.extractor_named("rules"))
        report = cycle.run_cycle(store, editor, config)
        assert report.verdict.promote
    return tmp_path


@pytest.mark.slow
def test_the_back_end_answers_each_user_from_a_memory_of_their_own(example, tmp_path, monkeypatch):
    with stands.opened(tmp_path, server={"port": 0}) as serving, Listener(serving) as listener:
        thread = Thread(target=listener.run, daemon=True)
        thread.start()
        monkeypatch.setenv("ICE_URL", listener.url)
        backend = runpy.run_path(str(example("openai_backend.py")))
        with TestClient(backend["app"]) as client, backend["ice"]:
            said = client.post("/chat", json={"user": "ann", "text": "I moved to Lisbon."})
            assert said.text.startswith("It is so.\n[")
            client.post("/chat", json={"user": "ann", "text": "Where do I live?"})
        listener.stop()
        thread.join()
        assert [fact.statement for fact in serving.archive.store("ann").facts()] == [
            "The user lives in Lisbon."
        ]
        assert "The user lives in Lisbon." in stands.reciter(serving).prompt
        assert serving.archive.tenants() == ("ann",)


def test_a_source_is_read_held_and_approved(example, tmp_path, capsys):
    runpy.run_path(str(example("scheduled_refresh.py")))["main"](tmp_path)
    told = capsys.readouterr().out
    titles = [line for line in told.splitlines() if ": " in line and not line.startswith(" ")]
    outcomes = [title.rpartition(": ")[2].partition(",")[0] for title in titles]
    assert outcomes[:5] == ["taken over", "unchanged", "taken over", "held", "taken over"]
    assert "The capital of Burundi is Gitega.  (source atlas, line 3: " in told
    assert "Palau" not in told


@pytest.mark.slow
def test_an_audit_walks_from_an_answer_to_its_sentence_and_its_end(example, learned, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["audit.py", "Where do I live?", "--forget"])
    # Its own processes import the checkout, too.
    monkeypatch.setenv("PYTHONPATH", str(example("..").resolve()))
    runpy.run_path(str(example("audit.py")))
    told = capfd.readouterr().out
    assert "...I moved to Lisbon..." in told
    assert "after: You live in Lisbon." in told
    assert "entries, sound" in told
    assert told.splitlines().count("ok") == 2
    assert "still gone: yes" in told
    with Archive.open(Config().store.url) as archive:
        assert archive.store("default").facts() == ()
