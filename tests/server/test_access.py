"""Who is let in, to whose memory; and what a request may cost."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from ice_agent import collect
from ice_agent.errors import ConfigError
from ice_agent.server import access, serving
from ice_agent.server.app import create
from ice_agent.server.limits import depth
from ice_agent.server.refusals import Refused
from memory import AccessDenied, AccessRole
from tests import serving as stands

ANYBODY = "/metrics"


def test_without_keys_this_machine_is_let_in_to_the_tenant_of_the_settings_or_one_that_it_names(served):
    assert access.visit(served, None).tenant == "default"
    assert access.visit(served, "sk-whatever-a-client-sends").role is AccessRole.OPERATE
    named = access.visit(served, None, "tom")
    assert (named.tenant, named.is_bound) == ("tom", True)
    with pytest.raises(Refused, match="X-Ice-Tenant says 'tom', and user 'mia'") as refused:
        named.named("mia", "user")
    assert refused.value.status == 400


def test_a_key_is_for_its_own_tenant_whatever_the_request_names(guarded):
    _, opens = guarded.archive.store("tom").keys.issue("phone", AccessRole.CHAT)
    found = access.visit(guarded, opens)
    assert (found.tenant, found.role) == ("tom", AccessRole.CHAT)
    assert found.named("tom", "user") is found
    with pytest.raises(Refused, match="names another tenant"):
        access.visit(guarded, opens, "mia")


def test_with_keys_nobody_is_let_in_without_or_with_a_wrong_or_revoked_one(guarded):
    key, opens = guarded.archive.store("tom").keys.issue("phone")
    guarded.archive.store("tom").keys.revoke(key.id)
    for wrong in ("", "x", opens):
        with pytest.raises(AccessDenied):
            access.visit(guarded, wrong)
    with pytest.raises(Refused, match="needs a key"):
        access.visit(guarded, None)


def test_the_first_key_closes_a_running_server_and_forgetting_its_tenant_does_not_open_it(tmp_path):
    with stands.opened(tmp_path) as running:
        assert access.visit(running, None).tenant == "default"
        running.archive.store("tom").keys.issue("phone")
        with pytest.raises(Refused):
            access.visit(running, None)
        running.archive.store("tom").forget_everything()
        with pytest.raises(Refused):
            access.visit(running, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_an_address_of_this_machine_needs_no_key(served, host):
    serving.require_keys_beyond_loopback(served.archive, host)


def test_a_host_that_stands_for_nothing_is_named(served, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConfigError, match=r"\[server\] host = 'nowhere' is no address here: Name or"):
        serving.require_keys_beyond_loopback(served.archive, "nowhere")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_another_address_is_refused_until_there_is_a_key(served, guarded, host):
    with pytest.raises(ConfigError, match="ice-agent keys --issue"):
        serving.require_keys_beyond_loopback(served.archive, host)
    serving.require_keys_beyond_loopback(guarded.archive, host)


def test_a_page_of_another_site_changes_nothing_and_a_foreign_name_reaches_nothing(client):
    foreign = client.get(ANYBODY, headers={"Host": "rebound.example"})
    assert (foreign.status_code, "127.0.0.1" in foreign.json()["detail"]) == (403, True)
    evil = {"Origin": "https://evil.example"}
    assert client.get(ANYBODY, headers=evil).status_code == 200
    assert client.post("/reset", headers=evil).status_code == 403
    assert client.post("/reset", headers={"Origin": stands.LOCAL, "X-Ice-Tenant": "x"}).status_code == 200


def test_no_key_and_a_wrong_one_are_401_and_say_what_to_do(guarded_client):
    answers = [guarded_client.get(ANYBODY, headers=h) for h in ({}, {"Authorization": "Bearer k_1.x"})]
    assert [a.status_code for a in answers] == [401, 401]
    assert {a.headers["www-authenticate"] for a in answers} == {"Bearer"}
    assert all("ice-agent keys" in a.json()["detail"] for a in answers)


def test_a_role_that_is_not_enough_is_403_and_says_which_is(guarded_client, bearer):
    refused = guarded_client.get(ANYBODY, headers=bearer("tom", AccessRole.CHAT))
    assert refused.status_code == 403
    assert "audit or operate" in refused.json()["detail"]
    assert guarded_client.get(ANYBODY, headers=bearer("tom", AccessRole.AUDIT)).status_code == 200


def test_a_tenant_may_be_named_in_any_script(served, client):
    named = access.visit(served, None, "Zoë")
    assert named.tenant == "Zoë"
    assert client.get(ANYBODY, headers={"X-Ice-Tenant": "Zoë".encode()}).status_code == 200
    assert client.get(ANYBODY, headers={"X-Ice-Tenant": " "}).status_code == 400


def test_health_needs_no_key(guarded_client, guarded):
    assert guarded_client.get("/healthz").json() == {"status": "ok"}
    assert guarded_client.get("/readyz").json() == {"ready": True, "memory": True, "engine": True}


def test_a_server_whose_engine_is_closed_is_not_ready(tmp_path):
    with stands.opened(tmp_path) as closing:
        stands.reciter(closing).close(0)
        answer = TestClient(create(closing), stands.LOCAL).get("/readyz")
    assert (answer.status_code, answer.json()["engine"]) == (503, False)


def test_figures_are_of_database_and_process_and_with_keys_of_no_single_tenant(tmp_path):
    with (
        stands.opened(tmp_path, metrics={"per_tenant": True}) as running,
        TestClient(create(running), stands.LOCAL) as client,
    ):
        store = running.archive.store("tom")
        collect.hear(store, running.config.collect, "I like tea.", running.extractor)
        assert store.identity() in client.get("/metrics").text
        client.get("/facts/f_none", headers={"X-Ice-Tenant": "tom"})
        _, opens = store.keys.issue("prometheus", AccessRole.AUDIT)
        shown = client.get("/metrics", headers={"Authorization": f"Bearer {opens}"}).text
    assert "ice_agent_pending_facts 1.0" in shown
    # By the pattern of the route: ids would be a label each.
    assert 'ice_agent_request_seconds_count{method="GET",route="/facts/{fact_id}",status="404"}' in shown
    assert "f_none" not in shown
    assert store.identity() not in shown


def test_a_path_that_is_not_there_is_told_in_the_form_of_its_api(client):
    assert client.get("/nothing").json() == {"detail": "Not Found"}
    assert client.get("/v1/nothing").json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("declares", [True, False], ids=["declared", "in pieces"])
def test_a_body_that_is_too_large_is_413_whether_it_says_so_or_not(client, declares):
    body = b"x" * (1024 * 1024 + 1)
    content = body if declares else iter([body[:-1], body[-1:]])
    answer = client.post("/healthz", content=content)
    assert (answer.status_code, "max_body_kilobytes" in answer.json()["detail"]) == (413, True)


def test_a_body_that_is_too_deep_is_400(client):
    assert client.post("/healthz", content="[" * 65 + "]" * 65).status_code == 400
    assert client.post("/healthz", content="[" * 64 + "]" * 64).status_code == 405


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (b"[]" * 100, 1),
        (b"[" * 70, 70),
        (b'{"a":' * 80 + b"1" + b"}" * 80, 80),
        (b'"' + b"[" * 100 + b'"', 0),
        (b'"\\"' + b"[" * 100 + b'"', 0),
        (b'"' + b"[" * 100, 0),
        (b'[0, "]", ' * 70, 70),
    ],
)
def test_depth_is_counted_outside_of_text(body, deep):
    assert depth(body) == deep


def test_more_requests_at_a_time_than_there_is_room_for_are_told_to_come_back(tmp_path):
    one = {"max_rows": 1, "max_waiting": 0}
    with stands.opened(tmp_path, engine=one) as serving, TestClient(create(serving), stands.LOCAL) as client:
        engine = stands.reciter(serving)
        engine.is_paused = True
        body = {"messages": [{"role": "user", "content": "Where do I live?"}]}
        with ThreadPoolExecutor(33) as clients:
            begun = [clients.submit(client.post, "/v1/chat/completions", json=body) for _ in range(33)]
            _wait_for(lambda: len(engine.writings) == 33)
            refused = client.get("/healthz")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            for writing in engine.writings:
                engine.recite(writing)
            assert {each.result().status_code for each in begun} == {200}
        assert client.get("/healthz").status_code == 200


def _wait_for(happened):
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.01)
