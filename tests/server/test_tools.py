"""Tool calls in OpenAI's form, by a base whose chat template takes tools and a generator that calls them."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient

from ice_agent.server.app import create
from ice_agent.server.serving import Serving
from tests import scripted
from tests import serving as stands

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    },
}
ASKED = {"role": "user", "content": "How is the weather in 'Lisbon'?"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with stands.opened(tmp_path_factory.mktemp("tools")) as parts:
        model = scripted.a_model()
        yield Serving(
            parts.config, parts.archive, model, scripted.Scripted(model),
            extractor=parts.extractor, meanings=None, runs=parts.runs,
        )  # fmt: skip


@pytest.fixture(scope="module")
def ask(served):
    with TestClient(create(served), stands.LOCAL) as client:

        def send(*messages, status=200, **fields):
            body = {"messages": messages or [ASKED], "tools": [WEATHER]} | fields
            # By hand: clients do not send half characters.
            headers = {"Content-Type": "application/json"}
            answer = client.post("/v1/chat/completions", content=json.dumps(body), headers=headers)
            assert answer.status_code == status, answer.text
            return answer

        yield send


def test_a_call_is_a_call_and_no_text(ask):
    (choice,) = ask().json()["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert json.loads(call["function"]["arguments"]) == {"town": "Lisbon"}


def test_in_pieces_a_call_comes_whole(ask):
    lines = ask(stream=True).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    (call,) = next(delta["tool_calls"] for delta in deltas if "tool_calls" in delta)
    assert (call["index"], call["function"]["name"]) == (0, "weather")
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert not any(delta.get("content") for delta in deltas)


def test_what_a_tool_said_is_read_and_not_heard(ask, served):
    called = ask().json()["choices"][0]["message"]
    told = {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "I live in Oslo."}
    before = served.archive.store("default").facts()
    (choice,) = ask(ASKED, called, told).json()["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", "It is so, as far as I know.")
    assert "<tool_response>I live in Oslo.</tool_response>" in served.engine.prompts[-1]
    assert served.archive.store("default").facts() == before


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_tool_that_has_to_be_called_is_called(ask, choice):
    message = ask(tool_choice=choice).json()["choices"][0]["message"]
    assert message["tool_calls"][0]["function"]["name"] == "weather"


def test_with_no_tool_to_choose_there_is_none(ask):
    assert "tool_calls" not in ask(tool_choice="none").json()["choices"][0]["message"]
    assert "weather" in ask(tool_choice="rain", status=400).json()["error"]["message"]


def test_arguments_that_are_no_object_are_400(ask):
    broken = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "function": {"name": "weather", "arguments": "["}}],
    }
    assert ask(ASKED, broken, ASKED, status=400).json()["error"]["param"] == "messages"


def test_half_a_character_in_a_tool_or_a_call_is_400(ask):
    half = json.loads(json.dumps(WEATHER).replace("Tells", "\\ud800"))
    assert ask(tools=[half], status=400)
    arguments = json.dumps({"town": "\ud800"})
    called = {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": arguments}}]}
    assert ask(ASKED, called, ASKED, status=400)
