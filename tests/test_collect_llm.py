"""The extractor over a chat model, with LangChain's fake models in the model's place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from ice_agent.collect import extract, extractor_named
from ice_agent.collect.llm import LlmExtractor
from ice_agent.errors import CollectError
from ice_agent.settings import Collect
from memory import USER, CandidateFact, Cardinality, Utterance

TEXT = "Since May I live in Porto. I no longer work at Acme. My password is hunter2."


def test_a_quoted_fact_becomes_a_candidate_with_its_span():
    fact = {
        "subject": "user", "relation": "Home", "object": "Porto", "quote": "I live in Porto",
        "cardinality": "many", "valid_from": "2026-05-01",
    }  # fmt: skip
    (candidate,) = heard([fact])
    assert (candidate.subject, candidate.relation, candidate.object) == (USER, "home", "Porto")
    assert candidate.statement == "The user lives in Porto."
    assert TEXT[candidate.start : candidate.end] == "I live in Porto"
    assert candidate.valid_from == date(2026, 5, 1)
    assert candidate.cardinality is Cardinality.ONE, "a known relation decides how many values it has"


def test_what_nobody_knows_has_as_many_values_as_the_model_says_unless_the_settings_do():
    fact = {"subject": "user", "relation": "Locker", "object": "Porto", "quote": "I live in Porto"}
    assert [c.cardinality for c in heard([fact | {"cardinality": "many"}])] == [Cardinality.MANY]
    assert [c.cardinality for c in heard([fact | {"cardinality": "one"}])] == [Cardinality.ONE]
    settings = Collect(set_valued=("locker",))
    assert [c.cardinality for c in heard([fact | {"cardinality": "one"}], settings)] == [Cardinality.MANY]


@pytest.mark.parametrize(
    ("relation", "canonical"),
    [("Husband", "spouse"), ("workplace", "employer"), ("chief_executive", "chief_executive"),
     ("CEO", "chief_executive"), ("favorite_color", "favourite colour")],
)  # fmt: skip
def test_a_model_may_call_a_relation_by_any_of_its_names(relation, canonical):
    fact = {"subject": "my mum", "relation": relation, "object": "Porto", "quote": "I live in Porto"}
    assert [c.relation for c in heard([fact])] == [canonical]


def test_a_fact_that_is_taken_back_needs_no_object():
    fact = {
        "subject": "I",
        "relation": "employer",
        "object": "",
        "quote": "I no longer work",
        "retracts": True,
    }
    (candidate,) = heard([fact])
    assert candidate.retracts
    assert (candidate.subject, candidate.object) == (USER, "")


def test_words_that_were_never_said_are_dropped_and_logged(caplog):
    fact = {"subject": "user", "relation": "home", "object": "Rome", "quote": "I live in Rome"}
    with caplog.at_level(logging.WARNING):
        assert heard([fact]) == ()
    assert "does not hold" in caplog.text


def test_the_filter_stands_around_the_chat_model_too():
    secret = {"subject": "user", "relation": "login", "object": "hunter2", "quote": "My password is hunter2"}
    home = {"subject": "user", "relation": "home", "object": "Porto", "quote": "I live in Porto"}
    assert [c.relation for c in heard([secret, home])] == ["home"]
    assert heard([home], settings=Collect(sensitive_relations=("home",))) == ()


def test_a_text_that_is_off_the_record_never_reaches_the_chat_model():
    extractor = LlmExtractor(_answering(AIMessage("never asked")))
    assert extract(said("Don't remember this: I live in Porto."), extractor, Collect()) == ()


@pytest.mark.parametrize(
    "answer",
    [
        AIMessage("I found no facts, sorry!"),
        AIMessage("", tool_calls=[{"name": "Extraction", "args": {"facts": "none"}, "id": "1"}]),
        AIMessage("", tool_calls=[{"name": "Extraction", "args": {"facts": [{"subject": 3}]}, "id": "1"}]),
    ],
    ids=["prose", "not a list", "not a fact"],
)
def test_garbage_is_one_clear_error(answer):
    with pytest.raises(CollectError, match=r"utterance u1.*collect it again") as raised:
        extract(said(TEXT), LlmExtractor(_answering(answer)), Collect())
    assert "\n" not in str(raised.value)


def test_a_chat_model_that_fails_is_one_clear_error():
    with pytest.raises(CollectError, match="RuntimeError: quota exceeded"):
        extract(said(TEXT), LlmExtractor(_OutOfQuota(responses=[])), Collect())


class _ToolCallingFake(FakeMessagesListChatModel):
    """LangChain's fake, which may also be handed tools."""

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **_: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self


class _OutOfQuota(_ToolCallingFake):
    def _generate(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("quota exceeded")


def heard(facts: list[dict[str, Any]], settings: Collect | None = None) -> tuple[CandidateFact, ...]:
    answer = AIMessage("", tool_calls=[{"name": "Extraction", "args": {"facts": facts}, "id": "1"}])
    return extract(said(TEXT), LlmExtractor(_answering(answer)), settings or Collect())


def _answering(answer: AIMessage) -> _ToolCallingFake:
    return _ToolCallingFake(responses=[answer])


def said(text: str) -> Utterance:
    return Utterance(id="u1", text=text, said_at=datetime(2026, 11, 20, tzinfo=UTC))


def test_a_provider_that_refuses_in_its_own_way_is_named(monkeypatch):
    class NoKey(Exception):
        pass

    def refuse(name, **settings):
        raise NoKey("set OPENAI_API_KEY")

    monkeypatch.setattr("langchain.chat_models.init_chat_model", refuse)
    with pytest.raises(CollectError, match="'openai:gpt-5' cannot be loaded: set OPENAI_API_KEY"):
        extractor_named("openai:gpt-5")
