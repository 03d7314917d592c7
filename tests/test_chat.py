"""What a chat forgets when it is asked to, and what it says of it; on the tiny model of tests/schooled.py."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ice_agent.chat import Chat
from ice_agent.collect.requests import ForgetRequest, forget_request
from ice_agent.errors import ForgetError
from memory import ERASED, FactStatus, Notary, NotaryError, broken_receipt, opened_receipt
from tests.schooled import Assistant

BERG = "Anna Berg lives in Lisbon."


@pytest.fixture
def assistant(tmp_path):
    assistant = Assistant(tmp_path)
    yield assistant
    assistant.archive.close()


@pytest.fixture
def chat(assistant):
    out, progress = Console(file=io.StringIO(), width=100), Console(file=io.StringIO())
    return Chat(assistant.agent, assistant.archive, out, progress)


def forgotten(chat, text):
    taken = chat.turn(text).forgotten
    assert taken is not None
    return [fact.statement for fact in taken.facts]


def words(assistant):
    return [utterance.text for utterance in assistant.store.utterances()]


@pytest.mark.parametrize(
    "text",
    ["forget that", "Forget what I just said.", "please forget the last thing I told you!",
     "Actually, forget that", "Can you delete my last message please?",
     "no wait, forget everything I just said"],
)  # fmt: skip
def test_forget_what_i_just_said_takes_its_facts_and_its_words(assistant, chat, text):
    chat.turn("I like tea.")
    chat.turn(BERG)
    assert forgotten(chat, text) == [BERG]
    assert [fact.object for fact in assistant.store.facts(statuses=FactStatus)] == ["tea"]
    assert words(assistant) == ["I like tea.", ERASED]


def test_again_it_is_what_was_said_before(assistant, chat):
    for text in ("I like tea.", "Nice weather!", BERG):
        chat.turn(text)
    assert [forgotten(chat, "Forget that.") for _ in range(4)] == [[BERG], [], ["The user likes tea."], []]
    assert words(assistant) == [ERASED] * 3


def test_what_was_known_before_it_was_said_again_stays(assistant, chat):
    told = assistant.tell(BERG)
    chat.turn("Anna Berg lives in Lisbon, you know.")
    assert forgotten(chat, "Forget what I just said.") == []
    assert assistant.store.fact(told.id).is_current
    assert words(assistant) == [f"Remember that {BERG}", ERASED]


def test_the_next_prompt_holds_no_word_of_what_was_forgotten(assistant, chat):
    chat.turn(BERG)
    chat.turn("Forget that.")
    reply = chat.turn("Where does Anna Berg live?").reply
    assert reply is not None
    assert reply == assistant.agent.answer("Where does Anna Berg live?")
    assert reply.text != "Lisbon"


def test_forget_that_i_live_there_erases_it_and_keeps_no_word_of_the_request(assistant, chat):
    chat.turn("I live in Oslo.")
    assert forgotten(chat, "Forget that I live in Oslo.") == ["The user lives in Oslo."]
    assert assistant.store.facts(statuses=FactStatus) == ()
    assert words(assistant) == [ERASED]


def test_forget_my_address_erases_every_value_that_it_had(assistant, chat):
    chat.turn("My address is 4 Elm Road.")
    chat.turn("My address is 9 Oak Road.")
    assert len(forgotten(chat, "Please forget my address.")) == 2
    assert assistant.store.facts(statuses=FactStatus) == ()


def test_forget_everything_about_my_sister_is_about_her_by_every_name(assistant, chat):
    for text in ("My sister lives in Rome.", "My sister is called Anna.", "Anna likes tea.", "I like Rome."):
        chat.turn(text)
    assert len(forgotten(chat, "Forget everything about my sister.")) == 3
    assert [fact.object for fact in assistant.store.facts(statuses=FactStatus)] == ["Rome"]


def test_adapters_that_learned_it_are_deleted(assistant, chat):
    assistant.tell(BERG)
    report = assistant.learn()
    assert report.verdict.promote
    taken = chat.turn("Forget that Anna Berg lives in Lisbon.").forgotten
    assert [adapter.id for adapter in taken.adapters] == [report.adapter.id]
    assert not (assistant.config.adapters.dir / report.adapter.path).exists()
    assert assistant.agent.answer("Where does Anna Berg live?").text != "Lisbon"


def test_it_is_said_what_went_or_that_nothing_was_found(assistant):
    out = io.StringIO()
    chat = Chat(assistant.agent, assistant.archive, Console(file=out, width=100), Console(file=io.StringIO()))
    chat.say(
        ["I live in Oslo.", "Forget that I live in Rome.", "Forget that I live in Oslo.", "Forget that."]
    )
    said = out.getvalue()
    assert "nothing of that is known here: nothing was forgotten" in said
    assert "forgot: The user lives in Oslo." in said
    assert assistant.store.facts() == ()
    receipts = list(assistant.config.ledger.checkpoints.glob("*.receipt"))
    assert [str(path) in said for path in receipts] == [True]


def test_of_what_is_forgotten_there_is_a_signed_receipt(assistant, chat):
    chat.turn(BERG)
    (fact,) = assistant.store.facts()
    exchange = chat.turn("Forget what I just said.")
    assert exchange.receipt is not None
    key = Notary.at(assistant.config.ledger.key, assistant.archive.origin).key
    receipt = opened_receipt(exchange.receipt.read_text(), key)
    assert (receipt["facts"], receipt["serving"]) == ([fact.id], assistant.serving.id)
    assert list(broken_receipt(receipt, assistant.store.ledger())) == []
    assert chat.turn("Forget that I live in Rome.").receipt is None


def test_a_key_that_cannot_be_used_is_said_before_anything_is_forgotten(assistant, chat):
    chat.turn(BERG)
    assistant.config.ledger.key.write_text("no key")
    with pytest.raises(NotaryError, match="holds no signing key"):
        chat.turn("Forget what I just said.")
    assert len(assistant.store.facts()) == 1
    chat.say(["Forget what I just said."])
    assert chat.turn("Nice weather!").reply is not None


def test_all_about_the_user_is_a_tenant_to_forget(chat):
    with pytest.raises(ForgetError, match="ice-agent forget --tenant tom"):
        chat.turn("Forget everything about me.")


@pytest.mark.parametrize(
    "text",
    ["Forget it!", "Don't forget that I live in Rome.", "I always forget that.", "Never forget this.",
     "Did you forget that I live in Rome?", "I forget what I just said.", "forget to buy milk"],
)  # fmt: skip
def test_what_only_speaks_of_forgetting_is_no_request(text):
    assert forget_request(text) is None


def test_whom_all_is_to_be_forgotten_about():
    assert forget_request("please forget all you know about Anna Berg.") == ForgetRequest(subject="Anna Berg")


def test_a_request_that_names_no_fact_is_something_said(assistant, chat):
    exchange = chat.turn("Forget the milk.")
    assert exchange.forgotten is None
    assert exchange.reply is not None
