"""mem0's REST form: what its server's clients send, and what they read."""

from __future__ import annotations

import json

import pytest

from memory import AccessRole
from tests.serving import reciter

LISBON = [{"role": "user", "content": "I live in Lisbon."}]


@pytest.fixture
def told(client):
    """Tells something of a user; gives the memories that it became."""

    def tell(user_id, text="I live in Lisbon.", **more):
        body = {"messages": [{"role": "user", "content": text}], "user_id": user_id} | more
        answer = client.post("/memories", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    return tell


def test_what_is_added_is_found_got_listed_changed_and_deleted(client, told, served):
    (added,) = told("tom")
    assert (added["memory"], added["event"]) == ("The user lives in Lisbon.", "ADD")
    (found,) = client.post("/search", json={"query": "Where does he live?", "user_id": "tom"}).json()[
        "results"
    ]
    assert (found["id"], found["user_id"]) == (added["id"], "tom")
    assert 0 < found["score"] <= 1
    path = f"/memories/{added['id']}"
    assert client.get(path).json()["memory"] == "The user lives in Lisbon."
    assert client.put(path, json={"text": "I live in Oslo."}).json()["message"].startswith("Memory updated")
    assert [m["memory"] for m in client.get("/memories", params={"user_id": "tom"}).json()["results"]] == [
        "The user lives in Oslo."
    ]
    assert [c["event"] for c in client.get(f"{path}/history").json()] == ["ADD", "UPDATE"]
    before = reciter(served).n_forgotten
    assert client.delete(path).json() == {"message": "Memory deleted successfully!"}
    assert client.get(path).status_code == 404
    # The engine keeps what it has read of prompts, and they said it.
    assert reciter(served).n_forgotten == before + 1


def test_users_agents_and_runs_are_each_somebody_else(client, told):
    told("ann")
    assert client.get("/memories", params={"agent_id": "ann"}).json() == {"results": []}
    body = {"messages": LISBON, "user_id": "ann", "agent_id": "bot", "metadata": {"from": "a call"}}
    assert client.post("/memories", json=body).status_code == 200
    found = client.get("/memories", params={"user_id": "ann", "agent_id": "bot"}).json()["results"]
    assert [item["metadata"] for item in found] == [{"from": "a call"}]


def test_a_search_is_filtered_and_limited(client, told):
    told("sue", "I like tea.", metadata={"topic": "drinks"})
    told("sue", "I like jazz.", metadata={"topic": "music"})
    asked = {"query": "What do I like?", "filters": {"AND": [{"user_id": "sue"}, {"topic": "music"}]}}
    assert [m["memory"] for m in client.post("/search", json=asked).json()["results"]] == [
        "The user likes jazz."
    ]
    assert (
        len(client.post("/search", json={"query": "like", "user_id": "sue", "limit": 1}).json()["results"])
        == 1
    )


def test_everything_of_one_user_is_deleted_and_of_the_others_nothing(client, told):
    told("amy"), told("joe")
    assert client.delete("/memories").status_code == 400
    assert client.delete("/memories", params={"user_id": "amy"}).status_code == 200
    assert client.get("/memories", params={"user_id": "amy"}).json() == {"results": []}
    assert len(client.get("/memories", params={"user_id": "joe"}).json()["results"]) == 1
    assert client.post("/reset", headers={"X-Ice-Tenant": "joe"}).status_code == 200
    assert client.get("/memories", params={"user_id": "joe"}).json() == {"results": []}


def test_a_key_needs_no_id_takes_no_other_and_outlives_what_is_deleted(guarded_client, bearer):
    headers = bearer("kim")
    assert guarded_client.post("/memories", json={"messages": "I live in Lisbon."}, headers=headers).json()[
        "results"
    ]
    assert len(guarded_client.get("/memories", headers=headers).json()["results"]) == 1
    for ids in ({"user_id": "lee"}, {"agent_id": "kim"}, {"user_id": "kim", "run_id": "r"}):
        assert guarded_client.get("/memories", params=ids, headers=headers).status_code == 403
    assert guarded_client.get("/memories", params={"user_id": "kim"}, headers=headers).status_code == 200
    assert guarded_client.delete("/memories", headers=headers).status_code == 200
    assert guarded_client.get("/memories", headers=headers).json() == {"results": []}
    assert guarded_client.get("/memories", headers=bearer("kim", AccessRole.CHAT)).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"messages": LISBON, "user_id": ""}, 400),
        ({"messages": LISBON, "user_id": "a\0b"}, 400),
        ({"messages": 7, "user_id": "tom"}, 422),
        ({"messages": [{"role": "user", "content": ["text"]}], "user_id": "tom"}, 422),
        ({"messages": LISBON, "user_id": "tom", "metadata": {"a": "\ud800"}}, 400),
        ({"messages": "\0", "user_id": "tom"}, 400),
        ({"messages": [], "user_id": "tom"}, 400),
        ({"messages": " ", "user_id": "tom"}, 400),
    ],
)
def test_what_cannot_be_added_is_refused_in_words(client, body, status):
    answer = client.post("/memories", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)


@pytest.mark.parametrize(
    "filters", [{"AND": 1}, {"AND": [1]}, {"OR": []}, {"topic": {"in": []}}, {"user_id": 7}]
)
def test_filters_that_mean_nothing_are_400(client, filters):
    asked = {"query": "tea", "user_id": "tom", "filters": filters}
    assert client.post("/search", json=asked).status_code == 400


def test_what_was_forgotten_is_not_learned_again_before_it_is_allowed_and_that_is_said(client, told):
    (kept,) = told("gone")
    client.delete(f"/memories/{kept['id']}")
    (said,) = told("gone")
    assert (said["event"], "POST /facts/allow" in said["reason"]) == ("NONE", True)
    words = {"text": "I live in Lisbon."}
    allow = [
        client.post("/facts/allow", json=words, headers={"X-Ice-Tenant": "gone"}).json() for _ in range(2)
    ]
    assert [[fact["object"] for fact in each["allowed"]] for each in allow] == [["Lisbon"], []]
    assert [each["event"] for each in told("gone")] == ["ADD"]
    for text in (" ", "\0"):
        refused = client.post("/facts/allow", json={"text": text}, headers={"X-Ice-Tenant": "gone"})
        assert refused.status_code == 400
    stated = {"messages": LISBON, "infer": False, "user_id": "gone as it is"}
    (kept,) = client.post("/memories", json=stated).json()["results"]
    client.delete(f"/memories/{kept['id']}")
    assert client.post("/memories", json=stated).json()["results"][0]["event"] == "NONE"
    client.post("/facts/allow", json=words, headers={"X-Ice-Tenant": "gone as it is"})
    assert client.post("/memories", json=stated).json()["results"][0]["event"] == "ADD"


def test_a_memory_is_not_given_words_that_are_none(client, told):
    (kept,) = told("wordless")
    answer = client.put(f"/memories/{kept['id']}", json={"text": " "})
    assert answer.status_code == 400, answer.text
