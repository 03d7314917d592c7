"""Requests that no client sends: whatever comes is answered, in words, and nothing of the inside is told."""

from __future__ import annotations

import json
import random
import socket
from threading import Thread

import httpx
import pytest
from fastapi.testclient import TestClient

from ice_agent.server.app import create
from ice_agent.server.listening import Listener
from tests import serving as stands
from tests.serving import LOCAL

ROUNDS, IN_A_ROUND = 4, 2500
TOLD_OF_THE_INSIDE = ("Traceback", 'File "', "sqlalchemy", "sqlite3", ".py")

ODD: list[object] = [
    None, True, 0, -1, 2**63, -(2**63) - 1, 10**400, 1e308, 0.5, "", " ", "\0", "\ud800", "a\u202eb",
    "x" * 20_000, "💥", [], {}, [[]], {"": None}, [None], "NaN", "ice@", "f_", "%s", "' OR 1=1 --", "*", '"',
    "../../etc/passwd",
]  # fmt: skip
RAW = [
    b"", b"{", b"[" * 70, b"nul", b"NaN", b"Infinity", b"-", b"1e999999", b"9" * 5000, b"\xff\xfe",
    b"\xef\xbb\xbf{}", '{"a": 1}'.encode("utf-16"), b'{"a": "\\ud800"}', b'{"messages": NaN}', b"\0" * 100,
    b'"' * 99, b"[" + b"1," * 9999, b"{}" * 50, b"\x1f\x8b\x08",
]  # fmt: skip
TYPES = [
    "application/json",
    "text/plain",
    "multipart/form-data",
    "application/x-www-form-urlencoded",
    "",
    "json",
]


@pytest.fixture
def served(tmp_path):
    with stands.opened(tmp_path) as serving:
        yield serving


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_ten_thousand_malformed_requests_are_each_answered_and_none_with_what_is_inside(served, seed):
    chance = random.Random(seed)
    with TestClient(create(served), LOCAL) as client:
        operations, schemas = _operations(client.app)
        for number in range(IN_A_ROUND):
            method, path, asked = _request(chance, operations, schemas)
            answer = client.request(method, path, **asked)
            where = (number, method, path, asked, answer.status_code, answer.text[:500])
            assert answer.status_code < 500, where
            if answer.status_code >= 400 and method != "HEAD":
                assert not [word for word in TOLD_OF_THE_INSIDE if word in answer.text], where
                assert answer.json().keys() <= {"detail", "error"}, where
        assert client.get("/readyz").json()["ready"]


def test_what_is_no_http_at_all_is_answered_too_and_the_next_is_served(tmp_path):
    chance = random.Random(0)
    with stands.opened(tmp_path, server={"port": 0}) as serving, Listener(serving) as listener:
        thread = Thread(target=listener.run, daemon=True)
        thread.start()
        port = int(listener.url.rpartition(":")[2])
        for number in range(50):
            told = _answer_to(port, _no_http(chance, number))
            assert b"Traceback" not in told
        assert httpx.get(f"{listener.url}/healthz", timeout=60).status_code == 200
        listener.stop()
        thread.join()


def _answer_to(port, sent):
    """What comes back, if anything does before the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(65536)
        except ConnectionError:
            return b""


def _operations(app):
    told = app.openapi()
    found = [
        (method.upper(), path, route)
        for path, methods in told["paths"].items()
        for method, route in methods.items()
    ]
    return found, told["components"]["schemas"]


def _request(chance, operations, schemas):
    """A request of some route with something wrong in it; now and then it is right all the same."""
    method, path, route = chance.choice(operations)
    for param in route.get("parameters", ()):
        if param["in"] == "path":
            path = path.replace(f"{{{param['name']}}}", _in_path(chance))
    asked = {"params": {}, "headers": {"Content-Type": chance.choice(TYPES[:1] * 9 + TYPES)}}
    for param in route.get("parameters", ()):
        if param["in"] == "query" and chance.random() < 0.5:
            asked["params"][param["name"]] = _text(chance.choice(ODD))
    if chance.random() < 0.1:
        asked["headers"]["X-Ice-Tenant"] = chance.choice(
            [b"", b" ", b"\xff", "Zo\u00eb".encode(), b"a" * 5000]
        )
    if chance.random() < 0.1:
        asked["headers"]["Authorization"] = chance.choice(
            ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer k_1." + "x" * 999]
        )
    if chance.random() < 0.05:
        method = chance.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"])
    if "requestBody" in route:
        asked["content"] = chance.choice(RAW) if chance.random() < 0.2 else _body(chance, route, schemas)
    elif chance.random() < 0.2:
        asked["content"] = chance.choice(RAW)
    return method, path, asked


def _body(chance, route, schemas):
    """An object with the fields of the schema, each right or odd, and one that it does not know."""
    schema = route["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    said = [{"role": "user", "content": "I live in Lisbon."}]
    right = {
        "messages": said, "model": "ice", "query": "tea", "text": "I like tea.", "reason": "why not",
        "ids": [], "stream": chance.random() < 0.5, "filters": {"user_id": "tom"}, "user_id": "tom",
        "subject": "x",
    }  # fmt: skip
    fields = {}
    for name in schemas[schema]["properties"]:
        if chance.random() < 0.3:
            fields[name] = _odd(chance, 3)
        elif name in right:
            fields[name] = right[name]
    if chance.random() < 0.2:
        fields[chance.choice(["", "\0", "surprise", "\ud800"])] = _odd(chance, 3)
    return json.dumps(fields).encode()


def _odd(chance, deep):
    kind = chance.random()
    if deep and kind < 0.2:
        return [_odd(chance, deep - 1) for _ in range(chance.randrange(4))]
    if deep and kind < 0.4:
        names = ["role", "content", "type", "text", "AND", "OR", "user_id", "in", ""]
        return {chance.choice(names): _odd(chance, deep - 1) for _ in range(chance.randrange(4))}
    return chance.choice(ODD)


def _text(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:2000].encode("utf-8", "replace").decode()


def _in_path(chance):
    return chance.choice(
        [
            "x",
            "f_",
            "%00",
            "%ff",
            "..",
            "%2e%2e%2f",
            "a" * 3000,
            "%F0%9F%92%A5",
            "ice@x",
            "%ED%A0%80",
            "%",
            "_",
            "%25",
        ]
    )


def _no_http(chance, number):
    lines = [
        b"\r\n" * 9, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G\0T / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0",
        b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
        b"POST /search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    ]  # fmt: skip
    return lines[number] if number < len(lines) else chance.randbytes(chance.randrange(1, 400))
