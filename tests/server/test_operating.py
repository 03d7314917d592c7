"""Facts, cycles, adapters and the audit over HTTP: the life of a fact as an operator sees and steers it."""

from __future__ import annotations

import json
import time
from threading import Event

import pytest

from ice_agent import collect
from ice_agent.executors import Ending, Here
from memory import Adapter, AdapterStatus, now
from memory import audit as checker
from tests import serving as stands


@pytest.fixture
def at(served, client, request):
    """A tenant of its own, told and asked by its name."""
    return At(served, client, request.node.name)


class At:
    def __init__(self, served, client, tenant):
        self.served, self.client, self.tenant = served, client, tenant
        self.store = served.archive.store(tenant)

    def tell(self, text):
        return collect.hear(self.store, self.served.config.collect, text, self.served.extractor).learned[0]

    def learn(self):
        """A whole cycle, here and now."""
        with Here(self.served.config, stands.notebook, Event()) as here:
            return here.run(self.tenant)

    def get(self, path, expects=200, **query):
        return self._told(self.client.get(path, params=query, headers=self._headers), expects)

    def post(self, path, expects=200, **body):
        return self._told(self.client.post(path, json=body, headers=self._headers), expects)

    @property
    def _headers(self):
        return {"X-Ice-Tenant": self.tenant}

    @staticmethod
    def _told(answer, status):
        assert answer.status_code == status, answer.text
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.text


# -- facts ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_fact_is_told_with_where_it_is_served_from_and_the_words_it_is_from(at):
    fact = at.tell("I live in Lisbon.")
    story = at.get(f"/facts/{fact.id}")
    assert (story["fact"]["statement"], story["served_from"]) == ("The user lives in Lisbon.", "prompt")
    assert story["mentions"][0]["utterance"]["text"] == "I live in Lisbon."
    at.learn()
    assert at.get(f"/facts/{fact.id}")["served_from"] == "weights"
    at.tell("I live in Oslo.")
    assert at.get(f"/facts/{fact.id}")["served_from"] == "overridden"
    assert [f["object"] for f in at.get(f"/facts/{fact.id}")["history"]] == ["Lisbon", "Oslo"]


def test_facts_are_listed_by_state_subject_and_moment_and_found_by_words(at):
    at.tell("I live in Lisbon."), at.tell("I live in Oslo."), at.tell("I like tea.")
    assert [f["object"] for f in at.get("/facts")["facts"]] == ["Oslo", "tea"]
    assert [f["object"] for f in at.get("/facts", limit=1)["facts"]] == ["tea"]
    assert [f["object"] for f in at.get("/facts", status="superseded")["facts"]] == ["Lisbon"]
    assert [f["object"] for f in at.get("/facts", relation="likes")["facts"]] == ["tea"]
    assert at.get("/facts", as_of="2000-01-01T00:00:00Z")["facts"] == []
    at.get("/facts", as_of="946684800", expects=422)
    at.get("/facts", as_of="0001-01-01T00:00:00+23:59", expects=422)
    assert at.get("/facts", as_of="2000-01-01T00:00:00", expects=422)
    (best, *_) = at.get("/facts/search", q="tea")
    assert (best["fact"]["object"], best["score"]) == ("tea", 1.0)


def test_a_fact_is_set_aside_released_and_taken_back(at):
    fact = at.tell("I live in Lisbon.")
    assert at.post(f"/facts/{fact.id}/quarantine", reason="who says so?")["status"] == "quarantined"
    assert [f["id"] for f in at.get("/cycles/pending")["set_aside"]] == [fact.id]
    assert at.post(f"/facts/{fact.id}/release")["status"] == "pending"
    rome = at.tell("I live in Rome.")
    at.post(f"/facts/{rome.id}/retract")
    assert at.get(f"/facts/{fact.id}")["fact"]["status"] == "pending", "Rome was wrong"
    assert at.post(f"/facts/{fact.id}/retract")["status"] == "retracted"
    assert "nothing to take back" in at.post(f"/facts/{fact.id}/retract", expects=409)["detail"]
    assert "no fact" in at.post("/facts/f_none/release", expects=404)["detail"]


def test_what_waits_for_a_person_is_approved_or_declined(at):
    careful = at.served.config.collect.model_copy(update={"approval": "manual"})
    collect.hear(at.store, careful, "I live in Lisbon. I like tea.", at.served.extractor)
    first, second = at.get("/facts/proposals")["proposals"]
    assert at.post(f"/facts/proposals/{first['id']}/approve")["fact"]["object"] == "Lisbon"
    assert at.post(f"/facts/proposals/{second['id']}/decline")["status"] == "declined"
    assert at.get("/facts/proposals") == {"proposals": []}
    assert len(at.get("/facts/proposals", status="declined")["proposals"]) == 1


@pytest.mark.slow
def test_forgetting_shows_first_what_would_go_and_leaves_a_receipt(at):
    fact = at.tell("I live in Lisbon.")
    at.learn()
    assert "give ids, or a subject" in at.post("/facts/forget", expects=400)["detail"]
    assert "nothing of that is known" in at.post("/facts/forget", subject="Nobody", expects=404)["detail"]
    foreseen = at.post("/facts/forget", ids=[fact.id], dry_run=True)
    assert [f["id"] for f in foreseen["forgotten"]["facts"]] == [fact.id]
    assert at.get(f"/facts/{fact.id}")["served_from"] == "weights"
    done = at.post("/facts/forget", ids=[fact.id])
    assert (done["dry_run"], len(done["forgotten"]["adapters"])) == (False, 1)
    at.get(f"/facts/{fact.id}", expects=404)
    assert at.get("/audit/receipts") == {"receipts": [done["receipt"]]}
    receipt = at.get(f"/audit/receipts/{done['receipt']}")
    assert fact.id in receipt
    assert "Lisbon" not in receipt
    at.get("/audit/receipts/..%2Fledger.key", expects=404)


def test_the_receipt_of_a_tenant_that_was_forgotten_whole_is_still_to_be_had(client):
    def receipts():
        return client.get("/audit/receipts", headers=gone).json()["receipts"]

    gone = {"X-Ice-Tenant": "gone"}
    before = receipts()
    memories = {"messages": "I live in Lisbon.", "user_id": "gone"}
    assert client.post("/memories", json=memories).status_code == 200
    assert receipts() == []
    assert client.delete("/memories", params={"user_id": "gone"}).status_code == 200
    (name,) = set(receipts()) - set(before)
    assert client.get(f"/audit/receipts/{name}", headers=gone).status_code == 200


# -- cycles and adapters -------------------------------------------------------------------------------------


def test_a_cycle_is_asked_for_and_runs_beside(at):
    assert "nothing is pending" in at.post("/cycles", expects=409)["detail"]
    at.tell("I live in Lisbon.")
    assert at.get("/cycles")["next"]["why"]
    run = at.post("/cycles", expects=202)
    until = time.monotonic() + 240
    while (run := at.get(f"/cycles/{run['id']}"))["state"] != "ended":
        assert time.monotonic() < until, run
        time.sleep(0.01)
    assert (run["ending"], run["reasons"]) == ("promoted", [])
    assert at.get("/adapters")["serving"] == run["adapter_id"]
    assert [each["id"] for each in at.get("/cycles")["asked"]] == [run["id"]]
    at.get("/cycles/c_none", expects=404)


@pytest.mark.slow
def test_the_plan_is_what_a_cycle_would_take(at):
    assert "ice-agent init" in at.get("/cycles/plan", expects=409)["detail"]
    at.tell("I live in Lisbon.")
    at.learn()
    at.tell("I like tea.")
    assert [request["target"] for request in at.get("/cycles/plan")["requests"]] != []


@pytest.mark.slow
def test_adapters_are_shown_compared_reverted_and_promoted_again(at):
    at.tell("I live in Lisbon.")
    assert at.learn().ending is Ending.PROMOTED
    root, learned = at.get("/adapters")["adapters"]
    card = at.get(f"/adapters/{learned['id']}")
    assert [fact["object"] for fact in card["taught"]] == ["Lisbon"]
    assert {guard["reason"] for guard in card["guards"]} == {""}
    assert learned["id"] in card["card"]
    difference = at.get("/adapters/compare", first=root["id"], second=learned["id"])
    assert [fact["object"] for fact in difference["only_second"]] == ["Lisbon"]
    reverted = at.post("/adapters/revert")
    assert (reverted["reverted"]["id"], reverted["serving"]["id"]) == (learned["id"], root["id"])
    assert at.post(f"/adapters/{learned['id']}/promote")["status"] == "promoted"
    assert at.get("/adapters")["serving"] == learned["id"]
    at.post(f"/adapters/{root['id']}/reject", expects=409)
    at.post("/facts/forget", ids=[fact["id"] for fact in card["taught"]])
    assert "is forgotten" in at.post(f"/adapters/{learned['id']}/promote", expects=409)["detail"]


def test_an_adapter_without_files_is_told_of_and_not_where_they_lay(at):
    made = Adapter(
        id="a_gone", parent_id=None, status=AdapterStatus.CANDIDATE, base_hash="b" * 64, path="a_gone",
        created_at=now(),
    )  # fmt: skip
    at.store.root(made)
    refused = at.post("/adapters/revert", to="a_gone", expects=409)["detail"]
    (problem,) = at.get("/audit/verify")["problems"]
    for told in (refused, problem):
        assert "no readable adapter at a_gone: manifest.json: No such file" in told
        assert str(at.served.config.adapters.dir.parent) not in told


@pytest.mark.slow
def test_an_adapter_whose_guards_do_not_hold_is_not_promoted_and_says_why(at):
    at.tell("I live in Lisbon.")
    at.learn()
    adapter = at.store.serving()
    at.post("/adapters/revert")
    at.store.record_scores(adapter.id, adapter.parent_scores, adapter.parent_scores)
    assert "not enough evidence" in at.post(f"/adapters/{adapter.id}/promote", expects=409)["detail"]


# -- audit ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_answer_is_explained_by_the_sentence_it_came_from(at):
    fact = at.tell("I live in Lisbon.")
    at.learn()
    for about in (fact.id, "Where do I live?"):
        story = at.get("/audit/explain", about=about)
        assert story["mentions"][0]["utterance"]["text"] == "I live in Lisbon."
        assert story["adapter"]["id"] == at.store.serving().id
    at.get("/audit/explain", about="Who was Napoleon?", expects=404)


def test_the_ledger_is_read_in_pages_and_is_as_it_was_recorded(at):
    at.tell("I live in Lisbon."), at.tell("I like tea.")
    first = at.get("/audit/ledger", limit=2)
    rest = at.get("/audit/ledger", after=2)
    whole = [*first["entries"], *rest["entries"]]
    assert [entry["position"] for entry in whole] == list(range(1, first["tip"]["position"] + 1))
    found = at.get("/audit/verify")
    # Nobody else's entries are counted.
    assert (found["n_entries"], found["problems"]) == (len(whole), [])


def test_a_checkpoint_proves_what_is_under_it_and_that_a_later_one_only_adds(at, tmp_path):
    fact = at.tell("I live in Lisbon.")
    older = at.post("/audit/checkpoint")
    at.tell("I like tea.")
    newer = at.post("/audit/checkpoint")
    for proof in (
        at.get(f"/audit/proof/{fact.id}", open=True),
        at.post("/audit/consistency", older=older["note"], newer=newer["note"]),
    ):
        checker.require_proof(proof, checker.Key.read(newer["key"]))
    changed = older["note"].replace("\n", "\nx", 1)
    at.post("/audit/consistency", older=changed, newer=newer["note"], expects=400)


def test_an_export_is_checked_without_the_database(at, tmp_path):
    at.tell("I live in Lisbon.")
    collect.hear(
        at.served.archive.store("somebody else"), at.served.config.collect, "Hi.", at.served.extractor
    )
    at.post("/audit/checkpoint")
    for path in ("/audit/export", "/ui/audit/export"):
        tenants = {row["tenant"] for row in map(json.loads, at.get(path).splitlines()) if "tenant" in row}
        # A page shows the tenant that its visitor chose; this one has none.
        assert tenants == ({at.store.identity()} if path == "/audit/export" else set())
    rows = [json.loads(line) for line in at.get("/audit/export").splitlines()]
    assert {"fact", "entry", "tip"} <= {row["kind"] for row in rows}
    assert "Lisbon" not in at.get("/audit/export", ledger_only=True)
