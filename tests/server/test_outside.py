"""The server with an outside engine behind it: requests and answers are as with its own."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient

from ice_agent.config import Config
from ice_agent.server import serving
from ice_agent.server.app import create
from memory import Archive
from tests import tiny
from tests.engines import Vllm, running
from tests.memory.conftest import Tenant
from tests.serving import LOCAL

pytestmark = pytest.mark.slow


@pytest.fixture
def outside(tmp_path):
    """The engine, a client of the server before it, and the memory."""
    model = tiny.tiny_model()
    with running(Vllm, model.name, script=lambda path, prompt: [" It", " is", " so."]) as engine:
        config = Config.model_validate({
            "store": {"url": f"sqlite:///{tmp_path / 'ice.db'}"},
            "adapters": {"dir": tmp_path / "adapters"},
            "publish": {"engine": "vllm", "url": engine.url, "generate": True},
        })  # fmt: skip
        with (
            Archive.open(config.store.url) as archive,
            serving.opened(archive, config, model) as parts,
            TestClient(create(parts), LOCAL, raise_server_exceptions=False) as client,
        ):
            yield engine, client, archive


def ask(client, **options):
    body = {"model": "ice", "messages": [{"role": "user", "content": "I like tea."}]} | options
    return client.post("/v1/chat/completions", json=body)


def test_an_answer_comes_from_the_engine_and_what_was_said_is_kept(outside):
    engine, client, archive = outside
    told = ask(client).json()
    assert told["choices"][0]["message"]["content"] == "It is so."
    assert told["usage"]["completion_tokens"] == 3
    assert engine.asked[-1].body["model"] == engine.base
    assert [fact.object for fact in archive.store("default").facts()] == ["tea"]


def test_pieces_are_passed_on(outside):
    _, client, _ = outside
    lines = [line for line in ask(client, stream=True).text.splitlines() if line.startswith("data: {")]
    deltas = [json.loads(line[6:])["choices"][0]["delta"].get("content") for line in lines]
    assert [piece for piece in deltas if piece] == ["It", " is", " so."]


def test_what_the_engine_refuses_is_an_error_in_openais_form_and_its_words_are_in_the_log(outside, caplog):
    engine, client, archive = outside
    assert client.get("/readyz").json() == {"ready": True, "memory": True, "engine": True}
    engine.is_down = True
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["engine"]) == (503, False)
    away = ask(client)
    said = away.json()["error"]["message"]
    assert (away.status_code, "no answer can be written now" in said, engine.url in said) == (
        503,
        True,
        False,
    )
    assert "cannot be reached" in caplog.text
    assert "Traceback" not in caplog.text
    engine.is_down = False
    tenant = Tenant(archive.store("default"))
    tenant.tell("Lyon")
    tenant.learn()
    lacking = ask(client)
    assert lacking.status_code == 503
    assert "`ice-agent publish`" in caplog.text
