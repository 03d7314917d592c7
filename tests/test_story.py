"""The whole story as a user lives it, on the bundled model: told, answered, slept over, known, taken back."""

from __future__ import annotations

import pytest

from ice_agent import cycle
from ice_agent.agent import Agent
from ice_agent.config import Config
from ice_agent.ice_editor import IceEditor
from ice_agent.model import EditableModel
from memory import AdapterStatus, Archive, FactStatus

pytestmark = pytest.mark.slow

TOLD = (
    "I moved to Lisbon last week.",
    "My sister is called Anna.",
    "Actually, I live in Oslo.",
    "Nice weather!",
)
ASKED = {
    "Where do I live?": "You live in Oslo.",
    "What is my sister called?": "Your sister is called Anna.",
}
UNRELATED = ("What is the capital of France?", "On which continent is Japan?")


@pytest.fixture
def config(tmp_path, reference_model_dir):
    if not (reference_model_dir / "model.safetensors").exists():
        pytest.skip(f"no bundled model at {reference_model_dir}: `make reference` trains it")
    return Config.model_validate({"adapters": {"dir": tmp_path / "adapters"}})


def test_from_a_conversation_to_the_weights_and_back(tmp_path, config):
    with Archive.open(f"sqlite:///{tmp_path / 'memory.db'}") as archive:
        store = archive.store("tom")
        model = EditableModel.load(config.model, config.lora)
        root = cycle.init(store, IceEditor(model, config), config)
        agent = Agent(store, model, config)
        untold = {question: agent.answer(question).text for question in (*ASKED, *UNRELATED)}

        for text in TOLD:
            agent.hear(text)
        assert [fact.object for fact in store.facts()] == ["Anna", "Oslo"]
        from_prompt = {question: agent.answer(question) for question in ASKED}
        assert {question: reply.text for question, reply in from_prompt.items()} == ASKED
        assert all(reply.memory_tokens > 0 for reply in from_prompt.values())

        report = cycle.run_cycle(store, IceEditor(model, config), config)
        assert report.verdict.promote, report.verdict.reasons
        from_weights = {question: agent.answer(question) for question in ASKED}
        assert {question: reply.text for question, reply in from_weights.items()} == ASKED
        assert all(reply.memory_tokens == 0 for reply in from_weights.values())
        assert {reply.adapter_id for reply in from_weights.values()} == {report.adapter.id}
        for question in UNRELATED:
            assert agent.answer(question).text == untold[question]

        undone, serving = store.revert(retract=True)
        assert (undone.id, undone.status, serving.id) == (report.adapter.id, AdapterStatus.REVERTED, root.id)
        # What the correction had ended stands again, in the prompt; all else is as before anything was told.
        assert {question: agent.answer(question).text for question in untold} == {
            **untold,
            "Where do I live?": "You live in Lisbon.",
        }
        assert store.counts()[FactStatus.RETRACTED] == 2
        assert store.verify().ok
