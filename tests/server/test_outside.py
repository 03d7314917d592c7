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


def test_what_the_engine_refuses_is_an_error_in_openais_form(outside):
    engine, client, archive = outside
    engine.is_down = True
    away = ask(client)
    assert (away.status_code, "cannot be reached" in away.json()["error"]["message"]) == (503, True)
    engine.is_down = False
    tenant = Tenant(archive.store("default"))
    tenant.tell("Lyon")
    tenant.learn()
    lacking = ask(client)
    assert lacking.status_code == 503
    assert "`ice-agent publish`" in lacking.json()["error"]["message"]
