"""The clients that people have, against a server at a port of its own; and what becomes of who leaves."""

from __future__ import annotations

import json
import socket
import time
from threading import Thread
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from pydantic import SecretStr

from ice_agent.errors import ConfigError, Overloaded, PromptTooLong
from ice_agent.server.listening import Listener
from tests import serving as stands
from tests.serving import reciter

QUESTION = [{"role": "user", "content": "Where do I live?"}]
ASKED = {"messages": QUESTION}


@pytest.fixture
def at_port(tmp_path):
    """A server that is stopped in the end, with the engine behind it."""
    with stands.opened(tmp_path, server={"port": 0}) as serving, Listener(serving) as listener:
        thread = Thread(target=listener.run, daemon=True)
        thread.start()
        yield listener, reciter(serving), thread
        listener.stop()
        thread.join()


@pytest.fixture
def client(at_port):
    with openai.OpenAI(base_url=f"{at_port[0].url}/v1", api_key="none is needed", max_retries=0) as client:
        yield client


def test_the_client_of_openai_asks_and_reads(client):
    answer = client.chat.completions.create(model="ice", messages=QUESTION, user="tom")
    assert answer.choices[0].message.content == "It is so."
    assert answer.usage.completion_tokens == 3
    stream = client.chat.completions.create(
        model="ice", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    *pieces, last = stream
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "It is so."
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert last.usage.total_tokens == last.usage.prompt_tokens + 3
    assert [model.id for model in client.models.list()] == ["ice", "base"]


def test_the_client_of_openai_knows_what_was_refused(client, at_port):
    _, engine, _ = at_port
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-5", messages=QUESTION)
    with pytest.raises(openai.BadRequestError, match="n: one answer"):
        client.chat.completions.create(model="ice", messages=QUESTION, n=2)
    engine.refusal = Overloaded(64, 1)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="ice", messages=QUESTION)
    engine.refusal = PromptTooLong(5000, 4096)
    with pytest.raises(openai.BadRequestError, match="5000 tokens"):
        client.chat.completions.create(model="ice", messages=QUESTION)


@pytest.mark.slow
def test_langchains_chat_model_asks_and_reads(at_port):
    # Here, because importing it takes seconds.
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(
        base_url=f"{at_port[0].url}/v1", model="ice", api_key=SecretStr("none is needed"), max_retries=0
    )
    assert model.invoke("Where do I live?").content == "It is so."
    usage = model.invoke("Where do I live?").usage_metadata
    assert usage is not None
    assert usage["output_tokens"] == 3
    assert "".join(str(piece.content) for piece in model.stream("Where do I live?")) == "It is so."


@pytest.mark.parametrize("stream", [True, False], ids=["in pieces", "whole"])
def test_who_goes_away_gives_the_place_back(at_port, stream):
    listener, engine, _ = at_port
    engine.is_paused = True
    said = {"messages": [{"role": "user", "content": "I live in Lisbon."}], "user": "tom", "stream": stream}
    address, body = urlsplit(listener.url), json.dumps(said).encode()
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        _wait_for(lambda: engine.writings)
        assert not engine.writings[0].is_cancelled
    _wait_for(lambda: engine.writings[0].is_cancelled)
    engine.recite(engine.writings[0])
    # What was said was said.
    kept = f"{listener.url}/memories?user_id=tom"
    _wait_for(lambda: httpx.get(kept, timeout=60).json()["results"])


def test_what_is_written_when_it_is_stopped_is_written_to_its_end(at_port):
    listener, engine, thread = at_port
    engine.is_paused = True
    with httpx.stream(
        "POST", f"{listener.url}/v1/chat/completions", json=ASKED | {"stream": True}, timeout=240
    ) as answer:
        lines = answer.iter_lines()
        assert "assistant" in next(lines)
        listener.stop()
        _wait_for(lambda: not _is_reachable(listener.url))
        assert thread.is_alive()
        engine.recite(engine.writings[0])
        assert [line for line in lines if line][-1] == "data: [DONE]"
    thread.join(240)
    assert not thread.is_alive()


def test_a_port_that_is_taken_is_named(at_port, tmp_path):
    listener, _, _ = at_port
    port = int(listener.url.rpartition(":")[2])
    (tmp_path / "second").mkdir()
    with (
        stands.opened(tmp_path / "second", server={"port": port}) as serving,
        pytest.raises(ConfigError, match=f"{port}.*--port"),
    ):
        Listener(serving)


def _is_reachable(url):
    try:
        return httpx.get(f"{url}/healthz", timeout=240).status_code == 200
    except httpx.TransportError:
        return False


def _wait_for(happened):
    until = time.monotonic() + 240
    while not happened():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.01)
