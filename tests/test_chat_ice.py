"""ChatIce and IceAgent: LangChain's standard suites, on the bundled model and on one that calls tools."""

from __future__ import annotations

import asyncio
import runpy
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from ice_agent.config import Config
from ice_agent.errors import CollectError, ModelError
from ice_agent.langchain import ChatIce, Ice, IceAgent, calls
from ice_agent.turns import call_opening, takes_tools
from memory import ERASED, UnknownAdapter
from tests import scripted, tiny
from tests.memory.conftest import Tenant, emptied

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather somewhere.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
OTHER = '{"name": "other", "arguments": {}}'


def settings(folder, **agent):
    store = {"url": f"sqlite:///{folder / 'm.db'}"}
    ledger = {"key": folder / "ledger.key", "checkpoints": folder / "checkpoints"}
    own = {"adapters": {"dir": folder / "adapters"}, "store": store, "ledger": ledger, "agent": agent}
    return Config.model_validate(own)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """What answers with the bundled model."""
    with Ice(settings(tmp_path_factory.mktemp("bundled"))) as ice:
        yield ice


@pytest.fixture(scope="module")
def caller(tmp_path_factory):
    """What answers with a generator that calls tools."""
    with calling(tmp_path_factory.mktemp("caller")) as ice:
        yield ice


@pytest.fixture
def ice(caller):
    """The same, and it remembers nothing yet."""
    emptied(caller.archive)
    caller.writer.prompts.clear()
    caller.writer.writings.clear()
    return caller


def calling(folder, **agent):
    model = scripted.a_model()
    return Ice(settings(folder, **agent), model=model, writer=scripted.Scripted(model))


# -- the standard suites -------------------------------------------------------------------------------------


class OnTheBundledModel:
    """Its chat template has no place for tools, and so there are no calls, nor objects made by them."""

    has_tool_calling = has_structured_output = False
    model_override_value = "base"

    @pytest.fixture(autouse=True)
    def _opened(self, bundled):
        self.ice = bundled

    @property
    def chat_model_class(self):
        return ChatIce

    @property
    def chat_model_params(self):
        return {"ice": self.ice, "tenant": "ann"}


class OnAModelThatCallsTools(OnTheBundledModel):
    has_tool_calling = has_structured_output = supports_json_mode = True

    @pytest.fixture(autouse=True)
    def _opened(self, caller):
        self.ice = caller


@pytest.mark.slow
class TestUnit(OnTheBundledModel, ChatModelUnitTests): ...


@pytest.mark.slow
class TestIntegration(OnTheBundledModel, ChatModelIntegrationTests): ...


@pytest.mark.slow
class TestUnitWithTools(OnAModelThatCallsTools, ChatModelUnitTests): ...


class TestIntegrationWithTools(OnAModelThatCallsTools, ChatModelIntegrationTests): ...


@pytest.mark.slow
class TestIntegrationWithJson(OnAModelThatCallsTools, ChatModelIntegrationTests):
    structured_output_kwargs = {"method": "json_schema"}  # noqa: RUF012


# -- a chat model --------------------------------------------------------------------------------------------


def learned(ice, *values, tenant="ann"):
    pupil = Tenant(ice.archive.store(tenant))
    return [(pupil.tell(value), pupil.learn())[1] for value in values]


def asked(ice):
    """What it was asked last."""
    return ice.writer.writings[-1].ask


def prompt_tokens(answer):
    assert answer.usage_metadata is not None
    return answer.usage_metadata["input_tokens"]


def test_what_waits_is_in_its_prompt_and_what_it_cost_in_its_answer(ice):
    Tenant(ice.archive.store("ann")).tell("Lyon")
    (fact,) = ice.archive.store("ann").facts()
    answer = ChatIce(ice=ice, tenant="ann").invoke("Where does the user live?")
    assert "lives_in Lyon" in ice.writer.prompts[-1]
    assert answer.response_metadata["recalled"] == [fact.id]
    told = answer.response_metadata["memory_tokens"]
    assert 0 < told < prompt_tokens(answer) == len(asked(ice).prompt)


def test_a_prompt_with_a_learned_fact_is_as_long_as_with_none(ice):
    learned(ice, "Lyon")
    knows, knows_not = (
        ChatIce(ice=ice, tenant=name).invoke("Where does the user live?") for name in ("ann", "bob")
    )
    assert prompt_tokens(knows) == prompt_tokens(knows_not)
    assert knows.response_metadata["memory_tokens"] == 0


def test_models_are_what_serves_one_revision_and_the_base(ice):
    first, second = learned(ice, "Lyon", "Nice")
    Tenant(ice.archive.store("ann")).tell("tea", "drinks")
    chat = ChatIce(ice=ice, tenant="ann")
    served = [
        chat.invoke("What does the user drink?", model=model).response_metadata
        for model in ("ice", f"ice@{first.id}", "base")
    ]
    assert [metadata["adapter"] for metadata in served] == [second.id, first.id, "base"]
    assert [bool(metadata["recalled"]) for metadata in served] == [True, False, False]
    assert ChatIce(ice=ice, tenant="ann", model="base").invoke("Hi").response_metadata["adapter"] == "base"
    with pytest.raises(ValueError, match="there are ice, base and ice@ID"):
        chat.invoke("Hi", model="gpt")
    with pytest.raises(UnknownAdapter):
        chat.invoke("Hi", model="ice@a_1")


def test_a_chat_model_hears_nothing(ice):
    ChatIce(ice=ice, tenant="ann").invoke("I live in Lisbon.")
    assert ice.archive.store("ann").utterances() == ()


def test_options_of_the_model_and_of_a_call_reach_the_engine(ice):
    chat = ChatIce(ice=ice, tenant="ann", temperature=0.5, seed=7, max_tokens=9, stop=["so"])
    assert chat.invoke("Hi").text == "It is"
    ask = asked(ice)
    assert (ask.temperature, ask.top_p, ask.seed, ask.max_tokens, ask.stop) == (0.5, 1.0, 7, 9, ("so",))
    chat.invoke("Hi", temperature=0.0, max_tokens=3, stop=["far"])
    assert (asked(ice).temperature, asked(ice).max_tokens, asked(ice).stop) == (0.0, 3, ("far",))


def test_whoever_stops_listening_frees_the_place(ice):
    stream: Any = ChatIce(ice=ice, tenant="ann").stream("Hi")
    next(stream)
    stream.close()
    assert ice.writer.writings[-1].is_cancelled


def test_messages_become_one_system_turn_and_turns_that_alternate():
    turns = calls.turns([
        SystemMessage("Be brief."), HumanMessage("Hi."), HumanMessage([{"type": "text", "text": "You?"}]),
        AIMessage("Yes."), SystemMessage("And kind."), HumanMessage("Good."),
    ])  # fmt: skip
    assert [(turn.role, turn.content) for turn in turns] == [
        ("system", "Be brief.\nAnd kind."), ("user", "Hi.\n\nYou?"), ("assistant", "Yes."), ("user", "Good."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([], "nothing is asked"),
        ([SystemMessage("Be brief.")], "nothing is asked"),
        ([HumanMessage("Hi"), AIMessage("Hi")], "nothing is asked"),
        ([HumanMessage([{"type": "image", "url": "https://example.org/a.png"}])], "'image' cannot be read"),
    ],
)
def test_what_cannot_be_answered_says_why(messages, why):
    with pytest.raises(ValueError, match=why):
        calls.turns(messages)


# -- tools ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "weather", "arguments": {"place": "Nice"}}\n</tool_call>',
        '<tool_call>{"name": "weather", "arguments": {"place": "Nice"}}',
        '{"name": "weather", "parameters": {"place": "Nice"}}',
        '[{"name": "weather", "arguments": {"place": "Nice"}}]',
        '```json\n{"name": "weather", "arguments": "{\\"place\\": \\"Nice\\"}"}\n```',
    ],
)
def test_a_call_is_found_however_the_model_was_taught_to_write_it(text):
    rest, found, invalid = calls.found(text, {"weather"})
    assert (rest, [(c["name"], c["args"]) for c in found], invalid) == (
        "",
        [("weather", {"place": "Nice"})],
        [],
    )


def test_several_calls_and_the_words_around_them_are_told_apart():
    text = "".join(
        f'So: <tool_call>{{"name": "weather", "arguments": {{"place": "{p}"}}}}</tool_call>'
        for p in ("A", "B")
    )
    rest, found, _ = calls.found(text, {"weather"})
    assert (rest, [c["args"]["place"] for c in found]) == ("So: So:", ["A", "B"])
    assert len({c["id"] for c in found}) == 2


@pytest.mark.parametrize(
    "block", ["{nonsense", '{"name": "other", "arguments": {}}', '{"name": "weather"}', "7"]
)
def test_what_was_meant_to_be_a_call_is_kept_as_an_invalid_one(block):
    rest, found, (invalid,) = calls.found(f"<tool_call>{block}</tool_call>", {"weather"})
    assert (rest, found, invalid["args"]) == ("", [], block)


@pytest.mark.parametrize(
    "text", ["It rains.", '{"place": "Nice"}', "[1, 2]", '{"name": "other", "arguments": {}}']
)
def test_an_answer_that_calls_nothing_stays_as_it_is(text):
    assert calls.found(text, {"weather"}) == (text, [], [])


def test_a_tools_answer_goes_back_into_the_prompt(ice):
    chat = ChatIce(ice=ice, tenant="ann").bind_tools([TOOL])
    call = chat.invoke("What is the weather in 'Nice'?")
    assert [(c["name"], c["args"]) for c in call.tool_calls] == [("weather", {"place": "Nice"})]
    assert (call.content, call.response_metadata["finish_reason"]) == ("", "tool_calls")
    answer = ToolMessage("Sun.", tool_call_id=call.tool_calls[0]["id"], name="weather")
    said = chat.invoke([HumanMessage("What is the weather in 'Nice'?"), call, answer])
    assert (said.text, said.tool_calls) == ("It is so, as far as I know.", [])
    assert '"place": "Nice"' in ice.writer.prompts[-1]
    assert "<tool_response>Sun.</tool_response>" in ice.writer.prompts[-1]


def test_what_the_user_asked_about_is_recalled_where_a_tool_has_the_last_word(tmp_path):
    with calling(tmp_path, max_recalled=1) as ice:
        told = Tenant(ice.archive.store("ann"))
        told.tell("tea", "drinks")
        told.tell("Sun", "likes")
        messages = [HumanMessage("And tea?"), *_called("Sun.")[1:]]
        ChatIce(ice=ice, tenant="ann").bind_tools([TOOL]).invoke(messages)
        assert "drinks tea" in ice.writer.prompts[-1]
        assert "likes Sun" not in ice.writer.prompts[-1]


def test_a_model_that_has_to_call_a_tool_finds_its_answer_begun(ice):
    chat = ChatIce(ice=ice, tenant="ann")
    other = TOOL | {"function": TOOL["function"] | {"name": "tides"}}
    for choice, opening in (("any", '{"name": "'), ("tides", '{"name": "tides", "arguments": ')):
        called = chat.bind_tools([TOOL, other], tool_choice=choice).invoke("Hi")
        assert ice.writer.prompts[-1].endswith(f"<assistant><tool_call>\n{opening}")
        assert len(called.tool_calls) == 1
    assert called.tool_calls[0]["name"] == "tides"
    assert chat.bind_tools([TOOL], tool_choice="none").invoke("Hi").tool_calls == []
    with pytest.raises(ValueError, match="there are weather, tides"):
        chat.bind_tools([TOOL, other], tool_choice="storms")


def test_a_template_says_whether_it_takes_tools_and_how_a_call_begins():
    with_tools, without = scripted.a_model().tokenizer, tiny.tiny_tokenizer()
    assert (takes_tools(with_tools), takes_tools(without)) == (True, False)
    assert call_opening(with_tools) == '<tool_call>\n{"name": "'
    assert call_opening(with_tools, "tides") == '<tool_call>\n{"name": "tides", "arguments": '
    assert call_opening(without) == ""


def test_a_base_without_a_template_for_tools_refuses_them_and_answers_in_json(tmp_path):
    model = tiny.tiny_model()
    with Ice(settings(tmp_path), model=model, writer=scripted.Scripted(model)) as ice:
        chat = ChatIce(ice=ice, tenant="ann")
        with pytest.raises(ModelError, match=r"no place for tools.*model\.name"):
            chat.bind_tools([TOOL])
        with pytest.raises(ModelError, match="no place for tools"):
            chat.invoke(_called("Sun."))
        schema = {"title": "Place", "type": "object", "properties": {"name": {"type": "string"}}}
        assert chat.with_structured_output(schema).invoke("Say 'Nice'.") == {"name": "Nice"}


def test_an_answer_that_is_no_object_is_told_raw_where_that_is_asked_for(ice):
    chat = ChatIce(ice=ice, tenant="ann").with_structured_output(
        {"title": "Place", "type": "object"}, method="json_mode", include_raw=True
    )
    told: Any = chat.invoke("Hi")
    assert (told["raw"].text, told["parsed"]) == ("It is so, as far as I know.", None)
    assert "Invalid json" in str(told["parsing_error"])


def _called(answer):
    """A conversation in which a tool has the last word."""
    call = {"name": "weather", "args": {}, "id": "1", "type": "tool_call"}
    return [HumanMessage("Hi"), AIMessage("", tool_calls=[call]), ToolMessage(answer, tool_call_id="1")]


# -- an agent ------------------------------------------------------------------------------------------------


def of(tenant):
    return {"configurable": {"tenant": tenant}}


@pytest.mark.slow
def test_an_agent_keeps_what_it_is_told_and_answers_each_tenant_by_his_own(bundled):
    agent = IceAgent(bundled)
    agent.invoke("I live in Lisbon.", of("lisa"))
    agent.invoke("I live in Oslo.", {"configurable": {"user_id": "otto"}})
    answers = agent.batch(["Where do I live?"] * 3, [of("lisa"), of("otto"), of("nobody")])
    assert ["Lisbon" in answer.text for answer in answers] == [True, False, False]
    assert "Oslo" in answers[1].text


@pytest.mark.parametrize(
    "conversation",
    [
        "I live in Lisbon.",
        HumanMessage("I live in Lisbon."),
        [("system", "Be brief."), ("human", "I live in Lisbon.")],
        {"messages": [{"role": "user", "content": "I live in Lisbon."}]},
    ],
    ids=["text", "message", "messages", "state"],
)
def test_an_agent_takes_a_conversation_in_every_form(ice, conversation):
    answer = IceAgent(ice, max_tokens=50).invoke(conversation, of("ann"))
    assert isinstance(answer, AIMessage)
    assert [fact.object for fact in ice.archive.store("ann").facts()] == ["Lisbon"]


def test_what_is_streamed_is_heard_once_it_has_ended(ice):
    agent, store = IceAgent(ice), ice.archive.store("ann")
    pieces = agent.stream("I live in Lisbon.", of("ann"))
    first = next(pieces)
    assert store.facts() == ()
    whole = sum(pieces, first)
    assert whole.text == "It is so, as far as I know."
    assert len(store.facts()) == 1


def test_async_it_is_the_same(ice):
    agent = IceAgent(ice)

    async def both():
        streamed = [piece async for piece in agent.astream("I live in Lisbon.", of("ann"))]
        return streamed, await agent.ainvoke("I like tea.", of("ann"))

    streamed, answer = asyncio.run(both())
    assert "".join(piece.text for piece in streamed) == answer.text
    assert len(streamed) > 2
    assert {fact.object for fact in ice.archive.store("ann").facts()} == {"Lisbon", "tea"}


def test_whose_memory_it_is_has_to_be_said_and_by_one(ice):
    with pytest.raises(ValueError, match="whose memory"):
        IceAgent(ice).invoke("Hi")
    with pytest.raises(ValueError, match="ann, bob"):
        IceAgent(ice).invoke("Hi", {"configurable": {"tenant": "ann", "user_id": "bob"}})
    IceAgent(ice, tenant="ann").invoke("I like tea.")
    assert len(ice.archive.store("ann").facts()) == 1


def test_an_agent_forgets_what_it_is_asked_to_and_keeps_no_word_of_that(ice):
    agent, store = IceAgent(ice), ice.archive.store("ann")
    told = ["I live in Lisbon.", "I like tea."]
    for text in told:
        agent.invoke(text, of("ann"))

    async def both():
        asked = [*map(HumanMessage, told), AIMessage("Noted."), HumanMessage("Forget that.")]
        streamed = [piece.text async for piece in agent.astream(asked, of("ann"))]
        return streamed, await agent.ainvoke("Forget that I live in Lisbon.", of("ann"))

    streamed, answer = asyncio.run(both())
    assert streamed == ["forgot: The user likes tea."]
    assert (answer.text, answer.usage_metadata["total_tokens"]) == ("forgot: The user lives in Lisbon.", 0)
    assert next(agent.stream("Forget that.", of("ann"))).text.startswith("nothing of that is known")
    assert agent.invoke("Forget that.", of("ann")).text.startswith("nothing of that is known")
    assert (store.facts(), {heard.text for heard in store.utterances()}) == ((), {ERASED})


def test_what_cannot_be_kept_takes_no_answer_away(tmp_path, caplog):
    def extractor(utterance):
        raise CollectError("the extractor is away")

    model = scripted.a_model()
    with Ice(settings(tmp_path), model=model, writer=scripted.Scripted(model), extractor=extractor) as ice:
        assert IceAgent(ice).invoke("I like tea.", of("ann")).text == "It is so, as far as I know."
    assert "the extractor is away" in caplog.text


def test_a_tools_answer_is_not_taken_for_the_users_words(ice):
    IceAgent(ice).invoke(_called("I live in Rome."), of("ann"))
    assert ice.archive.store("ann").utterances() == ()


@pytest.mark.slow
def test_many_tenants_at_once_are_answered_by_one_engine(bundled):
    agent = IceAgent(bundled)
    places = {"t1": "Rome", "t2": "Paris", "t3": "Madrid"}
    for tenant, place in places.items():
        agent.invoke(f"I live in {place}.", of(tenant))
    asked = list(places) * 3
    answers = agent.batch(["Where do I live?"] * len(asked), [of(tenant) for tenant in asked])
    assert all(places[tenant] in answer.text for tenant, answer in zip(asked, answers, strict=True))


@pytest.mark.slow
def test_the_example_runs(tmp_path, project_dir, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(project_dir / "examples" / "langchain_assistant.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert "Lisbon" in lines[5]
    assert "Oslo" in lines[7]
    assert "Lisbon" in lines[8]
    assert "(0 tokens of memory)" in lines[9]
