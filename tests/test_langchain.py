"""LangChain's standard suites over the retriever and the tools, LangGraph's own store beside ours."""

from __future__ import annotations

import re
import sys

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests, ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

import ice_agent.langchain
from ice_agent.config import Config
from ice_agent.langchain import MemoryRetriever, memory_tools
from memory import ERASED, Archive
from tests.concepts import Concepts

ALL = {"remember": "I live in Lisbon.", "recall": "Where do I live?", "forget": "f_0"}


def settings(folder):
    return Config.model_validate(
        {"adapters": {"dir": folder / "adapters"}, "store": {"url": f"sqlite:///{folder / 'm.db'}"}}
    )


@pytest.fixture
def store(tmp_path):
    with Archive.open(settings(tmp_path).store.url) as archive:
        yield archive.store("ann")


@pytest.fixture
def tools(store, tmp_path):
    return {tool.name: tool for tool in memory_tools(store, settings(tmp_path))}


@pytest.fixture
def remember(tools):
    def told(*said):
        for text in said:
            tools["remember"].invoke({"text": text})

    return told


class OverAStore:
    """The suites ask for properties, so the store is put where those can see it."""

    @pytest.fixture(autouse=True)
    def _opened(self, store, tmp_path, remember):
        remember("I live in Lisbon.", "I like tea.", "I like jazz.", "I like chess.")
        self.store, self.folder = store, tmp_path


class TestRetriever(OverAStore, RetrieversIntegrationTests):
    @property
    def retriever_constructor(self):
        return MemoryRetriever

    @property
    def retriever_constructor_params(self):
        return {"store": self.store}

    @property
    def retriever_query_example(self):
        return "What does the user like?"


class TestRetrieverByMeaning(TestRetriever):
    @property
    def retriever_constructor_params(self):
        return {"store": self.store, "embeddings": Concepts()}


class _Tool(OverAStore):
    name = ""

    @property
    def tool_constructor(self):
        return next(
            tool for tool in memory_tools(self.store, settings(self.folder)) if tool.name == self.name
        )


class _Remember(_Tool):
    name = "remember"
    tool_invoke_params_example = {"text": "I work as a nurse."}  # noqa: RUF012


class _Recall(_Tool):
    name = "recall"
    tool_invoke_params_example = {"question": "Where do I live?"}  # noqa: RUF012


class _Forget(_Tool):
    name = "forget"

    @property
    def tool_invoke_params_example(self):
        return {"fact_id": self.store.search("Lisbon")[0].id}


class TestRememberUnit(_Remember, ToolsUnitTests): ...


class TestRemember(_Remember, ToolsIntegrationTests): ...


class TestRecallUnit(_Recall, ToolsUnitTests): ...


class TestRecall(_Recall, ToolsIntegrationTests): ...


class TestForgetUnit(_Forget, ToolsUnitTests): ...


class TestForget(_Forget, ToolsIntegrationTests): ...


# -- the retriever and the tools ---------------------------------------------------------------------------


def test_a_document_is_a_fact_with_its_id_and_slot(store, remember):
    remember("I live in Lisbon.", "I like tea.")
    (found,) = MemoryRetriever(store=store, k=1).invoke("Where does the user live?")
    (fact,) = store.search("Lisbon")
    assert (found.id, found.page_content) == (fact.id, "The user lives in Lisbon.")
    assert (found.metadata["relation"], found.metadata["object"]) == ("home", "Lisbon")
    assert 0 < found.metadata["score"] <= 1


def test_a_retriever_with_an_embedding_model_finds_what_shares_no_word(store, remember):
    remember("I like tea.")
    assert MemoryRetriever(store=store).invoke("thirsty") == []
    found = MemoryRetriever(store=store, embeddings=Concepts()).invoke("thirsty")
    assert [document.page_content for document in found] == ["The user likes tea."]


def test_what_is_remembered_can_be_recalled_and_forgotten_by_its_id(tools, store):
    assert tools["remember"].invoke({"text": "I live in Lisbon."}).startswith("Remembered: The user lives")
    assert tools["remember"].invoke({"text": "I live in Lisbon."}).startswith("Known already: ")
    line = tools["recall"].invoke({"question": "where does the user live"})
    found = re.fullmatch(r"(f_\w+)  The user lives in Lisbon\. \(since \d{4}-\d\d-\d\d\)", line)
    assert found is not None
    erased = tools["forget"].invoke({"fact_id": found[1]})
    assert erased == "Forgotten: The user lives in Lisbon."
    assert (store.facts(), {heard.text for heard in store.utterances()}) == ((), {ERASED})
    assert tools["remember"].invoke({"text": "I live in Lisbon."}).startswith("Not remembered: the user had")


def test_what_holds_no_fact_that_rules_find_is_remembered_as_it_is(tools, store):
    text = "The spare key is under the mat by the back door."
    tools["remember"].invoke({"text": text})
    assert [fact.statement for fact in store.facts()] == [text]


@pytest.mark.parametrize(
    "text", ["My password is hunter2, mind you.", "I live in Oslo, but don't remember this."]
)
def test_secrets_and_what_is_off_the_record_are_not_remembered(tools, store, text):
    assert tools["remember"].invoke({"text": text}).startswith("Not remembered: it holds a secret")
    assert store.facts() == ()
    assert not any("hunter2" in heard.text or "Oslo" in heard.text for heard in store.utterances())


def test_a_correction_is_told_as_what_it_is(tools):
    tools["remember"].invoke({"text": "I like tea."})
    assert (
        tools["remember"]
        .invoke({"text": "I no longer like tea."})
        .startswith("Taken back: The user likes tea")
    )
    assert tools["recall"].invoke({"question": "tea"}) == "Nothing is known about that."


def test_a_chat_model_is_told_why_something_is_refused(tools):
    assert "f_nothing" in tools["forget"].invoke({"fact_id": "f_nothing"})


def test_each_tool_tells_a_chat_model_what_it_is_for(tools):
    assert list(tools) == ["remember", "recall", "forget"]
    for tool in tools.values():
        assert tool.description.endswith(".")
        assert all(field.description for field in tool.args_schema.model_fields.values())


def test_without_langgraph_the_store_for_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "langgraph", None)
    monkeypatch.setitem(sys.modules, "langgraph.store", None)
    monkeypatch.delitem(sys.modules, "ice_agent.langchain.graph", raising=False)
    with pytest.raises(ImportError, match="pip install langgraph"):
        ice_agent.langchain.MemoryStore  # noqa: B018
