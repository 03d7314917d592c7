"""A key of one tenant reads and changes nothing of another, on every route that there is; and roles are kept.

The routes are those that the app says it has: a new one is asked, too, and has to be told here with what.
"""

from __future__ import annotations

import json
from threading import Event

import pytest
from fastapi.testclient import TestClient

from ice_agent import collect
from ice_agent.executors import Here
from ice_agent.server.app import create
from memory import AccessRole, FactStatus, Notary
from tests import serving as stands
from tests.serving import LOCAL

NEEDED = ("about", "q", "first", "second")
"""Queries that a route refuses to be without."""
FREE = {"/healthz", "/readyz"}
READ_BY_POST = {"/audit/consistency"}
FOR_ASSISTANTS = ("/v1/", "/memories", "/search")
OPERATORS = {
    ("PUT", "/memories/{memory_id}"),
    ("DELETE", "/memories/{memory_id}"),
    ("DELETE", "/memories"),
    ("POST", "/reset"),
}


@pytest.mark.slow
def test_a_key_of_one_tenant_reads_and_changes_nothing_of_another_on_any_route(two):
    mia, hidden = two.serving.archive.store("mia"), two.hidden
    before = json.dumps(list(mia.export()))
    for role in AccessRole:
        for method, path, sent in two.requests():
            answer = two.client.request(method, path, headers=two.keys[role], **sent)
            assert answer.status_code < 500, (method, path, answer.text)
            asked = path + json.dumps(sent)
            told = [word for word in hidden if word in answer.text and word not in asked]
            assert told == [], (role, method, path, sent, answer.text)
    assert json.dumps(list(mia.export())) == before


@pytest.mark.slow
def test_what_is_hidden_would_be_seen_with_her_own_key(two):
    """Or the test above could not fail."""
    seen = "".join(
        two.client.request(method, path, headers=two.her_key, **sent).text
        for method, path, sent in two.requests()
        if method == "GET"
    )
    assert [word for word in two.hidden if word not in seen] == []


def test_each_role_does_what_it_may_and_nothing_else(two):
    for path, method, _ in two.operations:
        for role in AccessRole:
            answer = two.client.request(method, _filled(path), headers=two.keys[role])
            assert (answer.status_code != 403) is _may(role, method, path), (role, method, path)


def test_nothing_but_health_is_told_to_who_has_no_key(two):
    for path, method, _ in two.operations:
        answer = two.client.request(method, _filled(path))
        assert (answer.status_code == 401) is (path not in FREE), (method, path)


def _may(role, method, path):
    if path in FREE:
        return True
    if path.startswith(FOR_ASSISTANTS) or path == "/reset":
        is_allowed = role is AccessRole.OPERATE
        return is_allowed or (role is AccessRole.CHAT and (method, path) not in OPERATORS)
    if role is AccessRole.AUDIT:
        return method == "GET" or path in READ_BY_POST
    return role is AccessRole.OPERATE


def _filled(path):
    return "/".join("x" if part.startswith("{") else part for part in path.split("/"))


class Two:
    """Mia, who has something of everything, and Tom, who asks for it by its names."""

    def __init__(self, serving, client):
        self.serving, self.client = serving, client
        tom, mia = (serving.archive.store(name) for name in ("tom", "mia"))
        self.keys = {role: _bearer(tom, role) for role in AccessRole}
        self.her_key = _bearer(mia, AccessRole.OPERATE)
        rules, config = serving.extractor, serving.config
        for store, lives in ((tom, "Lisbon"), (mia, "Zanzibar")):
            collect.hear(store, config.collect, f"I live in {lives}.", rules)
        with Here(config, stands.notebook, Event()) as here:
            here.run("mia")
        collect.hear(mia, config.collect, "I like marzipan.", rules)
        careful = config.collect.model_copy(update={"approval": "manual"})
        collect.hear(mia, careful, "My sister is called Ottilie.", rules)
        doomed = collect.hear(mia, config.collect, "I like liquorice.", rules).learned[0]
        erased = client.post("/facts/forget", json={"ids": [doomed.id]}, headers=self.her_key).json()
        run = client.post("/cycles", headers=self.her_key).json()
        # What it does is hers, and not of whoever asks later.
        serving.runs.close()
        (learned,) = mia.facts(statuses=[FactStatus.LEARNED])
        pending = next(fact for fact in mia.facts() if fact.object == "marzipan")
        adapter = mia.serving()
        self.ids = {
            "fact_id": [learned.id, pending.id],
            "memory_id": [learned.id, pending.id],
            "proposal_id": [mia.proposals()[0].id],
            "adapter_id": [adapter.id],
            "id_": [learned.id, adapter.id, learned.utterance_id, learned.batch_id],
            "name": [erased["receipt"]],
            "cycle_id": [run["id"]],
            "model": [f"ice@{adapter.id}"],
        }  # fmt: skip
        self.hidden = [
            "Zanzibar", "marzipan", "Ottilie", mia.identity(), erased["receipt"], run["id"],
            *self.ids["id_"], *self.ids["proposal_id"],
        ]  # fmt: skip
        note = Notary.at(config.ledger.key, serving.archive.origin).signed(serving.archive.checkpoint())
        words = ["mia", "Zanzibar", *self.ids["id_"]]
        self.queries = {
            "user_id": ["mia"],
            "agent_id": ["mia"],
            "run_id": ["mia"],
            "subject": ["user"],
            "relation": [learned.relation],
            "q": ["Zanzibar"],
            "answer": ["You live in Zanzibar."],
            "about": ["Where do I live?", learned.id],
            "first": [adapter.id],
            "second": [adapter.parent_id],
            "status": [*FactStatus, "approved"],
            "limit": ["1000"],
            "after": ["0"],
            "as_of": ["2100-01-01T00:00:00Z"],
            "recorded_as_of": ["2100-01-01T00:00:00Z"],
            "open": ["true"],
            "ledger_only": ["false"],
        }
        said = [{"role": "user", "content": "Where do I live?"}]
        self.bodies: dict[str, list[dict[str, object]]] = {
            "ChatRequest": [
                {"messages": said, "model": model, "user": user}
                for model in ("ice", *self.ids["model"])
                for user in (None, "mia")
            ],
            "NewMemories": [{"messages": "I like tea.", "user_id": "mia"}],
            "Search": [
                {"query": "Zanzibar"},
                {"query": "Zanzibar", "user_id": "mia"},
                {"query": "Zanzibar", "filters": {"user_id": "mia"}},
                {"query": "Zanzibar", "user_id": "tom", "filters": {"AND": [{"user_id": "mia"}]}},
            ],
            "NewWords": [{"text": "I live in Rome."}],
            "Reason": [{"reason": "why not"}],
            "Forgotten": [{"ids": [word], "dry_run": dry} for word in words for dry in (True, False)],
            "TakenBack": [{}, {"is_over": True}],
            "Words": [{"text": "I live in Zanzibar."}],
            "Revert": [{}, {"to": adapter.parent_id}],
            "Two": [{"older": note, "newer": note}],
        }  # fmt: skip

    @property
    def operations(self):
        """Every path and method that there is."""
        paths = self.client.app.openapi()["paths"].items()
        found = [(path, method.upper(), told) for path, methods in paths for method, told in methods.items()]
        assert len(found) > 30
        return found

    def requests(self):
        """Each of them, asked for what is Mia's in every way that it can be named."""
        for path, method, told in self.operations:
            names = {kind: list[str]() for kind in ("path", "query", "header")}
            for param in told.get("parameters", ()):
                names[param["in"]].append(param["name"])
            paths = [path]
            for name in names["path"]:
                paths = [p.replace(f"{{{name}}}", id_) for p in paths for id_ in self.ids[name]]
            needed = {name: self.queries[name][0] for name in NEEDED if name in names["query"]}
            queries = [needed, *({**needed, name: v} for name in names["query"] for v in self.queries[name])]
            for filled in paths:
                for body in self._bodies(told):
                    for query in queries:
                        yield method, filled, body | {"params": query}

    def _bodies(self, told):
        if "requestBody" not in told:
            return [{}]
        schema = told["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        return [{"json": body} for body in self.bodies[schema]]


def _bearer(store, role):
    return {"Authorization": f"Bearer {store.keys.issue('test', role)[1]}"}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    with stands.opened(tmp_path_factory.mktemp("two")) as serving:
        client = TestClient(create(serving), LOCAL, raise_server_exceptions=False)
        with client:
            yield Two(serving, client)
