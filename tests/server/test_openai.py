"""OpenAI's form: answers whole and in pieces, what is refused, and what becomes of who goes away."""

from __future__ import annotations

import json

import pytest

from ice_agent.errors import EngineError, Overloaded, PromptTooLong
from ice_agent.forget import NOT_BY_NAME
from memory import ERASED, AccessRole, Adapter, AdapterStatus, FactStatus, now
from tests.serving import Reciter, reciter

CHAT = "/v1/chat/completions"


@pytest.fixture
def recites(served):
    """The engine behind the server, as it was for the first test."""
    engine = reciter(served)
    vars(engine).update(vars(Reciter()))
    return engine


@pytest.fixture
def ask(client, recites):
    def send(text="Where do I live?", tenant="tom", **fields):
        body = {"model": "ice", "messages": [{"role": "user", "content": text}]} | fields
        return client.post(CHAT, json=body, headers={"X-Ice-Tenant": tenant})

    return send


def taught(served, tenant, adapter_id):
    """The tenant's adapter that serves."""
    made = Adapter(
        id=adapter_id, parent_id=None, status=AdapterStatus.CANDIDATE, base_hash="b" * 64, path=adapter_id,
        created_at=now(),
    )  # fmt: skip
    return served.archive.store(tenant).root(made)


def events(answer):
    lines = [line for line in answer.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line.removeprefix("data: ") for line in lines]


# -- answers -------------------------------------------------------------------------------------------------


def test_an_answer_is_whole_with_its_usage_and_names_the_adapter(served, ask, recites):
    taught(served, "anna", "a_anna")
    answer = ask(tenant="anna").json()
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "It is so.", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert (answer["object"], answer["model"], answer["system_fingerprint"]) == (
        "chat.completion", "ice", "a_anna",
    )  # fmt: skip
    n_prompt = len(recites.asked[-1].prompt)
    assert answer["usage"] == {
        "prompt_tokens": n_prompt, "completion_tokens": 3, "total_tokens": n_prompt + 3,
        "prompt_tokens_details": {"memory_tokens": 0},
    }  # fmt: skip
    assert recites.asked[-1].adapter.id == "a_anna"


def test_a_tenant_that_was_taught_nothing_is_answered_by_the_base(ask, recites):
    assert ask(tenant="nobody").json()["system_fingerprint"] == "base"
    assert recites.asked[-1].adapter is None


def test_pieces_come_as_openai_sends_them(ask):
    answer = ask(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, done = events(answer)
    assert done == "[DONE]"
    chunks = [json.loads(chunk) for chunk in chunks]
    assert {c["object"] for c in chunks} == {"chat.completion.chunk"}
    assert len({(c["id"], c["created"], c["system_fingerprint"]) for c in chunks}) == 1
    choices = [c["choices"][0] for c in chunks]
    assert [c["delta"] for c in choices] == [
        {"role": "assistant", "content": ""}, {"content": "It"}, {"content": " is"}, {"content": " so."}, {},
    ]  # fmt: skip
    assert [c["finish_reason"] for c in choices] == [None] * 4 + ["stop"]
    assert all("usage" not in c for c in chunks)


def test_the_last_piece_has_the_usage_where_it_is_asked_for(ask):
    *chunks, last, _ = map(_read, events(ask(stream=True, stream_options={"include_usage": True})))
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 3)


def test_an_answer_that_was_cut_says_so(ask):
    assert ask(max_tokens=2).json()["choices"][0]["finish_reason"] == "length"
    assert json.loads(events(ask(max_tokens=2, stream=True))[-2])["choices"][0]["finish_reason"] == "length"


def test_what_is_asked_reaches_the_engine(ask, recites):
    ask(temperature=0.7, top_p=0.9, seed=7, stop=["\n", "END"], max_completion_tokens=9)
    asked = recites.asked[-1]
    assert (asked.temperature, asked.top_p, asked.seed, asked.stop, asked.max_tokens) == (
        0.7, 0.9, 7, ("\n", "END"), 9,
    )  # fmt: skip
    ask(stop="END")
    asked = recites.asked[-1]
    assert (asked.temperature, asked.top_p, asked.seed, asked.stop, asked.max_tokens) == (
        0.0, 1.0, None, ("END",), 64,
    )  # fmt: skip


# -- memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_what_a_user_says_is_in_the_prompt_of_the_next_request(ask, recites, stream):
    tenant = f"lisbon-{stream}"
    first = ask("I live in Lisbon.", tenant, stream=stream)
    assert "Lisbon" not in recites.prompt.replace("I live in Lisbon.", "")
    assert first.status_code == 200
    second = ask("Where do I live?", tenant).json()
    assert "The user lives in Lisbon." in recites.prompt
    assert second["usage"]["prompt_tokens_details"]["memory_tokens"] > 0


def test_a_revision_and_the_base_recall_nothing_and_hear_nothing(served, ask, recites):
    taught(served, "eve", "a_eve")
    ask("I live in Lisbon.", "eve")
    for model, adapter_id in (("ice@a_eve", "a_eve"), ("base", None)):
        answer = ask("I live in Rome. Where do I live?", "eve", model=model).json()
        assert "Lisbon" not in recites.prompt
        assert (recites.asked[-1].adapter and recites.asked[-1].adapter.id) == adapter_id
        assert (answer["model"], answer["system_fingerprint"]) == (model, adapter_id or "base")
    assert [fact.object for fact in served.archive.store("eve").facts()] == ["Lisbon"]


def test_a_system_turn_stands_before_what_is_recalled_and_a_developers_is_one(ask, recites):
    ask("I live in Lisbon.", "max")
    turns = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello!"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Where do "}, {"type": "text", "text": "I live?"}],
        },
    ]
    assert ask(tenant="max", messages=turns).status_code == 200
    head, _, rest = recites.prompt.partition("<user>")
    assert head.startswith("<system>Be brief.")
    assert "Lisbon" in head
    assert rest == "Hello.<assistant>Hello!<user>Where do I live?"


def test_the_tenant_is_the_one_that_the_field_user_names(served, client, recites):
    body = {"messages": [{"role": "user", "content": "I live in Oslo."}], "user": "named-by-field"}
    assert client.post(CHAT, json=body).status_code == 200
    assert [fact.object for fact in served.archive.store("named-by-field").facts()] == ["Oslo"]


def test_an_answer_is_given_though_its_question_cannot_be_kept(served, ask):
    served.archive.store("shared").declare(shared=True)
    assert ask("I live in Lisbon.", "shared").json()["choices"][0]["message"]["content"] == "It is so."


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": 1025}, "max_tokens"),
        ({"max_completion_tokens": 1025}, "max_completion_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "Yes."}]}, "messages"),
        ({"messages": [{"role": "function", "content": "4"}]}, "messages"),
        ({"functions": [{"name": "f"}]}, "functions"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages",
        ),
    ],
)
def test_what_it_does_not_do_is_a_400_that_names_the_field(ask, fields, param):
    answer = ask(**fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")


def test_what_clients_send_besides_is_left_out(ask):
    sent = {
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "store": False,
        "metadata": {},
        "tool_choice": "none",
    }
    assert (
        ask(**sent, tools=[], response_format={"type": "text"}, parallel_tool_calls=True).status_code == 200
    )


@pytest.mark.parametrize("model", ["gpt-5", "ice@", "ice@nothing", "ICE", ""])
def test_a_model_that_is_not_there_is_404_as_openai_tells_it(ask, model):
    answer = ask(model=model)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_another_tenants_revision_is_not_there(served, ask):
    taught(served, "ann", "a_ann")
    assert ask(tenant="bob", model="ice@a_ann").status_code == 404


def test_models_are_ice_the_base_and_what_can_still_be_asked(served, client):
    taught(served, "listed", "a_listed")
    headers = {"X-Ice-Tenant": "listed"}
    assert [m["id"] for m in client.get("/v1/models", headers=headers).json()["data"]] == [
        "ice", "base", "ice@a_listed",
    ]  # fmt: skip
    assert client.get("/v1/models/ice@a_listed", headers=headers).json()["id"] == "ice@a_listed"
    assert client.get("/v1/models/ice@a_listed", headers={"X-Ice-Tenant": "x"}).status_code == 404


def test_too_many_at_once_is_429_and_says_when_to_come_back(ask, recites):
    recites.refusal = Overloaded(64, 7)
    answer = ask(stream=True)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["error"]["type"] == "rate_limit_error"


def test_a_prompt_that_is_too_long_is_400_by_openais_code(ask, recites):
    recites.refusal = PromptTooLong(5000, 4096)
    answer = ask()
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_an_answer_that_breaks_off_is_an_error_whole_or_in_pieces(served, ask, recites):
    recites.breaks = EngineError("the answer broke off")
    assert ask().status_code == 503
    *_, last = events(ask("I live in Lisbon.", "broken", stream=True))
    assert json.loads(last)["error"]["type"] == "server_error"
    # What was said was said.
    assert [fact.object for fact in served.archive.store("broken").facts()] == ["Lisbon"]


def test_a_closed_engine_is_503(ask, recites):
    recites.is_open = False
    assert ask().status_code == 503


def test_a_key_is_held_to_its_tenant_and_its_role(guarded, guarded_client, bearer):
    body = {"messages": [{"role": "user", "content": "I live in Lisbon."}]}
    headers = bearer("tom", AccessRole.CHAT)
    assert guarded_client.post(CHAT, json=body, headers=headers).status_code == 200
    assert [fact.object for fact in guarded.archive.store("tom").facts()] == ["Lisbon"]
    other = guarded_client.post(CHAT, json=body | {"user": "mia"}, headers=headers)
    assert (other.status_code, other.json()["error"]["param"]) == (403, "user")
    wrong = guarded_client.post(CHAT, json=body, headers={"Authorization": "Bearer sk-1"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    auditor = guarded_client.post(CHAT, json=body, headers=bearer("tom", AccessRole.AUDIT))
    assert (auditor.status_code, auditor.json()["error"]["type"]) == (403, "permission_error")


def _read(event):
    return json.loads(event) if event != "[DONE]" else None


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_half_a_character_in_any_message_is_refused_and_not_an_error_inside(client, recites, role):
    messages = [{"role": role, "content": "\ud800"}, {"role": "user", "content": "Where do I live?"}]
    body = json.dumps({"model": "ice", "messages": messages})
    answer = client.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("messages", [[("user", "")], [("user", "Hi."), ("assistant", "Hi."), ("user", " ")]])
def test_a_turn_that_says_nothing_is_400(client, recites, messages):
    body = {"model": "base", "messages": [{"role": role, "content": text} for role, text in messages]}
    answer = client.post(CHAT, json=body)
    assert (answer.status_code, answer.json()["error"]["param"], recites.asked) == (400, "messages", [])


def test_a_conversation_that_cannot_fit_is_refused_before_it_is_read(served, ask, monkeypatch):
    monkeypatch.setattr(served.model, "encode", lambda *_: pytest.fail("it was read"))
    monkeypatch.setattr("ice_agent.server.openai.fewest_tokens", lambda _, turns: len(turns[-1].content))
    answer = ask("x" * 900_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_a_body_that_nobody_calls_json_is_told_how_to_be_sent(client):
    answer = client.post(CHAT, content='{"messages": []}')
    problem = answer.json()["error"]
    assert (answer.status_code, "`Content-Type: application/json`" in problem["message"]) == (400, True)
    elsewhere = client.post("/search", content="{}", headers={"Content-Type": "text/plain"})
    assert (elsewhere.status_code, elsewhere.json()["detail"]) == (400, problem["message"])
    assert (
        client.post(CHAT, content="{}", headers={"Content-Type": "application/x+json"}).json()
        != answer.json()
    )


def test_a_body_that_is_no_json_is_told_so_without_a_place_that_is_none(client):
    answer = client.post(CHAT, content="{", headers={"content-type": "application/json"})
    problem = answer.json()["error"]
    assert (answer.status_code, problem["message"], problem["param"]) == (400, "JSON decode error", None)


# -- forgetting ----------------------------------------------------------------------------------------------

THAT = "Forget what I just said."


def conversation(*said):
    *before, last = said
    turns = [[("user", text), ("assistant", "Noted.")] for text in before]
    spoken = [*(turn for both in turns for turn in both), ("user", last)]
    return [{"role": role, "content": text} for role, text in spoken]


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_just_said_is_forgotten_with_a_receipt_and_no_model_is_asked(served, ask, recites, stream):
    tenant = f"slip {stream}"
    for text in ("I like tea.", "I live in Oslo."):
        ask(text, tenant)
    asked = len(recites.asked)
    answer = ask("", tenant, messages=conversation("I like tea.", "I live in Oslo.", THAT), stream=stream)
    if stream:
        told = "".join(
            json.loads(each)["choices"][0]["delta"].get("content", "") for each in events(answer)[:-1]
        )
    else:
        told = answer.json()["choices"][0]["message"]["content"]
        assert answer.json()["usage"] == {
            "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0,
            "prompt_tokens_details": {"memory_tokens": 0},
        }  # fmt: skip
    assert told == "forgot: The user lives in Oslo."
    store = served.archive.store(tenant)
    assert [fact.object for fact in store.facts(statuses=FactStatus)] == ["tea"]
    assert [heard.text for heard in store.utterances()] == ["I like tea.", ERASED]
    assert (len(recites.asked), recites.n_forgotten) == (asked, 1)
    assert len(list(served.config.ledger.checkpoints.glob(f"{store.identity()}-*.receipt"))) == 1


def test_again_it_is_what_was_said_before_and_what_was_never_kept_is_not_there(served, ask):
    ask("I like figs.", "again")
    said = ["I like figs.", "I live in Bergen.", THAT, THAT]
    told = [
        ask("", "again", messages=conversation(*said[:n])).json()["choices"][0]["message"]["content"]
        for n in (3, 4)
    ]
    assert told == ["nothing of that is known here: nothing was forgotten", "forgot: The user likes figs."]
    ask("Forget everything about Olga.", "never heard of")
    assert "never heard of" not in served.archive.tenants()


def test_by_name_a_key_that_operates_erases_and_one_that_chats_takes_back(guarded, guarded_client, bearer):
    def said(text, role, *before):
        body = {"model": "ice", "messages": conversation(*before, text)}
        answer = guarded_client.post(CHAT, json=body, headers=bearer("nia", role))
        return answer.json()["choices"][0]["message"]["content"]

    store, chat, operate = guarded.archive.store("nia"), AccessRole.CHAT, AccessRole.OPERATE
    for text in ("I live in Oslo.", "Anna lives in Rome.", "I like tea."):
        said(text, chat)
    taken_back, why = said("Forget that I live in Oslo.", chat).splitlines()
    assert (taken_back, why) == ("taken back: The user lives in Oslo.", NOT_BY_NAME)
    assert said("Forget everything about Anna.", chat) == NOT_BY_NAME
    assert said(THAT, chat, "I like tea.") == "forgot: The user likes tea."
    assert [fact.status for fact in store.facts(statuses=FactStatus)] == ["retracted", "pending"]
    assert said("Forget everything about Anna.", operate) == "forgot: Anna lives in Rome."
    assert said("Forget that I live in Oslo.", operate) == "forgot: The user lives in Oslo."
    assert store.facts(statuses=FactStatus) == ()
    assert {heard.text for heard in store.utterances()} <= {ERASED, "Forget everything about Anna."}
    assert "ice-agent forget --tenant nia" in said("Forget everything about me.", operate)
