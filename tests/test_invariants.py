"""DESIGN.md's invariants, as far as a cycle is concerned; those of the store are in tests/memory."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from ice_agent import cycle
from memory import Archive, CannotRevert, FactStatus, LeaseHeld
from tests.forked import in_a_child
from tests.schooled import Assistant, schooled_model

ANNA = "Where does Anna Berg live?"
HASTY: dict[str, Any] = {"edit": {"steps": 2}, "guards": {"min_edit_success": 0.0}}
# Where a cycle is when it dies: a stage, or what it measures.
MOMENTS = ("teacher pass", "anchor pass", "editing", "the root", "the candidate", "done")


@pytest.fixture(scope="module")
def after_two_cycles(tmp_path_factory):
    """A folder with two promotions, and the logits that root, first and second had when they served."""
    assistant = Assistant(tmp_path_factory.mktemp("two"))
    judged = [assistant.logits()]
    for fact in ("Anna Berg lives in Lisbon.", "Jan Bakker lives in Quito."):
        assistant.tell(fact)
        report = assistant.learn()
        assert report.verdict.promote, report.verdict.reasons
        judged.append(assistant.logits(report.adapter.id))
    assistant.archive.close()
    return assistant.folder, judged


@pytest.fixture
def judged(after_two_cycles):
    return after_two_cycles[1]


@pytest.fixture
def reloaded(after_two_cycles, tmp_path):
    """The same, started anew on a copy."""
    assistant = Assistant(shutil.copytree(after_two_cycles[0], tmp_path / "tom"))
    yield assistant
    assistant.archive.close()


# 1. The base weights never change; training a candidate leaves its parent's answers alone.


def test_base_and_parent_are_bit_identical_after_a_cycle(tmp_path):
    assistant = Assistant(tmp_path)
    assistant.tell("Anna Berg lives in Lisbon.")
    root = assistant.serving
    before = assistant.logits(root.id)
    report = assistant.learn()
    assert assistant.serving.id == report.adapter.id != root.id
    assert torch.equal(assistant.logits(root.id), before)
    assert not torch.equal(assistant.logits(report.adapter.id), before)
    untouched = _base_weights(schooled_model(assistant.config))
    assert all(torch.equal(w, untouched[name]) for name, w in _base_weights(assistant.model).items())


# 2. A saved adapter reproduces what was judged; a revert restores the earlier answers exactly.


def test_a_reloaded_adapter_has_the_logits_that_were_judged(reloaded, judged):
    assert torch.equal(reloaded.logits(), judged[2])


def test_a_revert_restores_the_earlier_answers_exactly_one_step_at_a_time(reloaded, judged):
    for earlier in (judged[1], judged[0]):
        reloaded.store.revert()
        assert torch.equal(reloaded.logits(), earlier)
    with pytest.raises(CannotRevert):
        reloaded.store.revert()


def test_a_reverted_fact_is_held_and_served_from_the_prompt(reloaded):
    reloaded.store.revert(to=_root(reloaded).id)
    assert {fact.status for fact in reloaded.store.facts()} == {FactStatus.HELD}
    reply = reloaded.agent.answer(ANNA)
    assert reply.text == "Lisbon"
    assert reply.memory_tokens > 0


# 3. At most one adapter serves: tests/memory/test_lineage.py; a stale candidate: tests/test_cycle.py.


def test_one_adapter_serves_after_any_number_of_cycles(reloaded):
    served = [adapter.status for adapter in reloaded.store.adapters()]
    assert served == ["retired", "retired", "promoted"]


# 4. kill -9 at any step loses nothing, and the next cycle goes on.


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_cycle_that_is_killed_leaves_the_serving_adapter_and_its_facts(tmp_path, moment):
    assistant = Assistant(tmp_path, **HASTY)
    fact = assistant.tell("Anna Berg lives in Lisbon.")
    root, before = assistant.serving, assistant.logits()
    assistant.archive.close()
    _killed_at(moment, assistant)

    with Archive.open(assistant.url) as archive:
        store = archive.store("tom")
        assert store.serving() == root
        assert store.fact(fact.id).status is FactStatus.CLAIMED
        assert store.fact(fact.id) in store.recall()
        assert store.verify().ok
    survivor = Assistant(tmp_path, **HASTY)
    assert torch.equal(survivor.logits(), before)
    assert survivor.ask(ANNA) == "Lisbon"
    report = survivor.learn()
    assert report.verdict.promote
    assert torch.equal(survivor.logits(), survivor.logits(report.adapter.id))
    assert survivor.store.verify().ok


def test_what_a_killed_save_left_behind_is_loaded_by_nobody(tmp_path):
    assistant = Assistant(tmp_path, **HASTY)
    fact = assistant.tell("Anna Berg lives in Lisbon.")
    partial = assistant.config.adapters.dir / ".partial-killed"
    partial.mkdir()
    (partial / "adapter_model.safetensors").write_bytes(b"half")
    assert assistant.learn().verdict.promote
    assert assistant.ask(ANNA) == "Lisbon"
    assert fact.id in {f.id for f in assistant.store.facts()}


def test_a_directory_that_a_killed_cycle_wrote_without_its_row_is_written_anew(tmp_path):
    assistant = Assistant(tmp_path, **HASTY)
    assistant.tell("Anna Berg lives in Lisbon.")
    seen: list[Path] = []

    def die_after_saving(stage, done, total, note):
        if note == "the root":
            seen.extend(assistant.config.adapters.dir.glob("a_*"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assistant.learn(die_after_saving)
    (directory,) = seen
    (directory / "adapter_model.safetensors").write_bytes(b"half")
    report = assistant.learn()
    assert report.adapter.path == directory.name
    assert Assistant(tmp_path, **HASTY).logits().isfinite().all()


# 7. One cycle per tenant at a time; another tenant's is none of its business.


def test_a_lease_is_per_tenant(tmp_path):
    assistant = Assistant(tmp_path, **HASTY)
    assistant.tell("Anna Berg lives in Lisbon.")
    other = assistant.archive.store("ann").take_lease("another process", 900)
    assert assistant.learn().verdict.promote
    assistant.store.drop_lease(other)
    assistant.store.take_lease("another process", 900)
    with pytest.raises(LeaseHeld, match="another process"):
        assistant.learn()


def _killed_at(moment, assistant):
    """Run a cycle in a child process that kills itself there, as the kernel would."""
    ended = in_a_child(lambda: _die_at(moment, assistant))
    assert ended == -signal.SIGKILL, f"the cycle never came to {moment!r}"


def _die_at(moment, assistant):
    def report(stage, done, total, note):
        if moment in (stage, note):
            os.kill(os.getpid(), signal.SIGKILL)

    with Archive.open(assistant.url) as archive:
        cycle.run_cycle(archive.store("tom"), assistant.editor, assistant.config, report)


def _root(assistant):
    return assistant.store.adapters()[0]


def _base_weights(model):
    """What the adapters are not."""
    return {name: w for name, w in model._peft.state_dict().items() if "lora_" not in name}
